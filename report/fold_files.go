package report

import "rsyncd_exporter/rsynclog"

// files counts the paths of transfer lines. That takes about as long as all the rest of a report,
// since each path is looked up in tables that no processor's cache holds. So it is done beside the
// rest: paths are gathered in a batch, and while that is counted the next one is filled.
type files struct {
	transferred, deleted *pathTop
	waste                *wasteSketch

	filled, counted *fileBatch
	idle            chan struct{} // holds one value while no batch is being counted
}

// A fileBatch is files that were moved, in their order.
type fileBatch struct {
	files []movedFile
	paths []byte // of all files, one behind the other
}

type movedFile struct {
	from        *fetcherOf // who fetched it; nil if that doesn't matter for waste
	module      string
	path        int // bytes of its path
	deleted     bool
	n           uint64
	bytes, size uint64 // of all n together, and of the file
}

// A batch is full with so many files, or so many bytes of paths.
const (
	batchFiles = 4 << 10
	batchPaths = 256 << 10
)

func newFiles(anonymise bool) *files {
	f := &files{
		transferred: newPathTop(), deleted: newPathTop(), waste: newWasteSketch(anonymise),
		filled: &fileBatch{}, counted: &fileBatch{}, idle: make(chan struct{}, 1),
	}
	f.idle <- struct{}{}
	return f
}

// add counts a file that a line of a visit tells of; nil is no visit. It doesn't keep the path.
func (f *files) add(v *visit, module string, path []byte, c *rsynclog.Change, ev *rsynclog.Event) {
	b := f.filled
	m := movedFile{module: module, path: len(path), deleted: c.Op == rsynclog.OpDel, n: c.N, bytes: c.Length}
	if c.Op == rsynclog.OpSend && v != nil && ev.HasLength {
		if v.from == nil {
			v.from = fetcherIn(v.session)
		}
		m.from, m.size = v.from, ev.Length
	}
	b.files = append(b.files, m)
	b.paths = append(b.paths, path...)
	if len(b.files) == batchFiles || len(b.paths) >= batchPaths {
		f.next()
	}
}

// next has the batch counted, when the one before is.
func (f *files) next() {
	<-f.idle
	f.filled, f.counted = f.counted, f.filled
	go func(b *fileBatch) {
		f.count(b)
		f.idle <- struct{}{}
	}(f.counted)
}

func (f *files) count(b *fileBatch) {
	paths := b.paths
	for i := range b.files {
		m := &b.files[i]
		path := paths[:m.path]
		paths = paths[m.path:]
		if m.deleted {
			f.deleted.add(m.module, path, m.n, m.bytes)
			continue
		}
		f.transferred.add(m.module, path, m.n, m.bytes)
		f.waste.add(m.from, path, m.size, m.n)
	}
	b.files, b.paths = b.files[:0], b.paths[:0]
}

// wait returns when all has been counted.
func (f *files) wait() {
	f.next()
	<-f.idle
	f.idle <- struct{}{}
}
