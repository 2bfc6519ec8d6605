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
)

// A restartSink counts lines as the pipeline does: each file's position is recorded together with what it counts, and both are saved
// and restored together.
type restartSink struct {
	world     *restartModel
	times     []uint8 // by line number
	sum       uint64
	positions map[receiver.FileID]receiver.FilePosition
}

func (s *restartSink) Deliver(_ *receiver.Source, slab *receiver.Slab) {
	if isCaughtUp(slab) {
		return
	}
	for _, m := range slab.Messages {
		var n int
		var weight uint64
		_, err := fmt.Sscanf(string(m), "2026/11/23 18:40:52 [%d] sent %d bytes", &n, &weight)
		if err != nil || n <= 0 || n >= len(s.world.lines) || s.world.lines[n] != string(m)+"\n" {
			s.world.bad = append(s.world.bad, string(m))
			continue
		}
		for len(s.times) <= n {
			s.times = append(s.times, 0)
		}
		s.times[n]++
		if debugPlan != nil {
			s.world.note("deliver %d of %d", n, slab.Position.ID.Inode)
		}
		s.sum += weight
	}
	for _, n := range slab.Discarded {
		s.world.discarded += int(n)
	}
	s.positions[slab.Position.ID] = *slab.Position
}

func (s *restartSink) clone() *restartSink {
	c := *s
	c.times, c.positions = slices.Clone(s.times), maps.Clone(s.positions)
	return &c
}

func (s *restartSink) has(n int) bool { return n < len(s.times) && s.times[n] > 0 }

// A worldFile is a file that is or was the followed one, by what was written to it.
type worldFile struct {
	lines  []int
	name   string // "" once it is deleted
	gone   bool
	glued  bool // what it ends with is the beginning of a line that was cut
	copied bool // there are copies of what it holds now
	put    bool // it is a copy itself that was put in the place of another
	torn   int  // it was cut to a part of what it held: 1 nobody has seen that, 2 we have, but no saved state tells, 0 one does
}

type worldWriter struct {
	writer
	file *worldFile
	rest string // of a line that has not ended
	n    int    // its number
}

// What a case of the model may do beyond writing, renaming, copying and restarting.
const (
	renames       = iota // nothing: each line is counted exactly once, and there are no gaps
	cutsWhileDown        // copytruncate while we are down: exactly once all the same
	destruction          // truncation, copytruncate and deletion at any time: at most once, and what is lost was destroyed
	numRestartModes
)

// A restartModel is a world in which a File is stopped and killed and goes on from a saved state. One goroutine does everything, so a
// case takes no longer than its system calls.
type restartModel struct {
	t         *testing.T
	r         *rand.Rand
	mode      int
	followed  string
	path      string // followed, or what it leads to as a symbolic link
	f         *File  // nil while we are down
	sink      *restartSink
	savedSink *restartSink // what was last saved, and what goes with it
	saved     Catalogue

	lines     []string // by number, from 1 on
	weights   []uint64
	risk      map[int]bool // lines that may be lost
	files     []*worldFile
	writers   []*worldWriter
	names     int
	bad       []string
	discarded int
	log       []string
}

func (m *restartModel) note(format string, args ...any) {
	m.log = append(m.log, fmt.Sprintf(format, args...))
}

func (m *restartModel) newLine() (n int, text string) {
	weight := uint64(m.r.Uint32() >> 1)
	n = len(m.lines)
	text = fmt.Sprintf("2026/11/23 18:40:52 [%d] sent %d bytes  received %s  total size 5\n", n, weight, strings.Repeat("7", m.r.IntN(40)))
	m.lines, m.weights = append(m.lines, text), append(m.weights, weight)
	return n, text
}

// create makes the file with the followed name, and its writer.
func (m *restartModel) create() {
	if m.named() != nil {
		return
	}
	file := &worldFile{name: m.path}
	m.files = append(m.files, file)
	f, err := os.OpenFile(m.path, os.O_CREATE|os.O_EXCL|os.O_WRONLY|os.O_APPEND, 0o644)
	must(m.t, err)
	m.writers = append(m.writers, &worldWriter{writer: writer{m.t, f}, file: file})
	m.note("create")
	if len(m.writers) > 6 {
		m.endWriter(m.r.IntN(4))
	}
}

func (m *restartModel) named() *worldFile {
	for _, f := range m.files {
		if f.name == m.path {
			return f
		}
	}
	return nil
}

func (m *restartModel) endWriter(i int) {
	w := m.writers[i]
	m.finish(w)
	must(m.t, w.f.Close())
	m.writers = slices.Delete(m.writers, i, i+1)
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
	if w.file.glued || w.file.torn != 0 {
		w.file.glued, m.risk[n] = false, true
	}
}

