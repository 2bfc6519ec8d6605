package pipeline_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/expfmt"

	"rsyncd_exporter/internal/corpus"
	"rsyncd_exporter/internal/testenv"
	"rsyncd_exporter/metrics"
	"rsyncd_exporter/pipeline"
	"rsyncd_exporter/receiver"
	"rsyncd_exporter/receiver/syslog"
	"rsyncd_exporter/rsynclog"
)

// exposition returns a scrape with everything that Prometheus takes: created timestamps and native histograms, too.
func exposition(t *testing.T, p *pipeline.Pipeline) []byte {
	t.Helper()
	return expose(t, p.Snapshot(), expfmt.NewFormat(expfmt.TypeProtoDelim))
}

func expose(t *testing.T, snap *metrics.Snapshot, format expfmt.Format) []byte {
	t.Helper()
	r := prometheus.NewPedanticRegistry()
	r.MustRegister(metrics.NewCollector(func() *metrics.Snapshot { return snap }, func() metrics.Live { return metrics.Live{} }))
	families, err := r.Gather()
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	e := expfmt.NewEncoder(&b, format)
	for _, f := range families {
		if err := e.Encode(f); err != nil {
			t.Fatal(err)
		}
	}
	return b.Bytes()
}

// sameExposition compares scrapes of two pipelines at this moment, byte for byte.
func sameExposition(t *testing.T, got, want *pipeline.Pipeline, when string) {
	t.Helper()
	a, b := exposition(t, got), exposition(t, want)
	if bytes.Equal(a, b) {
		return
	}
	text := expfmt.NewFormat(expfmt.TypeProtoText)
	t.Errorf("%s: not the same scrape:\n%s", when, difference(string(expose(t, got.Snapshot(), text)), string(expose(t, want.Snapshot(), text))))
}

// difference returns the first lines that differ, and those before them.
func difference(got, want string) string {
	a, b := strings.Split(got, "\n"), strings.Split(want, "\n")
	for i := range min(len(a), len(b)) {
		if a[i] != b[i] {
			from, to := max(0, i-20), i+3
			return "got\n" + strings.Join(a[from:min(to, len(a))], "\n") + "\nwant\n" + strings.Join(b[from:min(to, len(b))], "\n")
		}
	}
	return fmt.Sprintf("one has %d lines, the other %d", len(a), len(b))
}

