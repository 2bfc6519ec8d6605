package follow

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// What may happen in a restartModel.

// anyAction does one of them.
func (m *restartModel) anyAction() {
	switch m.r.IntN(28) {
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
		m.create(m.anyLog())
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
	case 18, 19:
		m.trim()
	case 20:
		m.compress()
	default:
		m.write()
	}
}

func (m *restartModel) act(actions ...func()) { actions[m.r.IntN(len(actions))]() }

// create makes the file with the log's own name, and its writer.
func (m *restartModel) create(l *modelLog) {
	if m.named(l) != nil {
		return
	}
	w := m.newFile(l, os.O_CREATE|os.O_EXCL)
	m.note("create %s", l.path)
	// What begins like a file that is gone, and holds no more yet, stands in its place.
	if !slices.ContainsFunc(m.files, func(f *worldFile) bool { return f.log == l && f.gone }) && m.r.IntN(4) > 0 {
		m.beginAlike(w, false)
	}
	if len(m.writers) > 8 {
		m.endWriter(m.r.IntN(6))
	}
}

// beginAlike writes to an empty file what others begin with, and a line that these don't have, unless it shall stay bare.
func (m *restartModel) beginAlike(w *worldWriter, bare bool) {
	if len(m.sharedTexts) == 0 {
		return
	}
	var all []int
	for i := range 1 + m.r.IntN(len(m.sharedTexts)) {
		all = append(all, m.addShared(w.file.log, i))
	}
	m.note("%s begins with %d shared lines", w.file.name, len(all))
	if !bare {
		all = append(all, m.add(w.file.log))
	}
	m.writeLines(w, all...)
}

// writeLines writes whole lines at once.
func (m *restartModel) writeLines(w *worldWriter, all ...int) {
	w.write(m.text(all))
	for _, n := range all {
		m.wrote(w, n)
	}
}

func (m *restartModel) write() {
	if len(m.writers) == 0 {
		return
	}
	w := m.writers[len(m.writers)-1]
	if m.r.IntN(3) == 0 || len(m.logs) > 1 && m.r.IntN(2) == 0 {
		w = m.writers[m.r.IntN(len(m.writers))]
	}
	switch {
	case w.rest != "":
		m.finish(w)
	case m.r.IntN(5) == 0:
		n := m.add(w.file.log)
		s := m.lines[n].text
		m.begin(w, n)
		cut := 1 + m.r.IntN(len(s)-1)
		w.write(s[:cut])
		w.rest, w.n = s[cut:], n
		m.note("write %d bytes of line %d to %q", cut, n, w.file.name)
	default:
		for range 1 + m.r.IntN(4) {
			n := m.add(w.file.log)
			m.begin(w, n)
			m.writeLines(w, n)
		}
		m.note("write up to line %d to %q", len(m.lines)-1, w.file.name)
	}
}

// relink makes the symbolic link lead to another place, where there is nothing yet. What nobody has seen in the old one would be lost.
func (m *restartModel) relink() {
	l := m.logs[0]
	files := slices.DeleteFunc(slices.Clone(m.files), func(f *worldFile) bool { return f.log != l || f.gone })
	if !l.linked() || len(files) == 0 || slices.ContainsFunc(files, func(f *worldFile) bool { return !m.isSaved(f) }) {
		return
	}
	m.names++
	l.path = filepath.Join(m.dir, fmt.Sprintf("day%d", m.names))
	if m.r.IntN(2) == 0 {
		must(m.t, os.Mkdir(l.path, 0o755))
		l.path = filepath.Join(l.path, "log")
	}
	m.link(l)
	m.note("relink to %s", l.path)
	if m.r.IntN(4) > 0 {
		m.create(l)
	}
}

func (m *restartModel) link(l *modelLog) {
	must(m.t, os.Symlink(l.path, l.followed+"-new"))
	must(m.t, os.Rename(l.followed+"-new", l.followed))
}

// rotate renames, with the older ones moving on or to a name that was never there before.
func (m *restartModel) rotate() {
	l := m.anyLog()
	f := m.named(l)
	if f == nil || (l.linked() || m.bare(f) || !m.firm(f) || f.copied) && !m.isSaved(f) {
		return
	}
	m.names++
	if m.r.IntN(2) == 0 {
		m.rename(f, fmt.Sprintf("%s-%d", l.path, m.names))
	} else {
		for i := 2; i >= 0; i-- {
			to := numbered(l.path, i+1)
			if i == 2 {
				to = fmt.Sprintf("%s.3-%d", l.path, m.names)
			}
			for _, f := range m.files {
				if packed, is := strings.CutPrefix(f.name, numbered(l.path, i)); is && (packed == "" || packed == ".gz" || packed == ".zst") {
					m.rename(f, to+packed)
				}
			}
		}
	}
	if m.r.IntN(4) > 0 || m.onlyPacked(l) {
		m.create(l)
	}
}

