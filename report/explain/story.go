package explain

import (
	"fmt"
	"slices"
	"time"

	"rsyncd_exporter/internal/text"
	"rsyncd_exporter/pipeline"
	"rsyncd_exporter/rsynclog"
)

const (
	maxStories = 16        // that wait for their end at one time: the same pid on several hosts
	maxHead    = 200       // first lines of a session that are told
	maxTail    = 100       // and last ones
	maxStory   = 256 << 10 // bytes of either
)

// A story is what is told of one session, or of the lines of a pid that belong to none.
type story struct {
	host    string
	number  uint32            // of the pid's life; 0: no session
	session *rsynclog.Session // nil: none
	file    string            // of its last line
	lines   uint64
	first   int64 // time of its first line, nanoseconds of the Unix epoch; 0: not known
	last    int64
	adopted bool // its beginning has another pid

	head, tail     []string
	inHead, inTail int // bytes of them
	left           uint64
	ending         []row // nil: nothing says how it ended
}

// A row is one thing that is said of a session.
type row struct{ name, text string }

// is says whether a line is the target's. m is its session's mark, or nil.
func (t *Target) is(l *pipeline.Line, m *mark) bool {
	if !l.Ours || l.Message.PID != t.PID || t.Life != 0 && (m == nil || m.number != t.Life) {
		return false
	}
	return t.Host == "" || t.Host == hostOf(l.Origin)
}

// follow notes how sessions of the target have ended.
func (e *Explainer) follow(changes []rsynclog.Change) {
	for i := range changes {
		c := &changes[i]
		if c.Kind != rsynclog.Ended && c.Kind != rsynclog.Amended && c.Kind != rsynclog.Resumed {
			continue
		}
		if st := e.storyOf(c.Session); st != nil {
			st.ending = append(e.facts(c.Session), ending(c.Session)...)
		}
	}
}

// storyOf returns the story of a session that waits to be told, or nil. A change may have a copy of
// the session.
func (e *Explainer) storyOf(s *rsynclog.Session) *story {
	if s == nil || s.PID != e.o.Session.PID {
		return nil
	}
	m, _ := s.Cookie.(*mark)
	for _, st := range e.stories {
		if st.session == s || m != nil && m.pid == s.PID && m.host == st.host && m.number == st.number {
			return st
		}
	}
	return nil
}

// waiting returns the story of a life that waits to be told, or nil.
func (e *Explainer) waiting(host string, number uint32) *story {
	for _, st := range e.stories {
		if st.host == host && st.number == number {
			return st
		}
	}
	return nil
}

// collect adds a line of the target to its story. m is its session's mark, or nil.
func (e *Explainer) collect(t *told, l *pipeline.Line, m *mark) {
	host, number := hostOf(l.Origin), uint32(0)
	if m != nil {
		number = m.number
	}
	st := e.waiting(host, number)
	if st == nil {
		st = &story{host: host, number: number, session: l.Session, first: l.At}
		st.adopted = l.Event.Kind == rsynclog.Start && l.Believed && l.Session != nil && l.Session.ConnectSeen
		e.begin(st)
	}
	if t.file != st.file {
		st.file = t.file
		st.add(heading(t.file))
	}
	st.lines++
	if l.At != 0 {
		st.last = l.At
	}
	b := fmt.Appendf(nil, "  %-19s %6d  %-16s", e.clock(l.At), t.line, t.class)
	st.add(string(append(appendFields(b, t), '\n')))
}

// begin adds a story. What an earlier session of its pid has to tell is told first, as no line of
// it can follow.
func (e *Explainer) begin(st *story) {
	for i := 0; i < len(e.stories); {
		if old := e.stories[i]; old.host == st.host && old.number != 0 && st.number != 0 {
			e.tell(old)
			e.stories = slices.Delete(e.stories, i, i+1)
			continue
		}
		i++
	}
	if len(e.stories) == maxStories {
		e.tell(e.stories[0])
		e.stories = slices.Delete(e.stories, 0, 1)
	}
	e.stories = append(e.stories, st)
}

// add adds a line that is told. Of very many it keeps the first and the last ones.
func (st *story) add(line string) {
	if len(st.tail) == 0 && len(st.head) < maxHead && st.inHead+len(line) <= maxStory {
		st.head = append(st.head, line)
		st.inHead += len(line)
		return
	}
	st.tail = append(st.tail, line)
	st.inTail += len(line)
	for len(st.tail) > maxTail || st.inTail > maxStory {
		st.inTail -= len(st.tail[0])
		st.tail = st.tail[1:]
		st.left++
	}
}

// tellAll tells all stories.
func (e *Explainer) tellAll() {
	for _, st := range e.stories {
		e.tell(st)
	}
	e.stories = nil
}

// tell writes a story.
func (e *Explainer) tell(st *story) {
	b := e.buf[:0]
	if e.told > 0 {
		b = append(b, '\n')
	}
	e.told++
	pid := e.o.Session.PID
	if st.number == 0 {
		name := fmt.Sprint(pid)
		if st.host != "" {
			name = st.host + "/" + name
		}
		b = fmt.Appendf(b, "pid %s outside of any session, such as a listening daemon's\n", name)
	} else {
		b = fmt.Appendf(b, "session %s\n", idOf(st.host, pid, st.number))
	}
	for _, line := range st.head {
		b = append(b, line...)
	}
	if st.left > 0 {
		b = fmt.Appendf(b, "  … %d lines more …\n", st.left)
	}
	for _, line := range st.tail {
		b = append(b, line...)
	}
	for _, r := range e.conclusion(st) {
		b = fmt.Appendf(b, "  %-9s %s\n", r.name, text.OneLine(r.text))
	}
	e.write(b)
}

// conclusion returns what is said behind the lines of a story.
func (e *Explainer) conclusion(st *story) (rows []row) {
	if st.first != 0 {
		took := time.Duration(st.last - st.first).Round(time.Second)
		rows = append(rows, row{"time", fmt.Sprintf("%s to %s, %v", e.clock(st.first), e.clock(st.last), took)})
	}
	switch {
	case st.number == 0:
		return rows
	case st.adopted:
		rows = append(rows, row{"began", "under another pid, which logged connect: its module has a post-xfer exec"})
	case st.ending == nil && st.session.PID != e.o.Session.PID:
		return append(rows, row{"goes on", fmt.Sprintf(
			"under pid %d, as its module has a post-xfer exec: see --session %[1]d", st.session.PID)})
	}
	if st.ending == nil {
		rows = append(rows, row{"ended", "the log doesn't say: it ends before the session does"})
	}
	return append(rows, st.ending...)
}

// clock writes a time of day in the zone of the options; empty for one that isn't known.
func (e *Explainer) clock(at int64) string {
	if at == 0 {
		return ""
	}
	return time.Unix(0, at).In(e.o.Zone).Format(time.DateTime)
}
