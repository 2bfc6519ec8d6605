package metrics

import (
	"slices"

	"rsyncd_exporter/rsynclog"
	"rsyncd_exporter/rsynclog/codes"
)

// MAX_SERIES bounds the series that are served, with histograms' buckets. A label set takes the
// weight of all series that it can be served as, except those with weights of their own. The host
// _other and the names from the settings have none, since no sender can make more of them.
const (
	// Four counters, the version, the addresses, messages of the kind _other, and the unnamed
	// module.
	hostSeries = 4 + 1 + 1 + 1 + unnamedSeries + undirectedSeries
	// The code and errno _other, the urgent errnos, the reasons, three counters of four operations,
	// and the oldest session.
	unnamedSeries = 2 + len(urgentErrnos) + int(rsynclog.NumReasons) - 1 + 3*(numOps-1) + 1
	// A named module also has the usual codes, at 0 from the start, and its places.
	moduleSeries = unnamedSeries + len(usualCodes) + 1
	// Sessions without a direction have six outcomes and four counters of bytes.
	undirectedSeries = int(rsynclog.NumOutcomes) + 4
	// Also executions, a gauge, a histogram with +Inf, sum and count, and the user _other.
	directedSeries = undirectedSeries + 2 + len(bounds) + 3 + userSeries
	userSeries     = 4
)

// flowSeries is the weight of a module's direction. Without a module there are no users.
func flowSeries(module string, d rsynclog.Direction) int {
	switch {
	case d == rsynclog.NoDirection:
		return undirectedSeries
	case module == "":
		return directedSeries - userSeries
	}
	return directedSeries
}

// room takes n series of what MAX_SERIES leaves, for which long silent members of the pools make
// room. It returns false if they are too few.
func (s *Store) room(n int, victims []pool) bool {
	for _, p := range victims {
		for s.series+n > s.maxSeries && s.letGo(p) {
		}
	}
	if s.series+n > s.maxSeries {
		return false
	}
	s.series += n
	return true
}

// weight returns how much room the host has taken, all of which comes free when it goes.
func (h *hostTally) weight() int {
	n := 0
	if !h.fixed {
		n = hostSeries
		for kind, seen := range h.MessagesByKind {
			if seen > 0 && kind != otherKind {
				n++
			}
		}
	}
	n += h.unnamed.weight()
	for _, m := range h.modules {
		n += m.weight()
	}
	return n
}

func (m *moduleTally) weight() int {
	n := 0
	if m.Module != "" && !m.fixed {
		n = moduleSeries
	}
	m.eachFlow(func(f *flowTally) {
		if !m.paid(f.Direction) {
			n += flowSeries(m.Module, f.Direction)
		}
		for name := range f.users {
			if name != rsynclog.Other {
				n += userSeries
			}
		}
	})
	for _, c := range m.Exits {
		if !m.paidCode(c.Number) {
			n++
		}
	}
	for _, c := range m.FileErrors {
		if !paidErrno(c.Number) {
			n++
		}
	}
	return n
}

// paid reports whether the series of a direction have no weight of their own.
func (m *moduleTally) paid(d rsynclog.Direction) bool {
	return m.fixed || m.Module == "" && d == rsynclog.NoDirection
}

// paidCode reports the same of an exit code.
func (m *moduleTally) paidCode(code int16) bool {
	return code == codes.Unknown || m.Module != "" && slices.Contains(usualCodes[:], code)
}

// urgentErrnos are those of which a single one is an alert: a disk that is full (28, 122), fails (5,
// 117) or can't be written (30). There is always room for them, so that nobody hides them by filling
// MAX_SERIES.
var urgentErrnos = [...]int16{5, 28, 30, 117, 122}

// paidErrno reports whether the series of an errno has no weight of its own.
func paidErrno(errno int16) bool {
	return errno == codes.Unknown || slices.Contains(urgentErrnos[:], errno)
}

// provide returns a host's module with these directions, or nil if there is no room for them.
func (s *Store) provide(h *hostTally, name string, directions ...rsynclog.Direction) *moduleTally {
	m := h.unnamed
	if name != "" {
		m = h.modules[name]
	}
	need := 0
	if m == nil {
		if !s.fixedModule(h, name) {
			need = moduleSeries
			for _, d := range directions {
				need += flowSeries(name, d)
			}
		}
	} else {
		m.Heard = s.at // it must not make room for itself
		for _, d := range directions {
			if m.flows[d] == nil && !m.paid(d) {
				need += flowSeries(name, d)
			}
		}
	}
	if need > 0 && !s.room(need, forModule) {
		return nil
	}
	if m == nil {
		m = s.newModule(h, name, s.at)
	}
	for _, d := range directions {
		s.flow(m, d, s.at)
	}
	return m
}

// fixedModule reports whether a module has room regardless of MAX_SERIES.
func (s *Store) fixedModule(h *hostTally, name string) bool {
	return h == s.other || h.fixed && slices.Contains(s.modules, name)
}

// number adds n to the count of an exit code or errno, or of codes.Unknown for want of room.
func (s *Store) number(list []NumberCount, number int16, n uint64, paid bool, label int) []NumberCount {
	isNew := !slices.ContainsFunc(list, func(c NumberCount) bool { return c.Number == number })
	if isNew && !paid && !s.room(1, forModule) {
		s.overflow[label] += n
		number = codes.Unknown
	}
	// A usual code's series has been there since its module. Any other begins now: Prometheus takes
	// it for 0 at its created time, so the module's, long ago, would hide the first event.
	created := s.at
	if paid && label == overflowCode && number != codes.Unknown {
		created = 0
	}
	return add(list, number, n, created)
}
