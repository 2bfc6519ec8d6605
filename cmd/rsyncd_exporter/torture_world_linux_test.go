package main

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"time"
)

// worldModules are those that sessions ask for. The program knows them, so that their series are there before the first session.
var worldModules = []string{"mirror", "backup", "pub"}

// A flow is what the lines of one module and direction add up to.
type flow struct{ executions, sessions, files, fileBytes, sent, received, listed uint64 }

// A world is a log file with everything around it that a machine with an rsync daemon has: sessions, each a process that opens the file once
// and keeps its descriptor whatever becomes of the file's name, and somebody who rotates. It does one thing after another, in an order that
// the seed alone decides, and knows exactly what should be counted. Its lines carry random numbers, and their sums are part of what it
// knows: so a line that is lost and another that is counted twice don't cancel out.
type world struct {
	*rand.Rand
	path    string
	symlink bool     // the path is a symbolic link, and rotation gives it another target
	rate    int      // lines a second; 0: as many as can be written
	every   int      // lines between two rotations, about
	beside  []*world // other log files, which are written in turn with this one, each knowing what is its own

	// Of a log file that comes and goes, a guest:
	pattern  string // names the path for the program; "" where the path does
	mortal   int    // lines until its sessions end and it is deleted, with all that was rotated away, about; 0 for never
	shy      bool   // the pattern matches names of rotated files, too, and only one who has seen it can tell what it was rotated to
	unseen   bool   // it has come, and nobody may have
	ended    bool   // its sessions have, and it isn't deleted yet
	asleep   int    // turns until anything happens
	vanished int

	// caughtUp waits until all that was written is counted. What has been read to its end may be deleted then.
	caughtUp func() error
	keeps    bool // only when told to: the program may be down for good
	// held waits until the program has the file open. Only before that does a rotation of a symbolic link lose it for good.
	held func(path string) error
	// unlinks says that files are deleted while sessions write to them, which only a program that has them open can read.
	unlinks bool

	sessions []*session
	minute   int // by which its clock is behind; so log files differ whose sessions have the same pids
	pid      int
	current  *generation // the file that has the name, nil while there is none
	chain    []*generation
	others   []*generation // that rotation has left behind
	rotated  int
	deleted  int

	lines                         uint64
	connects, fileLists, allowed  uint64
	starts, transfers, summations uint64
	flows                         [][2]flow // by module, and by direction: 0 is send
}

// A generation is one file that has or had the name.
type generation struct {
	path     string
	sessions int // that have it open
	lines    uint64
	retired  int // the rotation that took its name
}

// A session is a process that serves a client.
type session struct {
	file      *os.File
	in        *generation
	pid       int
	module    int
	direction int
	step      int
	transfers int // lines to come
	slow      bool
}

const (
	worldSessions = 16  // at a time
	worldChain    = 6   // names .1, .2 … that a chain has
	worldPurge    = 50  // rotations between two deletions of what is old
	worldOld      = 150 // rotations after which a session ends. The program lets files go beyond 512.
)

// guests is the directory of log files that only patterns name.
const guests = "guests"

// newWorld makes a log file in an existing directory, empty and without sessions.
func newWorld(path string, seed uint64) *world {
	return &world{
		Rand: rand.New(rand.NewPCG(seed, 1)), path: path, pid: 1000, every: 400, flows: make([][2]flow, len(worldModules)),
		caughtUp: func() error { return nil }, held: func(string) error { return nil },
	}
}

// A broken world is one whose file system fails, or whose program never catches up; it ends the run.
type broken struct{ error }

func check(err error) {
	if err != nil {
		panic(broken{err})
	}
}

// run writes until it is told to end, and leaves the sessions as they are. It returns what stopped it before, if anything.
func (w *world) run(ended func() bool) error {
	return tried(func() {
		began, begun := time.Now(), w.lines
		for !ended() {
			w.turn()
			if w.rate > 0 && w.lines%64 == 0 {
				time.Sleep(time.Until(began.Add(time.Duration(w.lines-begun) * time.Second / time.Duration(w.rate))))
			}
		}
	})
}

