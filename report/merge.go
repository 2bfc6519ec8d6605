package report

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// Merge adds up reports of other pieces of an archive, or of other mirrors. No line may be in two of
// them, and they must have the same zone and filter. The order of the reports doesn't matter.
//
// Sums are exact, and so are percentiles, as far as those of one report are. So are top lists that
// leave nothing out. Otherwise a client that a list leaves out may have had up to that list's
// Rest.AtMost, which adds to its Error; paths likewise.
//
// Of what went on at one time in two reports, each knows only its part. Peaks are the highest of
// one report, and Saturation.Begun and SecondsAt the sums. A user's longest gap is that of one
// report, or the time between two reports; it is too large where another report has a success
// within. Waste is at least as large as stated. Expect and Compare are left out.
func Merge(all []*Summary, top int) (*Summary, error) {
	if len(all) == 0 {
		return nil, errors.New("no report to add up")
	}
	if err := alike(all); err != nil {
		return nil, err
	}
	parts, err := inOrder(all)
	if err != nil {
		return nil, err
	}
	s := &Summary{Version: all[0].Version, Zone: all[0].Zone, Filter: all[0].Filter, Files: []Source{},
		Top: top}
	for _, p := range parts {
		s.Merged += max(1, p.Merged)
		s.Files = append(s.Files, p.Files...)
		s.From = earlier(s.From, p.From)
		s.To = later(s.To, p.To)
		s.Interrupted = s.Interrupted || p.Interrupted
		s.Lines += p.Lines
		s.Unrecognised += p.Unrecognised
		s.Implausible += p.Implausible
		s.Ignored += p.Ignored
		s.Discarded += p.Discarded
		s.Totals.merge(&p.Totals)
		addVolumes(&s.Families, p.Families)
		addVolumes(&s.Groups, p.Groups)
		addVolumes(&s.Places, p.Places)
		for h := range s.Hours {
			s.Hours[h].Add(p.Hours[h])
			for d := range s.Heat {
				s.Heat[d][h].Add(p.Heat[d][h])
			}
		}
	}
	s.Modules = mergeModules(parts)
	s.Clients, s.ClientsRest = mergeClients(parts, top)
	s.Users = mergeUsers(parts)
	s.Days = mergeDays(parts)
	s.Quietest = quietestOf(s)
	s.Paths, s.PathsAtMost = mergePaths(parts, top, func(p *Summary) pathList {
		return pathList{p.Paths, p.PathsAtMost, p.transfers() - p.Totals.Files["del."]}
	})
	s.Deleted, s.DeletedAtMost = mergePaths(parts, top, func(p *Summary) pathList {
		return pathList{p.Deleted, p.DeletedAtMost, p.Totals.Files["del."]}
	})
	s.Waste = mergeWaste(parts, top, timeOf(s.To).Sub(timeOf(s.From)).Hours()/24)
	s.Saturation = mergeSaturation(parts)
	s.Samples = mergeSamples(parts)
	s.complete()
	return s, nil
}

// alike returns an error that names the report which isn't about the same as the first one.
func alike(all []*Summary) error {
	name := func(i int) string {
		if all[i].Name == "" {
			return fmt.Sprintf("report %d", i+1)
		}
		return fmt.Sprintf("%q", all[i].Name)
	}
	filter := func(s *Summary) Filter {
		if s.Filter == nil {
			return Filter{}
		}
		return *s.Filter
	}
	var errs []error
	for i, s := range all {
		switch first := all[0]; {
		case s.Version != first.Version:
			errs = append(errs, fmt.Errorf("%s has version %d, %s has %d", name(i), s.Version, name(0), first.Version))
		case s.Zone != first.Zone:
			errs = append(errs, fmt.Errorf("%s has the time zone %q, %s has %q: make both with the same --timezone",
				name(i), s.Zone, name(0), first.Zone))
		case filter(s) != filter(first):
			hint := ""
			if filter(s).sessions() == filter(first).sessions() {
				hint = ", by dates: 7d is another time for each"
			}
			errs = append(errs, fmt.Errorf("%s has the filter %s, %s has %s: make both with the same%s",
				name(i), filter(s), name(0), filter(first), hint))
		}
	}
	return errors.Join(errs...)
}

