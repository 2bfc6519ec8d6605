package backfill_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"rsyncd_exporter/pipeline"
	"rsyncd_exporter/report/backfill"
	"rsyncd_exporter/report/logs"
)

const pull = `2024/03/01 10:00:30 [100] connect from a (192.0.2.1)
2024/03/01 10:00:30 [100] rsync allowed access on module data from a (192.0.2.1)
2024/03/01 10:00:31 [100] rsync on data/x from a (192.0.2.1)
2024/03/01 10:00:31 [100] building file list
2024/03/01 10:02:00 [100] send a [192.0.2.1] data () x/1 500
2024/03/01 10:03:10 [100] sent 600 bytes  received 40 bytes  total size 500
2024/03/01 10:04:00 [101] connect from b (192.0.2.2)
`

// connect is what ends an hour after it if nothing follows.
func connect(at string, pid int) string {
	return fmt.Sprintf("%s [%d] connect from b (192.0.2.2)\n", at, pid)
}

// A pull from 10:00:30 to 10:03:10, 160 s, is over two seconds after its last line. A line at a step belongs to it.
func TestCountersBeginAtZero(t *testing.T) {
	s := parse(t, fill(t, config(), log{lines: pull}))
	check(t, s, `rsync_connections_total{}`, "2024-03-01 10:00:00", 0, "2024-03-01 10:01:00", 1, "2024-03-01 10:02:00", 1,
		"2024-03-01 10:03:00", 1, "2024-03-01 10:04:00", 2)
	check(t, s, `rsync_files_total{module="data", operation="send"}`, "2024-03-01 10:01:00", 0, "2024-03-01 10:02:00", 1,
		"2024-03-01 10:03:00", 1, "2024-03-01 10:04:00", 1)
	check(t, s, `rsync_sessions_active{direction="send", module="data"}`, "2024-03-01 10:01:00", 1, "2024-03-01 10:02:00", 1,
		"2024-03-01 10:03:00", 1, "2024-03-01 10:04:00", 0)
	began := int(time.Date(2024, 3, 1, 10, 0, 30, 0, time.UTC).Unix())
	check(t, s, `rsync_oldest_session_start_timestamp_seconds{module="data"}`, "2024-03-01 10:01:00", began,
		"2024-03-01 10:02:00", began, "2024-03-01 10:03:00", began)
	check(t, s, `rsync_last_success_timestamp_seconds{direction="send", module="data"}`, "2024-03-01 10:04:00", began+160)
	check(t, s, `rsync_session_duration_seconds_bucket{direction="send", le="300.0", module="data"}`,
		"2024-03-01 10:01:00", 0, "2024-03-01 10:02:00", 0, "2024-03-01 10:03:00", 0, "2024-03-01 10:04:00", 1)
	check(t, s, `rsync_session_duration_seconds_sum{direction="send", module="data"}`,
		"2024-03-01 10:01:00", 0, "2024-03-01 10:02:00", 0, "2024-03-01 10:03:00", 0, "2024-03-01 10:04:00", 160)
	check(t, s, `rsync_messages_total{kind="transfer"}`, "2024-03-01 10:01:00", 0, "2024-03-01 10:02:00", 1,
		"2024-03-01 10:03:00", 1, "2024-03-01 10:04:00", 1)
	for name := range s {
		if !strings.HasPrefix(name, "rsync_") {
			t.Errorf("%s: it means nothing in the past", name)
		}
	}
}

