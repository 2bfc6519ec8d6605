package pipeline_test

import (
	"bytes"
	"cmp"
	"fmt"
	"math"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"rsyncd_exporter/internal/corpus"
	"rsyncd_exporter/internal/testenv"
	"rsyncd_exporter/metrics"
	"rsyncd_exporter/pipeline"
	"rsyncd_exporter/receiver"
	"rsyncd_exporter/receiver/syslog"
	"rsyncd_exporter/rsynclog"
)

// A log that is read late gives what live reading gave. A bubble's clock shows the time at which each line was
// written, 26 years after its start, while a pipeline gets it; another one gets all of them later. Three
// moments are compared:
//
//   - when the last line has come, and all lines have been read. A pipeline that has not been told that it has caught
//     up shows the log's time, so that the same sessions are active as were then. That is so for one host and one
//     file: of others it is not known how long they have been silent by then;
//   - after the time that lies between, when it has been told: the clock has ended what it had ended;
//   - when everything has ended.
//
// At each of them everything that tells of rsync is the same, times within sameTime. Created times differ, and
// so does what tells of the exporter itself, except for its counts of messages, of evicted sessions and of
// labels without room.

// sameTime is how far the same time in two expositions may differ: stamps have whole seconds.
const sameTime = 2.0

// A history is what was written to one or more logs, in order.
type history struct {
	config pipeline.Config
	lines  []arrival
	late   time.Duration // after the last line the log is read
	slab   int           // lines a slab
	queue  bool          // a relay hands it on late; else they are files
	stops  []int         // the late reader was stopped before these lines; before the first one it read live
	// oneClock says that one host wrote to one log. Of others, it is not known how late it is behind their last line.
	oneClock bool
}

// An arrival is a line with the time at which it was written.
type arrival struct {
	at  time.Time
	src *receiver.Source
	raw []byte
}

// A reading is an exposition: histograms as their counts and sums.
type reading map[string]float64

// read returns what must be the same.
func read(t *testing.T, p *pipeline.Pipeline) reading {
	t.Helper()
	r := prometheus.NewPedanticRegistry()
	r.MustRegister(metrics.NewCollector(p.Snapshot, func() metrics.Live { return metrics.Live{} }))
	families, err := r.Gather()
	if err != nil {
		t.Fatal(err)
	}
	all := reading{}
	for _, f := range families {
		name := f.GetName()
		if own, is := strings.CutPrefix(name, "rsyncd_exporter_"); is && !slices.Contains([]string{
			"received_total", "ignored_total", "discarded_total", "sessions_evicted_total", "label_overflow_total",
			"retired_messages_total"}, own) {
			continue
		}
		for _, m := range f.GetMetric() {
			var labels []string
			for _, l := range m.GetLabel() {
				labels = append(labels, fmt.Sprintf("%s=%q", l.GetName(), l.GetValue()))
			}
			series := "{" + strings.Join(labels, ",") + "}"
			if f.GetType() == dto.MetricType_HISTOGRAM {
				if m.GetHistogram().GetSampleCount() == 0 && strings.Contains(series, `host="_other"`) {
					continue
				}
				all[name+"_count"+series] = float64(m.GetHistogram().GetSampleCount())
				all[name+"_sum"+series] = m.GetHistogram().GetSampleSum()
				continue
			}
			v := m.GetCounter().GetValue() + m.GetGauge().GetValue()
			if v == 0 && strings.Contains(series, `host="_other"`) {
				continue // a scrape that shows something there once makes its series exist
			}
			all[name+series] = v
		}
	}
	return all
}

// tolerance returns by how much a series may differ.
func (r reading) tolerance(series string) float64 {
	name, labels, _ := strings.Cut(series, "{")
	switch {
	case strings.HasSuffix(name, "_timestamp_seconds"), name == "rsync_last_session_duration_seconds":
		return sameTime
	case strings.HasSuffix(name, "_duration_seconds_sum"):
		return sameTime * r[strings.TrimSuffix(name, "_sum")+"_count{"+labels]
	}
	return 0
}