// onlyPacked reports whether compressed files of a log are there that nobody is expected to find without the log's own name: a pattern
// has never found that.
func (m *restartModel) onlyPacked(l *modelLog) bool {
	packed, saved := false, false
	for _, f := range m.files {
		packed, saved = packed || f.log == l && f.packed, saved || f.log == l && m.isSaved(f)
	}
	return m.set == nil && packed && !saved
}

func (m *restartModel) rename(f *worldFile, to string) {
	must(m.t, os.Rename(f.name, to))
	m.note("rename %s to %s", f.name, to)
	f.name = to
}

// step is what one poll does, or only a part of it.
func (m *restartModel) step() {
	if m.set == nil {
		return
	}
	looks, all := m.r.IntN(4) > 0, m.r.IntN(4) > 0
	m.note("step: look %v, read all %v", looks, all)
	if looks {
		lookAll(m.set)
	}
	m.read(all)
	if looks && all {
		m.seen()
	}
}

func (m *restartModel) seen() {
	for _, f := range m.files {
		f.moved.see()
		f.doubled.see()
	}
}

func (m *restartModel) read(all bool) {
	for _, g := range generationsOf(m.set) {
		if all || m.r.IntN(2) > 0 {
			readOn(m.t, g)
		} else {
			g.started = true
		}
	}
	for _, f := range m.files {
		if all {
			f.torn.see()
		}
	}
}

// letGo makes the Set take a generation for silent, unless a line in it has not ended.
func (m *restartModel) letGo() {
	if m.set == nil {
		return
	}
	all := generationsOf(m.set)
	if len(all) == 0 {
		return
	}
	g := all[m.r.IntN(len(all))]
	for _, w := range m.writers {
		if w.file.id == g.id && w.rest != "" {
			return
		}
	}
	for _, f := range m.files {
		if f.id == g.id && f.log.linked() { // nobody looks at where the link led before
			return
		}
		f.lost = f.lost || f.id == g.id && f.gone
	}
	m.note("let go of %d", g.id.Inode)
	undo := pastSilence(g)
	lookAll(m.set)
	m.read(true)
	m.seen()
	undo() // if it has the name, it has stayed
}

// save copies the sink's state and then the Set's, with or without something happening in between.
func (m *restartModel) save() {
	if m.set == nil {
		return
	}
	m.note("save")
	sink := m.sink.clone()
	busy := m.r.IntN(3) == 0
	if busy {
		m.note("meanwhile")
		for range 1 + m.r.IntN(3) {
			m.act(m.write, m.write, m.step, m.step, m.rotate, m.letGo, m.cut, m.cut)
		}
		m.note("saved")
	}
	m.keep(sink)
	if !busy {
		m.kept()
	}
}

// kept takes note that a saved state tells all that was seen.
func (m *restartModel) kept() {
	for _, f := range m.files {
		f.torn.keep()
		f.moved.keep()
		f.doubled.keep()
	}
}

func (m *restartModel) keep(sink *restartSink) {
	m.savedSink, m.saved = sink, m.set.Catalogue(sink.positions)
	m.savedIDs = m.saved.IDs()
}

func (m *restartModel) stop() {
	if m.set == nil {
		return
	}
	m.note("stop")
	lookAll(m.set)
	m.read(true)
	m.seen()
	must(m.t, m.set.Close())
	m.keep(m.sink.clone())
	m.kept()
	m.set = nil
	m.down()
}

func (m *restartModel) kill() {
	if m.set == nil {
		return
	}
	m.note("kill")
	must(m.t, m.set.Close())
	m.set = nil
	m.sink = m.savedSink.clone()
	for _, f := range m.files {
		f.torn.forget()
		f.moved.forget()
		f.doubled.forget()
	}
	m.down()
}

func (m *restartModel) start() {
	if m.set != nil {
		return
	}
	m.note("start from %d positions", len(m.savedIDs))
	m.set = newModelSet(m.t, m.sink, m.paths, false, m.saved)
}

