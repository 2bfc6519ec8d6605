package rsynclog_test

import (
	"slices"
	"testing"
	"time"

	"rsyncd_exporter/rsynclog"
)

// newSessions returns an empty table without configured hosts.
func newSessions(limits rsynclog.Limits, modules ...string) *rsynclog.Sessions {
	return rsynclog.NewSessions(limits, modules, nil)
}

// originOf returns the origin of a host that was heard long ago.
func originOf(t *rsynclog.Sessions, scope uint32, host string) *rsynclog.Origin {
	return t.Origin(rsynclog.Where{Scope: scope, Host: []byte(host)}, 0)
}

// applyAt adds an event that arrives when it was written.
func applyAt(t *rsynclog.Sessions, o *rsynclog.Origin, pid int32, at int64, ev *rsynclog.Event) ([]rsynclog.Change, bool) {
	return t.Apply(o, rsynclog.Process{PID: pid}, rsynclog.When{Arrived: at}, ev)
}

// tickAll ends all sessions whose time has come, in portions.
func tickAll(t *rsynclog.Sessions, now int64) (all []rsynclog.Change) {
	for more := true; more; {
		var changes []rsynclog.Change
		changes, more = t.Tick(now, 16)
		all = append(all, slices.Clone(changes)...)
	}
	return all
}

// restoreAt restores sessions of whose origins nothing is read again.
func restoreAt(limits rsynclog.Limits, modules []string, st *rsynclog.TableRecord, now int64, down time.Duration) (*rsynclog.Sessions, error) {
	return rsynclog.RestoreSessions(limits, modules, nil, st,
		rsynclog.Restart{Now: now, Down: down, Replayed: func(uint32) bool { return false }})
}

// parsed returns what a line says.
func parsed(t *testing.T, text string) rsynclog.Event {
	t.Helper()
	ev := rsynclog.Event{Severity: -1}
	mustParser(t, rsynclog.DefaultLogFormat).Parse([]byte(text), &ev)
	return ev
}