// sameReading compares with what was read live.
func sameReading(t *testing.T, got, want reading, when string) {
	t.Helper()
	var different []string
	for series := range want {
		if v, ok := got[series]; !ok || math.Abs(v-want[series]) > want.tolerance(series) {
			different = append(different, fmt.Sprintf("%s = %.3f, live %.3f", series, v, want[series]))
		}
	}
	for series, v := range got {
		if _, ok := want[series]; !ok {
			different = append(different, fmt.Sprintf("%s = %.3f, live there is none", series, v))
		}
	}
	slices.Sort(different)
	if len(different) > 0 {
		different = different[:min(len(different), 12)]
		t.Errorf("%s:\n\t%s", when, strings.Join(different, "\n\t"))
	}
}

// pass lets time pass until a moment. What ends meanwhile does so as if somebody looked once a second: an end
// has the time at which it was due, whenever that is found out. So it is enough to look where something new may
// be due: after a session has settled, after a silent quarter of an hour, an hour and a day.
func pass(until time.Time, pipelines ...*pipeline.Pipeline) {
	from := time.Now()
	for _, d := range [...]time.Duration{
		time.Second, 3 * time.Second, 16 * time.Minute, 61 * time.Minute, 25 * time.Hour, 26 * time.Hour, 50 * time.Hour} {
		if at := from.Add(d); at.Before(until) {
			time.Sleep(time.Until(at))
			for _, p := range pipelines {
				p.Tick()
			}
		}
	}
	time.Sleep(time.Until(until))
}

func (h *history) start(t *testing.T, saved []byte) *pipeline.Pipeline {
	t.Helper()
	c := h.config
	c.LogFormat, c.Tags = cmp.Or(c.LogFormat, defaultFormat), []string{"*"}
	c.Limits, c.MaxSeries = rsynclog.DefaultLimits(), 1_000_000
	if saved != nil {
		st, err := pipeline.Decode(saved)
		if err != nil {
			t.Fatal(err)
		}
		c.Checkpoint = st
	}
	p, err := pipeline.New(c)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// save returns the bytes of a pipeline's state.
func save(t *testing.T, p *pipeline.Pipeline) []byte {
	t.Helper()
	_, st := p.Save(nil)
	b, err := st.Encode()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// sources returns those of the lines, each once.
func (h *history) sources() (all []*receiver.Source) {
	for _, l := range h.lines {
		if !slices.Contains(all, l.src) {
			all = append(all, l.src)
		}
	}
	return all
}

// deliver hands lines over as they are read late: files one after the other, a queue in its order.
func (h *history) deliver(p *pipeline.Pipeline, lines []arrival) {
	for _, src := range h.sources() {
		s := &receiver.Slab{Backlog: !h.queue}
		for _, l := range lines {
			if l.src != src {
				continue
			}
			if s.Messages = append(s.Messages, l.raw); len(s.Messages) == h.slab {
				p.Deliver(src, s)
				s.Messages = nil
			}
		}
		if len(s.Messages) > 0 {
			p.Deliver(src, s)
		}
	}
}

// caughtUp says that there is nothing more to be read. Nobody says so of a queue: it is quiet.
func (h *history) caughtUp(p *pipeline.Pipeline) {
	if h.queue {
		time.Sleep(11 * time.Second)
		return
	}
	for _, src := range h.sources() {
		p.Deliver(src, &receiver.Slab{})
	}
}

// check compares reading late with reading live.
func (h *history) check(t *testing.T) {
	t.Helper()
	defer func() {
		if !t.Failed() {
			return
		}
		t.Logf("%d lines, stops %v, slabs of %d, %v late", len(h.lines), h.stops, h.slab, h.late)
		for i, l := range h.lines {
			if i < 200 {
				t.Logf("%3d %s %s %.200s", i, l.at.Format("02 15:04:05.000"), l.src.Name, l.raw)
			}
		}
	}()
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(time.Until(h.lines[0].at.Add(-time.Minute)))
		live := h.start(t, nil)
		both := []*pipeline.Pipeline{live}
		if len(h.stops) > 0 {
			both = append(both, h.start(t, nil))
		}
		var saved []byte
		for i, l := range h.lines {
			if len(h.stops) > 0 && i == h.stops[0] {
				saved, both = save(t, both[1]), both[:1]
			}
			pass(l.at, both...)
			for _, p := range both {
				p.Deliver(l.src, &receiver.Slab{Messages: [][]byte{l.raw}})
			}
		}
		atEnd := read(t, live)

		pass(time.Now().Add(h.late), live)
		late := h.start(t, saved)
		parts := append(slices.Clone(h.stops), len(h.lines))
		if len(h.stops) == 0 {
			parts = []int{0, len(h.lines)}
		}
		for i, from := range parts[:len(parts)-1] {
			if i > 0 {
				saved = save(t, late)
				time.Sleep(time.Minute)
				late = h.start(t, saved)
			}
			h.deliver(late, h.lines[from:parts[i+1]])
		}
		if h.oneClock {
			sameReading(t, read(t, late), atEnd, "when all has been read")
		}
		h.caughtUp(late)
		sameReading(t, read(t, late), read(t, live), "when that is known")
		pass(time.Now().Add(60*time.Hour), live, late)
		end := read(t, live)
		sameReading(t, read(t, late), end, "at the end")
		for series, v := range end {
			if strings.HasPrefix(series, "rsync_sessions_active{") && v != 0 {
				t.Errorf("at the end: %s = %v", series, v)
			}
		}
		checkIdentities(t, gathered(t, late))
	})
}