// turn does the next thing.
func (w *world) turn() {
	switch {
	case len(w.beside) > 0 && w.IntN(2) == 0:
		w.beside[w.IntN(len(w.beside))].turn()
		return
	case w.asleep > 0:
		w.asleep--
		return
	case w.ended:
		w.vanish()
		return
	}
	w.step()
	if w.IntN(w.every) == 0 {
		w.rotate()
	}
	if w.mortal > 0 && w.IntN(w.mortal) == 0 {
		check(w.end())
		w.ended, w.asleep = true, w.IntN(w.every)
	}
}

// all returns the world and those beside it.
func (w *world) all() []*world { return append([]*world{w}, w.beside...) }

// written returns how many lines there are, in all files.
func (w *world) written() (lines uint64) {
	for _, w := range w.all() {
		lines += w.lines
	}
	return lines
}

// rotations returns what ends a run after so many.
func (w *world) rotations(n int) (ended func() bool) {
	end := w.rotated + n
	return func() bool { return w.rotated >= end }
}

// end ends all sessions.
func (w *world) end() error {
	return tried(func() {
		for len(w.sessions) > 0 {
			w.finish(w.sessions[0])
		}
		for _, other := range w.beside {
			check(other.end())
		}
	})
}

// tried returns the error that broke f off.
func tried(f func()) (err error) {
	defer func() {
		if r := recover(); r != nil {
			b, ok := r.(broken)
			if !ok {
				panic(r)
			}
			err = b.error
		}
	}()
	f()
	return nil
}

// step lets one session write its next line, or begins one.
func (w *world) step() {
	if len(w.sessions) < worldSessions {
		w.begin()
	}
	s := w.sessions[w.IntN(len(w.sessions))]
	switch {
	case s.in != w.current && w.rotated-s.in.retired > worldOld:
		w.finish(s)
	case !s.slow || w.IntN(20) == 0:
		w.next(s)
	}
}

// begin starts a session: most are short, some write for long and some seldom.
func (w *world) begin() *session {
	s := &session{in: w.open(), module: w.IntN(len(worldModules)), direction: w.IntN(2), transfers: w.IntN(30)}
	switch w.IntN(10) {
	case 0:
		s.transfers = 500 + w.IntN(2000)
	case 1:
		s.slow = true
	}
	w.pid++
	s.pid = w.pid
	var err error
	s.file, err = os.OpenFile(w.path, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o644) // log.c: logfile_reopen
	check(err)
	s.in.sessions++
	w.sessions = append(w.sessions, s)
	return s
}

// open returns the file that has the name, and notes that the session which opens it creates it if there is none.
func (w *world) open() *generation {
	if w.current == nil {
		w.current = &generation{path: w.path}
		if w.symlink {
			w.target()
		}
	}
	return w.current
}

// finish lets a session write all that it has left, or little where that is much.
func (w *world) finish(s *session) {
	s.transfers = min(s.transfers, 5)
	for s.file != nil {
		w.next(s)
	}
}

