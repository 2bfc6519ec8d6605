package pipeline

import (
	"errors"
	"fmt"
	"maps"
	"time"

	"rsyncd_exporter/backups"
	"rsyncd_exporter/checkpoint"
	"rsyncd_exporter/clients"
	"rsyncd_exporter/metrics"
	"rsyncd_exporter/receiver"
	"rsyncd_exporter/receiver/follow"
	"rsyncd_exporter/rsynclog"
	"rsyncd_exporter/status/sessionlog"
)

// ErrCheckpoint is wrapped by errors about a Checkpoint that can't be read or restored.
var ErrCheckpoint = errors.New("the saved state can't be used")

// format is the number of what Encode writes; see checkpoint.Encode. That of format 2 has the same
// fields: see follow.Catalogue.Upgraded.
const format = 3

// A Checkpoint is the state of a Pipeline at one moment. The caller adds Followed, about the files
// that it follows. Nothing else changes.
type Checkpoint struct {
	Saved    int64 // when, nanoseconds of the Unix epoch
	Books    *metrics.Books
	Sessions rsynclog.TableRecord
	Followed follow.Catalogue   // the caller's: what follow.Set.Catalogue makes of Counted
	Clients  *clients.Record    // nil: not kept
	Backups  *backups.Record    // nil: not kept
	Ended    *sessionlog.Record // nil: not kept

	counted map[receiver.FileID]receiver.FilePosition
}

// Counted returns how far files are counted in Books. It lacks files of which this process has
// delivered nothing.
func (c *Checkpoint) Counted() map[receiver.FileID]receiver.FilePosition { return c.counted }

// Encode writes the Checkpoint as bytes that Decode reads.
func (c *Checkpoint) Encode() ([]byte, error) { return checkpoint.Encode(format, c) }

// Decode reads what Encode wrote, in this version or the one before. Its errors wrap ErrCheckpoint.
// A panic becomes one, so that no state keeps the program from starting.
func Decode(payload []byte) (c *Checkpoint, err error) {
	defer recovered(&err)
	was, err := checkpoint.Format(payload)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrCheckpoint, err)
	}
	c = &Checkpoint{Books: &metrics.Books{}}
	switch was {
	case format, 2:
		err = checkpoint.Decode(payload, c)
	case 1:
		err = decodeFormat1(payload, c)
	default:
		err = fmt.Errorf("it has format %d, and this version reads %d", was, format)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrCheckpoint, err)
	}
	return c, nil
}

func recovered(err *error) {
	if p := recover(); p != nil {
		*err = fmt.Errorf("%w: %v", ErrCheckpoint, p)
	}
}

// restore returns the sessions and the books of a Checkpoint. If the wall clock was set back since,
// no time counts as passed.
func (c *Checkpoint) restore(cfg Config, books metrics.Config, now int64) (
	sessions *rsynclog.Sessions, store *metrics.Store, err error,
) {
	defer recovered(&err)
	down := time.Duration(max(0, now-c.Saved))
	restart := rsynclog.Restart{Now: now, Down: down, Replayed: receiver.IsFileScope}
	sessions, err = rsynclog.RestoreSessions(cfg.Limits, cfg.Modules, cfg.Hosts, &c.Sessions, restart)
	if err == nil {
		store, err = metrics.Restore(books, c.Books)
	}
	if err != nil {
		return nil, nil, fmt.Errorf("%w: %w", ErrCheckpoint, err)
	}
	return sessions, store, nil
}

// Save is Snapshot, and copies everything else that is needed to go on from the same moment. The
// Snapshot and the Checkpoint have the same books.
//
// known is the catalogue of the previous Checkpoint. Positions of files that it doesn't list are
// forgotten, unless something was delivered of them since.
func (p *Pipeline) Save(known *follow.Catalogue) (*metrics.Snapshot, *Checkpoint) {
	var keep map[receiver.FileID]bool
	if known != nil {
		keep = known.IDs()
	}
	snap, c, positions := p.copy(keep)
	c.counted = make(map[receiver.FileID]receiver.FilePosition, len(positions))
	for i := range positions {
		c.counted[positions[i].ID] = positions[i]
	}
	return snap, c
}

func (p *Pipeline) copy(keep map[receiver.FileID]bool) (*metrics.Snapshot, *Checkpoint, []receiver.FilePosition) {
	p.Tick()
	p.mu.Lock()
	n := p.sessions.Len()
	p.mu.Unlock()
	room := rsynclog.Room(n + n/8 + 64) // some more may have begun by then
	p.mu.Lock()
	defer p.mu.Unlock()
	snap := p.store.Snapshot(p.sessions, p.clock.behind())
	c := &Checkpoint{Saved: p.clock.wall(), Books: &snap.Books, Sessions: p.sessions.Record(p.clock.now(), room)}
	c.Clients, c.Backups = p.records()
	if p.books.Ended != nil {
		c.Ended = p.books.Ended.Record()
	}
	if keep != nil {
		maps.DeleteFunc(p.delivered, func(id receiver.FileID, d *delivery) bool {
			return d.turn <= p.saved && !keep[id]
		})
	}
	p.saved = p.turn
	positions := make([]receiver.FilePosition, 0, len(p.delivered))
	for _, d := range p.delivered {
		positions = append(positions, d.position)
	}
	return snap, c, positions
}

// A delivery is the position in a file's last slab.
type delivery struct {
	position receiver.FilePosition
	turn     uint64 // Pipeline.turn at that slab
}

// maxDelivered bounds the positions if nothing is saved for long. Beyond it, the file that was
// silent for longest is forgotten.
const maxDelivered = 1 << 15

// delivers notes how far a file is counted. The caller holds the lock.
func (p *Pipeline) delivers(at *receiver.FilePosition) {
	d := p.delivered[at.ID]
	if d == nil {
		if len(p.delivered) >= maxDelivered {
			p.forgetDelivery()
		}
		d = &delivery{}
		p.delivered[at.ID] = d
	}
	p.turn++
	d.position, d.turn = *at, p.turn
}

func (p *Pipeline) forgetDelivery() {
	oldest, turn := receiver.FileID{}, p.turn+1
	for id, d := range p.delivered {
		if d.turn < turn {
			oldest, turn = id, d.turn
		}
	}
	delete(p.delivered, oldest)
}