// stampIn reads a line's stamp, independently of the receiver.
func stampIn(t *testing.T, raw []byte) (at time.Time, ok bool) {
	t.Helper()
	_, header, found := bytes.Cut(raw, []byte(">"))
	if !found || raw[0] != '<' {
		header = raw
	}
	header = bytes.TrimPrefix(header, []byte("1 "))
	word, _, _ := bytes.Cut(header, []byte(" "))
	for _, form := range []string{"2006/01/02 15:04:05", "2006 Jan _2 15:04:05", time.RFC3339Nano} {
		text := string(header[:min(len(header), 19)])
		switch form {
		case time.RFC3339Nano:
			text = string(word)
		case "2006 Jan _2 15:04:05":
			text = "2026 " + string(header[:min(len(header), 15)])
		}
		if at, err := time.ParseInLocation(form, text, time.Local); err == nil {
			return at, true
		}
	}
	return at, false
}

// written returns a source's lines with their times. Those of one second follow one another, and a line without
// a stamp was written with the one before.
func written(t *testing.T, src *receiver.Source, messages [][]byte) (lines []arrival) {
	t.Helper()
	var last time.Time
	stamps := 0
	for _, raw := range messages {
		if at, ok := stampIn(t, raw); ok {
			stamps++
			last = last.Add(time.Microsecond)
			if at.After(last) {
				last = at
			}
		}
		lines = append(lines, arrival{last, src, raw})
	}
	if stamps < len(messages)/2 || last.Year() != 2026 || len(lines) > 0 && lines[0].at.IsZero() {
		t.Fatalf("%d of %d lines have a stamp; the last is %v", stamps, len(messages), last)
	}
	return lines
}

// merged puts the lines of several sources in the order of their times.
func merged(parts ...[]arrival) (lines []arrival) {
	lines = slices.Concat(parts...)
	slices.SortStableFunc(lines, func(a, b arrival) int { return a.at.Compare(b.at) })
	return lines
}

// Every log file of the corpus and of the captures, read a day late. A scenario with several log files has
// several sources.
func TestRecordedFilesReadLate(t *testing.T) {
	for _, dir := range []string{corpusDir, captures} {
		truth := readTruthIn(t, dir)
		names, _ := filepath.Glob(filepath.Join(dir, "file", "*log"))
		logs := map[string][][]arrival{}
		for _, name := range names {
			scenario := scenarioOf(filepath.Base(name), truth)
			scope := receiver.StdinScope + 1 + uint32(len(logs[scenario]))
			src := &receiver.Source{Input: "file", Name: name, Scope: scope, Dialect: syslog.Lines{}}
			lines := corpus.ReadLines(t, name)
			logs[scenario] = append(logs[scenario], written(t, src, lines))
		}
		if want := map[string]int{corpusDir: 50, captures: 9}[dir]; len(logs) < want {
			t.Errorf("%s: logs of %d scenarios, want %d at least", dir, len(logs), want)
		}
		for scenario, parts := range logs {
			t.Run(scenario, func(t *testing.T) {
				for _, c := range []pipeline.Config{truth[scenario].config(), {}} {
					for _, slab := range []int{64, 2048} {
						h := history{config: c, lines: merged(parts...), late: 24 * time.Hour, slab: slab, oneClock: len(parts) == 1}
						h.check(t)
					}
					h := history{config: c, lines: merged(parts...), late: 100 * time.Second, slab: 7, oneClock: len(parts) == 1}
					h.stops = []int{len(h.lines) / 2, len(h.lines) * 3 / 4}
					h.check(t)
				}
			})
		}
	}
}

