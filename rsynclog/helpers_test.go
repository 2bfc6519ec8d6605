package rsynclog

import (
	"slices"
	"testing"
	"time"
)

// newSessions returns an empty table without configured hosts.
func newSessions(limits Limits, modules ...string) *Sessions {
	return NewSessions(limits, modules, nil)
}

// origin returns the origin of a host that was heard long ago.
func (t *Sessions) origin(scope uint32, host string) *Origin {
	return t.Origin(Where{Scope: scope, Host: []byte(host)}, 0)
}

// apply adds an event that arrives when it was written.
func (t *Sessions) apply(o *Origin, pid int32, at int64, ev *Event) ([]Change, bool) {
	return t.Apply(o, Process{PID: pid}, When{Arrived: at}, ev)
}

// tickAll ends all sessions whose time has come, in portions.
func (t *Sessions) tickAll(now int64) (all []Change) {
	for more := true; more; {
		var changes []Change
		changes, more = t.Tick(now, 16)
		all = append(all, slices.Clone(changes)...)
	}
	return all
}

// restoreAt restores sessions of whose origins nothing is read again.
func restoreAt(limits Limits, modules []string, st *TableRecord, now int64, down time.Duration) (*Sessions, error) {
	return RestoreSessions(limits, modules, nil, st,
		Restart{Now: now, Down: down, Replayed: func(uint32) bool { return false }})
}

// parsed returns what a line says.
func parsed(t *testing.T, text string) Event {
	t.Helper()
	ev := Event{Severity: -1}
	mustParser(t, DefaultLogFormat).Parse([]byte(text), &ev)
	return ev
}
