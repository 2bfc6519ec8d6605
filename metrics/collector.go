package metrics

import (
	"cmp"
	"math"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"google.golang.org/protobuf/types/known/timestamppb"

	"rsyncd_exporter/backups"
	"rsyncd_exporter/rsynclog"
	"rsyncd_exporter/rsynclog/codes"
)

// Live is what is read at each scrape: the state of sockets, files and STATE_DIR.
type Live struct {
	Sockets []Socket
	Files   []File
	TLS     *TLS        // nil where no input has TLS
	State   *Durability // nil without STATE_DIR

	Limits     Limits
	Backups    []backups.Status
	SessionLog *SessionLog // nil without SESSION_LOG
}

// A SessionLog is the state of SESSION_LOG.
type SessionLog struct {
	Since   int64  // when counting began, nanoseconds of the Unix epoch
	Written uint64 // lines
	Dropped uint64 // sessions that found no room
	Waiting int    // sessions that aren't written yet
	OK      bool   // the last attempt to write succeeded, and nothing waits for a save that fails
}

// Durability is the state of STATE_DIR.
type Durability struct {
	OK    bool          // the last save succeeded
	Age   time.Duration // of the counters shown
	Start string        // what the program found when it started, one of StateStarts
}

// StateStarts are the values of Durability.Start.
var StateStarts = [...]string{"new", "restored", "set_aside"}

// TLS is the state of the files of the inputs with TLS.
type TLS struct {
	Expires map[string]time.Time // by what expires: certificate, client_ca, crl
	OK      bool                 // what the files hold is in force
}

// A Socket is the state of one kind of socket input.
type Socket struct {
	Input       string
	Datagram    bool   // Drops and Buffer mean something
	Drops       uint64 // datagrams that the kernel threw away
	Buffer      int    // bytes granted as receive buffer; of several sockets, the least
	File        bool   // InPlace and Rebinds mean something
	InPlace     bool   // the socket file is the exporter's
	Rebinds     uint64 // times that it was made again
	Stream      bool   // Connections and Refused mean something
	Connections int
	Refused     map[string]uint64 // connections closed for what their peers are or did, by reason
	Errors      uint64            // failed receive and accept calls
}

// A File is the state of one followed log file.
type File struct {
	Path        string
	Pattern     string        // in place of Path: the sums of files that it had found and that are forgotten
	Offset      int64         // of the newest generation, bytes
	Lag         int64         // bytes not read yet, over all generations followed
	LagTime     time.Duration // how long ago everything had been read
	Generations int
	Rotations   uint64
	Gaps        map[string]uint64 // by reason: lines may have been lost
	Errors      uint64            // failed reads and looks
	OK          bool              // whether the file can be read now
}

// A Collector shows Snapshots to Prometheus. It implements prometheus.Collector.
type Collector struct {
	snapshot func() *Snapshot
	live     func() Live
}

// NewCollector returns a Collector that calls both functions at each scrape, from its goroutine.
func NewCollector(snapshot func() *Snapshot, live func() Live) *Collector {
	return &Collector{snapshot: snapshot, live: live}
}

func (c *Collector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range allDescs() {
		ch <- d
	}
}

func (c *Collector) Collect(ch chan<- prometheus.Metric) {
	e := emitter(ch)
	snap := c.snapshot()
	e.own(snap)
	live := c.live()
	for i := range snap.Hosts {
		e.host(&snap.Hosts[i])
		e.places(&snap.Hosts[i], live.Limits)
	}
	e.live(snap, live)
	for i := range live.Backups {
		e.backup(&live.Backups[i])
	}
}

type emitter chan<- prometheus.Metric

func (e emitter) counter(d *prometheus.Desc, v uint64, created int64, labels ...string) {
	e <- prometheus.MustNewConstMetricWithCreatedTimestamp(
		d, prometheus.CounterValue, float64(v), time.Unix(0, created), bound(labels)...)
}

func (e emitter) gauge(d *prometheus.Desc, v float64, labels ...string) {
	e <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, bound(labels)...)
}

// known sends a gauge unless its value is not known.
func (e emitter) known(is bool, d *prometheus.Desc, v float64, labels ...string) {
	if is {
		e.gauge(d, v, labels...)
	}
}

