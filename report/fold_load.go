package report

import (
	"cmp"
	"maps"
	"math"
	"slices"
	"time"

	"rsyncd_exporter/rsynclog"
)

const (
	// maxLevels bounds how many transfers at one time are told apart. Few daemons allow more.
	maxLevels = 1024
	// minTurns and maxTurns bound the turns that wait: see load. A turn takes 24 bytes.
	minTurns = 1 << 12
	maxTurns = 1 << 16
	// jitter is by how much a line may be older than one that stands before it.
	jitter = int64(time.Minute)
)

// A load follows how many transfers run at one time. They begin in the order of the log. But when
// one ended is known only later: a silent one has ended at its last line, a day ago perhaps. So
// turns wait until no session that runs can have ended before them. If too many wait, such a
// session counts as running longer than it did.
type load struct {
	calendar     *calendar
	since, until int64 // nanoseconds of the Unix epoch: what lies outside isn't counted

	gauges []gauge        // the first one is of all modules
	byName map[string]int // indexes of the others
	peaks  map[int]uint64 // by day, of all modules

	// Of the set that is being read.
	first, last int64 // time of its lines; 0: none yet
	swept       int64 // turns before this have been counted
	turns       []turn
	room        int // for so many turns, before those that can be are counted
}

// A gauge counts the transfers of one module.
type gauge struct {
	n  int   // how many run now
	at int64 // as of when; 0: none has in this set

	begun   []uint64 // see Saturation
	held    []int64  // nanoseconds, by level
	peak    int
	peakAt  int64
	refused uint64
}

// A turn is the begin or the end of a transfer.
type turn struct {
	at     int64
	seq    uint64 // of the line, which tells the order within a second
	gauge  int32
	begins bool
}

func newLoad(c *calendar, since, until int64) *load {
	return &load{
		calendar: c, since: since, until: until, room: minTurns,
		gauges: make([]gauge, 1), byName: map[string]int{}, peaks: map[int]uint64{},
	}
}

// clone shares nothing that changes.
func (ld *load) clone() *load {
	c := *ld
	c.gauges, c.turns = slices.Clone(ld.gauges), slices.Clone(ld.turns)
	c.byName, c.peaks = maps.Clone(ld.byName), maps.Clone(ld.peaks)
	for i := range c.gauges {
		g := &c.gauges[i]
		g.begun, g.held = slices.Clone(g.begun), slices.Clone(g.held)
	}
	return &c
}

// gauge returns the index of a module's gauge.
func (ld *load) gauge(module string) int {
	i := ld.byName[module]
	if i == 0 && len(ld.gauges) > maxModules && module != rsynclog.Other {
		return ld.gauge(rsynclog.Other)
	}
	if i == 0 {
		i = len(ld.gauges)
		ld.gauges, ld.byName[module] = append(ld.gauges, gauge{}), i
	}
	return i
}

// line notes the time of a line, which must be known.
func (ld *load) line(at int64) {
	if ld.first == 0 {
		ld.first = at
	}
	ld.last = max(ld.last, at)
}

// start counts a visit as running in a module, from when it began.
func (ld *load) start(v *visit, module string, seq uint64) {
	v.gauge = ld.gauge(module)
	ld.turns = append(ld.turns, turn{at: v.began, seq: seq, gauge: int32(v.gauge), begins: true})
}

// end says that a visit has ended; at is 0 if nobody knows when.
func (ld *load) end(v *visit, at int64) {
	if v.gauge != 0 {
		ld.turns = append(ld.turns, turn{at: max(at, v.began), seq: v.seq, gauge: int32(v.gauge)})
		v.gauge = 0
	}
}

func (ld *load) full() bool { return len(ld.turns) >= ld.room }