// copy is what an administrator does. The copy is born later than what it is a copy of. A copy of a copy in the place of a file that is gone
// goes on where that ended, and may be taken for what does. Where files begin alike, a copy that nobody has seen yet can only be told from a
// generation of its own as long as what it was made from is there.
func (m *restartModel) copy() {
	l := m.anyLog()
	f := m.named(l)
	if f == nil || f.put || m.set == nil || m.mode == cutsWhileDown || m.mode == cutsAnyTime {
		return
	}
	if len(m.sharedTexts) > 0 && (m.mode == destruction || m.bare(f)) || f.moved != isKept {
		return
	}
	m.names++
	waitForTick(m.t, l.path)
	copyFile(m.t, f.name, fmt.Sprintf("%s.copy-%d", l.path, m.names))
	f.copied, f.doubled = true, isUnseen
	m.note("copy-%d of %s", m.names, f.name)
}

// replace puts a copy into the place of the file. Who has the original open goes on writing to that.
func (m *restartModel) replace() {
	l := m.anyLog()
	f := m.named(l)
	switch {
	case f == nil, m.mode != destruction && !m.settled(f):
		return
	case m.mode == destruction && (m.set == nil || f.torn != isKept || f.moved != isKept || f.doubled != isKept || f.glued || f.stub || !m.firm(f)):
		return
	}
	m.endLines(f)
	was, err := os.ReadFile(f.name)
	must(m.t, err)
	m.swap(f, f.lines, was)
	m.note("replace %s by its copy", l.path)
}

// swap puts another file with these lines into the place of one, by a rename. Writers have the old one open still.
func (m *restartModel) swap(f *worldFile, lines []int, text []byte) (now *worldFile) {
	l := f.log
	m.look()
	waitForTick(m.t, l.path)
	must(m.t, os.WriteFile(l.path+"~", text, 0o644))
	must(m.t, os.Rename(l.path+"~", l.path))
	if m.mode == destruction {
		m.atRisk(f)
	}
	m.unlink(f)
	now = m.newFile(l, 0).file
	now.lines, now.put, now.copied, now.moved = slices.Clone(lines), true, m.mode == destruction, f.moved
	m.look()
	return now
}

func (m *restartModel) look() {
	if m.set != nil {
		lookAll(m.set)
	}
}

// trim makes a log shorter whose lines are all counted: it keeps the last ones, or loses some in the middle.
func (m *restartModel) trim() {
	f := m.named(m.anyLog())
	if f == nil || !m.settled(f) || m.mode == renames && m.r.IntN(3) > 0 {
		return
	}
	from, to := 0, m.r.IntN(len(f.lines)+1)
	if m.r.IntN(3) == 0 {
		to = m.r.IntN(len(f.lines))
		from = m.r.IntN(to + 1)
	}
	kept := slices.Concat(f.lines[:from], f.lines[to:])
	was, err := os.ReadFile(f.name)
	must(m.t, err)
	if string(was) != m.text(f.lines) {
		m.t.Fatalf("%s holds %q, not %q", f.name, clip([]string{string(was)}), clip([]string{m.text(f.lines)}))
	}
	m.trimmed = true
	m.note("trim %s: lines %d to %d of %d go", f.name, from, to, len(f.lines))
	if m.mode == renames || !m.stamped || m.r.IntN(2) == 0 { // in place, nothing tells it from a file begun anew, without stamps
		if m.r.IntN(2) == 0 {
			m.endWriters(f)
		}
		m.note("by a rename")
		m.unlinked = m.unlinked || len(kept) == 0 // nothing tells that it was trimmed
		m.swap(f, kept, []byte(m.text(kept))).moved = isFresh
		return
	}
	must(m.t, os.WriteFile(f.name, []byte(m.text(kept)), 0o644))
	f.lines, f.moved = kept, isFresh
}

// copytruncate leaves the copy where it is. It begins the file anew with what others begin with only where it can be told from a file that
// was cut to a part.
func (m *restartModel) copytruncate() {
	l := m.anyLog()
	f := m.named(l)
	if f == nil || m.mode == renames || m.mode == cutsWhileDown && m.set != nil || !m.firm(f) {
		return
	}
	if f.torn != isKept || f.moved != isKept || f.doubled != isKept {
		return
	}
	if m.mode != destruction && m.set != nil && !slices.ContainsFunc(f.lines, m.sink.has) {
		return // nothing tells that a file was cut of which nothing has been read
	}
	m.endLines(f)
	m.names++
	waitForTick(m.t, l.path)
	copyFile(m.t, f.name, fmt.Sprintf("%s.cut-%d", l.path, m.names))
	must(m.t, os.Truncate(f.name, 0))
	m.note("copytruncate %s to cut-%d", l.path, m.names)
	if m.mode == destruction {
		m.atRisk(f)
	}
	f.lines, f.copied, f.mangled, f.stub = nil, false, false, false
	if i := slices.IndexFunc(m.writers, func(w *worldWriter) bool { return w.file == f }); i >= 0 && m.mode != destruction &&
		m.r.IntN(2) == 0 {
		m.beginAlike(m.writers[i], false)
	}
}