// next writes the session's next line. After the last one the session ends.
func (w *world) next(s *session) {
	f := &w.flows[s.module][s.direction]
	module := worldModules[s.module]
	host := fmt.Sprintf("host%d.example.org", s.pid%250)
	addr := fmt.Sprintf("203.0.113.%d", s.pid%250)
	verb, list, operation := "on", "building file list", "send"
	if s.direction == 1 {
		verb, list, operation = "to", "receiving file list", "recv"
	}
	switch s.step {
	case 0:
		w.connects++
		w.write(s, fmt.Sprintf("connect from %s (%s)", host, addr))
	case 1:
		w.allowed++
		w.write(s, fmt.Sprintf("rsync allowed access on module %s from %s (%s)", module, host, addr))
	case 2:
		w.starts++
		f.executions++
		w.write(s, fmt.Sprintf("rsync %s %s/ from %s (%s)", verb, module, host, addr))
	case 3:
		w.fileLists++
		w.write(s, list)
	default:
		if s.transfers > 0 {
			s.transfers--
			w.transfers++
			weight := w.weight()
			f.files++
			f.fileBytes += weight
			w.write(s, fmt.Sprintf("%s %s [%s] %s () dir/f%d %d", operation, host, addr, module, w.lines, weight))
			return // step stays
		}
		sent, received, listed := w.weight(), w.weight(), w.weight()
		w.summations++
		f.sessions++
		f.sent, f.received, f.listed = f.sent+sent, f.received+received, f.listed+listed
		w.write(s, fmt.Sprintf("sent %d bytes  received %d bytes  total size %d", sent, received, listed))
		check(s.file.Close())
		s.file = nil
		s.in.sessions--
		for i, other := range w.sessions {
			if other == s {
				w.sessions = append(w.sessions[:i], w.sessions[i+1:]...)
				break
			}
		}
		return
	}
	s.step++
}

// weight returns a random number. The sum of 50 million stays far below 2^52, so that a float64 holds it exactly.
func (w *world) weight() uint64 { return w.Uint64N(1 << 26) }

// write writes a line: most in one piece as rsync does, some in two.
func (w *world) write(s *session, text string) {
	line := time.Now().Add(-time.Duration(w.minute)*time.Minute).AppendFormat(nil, "2006/01/02 15:04:05")
	line = fmt.Appendf(line, " [%d] %s\n", s.pid, text)
	if w.IntN(40) == 0 {
		cut := 1 + w.IntN(len(line)-1)
		_, err := s.file.Write(line[:cut])
		check(err)
		line = line[cut:]
	}
	_, err := s.file.Write(line)
	check(err)
	w.lines++
	s.in.lines++
}

// rotate rotates once, or several times at once.
func (w *world) rotate() {
	if w.shy && w.unseen {
		if w.current == nil {
			w.next(w.begin())
		}
		check(w.caughtUp())
		w.unseen = false
	}
	times := 1
	if w.IntN(8) == 0 {
		times += w.IntN(5)
	}
	for range times {
		w.rotateOnce()
	}
}

