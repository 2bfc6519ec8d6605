package logs

import (
	"bytes"
	"context"
	"errors"
	"io"
	"runtime"
	"sync"

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

	free, read chan *block // to be filled, and to be counted in this order
	cut        chan *block // to be understood
	ended      context.CancelFunc
	running    sync.WaitGroup

	block *block
	next  int           // message of the block
	full  int           // line of the block
	brief pipeline.Line // for CountBrief
	errs  []error
	lines uint64
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

// blocks is how many blocks are under way for each processor.
const blocks = 2

// Open begins to read a set. The error is about the settings.
func Open(ctx context.Context, c Config, set *Set) (*Cursor, error) {
	replay, err := pipeline.NewReplay(c.Pipeline, c.Zone, c.Now)
	if err != nil {
		return nil, err
	}
	replay.Together = c.Together
	n := max(1, runtime.GOMAXPROCS(0)/max(1, c.Abreast))
	under := blocks*n + 1
	cur := &Cursor{
		c: &c, set: set, replay: replay,
		source: receiver.Source{
			Input: "file", Name: set.Name, Scope: receiver.StdinScope + 1, Host: set.Host,
			Wrapped: c.Wrapped, Dialect: c.Lines,
		},
		free: make(chan *block, under), read: make(chan *block, under), cut: make(chan *block, under),
	}
	for range under {
		cur.free <- &block{ready: make(chan struct{}, 1)}
	}
	ctx, cur.ended = context.WithCancel(ctx)
	cur.running.Add(n + 1)
	go cur.readAll(ctx)
	for range n {
		go cur.understand(replay.Reader())
	}
	return cur, nil
}

// Close waits until nothing is read any more.
func (cur *Cursor) Close() {
	cur.ended()
	cur.running.Wait()
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
		b.begin(f, 0)
		b.err = &FileError{f.Path, reason(err)}
		cur.pass(b)
	}
}

// reason returns an error without the path, which is said anyway.
func reason(err error) error {
	if errors.Is(err, io.ErrUnexpectedEOF) {
		return errors.New("it is cut off: what is there has been read")
	}
	return unwrapPath(err)
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

func (b *block) begin(f *File, from uint64) {
	if b.buf == nil {
		b.buf = make([]byte, syslog.BlockBytes)
	}
	b.slab.Reset()
	b.file, b.from, b.used, b.err, b.number = f, from, 0, nil, b.number[:0]
}

func (cur *Cursor) readFile(ctx context.Context, f *File) error {
	log, err := open(cur.c, f.Path)
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
		b.begin(f, number)
		n := copy(b.buf, rest)
		n, err = fill(log, b.buf, n)
		ended = err != nil && n < len(b.buf)
		if number == 1 && isBinary(b.buf[:n]) {
			cur.free <- b
			return errBinary
		}
		b.used = syslog.TakeLines(&b.slab, b.buf[:n], 0, &skip)
		if ended && b.used < n && len(b.slab.Messages) < syslog.SlabLines {
			n = b.finish(n, &skip)
		}
		ended = ended && b.used == n
		number += uint64(bytes.Count(b.buf[:b.used], []byte("\n")))
		rest = append(rest[:0], b.buf[b.used:n]...)
		b.read = log.Consumed()
		cur.pass(b)
	}
	if err == io.EOF {
		return nil
	}
	return err
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

// finish takes the last line of a file, which has no LF.
func (b *block) finish(n int, skip *syslog.Skipped) int {
	if skip.Rest { // it has been counted
		b.used = n
		return n
	}
	if n < len(b.buf) {
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
			if full == len(b.lines) {
				b.lines = append(b.lines, pipeline.Line{})
			}
			l := &b.lines[full]
			l.Raw = m
			reader.Read(&cur.source, written, l)
			brief := l.Brief()
			if !brief.IsSet() {
				full++
			}
			b.brief = append(b.brief, brief)
		}
		b.count()
		b.ready <- struct{}{}
	}
}

// count finds the numbers of the lines. A record that stands within a line, or was put together from
// several, has that of the line before it.
func (b *block) count() {
	at, number := 0, b.from
	for _, m := range b.slab.Messages {
		from, n := at, number
		for from < b.used && !b.isAt(from, m) {
			end := bytes.IndexByte(b.buf[from:b.used], '\n')
			if end < 0 {
				from = b.used
				break
			}
			from, n = from+end+1, n+1
		}
		if from == b.used {
			b.number = append(b.number, max(number-1, b.from))
			continue
		}
		b.number = append(b.number, n)
		at, number = from+syslog.NULsEnd(b.buf[from:])+len(m)+1, n+1
	}
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
	for {
		if b := cur.block; b != nil {
			if cur.next < len(b.slab.Messages) {
				i := cur.next
				cur.next++
				cur.lines++
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
			cur.block = nil
			cur.free <- b
		}
		b, ok := <-cur.read
		if !ok {
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

// open opens a file, or standard input.
func open(c *Config, path string) (*follow.Log, error) {
	if path == "-" {
		return follow.NewLog(c.Stdin)
	}
	return follow.OpenLog(path)
}