// scenarioOf returns the name of the scenario that a file belongs to.
func scenarioOf(file string, truth map[string]scenario) string {
	for name := file; ; {
		name = strings.TrimSuffix(name, filepath.Ext(name))
		if _, ok := truth[name]; ok || filepath.Ext(name) == "" {
			return name
		}
	}
}

// queueDelay is how long relays hold up the recorded messages. No difference of time zones looks like that.
const queueDelay = 4*time.Hour + 7*time.Minute

// checkQueue compares reading lines out of a relay's queue with reading them live.
func checkQueue(t *testing.T, c pipeline.Config, lines []arrival) {
	t.Helper()
	h := history{config: c, lines: lines, late: queueDelay, slab: 64, queue: true, oneClock: true}
	h.check(t)
}

// Every datagram of the corpus and of the captures, whose stamps have no time zone, out of a relay's queue.
func TestRecordedDatagramsOfAQueue(t *testing.T) {
	for _, dir := range []string{corpusDir, captures} {
		truth := readTruthIn(t, dir)
		names, _ := filepath.Glob(filepath.Join(dir, "syslog", "*.raw"))
		if want := map[string]int{corpusDir: 50, captures: 24}[dir]; len(names) < want {
			t.Errorf("%s: %d dumps, want %d at least", dir, len(names), want)
		}
		for _, name := range names {
			scenario := strings.TrimSuffix(filepath.Base(name), ".raw")
			t.Run(scenario, func(t *testing.T) {
				src := &receiver.Source{Input: "udp", Name: "udp", Dialect: syslog.Auto{Local: true}}
				checkQueue(t, truth[scenario].config(), written(t, src, corpus.ReadDatagrams(t, name)))
			})
		}
	}
}

// Every scenario as six forwarders passed it on, out of a queue: stamps of RFC 3164, RFC 3339 and RFC 5424.
func TestForwardedMessagesOfAQueue(t *testing.T) {
	truth := readTruth(t)
	names, _ := filepath.Glob(filepath.Join(corpusDir, "forwarded", "*.raw"))
	if len(names) != 6 {
		t.Fatalf("%d forwarded streams, want 6", len(names))
	}
	for _, name := range names {
		messages := corpus.ReadForwarded(t, name)
		src := &receiver.Source{Input: "tcp", Name: filepath.Base(name), Dialect: syslog.Auto{}}
		for _, part := range corpus.Order(t) {
			scenario, n := part.Scenario, part.Messages
			t.Run(src.Name+"/"+scenario, func(t *testing.T) {
				checkQueue(t, truth[scenario].config(), written(t, src, messages[:n]))
			})
			messages = messages[n:]
		}
	}
}

// A plot makes up histories: what the processes of daemons on some hosts log, each line with the time at which
// it is written, of which a stamp has the whole seconds.
type plot struct {
	r     *rand.Rand
	form  form
	lines []plotted
	west  time.Duration // daemons in a chroot log so much later than it is: UTC, in a zone west of it; 0: none
	zone  time.Duration // all stamps are so much later than here
	count int           // of sessions
	named bool          // "allowed access" lines are logged: rsync 3.2 and later
}

// A form is how lines are written, and how they get to the exporter.
type form uint8

const (
	logFiles form = iota // rsync's own log files, of one daemon each
	rfc3164              // stamps without a zone, by a relay
	rfc5424              // with one, and fractions of a second
	numForms
)

// A plotted is a line of a process: of a host, or a file.
type plotted struct {
	at     time.Time
	host   int
	pid    int
	shift  time.Duration // of its stamp
	text   string
	starts bool // it is a daemon's first
	last   bool // it is its session's last

	session int // which one, from 1 on; 0: a daemon's
}

// begins says whether the line is the one with which a transfer starts.
func (l *plotted) begins() bool {
	return strings.HasPrefix(l.text, "rsync on ") || strings.HasPrefix(l.text, "rsync to ")
}