func seconds(nanos int64) float64 { return float64(nanos) / 1e9 }

func (e emitter) host(h *HostRecord) {
	e.counter(descConnections, h.Connections, h.Created, h.Host)
	e.counter(descLists, h.Lists, h.Created, h.Host)
	e.counter(descStarts, h.Starts, h.Created, h.Host)
	e.counter(descLost, h.Lost, h.Created, h.Host)
	e.known(h.Version != "", descInfo, 1, h.Host, h.Version)
	for i := range h.Modules {
		e.module(h.Host, &h.Modules[i])
	}
	e.known(len(h.Senders) > 0, descOwnAddresses, float64(len(h.Senders)), h.Host)
	for kind, n := range h.MessagesByKind {
		if n > 0 || h.showZeros {
			e.counter(descMessages, n, h.Created, h.Host, kindNames[kind])
		}
	}
}

// places sends how many places of the limited modules are taken.
func (e emitter) places(h *HostRecord, limits Limits) {
	active := map[string]int{}
	for i := range h.Modules {
		m := &h.Modules[i]
		for j := range m.Flows {
			active[m.Module] += int(m.Flows[j].active)
		}
	}
	for module, taken := range limits.Taken(active) {
		e.gauge(descPlacesTaken, float64(taken), h.Host, module)
	}
}

// usualCodes are the exit codes that daemons log. Named modules have them at 0 from the start.
var usualCodes = [...]int16{1, 2, 4, 5, 10, 11, 12, 20, 23, 24, 25, 30}

func (e emitter) module(host string, m *ModuleRecord) {
	known := m.Module != ""        // its series exist at 0
	exits := slices.Clone(m.Exits) // other scrapes may read them
	if known {
		for _, code := range usualCodes {
			exits = add(exits, code, 0, 0)
		}
	}
	for _, c := range exits {
		e.counter(descErrors, c.N, cmp.Or(c.Created, m.Created), host, m.Module, codes.Label(c.Number))
	}
	for _, c := range m.FileErrors {
		e.counter(descFileErrors, c.N, cmp.Or(c.Created, m.Created), host, m.Module, codes.Label(c.Number))
	}
	for r := rsynclog.NoReason + 1; r < rsynclog.NumReasons; r++ {
		early := m.Module == "" && r == rsynclog.ReasonUnknownModule
		if known || early || m.RejectedByReason[r] > 0 {
			e.counter(descRejected, m.RejectedByReason[r], m.Created, host, m.Module, r.String())
		}
	}
	for op := range m.FilesByOp {
		if op == int(rsynclog.NoOp) || m.FilesByOp[op] == 0 && (!known || op == int(rsynclog.OpUnknown)) {
			// NoOp is for directories, links and attributes. Few log formats leave an operation
			// unknown.
			continue
		}
		name := rsynclog.Op(op).String()
		e.counter(descFiles, m.FilesByOp[op], m.Created, host, m.Module, name)
		e.counter(descFileBytes, m.FileBytesByOp[op], m.Created, host, m.Module, name)
		if m.HasWire {
			e.counter(descWireBytes, m.WireBytesByOp[op], m.Created, host, m.Module, name)
		}
	}
	e.known(m.oldest != 0, descOldest, seconds(m.oldest), host, m.Module)
	for i := range m.Flows {
		e.flow(host, m.Module, &m.Flows[i])
	}
}

func (e emitter) flow(host, module string, f *FlowRecord) {
	l := []string{host, module, f.Direction.String()}
	for i := range f.Users {
		e.user(host, module, f.Direction, &f.Users[i])
	}
	// Without a direction, a session was never let through, or its beginning wasn't seen.
	directed := f.Direction != rsynclog.NoDirection
	for o, n := range f.SessionsByOutcome {
		transferred := rsynclog.Outcome(o) == rsynclog.OK || rsynclog.Outcome(o) == rsynclog.Partial
		if directed || !transferred || n > 0 {
			e.counter(descSessions, n, f.Created, append(l, rsynclog.Outcome(o).String())...)
		}
	}
	if directed {
		e.counter(descExecutions, f.Executions, f.Created, l...)
		e.gauge(descActive, float64(f.active), l...)
		e <- &durationMetric{desc: descDuration, histogram: &f.Duration, created: f.Created, labels: bound(l)}
	}
	if directed || f.Sent+f.Received+f.Listed > 0 {
		e.counter(descSent, f.Sent, f.Created, l...)
		e.counter(descReceived, f.Received, f.Created, l...)
		exchanged := f.Sent
		grow(&exchanged, f.Received)
		e.counter(descExchanged, exchanged, f.Created, l...)
		e.counter(descListed, f.Listed, f.Created, l...)
	}
}

