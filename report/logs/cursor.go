package logs

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"runtime"
	"sync"
	"time"

	"rsyncd_exporter/pipeline"
	"rsyncd_exporter/receiver"
	"rsyncd_exporter/receiver/follow"
	"rsyncd_exporter/receiver/syslog"
	"rsyncd_exporter/rsynclog"
)

// A Cursor goes through the lines of one set in their order. One goroutine reads blocks, several
// find out what their lines say, and the caller of Next counts them. Close ends these.
type Cursor struct {
	c      *Config
	set    *Set
	source receiver.Source
	replay *pipeline.Replay

	start      func()      // nil: it has
	free, read chan *block // to be filled, and to be counted in this order
	cut        chan *block // to be understood
	ended      context.CancelFunc
	running    sync.WaitGroup

	meter  *Meter // nil: nobody looks
	file   *File  // that it knows of
	told   int64  // and bytes of this one
	before int64  // bytes of it that were read before the block
	untold uint64 // lines

	block *block
	next  int           // message of the block
	full  int           // line of the block
	brief pipeline.Line // for CountBrief
	errs  []error
}

// A block is some lines of one file.
type block struct {
	buf    []byte
	slab   receiver.Slab
	brief  []pipeline.Brief // of each message; those that have none are the lines, in their order
	lines  []pipeline.Line
	number []uint64 // of each message in its file
	file   *File
	from   uint64 // number of the line that the block begins with
	used   int    // bytes of buf that are whole lines
	err    error  // why the file ends here
	ready  chan struct{}
	read   int64 // bytes of the file on disk that have been read behind it
}

const (
	// blocks is how many blocks are under way for each processor.
	blocks = 2
	// often is how many lines are counted until the time is looked at.
	often = 256
	// fewLogs may be open at once with all of their memory.
	fewLogs = 4
)

// Open returns a Cursor, which reads from its first Next on. The error is about the settings.
func Open(ctx context.Context, c Config, set *Set) (*Cursor, error) {
	cur := &Cursor{
		c: &c, set: set,
		source: receiver.Source{
			Input: "file", Name: set.Name, Scope: receiver.StdinScope + 1, Host: set.Host,
			Wrapped: c.Wrapped, Dialect: c.Lines,
		},
	}
	if _, err := pipeline.NewReplay(c.Pipeline, c.Zone, c.Now); err != nil {
		return nil, err
	}
	ctx, cur.ended = context.WithCancel(ctx)
	cur.start = func() { cur.begin(ctx) }
	return cur, nil
}

// begin starts the goroutines.
func (cur *Cursor) begin(ctx context.Context) {
	n := max(1, runtime.GOMAXPROCS(0)/max(1, cur.c.Abreast))
	under := blocks*n + 1
	if cur.c.Abreast > fewLogs {
		under = 2 // one is read while the other is counted
	}
	cur.free, cur.read, cur.cut = make(chan *block, under), make(chan *block, under), make(chan *block, under)
	for range under {
		cur.free <- &block{ready: make(chan struct{}, 1)}
	}
	cur.replay, _ = pipeline.NewReplay(cur.c.Pipeline, cur.c.Zone, cur.c.Now) // Open has seen that it is right
	cur.replay.Together = cur.c.Together
	cur.running.Add(n + 1)
	go cur.readAll(ctx)
	for range n {
		go cur.understand(cur.replay.Reader())
	}
}

// First returns about when the set begins; zero: nothing tells.
func (cur *Cursor) First() (first time.Time) {
	for i, f := range cur.set.Files {
		if i == 0 || f.First.Before(first) {
			first = f.First
		}
	}
	return first
}

// Close waits until nothing is read any more. Only Errs may be called then, or Close again.
func (cur *Cursor) Close() {
	cur.ended()
	cur.running.Wait()
	cur.replay = nil // with its memory: others may be open
}

// readAll cuts all files into blocks of whole lines.
func (cur *Cursor) readAll(ctx context.Context) {
	defer cur.running.Done()
	defer close(cur.read)
	defer close(cur.cut)
	for i := range cur.set.Files {
		f := &cur.set.Files[i]
		err := cur.readFile(ctx, f)
		if err == nil {
			continue
		}
		b := cur.take(ctx)
		if b == nil {
			return
		}
		b.begin(f, 0, 0)
		b.err = &FileError{f.Path, unwrapPath(err)}
		cur.pass(b)
	}
}

