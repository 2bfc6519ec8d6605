package follow

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"rsyncd_exporter/internal/testenv"
	"rsyncd_exporter/receiver"
	"rsyncd_exporter/receiver/syslog"
)

// A restartSink counts lines as the pipeline does: each file's position is recorded together with what it counts, and both are saved
// and restored together.
type restartSink struct {
	world     *restartModel
	times     []uint8 // by line number, of lines that were written once
	shared    []int   // how often each shared line was counted for each log, see restartModel.sharedAt
	sum       uint64
	positions map[receiver.FileID]receiver.FilePosition
}

func (s *restartSink) source(path string, scope uint32) receiver.Source {
	return receiver.Source{Input: "file", Name: path, Scope: scope, Dialect: s.world.dialect}
}

func (s *restartSink) Deliver(src *receiver.Source, slab *receiver.Slab) {
	if isCaughtUp(slab) {
		return
	}
	log := s.world.logOf(src.Name)
	read := make([]string, 0, len(slab.Messages))
	for _, text := range slab.Messages {
		as := s.count(log, string(text))
		if as == "" {
			as = "bad"
			s.world.bad = append(s.world.bad, string(text))
		}
		read = append(read, as)
	}
	s.world.note("\t%s, inode %d to %d: %v", src.Name, slab.Position.ID.Inode, slab.Position.Offset, read)
	for _, n := range slab.Discarded {
		s.world.discarded += int(n)
	}
	s.positions[slab.Position.ID] = *slab.Position
}

// count returns what it has counted a line as, "" for a text that nobody has written to this log.
func (s *restartSink) count(log *modelLog, text string) (as string) {
	if i := slices.Index(s.world.sharedTexts, text); i >= 0 && log != nil {
		at := s.world.sharedAt(log, i)
		s.shared[at]++
		s.sum += s.world.sharedWeights[at]
		return fmt.Sprintf("shared %d", i)
	}
	n, written := s.world.numbers[text]
	if !written || s.world.lines[n].log != log {
		return ""
	}
	if n >= len(s.times) {
		s.times = append(s.times, make([]uint8, n+1-len(s.times))...)
	}
	s.times[n]++
	s.sum += s.world.lines[n].weight
	return strconv.Itoa(n)
}

func (s *restartSink) clone() *restartSink {
	c := *s
	c.times, c.shared, c.positions = slices.Clone(s.times), slices.Clone(s.shared), maps.Clone(s.positions)
	return &c
}

// has reports whether a line that was written once has been counted.
func (s *restartSink) has(n int) bool { return s != nil && n < len(s.times) && s.times[n] > 0 }

// A modelLine is one line that was written to one file. What is copied, trimmed or compressed afterwards is still the same line.
type modelLine struct {
	text   string // with its end
	weight uint64
	log    *modelLog
	shared int // which of the texts that many files begin with; -1 for one that is there once
}

// A modelLog is a path that is followed, by its own name or by a pattern.
type modelLog struct {
	index    int
	followed string
	path     string // followed, or what it leads to as a symbolic link
}

func (l *modelLog) linked() bool { return l.path != l.followed }

// A worldFile is a file that is or was a followed one, by what was written to it.
type worldFile struct {
	log     *modelLog
	id      receiver.FileID
	lines   []int
	name    string    // "" once it is deleted
	gone    bool      // it is deleted
	lost    bool      // and nobody has it open who would read it
	glued   bool      // what it ends with is the beginning of a line that was cut
	mangled bool      // so it doesn't hold all its lines
	stub    bool      // it was cut within its first line, and any file may begin so
	copied  bool      // there are copies of what it holds now
	put     bool      // it is a copy itself that was put in the place of another
	packed  bool      // it is compressed
	torn    awareness // it was cut to a part of what it held
	moved   awareness // what it holds was trimmed, so its lines are elsewhere than they were
	doubled awareness // somebody has copied it, for himself
}

// An awareness says what the follower knows of something that has happened to a file.
type awareness int

const (
	isKept   awareness = iota // a saved state tells, or nothing has happened
	isSeen                    // no saved state tells
	isUnseen                  // it takes one look and reading to see it
	isFresh                   // or two, where the first one may only find that something has changed
)

