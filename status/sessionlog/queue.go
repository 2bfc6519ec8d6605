// Package sessionlog writes a JSON line for each session that has ended. A Queue takes the sessions
// under the pipeline's lock and never waits. A Writer makes lines of them and appends these to a
// file, each once: see Record.
package sessionlog

import (
	"sync/atomic"
	"time"

	"rsyncd_exporter/rsynclog"
)

const (
	// Limit is how many sessions wait at most; 32 MiB if all names are as long as they may be.
	Limit = 1 << 15
	// pressing is how many sessions may come before a write or a Release is due at once.
	pressing = Limit / 8
	// maxAmendments bounds the lines of a session: a client can have any number of summaries logged.
	maxAmendments = 8
	blockSize     = 64
)

// A Queue holds sessions that have ended until they are written. Whoever holds the pipeline's lock
// owns its end (Apply, Record); a Writer owns its front. Other methods are safe for concurrent use.
type Queue struct {
	durable bool  // sessions are written once a Record that has them is durable
	since   int64 // when counting began, nanoseconds of the Unix epoch

	last, oldest *block // of those that Record needs
	front        *block // the Writer's

	added    atomic.Uint64 // sessions so far; also the number of the next one
	dropped  atomic.Uint64
	written  atomic.Pointer[progress]
	released atomic.Pointer[progress] // of the last durable Record: up to which session, and its Log
	waits    atomic.Bool              // the Writer needs a durable Record with its present file

	press chan struct{} // many have come
	wake  chan struct{} // Release was called
	late  bool          // see Wait
}

// A block is part of a queue. Nothing in it changes once used says that it is there.
type block struct {
	first   uint64 // number of its first entry
	entries [blockSize]Entry
	used    atomic.Int64
	next    atomic.Pointer[block]
}

// A progress says which session is next, and where the log stands before it.
type progress struct {
	next uint64
	log  Place
}

// A Place is a position in a log file. In a directory an inode is enough to find a renamed file.
type Place struct {
	Path  string
	Inode uint64 // 0: no file, or none that can be read back
	Size  int64  // bytes
}

// A Record is what a restart needs of a Queue, for encoding/gob. It shares no changing memory. A
// session is written only while the last durable Record has it in Pending, and names the file in
// Log. So a restart finds in that file, behind Size, which of the Pending are written.
type Record struct {
	Since   int64     // when counting began, nanoseconds of the Unix epoch
	First   uint64    // sessions written, and the number of the first pending one
	Dropped uint64    // sessions that found no room
	Pending [][]Entry // in order
	Log     Place     // where the first pending one may be written
}

// Counts are what a Queue has come to.
type Counts struct {
	Since            int64 // nanoseconds of the Unix epoch
	Written, Dropped uint64
	Waiting          int
}

// Counts returns the counts of a Record.
func (r *Record) Counts() Counts {
	return Counts{Since: r.Since, Written: r.First, Dropped: r.Dropped, Waiting: int(r.end() - r.First)}
}

// end returns the number behind the last pending session.
func (r *Record) end() uint64 {
	end := r.First
	for _, part := range r.Pending {
		end += uint64(len(part))
	}
	return end
}

// NewQueue returns the queue of a Record. Without one it returns an empty queue that counts since
// now. durable says that Records are saved: sessions then wait for Release.
func NewQueue(from *Record, durable bool, now int64) *Queue {
	if from == nil {
		from = &Record{Since: now}
	}
	q := &Queue{durable: durable, since: from.Since, press: make(chan struct{}, 1), wake: make(chan struct{}, 1)}
	q.last = &block{first: from.First}
	q.oldest, q.front = q.last, q.last
	q.written.Store(&progress{from.First, from.Log})
	q.released.Store(&progress{from.end(), from.Log})
	q.added.Store(from.First)
	q.dropped.Store(from.Dropped)
	for _, part := range from.Pending {
		for i := range part {
			*q.slot() = part[i]
			q.push()
		}
	}
	return q
}

// slot returns the entry that push adds.
func (q *Queue) slot() *Entry {
	if q.last.used.Load() == blockSize {
		b := &block{first: q.last.first + blockSize}
		q.last.next.Store(b)
		q.last = b
		q.forget()
	}
	return &q.last.entries[q.last.used.Load()]
}

func (q *Queue) push() {
	q.last.used.Add(1)
	q.added.Add(1)
}

// forget lets go of blocks that are written.
func (q *Queue) forget() {
	for next := q.written.Load().next; q.oldest != q.last && q.oldest.first+blockSize <= next; {
		q.oldest = q.oldest.next.Load()
	}
}

// Apply queues sessions that have ended, and what is found out later about one. now and wall are
// the present by the sessions' clock and by the wall clock. It never waits.
func (q *Queue) Apply(changes []rsynclog.Change, now, wall int64) {
	for i := range changes {
		c := &changes[i]
		if c.Kind != rsynclog.Ended && c.Kind != rsynclog.Amended || c.Session == nil {
			continue
		}
		s := c.Session
		if c.Kind == rsynclog.Amended {
			switch resumed := i+1 < len(changes) && changes[i+1].Kind == rsynclog.Resumed; {
			case resumed:
				s = changes[i+1].Session
			case c.Sent|c.Received|c.Total == 0 || s.Amendments > maxAmendments:
				continue
			}
		}
		if q.added.Load()-q.written.Load().next >= Limit {
			q.dropped.Add(1)
			continue
		}
		q.slot().fill(c, s, now, wall)
		q.push()
		if q.added.Load()%pressing == 0 {
			signal(q.press)
		}
	}
}

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// Record copies what is not known to be written.
func (q *Queue) Record() *Record {
	q.forget()
	w := q.written.Load()
	r := &Record{Since: q.since, First: w.next, Dropped: q.dropped.Load(), Log: w.log}
	for b := q.oldest; b != nil; b = b.next.Load() {
		from, to := int64(max(w.next, b.first)-b.first), b.used.Load()
		if from < to {
			r.Pending = append(r.Pending, b.entries[from:to:to])
		}
	}
	return r
}

// Counts returns the present counts.
func (q *Queue) Counts() Counts {
	written := q.written.Load().next
	return Counts{Since: q.since, Written: written, Dropped: q.dropped.Load(), Waiting: int(q.added.Load() - written)}
}

// Added returns how many sessions have been queued.
func (q *Queue) Added() uint64 { return q.added.Load() }

// Pressed returns what is sent to when so much waits that a Record should be saved at once.
func (q *Queue) Pressed() <-chan struct{} { return q.press }

// Unsaved says whether something waits for Release.
func (q *Queue) Unsaved() bool {
	return q.waits.Load() || q.released.Load().next < q.added.Load()
}

// Release says that a Record is durable: what it has pending may be written.
func (q *Queue) Release(r *Record) {
	q.released.Store(&progress{r.end(), r.Log})
	signal(q.wake)
}

// Wait waits while the queue is more than half full, for a second at most. It doesn't wait again
// before the queue has been less than half full. Its callers take turns. They read what doesn't get
// lost meanwhile, such as a file's backlog.
func (q *Queue) Wait() {
	const patience = time.Second
	full := func() bool { return q.added.Load()-q.written.Load().next > Limit/2 }
	if !full() {
		q.late = false
		return
	}
	for end := time.Now().Add(patience); !q.late && full(); time.Sleep(time.Millisecond) {
		q.late = time.Now().After(end)
	}
}