// Lines of one second have ascending times, nanoseconds apart. What happens at a step, such as three connects in its second, or the end
// of a session whose last three lines came two seconds before, belongs to that step all the same.
func TestTheSecondOfAStep(t *testing.T) {
	s := parse(t, fill(t, config(), log{lines: `2024/03/01 10:02:58 [100] connect from a (192.0.2.1)
2024/03/01 10:02:58 [100] rsync on data/x from a (192.0.2.1)
2024/03/01 10:02:58 [100] sent 600 bytes  received 40 bytes  total size 500
` + connect("2024/03/01 10:03:00", 101) + connect("2024/03/01 10:03:00", 102) + connect("2024/03/01 10:03:00", 103) +
		connect("2024/03/01 10:04:30", 104)}))
	check(t, s, `rsync_connections_total{}`, "2024-03-01 10:02:00", 0, "2024-03-01 10:03:00", 4, "2024-03-01 10:04:00", 4,
		"2024-03-01 10:05:00", 5)
	check(t, s, `rsync_sessions_total{direction="send", outcome="ok"}`, "2024-03-01 10:02:00", 0, "2024-03-01 10:03:00", 1, "2024-03-01 10:04:00", 1,
		"2024-03-01 10:05:00", 1)
}

// Ten hours of silence are a night, thirty are a part of the log that is missing.
func TestGaps(t *testing.T) {
	c := config()
	c.Step = time.Hour
	s := parse(t, fill(t, c, log{lines: connect("2024/03/01 10:30:00", 100) + connect("2024/03/01 20:30:00", 101) +
		connect("2024/03/03 02:30:00", 102) + connect("2024/03/03 03:30:00", 103)}))
	all := s["rsync_connections_total{}"]
	if len(all) != 15 { // 10:00 to 21:00 are 12, and 02:00 to 04:00 are 3
		t.Errorf("%d samples: %v", len(all), all)
	}
	check(t, map[string][]point{"at the gap": all[10:]}, "at the gap", "2024-03-01 20:00:00", 1, "2024-03-01 21:00:00", 2,
		"2024-03-03 02:00:00", 2, "2024-03-03 03:00:00", 3, "2024-03-03 04:00:00", 4)
	// 101's session ends an hour after its connect, in the gap; 102's has not when the log ends, and ends with it.
	sessions := s[`rsync_sessions_total{outcome="unknown"}`]
	check(t, map[string][]point{"ends": sessions[len(sessions)-5:]}, "ends", "2024-03-01 20:00:00", 1, "2024-03-01 21:00:00", 1,
		"2024-03-03 02:00:00", 2, "2024-03-03 03:00:00", 2, "2024-03-03 04:00:00", 4)
}

// A client that asks for nothing is over after an hour, which nobody logs; by then another log goes on.
func TestSessionsEndWhileNothingIsLogged(t *testing.T) {
	first := log{host: "one", lines: connect("2024/03/01 10:00:00", 100) + connect("2024/03/01 13:00:00", 101)}
	for name, all := range map[string][]log{
		"one log":     {first},
		"another log": {{host: "one", lines: connect("2024/03/01 10:00:00", 100)}, {host: "two", lines: connect("2024/03/01 13:00:00", 100)}},
	} {
		t.Run(name, func(t *testing.T) {
			c := config()
			c.Step = 30 * time.Minute
			s := parse(t, fill(t, c, all...))
			check(t, map[string][]point{"": s[`rsync_sessions_total{host="one", outcome="unknown"}`][:4]}, "", "2024-03-01 10:00:00", 0,
				"2024-03-01 10:30:00", 0, "2024-03-01 11:00:00", 1, "2024-03-01 11:30:00", 1)
		})
	}
}

// An exit code counts with its session's end, two seconds after its line, and not at the next line.
func TestWhatCountsWithTheEnd(t *testing.T) {
	s := parse(t, fill(t, config(), log{lines: strings.Replace(strings.TrimSuffix(pull, connect("2024/03/01 10:04:00", 101)), "sent 600 bytes  received 40 bytes  total size 500",
		"rsync error: error in rsync protocol data stream (code 12) at io.c(231) [sender=3.2.7]", 1) +
		connect("2024/03/01 11:00:00", 102)}))
	check(t, map[string][]point{"": s[`rsync_errors_total{module="data", status_code="12"}`][:4]}, "",
		"2024-03-01 10:01:00", 0, "2024-03-01 10:02:00", 0, "2024-03-01 10:03:00", 0, "2024-03-01 10:04:00", 1)
}

