package rsynclog

// A process is known by where it runs, its pid, and the life of that pid: the same number is another process' later.
// A client can have its own process log whatever it likes, for as long as that lives; so a life begins only on
// evidence that no client can make.

// A Process is whose line it is.
type Process struct {
	PID     int32  // 0: not known
	Started uint64 // when it began, by the kernel's word, in any unit that doesn't change; 0: not known
}

const (
	// lapDrop is how far below the highest pid of its lap one is that shows that pids have wrapped: forks log out of
	// order by dozens.
	lapDrop = 1024
	// lapConnects is how many connects there are to a lap, at least. Where laps are shorter, pids are handed out at
	// random.
	lapConnects = 100
	// reserved is the least pid after the first lap (kernel/pid.c: RESERVED_PIDS).
	reserved = 300
	// orphanTTL is how long a session from before a daemon's start may be silent: its process may be gone.
	orphanTTL = 15 * 60 * int64(1e9)
)

// A life is what is known of an origin's pids at one time.
type life struct {
	number   uint32 // rises when every pid may be another process from now on
	era      uint32 // rises when pids come again
	top      int32  // the highest pid of this lap, of a listener or a connect
	floor    int32  // pids up to it come again only when they have wrapped, though the life is another; 0: none
	connects uint64
	laps     uint64 // times that pids came from far below
	// when the youngest process began that connected since we listen, by the kernel's word; 0: none known
	newest uint64
}

// started notes a listener's start. Its children's pids are above its own. So where that is the highest of this lap,
// none of those that were in use comes again before pids wrap: whoever has one may still be the same.
func (l *life) started(pid int32) {
	l.number++
	// another daemon's children, forked after it, may have logged before
	if pid > l.top || pid >= reserved && pid > l.top-pidsNear {
		l.top = max(l.top, pid)
		l.floor = l.top
		return
	}
	l.era++
	l.floor = 0
	l.top = pid
}

// connected notes the pid of a connect that is believed. forgeable says that a client may have written it for all
// that is remembered: then its pid proves nothing.
func (l *life) connected(pid int32, forgeable bool) {
	l.connects++
	if forgeable {
		return
	}
	if int64(pid) < int64(l.top)-lapDrop {
		l.laps++
		if l.laps*lapConnects <= l.connects {
			l.number++
			l.era++
			l.floor = 0
		}
		l.top = pid
	}
	l.top = max(l.top, pid)
}

// A verdict says what a line may be that begins a session under some pid.
type verdict uint8

const (
	refused  verdict = iota // a client's text: its process still has the pid, for all we know
	doubtful                // a session, which proves nobody's backup: that the process has ended is a guess
	believed
)

// admits judges a line that would begin a session of a process, or that is a listener's. s is the latest session of
// the pid, nil if none is remembered.
func (t *Sessions) admits(o *Origin, s *Session, p Process, at int64) verdict {
	switch {
	case s == nil && !t.talkers.has(o, p.PID):
		return believed
	case s == nil:
		if p.Started != 0 && o.life.newest != 0 {
			if p.Started > o.life.newest {
				return believed
			}
			return refused // it is no younger than others that have connected long ago
		}
		if at < o.forgotten && p.PID > o.life.floor {
			return refused
		}
		return doubtful // an hour after its end a session is forgotten, but not that its client could write
	case !s.mayTalk():
		return believed
	case s.isOther(p):
		return believed
	case s.started != 0 && p.Started != 0:
		return refused // the very same
	case s.heard != o.life.number:
		if p.PID <= o.life.floor {
			return doubtful // it may have been silent since the daemon started
		}
		return believed
	case !s.over():
		return refused
	// it went on in this life and ended, so that its pid may have come round since
	case s.born != o.life.number && p.PID > o.life.floor:
		return doubtful
	case at-s.ended >= int64(endedTTL):
		return doubtful
	}
	return refused
}

// isOther says whether a session's pid is another process' now, by the kernel's word.
func (s *Session) isOther(p Process) bool {
	return s.started != 0 && p.Started != 0 && s.started != p.Started
}

// hear notes that a session's process lives.
func (t *Sessions) hear(s *Session, p Process, at int64) {
	switch {
	case s.orphaned != 0:
		s.orphaned = 0
		t.move(s, s.phase, s.LastSeen) // it is over later than those that stand beside it
	case s.over() && at > s.ended:
		t.move(s, s.phase, at) // whatever it said, it has not ended an hour ago
	}
	if s.over() {
		s.born = s.Origin.life.number // its process has outlived its end
	}
	if s.started == 0 {
		s.started = p.Started
	}
	if s.heard != s.Origin.life.number {
		s.heard = s.Origin.life.number
		if s.talks {
			t.talkers.add(s.Origin, s.PID)
		}
	}
}

// mayTalk says whether a session's client can have lines logged. Before rsync 3.2 no line says when a client is let in;
// a daemon that has let somebody in without such a line is one of these.
func (s *Session) mayTalk() bool {
	return s.talks || s.phase == fresh && s.Origin.serves && !s.Origin.names
}

// mayForge says whether a line of a process may be a client's text. s is the latest session of the pid, nil if none
// is remembered.
func (t *Sessions) mayForge(o *Origin, s *Session, p Process) bool {
	if s != nil {
		return s.mayTalk()
	}
	return t.talkers.has(o, p.PID)
}

// letTalk notes that a session's client can have lines logged from now on.
func (t *Sessions) letTalk(s *Session) {
	if !s.talks {
		s.talks = true
		t.talkers.add(s.Origin, s.PID)
	}
}

// orphan marks the sessions of an origin whose daemon has started anew. Who has been heard since its last start stands at the
// young ends of the lists, unless a line of another process has moved one of the others there.
func (t *Sessions) orphan(o *Origin, at int64) {
	for p := fresh; p <= failing; p++ {
		for s := o.lists[p].last; s != nil && (s.orphaned == 0 || o.stirred); s = s.prev {
			if s.orphaned == 0 {
				s.orphaned = at
				o.wake(at + orphanTTL)
			}
		}
	}
	o.stirred = false
}