func (e emitter) user(host, module string, d rsynclog.Direction, u *UserRecord) {
	l := []string{host, module, d.String(), u.User}
	e.known(u.LastSuccess != 0, descLastSuccess, seconds(u.LastSuccess), l...)
	e.known(u.LastAttempt != 0, descLastAttempt, seconds(u.LastAttempt), l...)
	e.known(u.LastDuration >= 0, descLastDuration, u.LastDuration.Seconds(), l...)
	e.known(u.LastListed >= 0, descLastListed, float64(u.LastListed), l...)
}

func (e emitter) backup(b *backups.Status) {
	l := []string{b.Expected.Name, b.Expected.Module, b.Expected.User}
	age := b.MaxAge()
	e.known(age > 0, descBackupMaxAge, age.Seconds(), l...)
	e.gauge(descBackupSeen, oneIf(b.Entry.Success.At != 0), l...)
	e.gauge(descBackupOverdue, oneIf(b.IsLate), l...)
	for _, state := range backups.States() {
		e.gauge(descBackupState, oneIf(state == b.State), append(l[:len(l):len(l)], string(state))...)
	}
}

func (e emitter) own(snap *Snapshot) {
	for i := range snap.Inputs {
		in := &snap.Inputs[i]
		e.counter(descOwnReceived, in.Received, in.Created, in.Name)
		e.counter(descOwnIgnored, in.Ignored, in.Created, in.Name)
		for r := 1; r < len(in.Discarded); r++ {
			e.counter(descOwnDiscarded, in.Discarded[r], in.Created, in.Name, snap.Reasons[r])
		}
		e.known(in.LastMessage != 0, descOwnLastMessage, seconds(in.LastMessage), in.Name)
	}
	for l, n := range snap.OverflowByLabel {
		if l == overflowHost {
			n += snap.unnamed
		}
		e.counter(descOwnOverflow, n, snap.Start, overflowNames[l])
	}
	e.gauge(descOwnSessions, float64(snap.sessions))
	e.counter(descOwnEvicted, snap.evicted, snap.Start)
	e.counter(descOwnRetired, snap.Retired, snap.Start)
}