// In a relay's log, a host's backup is over a minute after its last line, while others log, and not only when the host
// logs again. one's clock is 40 s behind.
func TestSilentHostsInOneLog(t *testing.T) {
	line := func(at, host string, pid int, text string) string {
		return fmt.Sprintf("2024-03-01T%s+00:00 %s rsyncd[%d]: %s\n", at, host, pid, text)
	}
	s := parse(t, fill(t, config(), log{lines: line("10:00:00", "one", 100, "connect from a (192.0.2.1)") +
		line("10:00:40", "two", 100, "connect from a (192.0.2.1)") +
		line("10:00:10", "one", 100, "rsync to data/x from a (192.0.2.1)") +
		line("10:00:20", "one", 100, "sent 5 bytes  received 6 bytes  total size 7") +
		line("10:01:10", "two", 101, "connect from a (192.0.2.1)") +
		line("10:03:10", "two", 102, "connect from a (192.0.2.1)") +
		line("15:00:00", "one", 101, "connect from a (192.0.2.1)")}))
	got := s[`rsync_received_bytes_total{direction="receive", host="one"}`]
	if len(got) < 5 {
		t.Fatal(s)
	}
	check(t, map[string][]point{"": got[:4]}, "", "2024-03-01 10:01:00", 0, "2024-03-01 10:02:00", 6,
		"2024-03-01 10:03:00", 6, "2024-03-01 10:04:00", 6)
}

// Lines of several logs count in the order of their times.
func TestLogsInTheOrderOfTime(t *testing.T) {
	s := parse(t, fill(t, config(), log{lines: connect("2024/03/01 10:00:30", 100) + connect("2024/03/01 10:02:30", 101)},
		log{lines: connect("2024/03/01 09:59:30", 100) + connect("2024/03/01 10:01:30", 101) + connect("2024/03/01 10:03:30", 102)}))
	check(t, s, `rsync_connections_total{}`, "2024-03-01 09:59:00", 0, "2024-03-01 10:00:00", 1, "2024-03-01 10:01:00", 2,
		"2024-03-01 10:02:00", 3, "2024-03-01 10:03:00", 4, "2024-03-01 10:04:00", 5)
}

// 12:00 in Berlin's summer is 10:00 UTC. A daemon that enters a chroot logs in UTC from there on: 10:00:05, which is
// five seconds later, and not two hours before.
func TestZoneAndChroot(t *testing.T) {
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	const jumps = `2024/05/01 12:00:00 [100] connect from a (192.0.2.1)
2024/05/01 12:00:00 [100] rsync allowed access on module data from a (192.0.2.1)
2024/05/01 10:00:05 [100] rsync on data/x from a (192.0.2.1)
2024/05/01 10:02:10 [100] sent 600 bytes  received 40 bytes  total size 500
2024/05/01 12:03:00 [101] connect from a (192.0.2.1)
`
	s := parse(t, fill(t, config(), log{lines: jumps, zone: berlin}))
	check(t, s, `rsync_connections_total{}`, "2024-05-01 09:59:00", 0, "2024-05-01 10:00:00", 1, "2024-05-01 10:01:00", 1,
		"2024-05-01 10:02:00", 1, "2024-05-01 10:03:00", 2)
	check(t, s, `rsync_executions_total{direction="send", module="data"}`, "2024-05-01 10:00:00", 0, "2024-05-01 10:01:00", 1,
		"2024-05-01 10:02:00", 1, "2024-05-01 10:03:00", 1)
	check(t, s, `rsync_session_duration_seconds_sum{direction="send", module="data"}`, "2024-05-01 10:01:00", 0,
		"2024-05-01 10:02:00", 0, "2024-05-01 10:03:00", 130)
}

