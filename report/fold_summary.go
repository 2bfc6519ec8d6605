package report

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"rsyncd_exporter/clients"
	"rsyncd_exporter/rsynclog"
	"rsyncd_exporter/rsynclog/codes"
)

// Summary returns what has been folded so far. The Fold can go on. Equal logs give equal Summaries.
func (f *Fold) Summary() *Summary {
	zone, last := f.o.Zone, f.last
	f.files.wait()
	load := f.load.clone()
	load.finish()
	s := &Summary{
		Version: version, Files: slices.Clone(f.sources), Zone: zoneName(zone), Filter: f.o.shown(),
		From: nanos(f.first, zone), To: nanos(last, zone), Top: f.o.Top,
		Lines: f.lines.all, Ignored: f.lines.ignored, Discarded: f.lines.discarded,
		Unrecognised: f.lines.kinds[rsynclog.Unrecognised], Implausible: f.lines.kinds[rsynclog.NumKinds],
		Totals: f.totals(), Modules: f.tally.list(), Families: map[string]Volume{},
		Users: f.users.list(zone), Hours: f.calendar.hours(), Heat: f.calendar.heat,
		Days: f.calendar.list(load.peaks), Quietest: f.calendar.quietest(f.first, last),
		Waste:      f.files.waste.list(f.o.Top, time.Duration(last-f.first).Hours()/24),
		Saturation: load.list(zone), Samples: f.samples.list(),
	}
	for name, v := range f.tally.families {
		s.Families[name] = v
	}
	s.Paths, s.PathsAtMost = f.files.transferred.list(f.o.Top)
	s.Deleted, s.DeletedAtMost = f.files.deleted.list(f.o.Top)
	s.Clients, s.ClientsRest = f.clients.List(f.o.Top)
	clients.Name(s.Clients, &f.o.Groups, f.o.Places)
	if f.groups.groups.Any() {
		s.Groups = maps.Clone(f.groups.group)
	}
	if f.groups.places != nil {
		s.Places = maps.Clone(f.groups.place)
	}
	if f.o.SuggestExpect {
		s.Expect = f.users.suggest(last)
	}
	s.complete()
	return s
}

func (f *Fold) totals() Totals {
	t := &f.tally
	s := Totals{
		Connections: t.connections, ModuleLists: t.lists, DaemonStarts: t.starts, Lost: t.lost, Running: t.running,
		Errors: map[string]uint64{}, FileErrors: map[string]uint64{},
		Rejected: byName(t.rejected[:], rsynclog.Reason.String),
		Kinds:    byName(f.lines.kinds[:rsynclog.NumKinds], rsynclog.Kind.String),
	}
	if n := f.lines.kinds[rsynclog.NumKinds]; n > 0 {
		s.Kinds["implausible"] = n
	}
	for code, n := range t.exits {
		s.Errors[codes.Label(code)] = n
	}
	for e, n := range t.fileErrors {
		s.FileErrors[codes.Label(e)] = n
	}
	var sum flow
	for fl := range t.flows() {
		s.Executions += fl.executions
		grow(&s.Sent, fl.sent)
		grow(&s.Received, fl.received)
		grow(&s.Listed, fl.listed)
		for o, n := range fl.sessions {
			sum.sessions[o] += n
		}
		for op := range fl.files {
			sum.files[op] += fl.files[op]
			grow(&sum.lengths[op], fl.lengths[op])
			grow(&sum.wire[op], fl.wire[op])
		}
	}
	for _, ops := range []*[numOps]uint64{&sum.files, &sum.lengths, &sum.wire} {
		ops[rsynclog.NoOp] = 0 // directories, links and attributes
	}
	s.Sessions = byName(sum.sessions[:], rsynclog.Outcome.String)
	s.Files = byName(sum.files[:], rsynclog.Op.String)
	s.FileBytes = byName(sum.lengths[:], rsynclog.Op.String)
	s.WireBytes = byName(sum.wire[:], rsynclog.Op.String)
	return s
}

// byName returns the counts that aren't 0 by the names of their indexes.
func byName[T ~uint8](counts []uint64, name func(T) string) map[string]uint64 {
	m := map[string]uint64{}
	for i, n := range counts {
		if n > 0 {
			m[name(T(i))] = n
		}
	}
	return m
}

// flows calls f for each module and direction, in any order.
func (t *tally) flows() func(f func(*flow) bool) {
	return func(f func(*flow) bool) {
		for _, flows := range t.modules {
			for _, fl := range flows {
				if fl != nil && !f(fl) {
					return
				}
			}
		}
	}
}

// list returns the modules and directions that have something, by bytes.
func (t *tally) list() []Module {
	list := []Module{}
	for fl := range t.flows() {
		m := Module{
			Module: fl.module, Direction: fl.direction.String(), Executions: fl.executions,
			Sessions: byName(fl.sessions[:], rsynclog.Outcome.String),
			Sent:     fl.sent, Received: fl.received, Listed: fl.listed,
			Files:   fl.files[rsynclog.OpSend] + fl.files[rsynclog.OpRecv] + fl.files[rsynclog.OpUnknown],
			Deleted: fl.files[rsynclog.OpDel], Duration: fl.took.duration(),
		}
		if len(m.Sessions) > 0 || m.Executions+m.Files+m.Deleted > 0 {
			list = append(list, m)
		}
	}
	slices.SortFunc(list, func(a, b Module) int {
		va, vb := Volume{Sent: a.Sent, Received: a.Received}, Volume{Sent: b.Sent, Received: b.Received}
		return cmp.Or(cmp.Compare(vb.Bytes(), va.Bytes()),
			cmp.Compare(a.Module, b.Module), cmp.Compare(a.Direction, b.Direction))
	})
	return list
}

// nanos shows a time in nanoseconds of the Unix epoch, or nothing for 0.
func nanos(at int64, zone *time.Location) string {
	if at == 0 {
		return ""
	}
	return time.Unix(0, at).In(zone).Format(time.RFC3339)
}

// seconds rounds to a millisecond, which undoes the nanoseconds between lines that have waited.
func seconds(nanos int64) float64 { return time.Duration(nanos).Round(time.Millisecond).Seconds() }