func (a *awareness) see() {
	if *a > isSeen {
		*a--
	}
}

// forget is what a kill does to all that was not saved.
func (a *awareness) forget() {
	if *a != isKept {
		*a = isFresh
	}
}

func (a *awareness) keep() {
	if *a == isSeen {
		*a = isKept
	}
}

type worldWriter struct {
	writer
	file *worldFile
	rest string // of a line that has not ended
	n    int    // its number
}

// What a case of the model may do beyond writing, rotating, copying, putting a copy or the end of a log in its place by a rename, compressing
// while we are down, and restarting.
const (
	renames       = iota // nothing: each line is counted exactly once, and there are no gaps
	cutsWhileDown        // copytruncate while we are down, and trimming in place at any time: exactly once all the same
	destruction          // truncation, copytruncate and deletion at any time: at most once, and what is lost was destroyed
	cutsAnyTime          // copytruncate and trimming in place at any time, and the copies stay: exactly once
	numRestartModes
)

// A restartModel is a world in which a Set is stopped and killed and goes on from a saved state. One goroutine does everything, so a
// case takes no longer than its system calls.
//
// What it never does is what no follower can tell from something else, by what is on the disk and in a saved state of bounded size:
//
//   - A line is whole when its file is cut. Otherwise one half of it is in the copy, the other one in the file.
//   - Nothing is written between copytruncate's copy and its cut.
//   - A file that holds nothing but lines which others begin with, too, is not copied, cut, trimmed, compressed or deleted, and only
//     rotated once a saved state knows it (bare): it may be a copy of any of them. Nor may one be cut, replaced, compressed or deleted that
//     was counted up to there (firm): all of them go on where that was counted to.
//   - A file that was trimmed is not cut, copied or compressed before that is seen and saved (moved), nor is a copy that has been put in its
//     place: of its lines, the saved state knows where they were. It may be trimmed again, replaced, and rotated.
//   - But for destruction, a log is only trimmed or replaced by its copy when a restart would know all its lines. Otherwise lines that nobody
//     has counted are thrown away; or they are only in the old file for us, which is gone after a restart.
//   - A copy in the place of a log is looked at before the old file grows and is read, which its writers have open still. Otherwise a restart
//     finds a copy that lacks what was counted last.
//   - A file of which somebody has a copy is not cut, replaced, compressed or deleted before the copy is seen and saved (doubled). Otherwise
//     only what is in both could tell it from another generation that begins alike.
//   - Nor is one of which somebody has a copy rotated before a saved state knows it. Of two files that begin alike and that nobody has seen, either
//     may be the copy.
//   - A file that was cut to a part is not copied before that is seen and saved (torn), for the same reason. Where files begin alike, more
//     is left of it than what others begin with. And no file that was cut begins like others again, unless a copy is there that tells
//     it from one that was cut to a part. One of which not even a line is left is not deleted (stub): any other goes on where it was counted
//     to.
//   - A log that a pattern has never found keeps its name as long as compressed files of it are there (onlyPacked). Nothing else tells that
//     these are of a log that is followed.
//
// A kill between a cut and the next look is none of these: the restart finds what it would after a cut while we were down. Nor are two cuts
// between two looks: the first copy goes on where the log was read to, and the second one is new.
type restartModel struct {
	t         *testing.T
	r         *rand.Rand
	mode      int
	dir       string
	paths     []string // of the Set
	dialect   receiver.Dialect
	stamped   bool
	logs      []*modelLog
	set       *Set // nil while we are down
	sink      *restartSink
	savedSink *restartSink // what was last saved, and what goes with it
	saved     *Catalogue
	savedIDs  map[receiver.FileID]bool

	lines         []modelLine    // by number, from 1 on
	numbers       map[string]int // of those that were written once, by their texts without the end
	risk          map[int]bool   // lines that may be lost
	sharedTexts   []string       // that files begin with, without their ends; none in most worlds
	sharedWeights []uint64
	files         []*worldFile
	writers       []*worldWriter
	names         int
	trimmed       bool // a log was
	unlinked      bool // a file is gone, and nothing tells a restart that all its lines are counted
	bad           []string
	discarded     int
	log           []string
}

