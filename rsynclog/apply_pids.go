package rsynclog

import "bytes"

// Whose line is it? A pid is that of a session until another process has it, and a session goes on under another pid where its module has a
// post-xfer exec, or where the process that logged for it is gone.

// reopening returns the count that a new session under a session's pid begins with: 0 where no client can have written its first line,
// since it can write into the log only once it was let through, and then in the name of its process.
func reopening(s *Session) uint8 {
	switch {
	case s == nil, s.reopened == 0 && s.Direction == NoDirection, !s.goingOn() && s.comeRound():
		return 0
	}
	return s.reopened + 1
}

// Doubtful says whether a client may have written the lines that began the session, since they came under the pid of one that was let
// through. Pids do come round, so it is a session; but nobody's backup is proven by it.
func (s *Session) Doubtful() bool { return s.reopened > 0 }

// settleOffer decides, at the next line of the pid, whether a "connect from" within an open session was a new client under a
// reused pid, whose session then goes on as a session does, or text that the old client wrote into the log.
func (t *Sessions) settleOffer(s *Session, next *Event) *Session {
	offer := s.offer
	s.offer.at = 0
	switch next.Kind {
	case Allowed, Start, ModuleList, UnknownModule, Denied, AuthFailed, MaxConnections, SetupFailed, SecretsFile:
	case ExitError, Timeout:
		if string(next.Role) != "Receiver" { // the role of a process that has not yet been asked for anything (3.1 and later)
			return s
		}
	default:
		return s
	}
	t.end(s)
	t.drop(s)
	n := t.open(s.Origin, s.PID, offer.at, fresh, s.reopened+1)
	n.Addr, n.ConnectSeen = offer.addr, true
	t.emit(Change{Kind: Connected, Origin: s.Origin, Session: n, N: 1})
	return n
}

// left says whether a session may be that of a process that is gone: one that so many have followed, or, from 3.2 on, one that was not let
// into a module and whose client can't have written a start.
func (s *Session) left() bool {
	if s.phase == fresh {
		return s.Origin.names && !s.known && !s.Doubtful()
	}
	return s.comeRound()
}

// adopt finds the session that goes on under a new pid because its module has a post-xfer exec: "connect from" and "rsync
// allowed access" carry the pid of the process that then only waits (clientserver.c: rsync_module).
func (t *Sessions) adopt(o *Origin, pid int32, ev *Event) *Session {
	s := t.waiting(o, pid, ev)
	if s != nil {
		delete(o.sessions, s.PID)
		s.PID = pid
		o.sessions[pid] = s
	}
	return s
}

// waiting returns the youngest session of another pid that was let into the module that a request is for, from the same address. One that
// a client may have begun comes last.
func (t *Sessions) waiting(o *Origin, pid int32, ev *Event) *Session {
	const lookBack = 256 // younger sessions that may stand between
	var doubtful *Session
	s := t.lists[fresh].last
	for i := 0; s != nil && i < lookBack; i, s = i+1, s.prev {
		switch {
		case s.Origin != o || !s.granted() || s.known && !beginsWith(ev.Request, s.Module) || s.PID == pid || s.Addr != string(ev.Addr):
		case !s.Doubtful():
			return s
		case doubtful == nil:
			doubtful = s
		}
	}
	return doubtful
}

// beginsWith says whether a request is for a module, or a path in it.
func beginsWith(request []byte, module string) bool {
	rest, ok := bytes.CutPrefix(request, []byte(module))
	return ok && (len(rest) == 0 || rest[0] == '/' || rest[0] == ' ')
}

// parentOf finds the session whose process forked the one of the pid, if the line is of a sort that such a process logs first: a
// receiver's error, when the generator, which used to log for it, is gone (io.c: send_msg), or the failed set-up of a session that
// goes on in a new process for its post-xfer exec, or its end before anything was asked for.
func (t *Sessions) parentOf(o *Origin, pid int32, ev *Event) *Session {
	isParent := func(s *Session) bool { return s.phase == fresh && s.granted() }
	role, left := string(ev.Role), ev.Code == 10 || ev.Code == 12 // errcode.h: RERR_SOCKETIO, RERR_STREAMIO
	switch {
	case ev.Kind == SetupFailed, ev.Kind == ExecFailed:
	case hasPrefix(ev.Version, "2."): // 2.6.9 calls every daemon a receiver that has not yet been asked for anything
		return nil
	case ev.Kind == ExitError && role == "Receiver" && left: // the client did not ask for anything
	case (ev.Kind == ExitError || ev.Kind == IOError) && role == "receiver":
		isParent = func(s *Session) bool { return s.goingOn() && s.Direction == Receive }
	default:
		return nil
	}
	for p := pid - 1; p > 0 && p >= pid-pidsNear; p-- {
		if s := o.sessions[p]; s != nil && isParent(s) {
			return s
		}
	}
	return nil
}

// granted says whether the session was let into its module. Before 3.2 there is no line that says so.
func (s *Session) granted() bool { return s.known || !s.Origin.names && s.ConnectSeen }
