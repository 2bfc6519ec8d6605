package metrics_test

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"rsyncd_exporter/internal/testenv"
	"rsyncd_exporter/metrics"
	"rsyncd_exporter/rsynclog"
	"rsyncd_exporter/rsynclog/codes"
)

// served counts the rsync series of a scrape as Prometheus does: a histogram is its buckets, the one of +Inf, sum and
// count.
func (b *books) served() int {
	b.t.Helper()
	families, err := b.registry().Gather()
	if err != nil {
		b.t.Fatal(err)
	}
	n := 0
	for _, f := range families {
		for _, m := range f.GetMetric() {
			switch {
			case len(f.GetName()) < 6 || f.GetName()[:6] != "rsync_":
			case m.GetHistogram() != nil:
				n += len(m.GetHistogram().GetBucket()) + 3
			default:
				n++
			}
		}
	}
	return n
}

// always returns how many series may be there whatever MAX_SERIES is: what the local host, the one for those without
// room and the settings' hosts have apart from modules is bounded by 4 counters, a version, all kinds of messages,
// and the weight of what belongs to no module; there is a whole module of the one for those without room, with
// directions that belong to none; and the settings' modules on the local host and the settings' hosts.
func always(c metrics.Config) int {
	bare := 4 + 1 + metrics.NumMessages + metrics.UnnamedSeries + metrics.UndirectedSeries
	whole := metrics.ModuleSeries + metrics.UndirectedSeries + 2*metrics.DirectedSeries
	return (2+len(c.Hosts))*bare + whole + 2*metrics.DirectedSeries + (1+len(c.Hosts))*len(c.Modules)*whole
}

// change applies one change of a session with these labels.
func (b *books) change(host, module, user string, d rsynclog.Direction, second int64, c rsynclog.Change, o rsynclog.Outcome) {
	at := second * int64(time.Second)
	origin := &rsynclog.Origin{Host: host}
	c.Origin, c.N = origin, 1
	c.Session = &rsynclog.Session{Origin: origin, SessionRecord: rsynclog.SessionRecord{
		Module: module, Direction: d, User: user, FirstSeen: at, LastSeen: at, ConnectSeen: true, HasSummary: true, Outcome: o,
	}}
	b.store.Apply([]rsynclog.Change{c}, at, at)
}

// checkBound asserts that what is served is bounded, and that the weights come to what was taken.
func (b *books) checkBound(c metrics.Config, when string) {
	b.t.Helper()
	if n, most := b.served(), max(c.MaxSeries, 0)+always(c); n > most {
		b.t.Errorf("%s: %d series served, want at most MAX_SERIES %d and %d that are always there", when, n, c.MaxSeries, most-c.MaxSeries)
	}
	if weight, taken := b.store.Weights(); weight != taken || weight > c.MaxSeries {
		b.t.Errorf("%s: a weight of %d, %d taken of %d", when, weight, taken, c.MaxSeries)
	}
}

// By hand: 170 modules with 134 errnos and 26 codes each come to 27,200 series, with
// MAX_SERIES=10100.
func TestErrnosAndCodesAreBounded(t *testing.T) {
	c := metrics.Config{MaxSeries: 10100}
	b := newBooks(t, c)
	const each = 134 + 26
	var existing []int16
	for code := range int16(200) {
		if codes.Exit(code) == code {
			existing = append(existing, code)
		}
	}
	for m := range 170 {
		module := fmt.Sprint("m", m)
		b.change("vm", module, "", rsynclog.Send, 2000, rsynclog.Change{Kind: rsynclog.Executed}, 0)
		for e := range int16(134) {
			b.change("vm", module, "", rsynclog.Send, 2000, rsynclog.Change{Kind: rsynclog.FileFailed, Errno: e}, 0)
		}
		for i := range 26 {
			b.change("vm", module, "", rsynclog.Send, 2000, rsynclog.Change{Kind: rsynclog.Exited, Code: existing[i%len(existing)]}, 0)
		}
	}
	b.checkBound(c, "at the end")
	r := b.registry()
	if got := sum(t, r, "rsync_file_errors_total", "", "") + sum(t, r, "rsync_errors_total", "", ""); got != 170*each {
		t.Errorf("%v errors over all series, want %d", got, 170*each)
	}
	// Under _other of their own module, while the module has room.
	others := 0
	for _, m := range family(t, r, "rsync_file_errors_total").GetMetric() {
		labels := map[string]string{}
		for _, l := range m.GetLabel() {
			labels[l.GetName()] = l.GetValue()
		}
		if labels["errno"] == rsynclog.Other && labels["module"] != rsynclog.Other {
			others++
		}
	}
	if others == 0 {
		t.Error("no module has errnos under _other")
	}
	overflow := sum(t, r, "rsyncd_exporter_label_overflow_total", "label", "errno") + sum(t, r, "rsyncd_exporter_label_overflow_total", "label", "status_code")
	if other := sum(t, r, "rsync_file_errors_total", "errno", "_other") + sum(t, r, "rsync_errors_total", "status_code", "_other"); overflow == 0 || overflow != other {
		t.Errorf("%v errors under _other, and %v label overflows; want the same, and some", other, overflow)
	}
}

