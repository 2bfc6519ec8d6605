package report

import (
	"cmp"
	"errors"
	"time"

	"rsyncd_exporter/clients"
	"rsyncd_exporter/pipeline"
	"rsyncd_exporter/receiver"
	"rsyncd_exporter/report/logs"
	"rsyncd_exporter/rsynclog"
)

// Options say what a report is about.
//
// Since and Until go by when lines were written. A session belongs to the period in which it ends,
// with its bytes, its outcome and its exit codes; a file, to that in which its line was written.
// Lines whose time isn't known are in no period. Saturation is what ran within the period, whenever
// it ended.
//
// With Module, Direction, Client or User only what belongs to such sessions counts, except in
// Summary.From, To, Lines, Ignored and Discarded. A line is judged by what is known of its session when it
// comes: a connect, for one, names no module.
type Options struct {
	Top           int            // entries of a top list
	Zone          *time.Location // of hours and days, and of the times shown; nil: this machine's
	Since, Until  time.Time      // from Since on, before Until; zero: no bound
	Module        string         // likewise "" for the rest
	Direction     string
	Client        string // an address, a network prefix, or the beginning of an address or a name
	User          string
	Now           time.Time // what the Replay was given: a line of that time has no known one
	SuggestExpect bool
	Groups        clients.Groups  // of clients, by their networks
	Places        *clients.Places // of clients; nil: there is no database. The caller closes it
	Anonymise     bool            // networks stand for clients, and no line is quoted
}

// A Fold makes a Summary of lines. It implements logs.Book. Its memory is bounded, whatever the
// lines say. It keeps nothing of a Line. Not safe for concurrent use.
type Fold struct {
	o        Options
	filter   filter
	calendar *calendar

	sources []Source
	source  int    // the one that was read last; -1: none
	seq     uint64 // lines so far, of all sets

	at          int64 // latest known time in this set; 0: none yet
	first, last int64 // times of rsyncd's lines in the period; 0: none
	lines       lineCounts
	tally       tally
	stray       *flow // of what belongs to no session
	visits      visits
	users       users
	load        *load
	samples     samples

	clients *clients.Top
	groups  groups
	files   *files
}

// lineCounts are the counts of lines, in the order of Summary.
type lineCounts struct {
	all, ignored, discarded uint64
	kinds                   [rsynclog.NumKinds + 1]uint64 // the last one: implausible
}

// NewFold returns a fold that has read nothing.
func NewFold(o Options) *Fold {
	if o.Zone == nil {
		o.Zone = time.Local
	}
	f := &Fold{
		o: o, filter: newFilter(o), calendar: newCalendar(o.Zone, o.Now), source: -1,
		tally: newTally(), visits: newVisits(), users: newUsers(),
		clients: clients.NewTop(clientRoom, o.Anonymise), groups: newGroups(&o), files: newFiles(o.Anonymise),
	}
	f.stray = f.tally.flow("", rsynclog.NoDirection)
	f.samples.bare = o.Anonymise
	f.load = newLoad(f.calendar, f.filter.since, f.filter.until)
	return f
}

// Begin implements logs.Book.
func (f *Fold) Begin(set *logs.Set) {
	f.load.finish()
	f.visits.clear()
	f.at = 0
	f.source = -1
	for _, file := range set.Files {
		f.sources = append(f.sources, Source{Path: clean(file.Path), Log: clean(set.Name)})
	}
}

// sourceOf returns the counts of a file.
func (f *Fold) sourceOf(path string) *Source {
	if f.source < 0 || f.sources[f.source].Path != path {
		f.source = f.findSource(clean(path))
	}
	return &f.sources[f.source]
}

// findSource prefers the last one of a name: a file may have been named twice.
func (f *Fold) findSource(path string) int {
	for i := len(f.sources) - 1; i >= 0; i-- {
		if f.sources[i].Path == path {
			return i
		}
	}
	f.sources = append(f.sources, Source{Path: path})
	return len(f.sources) - 1
}

