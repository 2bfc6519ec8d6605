package rsynclog

// maxBytes is the most that one session's summary is believed: 1 PiB. A client can write a summary
// of its own (MSG_INFO).
const maxBytes = 1 << 50

// small says whether a transfer line's numbers are possible for the files that it stands for.
func small(ev *Event) bool {
	most := maxBytes / times(ev)
	return ev.Length <= most && ev.Wire <= most
}

// fileListed handles "building file list" and "receiving file list". The first one gives the
// direction of a session whose start was missed. A client may write the other one into its own
// session later. A client that asks for no path may even write it before the daemon's. Then the
// direction of its own bytes is wrong, as a forged transfer line can make it, and nothing else is.
func (t *Sessions) fileListed(s *Session, ev *Event) {
	s.FileList = true
	if s.Direction == NoDirection && !s.over() { // one that is over was counted without
		s.relabel(s.Module, ev.Direction)
	}
}

// fileFailed counts a file error. An upload with such an error ends without another line since 3.2
// (cleanup.c: exit code 23, which log_exit leaves out at the end of a run). A download does before.
func (t *Sessions) fileFailed(s *Session, at int64, ev *Event) bool {
	role := string(ev.Role)
	if s.Direction == Send && (role == "receiver" || role == "generator") ||
		s.Direction == Receive && role == "sender" {
		return false // the client's role, not the daemon's
	}
	if s.Direction == Send && noRoom(ev.Errno) {
		return false // the daemon of a download writes no file
	}
	s.FileErrors = true
	s.Failures.add(ev.Errno, times(ev))
	t.emit(Change{Kind: FileFailed, Origin: s.Origin, Session: s, N: times(ev), Errno: ev.Errno})
	next := s.Phase
	if next == running && (s.Direction == Receive || !s.Origin.Names) {
		next = failing
	}
	t.move(s, next, at)
	return true
}

// noRoom reports whether an errno of Linux says that there is no room for a file, on the device (ENOSPC)
// or for its owner (EDQUOT).
func noRoom(errno int16) bool { return errno == 28 || errno == 122 }

// keptFiles handles the lines of an upload that deletes less than it should. "Deletions stopped due
// to --max-delete limit" is its last line (generator.c: generate_files; exit code 25 isn't logged
// since 3.0). After "IO error encountered -- skipping file deletion" the client ends with code 23,
// as it could not read some of its own files.
func (t *Sessions) keptFiles(s *Session, at int64, k Kind) bool {
	switch {
	case s.Direction == Send:
		return false // a download deletes nothing here
	case k == MaxDelete:
		s.MaxDelete = true
		if s.goingOn() {
			t.move(s, settling, at)
		}
		return true
	}
	s.FileErrors = true
	next := s.Phase
	if next == running {
		next = failing
	}
	t.move(s, next, at)
	return true
}

func (t *Sessions) transfer(s *Session, at int64, ev *Event) bool {
	ops := s.Direction.narrow(ev)
	if ops == 0 || !s.fits(ev) {
		return false
	}
	if s.Phase < running { // "rsync on" was lost
		t.move(s, running, at)
	}
	if s.Direction == NoDirection && !s.over() { // one that is over was counted without
		switch ops {
		case setOf(OpSend):
			s.relabel(s.Module, Send)
		case setOf(OpRecv), setOf(OpDel), setOf(OpRecv, OpDel):
			s.relabel(s.Module, Receive)
		}
	}
	t.confirm(s, ev)
	n := times(ev)
	t.fileMoved(s, at, ops.only(), n, ev.Length*n, ev.Wire*n)
	return true
}

// fileMoved counts n files of a session and their bytes. Consecutive files of one session become
// one change.
func (t *Sessions) fileMoved(s *Session, at int64, op Op, n, length, wire uint64) {
	s.Moved = true
	s.Files[op] += n
	s.Length += length
	s.Wire += wire
	t.move(s, s.Phase, at) // a file postpones the end of a session that settles
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

// narrow returns what a transfer line can have done in a session of this direction. The set is
// empty for a line that can't be the daemon's: MSG_DELETED lets a client write "del." lines into a
// download.
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

// fits says whether a transfer line can be the session's own, by the client's address, where the
// format has it, and by the size.
func (s *Session) fits(ev *Event) bool {
	if ev.Addr != nil && s.Addr != "" && s.Addr != string(ev.Addr) {
		return false
	}
	return small(ev) && s.Length+ev.Length*times(ev) <= maxBytes && s.Wire+ev.Wire*times(ev) <= maxBytes
}
