package rsynclog

// maxBytes is the most that one session's summary is believed: 1 PiB. A client can write a summary
// of its own (MSG_INFO).
const maxBytes = 1 << 50

// Apply adds one event to the books of a process of an origin; pid 0 is an unknown one. The changes
// are valid until the next call to Apply or Tick.
//
// Times are in nanoseconds of any clock that doesn't jump. What the event changes has the time at
// which it was written, by which sessions of the origin may be over, too.
//
// believed is false when the line can't be what it looks like: it names something that the
// session's state rules out, so that a client wrote it. Such a line changes nothing.
func (t *Sessions) Apply(o *Origin, p Process, w When, ev *Event) (changes []Change, believed bool) {
	t.reset()
	if !o.tracked {
		return t.changes, t.untracked(o, ev)
	}
	s := t.session(o, p.PID)
	speaker, daemons := t.speaker(o, s, p, w.Arrived, ev)
	if !daemons {
		w.Stamp = 0
	}
	at := t.recordTime(o, speaker, w, ev.Kind == Connect && !t.mayForge(o, s, p))
	if at >= o.due {
		t.expire(o, at, maxInline)
		if s != nil && !s.over() && at >= t.due(s) {
			t.finish(s, t.due(s))
		}
		s = t.session(o, p.PID)
	}
	switch {
	case ev.Kind == LostUpstream:
		t.emit(Change{Kind: LostByRelay, Origin: o, N: ev.Lost})
		return t.changes, true
	case p.PID == 0:
		believed = t.stray(o, at, ev)
		return t.changes, believed
	case ev.Kind == DaemonStart:
		believed = t.daemonStart(o, s, p, at, ev)
	case ev.Kind == Connect:
		believed = t.connect(o, s, p, at, ev)
	case ev.Kind == Start:
		believed = t.start(o, s, p, at, ev)
	default:
		if s != nil && s.isOther(p) {
			t.leave(s, at)
			s = nil // the other's connect was lost
		}
		believed = t.inside(o, s, p, at, ev)
	}
	return t.changes, believed
}

// untracked counts what a line of a host beyond the limit says.
func (t *Sessions) untracked(o *Origin, ev *Event) bool {
	switch ev.Kind {
	case LostUpstream:
		t.emit(Change{Kind: LostByRelay, Origin: o, N: ev.Lost})
	case DaemonStart:
		t.emit(Change{Kind: DaemonStarted, Origin: o, N: 1, Version: Label(ev.Version)})
	default:
		return t.stray(o, 0, ev)
	}
	return true
}

// inside handles a line of a session, or of a process that was never seen to connect.
func (t *Sessions) inside(o *Origin, s *Session, p Process, at int64, ev *Event) bool {
	if s != nil {
		believed := t.line(s, at, ev)
		t.hear(s, p, at)
		return believed
	}
	if parent := t.parentOf(o, p.PID, ev); parent != nil {
		o.stirred = true
		return t.line(parent, at, ev)
	}
	return t.unseen(o, p, at, ev)
}

// refuse takes a line for a client's text, which shows that its process lives.
func (t *Sessions) refuse(o *Origin, s *Session, p Process, at int64) bool {
	if s != nil {
		t.hear(s, p, at)
	} else {
		t.talkers.add(o, p.PID)
	}
	return false
}

// leave ends and forgets a session whose pid is another process' now.
func (t *Sessions) leave(s *Session, at int64) {
	t.end(s, at)
	t.drop(s)
}

func (t *Sessions) daemonStart(o *Origin, s *Session, p Process, at int64, ev *Event) bool {
	if t.admits(o, s, p, at) != believed {
		return t.refuse(o, s, p, at) // a listener's pid isn't that of a session
	}
	if s != nil {
		t.leave(s, at)
	}
	t.orphan(o, at)
	o.Life.started(p.PID)
	t.emit(Change{Kind: DaemonStarted, Origin: o, N: 1, Version: Label(ev.Version)})
	return true
}

