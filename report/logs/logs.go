// Package logs finds and reads old logs: which files belong to one log, in which order they were
// written, and what their lines say. Lines are read on all processors and counted in their order.
package logs

import (
	"context"
	"io"
	"regexp"
	"time"

	"rsyncd_exporter/pipeline"
	"rsyncd_exporter/receiver"
	"rsyncd_exporter/rsynclog"
)

// Config says how logs are read.
type Config struct {
	Pipeline pipeline.Config  // formats, tags, names, limits
	Lines    receiver.Dialect // LINE_FORMAT
	Wrapped  bool             // receiver.Source.Wrapped
	FileHost *regexp.Regexp   // has a group "host", which a path gives the host of its lines; nil: lines name theirs
	Zone     *time.Location   // of stamps that name none; nil: this machine's
	Together bool             // pipeline.Replay.Together
	Abreast  int              // how many Cursors are open at once; they share what one alone would have; 0: one is
	Now      time.Time        // no line is believed to be later
	Stdin    io.Reader        // what the path "-" is
	// Wait returns when a read of Stdin would return at once, or ctx's error; nil: it always would.
	Wait     func(context.Context, io.Reader) error
	Progress func(Progress) // is called about once a second while Read runs; nil: nobody looks
}

// A Set is the files of one log: one daemon's, or one relay's.
type Set struct {
	Name  string // path without what rotation puts behind it; "-" for standard input
	Host  string // of all its lines; empty: they name theirs
	Files []File // the oldest first
}

// A File is one generation of a log.
type File struct {
	Path    string
	Size    int64     // bytes on disk; -1: not known
	Written time.Time // when it was written last
	First   time.Time // what its first stamp says; zero: nothing
}

// Progress says how much has been read.
type Progress struct {
	File      string
	Read, All int64 // bytes of the files as they are on disk; All is 0 where it isn't known
	Lines     uint64
	Took      time.Duration
}

// A Place is where a line stands.
type Place struct {
	File   string
	Number uint64 // of the line, from 1
}

// A Book is who reads logs. Its methods are called one at a time.
type Book interface {
	// Begin says that the lines of another set follow.
	Begin(*Set)
	// Line is called for each line, in the order of its log. The Line, and what it points to, is
	// valid until Line returns.
	Line(Place, *pipeline.Line)
	// Lost is called for lines that were thrown away before they could be read: too long, or not
	// ended.
	Lost(Place, receiver.Discard, uint64)
	// Ended is called at the end of a set with what its sessions have come to that no line ended.
	// The changes are valid until Ended returns.
	Ended([]rsynclog.Change)
	// Running is called at the end of a set for each session that has not ended.
	Running(*rsynclog.Session)
}

// Read reads sets, one after the other. It goes on behind a file that can't be read, or not to its
// end: the errors are FileErrors. Where ctx ends, it stops between two lines and
// returns ctx's error as the last one.
func Read(ctx context.Context, c Config, sets []Set, book Book) (errs []error) {
	m := NewMeter(&c, sets)
	for i := range sets {
		cur, err := Open(ctx, c, &sets[i])
		if err != nil {
			return append(errs, err)
		}
		m.Reads(cur)
		book.Begin(&sets[i])
		cur.into(book)
		cur.Close()
		errs = append(errs, cur.errs...)
		if ctx.Err() != nil {
			return append(errs, ctx.Err())
		}
	}
	return errs
}

// into hands all lines to a book, up to those that had been read when the Cursor's ctx ended.
func (cur *Cursor) into(book Book) {
	for {
		l, at, more := cur.Next()
		switch {
		case !more:
			cur.Finish(book.Ended)
			cur.Running(book.Running)
			return
		case l != nil:
			book.Line(at, l)
		default:
			for reason, n := range cur.Lost() {
				if n > 0 {
					book.Lost(at, receiver.Discard(reason), uint64(n))
				}
			}
		}
	}
}

// A Meter tells about once a second how far Cursors have come.
type Meter struct {
	tells       func(Progress)
	began, told time.Time
	now         Progress
}

// NewMeter returns a Meter for sets, or nil if nobody looks.
func NewMeter(c *Config, sets []Set) *Meter {
	if c.Progress == nil {
		return nil
	}
	m := &Meter{tells: c.Progress, began: time.Now()}
	m.told = m.began
	for i := range sets {
		for _, f := range sets[i].Files {
			if f.Size < 0 {
				m.now.All = 0
				return m
			}
			m.now.All += f.Size
		}
	}
	return m
}

// Reads makes a Cursor tell of what it reads.
func (m *Meter) Reads(cur *Cursor) { cur.meter = m }

// tell is called for every few lines. Of a block, as much has been read as of its lines.
func (m *Meter) tell(cur *Cursor) {
	b := cur.block
	lines := cur.untold
	if cur.untold = 0; m == nil {
		return
	}
	if cur.file != b.file {
		cur.file, cur.told, cur.before = b.file, 0, 0
	}
	at := cur.before + (b.read-cur.before)*int64(cur.next)/int64(len(b.slab.Messages))
	m.now.File, m.now.Lines, m.now.Read = b.file.Path, m.now.Lines+lines, m.now.Read+max(0, at-cur.told)
	cur.told = max(at, cur.told)
	if now := time.Now(); now.Sub(m.told) >= time.Second {
		m.told, m.now.Took = now, now.Sub(m.began)
		m.tells(m.now)
	}
}