// live adds what is read at each scrape. Files go on counting after a restart.
func (e emitter) live(snap *Snapshot, l Live) {
	start := snap.since
	for _, s := range l.Sockets {
		if s.Datagram {
			e.counter(descOwnDrops, s.Drops, start, s.Input)
			e.gauge(descOwnBuffer, float64(s.Buffer), s.Input)
		}
		if s.File {
			e.gauge(descOwnInPlace, oneIf(s.InPlace), s.Input)
			e.counter(descOwnRebinds, s.Rebinds, start, s.Input)
		}
		if s.Stream {
			e.gauge(descOwnConnections, float64(s.Connections), s.Input)
			for reason, n := range s.Refused {
				e.counter(descOwnRefused, n, start, s.Input, reason)
			}
		}
		e.counter(descOwnErrors, s.Errors, start, s.Input)
	}
	for module, limit := range l.Limits {
		e.gauge(descMaxConnections, float64(limit.MaxConnections), module)
	}
	if l.TLS != nil {
		for file, end := range l.TLS.Expires {
			e.gauge(descOwnTLSExpiry, float64(end.Unix()), file)
		}
		e.gauge(descOwnTLSReload, oneIf(l.TLS.OK))
	}
	if l.State != nil {
		e.gauge(descOwnStateOK, oneIf(l.State.OK))
		e.gauge(descOwnStateAge, l.State.Age.Seconds())
		for _, start := range StateStarts {
			e.gauge(descOwnStateStart, oneIf(start == l.State.Start), start)
		}
	}
	if s := l.SessionLog; s != nil {
		e.counter(descOwnLogWritten, s.Written, s.Since)
		e.counter(descOwnLogDropped, s.Dropped, s.Since)
		e.gauge(descOwnLogWaiting, float64(s.Waiting))
		e.gauge(descOwnLogOK, oneIf(s.OK))
	}
	for _, f := range l.Files {
		if f.Pattern != "" {
			e.pattern(snap, f)
			continue
		}
		e.gauge(descOwnOffset, float64(f.Offset), f.Path)
		e.gauge(descOwnLag, float64(f.Lag), f.Path)
		e.gauge(descOwnLagTime, f.LagTime.Seconds(), f.Path)
		e.gauge(descOwnGenerations, float64(f.Generations), f.Path)
		e.counter(descOwnRotations, f.Rotations, snap.Start, f.Path)
		e.counter(descOwnFileErrors, f.Errors, snap.Start, f.Path)
		e.gauge(descOwnFileUp, oneIf(f.OK), f.Path)
		for reason, n := range f.Gaps {
			e.counter(descOwnGaps, n, snap.Start, f.Path, reason)
		}
	}
}

func (e emitter) pattern(snap *Snapshot, f File) {
	e.gauge(descOwnPatternUp, oneIf(f.OK), f.Pattern)
	e.counter(descOwnPatternErrors, f.Errors, snap.Start, f.Pattern)
	e.counter(descOwnPatternRotations, f.Rotations, snap.Start, f.Pattern)
	for reason, n := range f.Gaps {
		e.counter(descOwnPatternGaps, n, snap.Start, f.Pattern, reason)
	}
}

func oneIf(set bool) float64 {
	if set {
		return 1
	}
	return 0
}

// A durationMetric is both a classic and a native histogram, unlike client_golang's constant ones.
type durationMetric struct {
	desc      *prometheus.Desc
	histogram *HistogramRecord
	created   int64
	labels    []string
}

func (m *durationMetric) Desc() *prometheus.Desc { return m.desc }

func (m *durationMetric) Write(out *dto.Metric) error {
	// The constant histogram brings the labels and the classic buckets.
	classic := map[float64]uint64{}
	var cumulative uint64
	for i, b := range bounds {
		cumulative += m.histogram.Classic[i]
		classic[b] = cumulative
	}
	c, err := prometheus.NewConstHistogramWithCreatedTimestamp(m.desc, m.histogram.Count, m.histogram.Sum, classic,
		time.Unix(0, m.created), m.labels...)
	if err != nil {
		return err
	}
	if err := c.Write(out); err != nil {
		return err
	}
	out.Histogram.CreatedTimestamp = timestamppb.New(time.Unix(0, m.created))
	m.histogram.writeNative(out.Histogram)
	return nil
}

// writeNative adds the native buckets: spans of consecutive indexes, counts as differences.
func (h *HistogramRecord) writeNative(out *dto.Histogram) {
	schema, threshold := int32(nativeSchema), nativeZero
	out.Schema, out.ZeroThreshold, out.ZeroCount = &schema, &threshold, &h.Zero
	var before int64
	next := math.MinInt
	for _, b := range h.Native {
		if b.Index != next {
			offset := int32(b.Index)
			if len(out.PositiveSpan) > 0 {
				offset = int32(b.Index - next)
			}
			zero := uint32(0)
			out.PositiveSpan = append(out.PositiveSpan, &dto.BucketSpan{Offset: &offset, Length: &zero})
		}
		*out.PositiveSpan[len(out.PositiveSpan)-1].Length++
		out.PositiveDelta = append(out.PositiveDelta, int64(b.N)-before)
		before, next = int64(b.N), b.Index+1
	}
	if len(h.Native) == 0 { // marks an empty histogram as native too
		offset, length := int32(0), uint32(0)
		out.PositiveSpan = []*dto.BucketSpan{{Offset: &offset, Length: &length}}
	}
}
