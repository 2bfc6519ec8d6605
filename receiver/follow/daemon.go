package follow

import (
	"cmp"
	"path/filepath"
	"slices"
	"time"
)

// A Daemon names the files that one rsync daemon logs to: its own, where sessions begin, and those
// of its modules, where they go on. Its processes have one pid space, so a session is one wherever
// its lines are.
type Daemon struct {
	// Paths are plain paths, that of the daemon itself first. Those of them that are followed are
	// one Source.Scope, and their lines come in the order in which they were written.
	Paths []string
	// Syslog says that the daemon sends a part as syslog, to another input. Then the scope is 0, as
	// there, and Source must say which host it is there (Source.Host) and set Source.Joins.
	Syslog bool
}

// Rank returns where a path, or what it leads to, is among Paths, false if it isn't.
func (d *Daemon) Rank(path string) (rank int, ok bool) {
	path = filepath.Clean(path)
	if rank = slices.IndexFunc(d.Paths, func(p string) bool { return filepath.Clean(p) == path }); rank >= 0 {
		return rank, true
	}
	real, err := filepath.EvalSymlinks(path)
	if err != nil {
		return 0, false
	}
	rank = slices.IndexFunc(d.Paths, func(p string) bool {
		other, err := filepath.EvalSymlinks(p)
		return err == nil && other == real
	})
	return rank, rank >= 0
}

// syslogDelay is how long lines of a file wait for what their daemon sent as syslog before: a relay
// may pass it on.
const syslogDelay = time.Second

// mergeOf returns nil where there is nothing to join.
func mergeOf(opt *SetOptions) *merge {
	d := &opt.Daemon
	if len(d.Paths) == 0 || len(d.Paths) == 1 && !d.Syslog {
		return nil
	}
	m := newMerge(0)
	if d.Syslog {
		m.delay = syslogDelay
	}
	m.patience = cmp.Or(opt.patience, m.patience)
	return m
}

func (s *Set) rank(path string) (rank int, ok bool) {
	if s.merge == nil {
		return 0, false
	}
	return s.opt.Daemon.Rank(path)
}

// resumeScope takes over the scope that the daemon's files had: that of the first of Paths.
func (s *Set) resumeScope(saved []TargetRecord) {
	least := len(s.opt.Daemon.Paths)
	for i := range saved {
		if rank, ok := s.rank(saved[i].Path); ok && rank < least && saved[i].Scope != 0 && !s.opt.Daemon.Syslog {
			least, s.daemonScope = rank, saved[i].Scope
		}
	}
}

// scopeFor returns the scope of a new file: saved, which it had before a restart, unless that is 0
// or the file has been joined with others since, or parted from them.
func (s *Set) scopeFor(path string, saved uint32) uint32 {
	if _, joined := s.rank(path); joined {
		if s.opt.Daemon.Syslog {
			return 0
		}
		s.daemonScope = cmp.Or(s.daemonScope, s.nextScope)
		return s.daemonScope
	}
	taken := s.daemonScope == saved || slices.ContainsFunc(s.targets, func(t *target) bool { return t.scope == saved })
	if saved == 0 || taken {
		return s.nextScope
	}
	return saved
}