// take returns a block that may be filled, or nil if ctx has ended.
func (cur *Cursor) take(ctx context.Context) *block {
	if ctx.Err() != nil {
		return nil
	}
	select {
	case b := <-cur.free:
		return b
	case <-ctx.Done():
		return nil
	}
}

func (cur *Cursor) pass(b *block) {
	cur.cut <- b // there is room for all
	cur.read <- b
}

// begin makes a block of n bytes that begins with a line of this number.
func (b *block) begin(f *File, from uint64, n int) {
	if cap(b.buf) < n {
		b.buf = make([]byte, n)
	}
	b.buf = b.buf[:n]
	b.slab.Reset()
	b.file, b.from, b.used, b.err, b.number, b.read = f, from, 0, nil, b.number[:0], 0
}

func (cur *Cursor) readFile(ctx context.Context, f *File) error {
	log, err := open(ctx, cur.c, f.Path)
	if err != nil {
		return err
	}
	defer log.Close()
	var rest []byte // of a line, or lines beyond a slab's
	var skip syslog.Skipped
	for number, ended := uint64(1), false; !ended; {
		b := cur.take(ctx)
		if b == nil {
			return nil
		}
		b.begin(f, number, min(syslog.BlockBytes, len(rest)+cur.c.atOnce()))
		n := copy(b.buf, rest)
		n, err = fill(log, b.buf, n)
		ended = err != nil && n < len(b.buf)
		if number == 1 {
			if why := f.unfit(b.buf[:n], err); why != nil {
				cur.free <- b
				return why
			}
		}
		b.used = syslog.TakeLines(&b.slab, b.buf[:n], 0, &skip)
		if ended && b.used < n && len(b.slab.Messages) < syslog.SlabLines {
			n = b.finish(n, &skip, err == io.EOF)
		}
		ended = ended && b.used == n
		number += uint64(bytes.Count(b.buf[:b.used], []byte("\n")))
		rest = append(rest[:0], b.buf[b.used:n]...)
		b.read = log.Consumed()
		cur.pass(b)
	}
	return broken(err)
}

// unfit says why a file that begins so, and goes on unless there is an error, is no log.
func (f *File) unfit(start []byte, err error) error {
	switch {
	case isBinary(start):
		return errBinary
	case len(start) == 0 && err == io.EOF && f.Path == "-":
		return errEmpty
	}
	return nil
}

// broken says why a file could not be read to its end; nil for the end.
func broken(err error) error {
	var p *fs.PathError
	switch {
	case err == io.EOF:
		return nil
	case err == io.ErrUnexpectedEOF:
		return errors.New("it is cut off: what is there has been read")
	case errors.As(err, &p):
		return p.Err
	}
	return fmt.Errorf("it is broken, and what stands before that has been read: %w", err)
}

// atOnce returns how many bytes are read at once. Lines take several times the memory of their bytes.
func (c *Config) atOnce() int {
	return syslog.BlockBytes / max(1, min(c.Abreast/fewLogs, 16))
}

// fill reads into buf[n:] until it is full or an error comes.
func fill(r io.Reader, buf []byte, n int) (int, error) {
	for n < len(buf) {
		m, err := r.Read(buf[n:])
		n += m
		if err != nil {
			return n, err
		}
	}
	return n, nil
}

// finish takes the last line of a file, which has no LF. Where the file is not whole the line isn't
// either: a number may have lost its last digits.
func (b *block) finish(n int, skip *syslog.Skipped, whole bool) int {
	if skip.Rest { // it has been counted
		b.used = n
		return n
	}
	if whole && n < len(b.buf) {
		b.buf[n] = '\n'
		n++
		b.used += syslog.TakeLines(&b.slab, b.buf[:n], b.used, skip)
	}
	if b.used < n && len(b.slab.Messages) < syslog.SlabLines { // or a part whose rest hasn't come
		b.slab.Discarded[receiver.Incomplete]++
		b.used = n
	}
	return n
}

// understand reads the lines of blocks.
func (cur *Cursor) understand(reader *pipeline.LineReader) {
	defer cur.running.Done()
	for b := range cur.cut {
		written, full := b.file.Written.UnixNano(), 0
		b.brief = b.brief[:0]
		for _, m := range b.slab.Messages {
			brief := reader.Brief(&cur.source, m)
			b.brief = append(b.brief, brief)
			if brief.IsSet() {
				continue
			}
			if full == len(b.lines) {
				b.lines = append(b.lines, pipeline.Line{})
			}
			l := &b.lines[full]
			full++
			l.Raw = m
			reader.Read(&cur.source, written, l)
		}
		b.count()
		b.ready <- struct{}{}
	}
}

