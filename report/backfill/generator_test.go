package backfill_test

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"
)

// A truth is what a generated log says, told by who made it: counts by "host module direction outcome day" and so on.
type truth struct {
	connections map[string]float64 // host, day
	sessions    map[string]float64 // host, module, direction, outcome, day
	sent        map[string]float64 // host, module, direction, day: bytes
	received    map[string]float64
	longest     map[string]float64 // host, module, direction, bucket's bound: sessions that took at most that, all days
	success     map[string]float64 // host, module, direction, user: when the last one ended
}

func newTruth() *truth {
	return &truth{map[string]float64{}, map[string]float64{}, map[string]float64{}, map[string]float64{},
		map[string]float64{}, map[string]float64{}}
}

// A generator makes the log of one host.
type generator struct {
	*truth
	random *rand.Rand
	host   string
	pid    int
	lines  []generatedLine
}

type generatedLine struct {
	at   time.Time
	pid  int
	text string
}

func (g *generator) say(at time.Time, format string, args ...any) {
	g.lines = append(g.lines, generatedLine{at, g.pid, fmt.Sprintf(format, args...)})
}

// key joins labels, and the day to which a time belongs: a sample at midnight has all until then.
func key(at time.Time, labels ...string) string {
	if !at.IsZero() {
		labels = append(labels, at.Add(-1).Truncate(24*time.Hour).Format(time.DateOnly))
	}
	return strings.Join(labels, " ")
}

// bounds are some of session_duration_seconds's.
var bounds = map[string]float64{"1.0": 1, "60.0": 60, "3600.0": 3600, "+Inf": 1e9}

// session makes one session that connects at a time.
func (g *generator) session(at time.Time) {
	const client = "c.example"
	addr := fmt.Sprintf("192.0.2.%d", 1+g.random.IntN(250))
	g.pid = g.pid%32000 + 300
	g.say(at, "connect from %s (%s)", client, addr)
	g.connections[key(at, g.host)]++
	module, user, direction, word := "pub", "", "send", "on"
	if g.random.IntN(3) == 0 {
		module, user, direction, word = "backup", []string{"alice", "bob"}[g.random.IntN(2)], "receive", "to"
	}
	outcome := []string{"ok", "ok", "ok", "ok", "ok", "partial", "aborted", "rejected", "listing"}[g.random.IntN(9)]
	switch outcome {
	case "rejected":
		g.say(at, "auth failed on module backup from %s (%s): missing secret", client, addr)
		g.sessions[key(at, g.host, "backup", "", outcome)]++
		return
	case "listing":
		g.say(at, "module-list request from %s (%s)", client, addr)
		g.sessions[key(at, g.host, "", "", outcome)]++
		return
	}
	who := client
	if user != "" {
		who = user + "@" + client
	}
	g.say(at, "rsync allowed access on module %s from %s (%s)", module, client, addr)
	g.say(at, "rsync %s %s/x from %s (%s)", word, module, who, addr)
	g.say(at, "%s", map[string]string{"send": "building file list", "receive": "receiving file list"}[direction])
	took := time.Duration(g.random.IntN(int([]time.Duration{time.Second, time.Minute, 90 * time.Minute}[g.random.IntN(3)]/time.Second)+1)) *
		time.Second
	end := at.Add(took)
	length := g.random.IntN(1 << 30)
	g.say(end, "%s %s [%s] %s (%s) x/1 %d", map[string]string{"send": "send", "receive": "recv"}[direction], client, addr,
		module, user, length)
	over := end.Add(2 * time.Second) // then no other line contradicts its last one
	if outcome == "aborted" {
		g.say(end, "rsync error: error in rsync protocol data stream (code 12) at io.c(231) [sender=3.2.7]")
	} else {
		sent, received := length+g.random.IntN(1000), 30+g.random.IntN(1000)
		g.say(end, "sent %d bytes  received %d bytes  total size %d", sent, received, length)
		g.sent[key(over, g.host, module, direction)] += float64(sent)
		g.received[key(over, g.host, module, direction)] += float64(received)
	}
	switch outcome {
	case "partial":
		g.say(end, "rsync error: some files/attrs were not transferred (see previous errors) (code 23) at main.c(1330) [%s=3.2.7]",
			map[string]string{"send": "sender", "receive": "receiver"}[direction])
	case "ok":
		last := key(time.Time{}, g.host, module, direction, user)
		g.success[last] = max(g.success[last], float64(end.Unix()))
	}
	g.sessions[key(over, g.host, module, direction, outcome)]++
	for name, bound := range bounds {
		if took.Seconds() <= bound {
			g.longest[key(time.Time{}, g.host, module, direction, name)]++
		}
	}
}

// generate returns the log of a host, from a time for some days, and a connect after these.
func generate(random *rand.Rand, all *truth, host string, from time.Time, days, perDay int, form func(generatedLine) string) string {
	g := &generator{truth: all, random: random, host: host}
	end := from.AddDate(0, 0, days)
	every := 24 * time.Hour / time.Duration(perDay)
	at := from.Add(5 * time.Hour)
	for at.Before(end.Add(-2 * time.Hour)) { // so that all is over then
		g.session(at.Truncate(time.Second))
		at = at.Add(time.Duration(random.Int64N(int64(2 * every))))
	}
	g.pid = 299
	g.say(end.Add(time.Minute), "rsyncd version 3.2.7 starting, listening on port 873")
	slices.SortStableFunc(g.lines, func(a, b generatedLine) int { return cmp.Compare(a.at.Unix(), b.at.Unix()) })
	var b strings.Builder
	for _, l := range g.lines {
		b.WriteString(form(l))
	}
	return b.String()
}

// The forms of lines: rsyncd's own, rsyslog's old one, which has no year, and its new one.
var forms = []func(generatedLine) string{
	func(l generatedLine) string {
		return fmt.Sprintf("%s [%d] %s\n", l.at.Format("2006/01/02 15:04:05"), l.pid, l.text)
	},
	func(l generatedLine) string {
		return fmt.Sprintf("%s two rsyncd[%d]: %s\n", l.at.Format(time.Stamp), l.pid, l.text)
	},
	func(l generatedLine) string {
		return fmt.Sprintf("%s three rsyncd[%d]: %s\n", l.at.Format("2006-01-02T15:04:05.000000-07:00"), l.pid, l.text)
	},
}