// sessions returns a filter without its period.
func (f Filter) sessions() Filter {
	f.Since, f.Until = "", ""
	return f
}

// String returns a filter as options.
func (f Filter) String() string {
	var b bytes.Buffer
	for _, o := range [...][2]string{
		{"since", f.Since}, {"until", f.Until}, {"module", f.Module}, {"direction", f.Direction},
		{"client", f.Client}, {"user", f.User},
	} {
		if o[1] != "" {
			fmt.Fprintf(&b, " --%s=%q", o[0], o[1])
		}
	}
	return cmp.Or(string(bytes.TrimSpace(b.Bytes())), "none")
}

// inOrder returns reports by their beginning, and those of the same by what they say. The error
// names two that are the same.
func inOrder(all []*Summary) ([]*Summary, error) {
	type keyed struct {
		from time.Time
		text []byte
		s    *Summary
	}
	list := make([]keyed, len(all))
	for i, s := range all {
		text, err := json.Marshal(s)
		if err != nil {
			return nil, fmt.Errorf("report %d: %w", i+1, err)
		}
		list[i] = keyed{timeOf(s.From), text, s}
	}
	slices.SortFunc(list, func(a, b keyed) int {
		return cmp.Or(a.from.Compare(b.from), bytes.Compare(a.text, b.text))
	})
	parts := make([]*Summary, len(list))
	for i := range list {
		s := list[i].s
		if i > 0 && s.Lines > 0 && bytes.Equal(list[i].text, list[i-1].text) {
			return nil, fmt.Errorf("%q and %q are the same report: it would count twice", parts[i-1].Name, s.Name)
		}
		parts[i] = s
	}
	return parts, nil
}

func (t *Totals) merge(o *Totals) {
	t.Connections += o.Connections
	t.Executions += o.Executions
	t.ModuleLists += o.ModuleLists
	t.DaemonStarts += o.DaemonStarts
	t.Lost += o.Lost
	t.Running += o.Running
	grow(&t.Sent, o.Sent)
	grow(&t.Received, o.Received)
	grow(&t.Listed, o.Listed)
	addCounts(&t.Sessions, o.Sessions)
	addCounts(&t.Errors, o.Errors)
	addCounts(&t.FileErrors, o.FileErrors)
	addCounts(&t.Rejected, o.Rejected)
	addCounts(&t.Files, o.Files)
	addCounts(&t.FileBytes, o.FileBytes)
	addCounts(&t.WireBytes, o.WireBytes)
	addCounts(&t.Kinds, o.Kinds)
}

// transfers returns how many transfer lines there were.
func (s *Summary) transfers() (n uint64) {
	for _, files := range s.Totals.Files {
		grow(&n, files)
	}
	return n
}

// addCounts adds a map to another, which is nil only if no part has one.
func addCounts(to *map[string]uint64, from map[string]uint64) {
	if *to == nil && from != nil {
		*to = map[string]uint64{}
	}
	for key, n := range from {
		sum := (*to)[key]
		grow(&sum, n)
		(*to)[key] = sum
	}
}

func addVolumes(to *map[string]Volume, from map[string]Volume) {
	if *to == nil && from != nil {
		*to = map[string]Volume{}
	}
	for key, v := range from {
		(*to)[key] = (*to)[key].Plus(v)
	}
}

