package rsynclog

// Apply adds one event of a process to the sessions of its origin. The pid is 0 where no line names
// it. The changes are valid until the next call to Apply or Tick.
//
// All times are nanoseconds of one clock that doesn't jump.
//
// believed is false if the session's state rules the line out. Then a client has written it, and
// nothing is counted.
func (t *Sessions) Apply(o *Origin, p Process, w When, ev *Event) (changes []Change, believed bool) {
	t.reset()
	believed = t.handle(o, p, w, ev)
	return t.changes, believed
}

func (t *Sessions) handle(o *Origin, p Process, w When, ev *Event) (believed bool) {
	t.at = w.Arrived
	if !o.tracked {
		if ev.Kind == DaemonStart {
			t.emit(Change{Kind: DaemonStarted, Origin: o, N: 1, Version: Label(ev.Version)})
			return true
		}
		return t.stray(o, 0, ev)
	}
	s := t.session(o, p.PID)
	speaker, daemons := t.speaker(o, s, p, w.Arrived, ev)
	if !daemons {
		w.Stamp = 0
	}
	teaches := ev.Kind == Connect && (s != nil && !s.mayTalk() || s == nil && !t.talkers.has(o, p.PID))
	at := t.recordTime(o, speaker, w, teaches)
	t.at = at
	if at >= o.due {
		t.expire(o, at, maxInline)
		if s != nil && !s.over() && at >= t.due(s) {
			t.end(s, t.due(s))
		}
		s = t.session(o, p.PID)
	}
	switch {
	case p.PID == 0, ev.Kind == LostUpstream:
		return t.stray(o, at, ev)
	case ev.Kind == DaemonStart:
		return t.daemonStart(o, s, p, at, ev)
	case ev.Kind == Connect:
		return t.connect(o, s, p, at, ev)
	case ev.Kind == Start:
		return t.start(o, s, p, at, ev)
	}
	if s != nil && s.isOther(p) {
		t.replace(s, at)
		s = nil // the new process's connect was lost
	}
	if s != nil {
		believed = t.line(s, at, ev)
		t.hear(s, p, at)
		return believed
	}
	if parent := t.parentOf(o, p.PID, ev); parent != nil {
		o.stirred = true
		return t.line(parent, at, ev)
	}
	return t.unseen(o, p, at, ev)
}

// refuse treats a line as a client's text. Such a line still shows that its process lives.
func (t *Sessions) refuse(o *Origin, s *Session, p Process, at int64) bool {
	if s != nil {
		t.hear(s, p, at)
	} else {
		t.talkers.add(o, p.PID)
	}
	return false
}

// times returns how many equal lines an event stands for. It matters for lines that a process may
// repeat, those about files. Whatever happens once in a session counts once.
func times(ev *Event) uint64 { return uint64(max(ev.Repeat, 1)) }

// unseen handles a line of a process whose connect was not seen.
func (t *Sessions) unseen(o *Origin, p Process, at int64, ev *Event) bool {
	if ev.Kind == Summary && isEmpty(ev) {
		return true // a listener's stop line looks like this (main.c and cleanup.c, 3.1 and later)
	}
	first := fresh
	switch ev.Kind {
	case Summary, Transfer, FileList: // the session began before we did
		if ev.Kind == Summary && !plausible(ev) || ev.Length > maxBytes || ev.Wire > maxBytes {
			return false
		}
		first = running
	case Allowed:
		first = admitted
	case ModuleList, UnknownModule, Denied, AuthFailed, MaxConnections, SetupFailed, ProxyRejected:
	default:
		if t.talkers.has(o, p.PID) { // a client whose session is forgotten
			return t.refuse(o, nil, p, at)
		}
		return t.stray(o, at, ev)
	}
	v := t.admits(o, nil, p, at)
	if v == refused {
		return t.refuse(o, nil, p, at)
	}
	if s := t.open(o, p, at, first, v); s != nil {
		return t.line(s, at, ev)
	}
	return t.stray(o, at, ev)
}

// stray counts what it can of a line that belongs to no session. It returns false if the daemon
// can't have written the line.
func (t *Sessions) stray(o *Origin, at int64, ev *Event) bool {
	c := Change{Origin: o, N: times(ev)}
	switch ev.Kind {
	case LostUpstream:
		c.Kind, c.N = LostByRelay, ev.Lost
	case Connect:
		c.Kind = Connected
	case ExitError, ExitWarning:
		c.Kind, c.Code = Exited, ev.Code
	case FileError, FileVanished:
		c.Kind, c.Errno = FileFailed, ev.Errno
	case ModuleList:
		c.Kind = Listed
	case UnknownModule, Denied, AuthFailed, MaxConnections, SetupFailed, ProxyRejected,
		ReadOnlyModule, WriteOnlyModule, RefusedOption, ExecFailed:
		c.Kind, c.Reason = TurnedAway, ev.Reason
	case Transfer:
		if !small(ev) {
			return false
		}
		c.Kind, c.Op = FileMoved, NoDirection.narrow(ev).only()
		c.Length, c.Wire = ev.Length*c.N, ev.Wire*c.N
	case Start:
		c.Kind, c.Session = Executed, momentary(o, at, ev)
		// rsyslog cuts the pid off a long tag, such as a module's own one.
		if from := t.waiting(o, 0, ev); from != nil {
			c.Session.Module = from.Module
			t.drop(from)
		}
	case Summary:
		if !plausible(ev) {
			return false
		}
		if isEmpty(ev) {
			return true
		}
		c.Kind, c.Session = Ended, momentary(o, at, ev)
		c.Session.HasSummary, c.Session.Outcome = true, OK
		c.Sent, c.Received, c.Total = ev.Sent*c.N, ev.Received*c.N, ev.Total*c.N
	default:
		return true
	}
	t.emit(c)
	return true
}

// momentary returns a session that lives for one line. Without a pid nothing connects the start and
// the summary of one session.
func momentary(o *Origin, at int64, ev *Event) *Session {
	return &Session{Origin: o, SessionRecord: SessionRecord{Direction: ev.Direction, FirstSeen: at, LastSeen: at}}
}

// needsClient says whether a line of this kind is logged only once a client was let in.
func (k Kind) needsClient() bool {
	switch k {
	case Transfer, Summary, FileList, FileError, FileVanished, MaxDelete, DeletionSkipped:
		return true
	}
	return false
}

// line handles a line of a known session.
func (t *Sessions) line(s *Session, at int64, ev *Event) bool {
	s.dropFront()
	if ev.Kind.needsClient() {
		t.letTalk(s) // "rsync on" may have been lost
	}
	switch ev.Kind {
	case Transfer:
		return t.transfer(s, at, ev)
	case Summary:
		return t.summary(s, at, ev)
	case ExitError, ExitWarning:
		return t.exit(s, at, ev)
	case Allowed:
		return t.allowed(s, at, ev)
	case ModuleList, UnknownModule, Denied, AuthFailed, MaxConnections, SetupFailed, ProxyRejected:
		return t.gateClosed(s, at, ev)
	case ReadOnlyModule, WriteOnlyModule, RefusedOption, ExecFailed:
		return t.turnedDown(s, at, ev)
	case FileList:
		t.fileListed(s, ev)
	case FileError, FileVanished:
		return t.fileFailed(s, at, ev)
	case MaxDelete, DeletionSkipped:
		return t.keptFiles(s, at, ev.Kind)
	case IOError, Timeout:
		s.Lost = true
	}
	t.move(s, s.Phase, at)
	return true
}