// Errnos of which a single one is an alert keep their number where no series has room any more.
func TestUrgentErrnosAlwaysHaveRoom(t *testing.T) {
	b := newBooks(t, metrics.Config{Modules: []string{"named"}, Hosts: []string{"known"}})
	fail := func(host, module string, errno int16) {
		b.change(host, module, "", rsynclog.Receive, 2000, rsynclog.Change{Kind: rsynclog.FileFailed, Errno: errno}, 0)
	}
	fail("vm", "early", 13)
	b.store.TakeAllRoom() // as whoever may send can
	for _, errno := range []int16{5, 28, 30, 117, 122, 17} {
		fail("known", "named", errno)
		fail("vm", "early", errno)
		fail("vm", "late", errno)
		want := float64(3)
		if errno == 17 {
			want = 0 // this test is one only while others have no room
		}
		if got := sum(t, b.registry(), "rsync_file_errors_total", "errno", fmt.Sprint(errno)); got != want {
			t.Errorf("errno %d is counted %v times, want %v", errno, got, want)
		}
	}
}

// Whatever senders and clients come up with, what is served is bounded, and no message is lost.
func TestServedSeriesAreBoundedByWeight(t *testing.T) {
	r := rand.New(rand.NewPCG(testenv.Seed(t), 0))
	kinds := []rsynclog.ChangeKind{rsynclog.Executed, rsynclog.Ended, rsynclog.Ended, rsynclog.Exited, rsynclog.FileFailed, rsynclog.FileMoved, rsynclog.TurnedAway,
		rsynclog.Amended, rsynclog.DaemonStarted}
	for round, most := range []int{1, 50, 300, 1000, 5000, 10000} {
		for _, spread := range []int{2, 12, 400} {
			c := metrics.Config{MaxSeries: most}
			for i := range round {
				c.Modules, c.Hosts = append(c.Modules, fmt.Sprint("m", 2*i)), append(c.Hosts, fmt.Sprint("h", 3*i))
			}
			b := newBooks(t, c)
			b.store.AddLocalHost()
			messages := 0.0
			second := int64(2000)
			for i := range 6000 {
				host := fmt.Sprint("h", r.IntN(spread))
				if r.IntN(10) == 0 {
					host = ""
				}
				module := fmt.Sprint("m", r.IntN(spread))
				if r.IntN(6) == 0 {
					module = ""
				}
				ch := rsynclog.Change{
					Kind: kinds[r.IntN(len(kinds))], Code: int16(r.IntN(140)), Errno: int16(r.IntN(140)), Op: rsynclog.Op(r.IntN(metrics.NumOps)), Wire: uint64(r.IntN(2)),
					Reason: rsynclog.Reason(1 + r.IntN(int(rsynclog.NumReasons)-1)), Version: "3.5.0", Sent: uint64(r.IntN(2)),
				}
				b.change(host, module, fmt.Sprint("u", r.IntN(spread)), rsynclog.Direction(r.IntN(3)), second, ch, rsynclog.Outcome(r.IntN(int(rsynclog.NumOutcomes))))
				b.store.Message(&rsynclog.Origin{Host: host}, rsynclog.Kind(r.IntN(int(rsynclog.NumKinds))), r.IntN(9) > 0, second*int64(time.Second))
				messages++
				if r.IntN(1500) == 0 {
					second += int64(r.IntN(100_000)) // things go
				}
				if i%1000 == 999 {
					b.checkBound(c, fmt.Sprintf("MAX_SERIES %d, %d of each, after %d", most, spread, i+1))
				}
			}
			reg := b.registry()
			if got := sum(t, reg, "rsync_messages_total", "", "") + sum(t, reg, "rsyncd_exporter_retired_messages_total", "", ""); got != messages {
				t.Errorf("%v messages served and retired, want %v", got, messages)
			}
		}
	}
}

