package rsynclog

// A process is known by where it runs, its pid, and the life of that pid: the same number is
// another process' later. A client can have its own process log whatever it likes, for as long as
// that lives; so a life begins only on evidence that no client can make.

// A Process is whose line it is.
type Process struct {
	PID     int32  // 0: not known
	Started uint64 // when it began, by the kernel's word, in any unit that doesn't change; 0: not known
}

const (
	// lapDrop is how far below the highest pid of its lap one is that shows that pids have wrapped:
	// forks log out of order by dozens.
	lapDrop = 1024
	// lapConnects is how many connects there are to a lap, at least. Where laps are shorter, pids
	// are handed out at random.
	lapConnects = 100
	// reserved is the least pid after the first lap (kernel/pid.c: RESERVED_PIDS).
	reserved = 300
	// orphanTTL is how long a session from before a daemon's start may be silent: its process may
	// be gone.
	orphanTTL = 15 * 60 * int64(1e9)
)

// A life is what is known of an origin's pids at one time.
type life struct {
	Number   uint32 // rises when every pid may be another process from now on
	Era      uint32 // rises when pids come again
	Top      int32  // the highest pid of this lap, of a listener or a connect
	Floor    int32  // pids up to it come again only when they have wrapped, though the life is another; 0: none
	Connects uint64
	Laps     uint64 // times that pids came from far below
	// when the youngest process began that connected since we listen, by the kernel's word; 0: none
	// known
	newest uint64
}

// started notes a listener's start. Its children's pids are above its own. So where that is the
// highest of this lap, none of those that were in use comes again before pids wrap: whoever has one
// may still be the same.
func (l *life) started(pid int32) {
	l.Number++
	// another daemon's children, forked after it, may have logged before
	if pid > l.Top || pid >= reserved && pid > l.Top-pidsNear {
		l.Top = max(l.Top, pid)
		l.Floor = l.Top
		return
	}
	l.Era++
	l.Floor = 0
	l.Top = pid
}

// connected notes the pid of a connect that is believed. forgeable says that a client may have
// written it for all that is remembered: then its pid proves nothing.
func (l *life) connected(pid int32, forgeable bool) {
	l.Connects++
	if forgeable {
		return
	}
	if int64(pid) < int64(l.Top)-lapDrop {
		l.Laps++
		if l.Laps*lapConnects <= l.Connects {
			l.Number++
			l.Era++
			l.Floor = 0
		}
		l.Top = pid
	}
	l.Top = max(l.Top, pid)
}

// A verdict says what a line may be that begins a session under some pid.
type verdict uint8

const (
	refused  verdict = iota // a client's text: its process still has the pid, for all we know
	doubtful                // a session, which proves nobody's backup: that the process has ended is a guess
	believed
)

// admits judges a line that would begin a session of a process, or that is a listener's. s is the
// latest session of the pid, nil if none is remembered.
func (t *Sessions) admits(o *Origin, s *Session, p Process, at int64) verdict {
	switch {
	case s == nil && !t.talkers.has(o, p.PID):
		return believed
	case s == nil:
		if p.Started != 0 && o.Life.newest != 0 {
			if p.Started > o.Life.newest {
				return believed
			}
			return refused // it is no younger than others that have connected long ago
		}
		if at < o.Forgotten && p.PID > o.Life.Floor {
			return refused
		}
		return doubtful // an hour after its end a session is forgotten, but not that its client could write
	case !s.mayTalk():
		return believed
	case s.isOther(p):
		return believed
	case s.ProcessStarted != 0 && p.Started != 0:
		return refused // the very same
	case s.Heard != o.Life.Number:
		if p.PID <= o.Life.Floor {
			return doubtful // it may have been silent since the daemon started
		}
		return believed
	case !s.over():
		return refused
	// it went on in this life and ended, so that its pid may have come round since
	case s.Born != o.Life.Number && p.PID > o.Life.Floor:
		return doubtful
	case at-s.End >= int64(endedTTL):
		return doubtful
	}
	return refused
}

// isOther says whether a session's pid is another process' now, by the kernel's word.
func (s *Session) isOther(p Process) bool {
	return s.ProcessStarted != 0 && p.Started != 0 && s.ProcessStarted != p.Started
}

// hear notes that a session's process lives.
func (t *Sessions) hear(s *Session, p Process, at int64) {
	switch {
	case s.Orphaned != 0:
		s.Orphaned = 0
		t.move(s, s.Phase, s.LastSeen) // it is over later than those that stand beside it
	case s.over() && at > s.End:
		t.move(s, s.Phase, at) // whatever it said, it has not ended an hour ago
	}
	if s.over() {
		s.Born = s.Origin.Life.Number // its process has outlived its end
	}
	if s.ProcessStarted == 0 {
		s.ProcessStarted = p.Started
	}
	if s.Heard != s.Origin.Life.Number {
		s.Heard = s.Origin.Life.Number
		if s.Talks {
			t.talkers.add(s.Origin, s.PID)
		}
	}
}

// mayTalk says whether a session's client can have lines logged. Before rsync 3.2 no line says when
// a client is let in; a daemon that has let somebody in without such a line is one of these.
func (s *Session) mayTalk() bool {
	return s.Talks || s.Phase == fresh && s.Origin.Serves && !s.Origin.Names
}

// mayForge says whether a line of a process may be a client's text. s is the latest session of the
// pid, nil if none is remembered.
func (t *Sessions) mayForge(o *Origin, s *Session, p Process) bool {
	if s != nil {
		return s.mayTalk()
	}
	return t.talkers.has(o, p.PID)
}

// letTalk notes that a session's client can have lines logged from now on.
func (t *Sessions) letTalk(s *Session) {
	if !s.Talks {
		s.Talks = true
		t.talkers.add(s.Origin, s.PID)
	}
}

// orphan marks the sessions of an origin whose daemon has started anew. Who has been heard since
// its last start stands at the young ends of the lists, unless a line of another process has moved
// one of the others there.
func (t *Sessions) orphan(o *Origin, at int64) {
	for p := fresh; p <= failing; p++ {
		for s := o.lists[p].last; s != nil && (s.Orphaned == 0 || o.stirred); s = s.prev {
			if s.Orphaned == 0 {
				s.Orphaned = at
				o.wake(at + orphanTTL)
			}
		}
	}
	o.stirred = false
}
