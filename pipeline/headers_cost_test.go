package pipeline_test

import (
	"bytes"
	"fmt"
	"slices"
	"strconv"
	"testing"
	"time"

	"rsyncd_exporter/pipeline"
	"rsyncd_exporter/receiver"
	"rsyncd_exporter/receiver/syslog"
)

// A load is what BenchmarkShortcuts has handled: slabs of a begin, then of the same lines again and again.
type load struct {
	name  string
	begin []string
	lines []string
	fresh int // sessions that the lines begin
}

// loads are of a mirror whose clients pull: one of them alone, many at once, of many hosts, and lines that are no transfers'.
func loads() []load {
	header := func(host string, pid int) string {
		return fmt.Sprintf("<30>Nov 23 18:40:52 %s rsyncd[%d]: ", host, pid)
	}
	begin := func(h string) []string {
		return []string{
			h + "connect from mirror7.example.net (203.0.113.7)",
			h + "rsync allowed access on module archive from mirror7.example.net (203.0.113.7)",
			h + "rsync on archive/dists/ from mirror7.example.net (203.0.113.7)",
			h + "building file list",
		}
	}
	transfer := func(h string, i int) string {
		return h + fmt.Sprintf("send mirror7.example.net [203.0.113.7] archive () dists/stable/dir%d/file%d.gz %d\n", i%7, i, i*10090)
	}
	one := load{name: "one session", begin: begin(header("vm", 505))}
	mixed := load{name: "50 sessions"}
	hosts := load{name: "200 hosts"}
	other := load{name: "other lines", fresh: 50}
	for i := range 1000 {
		one.lines = append(one.lines, transfer(header("vm", 505), i))
		mixed.lines = append(mixed.lines, transfer(header("vm", 1000+i*7%50), i))
		hosts.lines = append(hosts.lines, transfer(header(fmt.Sprintf("mirror-%d.example.net", i*7%200), 505), i))
	}
	for i := range 50 {
		mixed.begin = append(mixed.begin, begin(header("vm", 1000+i))...)
		h := header("vm", freshPID+i)
		other.lines = append(append(other.lines, begin(h)...),
			h+`rsync: [sender] send_files failed to open "/root-only" (in archive): Permission denied (13)`,
			h+"sent 1310256 bytes  received 120 bytes  total size 1309578")
	}
	for i := range 200 {
		hosts.begin = append(hosts.begin, begin(header(fmt.Sprintf("mirror-%d.example.net", i), 505))...)
	}
	return []load{one, mixed, hosts, other}
}

// freshPID is the first pid of the sessions that each pass over a load's lines begins anew; pids below go on.
const freshPID = 1_000_000

// renew gives the messages that have a fresh pid the one of the next pass, which begins so many sessions.
func renew(slabs []*receiver.Slab, fresh int) {
	for _, s := range slabs {
		for _, m := range s.Messages {
			if at := bytes.IndexByte(m, '[') + 1; m[at+7] == ']' {
				pid, _ := strconv.Atoi(string(m[at : at+7]))
				strconv.AppendInt(m[at:at], int64(freshPID+(pid+fresh-freshPID)%(3*freshPID)), 10)
			}
		}
	}
}

// slabsOf cuts lines into slabs of 64.
func slabsOf(lines []string) (slabs []*receiver.Slab) {
	for ; len(lines) > 0; lines = lines[min(64, len(lines)):] {
		slabs = append(slabs, slabOf(lines[:min(64, len(lines))]...))
	}
	return slabs
}

// Neither messages that are compared with one before nor those that take another's place in the memory of headers and
// fronts cost an allocation.
func TestShortcutsAllocateNothing(t *testing.T) {
	crowd := load{name: "more hosts and sessions than are remembered"}
	for i := range 3000 {
		crowd.lines = append(crowd.lines, fmt.Sprintf(
			"<30>Nov 23 18:40:52 h%d rsyncd[%d]: send localhost [127.0.0.1] data () a %d\n", i*7%3000, 500+i%3, i))
	}
	for _, l := range append(loads()[:3], crowd) {
		p := newPipeline(t, pipeline.Config{MaxSeries: 1_000_000})
		src := &receiver.Source{Input: "udp", Name: "udp", Dialect: syslog.Auto{}, Live: true}
		for _, s := range slabsOf(l.begin) {
			p.Deliver(src, s)
		}
		slabs := slabsOf(l.lines)
		pass := func() {
			for _, s := range slabs {
				p.Deliver(src, s)
			}
		}
		for range 2 * pipeline.RelearnAfter { // until nothing is learned that needs more memory than what was there before
			pass()
		}
		if n := testing.AllocsPerRun(3, pass); n > 0 {
			t.Errorf("%s: %v allocations for %d messages", l.name, n, len(l.lines))
		}
	}
}

// BenchmarkShortcuts compares messages that are read in full with those of which it is only compared what they share with
// one before. Both take turns, so that what else the machine does meets both: the least time of each counts, and the
// median of the pairs' ratios.
func BenchmarkShortcuts(b *testing.B) {
	for _, l := range loads() {
		b.Run(l.name, func(b *testing.B) {
			full, short := newRunner(b, l, pipeline.Config{InFull: true}), newRunner(b, l, pipeline.Config{})
			var ratios []float64
			for b.Loop() {
				f := full.pass()
				ratios = append(ratios, float64(short.pass())/float64(f))
			}
			slices.Sort(ratios)
			perMessage := func(r *runner) float64 { return float64(r.least.Nanoseconds()) / float64(len(l.lines)) }
			b.ReportMetric(perMessage(full), "ns/message-in-full")
			b.ReportMetric(perMessage(short), "ns/message")
			b.ReportMetric(ratios[len(ratios)/2], "ratio")
			b.ReportMetric(0, "ns/op")
		})
	}
}

// A runner has a pipeline handle a load, pass after pass.
type runner struct {
	p     *pipeline.Pipeline
	src   *receiver.Source
	slabs []*receiver.Slab
	fresh int
	least time.Duration // that a pass took
}

func newRunner(b *testing.B, l load, c pipeline.Config) *runner {
	c.MaxSeries = 100_000
	r := &runner{
		p: newPipeline(b, c), slabs: slabsOf(l.lines), fresh: l.fresh, least: time.Hour,
		src: &receiver.Source{Input: "udp", Name: "udp", Dialect: syslog.Auto{}, Live: true},
	}
	for _, s := range slabsOf(l.begin) {
		r.p.Deliver(r.src, s)
	}
	return r
}

func (r *runner) pass() time.Duration {
	renew(r.slabs, r.fresh)
	start := time.Now()
	for _, s := range r.slabs {
		r.p.Deliver(r.src, s)
	}
	took := time.Since(start)
	r.least = min(r.least, took)
	return took
}
