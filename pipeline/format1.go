package pipeline

import (
	"bytes"
	"encoding/gob"
	"errors"
	"net/netip"

	"rsyncd_exporter/internal/enum"
	"rsyncd_exporter/metrics"
	"rsyncd_exporter/receiver"
	"rsyncd_exporter/receiver/follow"
	"rsyncd_exporter/rsynclog"
)

// Format 1 is what versions up to November 2026 wrote. This file goes when nobody has such a state.

// format1Same has the fields that have kept their names.
type format1Same struct {
	Saved    int64
	Books    metrics.Books
	Sessions struct {
		Now                int64
		Names              rsynclog.NumberNames
		Sessions           []rsynclog.SessionRecord
		Noted              bool
		Evicted, Overflown uint64
		NoRoom             int64
	}
	Followed struct {
		Paths     []string
		Scanned   int64
		NextScope uint32
	}
}

// format1 has the others. Its lists run parallel to those of format1Same.
type format1 struct {
	Books struct {
		Names    names1
		Overflow []uint64
		Hosts    []host1
	}
	Sessions struct {
		Origins  []origin1
		Sessions []session1
	}
	Followed struct {
		Files   []file1
		Orphans []position1
		Sums    []struct {
			Pattern           string
			Rotations, Errors uint64
			Gaps              []gap1
		}
	}
}

type names1 struct {
	Overflow, Discards, Messages, Reasons, Ops, Outcomes []string
	Bounds                                               []float64
	NativeSchema                                         int
	NativeZero                                           float64
}

type host1 struct {
	Messages  []uint64
	Addresses []struct {
		Addr  string
		Heard int64
	}
	Modules []struct {
		Rejected, Files, FileBytes, WireBytes []uint64
		Flows                                 []struct {
			Outcomes []uint64
			Duration struct{ Buckets []uint64 }
		}
	}
}

type origin1 struct {
	Host, Container, Addr string
	Scope                 uint32
	Taught                []struct {
		Name  string
		Heard int64
	}
	Names, Serves, Noted bool
	Arrived              int64
	Life, Era            uint32
	Top, Floor           int32
	Connects, Laps       uint64
	Talkers              []struct {
		First int32
		Week  int64
		Bits  []uint64
	}
	Forgotten, NoName                  int64
	Offset, SteadyArrived, SteadyStamp int64
	Latest, QuietFrom                  int64
	Behind                             bool
}

type session1 struct {
	Origin    int
	ExitRoles [2]uint8
	ExitCodes [2]int16
	Started   uint64
}

type file1 struct {
	Path                     string
	Scope                    uint32
	Positions, Cut, Replaced []position1
	Followed                 int
	Beside                   follow.Siblings
	Place                    string
	Elsewhere                []follow.Place
	Start                    receiver.FileID
	StartSize                int64
	Rotations, Errors        uint64
	Gaps                     []gap1
}

type position1 struct {
	ID             receiver.FileID
	Offset         int64
	Skipping, Copy bool
	Anchor, Head   []byte
	Parts          byte
}

type gap1 struct {
	Reason string
	N      uint64
}

func decodeFormat1(payload []byte, c *Checkpoint) error {
	var same format1Same
	var other format1
	for _, v := range []any{&same, &other} {
		if err := gob.NewDecoder(bytes.NewReader(payload)).Decode(v); err != nil {
			return err
		}
	}
	c.Saved, c.Books = same.Saved, &same.Books
	s := &same.Sessions
	c.Sessions = rsynclog.TableRecord{
		Now: s.Now, Names: s.Names, Sessions: s.Sessions, Noted: s.Noted,
		Evicted: s.Evicted, Overflown: s.Overflown, NoRoom: s.NoRoom,
	}
	f := &same.Followed
	c.Followed = follow.Catalogue{Paths: f.Paths, Scanned: f.Scanned, NextScope: f.NextScope}
	other.fillSessions(&c.Sessions)
	return errors.Join(other.fillBooks(c.Books, c.Saved), other.fillFollowed(&c.Followed))
}