// count finds the numbers of the lines. A record that stands within a line has that line's, one that
// was put together from several has the first one's.
func (b *block) count() {
	before, at, number := 0, 0, b.from
	for _, m := range b.slab.Messages {
		if len(m) > 0 && at < b.used && &b.buf[at] == &m[0] && m[0] != 0 { // as most are
			b.number = append(b.number, number)
			at, number = at+len(m)+1, number+1
			continue
		}
		from, n := at, number
		for from < b.used && !b.isAt(from, m) {
			end := bytes.IndexByte(b.buf[from:b.used], '\n')
			if end < 0 {
				from = b.used
				break
			}
			from, n = from+end+1, n+1
		}
		switch {
		case from < b.used:
			b.number = append(b.number, n)
			before, at, number = from, from+syslog.NULsEnd(b.buf[from:])+len(m)+1, n+1
		case b.isIn(before, min(at, b.used), m):
			b.number = append(b.number, number-1)
		default:
			b.number = append(b.number, number)
		}
	}
}

// isIn says whether a message is a part of the line buf[from:to], or was made of it.
func (b *block) isIn(from, to int, m []byte) bool {
	for at := from; at < to; at++ {
		if b.isAt(at, m) {
			return true
		}
	}
	const enough = 32 // bytes
	tail := m[max(0, len(m)-enough):]
	return from < to && bytes.HasSuffix(bytes.TrimRight(b.buf[from:to], "\n"), tail)
}

// isAt says whether a message is the line that begins at buf[from:].
func (b *block) isAt(from int, m []byte) bool {
	if b.buf[from] == 0 {
		from += syslog.NULsEnd(b.buf[from:b.used])
	}
	if len(m) == 0 {
		return from < b.used && b.buf[from] == '\n'
	}
	return from < b.used && &b.buf[from] == &m[0]
}

// Next returns the next line, counted, and where it stands; nil at the end. Both are valid until
// the next call. lost says what was thrown away before the line; l is nil if only that is to be
// said.
func (cur *Cursor) Next() (l *pipeline.Line, at Place, more bool) {
	if cur.start != nil {
		cur.start()
		cur.start = nil
	}
	for {
		if b := cur.block; b != nil {
			if cur.next < len(b.slab.Messages) {
				i := cur.next
				cur.next++
				if cur.untold++; cur.untold == often {
					cur.meter.tell(cur)
				}
				if brief := &b.brief[i]; brief.IsSet() {
					l = &cur.brief
					cur.replay.CountBrief(&cur.source, brief, b.slab.Messages[i], l)
				} else {
					l = &b.lines[cur.full]
					cur.full++
					cur.replay.Count(&cur.source, l)
				}
				return l, Place{b.file.Path, b.number[i]}, true
			}
			if b.err != nil {
				cur.errs = append(cur.errs, b.err)
			}
			cur.before = b.read
			cur.block = nil
			cur.free <- b
		}
		b, ok := <-cur.read
		if !ok {
			cur.free = nil // with the blocks' memory
			return nil, Place{}, false
		}
		<-b.ready
		cur.block, cur.next, cur.full = b, 0, 0
		if b.slab.Discarded != [receiver.NumDiscards]uint32{} {
			return nil, Place{b.file.Path, b.from}, true
		}
	}
}

// Lost returns what was thrown away of the block that Next has come to.
func (cur *Cursor) Lost() [receiver.NumDiscards]uint32 { return cur.block.slab.Discarded }

// Finish ends the sessions that were silent too long, at the end of the set. f keeps no changes.
func (cur *Cursor) Finish(f func([]rsynclog.Change)) { cur.replay.Finish(&cur.source, f) }

// Running calls f for each session that has not ended.
func (cur *Cursor) Running(f func(*rsynclog.Session)) { cur.replay.Running(f) }

// Errs returns why files could not be read, or not to their ends, so far.
func (cur *Cursor) Errs() []error { return cur.errs }

// open opens a file, or standard input, whose reads end with ctx.
func open(ctx context.Context, c *Config, path string) (*follow.Log, error) {
	if path == "-" {
		return follow.NewLog(stdin{c, ctx})
	}
	return follow.OpenLog(path)
}

type stdin struct {
	*Config
	ctx context.Context
}

func (s stdin) Read(p []byte) (int, error) {
	if s.Wait != nil {
		if err := s.Wait(s.ctx, s.Stdin); err != nil {
			return 0, err
		}
	}
	return s.Stdin.Read(p)
}