// While nothing goes, the sums over all series are the whole, though labels overflow.
func TestOverflowKeepsTheSums(t *testing.T) {
	b := newBooks(t, metrics.Config{MaxSeries: 400})
	const hosts, modules, users = 6, 5, 4
	for h := range hosts {
		for m := range modules {
			for u := range users {
				for d := rsynclog.NoDirection; d <= rsynclog.Receive; d++ {
					host, module, user := fmt.Sprint("h", h), fmt.Sprint("m", m), fmt.Sprint("u", u)
					b.change(host, module, user, d, 2000, rsynclog.Change{Kind: rsynclog.Ended, Sent: 7}, rsynclog.OK)
					b.change(host, module, user, d, 2000, rsynclog.Change{Kind: rsynclog.Exited, Code: int16(10 + u)}, 0)
				}
			}
		}
	}
	const n = hosts * modules * users * 3
	r := b.registry()
	for name, want := range map[string]float64{"rsync_sessions_total": n, "rsync_sent_bytes_total": 7 * n, "rsync_errors_total": n} {
		if got := sum(t, r, name, "", ""); got != want {
			t.Errorf("%s: %v over all series, want %v", name, got, want)
		}
	}
	for _, label := range []string{"host", "module"} {
		if sum(t, r, "rsyncd_exporter_label_overflow_total", "label", label) == 0 {
			t.Errorf("no overflow of the label %s", label)
		}
	}
	b.checkBound(metrics.Config{MaxSeries: 400}, "at the end")
}

// A host with everything that there can be is served as exactly what it weighs, with the gauge of its addresses.
func TestWeightsAreExact(t *testing.T) {
	c := metrics.Config{MaxSeries: 1 << 20}
	b := newBooks(t, c)
	apply := func(module, user string, d rsynclog.Direction, ch rsynclog.Change, o rsynclog.Outcome) {
		b.change("vm", module, user, d, 2000, ch, o)
	}
	everything := func(module string) {
		for d := rsynclog.NoDirection; d <= rsynclog.Receive; d++ {
			for o := range rsynclog.NumOutcomes {
				apply(module, "alice", d, rsynclog.Change{Kind: rsynclog.Ended, Sent: 1}, o)
				apply(module, rsynclog.Other, d, rsynclog.Change{Kind: rsynclog.Ended, Sent: 1}, o)
			}
		}
		for r := rsynclog.NoReason + 1; r < rsynclog.NumReasons; r++ {
			apply(module, "", rsynclog.Send, rsynclog.Change{Kind: rsynclog.TurnedAway, Reason: r}, 0)
		}
		for n := range int16(200) {
			apply(module, "", rsynclog.Send, rsynclog.Change{Kind: rsynclog.Exited, Code: n}, 0)
			apply(module, "", rsynclog.Send, rsynclog.Change{Kind: rsynclog.FileFailed, Errno: n}, 0)
		}
		for op := range metrics.NumOps {
			apply(module, "", rsynclog.Send, rsynclog.Change{Kind: rsynclog.FileMoved, Op: rsynclog.Op(op), Wire: 1}, 0)
		}
	}
	everything("data")
	everything("")
	apply("", "", rsynclog.NoDirection, rsynclog.Change{Kind: rsynclog.DaemonStarted, Version: "3.5.0"}, 0)
	b.from("vm", 2000, 1)
	for kind := range rsynclog.NumKinds {
		b.store.Message(&rsynclog.Origin{Host: "vm"}, kind, true, 2000)
	}
	b.store.TakeAllRoom()
	b.store.Message(&rsynclog.Origin{Host: "vm"}, rsynclog.Connect, false, 2000) // there is no room for implausible ones any more
	weight := b.store.WeightOf("vm")
	_, taken := b.store.Weights()
	const addresses, oldest = 1, 2 // two modules in which no session runs now
	const limit = 1                // that of data, which is not the host's
	if n := b.served() + addresses + oldest - limit; n != weight || n != taken {
		t.Errorf("%d series of a host that weighs %d, and took %d", n, weight, taken)
	}
}