// times is how often a line was logged that a process may repeat: about a file. Whatever happens
// once in a session counts once.
func times(ev *Event) uint64 { return uint64(max(ev.Repeat, 1)) }

// connect begins a session.
func (t *Sessions) connect(o *Origin, s *Session, p Process, at int64, ev *Event) bool {
	v := t.admits(o, s, p, at)
	if v == refused {
		return t.refuse(o, s, p, at)
	}
	if v == believed {
		o.Life.connected(p.PID, s != nil && s.mayTalk())
		o.Life.newest = max(o.Life.newest, p.Started)
	}
	if s != nil {
		t.leave(s, at)
	}
	s = t.open(o, p, at, fresh, v)
	if s != nil {
		s.Addr, s.ConnectSeen = Label(ev.Addr), true
	}
	t.emit(Change{Kind: Connected, Origin: o, Session: s, N: 1})
	return true
}

// start handles "rsync on" and "rsync to": the gate is passed.
func (t *Sessions) start(o *Origin, s *Session, p Process, at int64, ev *Event) bool {
	switch {
	case s == nil, s.Phase >= running, s.isOther(p), s.mayHaveLeft() && t.waiting(o, p.PID, ev) != nil:
		// "connect from" was lost, or carried another pid.
		v := t.admits(o, s, p, at)
		if v == refused {
			return t.refuse(o, s, p, at)
		}
		if s != nil {
			t.leave(s, at)
		}
		s = nil
		if v == believed { // see speaker
			s = t.adopt(o, p, ev)
		}
		if s == nil {
			s = t.open(o, p, at, admitted, v)
		}
	}
	if s.Addr == "" {
		s.Addr = Label(ev.Addr)
	}
	// logged here only when the user has been authenticated (clientserver.c: rsync_module)
	if len(ev.User) > 0 && !s.Doubted {
		s.User, s.Cookie = Label(ev.User), nil
	}
	s.relabel(s.Module, ev.Direction)
	o.Serves = true
	t.hear(s, p, at)
	t.move(s, running, at)
	t.letTalk(s)
	if s.Module == "" {
		s.Requested = t.requested(o, ev.Request)
	}
	n := uint64(1)
	if s.Requested != "" {
		n = 0 // it is counted once its module is known, see confirm, but runs already
	}
	t.emit(Change{Kind: Executed, Origin: o, Session: s, N: n})
	return true
}

