package report_test

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"rsyncd_exporter/report"
)

// A turn is a line of a random log. It begins or ends a transfer, or does neither.
type turn struct {
	at     int64 // seconds of the Unix epoch
	text   string
	module string
	step   int // 1, -1 or 0
}

var monday = time.Date(2026, 11, 23, 0, 0, 0, 0, time.UTC)

// randomLog returns sessions of three modules that begin within so many seconds and take up to an hour. Of one in
// fifty nothing is heard after its first file.
func randomLog(r *rand.Rand, sessions, within int) (turns []turn) {
	begin := make([]int, sessions)
	for i := range begin {
		begin[i] = r.IntN(within)
	}
	slices.Sort(begin)
	for i, from := range begin {
		at, pid, module := monday.Unix()+int64(from), 1000+i, []string{"a", "b", "c"}[min(r.IntN(6), 2)]
		add := func(step int, format string, args ...any) {
			turns = append(turns, turn{at, fmt.Sprintf("%s [%d] %s\n", time.Unix(at, 0).UTC().Format("2006/01/02 15:04:05"),
				pid, fmt.Sprintf(format, args...)), module, step})
		}
		add(0, "connect from h (192.0.2.%d)", i%250)
		add(0, "rsync allowed access on module %s from h (192.0.2.%d)", module, i%250)
		add(1, "rsync on %s/ from h (192.0.2.%d)", module, i%250)
		silent := r.IntN(50) == 0
		for n := r.IntN(3); n >= 0; n-- {
			at += int64(r.IntN(r.IntN(1800) + 1))
			step := 0
			if silent && n == 0 {
				step = -1
			}
			add(step, "send h [192.0.2.%d] %s () f 10", i%250, module)
		}
		if !silent {
			at += int64(r.IntN(3))
			add(-1, "sent 30 bytes  received 20 bytes  total size 10")
		}
	}
	slices.SortStableFunc(turns, func(a, b turn) int { return cmp.Compare(a.at, b.at) })
	return turns
}

func textOf(turns []turn) string {
	var b strings.Builder
	for _, t := range turns {
		b.WriteString(t.text)
	}
	return b.String()
}

// recount counts one transfer after the other, in the order of the log.
func recount(module string, since, until int64, logs ...[]turn) report.Saturation {
	s := report.Saturation{Module: module}
	reach := func(n int, at int64) {
		if uint64(n) > s.Peak {
			s.Peak, s.PeakAt = uint64(n), time.Unix(at, 0).UTC().Format(time.RFC3339)
		}
	}
	for _, turns := range logs {
		n, at := 0, turns[0].at
		used := slices.ContainsFunc(turns, func(t turn) bool { return t.module == module })
		for _, t := range turns {
			if used {
				from, to := max(at, since), min(t.at, until)
				if from < to {
					for len(s.SecondsAt) <= n {
						s.SecondsAt = append(s.SecondsAt, 0)
					}
					s.SecondsAt[n] += float64(to - from)
					reach(n, from)
				}
			}
			at = t.at
			if t.module != module {
				continue
			}
			if t.step == 1 && since <= at && at < until {
				for len(s.Begun) <= n {
					s.Begun = append(s.Begun, 0)
				}
				s.Begun[n]++
				reach(n+1, at)
			}
			n += t.step
		}
	}
	return s
}

func TestSaturationIsARecount(t *testing.T) {
	const wide = int64(1) << 40
	for seed := range uint64(6) {
		r := rand.New(rand.NewPCG(seed, 0))
		one := randomLog(r, 200, 2*24*3600)
		// Many in a short time: turns are counted in portions, while the silent ones hold them up.
		other := randomLog(r, 3000, 30*3600)
		got := fold(t, report.Options{}, textOf(one), textOf(other)).Saturation
		for i, module := range []string{"a", "b", "c"} {
			want := recount(module, -wide, wide, one, other)
			if len(want.Begun) < 8 {
				t.Errorf("no more than %d transfers at one time", len(want.Begun))
			}
			same(t, fmt.Sprintf("seed %d, module %s", seed, module), got[i], want)
		}
		since, until := monday.Add(9*time.Hour), monday.Add(10*time.Hour+30*time.Minute)
		got = fold(t, report.Options{Since: since, Until: until}, textOf(other)).Saturation
		for i, module := range []string{"a", "b", "c"} {
			same(t, fmt.Sprintf("a period, seed %d, module %s", seed, module), got[i],
				recount(module, since.Unix(), until.Unix(), other))
		}
	}
}

// Sessions that have been silent since the beginning hold up all turns of a day. There is no room for so many, and so
// some of the silent ones count as running for longer than they did. Nothing else changes.
func TestTurnsThatWaitAreBounded(t *testing.T) {
	turns := randomLog(rand.New(rand.NewPCG(1, 1)), 40_000, 20*3600)
	got := fold(t, report.Options{}, textOf(turns)).Saturation
	silent := 0.0 // seconds too many
	for i, module := range []string{"a", "b", "c"} {
		want := recount(module, -1<<40, 1<<40, turns)
		if g, w := began(got[i]), began(want); g != w || g < 5000 {
			t.Errorf("module %s: %d began, want %d and at least 5000", module, g, w)
		}
		silent += running(got[i]) - running(want)
	}
	if silent <= 0 || silent > 40_000/50*20*3600 {
		t.Errorf("transfers run %v s too long; want some, but not all of the silent ones' time", silent)
	}
}

func began(s report.Saturation) (sum uint64) {
	for _, n := range s.Begun {
		sum += n
	}
	return sum
}

func running(s report.Saturation) (sum float64) {
	for n, held := range s.SecondsAt {
		sum += float64(n) * held
	}
	return sum
}
