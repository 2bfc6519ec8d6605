package rsynclog_test

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"rsyncd_exporter/internal/testenv"
	"rsyncd_exporter/rsynclog"
)

// A world is a machine with a daemon, its clients, and one client who writes into the daemon's log what it likes. The
// kernel gives out pids in ascending order, with strides for what else starts.
type world struct {
	r      *rand.Rand
	parser *rsynclog.Parser
	steps  []step
	next   int32 // pid
	held   []int32
	under  [][]step // what sessions of others that go on are yet to log
	long   bool     // hours may pass, and the daemon may be started anew
	kernel bool     // it says when processes began
	old    bool     // the daemon is one before rsync 3.2, which logs nothing about access
	// the attacker has been let in without asking for anything: its session's start may be its own text
	unasked bool
}

// A step is a line, or time that passes.
type step struct {
	pid    int32
	text   string
	forged bool
	pause  time.Duration
}

func (w *world) fork() int32 {
	w.next += 1 + w.r.Int32N(4)
	return w.next
}

func (w *world) log(pid int32, lines ...string) {
	for _, l := range lines {
		w.steps = append(w.steps, step{pid: pid, text: l})
	}
}

// innocent begins somebody's session, which then goes as it goes, or is broken off. A module with a post-xfer exec
// has it go on in a new process; a failed upload's receiver may log for itself, in its own.
func (w *world) innocent() {
	pid := w.fork()
	other, from := pid, len(innocentLines)
	lines := innocentLines[w.r.IntN(len(innocentLines))]
	switch {
	case w.r.IntN(4) == 0:
		lines = lines[:1+w.r.IntN(len(lines))]
	case len(lines) > 3 && w.r.IntN(6) == 0 && !w.old:
		other, from = w.fork(), 2
	case strings.Contains(lines[len(lines)-1], "generator") && w.r.IntN(2) == 0:
		lines = slices.Clone(lines)
		n := len(lines)
		lines[n-2], lines[n-1] = lines[n-1], lines[n-2]
		other, from = w.fork(), n-1
	}
	var steps []step
	for i, l := range lines {
		if w.old && strings.Contains(l, "allowed access") {
			continue
		}
		if i >= from {
			pid = other
		}
		steps = append(steps, step{pid: pid, text: l})
	}
	w.under = append(w.under, steps)
	if w.r.IntN(3) > 0 || w.old || w.long { // at once, as no session goes on for hours between two lines
		w.goOn(len(w.under)-1, len(steps))
	} else {
		w.goOn(len(w.under)-1, 1)
	}
}

// goOn lets a session of somebody's log some more.
func (w *world) goOn(i, lines int) {
	s := w.under[i]
	n := min(lines, len(s))
	if n < len(s) && strings.Contains(s[n].text, "[receiver=") && strings.Contains(s[n-1].text, "[generator=") {
		n++ // within seconds
	}
	w.steps = append(w.steps, s[:n]...)
	if w.under[i] = s[n:]; len(s) == n {
		w.under = slices.Delete(w.under, i, i+1)
	}
}

// open begins a session of the attacker's, in the module that anybody may use.
func (w *world) open() {
	pid := w.fork()
	way := "on"
	if w.r.IntN(2) == 0 {
		way = "to"
	}
	w.log(pid, "connect from evil (10.6.6.6)")
	if !w.old {
		w.log(pid, "rsync allowed access on module pub from evil (10.6.6.6)")
	}
	if w.old || w.r.IntN(4) > 0 {
		w.log(pid, "rsync "+way+" pub/ from evil (10.6.6.6)")
	} else {
		w.unasked = true
	}
	w.held = append(w.held, pid)
}

// close ends one of them.
func (w *world) close() {
	i := w.r.IntN(len(w.held))
	if w.r.IntN(3) > 0 {
		w.log(w.held[i], "sent 5 bytes  received 6 bytes  total size 7")
	}
	w.held = slices.Delete(w.held, i, i+1)
}

// forge writes a line, or a whole session, in the name of one of the attacker's processes.
func (w *world) forge() {
	pid := w.held[w.r.IntN(len(w.held))]
	lines := []string{attackerLines[w.r.IntN(len(attackerLines))]}
	if w.r.IntN(3) == 0 {
		lines = []string{
			"connect from evil (10.6.6.6)", "rsync allowed access on module backup from evil (10.6.6.6)", "rsync to backup/ from alice@evil (10.6.6.6)",
			"receiving file list", "recv evil [10.6.6.6] backup (alice) x 7", "sent 1 bytes  received 2 bytes  total size 1099511627776",
		}[w.r.IntN(3):]
	}
	if w.r.IntN(4) == 0 { // with addresses alone
		for i, l := range lines {
			if strings.HasPrefix(l, "connect from ") || strings.HasPrefix(l, "rsync to ") {
				lines[i] = strings.Replace(l, "evil (10.6.6.6)", "10.6.6.6", 1)
			}
		}
	}
	if w.old { // there a transfer line may name any module that is known
		lines = slices.DeleteFunc(lines, func(l string) bool { return strings.Contains(l, "[10.6.6.6]") })
	}
	for _, l := range lines {
		w.steps = append(w.steps, step{pid: pid, text: l, forged: true})
	}
}

// restart starts the daemon anew under its clients.
func (w *world) restart() {
	w.log(w.next-100, "sent 0 bytes  received 0 bytes  total size 0")
	w.log(w.fork(), "rsyncd version 3.5.0 starting, listening on port 873")
}

func (w *world) pause() {
	longest := time.Minute // of 40 pauses: less than an hour in all
	if w.long {
		longest = 5 * time.Hour
	}
	w.steps = append(w.steps, step{pause: time.Duration(w.r.Float64() * float64(longest))})
}