// cut is what happens between the two copies of a save only where nothing is lost by it, or all may be.
func (m *restartModel) cut() {
	switch {
	case m.savedSink == nil:
	case m.mode == destruction:
		m.act(m.copytruncate, m.truncate)
	case m.mode == cutsAnyTime:
		m.act(m.copytruncate, m.copytruncate, m.trim)
	}
}

func (m *restartModel) truncate() {
	f := m.named(m.anyLog())
	if f == nil || m.mode != destruction || f.moved != isKept || f.doubled != isKept || !m.firm(f) {
		return
	}
	m.endLines(f)
	m.atRisk(f)
	info, err := statPath(f.name, true)
	must(m.t, err)
	line, least := int64(0), int64(0)
	if len(f.lines) > 0 {
		line = int64(len(m.text(f.lines[:slices.Index(f.lines, m.firstOwn(f))+1])))
		if m.lines[f.lines[0]].shared >= 0 { // what is cut within what others begin with could be one of these
			least = line
		}
	}
	to := int64(0)
	if m.r.IntN(2) == 0 && !f.copied && info.size >= least { // what is cut before it was first read can't be known for what has been copied from it
		to = least + m.r.Int64N(info.size-least+1)
		f.torn, f.glued, f.mangled, f.stub = isUnseen, true, true, f.stub || to < line
	} else {
		f.lines, f.copied, f.glued, f.mangled, f.stub = nil, false, false, false, false
	}
	must(m.t, os.Truncate(f.name, to))
	m.note("truncate %s from %d to %d", f.name, info.size, to)
}

func (m *restartModel) remove() {
	f := m.files[m.r.IntN(len(m.files))]
	if f.gone || m.mode != destruction || f.doubled != isKept || f.stub || !m.firm(f) {
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
	m.unlink(f)
	if m.r.IntN(2) == 0 || m.onlyPacked(f.log) {
		m.create(f.log)
	}
}

// compress compresses a rotated file that nobody writes to any more, while we are down. Nobody is expected to find it where a link led before,
// nor by the name of a log that a pattern has never found.
func (m *restartModel) compress() {
	if m.set != nil {
		return
	}
	f := m.files[m.r.IntN(len(m.files))]
	hasLog := func(other *worldFile) bool {
		return other.log == f.log && (other.name == f.log.path || m.isSaved(other))
	}
	switch {
	case f.gone || f.packed || f.name == f.log.path || f.log.linked() || !slices.ContainsFunc(m.files, hasLog):
		return
	case len(f.lines) == 0 || f.copied || f.glued || f.stub || f.torn != isKept || f.moved != isKept || !m.firm(f):
		return
	}
	m.endWriters(f)
	m.unlinked = m.unlinked || m.isSaved(f) && !m.savedSink.has(m.firstOwn(f)) // nothing tells that it is this one
	to := f.name + ".gz"
	if m.r.IntN(4) == 0 {
		to = f.name + ".zst"
	}
	m.note("compress %s to %s", f.name, to)
	was, err := os.Stat(f.name)
	must(m.t, err)
	text, err := os.ReadFile(f.name)
	must(m.t, err)
	must(m.t, os.WriteFile(to, packText(to, text), 0o644))
	must(m.t, os.Chtimes(to, was.ModTime(), was.ModTime()))
	must(m.t, os.Remove(f.name))
	info, err := statPath(to, false)
	must(m.t, err)
	f.name, f.id, f.packed = to, info.id, true
}

var (
	modelGzip    = gzip.NewWriter(nil)
	modelZstd, _ = zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1))
)

// packText compresses as the name says. One writer for all cases keeps them fast.
func packText(name string, text []byte) []byte {
	if strings.HasSuffix(name, ".zst") {
		return modelZstd.EncodeAll(text, nil)
	}
	var b bytes.Buffer
	modelGzip.Reset(&b)
	_, _ = modelGzip.Write(text) // a Buffer never fails
	_ = modelGzip.Close()
	return b.Bytes()
}
