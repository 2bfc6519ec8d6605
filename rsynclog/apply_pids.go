package rsynclog

import "bytes"

// Whose line is it? A session goes on under another pid where its module has a
// post-xfer exec, or where the process that logged for it is gone.

// mayHaveLeft says of a session that has not started whether its process may be gone and its pid
// another's: from 3.2 on, one that was not let into a module and whose client can't have written a
// start.
func (s *Session) mayHaveLeft() bool { return s.Phase == fresh && s.Origin.Names && !s.Doubted }

// speaker returns the session whose line it is, for its time: s, that of the pid; or the one that
// goes on in another process than the one that began it; or none, if another process has the pid
// now. Stamps may have jumped between any two of these. A start that will be refused, since a
// client may have written it, is not the daemon's: it is not known whose clock its stamp is of.
func (t *Sessions) speaker(o *Origin, s *Session, p Process, arrived int64, ev *Event) (from *Session, daemons bool) {
	switch {
	case ev.Kind == Connect:
		return nil, true
	case ev.Kind == DaemonStart:
		return nil, t.admits(o, s, p, arrived) == believed
	case ev.Kind == Start && (s == nil || s.over() || s.mayHaveLeft()):
		v := t.admits(o, s, p, arrived)
		if v == believed { // else it may be a client, that would take another's session for its own
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
		s.Talks = false // see start: the new process is its client's
		s.PID, s.ProcessStarted = p.PID, p.Started
		t.table[keyOf(o, p.PID)] = s
	}
	return s
}

// waiting returns the youngest session of another pid that was let into the module that a request
// is for, from the same address. One that a client may have begun comes last. An address without a
// name finds none: rsync doesn't write it so, and where a relay has cut the line it is the
// client's.
func (t *Sessions) waiting(o *Origin, pid int32, ev *Event) *Session {
	if len(ev.Host) == 0 {
		return nil
	}
	const lookBack = 256 // younger sessions that may stand between
	var second *Session
	phases := [...]phase{admitted, fresh} // of the latter, those of daemons before 3.2
	for _, p := range phases {
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

// beginsWith says whether a request is for a module, or a path in it.
func beginsWith(request []byte, module string) bool {
	rest, ok := bytes.CutPrefix(request, []byte(module))
	return ok && (len(rest) == 0 || rest[0] == '/' || rest[0] == ' ')
}

// parentOf finds the session whose process forked the one of the pid, if the line is of a sort that
// such a process logs first: a receiver's error, when the generator, which used to log for it, is
// gone (io.c: send_msg), or the failed set-up of a session that goes on in a new process for its
// post-xfer exec, or its end before anything was asked for.
func (t *Sessions) parentOf(o *Origin, pid int32, ev *Event) *Session {
	isParent := func(s *Session) bool { return s.Phase < running && s.granted() }
	role, left := string(ev.Role), ev.Code == 10 || ev.Code == 12 // errcode.h: RERR_SOCKETIO, RERR_STREAMIO
	switch {
	case ev.Kind == SetupFailed, ev.Kind == ExecFailed:
	case hasPrefix(ev.Version, "2."): // 2.6.9 calls every daemon a receiver that has not yet been asked for anything
		return nil
	case ev.Kind == ExitError && role == "Receiver" && left: // the client did not ask for anything
	case (ev.Kind == ExitError || ev.Kind == IOError) && role == "receiver":
		// The next one below it. Its generator may have logged an error before, so that it is over,
		// as it seems.
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

// granted says whether the session was let into its module. Before 3.2 there is no line that says
// so.
func (s *Session) granted() bool { return s.Known || !s.Origin.Names && s.ConnectSeen }