// raw writes the line in its form.
func (p *plot) raw(l plotted) []byte {
	at := l.at.Add(l.shift + p.zone)
	switch p.form {
	case logFiles:
		return fmt.Appendf(nil, "%s [%d] %s", at.Format("2006/01/02 15:04:05"), l.pid, l.text)
	case rfc3164:
		return fmt.Appendf(nil, "<30>%s h%d rsyncd[%d]: %s", at.Format(time.Stamp), l.host, l.pid, l.text)
	}
	stamp := at.UTC().Format("2006-01-02T15:04:05.000Z07:00")
	return fmt.Appendf(nil, "<30>1 %s h%d rsyncd %d - - %s", stamp, l.host, l.pid, l.text)
}

// gap returns how long a process is silent: mostly less than some seconds, at times until it is taken for ended.
func (p *plot) gap() time.Duration {
	longest := [...]time.Duration{
		0, 0, time.Second, time.Second, time.Second, 10 * time.Second, 10 * time.Second,
		time.Minute, 14 * time.Minute, 40 * time.Minute, 3 * time.Hour, 30 * time.Hour}
	return time.Duration(p.r.Float64() * float64(longest[p.r.IntN(len(longest))]))
}

// shortGap is one during which no stamp that jumps can be taken for another jump.
func (p *plot) shortGap() time.Duration {
	return time.Duration(p.r.Float64() * float64(12*time.Second))
}

// say adds lines of a process, and returns when the last one was written.
func (p *plot) say(at time.Time, l plotted, gap func() time.Duration, texts ...string) time.Time {
	for _, text := range texts {
		at = at.Add(gap())
		l.at, l.text = at, text
		p.lines = append(p.lines, l)
	}
	return at
}

// session adds a session that begins at a time, and returns when its last line was written.
func (p *plot) session(at time.Time, host, pid int) time.Time {
	module := fmt.Sprintf("m%d", p.r.IntN(3))
	from := "localhost (127.0.0.1)"
	p.count++
	l := plotted{host: host, pid: pid, session: p.count}
	early := p.gap
	if p.west != 0 {
		early = p.shortGap
	}
	at = p.say(at, l, early, "connect from "+from)
	switch p.r.IntN(12) {
	case 0:
		return at // a port scan
	case 1:
		return p.say(at, l, early, "module-list request from "+from)
	case 2:
		return p.say(at, l, early, "unknown module 'x' tried from "+from)
	case 3:
		return p.say(at, l, early, "auth failed on module "+module+" from "+from+" for alice: password mismatch")
	}
	if p.named {
		at = p.say(at, l, early, "rsync allowed access on module "+module+" from "+from)
		switch p.r.IntN(10) {
		case 0:
			return p.say(at, l, early, "max connections (1) reached")
		case 1:
			if p.west == 0 { // which of several goes on there is a guess, and so is which one's stamps have jumped
				l.pid += 1000 // it goes on in another process, for a post-xfer exec
			}
		}
	}
	if p.r.IntN(2) == 0 {
		at = p.say(at, l, early, "rsync on "+module+"/ from "+from)
		at = p.say(at, l, p.gap, "building file list")
		for range p.r.IntN(4) {
			at = p.say(at, l, p.gap, fmt.Sprintf("send localhost [127.0.0.1] %s () a %d", module, p.r.IntN(1000)))
		}
	} else {
		at = p.say(at, l, early, "rsync to "+module+"/ from "+[...]string{"", "alice@"}[p.r.IntN(2)]+from)
		at = p.say(at, l, p.gap, "receiving file list")
		for range p.r.IntN(4) {
			at = p.say(at, l, p.gap, fmt.Sprintf("recv localhost [127.0.0.1] %s () a %d", module, p.r.IntN(1000)))
		}
		if p.r.IntN(3) == 0 {
			at = p.say(at, l, p.gap, `rsync: [receiver] mkstemp "/x" (in `+module+`) failed: Permission denied (13)`)
		}
	}
	size := func() int { return 1 + p.r.IntN(1000) }
	summary := fmt.Sprintf("sent %d bytes  received %d bytes  total size %d", size(), size(), size())
	failure := "rsync error: error in socket IO (code 10) at io.c(949) [sender=3.2.7]"
	switch p.r.IntN(8) {
	case 0: // it ends without a word
	case 1:
		at = p.say(at, l, p.gap, failure)
	case 2:
		at = p.say(at, l, p.gap, summary, failure)
	case 3:
		at = p.say(at, l, p.gap, summary, summary)
	default:
		at = p.say(at, l, p.gap, summary)
	}
	return at
}