// newRestartModel makes a world: its logs, how they are named, and how their lines look.
func newRestartModel(t *testing.T, r *rand.Rand, dir string) *restartModel {
	m := &restartModel{
		t: t, r: r, mode: r.IntN(numRestartModes), dir: dir, dialect: syslog.Lines{}, stamped: true,
		saved: &Catalogue{}, lines: make([]modelLine, 1), numbers: map[string]int{}, risk: map[int]bool{},
	}
	for i := range 1 + r.IntN(3) {
		path := filepath.Join(dir, string(rune('a'+i))+".log")
		m.logs = append(m.logs, &modelLog{index: i, followed: path, path: path})
		m.paths = append(m.paths, path)
	}
	switch r.IntN(3) {
	case 0:
		m.paths = []string{filepath.Join(dir, "*.log")}
	case 1:
		m.paths = []string{filepath.Join(dir, "*")}
	default:
		if m.mode == renames && r.IntN(4) == 0 {
			m.logs[0].path = filepath.Join(dir, "day0")
			m.link(m.logs[0])
		}
	}
	if r.IntN(4) == 0 {
		var err error
		m.dialect, err = syslog.ParseLineFormat(`\[(?P<pid>\d+)\] (?P<description>.*)`)
		must(t, err)
		m.stamped = false
	}
	if r.IntN(3) == 0 {
		m.shareTexts()
	}
	m.sink = &restartSink{world: m, shared: make([]int, len(m.sharedWeights)), positions: map[receiver.FileID]receiver.FilePosition{}}
	m.note("mode %d, paths %q, stamps %v, %d shared lines", m.mode, m.paths, m.stamped, len(m.sharedTexts))
	return m
}

// shareTexts makes up to 4 KiB of lines that files begin with.
func (m *restartModel) shareTexts() {
	for i := range 1 + m.r.IntN(4) {
		text := fmt.Sprintf("[1] shared %d ", i)
		if m.stamped {
			text = "2026/11/23 18:40:52 " + text
		}
		lengths := [...]int{0, 62, 63, 64, 200, 1000}
		text += strings.Repeat("=", max(0, lengths[m.r.IntN(len(lengths))]-len(text)))
		m.sharedTexts = append(m.sharedTexts, text)
	}
	for range len(m.logs) * len(m.sharedTexts) {
		m.sharedWeights = append(m.sharedWeights, uint64(m.r.Uint32()>>1))
	}
}

func (m *restartModel) sharedAt(l *modelLog, i int) int { return l.index*len(m.sharedTexts) + i }

// logOf returns the log that a followed path belongs to: a pattern may match the names of rotated files, too.
func (m *restartModel) logOf(path string) *modelLog {
	for _, l := range m.logs {
		if strings.HasPrefix(path, l.followed) {
			return l
		}
	}
	return nil
}

func (m *restartModel) note(format string, args ...any) {
	m.log = append(m.log, strings.ReplaceAll(fmt.Sprintf(format, args...), m.dir+"/", ""))
}

// add takes note of a new line that is there once. Both its ends tell it from others.
func (m *restartModel) add(l *modelLog) (n int) {
	n = len(m.lines)
	x := modelLine{weight: uint64(m.r.Uint32() >> 1), log: l, shared: -1}
	x.text = fmt.Sprintf("[%d] sent %d bytes  received %s  total size %d\n", n, x.weight, strings.Repeat("7", 20+m.r.IntN(40)), n)
	if m.stamped {
		x.text = "2026/11/23 18:40:52 " + x.text
	}
	m.numbers[x.text[:len(x.text)-1]] = n
	m.lines = append(m.lines, x)
	return n
}

func (m *restartModel) addShared(l *modelLog, i int) (n int) {
	m.lines = append(m.lines, modelLine{m.sharedTexts[i] + "\n", m.sharedWeights[m.sharedAt(l, i)], l, i})
	return len(m.lines) - 1
}

