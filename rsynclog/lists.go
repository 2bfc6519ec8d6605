package rsynclog

// A sessionList lists an origin's sessions of one phase in the order of their last lines, oldest
// first.
type sessionList struct{ first, last *Session }

func (l *sessionList) push(s *Session) {
	s.prev, s.next = l.last, nil
	if l.last != nil {
		l.last.next = s
	} else {
		l.first = s
	}
	l.last = s
}

func (l *sessionList) remove(s *Session) {
	if s.prev != nil {
		s.prev.next = s.next
	} else {
		l.first = s.next
	}
	if s.next != nil {
		s.next.prev = s.prev
	} else {
		l.last = s.prev
	}
	s.prev, s.next = nil, nil
}

// An ageList lists all origins' sessions of one phase in the order in which they came into it,
// oldest first.
type ageList struct{ first, last *Session }

func (l *ageList) push(s *Session) {
	s.older, s.newer = l.last, nil
	if l.last != nil {
		l.last.newer = s
	} else {
		l.first = s
	}
	l.last = s
}

func (l *ageList) remove(s *Session) {
	if s.older != nil {
		s.older.newer = s.newer
	} else {
		l.first = s.newer
	}
	if s.newer != nil {
		s.newer.older = s.older
	} else {
		l.last = s.older
	}
	s.older, s.newer = nil, nil
}