func mergeModules(parts []*Summary) []Module {
	type key struct{ module, direction string }
	sums := map[key]Module{}
	for _, p := range parts {
		for _, m := range p.Modules {
			k := key{m.Module, m.Direction}
			sum := sums[k]
			sum.Module, sum.Direction = m.Module, m.Direction
			sum.Executions += m.Executions
			addCounts(&sum.Sessions, m.Sessions)
			grow(&sum.Sent, m.Sent)
			grow(&sum.Received, m.Received)
			grow(&sum.Listed, m.Listed)
			sum.Files += m.Files
			sum.Deleted += m.Deleted
			sum.Duration.merge(&m.Duration)
			sums[k] = sum
		}
	}
	list := slices.AppendSeq([]Module{}, maps.Values(sums))
	for i := range list {
		list[i].Duration.measure()
	}
	slices.SortFunc(list, func(a, b Module) int {
		x, y := Volume{Sent: a.Sent, Received: a.Received}, Volume{Sent: b.Sent, Received: b.Received}
		return cmp.Or(
			cmp.Compare(y.Bytes(), x.Bytes()), cmp.Compare(a.Module, b.Module), cmp.Compare(a.Direction, b.Direction),
		)
	})
	return list
}

func (d *Duration) merge(o *Duration) {
	d.Sum += o.Sum
	d.Max = max(d.Max, o.Max)
	d.Buckets = addUp(d.Buckets, o.Buckets)
}

// addUp adds lists, the shorter one of which ends with zeros that aren't there.
func addUp[T uint64 | float64](a, b []T) []T {
	if b == nil {
		return a
	}
	sum := make([]T, max(len(a), len(b)))
	copy(sum, a)
	for i, n := range b {
		sum[i] += n
	}
	return sum
}

func mergeDays(parts []*Summary) []Day {
	days := map[string]Day{}
	for _, p := range parts {
		for _, d := range p.Days {
			sum := days[d.Date]
			sum.Date = d.Date
			sum.Add(d.Volume)
			sum.Failed += d.Failed
			sum.Rejected += d.Rejected
			sum.Peak = max(sum.Peak, d.Peak)
			days[d.Date] = sum
		}
	}
	list := []Day{}
	for _, date := range slices.Sorted(maps.Keys(days)) {
		if len(list) > 0 {
			list = append(list, between(list[len(list)-1].Date, date)...)
		}
		list = append(list, days[date])
	}
	return list
}

// between returns the days between two dates, none of which has anything.
func between(first, last string) (list []Day) {
	from, err := time.Parse(time.DateOnly, first)
	to, err2 := time.Parse(time.DateOnly, last)
	if errors.Join(err, err2) != nil || to.Sub(from) > maxDays*dayLong {
		return nil
	}
	for from = from.AddDate(0, 0, 1); from.Before(to); from = from.AddDate(0, 0, 1) {
		list = append(list, Day{Date: from.Format(time.DateOnly)})
	}
	return list
}

// quietestOf returns nil if the zone isn't known here.
func quietestOf(s *Summary) *QuietHour {
	zone, from, to := zoneOf(s.Zone), timeOf(s.From), timeOf(s.To)
	if zone == nil || from.IsZero() || to.IsZero() {
		return nil
	}
	c := newCalendar(zone, to)
	c.heat = s.Heat
	return c.quietest(from.UnixNano(), to.UnixNano())
}

func mergeSaturation(parts []*Summary) []Saturation {
	sums := map[string]Saturation{}
	for _, p := range parts {
		for _, s := range p.Saturation {
			sum := sums[s.Module]
			switch {
			case s.Peak > sum.Peak:
				sum.Peak, sum.PeakAt = s.Peak, s.PeakAt
			case s.Peak == sum.Peak:
				sum.PeakAt = earlier(sum.PeakAt, s.PeakAt)
			}
			sum.Module = s.Module
			sum.Refused += s.Refused
			sum.Begun = addUp(sum.Begun, s.Begun)
			sum.SecondsAt = addUp(sum.SecondsAt, s.SecondsAt)
			sums[s.Module] = sum
		}
	}
	list := []Saturation{}
	for _, module := range slices.Sorted(maps.Keys(sums)) {
		list = append(list, sums[module])
	}
	return list
}