// An old daemon names the module in the first transfer line only. Until then the session runs without one. The reader,
// which is a line ahead, knows better already.
func TestRunningSessionsAreNotALineAhead(t *testing.T) {
	s := parse(t, fill(t, config(), log{modules: []string{"data"}, lines: `2024/03/01 10:00:30 [100] connect from a (192.0.2.1)
2024/03/01 10:00:30 [100] rsync on data/x from a (192.0.2.1)
2024/03/01 10:02:30 [100] send a [192.0.2.1] data () x/1 500
2024/03/01 10:03:30 [100] sent 600 bytes  received 40 bytes  total size 500
2024/03/01 10:03:40 [101] connect from a (192.0.2.1)
`}))
	check(t, s, `rsync_sessions_active{direction="send"}`, "2024-03-01 10:01:00", 1, "2024-03-01 10:02:00", 1,
		"2024-03-01 10:03:00", 0, "2024-03-01 10:04:00", 0)
	check(t, s, `rsync_sessions_active{direction="send", module="data"}`, "2024-03-01 10:03:00", 1, "2024-03-01 10:04:00", 0)
	for name := range s {
		if strings.Contains(name, `host="_other"`) || strings.Contains(name, `module="_other"`) {
			t.Error(name)
		}
	}
}

func TestUntil(t *testing.T) {
	c := config()
	c.Until = time.Date(2024, 3, 1, 10, 2, 30, 0, time.UTC)
	s := parse(t, fill(t, c, log{lines: connect("2024/03/01 10:00:30", 100) + connect("2024/03/01 10:02:30", 101) +
		connect("2024/03/01 10:02:31", 102)}))
	check(t, s, `rsync_connections_total{}`, "2024-03-01 10:00:00", 0, "2024-03-01 10:01:00", 1, "2024-03-01 10:02:00", 1,
		"2024-03-01 10:02:30", 2)
}

// The exporter that was started at that time begins at 0. A sample behind it would make increase() see all of history once more.
func TestNoSampleIsLaterThanUntilOrNow(t *testing.T) {
	for at, want := range map[time.Time][]any{
		time.Date(2024, 3, 1, 10, 1, 0, 0, time.UTC):                    {"2024-03-01 10:00:00", 0, "2024-03-01 10:01:00", 1},
		time.Date(2024, 3, 1, 10, 1, 30, 0, time.UTC):                   {"2024-03-01 10:00:00", 0, "2024-03-01 10:01:00", 1, "2024-03-01 10:01:30", 2},
		time.Date(2024, 3, 1, 10, 1, 59, 250900000, time.UTC):           {"2024-03-01 10:00:00", 0, "2024-03-01 10:01:00", 1, "2024-03-01 10:01:59", 2},
		time.Date(2024, 3, 1, 10, 3, 0, 0, time.UTC):                    {"2024-03-01 10:00:00", 0, "2024-03-01 10:01:00", 1, "2024-03-01 10:02:00", 2},
		time.Date(2024, 3, 1, 10, 0, 30, 0, time.UTC):                   {"2024-03-01 10:00:00", 0, "2024-03-01 10:00:30", 1},
		time.Date(2024, 3, 1, 10, 0, 29, 0, time.UTC).AddDate(-1, 0, 0): nil,
	} {
		c, now := config(), config()
		c.Until, now.Now = at, at
		l := log{lines: connect("2024/03/01 10:00:30", 100) + connect("2024/03/01 10:01:15", 101)}
		check(t, parse(t, fill(t, c, l)), `rsync_connections_total{}`, want...)
		if want != nil && at.After(time.Date(2024, 3, 1, 10, 1, 15, 0, time.UTC)) {
			check(t, parse(t, fill(t, now, l)), `rsync_connections_total{}`, want...)
		}
	}
}

