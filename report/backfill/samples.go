package backfill

import (
	"bufio"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"rsyncd_exporter/clients"
	"rsyncd_exporter/metrics"
)

// samples writes Snapshots as OpenMetrics with time stamps: what metrics.Collector shows of what
// daemons logged, without the exporter's own health.
type samples struct {
	out      *bufio.Writer
	n        uint64
	err      error // of writing; after one nothing is written
	labels   string
	registry *prometheus.Registry
	snap     *metrics.Snapshot
	clients  *clients.Record // of the same moment
	families map[string]bool // whose TYPE is written

	list   []sample          // of the last Snapshot, by name
	text   []byte            // of these, one behind the other
	series map[string]uint64 // the number of the last Snapshot that had a series
	shown  uint64            // Snapshots so far
}

// A sample is a line without its time stamp.
type sample struct {
	start, value, end int  // of the series, its value, and the end of that, in samples.text
	begins            bool // a counter that the Snapshot before didn't have
}

// ours begins the names of the metrics that are made of logs.
const ours = "rsync_"

func newSamples(out io.Writer, labels []Label) *samples {
	s := &samples{
		out: bufio.NewWriterSize(out, 1<<16), labels: format(labels), registry: prometheus.NewRegistry(),
		families: map[string]bool{}, series: map[string]uint64{},
	}
	s.registry.MustRegister(metrics.NewCollector(
		func() *metrics.Snapshot { return s.snap }, func() metrics.Live { return metrics.Live{} }),
		metrics.NewClients(func() *clients.Record { return s.clients }))
	return s
}

// write writes the samples of a time; counters that begin have been 0 at an earlier one. Both are in
// nanoseconds of the Unix epoch. snap is nil if nothing has changed.
func (s *samples) write(at, earlier int64, snap *metrics.Snapshot) {
	if snap != nil {
		s.show(snap)
	}
	var memory [2][32]byte
	zero := append(appendTime(append(memory[0][:0], " 0 "...), earlier), '\n')
	now := append(appendTime(append(memory[1][:0], ' '), at), '\n')
	for i := range s.list {
		m := &s.list[i]
		if m.begins {
			s.put(s.text[m.start:m.value])
			s.put(zero)
			s.n++
			m.begins = false
		}
	}
	for _, m := range s.list {
		s.put(s.text[m.start:m.end])
		s.put(now)
	}
	s.n += uint64(len(s.list))
}

// end writes what says that nothing is missing.
func (s *samples) end() {
	s.put([]byte("# EOF\n"))
	if s.err == nil {
		s.err = s.out.Flush()
	}
}

func (s *samples) put(b []byte) {
	if s.err == nil {
		_, s.err = s.out.Write(b)
	}
}

// show replaces the list by what a Snapshot shows.
func (s *samples) show(snap *metrics.Snapshot) {
	s.snap, s.list, s.text = snap, s.list[:0], s.text[:0]
	s.shown++
	families, err := s.registry.Gather()
	if err != nil && s.err == nil {
		s.err = err
	}
	for _, f := range families {
		if !strings.HasPrefix(f.GetName(), ours) {
			continue
		}
		s.describe(f)
		for _, m := range f.Metric {
			s.metric(f, m)
		}
	}
	for name, shown := range s.series {
		if shown != s.shown {
			delete(s.series, name) // so that the names are bounded as the series are
		}
	}
}

// describe writes a family's TYPE and HELP the first time.
func (s *samples) describe(f *dto.MetricFamily) {
	if s.families[f.GetName()] {
		return
	}
	s.families[f.GetName()] = true
	name := f.GetName()
	if f.GetType() == dto.MetricType_COUNTER {
		name = strings.TrimSuffix(name, "_total")
	}
	help := appendEscaped(nil, f.GetHelp())
	s.put([]byte("# TYPE " + name + " " + strings.ToLower(f.GetType().String()) + "\n# HELP " + name + " "))
	s.put(append(help, '\n'))
}

