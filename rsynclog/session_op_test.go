package rsynclog_test

import (
	"fmt"
	"strings"
	"testing"

	"rsyncd_exporter/rsynclog"
)

// movedBy returns what a session with a log format moves: "operation" for each transfer, "-" for
// one that isn't believed.
func movedBy(t *testing.T, format, start string, texts ...string) string {
	t.Helper()
	b := newTable(t, rsynclog.DefaultLimits())
	b.say("7 connect from localhost (127.0.0.1)\n7 rsync allowed access on module data from localhost (127.0.0.1)")
	if start != "" {
		b.say("7 rsync " + start + " data/ from localhost (127.0.0.1)")
	}
	p := mustParser(t, format)
	var got []string
	for _, text := range texts {
		ev := rsynclog.Event{Severity: -1}
		p.Parse([]byte(text), &ev)
		changes, believed := applyAt(b.sessions, b.host, 7, b.now, &ev)
		if !believed {
			got = append(got, "-")
		}
		for _, c := range changes {
			if c.Kind == rsynclog.FileMoved {
				got = append(got, fmt.Sprintf("%d%s", c.Op, c.Op))
			}
		}
	}
	return strings.Join(got, " ")
}

// The session's direction says what a line was that may have been several operations, and what it
// can't have been. A deletion is never counted as a receive.
func TestTheDirectionNarrowsAnOperation(t *testing.T) {
	const between, either, item = "a send b recv c", "a recv b del. c", "a cd+++++++++ a <f+++++++++ b"
	for _, c := range []struct{ format, start, text, want string }{
		{"%f %o %n", "on", "a send a", "1send"},
		{"%f %o %n", "on", "a recv a", "-"},
		{"%f %o %n", "on", between, "1send"},
		{"%f %o %n", "to", between, "2recv"},
		{"%f %o %n", "to", either, "4unknown"},
		{"%f %o %n", "on", either, "-"},
		{"%f %o %n", "", either, "4unknown"},
		{"%f %o %n", "", between, "4unknown"},
		{"%f %o %n", "to", "a del. a", "3del."},
		{"%f %i %n", "on", item, "4unknown"},
		{"%f %i %n", "to", item, "0"},
		{"%h [%a] %f %o %l", "to", "localhost [127.0.0.1] " + strings.Repeat("x", 2100), "4unknown"},
		{"%h [%a] %f %o %l", "on", "localhost [127.0.0.1] " + strings.Repeat("x", 2100), "1send"},
		{"%f %l", "to", "a 7", "2recv"},
		{"%f %l", "to", "deleting a", "3del."},
		{"%f %l", "", "a 7", "4unknown"},
	} {
		if got := movedBy(t, c.format, c.start, c.text); got != c.want {
			t.Errorf("%q in a session %q, %.60q: %s, want %s", c.format, c.start, c.text, got, c.want)
		}
	}
	// A file that was received or deleted tells an upload's direction.
	if got := movedBy(t, "%f %o %n", "", either, "a send a"); got != "4unknown -" {
		t.Error(got)
	}
}

// A line without a pid belongs to no session: what its format doesn't say is unknown.
func TestAnOperationWithoutASession(t *testing.T) {
	for _, c := range []struct {
		format, text string
		want         rsynclog.Op
	}{{"%f %o %n", "a recv b del. c", rsynclog.OpUnknown}, {"%f %l", "a 7", rsynclog.OpUnknown}, {"%f %o %l", "a del. 0", rsynclog.OpDel}} {
		s := newSessions(rsynclog.DefaultLimits())
		ev := parseWith(t, c.format, c.text)
		changes, believed := applyAt(s, originOf(s, 0, "vm"), 0, 1, &ev)
		if !believed || len(changes) != 1 || changes[0].Kind != rsynclog.FileMoved || changes[0].Op != c.want {
			t.Errorf("%q, %q: %v %+v", c.format, c.text, believed, changes)
		}
	}
}