// text returns what a file of these lines holds.
func (m *restartModel) text(lines []int) string {
	var b strings.Builder
	for _, n := range lines {
		b.WriteString(m.lines[n].text)
	}
	return b.String()
}

func (m *restartModel) anyLog() *modelLog { return m.logs[m.r.IntN(len(m.logs))] }

// named returns the file that has the log's own name, nil if none has.
func (m *restartModel) named(l *modelLog) *worldFile {
	for _, f := range m.files {
		if f.name == l.path {
			return f
		}
	}
	return nil
}

// isSaved reports whether the saved state knows the file, by which it is found whatever it is called.
func (m *restartModel) isSaved(f *worldFile) bool { return m.savedIDs[f.id] }

// firstOwn returns the first of a file's lines that no other file has, 0 if there is none.
func (m *restartModel) firstOwn(f *worldFile) int {
	for _, n := range f.lines {
		if m.lines[n].shared < 0 {
			return n
		}
	}
	return 0
}

func (m *restartModel) bare(f *worldFile) bool { return len(f.lines) > 0 && m.firstOwn(f) == 0 }

// firm reports whether a file can't be taken for another one that begins like it.
func (m *restartModel) firm(f *worldFile) bool {
	if len(f.lines) == 0 || m.lines[f.lines[0]].shared < 0 {
		return true
	}
	n := m.firstOwn(f)
	return n != 0 && (m.sink.has(n) && m.savedSink.has(n) || m.set == nil && !m.isSaved(f))
}

// settled reports whether a restart would know all of a file's lines, of which none is being written.
func (m *restartModel) settled(f *worldFile) bool {
	if len(f.lines) == 0 || f.copied || f.mangled || !m.isSaved(f) || !m.firm(f) {
		return false
	}
	return !slices.ContainsFunc(m.writers, func(w *worldWriter) bool { return w.file == f && w.rest != "" }) &&
		!slices.ContainsFunc(f.lines, func(n int) bool {
			return m.lines[n].shared < 0 && (!m.sink.has(n) || !m.savedSink.has(n))
		})
}

// newFile makes a file and its writer.
func (m *restartModel) newFile(l *modelLog, flags int) *worldWriter {
	f, err := os.OpenFile(l.path, flags|os.O_WRONLY|os.O_APPEND, 0o644)
	must(m.t, err)
	info, err := statFD(int(f.Fd()))
	must(m.t, err)
	w := &worldWriter{writer: writer{m.t, f}, file: &worldFile{log: l, id: info.id, name: l.path}}
	m.files, m.writers = append(m.files, w.file), append(m.writers, w)
	return w
}

func (m *restartModel) endWriter(i int) {
	w := m.writers[i]
	m.finish(w)
	must(m.t, w.f.Close())
	m.writers = slices.Delete(m.writers, i, i+1)
}

// endWriters ends all that write to a file.
func (m *restartModel) endWriters(f *worldFile) {
	for i := len(m.writers) - 1; i >= 0; i-- {
		if m.writers[i].file == f {
			m.endWriter(i)
		}
	}
}

// endLines ends the lines in a file that is about to be cut.
func (m *restartModel) endLines(f *worldFile) {
	for _, w := range m.writers {
		if w.file == f {
			m.finish(w)
		}
	}
}

func (m *restartModel) finish(w *worldWriter) {
	if w.rest != "" {
		w.write(w.rest)
		w.rest = ""
		m.wrote(w, w.n)
	}
}

// begin takes note of a line that is begun.
func (m *restartModel) begin(w *worldWriter, n int) {
	if w.file.glued || w.file.torn != isKept {
		w.file.glued, m.risk[n] = false, true
	}
}

// wrote takes note of a line that has ended.
func (m *restartModel) wrote(w *worldWriter, n int) {
	f := w.file
	f.lines = append(f.lines, n)
	m.unlinked = m.unlinked || f.lost
	if f.lost || f.gone && m.mode == destruction || f.torn != isKept {
		m.risk[n] = true
	}
}