// mergeSamples keeps for each reason the first ones that differ in more than their digits, as
// samples does.
func mergeSamples(parts []*Summary) []Sample {
	type key struct{ why, shape string }
	seen := map[key]bool{}
	var ss samples
	for _, p := range parts {
		for _, s := range p.Samples {
			k := key{s.Why, string(appendShape(nil, []byte(s.Text)))}
			if seen[k] {
				continue
			}
			seen[k] = true
			i := slices.IndexFunc(ss.reasons, func(r reason) bool { return r.why == s.Why })
			if i < 0 {
				i = len(ss.reasons)
				ss.reasons = append(ss.reasons, reason{why: s.Why})
			}
			ss.reasons[i].samples = append(ss.reasons[i].samples, s)
		}
	}
	return ss.list()
}

// mergeUsers returns the users by module and name.
func mergeUsers(parts []*Summary) []User {
	type key struct{ module, user, direction string }
	all := map[key][]User{}
	for _, p := range parts {
		for _, u := range p.Users {
			k := key{u.Module, u.User, u.Direction}
			all[k] = append(all[k], u)
		}
	}
	list := make([]User, 0, len(all))
	for _, same := range all {
		list = append(list, mergeUser(same))
	}
	slices.SortFunc(list, func(a, b User) int {
		return cmp.Or(
			cmp.Compare(a.Module, b.Module), cmp.Compare(a.User, b.User), direction(a.Direction)-direction(b.Direction),
		)
	})
	return list
}

// direction returns the order of directions: that of rsynclog.
func direction(name string) int { return slices.Index([]string{"", "send", "receive"}, name) }

// mergeUser adds up what reports say about one user.
func mergeUser(same []User) User {
	slices.SortStableFunc(same, func(a, b User) int { return timeOf(a.FirstOK).Compare(timeOf(b.FirstOK)) })
	sum := User{Module: same[0].Module, User: same[0].User, Direction: same[0].Direction}
	gap := func(seconds float64, from string) {
		if seconds > sum.LongestGap {
			sum.LongestGap, sum.GapFrom = seconds, from
		}
	}
	for _, u := range same {
		if sum.LastSuccess != "" && u.FirstOK != "" {
			gap(timeOf(u.FirstOK).Sub(timeOf(sum.LastSuccess)).Seconds(), sum.LastSuccess)
		}
		gap(u.LongestGap, u.GapFrom)
		sum.FirstSeen = earlier(sum.FirstSeen, u.FirstSeen)
		sum.FirstOK = earlier(sum.FirstOK, u.FirstOK)
		sum.LastSuccess = later(sum.LastSuccess, u.LastSuccess)
		if last := later(sum.LastAttempt, u.LastAttempt); last != sum.LastAttempt {
			sum.LastAttempt, sum.Listed = last, u.Listed
		}
		addCounts(&sum.Sessions, u.Sessions)
		sum.Add(u.Volume)
	}
	return sum
}

// timeOf returns a time of a Summary; the zero time if there is none.
func timeOf(s string) time.Time {
	t, _ := time.Parse(time.RFC3339, s)
	return t
}

// earlier returns the earlier one of two times that may be empty.
func earlier(a, b string) string {
	if a == "" || b != "" && timeOf(b).Before(timeOf(a)) {
		return b
	}
	return a
}

func later(a, b string) string {
	if a == "" || b != "" && timeOf(b).After(timeOf(a)) {
		return b
	}
	return a
}

// zoneName returns a name for Summary.Zone that means the same on each machine. The name of this
// machine's own zone isn't known, so that one is called by its offsets in winter and in summer.
func zoneName(zone *time.Location) string {
	if name := zone.String(); name != time.Local.String() {
		return name
	}
	january := time.Date(2026, 1, 1, 0, 0, 0, 0, zone).Format("-07:00")
	july := time.Date(2026, 7, 1, 0, 0, 0, 0, zone).Format("-07:00")
	if january == july {
		return strings.TrimSuffix("UTC"+january, "+00:00")
	}
	return "UTC" + january + "/" + july
}

// zoneOf returns nil for names that this machine doesn't know.
func zoneOf(name string) *time.Location {
	if name == zoneName(time.Local) {
		return time.Local
	}
	zone, err := time.LoadLocation(name)
	if err != nil {
		return nil
	}
	return zone
}
