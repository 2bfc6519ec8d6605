package pipeline

import "sync"

// A lock is the one of a Pipeline. What is copied while it is held once is of one moment.
type lock struct {
	sync.Mutex
	freed func() // called each time that it has been let go; only tests set it, before anything runs
}

// Unlock implements sync.Locker.
func (l *lock) Unlock() {
	l.Mutex.Unlock()
	if l.freed != nil {
		l.freed()
	}
}
