package metrics

import (
	"fmt"
	"maps"
	"slices"

	"rsyncd_exporter/internal/enum"
	"rsyncd_exporter/rsynclog"
)

// Counts by the values of an enumeration are saved under their names. An unknown name is an error,
// since a sum would fall without its count; but unknown kinds count as rsynclog.Other.
type (
	kindCounts     [numMessages]uint64 // by kind, then implausible and otherKind
	reasonCounts   [rsynclog.NumReasons]uint64
	opCounts       [numOps]uint64
	outcomeCounts  [rsynclog.NumOutcomes]uint64
	overflowCounts [numOverflow]uint64
)

var (
	kindNames    = append(enum.Names(rsynclog.NumKinds, rsynclog.Kind.String), "implausible", rsynclog.Other)
	reasonNames  = enum.Names(rsynclog.NumReasons, rsynclog.Reason.String)
	opNames      = enum.Names(rsynclog.Op(numOps), rsynclog.Op.String)
	outcomeNames = enum.Names(rsynclog.NumOutcomes, rsynclog.Outcome.String)
)

func (c kindCounts) GobEncode() ([]byte, error) { return enum.Encode(c[:], kindNames), nil }
func (c *kindCounts) GobDecode(b []byte) error  { return enum.Decode(b, c[:], kindNames, otherKind) }

func (c reasonCounts) GobEncode() ([]byte, error) { return enum.Encode(c[:], reasonNames), nil }
func (c *reasonCounts) GobDecode(b []byte) error  { return enum.Decode(b, c[:], reasonNames, -1) }

func (c opCounts) GobEncode() ([]byte, error) { return enum.Encode(c[:], opNames), nil }
func (c *opCounts) GobDecode(b []byte) error  { return enum.Decode(b, c[:], opNames, -1) }

func (c outcomeCounts) GobEncode() ([]byte, error) { return enum.Encode(c[:], outcomeNames), nil }
func (c *outcomeCounts) GobDecode(b []byte) error  { return enum.Decode(b, c[:], outcomeNames, -1) }

func (c overflowCounts) GobEncode() ([]byte, error) { return enum.Encode(c[:], overflowNames[:]), nil }
func (c *overflowCounts) GobDecode(b []byte) error  { return enum.Decode(b, c[:], overflowNames[:], -1) }

// Restore returns a Store that goes on from the books, whose memory it takes over. Config takes
// precedence over the saved settings; its Start is the created time of what is newly configured.
// Everything else keeps its counts and created time.
func Restore(c Config, b *Books) (*Store, error) {
	if !slices.Equal(b.Buckets, buckets()) {
		return nil, fmt.Errorf("restoring counters: histograms with other buckets: %v", b.Buckets)
	}
	s := newStore(c)
	s.start, s.retired, s.overflow = b.Start, b.Retired, b.OverflowByLabel
	s.other = s.newHost(rsynclog.Other, s.start)
	for i := range b.Inputs {
		if err := s.restoreInput(&b.Inputs[i], b.Reasons); err != nil {
			return nil, fmt.Errorf("restoring counters: %w", err)
		}
	}
	for i := range b.Hosts {
		s.restoreHost(&b.Hosts[i])
	}
	for _, h := range s.hosts {
		s.series += h.weight()
	}
	s.series += s.other.weight()
	s.addFixed()
	if !slices.Equal(b.Modules, s.modules) || b.MaxSeries != s.maxSeries {
		for _, name := range slices.Sorted(maps.Keys(s.hosts)) {
			if h := s.hosts[name]; h.Configured {
				h.Configured = false
				s.configure(h)
			}
		}
	}
	return s, nil
}

func (s *Store) restoreInput(saved *Input, reasons []string) error {
	in := s.Input(saved.Name)
	discarded := in.Discarded
	*in = *saved
	in.Discarded = discarded
	for i, n := range saved.Discarded {
		to := slices.Index(s.reasons, reasons[i])
		if to < 0 && n > 0 {
			return fmt.Errorf("%d messages discarded for %q, which this version doesn't know", n, reasons[i])
		}
		if n > 0 {
			discarded[to] = n
		}
	}
	return nil
}

func (s *Store) restoreHost(rec *HostRecord) {
	h := s.newHost(rec.Host, rec.Created)
	h.HostRecord, h.Modules = *rec, nil
	if rec.Host == rsynclog.Other {
		s.other, s.spilled = h, true
	} else {
		s.hosts[rec.Host] = h
	}
	s.noteMixed(h)
	for i := range rec.Modules {
		m := h.unnamed
		if name := rec.Modules[i].Module; name != "" {
			m = s.newModule(h, name, 0)
		}
		m.ModuleRecord, m.Flows = rec.Modules[i], nil
		for _, saved := range rec.Modules[i].Flows {
			f := s.flow(m, saved.Direction, 0)
			f.FlowRecord, f.Users = saved, nil
			for _, u := range saved.Users {
				f.addUser(&u)
			}
		}
	}
}