// restarted returns a pipeline that has learnt from another one's State, through its bytes, all that it knows. The other one saves as well,
// since that counts what has ended by then.
func restarted(t *testing.T, p *pipeline.Pipeline, c pipeline.Config) *pipeline.Pipeline {
	t.Helper()
	_, st := p.Save(nil)
	b, err := st.Encode()
	if err != nil {
		t.Fatal(err)
	}
	if c.Checkpoint, err = pipeline.Decode(b); err != nil {
		t.Fatal(err)
	}
	n, err := pipeline.New(c)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// A script is what the model test plays: slabs of recorded and random messages, and time.
type script struct {
	r        *rand.Rand
	recorded []recording
	sources  []*receiver.Source
}

type recording struct {
	src      *receiver.Source
	messages [][]byte
}

func newScript(t *testing.T, r *rand.Rand) *script {
	t.Helper()
	file2 := &receiver.Source{Input: "file", Name: "file 2", Scope: 2, Dialect: syslog.Lines{}}
	udp := &receiver.Source{Input: "udp", Name: "udp", Dialect: syslog.Auto{}}
	s := &script{r: r, sources: []*receiver.Source{syslogSource(), fileSource(), file2, udp}}
	for _, dir := range []string{corpusDir, captures} {
		logs, _ := filepath.Glob(filepath.Join(dir, "file", "*log"))
		for _, name := range logs {
			s.recorded = append(s.recorded, recording{s.sources[1+r.IntN(2)], corpus.ReadLines(t, name)})
		}
		dumps, _ := filepath.Glob(filepath.Join(dir, "syslog", "*.raw"))
		for _, name := range dumps {
			s.recorded = append(s.recorded, recording{s.sources[0], corpus.ReadDatagrams(t, name)})
		}
	}
	if len(s.recorded) < 100 {
		t.Fatalf("%d recordings, want at least 100", len(s.recorded))
	}
	return s
}

// lines are what a process may log; %[1]s is a module, %[2]d a small number.
var lines = []string{
	"connect from localhost (127.0.0.1)", "connect from evil (10.6.6.%[2]d)",
	"rsync allowed access on module %[1]s from localhost (127.0.0.1)",
	"rsync on %[1]s/ from localhost (127.0.0.1)", "rsync to %[1]s/ from user%[2]d@localhost (127.0.0.1)",
	"building file list", "send localhost [127.0.0.1] %[1]s () a.txt 6%[2]d", "recv localhost [127.0.0.1] %[1]s () a.txt 7%[2]d",
	"del. localhost [127.0.0.1] %[1]s () a.txt 0", "sent 1%[2]d bytes  received 2%[2]d bytes  total size 3%[2]d",
	"rsync error: error in socket IO (code 10) at io.c(949) [sender=3.5.0]",
	"rsync error: error in file IO (code %[2]d) at receiver.c(657) [receiver=3.5.0]",
	"rsync: [sender] send_files failed to open \"/x\" (in %[1]s): Permission denied (%[2]d)",
	"module-list request from localhost (127.0.0.1)", "unknown module '%[1]s' tried from localhost (127.0.0.1)",
	"rsync denied on module %[1]s from localhost (127.0.0.1)", "auth failed on module %[1]s from localhost (127.0.0.1) for alice: password mismatch",
	"max connections (1) reached", "ERROR: module is read only", "rsyncd version 3.5.%[2]d starting, listening on port 873", "whatever a script says",
	"Deletions stopped due to --max-delete limit (%[2]d skipped)", "rsync: connection unexpectedly closed (%[2]d bytes received so far) [receiver]",
}

// slab returns the next slab: part of a recording, or lines of a few processes on a few hosts.
func (s *script) slab() (*receiver.Source, *receiver.Slab) {
	slab := &receiver.Slab{}
	if s.r.IntN(20) == 0 {
		slab.Discarded[1+s.r.IntN(int(receiver.NumDiscards)-1)] = uint32(s.r.IntN(5))
	}
	if i := s.r.IntN(2 * len(s.recorded)); i < len(s.recorded) {
		all := s.recorded[i].messages
		from := s.r.IntN(len(all))
		slab.Messages = all[from : from+min(len(all)-from, 1+s.r.IntN(60))]
		return s.recorded[i].src, slab
	}
	src := s.sources[s.r.IntN(len(s.sources))]
	for range 1 + s.r.IntN(12) {
		module := fmt.Sprintf("m%d", s.r.IntN(1+s.r.IntN(40)))
		text := fmt.Sprintf(lines[s.r.IntN(len(lines))]+"%.0[1]s%.0[2]d", module, s.r.IntN(30))
		pid := 1 + s.r.IntN(1+s.r.IntN(200))
		m := fmt.Sprintf("<30>Nov 23 18:40:52 rsyncd[%d]: %s", pid, text)
		switch {
		case src.Input == "file":
			m = fmt.Sprintf("2026/11/23 18:40:52 [%d] %s", pid, text)
		case src.Input == "udp":
			m = fmt.Sprintf("<30>Nov 23 18:40:52 h\xff%d rsyncd[%d]: %s", s.r.IntN(1+s.r.IntN(60)), pid, text)
			slab.Peer = netip.AddrFrom4([4]byte{192, 0, 2, byte(s.r.IntN(1 + s.r.IntN(30)))})
		case s.r.IntN(30) == 0:
			m = "<30>Nov 23 18:40:52 cron[1]: not rsyncd's"
		}
		slab.Messages = append(slab.Messages, []byte(m))
	}
	return src, slab
}

// pause returns how long nothing happens: mostly no time, at times until sessions settle, lapse or expire.
func (s *script) pause() time.Duration {
	longest := [...]time.Duration{0, 0, time.Millisecond, time.Second, 3 * time.Second, time.Minute, 20 * time.Minute, 2 * time.Hour, 30 * time.Hour}
	return time.Duration(s.r.Float64() * float64(longest[s.r.IntN(len(longest))]))
}

// config returns limits that the script runs into, more often than not.
func (s *script) config() pipeline.Config {
	pick := func(n ...int) int { return n[s.r.IntN(len(n))] }
	limits := rsynclog.DefaultLimits()
	limits.Sessions, limits.Origins = pick(3, 30, 32768), pick(2, 20, 4096)
	c := pipeline.Config{LogFormat: defaultFormat, Tags: []string{"*"}, MaxSeries: pick(0, 150, 700, 3000, 100000), Limits: limits}
	for i := range pick(0, 0, 1, 4) {
		c.Hosts = append(c.Hosts, fmt.Sprintf("h\xff%d", 5*i))
	}
	for i := range pick(0, 0, 3, 9) {
		c.Modules = append(c.Modules, fmt.Sprintf("m%d", 3*i))
	}
	return c
}

// A pipeline that is restarted again and again, each time from the bytes of its state, shows the same as one that never was, to the last
// bit, and goes on the same. Time is a bubble's, so that both have the same.
func TestRestartsChangeNothing(t *testing.T) {
	r := rand.New(rand.NewPCG(testenv.Seed(t), 0))
	s := newScript(t, r)
	retired := 0.0
	for round := range testenv.Tortured(60, 10_000) {
		synctest.Test(t, func(t *testing.T) {
			c := s.config()
			x, err := pipeline.New(c)
			if err != nil {
				t.Fatal(err)
			}
			y, _ := pipeline.New(c)
			local := r.IntN(2) == 0
			begin := func(p *pipeline.Pipeline) {
				if local {
					p.AddLocalHost()
				}
				for _, src := range s.sources {
					p.Input(src.Input)
				}
			}
			begin(x)
			begin(y)
			restarts, every := 0, 1+r.IntN(30)
			for range 1 + r.IntN(120) {
				src, slab := s.slab()
				x.Deliver(src, slab)
				y.Deliver(src, slab)
				time.Sleep(s.pause())
				if r.IntN(4) == 0 {
					x.Tick()
					y.Tick()
				}
				if r.IntN(every) == 0 {
					restarts++
					x.Save(nil)
					y = restarted(t, y, c)
					begin(y)
					// what was logged meanwhile to the files has been read: nothing
					for _, p := range []*pipeline.Pipeline{x, y} {
						p.Deliver(s.sources[2], &receiver.Slab{})
					}
					if r.IntN(3) == 0 {
						sameExposition(t, y, x, fmt.Sprintf("round %d, after restart %d", round, restarts))
					}
				}
			}
			sameExposition(t, y, x, fmt.Sprintf("round %d, after %d restarts", round, restarts))
			for range 3 { // everything ends
				time.Sleep(26 * time.Hour)
				x.Tick()
				y.Tick()
			}
			sameExposition(t, y, x, fmt.Sprintf("round %d, at the end", round))
			series := gathered(t, y)
			checkIdentities(t, series)
			retired += total(series, "rsyncd_exporter_retired_messages_total")
		})
		if t.Failed() {
			return
		}
	}
	if retired == 0 {
		t.Error("no host ever made room: the script is too tame")
	}
}