// Line implements logs.Book.
func (f *Fold) Line(p logs.Place, l *pipeline.Line) {
	f.seq++
	f.sourceOf(p.File).Lines++
	if l.At > 0 {
		f.at = max(f.at, l.At)
		f.load.line(l.At)
	}
	at := l.At
	if !l.Ours {
		at = f.at
	}
	counts := f.filter.within(at)
	if counts {
		f.lines.all++
	}
	switch {
	case l.Ours:
		f.ours(p, l, counts)
	case !counts:
	case l.Discard != receiver.Kept:
		f.lines.discarded++
		f.samples.add(p, "discarded", l.Discard.String(), l.Raw)
	default:
		f.lines.ignored++
	}
}

// ours counts a line of rsyncd and what it changes. counts says whether the line is in the period.
func (f *Fold) ours(p logs.Place, l *pipeline.Line, counts bool) {
	if l.Again && f.again(l, counts) {
		return
	}
	var v *visit
	if l.Session != nil {
		v = f.visit(l.Session)
		v.seq = f.seq
		if k := l.Event.Kind; l.Believed && (k == rsynclog.Connect || k == rsynclog.Start) {
			v.rename(&f.filter, l.Event.Host)
		}
	}
	if counts {
		f.stretch(l.At)
	}
	if counts && f.filter.passes(v) {
		f.kind(p, l)
	}
	for i := range l.Changes {
		f.change(&l.Changes[i], l)
	}
}

// again counts one more file of a session, as most lines are. It returns false, and has changed
// nothing, if that takes more.
func (f *Fold) again(l *pipeline.Line, counts bool) bool {
	v := f.visits.find(l.Session)
	if v == nil || len(l.Changes) != 1 {
		return false
	}
	v.seq = f.seq
	if !counts {
		return true
	}
	f.stretch(l.At)
	if !f.filter.passes(v) {
		return true
	}
	f.lines.kinds[rsynclog.Transfer]++
	f.moved(v, v.flow, &l.Changes[0], l)
	return true
}

// stretch has the period include the time of a line. With another filter it is the same one: ages
// and averages are of the time that the log is about.
func (f *Fold) stretch(at int64) {
	if at <= 0 {
		return
	}
	if f.first == 0 || at < f.first {
		f.first = at
	}
	f.last = max(f.last, at)
}

// kind counts a line by what it is.
func (f *Fold) kind(p logs.Place, l *pipeline.Line) {
	k := l.Event.Kind
	switch {
	case !l.Believed:
		f.lines.kinds[rsynclog.NumKinds]++
		f.samples.add(p, "implausible", k.String(), l.Message.Text)
		return
	case k == rsynclog.Unrecognised:
		f.samples.add(p, "unrecognised", "", l.Message.Text)
	}
	f.lines.kinds[k]++
}

// Lost implements logs.Book.
func (f *Fold) Lost(p logs.Place, why receiver.Discard, n uint64) {
	f.seq++
	f.sourceOf(p.File).Lines += n
	if f.filter.within(f.at) {
		f.lines.all += n
		f.lines.discarded += n
		f.samples.add(p, "discarded", why.String(), nil)
	}
}

// Ended implements logs.Book.
func (f *Fold) Ended(changes []rsynclog.Change) {
	for i := range changes {
		f.change(&changes[i], nil)
	}
}

// Unread notes an error of logs.Find or logs.Read with its file.
func (f *Fold) Unread(err error) {
	var file *logs.FileError
	if !errors.As(err, &file) {
		return
	}
	s := &f.sources[f.findSource(clean(file.Path))]
	s.Error = clean(file.Err.Error())
	s.Log = cmp.Or(s.Log, clean(logs.SetName(file.Path)))
}

// Running implements logs.Book.
func (f *Fold) Running(s *rsynclog.Session) {
	if f.filter.within(f.known(s.LastSeen)) && f.filter.passes(f.visit(s)) {
		f.tally.running++
	}
}

// known returns a time, or 0 for the present, which is what a log without stamps has.
func (f *Fold) known(at int64) int64 {
	if at == f.calendar.now {
		return 0
	}
	return at
}