// A machine's clock is ahead for a few lines, until the network tells it the time. They count with the line behind them, and the time
// of what follows is right.
func TestClockAheadForAMoment(t *testing.T) {
	for name, ahead := range map[string]string{
		"one line":      connect("2024/03/01 18:00:00", 200),
		"three":         connect("2024/03/01 12:00:00", 200) + connect("2024/03/02 18:00:00", 201) + connect("2024/03/02 17:50:00", 202),
		"by years":      connect("2026/03/01 12:00:00", 200) + connect("2026/03/01 12:00:00", 201),
		"with sessions": strings.ReplaceAll(pull, "2024/03/01 10:", "2024/03/08 12:"),
	} {
		t.Run(name, func(t *testing.T) {
			n := strings.Count(ahead, "connect from")
			s := parse(t, fill(t, config(), log{lines: connect("2024/03/01 10:00:30", 100) + ahead + connect("2024/03/01 10:01:30", 101) +
				connect("2024/03/01 10:02:30", 102)}))
			check(t, s, `rsync_connections_total{}`, "2024-03-01 10:00:00", 0, "2024-03-01 10:01:00", 1, "2024-03-01 10:02:00", 2+n,
				"2024-03-01 10:03:00", 3+n)
			s = parse(t, fill(t, config(), log{lines: ahead + connect("2024/03/01 10:01:30", 101) + connect("2024/03/01 10:02:30", 102)}))
			check(t, s, `rsync_connections_total{}`, "2024-03-01 10:01:00", 0, "2024-03-01 10:02:00", 1+n, "2024-03-01 10:03:00", 2+n)
		})
	}
}

// After a silence the time goes on at once, though lines come a little out of order, or one has a stamp from before the silence.
func TestTimeGoesOnAfterASilence(t *testing.T) {
	s := parse(t, fill(t, config(), log{lines: connect("2024/03/01 10:00:30", 100) + connect("2024/03/01 10:30:30", 101) +
		connect("2024/03/01 10:30:29", 102) + connect("2020/03/01 10:00:00", 103) + connect("2024/03/01 10:31:30", 104)}))
	got := s[`rsync_connections_total{}`]
	if len(got) != 33 {
		t.Fatal(got)
	}
	check(t, map[string][]point{"": got[29:]}, "", "2024-03-01 10:29:00", 1, "2024-03-01 10:30:00", 1, "2024-03-01 10:31:00", 4,
		"2024-03-01 10:32:00", 5)
}

// A clock that is ahead for very long is believed, and what comes when it is right again counts all the same.
func TestClockAheadForLong(t *testing.T) {
	lines := connect("2024/03/01 10:00:30", 100)
	for i := range 100 {
		lines += connect("2024/03/01 12:00:30", 200+i)
	}
	s := parse(t, fill(t, config(), log{lines: lines + connect("2024/03/01 10:01:30", 400) + connect("2024/03/01 12:01:30", 401)}))
	got := s[`rsync_connections_total{}`]
	check(t, map[string][]point{"": got[len(got)-3:]}, "", "2024-03-01 12:00:00", 1, "2024-03-01 12:01:00", 102, "2024-03-01 12:02:00", 103)
}

// A line whose time is before others' counts when they do. The last success stays where it was.
func TestTimeNeverFalls(t *testing.T) {
	const who = " from a (192.0.2.1)\n"
	s := parse(t, fill(t, config(), log{lines: "2024/03/01 10:00:30 [1] connect" + who +
		"2024/03/01 10:00:30 [1] rsync allowed access on module data" + who + "2024/03/01 10:00:30 [1] rsync on data/x" + who +
		"2024/03/01 10:00:31 [2] connect" + who + "2024/03/01 10:00:31 [2] rsync allowed access on module data" + who +
		"2024/03/01 10:00:31 [2] rsync on data/x" + who +
		"2024/03/01 10:05:00 [1] sent 1 bytes  received 1 bytes  total size 1\n" + connect("2024/03/01 10:05:30", 3) +
		"2024/03/01 10:03:00 [2] sent 1 bytes  received 1 bytes  total size 1\n" + connect("2024/03/01 10:03:30", 4)}))
	got := s[`rsync_last_success_timestamp_seconds{direction="send", module="data"}`]
	if len(got) == 0 || got[len(got)-1].value != float64(time.Date(2024, 3, 1, 10, 5, 0, 0, time.UTC).Unix()) {
		t.Error(got)
	}
}