// atRisk marks all lines of a file that a restart from the saved state would not know.
func (m *restartModel) atRisk(f *worldFile) {
	first := m.firstOwn(f)
	for _, n := range f.lines {
		if m.lines[n].shared >= 0 && !m.savedSink.has(first) || m.lines[n].shared < 0 && !m.savedSink.has(n) {
			m.risk[n] = true
		}
	}
}

// unlink takes note of the end of a file's last name. Whoever has it open goes on writing to it.
func (m *restartModel) unlink(f *worldFile) {
	f.gone, f.lost, f.name = true, m.set == nil, ""
	m.unlinked = m.unlinked || m.set != nil
}

// down takes note that nobody has deleted files open any more.
func (m *restartModel) down() {
	for _, f := range m.files {
		if f.gone {
			f.lost = true
			m.atRisk(f)
		}
	}
}

// run plays one case.
func (m *restartModel) run() {
	m.create(m.logs[0])
	m.set = newModelSet(m.t, m.sink, m.paths, true, nil)
	m.save()
	for range 10 + m.r.IntN(40) {
		m.anyAction()
	}
	for len(m.writers) > 0 {
		m.endWriter(0)
	}
	m.start()
	for range 4 {
		lookAll(m.set)
		m.read(true)
	}
	status := m.set.Status()
	must(m.t, m.set.Close())
	m.check(status)
}

func (m *restartModel) check(status []Status) {
	m.t.Helper()
	var lost, twice []int
	var sum uint64
	written, risky := make([]int, len(m.sharedWeights)), make([]int, len(m.sharedWeights))
	for n := 1; n < len(m.lines); n++ {
		switch x := &m.lines[n]; {
		case x.shared >= 0:
			written[m.sharedAt(x.log, x.shared)]++
			if m.risk[n] {
				risky[m.sharedAt(x.log, x.shared)]++
			}
		case m.sink.has(n):
			sum += x.weight
			if m.sink.times[n] > 1 {
				twice = append(twice, n)
			}
		case !m.risk[n]:
			lost = append(lost, n)
		}
	}
	wrong := false
	for at, times := range m.sink.shared {
		sum += uint64(times) * m.sharedWeights[at]
		wrong = wrong || times > written[at] || times < written[at]-risky[at]
	}
	wrong = wrong || len(lost) > 0 || len(twice) > 0 || sum != m.sink.sum
	if m.mode != destruction {
		wrong = wrong || m.hasGaps(status) || len(m.bad) > 0 || m.discarded > 0
	}
	if wrong {
		m.t.Errorf("mode %d: of %d lines lost %v, twice %v, sum %d for %d, shared %v of %v less %v, bad %q, %d discarded, status %+v", m.mode,
			len(m.lines)-1, lost, twice, m.sink.sum, sum, m.sink.shared, written, risky, clip(m.bad), m.discarded, status)
	}
}

// hasGaps reports whether the Set shows gaps where nothing can have been lost. A cut is one all the same, and a file that a restart
// doesn't find any more.
func (m *restartModel) hasGaps(status []Status) bool {
	return slices.ContainsFunc(status, func(s Status) bool {
		return s.Errors > 0 || s.Gaps[GapUnread] > 0 && !m.unlinked || s.Gaps[GapTruncated] > 0 && m.mode == renames && !m.trimmed
	})
}

// The random-action model test of restarts. Each case has a seed of its own; SEED=n begins with that of a case that has failed.
func TestSetRestartModel(t *testing.T) {
	seed := testenv.Seed(t)
	base := t.TempDir()
	lines := 0
	for i := range testenv.Tortured(1000, 100_000) {
		dir := filepath.Join(base, strconv.Itoa(i))
		must(t, os.Mkdir(dir, 0o755))
		m := newRestartModel(t, rand.New(rand.NewPCG(seed+uint64(i), 1)), dir)
		m.run()
		lines += len(m.lines) - 1
		if t.Failed() {
			t.Fatalf("case %d, SEED=%d:\n%s", i, seed+uint64(i), strings.Join(m.log, "\n"))
		}
		must(t, os.RemoveAll(dir))
	}
	t.Logf("%d lines", lines)
}
