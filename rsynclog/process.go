package rsynclog

import "bytes"

// Which process has written a line, and whose session is it? A process is known by its origin, its
// pid and the life of that pid, since pids come again. A client can make its own process log
// anything while that lives. So only evidence that no client can make begins a new life.

// A Process is the one that a line names.
type Process struct {
	PID     int32  // 0: not known
	Started uint64 // when it began, by the kernel, in any fixed unit; 0: not known
}

const (
	// lapDrop is how far below the highest pid of a lap one must be to show that pids have wrapped:
	// forks log out of order by dozens.
	lapDrop = 1024
	// lapConnects is the least number of connects in a lap. Shorter laps mean random pids.
	lapConnects = 100
	// reserved is the least pid after the first lap (kernel/pid.c: RESERVED_PIDS).
	reserved = 300
	// pidsNear is how far a child's pid can be from its parent's.
	pidsNear = 64
)

// A life is what is known of an origin's pids.
type life struct {
	Number   uint32 // rises when each pid may belong to another process from now on
	Era      uint32 // rises when pids come again
	Top      int32  // the highest pid of this lap, of a listener or a connect
	Floor    int32  // pids up to it come again only after a wrap, whatever Number is; 0: none
	Connects uint64
	Laps     uint64 // times that a pid came from far below
	newest   uint64 // the latest Process.Started of a connect since the exporter's start; 0: none
}

// started notes a listener's start. Its children have higher pids. If its pid is the highest of
// this lap, the pids before it aren't reused until pids wrap, and their processes may live on.
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

// connected notes the pid of a connect that is believed. The pid proves nothing if the connect is
// forgeable: a client may have written it.
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

// A verdict says what a line may be that begins a session.
type verdict uint8

const (
	refused  verdict = iota // a client's text: its process may still have the pid
	doubtful                // a session that proves nobody's backup: the pid's last process has probably ended
	believed
)