// To Prometheus an empty label is none, and the live series has none.
func TestNoLabelIsEmpty(t *testing.T) {
	if text := fill(t, config(), log{lines: pull}); strings.Contains(text, `=""`) || !strings.Contains(text, "\nrsync_connections_total 0 ") {
		t.Error(text)
	}
}

// Of a hundred logs that follow one another only few are open at one time, in whatever order they are named.
func TestFewLogsAreOpen(t *testing.T) {
	var all []backfill.Lines
	open, most := 0, 0
	from := time.Date(2024, 3, 1, 10, 0, 30, 0, time.UTC)
	for i := range 100 {
		day := from.AddDate(0, 0, i*77%100) // each once
		lines := connect(day.Format("2006/01/02 15:04:05"), 100)
		for range 200 { // more than are looked at
			lines += day.Format("2006/01/02 15:04:05") + " [100] building file list\n"
		}
		all = append(all, &counted{lines: newLines(t, &log{lines: lines}), first: day, open: &open, most: &most})
	}
	c := config()
	c.Step = time.Hour
	var out bytes.Buffer
	if _, err := backfill.Run(context.Background(), c, all, &out); err != nil {
		t.Fatal(err)
	}
	got := parse(t, out.String())[`rsync_connections_total{}`]
	if last := got[len(got)-1]; last.value != 100 || len(got) < 99*24 || most > 5 {
		t.Errorf("%d samples, the last is %v; %d logs were open", len(got), last, most)
	}
}

// A counted log knows when it begins, and counts how many others are open.
type counted struct {
	*lines
	first      time.Time
	begun      bool
	open, most *int
}

func (c *counted) First() time.Time { return c.first }

func (c *counted) Next() (*pipeline.Line, logs.Place, bool) {
	if !c.begun {
		c.begun = true
		*c.open++
		*c.most = max(*c.most, *c.open)
	}
	l, at, more := c.lines.Next()
	if !more {
		*c.open--
	}
	return l, at, more
}

// Whatever a client calls itself, its user's name is one label value.
func TestHostileNames(t *testing.T) {
	const lines = `2024/03/01 10:00:30 [100] connect from a (192.0.2.1)
2024/03/01 10:00:30 [100] rsync allowed access on module data from a (192.0.2.1)
2024/03/01 10:00:31 [100] rsync to data/x from %s@a (192.0.2.1)
2024/03/01 10:00:32 [100] sent 5 bytes  received 6 bytes  total size 7
2024/03/01 10:01:40 [101] connect from a (192.0.2.1)
`
	const want = `rsync_last_session_listed_bytes{direction="receive", job="a \"\\\n", module="data", user="x\"}1\\"}`
	c := config()
	c.Labels = []backfill.Label{{Name: "job", Value: "a \"\\\n"}}
	s := parse(t, fill(t, c, log{lines: fmt.Sprintf(lines, `x"}1\`)}))
	check(t, s, want, "2024-03-01 10:01:00", 7, "2024-03-01 10:02:00", 7)
}

// What is cut off has no end, so that promtool refuses it.
func TestIncompleteOutput(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	var out bytes.Buffer
	_, err := backfill.Run(ctx, config(), open(t, log{lines: pull}), &out)
	if !errors.Is(err, context.Canceled) || strings.Contains(out.String(), "# EOF") {
		t.Errorf("%v, %q", err, out.String())
	}
	full := errors.New("no space")
	r, w := io.Pipe()
	r.CloseWithError(full)
	if _, err := backfill.Run(context.Background(), config(), open(t, log{lines: pull}), w); !errors.Is(err, full) {
		t.Error(err)
	}
}

func TestNothingToTell(t *testing.T) {
	for name, lines := range map[string]string{"empty": "", "other programs": "2024/03/01 10:00:30 hello\n"} {
		if got := fill(t, config(), log{lines: lines}); got != "# EOF\n" {
			t.Errorf("%s: %q", name, got)
		}
	}
}