// unseen handles a line of a process that was never seen to connect.
func (t *Sessions) unseen(o *Origin, p Process, at int64, ev *Event) bool {
	if ev.Kind == Summary && ev.Sent == 0 && ev.Received == 0 && ev.Total == 0 {
		return true // the listener's stop line (main.c and cleanup.c, 3.1 and later) looks like an empty session
	}
	first := fresh
	switch ev.Kind {
	case Summary, Transfer, FileList: // a session that began before we did
		if ev.Kind == Summary && !plausible(ev) || ev.Length > maxBytes || ev.Wire > maxBytes {
			return false
		}
		first = running
	case Allowed:
		first = admitted
	case ModuleList, UnknownModule, Denied, AuthFailed, MaxConnections, SetupFailed, ProxyRejected:
	default:
		if t.talkers.has(o, p.PID) { // a client that is long gone as it seems, or not
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

// stray counts what can be counted of a line that belongs to no session. It returns false if the
// line can't be the daemon's.
func (t *Sessions) stray(o *Origin, at int64, ev *Event) bool {
	c := Change{Origin: o, N: times(ev)}
	switch ev.Kind {
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
	case Start, Summary:
		// Without a pid nothing tells these of one session from the other's; a session that only
		// these lines know lives and ends with the line.
		s := &Session{Origin: o, SessionRecord: SessionRecord{Direction: ev.Direction, FirstSeen: at, LastSeen: at}}
		// From a module's long syslog tag rsyslog cuts off the pid.
		if from := t.waiting(o, 0, ev); ev.Kind == Start && from != nil {
			s.Module = from.Module
			t.drop(from)
		}
		c.Session, c.Kind = s, Executed
		if ev.Kind == Summary {
			if !plausible(ev) {
				return false
			}
			if ev.Sent == 0 && ev.Received == 0 && ev.Total == 0 {
				return true
			}
			s.HasSummary, s.Outcome, c.Kind = true, OK, Ended
			c.Sent, c.Received, c.Total = ev.Sent*c.N, ev.Received*c.N, ev.Total*c.N
		}
	default:
		return true
	}
	t.emit(c)
	return true
}

// plausible says whether a summary can be the daemon's: log.c: log_exit uses FINFO, while a
// client's MSG_ERROR arrives as a warning.
func plausible(ev *Event) bool {
	return ev.Sent <= maxBytes && ev.Received <= maxBytes && ev.Total <= maxBytes &&
		(ev.Severity < 0 || ev.Severity == severityInfo)
}

// small says whether a transfer line's numbers can be one file's, or those of the files that it
// stands for.
func small(ev *Event) bool {
	most := uint64(maxBytes)
	if ev.Repeat > 1 {
		most /= times(ev)
	}
	return ev.Length <= most && ev.Wire <= most
}

// isClients says of a line whether it is logged only of a client that was let in.
func (k Kind) isClients() bool {
	switch k {
	case Transfer, Summary, FileList, FileError, FileVanished, MaxDelete, DeletionSkipped:
		return true
	}
	return false
}

// line handles a line within a session that is known.
func (t *Sessions) line(s *Session, at int64, ev *Event) bool {
	s.dropFront()
	if !s.Talks && ev.Kind.isClients() {
		t.letTalk(s) // also where "rsync on" was lost
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
	case MaxDelete:
		return t.maxDelete(s, at)
	case DeletionSkipped:
		return t.deletionSkipped(s, at)
	case IOError, Timeout:
		s.Lost = true
	}
	t.move(s, s.Phase, at)
	return true
}

// fileListed takes "building file list" and "receiving file list". They give the direction of a
// session whose start was missed. The first one does: a client may write the other, into its own
// session only. It may do so before the daemon's, too, if it asks for no path. Then the direction
// of its own bytes is wrong, as a forged transfer line can make it, and nothing else is.
func (t *Sessions) fileListed(s *Session, ev *Event) {
	s.FileList = true
	if s.Direction == NoDirection && !s.over() { // one that is over was counted without
		s.relabel(s.Module, ev.Direction)
	}
}

// fileFailed counts a file error. An upload with one ends without a word since 3.2 (cleanup.c: exit
// code 23, which log_exit leaves out at the end of a run), and so does a download before.
func (t *Sessions) fileFailed(s *Session, at int64, ev *Event) bool {
	role := string(ev.Role)
	if s.Direction == Send && (role == "receiver" || role == "generator") ||
		s.Direction == Receive && role == "sender" {
		return false // the client's role, not the daemon's
	}
	s.FileErrors = true
	t.emit(Change{Kind: FileFailed, Origin: s.Origin, Session: s, N: times(ev), Errno: ev.Errno})
	if s.Phase == running && (s.Direction == Receive || !s.Origin.Names) {
		t.move(s, failing, at)
		return true
	}
	t.move(s, s.Phase, at)
	return true
}

// deletionSkipped takes "IO error encountered -- skipping file deletion": the client of an upload
// has missed some of its own files, and ends with code 23.
func (t *Sessions) deletionSkipped(s *Session, at int64) bool {
	if s.Direction == Send {
		return false // a download deletes nothing here
	}
	s.FileErrors = true
	if s.Phase == running {
		t.move(s, failing, at)
		return true
	}
	t.move(s, s.Phase, at)
	return true
}

// maxDelete takes "Deletions stopped due to --max-delete limit", an upload's last line
// (generator.c: generate_files; exit code 25 isn't logged since 3.0).
func (t *Sessions) maxDelete(s *Session, at int64) bool {
	if s.Direction == Send {
		return false // a download deletes nothing here
	}
	s.MaxDelete = true
	if s.goingOn() {
		t.move(s, settling, at)
	}
	return true
}

func (t *Sessions) transfer(s *Session, at int64, ev *Event) bool {
	ops := s.Direction.narrow(ev)
	op := ops.only()
	if ops == 0 || !s.fits(ev) {
		return false
	}
	if s.Phase < running { // "rsync on" was lost
		t.move(s, running, at)
	}
	if s.Direction == NoDirection && !s.over() { // one that is over is counted by the labels that it has
		switch ops {
		case setOf(OpSend):
			s.relabel(s.Module, Send)
		case setOf(OpRecv), setOf(OpDel), setOf(OpRecv, OpDel):
			s.relabel(s.Module, Receive)
		}
	}
	t.confirm(s, ev)
	n := times(ev)
	t.fileMoved(s, at, op, n, ev.Length*n, ev.Wire*n)
	return true
}

// fileMoved counts n files of a session, and their bytes. Files of one session that are counted in
// one go are one change.
func (t *Sessions) fileMoved(s *Session, at int64, op Op, n, length, wire uint64) {
	s.Moved = true
	s.Length += length
	s.Wire += wire
	t.move(s, s.Phase, at) // while it settles, this puts its end off
	if last := len(t.changes) - 1; last >= 0 {
		if c := &t.changes[last]; c.Session == s && c.Kind == FileMoved && c.Op == op {
			c.N += n
			c.Length += length
			c.Wire += wire
			return
		}
	}
	t.emit(Change{Kind: FileMoved, Origin: s.Origin, Session: s, N: n, Op: op, Length: length, Wire: wire})
}

// narrow returns what a transfer line can have done in a session of this direction. It is empty for
// a line that can't be the daemon's: MSG_DELETED lets a client write "del." lines into a download.
func (d Direction) narrow(ev *Event) OpSet {
	ops := setOf(ev.Op)
	switch {
	case ev.OpUnnamed: // deletions are logged otherwise then
		return [...]OpSet{setOf(OpSend, OpRecv), setOf(OpSend), setOf(OpRecv)}[d]
	case ev.Op == OpUnknown:
		ops = ev.Ops
	}
	switch d {
	case Send:
		return ops & setOf(NoOp, OpSend)
	case Receive:
		return ops & setOf(NoOp, OpRecv, OpDel)
	}
	return ops
}

// fits says whether a transfer line can be the session's own: the client's address where the format
// has it, and its size.
func (s *Session) fits(ev *Event) bool {
	if ev.Addr != nil && s.Addr != "" && s.Addr != string(ev.Addr) {
		return false
	}
	// A session moves no more than it may sum up.
	return small(ev) && s.Length+ev.Length*times(ev) <= maxBytes && s.Wire+ev.Wire*times(ev) <= maxBytes
}

// summary takes "sent … received …"; the last one of a session counts.
func (t *Sessions) summary(s *Session, at int64, ev *Event) bool {
	if !plausible(ev) {
		return false
	}
	if s.HasSummary && ev.Sent == 0 && ev.Received == 0 && ev.Total == 0 {
		// The stop line of a listener that now has the pid. A session of which anything was heard
		// has received something.
		return true
	}
	if s.over() {
		resumed := s.Phase == lapsed && !s.HasSummary // it was only silent
		t.amend(s, ev)
		if resumed {
			s.HasSummary = true
			t.resume(s, at)
		}
		return true
	}
	s.HasSummary, s.Sent, s.Received, s.Total = true, ev.Sent, ev.Received, ev.Total
	s.Exits = [2]exit{} // cleanup.c logs the error after the summary; one before it was the client's
	t.move(s, settling, at)
	return true
}

// amend adds what a summary says beyond the one that was counted: that one was the client's, and
// the session went on.
func (t *Sessions) amend(s *Session, ev *Event) {
	c := Change{Kind: Amended, Origin: s.Origin, Session: s, N: 1,
		Sent:     ev.Sent - min(ev.Sent, s.Sent),
		Received: ev.Received - min(ev.Received, s.Received),
		Total:    ev.Total - min(ev.Total, s.Total)}
	s.Sent, s.Received, s.Total = s.Sent+c.Sent, s.Received+c.Received, s.Total+c.Total
	t.emit(c)
}

// resume tells how a session ended that was taken for over in its silence. It tells of a copy: the
// session itself may have been counted by this very line, with what was known of it before.
func (t *Sessions) resume(s *Session, at int64) {
	r := *s
	r.LastSeen = max(s.LastSeen, at)
	if !r.FileErrors && !r.Lost {
		r.Outcome = OK
	}
	t.emit(Change{Kind: Resumed, Origin: s.Origin, Session: &r, N: 1})
}

// severityInfo is LOG_INFO, which log.c: logit gives to FINFO and FLOG.
const severityInfo = 6

func (t *Sessions) exit(s *Session, at int64, ev *Event) bool {
	if s.Phase == settling && s.HasSummary && s.FileList && string(ev.Role) == "Receiver" {
		// A process has this role before it is asked for anything (3.1 and later). So the line is
		// another process's, or a client's text.
		return false
	}
	if s.over() {
		if s.LateExits++; s.LateExits > 2 {
			s.LateExits = 2
			return false
		}
		t.emit(Change{Kind: Exited, Origin: s.Origin, Session: s, N: 1, Code: ev.Code})
		return true
	}
	e := exit{Role: '?', Code: ev.Code}
	if len(ev.Role) > 0 {
		e.Role = ev.Role[0]
	}
	if s.Exits[0].Role == 0 || s.Exits[0].Role == e.Role {
		s.Exits[0] = e
	} else {
		s.Exits[1] = e // the receiver's and the generator's of one failed upload
	}
	t.move(s, settling, at)
	return true
}

func (t *Sessions) allowed(s *Session, at int64, ev *Event) bool {
	if s.Phase != fresh && s.Phase != admitted || s.Known {
		return false
	}
	daemons := !s.Doubted && s.ConnectSeen // else a client may have written it
	s.Origin.Names = s.Origin.Names || daemons
	m, ok := t.module(s.Origin, ev.Module, daemons)
	s.Known = ok
	s.relabel(m, s.Direction)
	if s.Addr == "" {
		s.Addr = Label(ev.Addr)
	}
	t.move(s, admitted, at)
	t.letTalk(s) // one that asks for no path has no "rsync on" line (clientserver.c: read_args)
	return true
}

// gateClosed handles the lines that are a session's last: the daemon's child exits without another
// word.
func (t *Sessions) gateClosed(s *Session, at int64, ev *Event) bool {
	switch {
	case s.Phase >= running:
		return false
	case s.Phase == admitted &&
		(ev.Kind == ModuleList || ev.Kind == UnknownModule || ev.Kind == Denied || ev.Kind == ProxyRejected):
		return false // these come before "allowed access": a client that asks for nothing has written it
	}
	t.move(s, s.Phase, at)
	if ev.Kind == ModuleList {
		s.Listed = true
		t.emit(Change{Kind: Listed, Origin: s.Origin, Session: s, N: 1})
	} else {
		if s.Module == "" && (ev.Kind == Denied || ev.Kind == AuthFailed) && !s.Doubted {
			m, _ := t.module(s.Origin, ev.Module, s.ConnectSeen)
			s.relabel(m, s.Direction)
		}
		s.Reason = ev.Reason
		t.emit(Change{Kind: TurnedAway, Origin: s.Origin, Session: s, N: 1, Reason: ev.Reason})
	}
	t.end(s, at)
	return true
}

// turnedDown handles a request that was logged and then turned down; "rsync error" follows.
func (t *Sessions) turnedDown(s *Session, at int64, ev *Event) bool {
	// What refuses an upload's destination (main.c: get_local_name) comes after its file list, all
	// else before any.
	late := ev.Kind == RefusedOption && s.Direction == Receive
	if s.over() || s.Moved || s.FileList && !late {
		return false
	}
	if s.Reason == NoReason {
		s.Reason = ev.Reason
		t.emit(Change{Kind: TurnedAway, Origin: s.Origin, Session: s, N: 1, Reason: ev.Reason})
	}
	t.move(s, settling, at)
	return true
}