// daemon adds what one host's daemon and its sessions log: several at a time, under pids that come again, with
// restarts.
func (p *plot) daemon(at time.Time, host int) {
	pid, first := 0, 2+p.r.IntN(20)
	free := map[int]time.Time{}
	start := func() {
		l := plotted{host: host, pid: 1 + p.r.IntN(2)*p.r.IntN(2000), starts: true}
		at = p.say(at, l, p.shortGap, "rsyncd version 3.2.7 starting, listening on port 873")
		if p.west == 0 { // whose stamps have jumped is known where a pid is one process'
			pid = first
		}
	}
	pid = first
	if p.r.IntN(2) == 0 {
		start()
	}
	for range 1 + p.r.IntN(25) {
		at = at.Add(p.gap())
		switch p.r.IntN(12) {
		case 0:
			at = at.Add(p.gap())
			start()
			continue
		case 1:
			if p.west == 0 {
				pid = first + p.r.IntN(3000) // others have had those between
			}
		}
		pid += 1 + p.r.IntN(3)
		if free[pid].After(at) {
			continue // it runs
		}
		free[pid] = p.session(at, host, pid)
	}
}

// ages are those at which something ends: a last line has stood uncontradicted, a session of a stopped daemon
// or with file errors, one that only connected, one that ran, and what is remembered of them.
var ages = [...]time.Duration{
	2 * time.Second, 15 * time.Minute, time.Hour, 75 * time.Minute, 24 * time.Hour, 25 * time.Hour}

// blur is by how much what stamps say of the time between two lines may be wrong, and more.
const blur = 2200 * time.Millisecond

// sharp says whether it takes more than stamps of whole seconds to tell what two lines mean, a before b:
// whether a process was silent, or a daemon stopped, for a bit less or more than an age; whether a pause that
// looks like a difference of time zones was one; and which of two sessions in different files was the last.
func (p *plot) sharp(a, b plotted) bool {
	d := b.at.Sub(a.at)
	if a.host != b.host {
		return p.form == logFiles && a.last && b.last && d < blur
	}
	waits := strings.HasPrefix(a.text, "connect") || strings.HasPrefix(a.text, "rsync allowed")
	adopts := waits && b.begins() // as far as is known, the start may be that one's
	if a.session != b.session && a.pid != b.pid && !a.starts && !adopts {
		return false
	}
	for _, age := range ages {
		if d > age-blur && d < age+blur {
			return true
		}
	}
	const jump = 32 * time.Second
	return (a.session == b.session || adopts) && (d+2*blur)%(15*time.Minute) < jump+2*blur && d > jump
}

// blunt puts off lines, and all that come after them, until none is sharp.
func (p *plot) blunt() {
	if p.form == rfc5424 {
		return
	}
	for i := 1; i < len(p.lines); i++ {
		if !slices.ContainsFunc(p.lines[:i], func(a plotted) bool { return p.sharp(a, p.lines[i]) }) {
			continue
		}
		for j := i; j < len(p.lines); j++ {
			p.lines[j].at = p.lines[j].at.Add(2 * blur)
		}
		i--
	}
}

// order sorts the lines and finds the last ones of sessions. Some of the others bear the second before, for
// which others have been logged already, as a process takes the time before it writes.
func (p *plot) order() {
	slices.SortStableFunc(p.lines, func(a, b plotted) int { return a.at.Compare(b.at) })
	goesOn := map[int]bool{}
	for i := range slices.Backward(p.lines) {
		l := &p.lines[i]
		l.last = !goesOn[l.session]
		if !l.last && p.form != rfc5424 && p.r.IntN(10) == 0 {
			l.shift -= time.Second
		}
		goesOn[l.session] = true
	}
}

// newPlot returns a random one.
func newPlot(r *rand.Rand) *plot {
	p := &plot{r: r, form: form(r.IntN(int(numForms))), named: r.IntN(4) > 0}
	if p.form != rfc5424 && r.IntN(3) == 0 {
		p.west = time.Duration(r.IntN(26*4+1)-12*4) * 15 * time.Minute
	}
	// No zone changes its time within these days.
	start := time.Date(2027, 1, 10, 0, 0, 0, 0, time.Local).Add(time.Duration(r.Int64N(int64(24 * time.Hour))))
	for host := range 1 + r.IntN(3)*r.IntN(2) {
		p.daemon(start.Add(time.Duration(r.Int64N(int64(time.Hour)))), host)
	}
	p.order()
	p.blunt()
	p.chroot()
	return p
}