// wrote takes note of a line that has ended.
func (m *restartModel) wrote(w *worldWriter, n int) {
	w.file.lines = append(w.file.lines, n)
	if w.file.gone || w.file.torn != 0 {
		m.risk[n] = true
	}
}

func (m *restartModel) write() {
	if len(m.writers) == 0 {
		return
	}
	w := m.writers[len(m.writers)-1]
	if m.r.IntN(3) == 0 {
		w = m.writers[m.r.IntN(len(m.writers))]
	}
	switch {
	case w.rest != "":
		m.finish(w)
	case m.r.IntN(5) == 0:
		n, s := m.newLine()
		m.begin(w, n)
		cut := 1 + m.r.IntN(len(s)-1)
		w.write(s[:cut])
		w.rest, w.n = s[cut:], n
		m.note("write %d bytes of line %d to %s", cut, n, w.file.name)
	default:
		for range 1 + m.r.IntN(4) {
			n, s := m.newLine()
			m.begin(w, n)
			w.write(s)
			m.wrote(w, n)
		}
		m.note("write up to line %d to %s", len(m.lines)-1, w.file.name)
	}
}

func (m *restartModel) linked() bool { return m.path != m.followed }

// isSaved reports whether the saved state knows the file, by which it is found wherever the link leads to.
func (m *restartModel) isSaved(f *worldFile) bool {
	info, err := statPath(f.name, false)
	must(m.t, err)
	return slices.ContainsFunc(m.saved.Known, func(r FileRecord) bool { return r.Verdict == Reading && r.Pos.ID == info.id })
}

// relink makes the symbolic link lead to another place, where there is nothing yet. What nobody has seen in the old one would be lost.
func (m *restartModel) relink() {
	if !m.linked() || !slices.ContainsFunc(m.files, m.isSaved) || slices.ContainsFunc(m.files, func(f *worldFile) bool { return !m.isSaved(f) }) {
		return
	}
	m.names++
	m.path = filepath.Join(filepath.Dir(m.followed), fmt.Sprintf("day%d", m.names))
	if m.r.IntN(2) == 0 {
		must(m.t, os.Mkdir(m.path, 0o755))
		m.path = filepath.Join(m.path, "log")
	}
	m.link()
	m.note("relink to %s", m.path)
	if m.r.IntN(4) > 0 {
		m.create()
	}
}

func (m *restartModel) link() {
	must(m.t, os.Symlink(m.path, m.followed+"-new"))
	must(m.t, os.Rename(m.followed+"-new", m.followed))
}

// rotate renames, with the older ones moving on or to a name that was never there before.
func (m *restartModel) rotate() {
	f := m.named()
	if f == nil || m.linked() && !m.isSaved(f) {
		return
	}
	m.names++
	if m.r.IntN(2) == 0 {
		m.rename(f, fmt.Sprintf("%s-%d", m.path, m.names))
	} else {
		for i := 2; i >= 0; i-- {
			to := numbered(m.path, i+1)
			if i == 2 {
				to = fmt.Sprintf("%s.3-%d", m.path, m.names)
			}
			for _, f := range m.files {
				if f.name == numbered(m.path, i) {
					m.rename(f, to)
				}
			}
		}
	}
	if m.r.IntN(4) > 0 {
		m.create()
	}
}

func (m *restartModel) rename(f *worldFile, to string) {
	must(m.t, os.Rename(f.name, to))
	m.note("rename %s to %s", f.name, to)
	f.name = to
}

// step is what one poll does, or only a part of it.
func (m *restartModel) step() {
	if m.f == nil {
		return
	}
	m.note("step")
	if m.r.IntN(4) > 0 {
		m.f.look()
	}
	m.read(m.r.IntN(4) > 0)
}

func (m *restartModel) read(all bool) {
	for _, g := range m.f.generations {
		g.started = true
		if isClosed(g.done) || !all && m.r.IntN(2) == 0 {
			continue
		}
		must(m.t, g.drain())
		if g.leaving {
			g.finish()
			close(g.done)
		}
	}
	if all {
		for _, f := range m.files {
			f.torn += f.torn & 1 // 1 becomes 2
		}
	}
}

// letGo makes the File take a generation for silent, unless a line in it has not ended.
func (m *restartModel) letGo() {
	if m.f == nil || len(m.f.generations) == 0 || m.linked() { // nobody looks at where the link led before
		return
	}
	g := m.f.generations[m.r.IntN(len(m.f.generations))]
	for _, w := range m.writers {
		info, err := statFD(int(w.f.Fd()))
		must(m.t, err)
		if w.rest != "" && info.id == g.id {
			return
		}
	}
	m.note("let go of %d", g.id.Inode)
	g.grew.Store(m.f.clock() - int64(2*silentLimit))
	m.f.look()
	m.read(true)
	g.grew.Store(m.f.clock()) // if it has the name, it has stayed
}