// fillBooks fills in the counts by enumerations. What has no time when it was heard gets the time
// of the save.
func (f *format1) fillBooks(b *metrics.Books, saved int64) (err error) {
	take := func(to gob.GobDecoder, counts []uint64, names []string) {
		err = errors.Join(err, to.GobDecode(enum.Encode(counts, names)))
	}
	heard := func(at *int64) {
		if *at == 0 {
			*at = saved
		}
	}
	n := &f.Books.Names
	b.Reasons, b.Buckets = n.Discards, append(n.Bounds, float64(n.NativeSchema), n.NativeZero)
	take(&b.OverflowByLabel, f.Books.Overflow, n.Overflow)
	for i := range b.Hosts {
		h, old := &b.Hosts[i], &f.Books.Hosts[i]
		heard(&h.Heard)
		take(&h.MessagesByKind, old.Messages, n.Messages)
		for _, a := range old.Addresses {
			h.Senders = append(h.Senders, metrics.SenderRecord{Addr: netip.MustParseAddr(a.Addr), Heard: a.Heard})
		}
		for j := range h.Modules {
			m, old := &h.Modules[j], &old.Modules[j]
			heard(&m.Heard)
			take(&m.RejectedByReason, old.Rejected, n.Reasons)
			take(&m.FilesByOp, old.Files, n.Ops)
			take(&m.FileBytesByOp, old.FileBytes, n.Ops)
			take(&m.WireBytesByOp, old.WireBytes, n.Ops)
			for k := range m.Flows {
				take(&m.Flows[k].SessionsByOutcome, old.Flows[k].Outcomes, n.Outcomes)
				copy(m.Flows[k].Duration.Classic[:], old.Flows[k].Duration.Buckets)
				for u := range m.Flows[k].Users {
					heard(&m.Flows[k].Users[u].Heard)
				}
			}
		}
	}
	return err
}

func (f *format1) fillSessions(t *rsynclog.TableRecord) {
	for i := range f.Sessions.Origins {
		old := &f.Sessions.Origins[i]
		o := rsynclog.OriginRecord{
			Scope: old.Scope, Raw: old.Host, Container: old.Container, Modules: map[string]rsynclog.Taught{},
			Arrived: old.Arrived, Forgotten: old.Forgotten, NoName: old.NoName,
			Serves: old.Serves, Names: old.Names, Noted: old.Noted,
		}
		if old.Addr != "" {
			o.Addr = netip.MustParseAddr(old.Addr)
		}
		for _, m := range old.Taught {
			o.Modules[m.Name] = rsynclog.Taught{Label: rsynclog.Label([]byte(m.Name)), Heard: m.Heard}
		}
		l, c := &o.Life, &o.Clock
		l.Number, l.Era, l.Top, l.Floor = old.Life, old.Era, old.Top, old.Floor
		l.Connects, l.Laps = old.Connects, old.Laps
		c.Offset, c.SteadyArrived, c.SteadyStamp = old.Offset, old.SteadyArrived, old.SteadyStamp
		c.Latest, c.QuietFrom, c.Behind = old.Latest, old.QuietFrom, old.Behind
		t.Origins = append(t.Origins, o)
		for _, page := range old.Talkers {
			r := rsynclog.TalkerRecord{Origin: i, First: page.First, Week: page.Week}
			copy(r.Past[:], page.Bits[copy(r.Bits[:], page.Bits):])
			t.Talkers = append(t.Talkers, r)
		}
	}
	for i := range t.Sessions {
		s, old := &t.Sessions[i], &f.Sessions.Sessions[i]
		s.ProcessStarted = old.Started
		for j := range s.Exits {
			s.Exits[j].Role, s.Exits[j].Code = old.ExitRoles[j], old.ExitCodes[j]
		}
		t.Origins[old.Origin].Sessions++ // they stood in the order of their origins
	}
}

func (f *format1) fillFollowed(c *follow.Catalogue) (err error) {
	gaps := func(to gob.GobDecoder, list []gap1) {
		var counts []uint64
		var reasons []string
		for _, g := range list {
			counts, reasons = append(counts, g.N), append(reasons, g.Reason)
		}
		err = errors.Join(err, to.GobDecode(enum.Encode(counts, reasons)))
	}
	c.Orphans = positions1(f.Followed.Orphans)
	for i := range f.Followed.Files {
		old := &f.Followed.Files[i]
		file := follow.SavedFile{Path: old.Path, Scope: old.Scope, FileRecord: follow.PathRecord{
			Positions: positions1(old.Positions), Followed: old.Followed,
			Replaced: positions1(old.Replaced), Cut: positions1(old.Cut),
			Beside: old.Beside, Place: old.Place, Elsewhere: old.Elsewhere, Start: old.Start, StartSize: old.StartSize,
			Rotations: old.Rotations, Errors: old.Errors,
		}}
		gaps(&file.FileRecord.Gaps, old.Gaps)
		c.Files = append(c.Files, file)
	}
	for _, old := range f.Followed.Sums {
		sums := follow.SavedSums{Pattern: old.Pattern, Rotations: old.Rotations, Errors: old.Errors}
		gaps(&sums.Gaps, old.Gaps)
		c.Sums = append(c.Sums, sums)
	}
	return err
}

func positions1(list []position1) (all []receiver.FilePosition) {
	for i := range list {
		old := &list[i]
		p := receiver.FilePosition{
			ID: old.ID, Offset: old.Offset, Skipping: old.Skipping, Parts: old.Parts, Copy: old.Copy,
		}
		copy(p.Anchor[:], old.Anchor)
		copy(p.Head[:], old.Head)
		all = append(all, p)
	}
	return all
}
