package explain

import (
	"fmt"
	"strconv"
	"strings"

	"rsyncd_exporter/internal/text"
	"rsyncd_exporter/rsynclog"
)

// A Target names the sessions of one pid, or one of them. The zero value names none.
type Target struct {
	PID  int32
	Life uint32 // which of the pid's sessions, from 1; 0: all
	Host string // of its lines, "host/container" in a container; "" for any
}

// String returns the target as ParseTarget reads it.
func (t Target) String() string {
	id := strconv.Itoa(int(t.PID))
	if t.Life != 0 {
		id = idOf("", t.PID, t.Life)
	}
	if t.Host != "" {
		id = text.OneLine(t.Host) + "/" + id
	}
	return id
}

// ParseTarget reads PID, PID#N or HOST/PID#N, as explain shows a session.
func ParseTarget(s string) (t Target, err error) {
	wrong := fmt.Errorf("--session=%q is neither a pid nor a session as explain shows it: PID, PID#N, HOST/PID or "+
		"HOST/PID#N", s)
	rest := s
	if i := strings.LastIndexByte(rest, '/'); i >= 0 {
		t.Host, rest = rest[:i], rest[i+1:]
	}
	digits, n, has := strings.Cut(rest, "#")
	if has {
		life, err := strconv.ParseUint(n, 10, 32)
		if err != nil || life == 0 {
			return Target{}, wrong
		}
		t.Life = uint32(life)
	}
	pid, err := strconv.ParseInt(digits, 10, 32)
	if err != nil || pid <= 0 {
		return Target{}, wrong
	}
	t.PID = int32(pid)
	return t, nil
}

// hostOf returns the name of an origin, as a session's id has it: escaped, empty for a log without
// host names.
func hostOf(o *rsynclog.Origin) string {
	name := o.Host
	if o.Container != "" {
		name += "/" + rsynclog.Label([]byte(o.Container))
	}
	return text.OneLine(name)
}

// idOf names a session.
func idOf(host string, pid int32, life uint32) string {
	id := fmt.Sprintf("%d#%d", pid, life)
	if host != "" {
		id = host + "/" + id
	}
	return id
}

// lives numbers the sessions of each pid, so that each has a name of its own. It remembers a bounded
// number of pids. Of one that it has forgotten the next session has a higher number than any
// forgotten one.
type lives struct {
	now, before map[process]life
	floor       uint32 // the highest number that was forgotten
}

// maxLives is how many pids one of the two maps of lives remembers, half as many as there are
// sessions at one time.
const maxLives = 1 << 14

type process struct {
	host string
	pid  int32
}

type life struct {
	session *rsynclog.Session
	number  uint32
}

// A mark is the Cookie of a session that has a number. A session whose pid changes has another
// name from then on.
type mark struct {
	pid    int32
	number uint32
	host   string
}

func newLives() *lives { return &lives{now: map[process]life{}} }

// of returns the mark of a session. The session keeps it until its labels change.
func (ls *lives) of(s *rsynclog.Session) *mark {
	if m, ok := s.Cookie.(*mark); ok && m.pid == s.PID {
		return m
	}
	p := process{hostOf(s.Origin), s.PID}
	l, ok := ls.now[p]
	if !ok {
		if l, ok = ls.before[p]; ok {
			delete(ls.before, p)
		} else {
			l.number = ls.floor
		}
	}
	if l.session != s {
		l = life{s, l.number + 1}
	}
	ls.now[p] = l
	if len(ls.now) >= maxLives {
		for _, old := range ls.before {
			ls.floor = max(ls.floor, old.number)
		}
		ls.before, ls.now = ls.now, map[process]life{}
	}
	m := &mark{s.PID, l.number, p.host}
	s.Cookie = m
	return m
}
