package rsynclog

// replace ends and forgets a session, if there is one, whose pid belongs to another process now.
func (t *Sessions) replace(s *Session, at int64) {
	if s != nil {
		t.end(s, at)
		t.drop(s)
	}
}

func (t *Sessions) daemonStart(o *Origin, s *Session, p Process, at int64, ev *Event) bool {
	if t.admits(o, s, p, at) != believed {
		return t.refuse(o, s, p, at) // a listener doesn't have the pid of a session
	}
	t.replace(s, at)
	t.orphan(o, at)
	o.Life.started(p.PID)
	t.emit(Change{Kind: DaemonStarted, Origin: o, N: 1, Version: Label(ev.Version)})
	return true
}

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
	t.replace(s, at)
	s = t.open(o, p, at, fresh, v)
	if s != nil {
		s.Addr, s.ConnectSeen = Label(ev.Addr), true
		s.named(ev.Host)
	}
	t.emit(Change{Kind: Connected, Origin: o, Session: s, N: 1})
	return true
}

// start handles "rsync on" and "rsync to": the client was let in and asked for something.
func (t *Sessions) start(o *Origin, s *Session, p Process, at int64, ev *Event) bool {
	if s == nil || s.Phase >= running || s.isOther(p) || s.mayHaveLeft() && t.waiting(o, p.PID, ev) != nil {
		// "connect from" was lost, or carried another pid.
		v := t.admits(o, s, p, at)
		if v == refused {
			return t.refuse(o, s, p, at)
		}
		t.replace(s, at)
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
	s.named(ev.Host)
	s.Request = Label(ev.Request)
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
		n = 0 // it runs, and is counted when its module is known: see confirm
	}
	t.emit(Change{Kind: Executed, Origin: o, Session: s, N: n})
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
	s.named(ev.Host)
	t.move(s, admitted, at)
	t.letTalk(s) // one that asks for no path has no "rsync on" line (clientserver.c: read_args)
	return true
}

// gateClosed handles the lines after which the daemon's child exits without another word.
func (t *Sessions) gateClosed(s *Session, at int64, ev *Event) bool {
	switch {
	case s.Phase >= running:
		return false
	case s.Phase == admitted &&
		(ev.Kind == ModuleList || ev.Kind == UnknownModule || ev.Kind == Denied || ev.Kind == ProxyRejected):
		return false // a daemon logs these before "allowed access", so a client has written it
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
		t.turnAway(s, ev.Reason)
	}
	t.end(s, at)
	return true
}

// turnedDown handles the refusal of a request that was logged before. "rsync error" follows.
func (t *Sessions) turnedDown(s *Session, at int64, ev *Event) bool {
	// A refused destination of an upload (main.c: get_local_name) comes after its file list. All
	// other refusals come before any file list.
	late := ev.Kind == RefusedOption && s.Direction == Receive
	if s.over() || s.Moved || s.FileList && !late {
		return false
	}
	if s.Reason == NoReason {
		t.turnAway(s, ev.Reason)
	}
	t.move(s, settling, at)
	return true
}

func (t *Sessions) turnAway(s *Session, why Reason) {
	s.Reason = why
	t.emit(Change{Kind: TurnedAway, Origin: s.Origin, Session: s, N: 1, Reason: why})
}