// play returns what is counted, with the attacker's lines or without: by kind, module and user. What may differ in
// its own sessions is left out.
func (w *world) play(t *testing.T, attack bool) (books map[string]int64, gauges map[string]string) {
	s := newSessions(rsynclog.DefaultLimits(), "pub")
	if w.old {
		s = newSessions(rsynclog.DefaultLimits(), "pub", "data", "backup")
	}
	o := originOf(s, 0, "")
	now := int64(time.Hour)
	books, gauges = map[string]int64{}, map[string]string{}
	count := func(changes []rsynclog.Change) {
		for _, c := range changes {
			name := ""
			if c.Session != nil {
				name = fmt.Sprintf("%q %q", c.Session.Module, c.Session.User)
				if w.unasked && c.Session.Module == "pub" {
					if name = `"pub"`; c.Kind == rsynclog.Executed {
						continue
					}
				}
			}
			own := c.Session == nil || c.Session.Module == "pub"
			if w.old && !own && c.Session.Module == "" && c.Session.Addr == "10.6.6.6" {
				own, name = true, `"pub" ""` // its module is yet to be confirmed
			}
			switch c.Kind {
			case rsynclog.Connected, rsynclog.DaemonStarted, rsynclog.LostByRelay, rsynclog.Executed, rsynclog.Listed:
				books[fmt.Sprint(c.Kind, name)] += int64(c.N)
			case rsynclog.Ended:
				books["ended "+name] += int64(c.N)
				if !own {
					books["bytes "+name] += int64(c.Sent + 3*c.Received + 5*c.Total)
					books["outcome "+c.Session.Outcome.String()+name] += int64(c.N)
				}
				if x := c.Session; x.Module != "" && x.Module != "pub" && !x.Doubted && x.Direction != rsynclog.NoDirection {
					gauges[name+x.Direction.String()] = fmt.Sprint(x.LastSeen, x.Outcome, x.Total)
				}
			default:
				if !own {
					books[fmt.Sprint(c.Kind, name, c.Op, c.Code, c.Errno, c.Reason)] += int64(c.N + 7*c.Length)
				}
			}
		}
	}
	for _, step := range w.steps {
		switch {
		case step.pause > 0:
			now += int64(step.pause)
			count(tickAll(s, now))
		case attack || !step.forged:
			ev := rsynclog.Event{Severity: -1}
			w.parser.Parse([]byte(step.text), &ev)
			if ev.Kind == rsynclog.LostUpstream {
				continue // the pipeline's: under a daemon's tag it is a client's
			}
			p := rsynclog.Process{PID: step.pid}
			if w.kernel {
				p.Started = 1000 + uint64(step.pid)/8 // some begin in the same tick
			}
			changes, _ := s.Apply(o, p, rsynclog.When{Arrived: now}, &ev)
			count(changes)
		}
	}
	for range 2 {
		now += int64(100 * time.Hour)
		count(tickAll(s, now))
	}
	return books, gauges
}

func newWorld(r *rand.Rand, parser *rsynclog.Parser) *world {
	w := &world{
		r: r, parser: parser, next: 300 + r.Int32N(3000),
		long: r.IntN(3) == 0, kernel: r.IntN(4) == 0, old: r.IntN(4) == 0,
	}
	w.log(w.fork(), "rsyncd version 3.5.0 starting, listening on port 873")
	w.innocent()
	w.open()
	for range 10 + r.IntN(80) {
		switch n := r.IntN(20); {
		case n < 3:
			w.innocent()
		case n < 4 && len(w.under) > 0:
			w.goOn(w.r.IntN(len(w.under)), 1+w.r.IntN(3))
		case n < 6 && len(w.held) < 4:
			w.open()
		case n < 7 && len(w.held) > 1:
			w.close()
		case n < 8: // connections that it only opens and closes
			for range r.IntN(30) {
				w.log(w.fork(), "connect from evil (10.6.6.6)")
			}
		case n < 9 && w.long && r.IntN(4) == 0:
			w.restart()
		case n < 11 && (w.long || r.IntN(2) == 0):
			w.pause()
		default:
			w.forge()
		}
	}
	return w
}

// A client finds no way to a session, a module's or a user's name, a daemon's start or the freshness of a backup that
// is not its own, in any order of what it can write and of the connections that it can make, while others come and
// go. Where hours pass it may gain sessions, which are doubtful and move no gauge. Not played: a client that makes so
// many connections that all pids come round under it.
func TestNoWayForAClient(t *testing.T) {
	parser := mustParser(t, rsynclog.DefaultLogFormat)
	r := rand.New(rand.NewPCG(testenv.Seed(t), 1))
	for n := range testenv.Tortured(3000, 100_000) {
		w := newWorld(r, parser)
		alone, truth := w.play(t, false)
		beside, gauges := w.play(t, true)
		if !maps.Equal(truth, gauges) {
			t.Errorf("case %d: freshness %v, want %v", n, gauges, truth)
		}
		for name, v := range beside {
			want, known := alone[name]
			switch {
			case w.long && strings.Contains(name, `""`): // a session without a module, which may be its own
			case !known:
				t.Errorf("case %d: %s is new: %d", n, name, v)
			case v != want && !w.long:
				t.Errorf("case %d: %s is %d, want %d", n, name, v, want)
			}
		}
		for name, want := range alone {
			if v := beside[name]; v < want && !(w.long && strings.Contains(name, `""`)) {
				t.Errorf("case %d: %s is %d, want %d", n, name, v, want)
			}
		}
		if t.Failed() {
			for _, s := range w.steps {
				t.Logf("%+v", s)
			}
			return
		}
	}
}