// admits judges a line that would begin a session of a process, or that is a listener's. s is the
// latest session of the pid; nil if none is remembered.
func (t *Sessions) admits(o *Origin, s *Session, p Process, at int64) verdict {
	switch {
	case s == nil && !t.talkers.has(o, p.PID):
		return believed
	case s == nil:
		if p.Started != 0 && o.Life.newest != 0 {
			if p.Started > o.Life.newest {
				return believed
			}
			return refused // it is no younger than a process that has connected before
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
	// It ended in this life but began in an earlier one, so its pid may have been reused since.
	case s.Born != o.Life.Number && p.PID > o.Life.Floor:
		return doubtful
	case at-s.End >= int64(endedTTL):
		return doubtful
	}
	return refused
}

// isOther says whether the kernel shows that a session's pid belongs to another process now.
func (s *Session) isOther(p Process) bool {
	return s.ProcessStarted != 0 && p.Started != 0 && s.ProcessStarted != p.Started
}

// hear notes that a session's process lives.
func (t *Sessions) hear(s *Session, p Process, at int64) {
	switch {
	case s.Orphaned != 0:
		s.Orphaned = 0
		t.move(s, s.Phase, s.LastSeen) // it is due later than its neighbours now
	case s.over() && at > s.End:
		t.move(s, s.Phase, at) // any line postpones the end of its process
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
// a client is let in. A daemon that has let somebody in without such a line is one of these.
func (s *Session) mayTalk() bool {
	return s.Talks || s.Phase == fresh && s.Origin.Serves && !s.Origin.Names
}

// letTalk notes that a session's client can have lines logged from now on.
func (t *Sessions) letTalk(s *Session) {
	if !s.Talks {
		s.Talks = true
		t.talkers.add(s.Origin, s.PID)
	}
}

// orphan marks the sessions of an origin whose daemon has started anew. Sessions that were heard
// since its last start stand at the young ends of the lists, unless the origin is stirred.
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

// mayHaveLeft says whether the process of a session that has not started may be gone and its pid
// reused. From 3.2 on that is one that was not let into a module, and whose client can't have
// written a start.
func (s *Session) mayHaveLeft() bool { return s.Phase == fresh && s.Origin.Names && !s.Doubted }

// speaker returns the session whose stamps a line continues: s, that of the pid, or one that goes
// on under a new pid. It returns nil if the line begins a process's log. daemons is false for a
// start that will be refused: nobody knows whose clock made its stamp.
func (t *Sessions) speaker(o *Origin, s *Session, p Process, arrived int64, ev *Event) (from *Session, daemons bool) {
	switch {
	case ev.Kind == Connect:
		return nil, true
	case ev.Kind == DaemonStart:
		return nil, t.admits(o, s, p, arrived) == believed
	case ev.Kind == Start && (s == nil || s.over() || s.mayHaveLeft()):
		v := t.admits(o, s, p, arrived)
		if v == believed { // a doubtful client must not take over another one's session
			from = t.waiting(o, p.PID, ev)
		}
		if from == nil && s != nil && !s.over() {
			from = s
		}
		return from, v != refused
	case s == nil:
		return t.parentOf(o, p.PID, ev), true
	}
	return s, true
}

// adopt finds the session that goes on under a new pid because its module has a post-xfer exec:
// "connect from" and "rsync allowed access" carry the pid of the process that then only waits
// (clientserver.c: rsync_module).
func (t *Sessions) adopt(o *Origin, p Process, ev *Event) *Session {
	s := t.waiting(o, p.PID, ev)
	if s != nil {
		delete(t.table, keyOf(o, s.PID))
		t.talkers.remove(o, s.PID)
		s.Talks = false // start sets it for the new process
		s.PID, s.ProcessStarted = p.PID, p.Started
		t.table[keyOf(o, p.PID)] = s
	}
	return s
}

// waiting returns the youngest session of another pid that was let into the module of a request,
// from the same address. It prefers sessions that no client can have begun. rsync always writes a
// host name before the address. Where that is missing, a relay has cut the line, and the address
// may be the client's text.
func (t *Sessions) waiting(o *Origin, pid int32, ev *Event) *Session {
	if len(ev.Host) == 0 {
		return nil
	}
	const lookBack = 256 // younger sessions that may stand between
	var second *Session
	for _, p := range [...]phase{admitted, fresh} { // fresh: of daemons before 3.2
		s := o.lists[p].last
		for i := 0; s != nil && i < lookBack; i, s = i+1, s.prev {
			switch {
			case !s.granted() || s.Known && !beginsWith(ev.Request, s.Module):
			case s.PID == pid || s.Addr != string(ev.Addr):
			case !s.Doubted:
				return s
			case second == nil:
				second = s
			}
		}
	}
	return second
}

// beginsWith says whether a request is for a module or a path in it.
func beginsWith(request []byte, module string) bool {
	rest, ok := bytes.CutPrefix(request, []byte(module))
	return ok && (len(rest) == 0 || rest[0] == '/' || rest[0] == ' ')
}

// parentOf finds the session whose process forked the one of the pid. It looks only at kinds of
// lines that such a child logs first. One is a receiver's error after its generator, which logs for
// it, is gone (io.c: send_msg). The others come from the new process of a session with a post-xfer
// exec: its set-up failed, or it ended before anything was asked for.
func (t *Sessions) parentOf(o *Origin, pid int32, ev *Event) *Session {
	isParent := func(s *Session) bool { return s.Phase < running && s.granted() }
	role, left := string(ev.Role), ev.Code == 10 || ev.Code == 12 // errcode.h: RERR_SOCKETIO, RERR_STREAMIO
	switch {
	case ev.Kind == SetupFailed, ev.Kind == ExecFailed:
	case hasPrefix(ev.Version, "2."): // 2.6.9 calls every daemon a receiver until it is asked for something
		return nil
	case ev.Kind == ExitError && role == "Receiver" && left: // the client did not ask for anything
	case (ev.Kind == ExitError || ev.Kind == IOError) && role == "receiver":
		// The generator's session may be over already, for an error that the generator logged.
		isParent = func(s *Session) bool {
			return s.Direction == Receive && (s.goingOn() || s.Phase >= settling && !s.HasSummary)
		}
	default:
		return nil
	}
	if t.talkers.has(o, pid) {
		return nil // a client's text, whose session is forgotten
	}
	for p := pid - 1; p > 0 && p >= pid-pidsNear; p-- {
		if s := t.session(o, p); s != nil && isParent(s) {
			return s
		}
	}
	return nil
}

// granted says whether the session was let into its module. Before 3.2 no line says so.
func (s *Session) granted() bool { return s.Known || !s.Origin.Names && s.ConnectSeen }