// save copies the sink's state and then the file's, with or without something happening in between.
func (m *restartModel) save() {
	if m.f == nil {
		return
	}
	m.note("save")
	sink := m.sink.clone()
	torn := make([]int, len(m.files))
	for i, f := range m.files {
		torn[i] = f.torn
	}
	if m.r.IntN(3) == 0 {
		m.note("meanwhile")
		for range 1 + m.r.IntN(3) {
			m.act(m.write, m.write, m.step, m.step, m.rotate, m.letGo, m.cut)
		}
	}
	m.savedSink, m.saved = sink, *m.f.Catalogue(sink.positions)
	for i := range torn {
		if torn[i] == 2 {
			m.files[i].torn = 0
		}
	}
}

func (m *restartModel) act(actions ...func()) { actions[m.r.IntN(len(actions))]() }

func (m *restartModel) stop() {
	if m.f == nil {
		return
	}
	m.note("stop")
	m.f.look()
	m.read(true)
	must(m.t, m.f.Close())
	m.savedSink = m.sink.clone()
	m.saved = *m.f.Catalogue(m.savedSink.positions)
	for _, f := range m.files {
		f.torn = 0
	}
	m.f = nil
}

func (m *restartModel) kill() {
	if m.f == nil {
		return
	}
	m.note("kill")
	must(m.t, m.f.Close())
	m.f = nil
	m.sink = m.savedSink.clone()
}

func (m *restartModel) start() {
	if m.f != nil {
		return
	}
	m.note("start from %d positions", len(m.saved.Known))
	m.f = hold(m.t, m.sink, Options{Path: m.followed, SetOptions: SetOptions{pollOnly: true, Resume: &m.saved}})
}

// copy is what an administrator does. The copy is born later than what it is a copy of. A copy of a copy in the place of a file that is gone
// goes on where that ended, and may be taken for what does.
func (m *restartModel) copy() {
	f := m.named()
	if f == nil || f.put || m.f == nil || m.mode == cutsWhileDown {
		return
	}
	m.names++
	waitForTick(m.t, m.path)
	copyFile(m.t, f.name, fmt.Sprintf("%s.copy-%d", m.path, m.names))
	f.copied = true
	m.note("copy-%d of %s", m.names, f.name)
}

// replace puts a copy into the place of the file, where a look finds it. Who has the original open goes on writing to that.
func (m *restartModel) replace() {
	f := m.named()
	if f == nil || m.f == nil || m.mode != destruction || f.torn != 0 || f.glued {
		return
	}
	m.endLines(f)
	m.f.look()
	waitForTick(m.t, m.path)
	copyFile(m.t, f.name, m.path+"~")
	must(m.t, os.Rename(m.path+"~", f.name))
	m.note("replace %s by its copy", f.name)
	m.atRisk(f)
	m.files = append(m.files, &worldFile{name: f.name, copied: true, put: true})
	f.gone, f.name = true, ""
	w, err := os.OpenFile(m.path, os.O_WRONLY|os.O_APPEND, 0)
	must(m.t, err)
	m.writers = append(m.writers, &worldWriter{writer: writer{m.t, w}, file: m.files[len(m.files)-1]})
	m.f.look()
}

func (m *restartModel) copytruncate() {
	f := m.named()
	if f == nil || m.mode == renames || m.mode == cutsWhileDown && m.f != nil {
		return
	}
	m.endLines(f)
	m.names++
	waitForTick(m.t, m.path)
	copyFile(m.t, f.name, fmt.Sprintf("%s.cut-%d", m.path, m.names))
	must(m.t, os.Truncate(f.name, 0))
	m.note("copytruncate to cut-%d", m.names)
	if m.mode == destruction {
		m.atRisk(f)
	}
	f.lines, f.copied = nil, false
}

// endLines ends the lines in a file that is about to be cut.
func (m *restartModel) endLines(f *worldFile) {
	for _, w := range m.writers {
		if w.file == f {
			m.finish(w)
		}
	}
}

// atRisk marks all lines of a file that a restart from the saved state would not know.
func (m *restartModel) atRisk(f *worldFile) {
	for _, n := range f.lines {
		if !m.savedSink.has(n) {
			m.risk[n] = true
		}
	}
}

// cut is what only destruction has between the two copies of a save.
func (m *restartModel) cut() {
	if m.mode == destruction && m.savedSink != nil {
		m.act(m.copytruncate, m.truncate)
	}
}