// chroot makes sessions go into a chroot before they start, unless they then are silent for longer than it is
// known of what has ended.
func (p *plot) chroot() {
	if p.west == 0 {
		return
	}
	all := make([][]*plotted, p.count)
	for i := range p.lines {
		if l := &p.lines[i]; l.session > 0 {
			all[l.session-1] = append(all[l.session-1], l)
		}
	}
	for _, lines := range all {
		start := slices.IndexFunc(lines, func(l *plotted) bool {
			return strings.HasPrefix(l.text, "rsync on ") || strings.HasPrefix(l.text, "rsync to ")
		})
		if start < 1 || lines[start].at.Sub(lines[start-1].at) > 25*time.Second {
			continue // its jump is not to be told from a pause
		}
		longest := time.Duration(0)
		for i := range lines[1:] {
			longest = max(longest, lines[i+1].at.Sub(lines[i].at))
		}
		if longest < 50*time.Minute {
			for _, l := range lines[start:] {
				l.shift += p.west
			}
		}
	}
}

// history makes lines of the plot.
func (p *plot) history() *history {
	h := &history{
		late:  62*time.Second + time.Duration(p.r.Int64N(int64(300*time.Hour))),
		slab:  [...]int{1, 64, 2048}[p.r.IntN(3)],
		queue: p.form != logFiles,
	}
	if p.r.IntN(2) == 0 {
		h.config.Modules = []string{"m0", "m1", "m2"}
	}
	h.oneClock = !slices.ContainsFunc(p.lines, func(l plotted) bool { return l.host != p.lines[0].host })
	if n := p.r.IntN(3); !h.queue && n > 0 {
		for range n {
			h.stops = append(h.stops, p.r.IntN(len(p.lines)))
		}
		slices.Sort(h.stops)
		first := slices.IndexFunc(p.lines, func(l plotted) bool { return strings.HasPrefix(l.text, "connect") })
		seen := h.oneClock && first >= 0 && first < h.stops[0]
		if seen && p.r.IntN(2) == 0 { // the daemon is in another zone
			p.zone = time.Duration(p.r.IntN(26*4+1)-12*4) * 15 * time.Minute
		}
	}
	one := &receiver.Source{Input: "tcp", Name: "tcp", Dialect: syslog.Auto{}}
	files := map[int]*receiver.Source{}
	for _, l := range p.lines {
		src := one
		if p.form == logFiles {
			if src = files[l.host]; src == nil {
				scope := receiver.StdinScope + 1 + uint32(l.host)
				src = &receiver.Source{Input: "file", Name: fmt.Sprint("file ", l.host), Scope: scope, Dialect: syslog.Lines{}}
				files[l.host] = src
			}
		}
		h.lines = append(h.lines, arrival{l.at, src, p.raw(l)})
	}
	if p.form == rfc3164 {
		p.settleDelay(h)
	}
	return h
}

// settleDelay makes a relay's delay one that is no difference of time zones for the first connect of any host.
func (p *plot) settleDelay(h *history) {
	last, seen := h.lines[len(h.lines)-1].at, map[int]bool{}
	for again := true; again; clear(seen) {
		again = false
		for _, l := range p.lines {
			if seen[l.host] || !strings.HasPrefix(l.text, "connect") {
				continue
			}
			seen[l.host] = true
			if rest := (last.Sub(l.at) + h.late) % (15 * time.Minute); rest < 5*time.Second || rest > 15*time.Minute-5*time.Second {
				h.late += 7 * time.Second
				again = true
			}
		}
	}
}

// Random logs, whole or in pieces between which the exporter was stopped, and random queues.
func TestRandomLogsReadLate(t *testing.T) {
	r := rand.New(rand.NewPCG(testenv.Seed(t), 0))
	forms := [numForms]int{}
	for range testenv.Tortured(60, 1000) {
		p := newPlot(r)
		h := p.history()
		forms[p.form]++
		h.check(t) // which fails the test at once
	}
	for f, n := range forms {
		if n == 0 {
			t.Errorf("no history of form %d", f)
		}
	}
}