// rotateOnce takes the file's name from it in one of the ways that programs have. A session that begins later creates the next file, as
// rsync does, unless the rotation has created it.
func (w *world) rotateOnce() {
	if w.current == nil { // none has come since the last time
		w.next(w.begin())
	}
	old := w.current
	w.rotated++
	old.retired = w.rotated
	switch {
	case w.symlink:
		check(w.held(old.path))
		w.others = append(w.others, old)
		w.current = &generation{}
		w.target()
	case w.IntN(2) == 0: // logrotate's: .1 to .2 and so on
		w.current = nil
		w.rename(old)
	default: // logrotate's dateext
		w.current = nil
		w.others = append(w.others, old)
		w.move(old, fmt.Sprintf("%s-20261126-%d", w.path, w.rotated))
	}
	if w.current == nil && w.IntN(3) == 0 { // logrotate's create
		f, err := os.OpenFile(w.path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
		check(err)
		check(f.Close())
		w.current = &generation{path: w.path}
	}
	if w.rotated%worldPurge == 0 && !w.keeps {
		w.purge()
	}
}

// rename moves a chain of files on by one, so that the newest can become .1. What falls off its end gets a name of its own.
func (w *world) rename(newest *generation) {
	if len(w.chain) == worldChain {
		oldest := w.chain[worldChain-1]
		w.chain = w.chain[:worldChain-1]
		w.others = append(w.others, oldest)
		name := "%s-old-%d"
		if w.shy { // by such a name it would be a log of its own
			name = "%s.1%06d"
		}
		w.move(oldest, fmt.Sprintf(name, w.path, w.rotated))
	}
	for i := len(w.chain) - 1; i >= 0; i-- {
		w.move(w.chain[i], fmt.Sprintf("%s.%d", w.path, i+2))
	}
	w.move(newest, w.path+".1")
	w.chain = append([]*generation{newest}, w.chain...)
}

func (w *world) move(g *generation, to string) {
	check(os.Rename(g.path, to))
	g.path = to
}

// target makes the path a symbolic link to a new file, which is current.
func (w *world) target() {
	w.current.path = fmt.Sprintf("%s-%06d", w.path, w.rotated)
	f, err := os.OpenFile(w.current.path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	check(err)
	check(f.Close())
	next := filepath.Join(filepath.Dir(w.path), "next")
	check(os.Symlink(filepath.Base(w.current.path), next))
	check(os.Rename(next, w.path))
}

// purge waits until all is counted, and then deletes files that have been rotated away: those that no session has open and, with
// unlinks, some of the others. Of these the program has read something, so it has them open.
func (w *world) purge() {
	check(w.caughtUp())
	var kept []*generation
	for _, g := range w.others {
		if g.sessions == 0 || w.unlinks && g.lines > 0 && w.IntN(4) == 0 {
			check(os.Remove(g.path))
			w.deleted++
		} else {
			kept = append(kept, g)
		}
	}
	w.others = kept
}

// vanish waits until all is counted, and deletes all that there is, until the log file begins anew.
func (w *world) vanish() {
	check(w.caughtUp())
	all := append(w.others, w.chain...)
	if w.current != nil {
		all = append(all, w.current)
	}
	for _, g := range all {
		check(os.Remove(g.path))
	}
	w.deleted += len(all)
	w.vanished++
	w.leave()
}

// leave makes the world one that is to begin after a while.
func (w *world) leave() {
	w.current, w.chain, w.others = nil, nil, nil
	w.unseen, w.ended, w.asleep = true, false, w.IntN(2*w.every)
}

// truth returns what a Prometheus that was there from the beginning must have counted: the increase of every series of rsync's own
// metrics that is not 0.
func (w *world) truth() map[string]float64 {
	all := map[string]float64{
		`rsyncd_exporter_received_total{input="file"}`: float64(w.lines),
		seriesName("rsync_connections_total"):          float64(w.connects),
	}
	client := func(name string, n uint64) { all[name+`{asn="",country="",family="ipv4",group=""}`] += float64(n) }
	for kind, n := range map[string]uint64{
		"connect": w.connects, "allowed": w.allowed, "start": w.starts, "file_list": w.fileLists, "transfer": w.transfers, "summary": w.summations,
	} {
		all[seriesName("rsync_messages_total", "kind", kind)] = float64(n)
	}
	for i, module := range worldModules {
		for d, f := range w.flows[i] {
			direction, operation := "send", "send"
			if d == 1 {
				direction, operation = "receive", "recv"
			}
			of := func(name string, n uint64) {
				all[seriesName(name, "module", module, "direction", direction)] = float64(n)
			}
			of("rsync_executions_total", f.executions)
			of("rsync_sent_bytes_total", f.sent)
			of("rsync_received_bytes_total", f.received)
			of("rsync_exchanged_bytes_total", f.sent+f.received)
			of("rsync_listed_bytes_total", f.listed)
			of("rsync_session_duration_seconds_count", f.sessions)
			client("rsync_client_sessions_total", f.sessions)
			client("rsync_client_sent_bytes_total", f.sent)
			client("rsync_client_received_bytes_total", f.received)
			all[seriesName("rsync_sessions_total", "module", module, "direction", direction, "outcome", "ok")] = float64(f.sessions)
			all[seriesName("rsync_files_total", "module", module, "operation", operation)] = float64(f.files)
			all[seriesName("rsync_file_bytes_total", "module", module, "operation", operation)] = float64(f.fileBytes)
		}
	}
	for _, other := range w.beside {
		for series, n := range other.truth() {
			all[series] += n
		}
	}
	return all
}