func (s *samples) metric(f *dto.MetricFamily, m *dto.Metric) {
	name := f.GetName()
	switch {
	case m.Counter != nil:
		s.add(name, m.Label, "", m.Counter.GetValue(), true)
	case m.Gauge != nil:
		s.add(name, m.Label, "", m.Gauge.GetValue(), false)
	case m.Histogram != nil:
		h := m.Histogram
		for _, b := range h.Bucket {
			if !math.IsInf(b.GetUpperBound(), 1) {
				s.add(name+"_bucket", m.Label, bound(b.GetUpperBound()), float64(b.GetCumulativeCount()), true)
			}
		}
		s.add(name+"_bucket", m.Label, "+Inf", float64(h.GetSampleCount()), true)
		s.add(name+"_count", m.Label, "", float64(h.GetSampleCount()), true)
		s.add(name+"_sum", m.Label, "", h.GetSampleSum(), true)
	}
}

// add adds a sample to the list. le is a bucket's bound; empty for what is none.
func (s *samples) add(name string, labels []*dto.LabelPair, le string, value float64, cumulative bool) {
	start := len(s.text)
	b := append(append(append(s.text, name...), '{'), s.labels...)
	for _, l := range labels {
		if l.GetValue() != "" { // no label at all, to Prometheus
			b = appendLabel(b, l.GetName(), l.GetValue())
		}
	}
	if le != "" {
		b = appendLabel(b, "le", le)
	}
	if b[len(b)-1] == ',' {
		b[len(b)-1] = '}'
	} else {
		b = b[:len(b)-1] // no labels
	}
	m := sample{start: start, value: len(b)}
	b = appendNumber(append(b, ' '), value)
	m.end, s.text = len(b), b
	series := b[start:m.value]
	if shown, ok := s.series[string(series)]; !ok || shown != s.shown-1 {
		m.begins = cumulative && value != 0
	}
	s.series[string(series)] = s.shown
	s.list = append(s.list, m)
}

// bound writes a bucket's upper bound as OpenMetrics does, and so as a live series has it.
func bound(v float64) string {
	text := strconv.FormatFloat(v, 'g', -1, 64)
	if !strings.ContainsAny(text, ".e") {
		text += ".0"
	}
	return text
}

// appendTime writes a time as seconds, and milliseconds if there are any: Prometheus knows no less.
func appendTime(b []byte, at int64) []byte {
	b = strconv.AppendInt(b, at/int64(time.Second), 10)
	if millis := at % int64(time.Second) / int64(time.Millisecond); millis != 0 {
		b = fmt.Appendf(b, ".%03d", millis)
	}
	return b
}

// appendNumber writes whole numbers without an exponent, as far as a float64 has them all.
func appendNumber(b []byte, v float64) []byte {
	const exact = 1 << 53
	if v == math.Trunc(v) && math.Abs(v) <= exact {
		return strconv.AppendInt(b, int64(v), 10)
	}
	return strconv.AppendFloat(b, v, 'g', -1, 64)
}

// appendLabel writes a label and a comma.
func appendLabel(b []byte, name, value string) []byte {
	b = append(append(b, name...), '=', '"')
	return append(appendEscaped(b, value), '"', ',')
}

// appendEscaped writes a text as OpenMetrics has it between quotes.
func appendEscaped(b []byte, text string) []byte {
	for i := range len(text) {
		switch c := text[i]; c {
		case '\\', '"':
			b = append(b, '\\', c)
		case '\n':
			b = append(b, '\\', 'n')
		default:
			b = append(b, c)
		}
	}
	return b
}

// format writes labels in the order of their names, each with a comma.
func format(labels []Label) string {
	labels = slices.Clone(labels)
	slices.SortFunc(labels, func(a, b Label) int { return strings.Compare(a.Name, b.Name) })
	var b []byte
	for _, l := range labels {
		b = appendLabel(b, l.Name, l.Value)
	}
	return string(b)
}