// settle counts the turns that nothing can come before any more.
func (ld *load) settle(open map[*rsynclog.Session]*visit) {
	before := ld.last - jitter
	for s, v := range open {
		if v.gauge != 0 {
			before = min(before, s.LastSeen)
		}
	}
	ld.sweep(before)
	if n := len(ld.turns); n > maxTurns/2 {
		ld.sweep(ld.turns[n/2].at + 1)
	}
	ld.room = max(minTurns, 2*len(ld.turns)) // so that most of them are sorted a few times only
}

// finish ends the set. What still runs does so up to its last line.
func (ld *load) finish() {
	ld.sweep(math.MaxInt64)
	for i := range ld.gauges {
		if g := &ld.gauges[i]; g.at != 0 {
			ld.advance(i, ld.last)
			g.n, g.at = 0, 0
		}
	}
	ld.first, ld.last, ld.swept, ld.room = 0, 0, 0, minTurns
}

// sweep counts the turns before a time, in their order.
func (ld *load) sweep(before int64) {
	slices.SortFunc(ld.turns, func(a, b turn) int {
		if c := cmp.Or(cmp.Compare(a.at, b.at), cmp.Compare(a.seq, b.seq)); c != 0 || a.begins == b.begins {
			return c
		}
		if a.begins {
			return -1
		}
		return 1
	})
	n := 0
	for n < len(ld.turns) && ld.turns[n].at < before {
		t := &ld.turns[n]
		ld.swept = max(ld.swept, t.at)
		ld.turn(0, t.begins)
		ld.turn(int(t.gauge), t.begins)
		n++
	}
	ld.turns = slices.Delete(ld.turns, 0, n)
}

// turn begins or ends a transfer, now.
func (ld *load) turn(i int, begins bool) {
	g, at := &ld.gauges[i], ld.swept
	ld.advance(i, at)
	if !begins {
		g.n--
		return
	}
	g.n++
	if at < ld.since || at >= ld.until {
		return
	}
	raise(&g.begun, g.n-1)
	g.begun[min(g.n-1, maxLevels-1)]++
	g.reach(at)
	if i == 0 {
		if day, _, ok := ld.calendar.day(at); ok {
			ld.peaks[day] = max(ld.peaks[day], uint64(g.n))
		}
	}
}

// raise makes room for a level.
func raise[T any](list *[]T, level int) {
	for len(*list) <= min(level, maxLevels-1) {
		var zero T
		*list = append(*list, zero)
	}
}

// reach notes how many run.
func (g *gauge) reach(at int64) {
	if g.n > g.peak {
		g.peak, g.peakAt = g.n, at
	}
}

// advance says that nothing begins or ends before a time.
func (ld *load) advance(i int, to int64) {
	g := &ld.gauges[i]
	if g.at == 0 {
		g.at = ld.first
	}
	from, until := max(g.at, ld.since), min(to, ld.until)
	g.at = max(g.at, to)
	if from >= until {
		return
	}
	raise(&g.held, g.n)
	g.held[min(g.n, maxLevels-1)] += until - from
	g.reach(from)
	if i != 0 || g.n == 0 {
		return
	}
	for from = max(from, ld.calendar.oldest); from < until; {
		day, ends, ok := ld.calendar.day(from)
		if !ok {
			return
		}
		ld.peaks[day] = max(ld.peaks[day], uint64(g.n))
		from = ends
	}
}

// list returns how full the modules were, by name. The set must have been finished.
func (ld *load) list(zone *time.Location) []Saturation {
	list := []Saturation{}
	for _, name := range slices.Sorted(maps.Keys(ld.byName)) {
		g := &ld.gauges[ld.byName[name]]
		s := Saturation{
			Module: name, Refused: g.refused, Peak: uint64(g.peak), PeakAt: nanos(g.peakAt, zone),
			Begun: append([]uint64{}, g.begun...), SecondsAt: make([]float64, len(g.held)),
		}
		for n, held := range g.held {
			s.SecondsAt[n] = seconds(held)
		}
		if s.Refused > 0 || len(s.Begun) > 0 || s.Peak > 0 {
			list = append(list, s)
		}
	}
	return list
}