func (m *restartModel) truncate() {
	f := m.named()
	if f == nil || m.mode != destruction {
		return
	}
	m.endLines(f)
	m.atRisk(f)
	info, err := statPath(f.name, true)
	must(m.t, err)
	to := int64(0)
	if m.r.IntN(2) == 0 && !f.copied { // what is cut before it was first read can't be known for what has been copied from it
		to = m.r.Int64N(info.size + 1)
		f.torn, f.glued = 1, true
	} else {
		f.lines, f.copied, f.glued = nil, false, false
	}
	must(m.t, os.Truncate(f.name, to))
	m.note("truncate %s from %d to %d", f.name, info.size, to)
}

func (m *restartModel) remove() {
	f := m.files[m.r.IntN(len(m.files))]
	if f.gone || m.mode != destruction {
		return
	}
	must(m.t, os.Remove(f.name))
	m.note("remove %s", f.name)
	m.atRisk(f)
	for _, w := range m.writers {
		if w.file == f && w.rest != "" {
			m.risk[w.n] = true
		}
	}
	f.gone, f.name = true, ""
	if m.r.IntN(2) == 0 {
		m.create()
	}
}

// run plays one case.
func (m *restartModel) run() {
	if m.mode == renames && m.r.IntN(4) == 0 {
		m.path = filepath.Join(filepath.Dir(m.followed), "day0")
		m.link()
	}
	m.create()
	m.f = hold(m.t, m.sink, Options{Path: m.followed, SetOptions: SetOptions{pollOnly: true, FromBeginning: true}})
	m.save()
	for range 10 + m.r.IntN(40) {
		switch m.r.IntN(24) {
		case 0:
			m.stop()
		case 1:
			m.kill()
		case 2, 3, 4:
			m.start()
		case 5, 6:
			m.save()
		case 7, 8:
			m.rotate()
		case 9:
			m.create()
		case 10:
			m.letGo()
		case 11:
			m.copytruncate()
			m.relink()
		case 12:
			if m.r.IntN(4) == 0 {
				m.copy()
			}
		case 13:
			m.truncate()
		case 14:
			m.remove()
			if m.r.IntN(2) == 0 {
				m.replace()
			}
		case 15, 16, 17:
			m.step()
		default:
			m.write()
		}
	}
	for len(m.writers) > 0 {
		m.endWriter(0)
	}
	m.start()
	for range 3 {
		m.f.look()
		m.read(true)
	}
	s := m.f.Status()
	if debugPlan != nil {
		for _, e := range m.f.Set.known.of(m.f.target.path) {
			m.note("ENTRY inode %d verdict %d pos %d size %d place %s gen %v", e.id().Inode, e.Verdict, e.position().Offset, e.Size, e.Place, e.gen != nil)
		}
	}
	must(m.t, m.f.Close())
	m.check(s)
}

func (m *restartModel) check(s Status) {
	m.t.Helper()
	var lost, twice []int
	var sum uint64
	for n := 1; n < len(m.lines); n++ {
		switch {
		case !m.sink.has(n) && !m.risk[n]:
			lost = append(lost, n)
		case m.sink.has(n):
			sum += m.weights[n]
			if m.sink.times[n] > 1 {
				twice = append(twice, n)
			}
		}
	}
	wrong := len(lost) > 0 || len(twice) > 0 || sum != m.sink.sum
	if m.mode != destruction {
		s.Gaps[GapTruncated] *= uint64(1 - m.mode) // cuts are gaps, although nothing is lost by these
		wrong = wrong || s.Gaps != [NumGaps]uint64{} || len(m.bad) > 0 || m.discarded > 0
	}
	if wrong {
		m.t.Errorf("mode %d: of %d lines lost %v, twice %v, sum %d for %d, bad %q, %d discarded, status %+v",
			m.mode, len(m.lines)-1, lost, twice, m.sink.sum, sum, clip(m.bad), m.discarded, s)
	}
}

// The random-action model test of restarts. Each case has a seed of its own; SEED=n begins with that of a case that has failed.
func TestFileRestartModel(t *testing.T) {
	seed := testenv.Seed(t)
	base := t.TempDir()
	lines := 0
	for i := range testenv.Tortured(2000, 100_000) {
		r := rand.New(rand.NewPCG(seed+uint64(i), 1))
		dir := filepath.Join(base, strconv.Itoa(i))
		must(t, os.Mkdir(dir, 0o755))
		path := filepath.Join(dir, "log")
		m := &restartModel{t: t, r: r, mode: r.IntN(numRestartModes), followed: path, path: path,
			lines: []string{""}, weights: []uint64{0}, risk: map[int]bool{}}
		m.sink = &restartSink{world: m, positions: map[receiver.FileID]receiver.FilePosition{}}
		m.run()
		lines += len(m.lines) - 1
		if t.Failed() {
			t.Fatalf("case %d, SEED=%d:\n%s", i, seed+uint64(i), strings.Join(m.log, "\n"))
		}
		must(t, os.RemoveAll(dir))
	}
	t.Logf("%d lines", lines)
}
