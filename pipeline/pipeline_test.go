package pipeline

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"rsyncd_exporter/metrics"
	"rsyncd_exporter/receiver"
	"rsyncd_exporter/receiver/syslog"
	"rsyncd_exporter/rsynclog"
)

func newPipeline(t testing.TB, c Config) *Pipeline {
	t.Helper()
	if c.LogFormat == "" {
		c.LogFormat = defaultFormat
	}
	if c.Tags == nil {
		c.Tags = []string{"rsyncd*"}
	}
	c.MaxSeries, c.Resumable = cmp.Or(c.MaxSeries, 10000), true
	if c.Limits == (rsynclog.Limits{}) {
		c.Limits = rsynclog.DefaultLimits()
	}
	p, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func slabOf(messages ...string) *receiver.Slab {
	s := &receiver.Slab{}
	for _, m := range messages {
		s.Messages = append(s.Messages, []byte(m))
	}
	return s
}

// gathered maps every series, written as name{label="value",…}, to its value.
func gathered(t *testing.T, p *Pipeline) map[string]float64 {
	t.Helper()
	r := prometheus.NewPedanticRegistry()
	r.MustRegister(metrics.NewCollector(p.Snapshot, func() metrics.Live { return metrics.Live{} }))
	families, err := r.Gather()
	if err != nil {
		t.Fatal(err)
	}
	series := map[string]float64{}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			var labels []string
			for _, l := range m.GetLabel() {
				if l.GetValue() != "" {
					labels = append(labels, fmt.Sprintf("%s=%q", l.GetName(), l.GetValue()))
				}
			}
			series[f.GetName()+"{"+strings.Join(labels, ",")+"}"] = m.GetCounter().GetValue() + m.GetGauge().GetValue()
		}
	}
	return series
}

func total(series map[string]float64, name string) float64 {
	sum := 0.0
	for k, v := range series {
		if strings.HasPrefix(k, name+"{") {
			sum += v
		}
	}
	return sum
}

// checkIdentities asserts what holds at every scrape, from /metrics alone (DESIGN: received = discarded + ignored +
// messages + retired, exchanged = sent + received).
func checkIdentities(t *testing.T, series map[string]float64) {
	t.Helper()
	received := total(series, "rsyncd_exporter_received_total")
	rest := total(series, "rsyncd_exporter_discarded_total") + total(series, "rsyncd_exporter_ignored_total") +
		total(series, "rsync_messages_total") + total(series, "rsyncd_exporter_retired_messages_total")
	if received != rest {
		t.Errorf("received %v, but discarded + ignored + messages + retired %v", received, rest)
	}
	exchanged := total(series, "rsync_exchanged_bytes_total")
	if sum := total(series, "rsync_sent_bytes_total") + total(series, "rsync_received_bytes_total"); exchanged != sum {
		t.Errorf("exchanged %v, but sent + received %v", exchanged, sum)
	}
}

func TestEveryMessageIsCountedOnce(t *testing.T) {
	p := newPipeline(t, Config{})
	src := &receiver.Source{Input: "udp", Name: "udp", Dialect: syslog.Auto{}}
	s := slabOf(
		"<30>Nov 23 18:40:52 vm rsyncd[505]: connect from localhost (127.0.0.1)\n",
		"<30>Nov 23 18:40:52 vm rsyncd[505]: this is nothing that rsyncd says\n",
		"<30>Nov 23 18:40:52 vm rsyncd_exporter[9]: our own log\n",
		"-1 x", "<34>", "", "<999>x", strings.Repeat("\xa7", 1<<16))
	s.Discarded[receiver.Overflow] = 3
	if !p.TryDeliver(src, s) {
		t.Fatal("the lock was held by nobody")
	}
	series := gathered(t, p)
	checkIdentities(t, series)
	for name, want := range map[string]float64{
		`rsyncd_exporter_received_total{input="udp"}`:                        11,
		`rsyncd_exporter_ignored_total{input="udp"}`:                         1,
		`rsyncd_exporter_discarded_total{input="udp",reason="overflow"}`:     3,
		`rsyncd_exporter_discarded_total{input="udp",reason="no_text"}`:      1,
		`rsyncd_exporter_discarded_total{input="udp",reason="empty"}`:        1,
		`rsyncd_exporter_discarded_total{input="udp",reason="no_header"}`:    1,
		`rsyncd_exporter_discarded_total{input="udp",reason="bad_priority"}`: 1,
		`rsyncd_exporter_discarded_total{input="udp",reason="oversize"}`:     1,
		`rsync_messages_total{host="vm",kind="connect"}`:                     1,
		`rsync_messages_total{host="vm",kind="unrecognised"}`:                1,
		`rsync_connections_total{host="vm"}`:                                 1,
	} {
		if series[name] != want {
			t.Errorf("%s = %v, want %v", name, series[name], want)
		}
	}
}

// The client's words are info or warning; the daemon logs its own summaries as info (log.c: log_exit).
func TestASummaryAtWarningIsTheClients(t *testing.T) {
	p := newPipeline(t, Config{})
	src := syslogSource()
	p.Deliver(src, slabOf(
		"<30>Nov 23 18:40:52 rsyncd[505]: connect from localhost (127.0.0.1)\n",
		"<30>Nov 23 18:40:52 rsyncd[505]: rsync on data/ from localhost (127.0.0.1)\n",
		"<28>Nov 23 18:40:52 rsyncd[505]: sent 1000000 bytes  received 1000000 bytes  total size 3\n"))
	series := gathered(t, p)
	checkIdentities(t, series)
	if got := series[`rsync_messages_total{kind="implausible"}`]; got != 1 {
		t.Errorf("implausible messages: %v, want 1", got)
	}
}

// A forwarder's report of a loss is a metric; the same words under rsyncd's tag are a client's.
func TestLossesThatAForwarderReports(t *testing.T) {
	p := newPipeline(t, Config{})
	src := &receiver.Source{Input: "udp", Name: "udp", Dialect: syslog.Auto{}}
	p.Deliver(src, slabOf(
		"<45>Nov 23 18:40:52 vm rsyslogd: imuxsock lost 123 messages from pid 505 due to rate-limiting",
		"<46>Nov 23 18:40:52 vm rsyslogd: [origin software=\"rsyslogd\"] start",
		"<30>Nov 23 18:40:52 vm rsyncd[505]: imuxsock lost 999 messages from pid 505 due to rate-limiting"))
	series := gathered(t, p)
	checkIdentities(t, series)
	for name, want := range map[string]float64{
		`rsync_upstream_lost_messages_total{host="vm"}`:        123,
		`rsync_messages_total{host="vm",kind="lost_upstream"}`: 1,
		`rsync_messages_total{host="vm",kind="implausible"}`:   1,
		`rsyncd_exporter_ignored_total{input="udp"}`:           1,
	} {
		if series[name] != want {
			t.Errorf("%s = %v, want %v", name, series[name], want)
		}
	}
}

// BSD's and Solaris' syslogd write "last message repeated N times" behind the stamp and the host,
// without a tag: its first word takes the tag's place. By hand: 2 + 1 of nas, 7 of vm. Nothing else
// counts as such a report, least of all under rsyncd's tag, where it is a client's.
func TestRepeatsThatASyslogdFolded(t *testing.T) {
	p := newPipeline(t, Config{})
	src := &receiver.Source{Input: "file", Name: "file", Scope: 1, Dialect: syslog.Lines{}}
	p.Deliver(src, slabOf(
		"Nov 23 18:40:52 nas rsyncd[505]: connect from localhost (127.0.0.1)",
		"Nov 23 18:40:52 nas last message repeated 2 times",
		"Nov 23 18:40:53 nas last message repeated 1 time",
		"<46>Nov 23 18:40:53 vm last message repeated 7 times",
		"Nov 23 18:40:53 nas rsyncd[505]: last message repeated 1000 times",
		"Nov 23 18:40:53 nas rsyncd[505]: message repeated 1000 times",
		"Nov 23 18:40:54 nas last message repeated many times",
		"Nov 23 18:40:54 nas last message repeated 1000 times: [ connect from localhost (127.0.0.1)]",
		"Nov 23 18:40:54 nas last imuxsock lost 1000 messages from pid 505 due to rate-limiting",
		"Nov 23 18:40:54 nas last[505]: message repeated 1000 times",
		"Nov 23 18:40:54 nas lastly message repeated 1000 times"))
	series := gathered(t, p)
	checkIdentities(t, series)
	for name, want := range map[string]float64{
		`rsync_upstream_lost_messages_total{host="nas"}`:        3,
		`rsync_upstream_lost_messages_total{host="vm"}`:         7,
		`rsync_messages_total{host="nas",kind="lost_upstream"}`: 2,
		`rsync_messages_total{host="nas",kind="implausible"}`:   2,
		`rsync_messages_total{host="nas",kind="connect"}`:       1,
		`rsyncd_exporter_ignored_total{input="file"}`:           5,
	} {
		if series[name] != want {
			t.Errorf("%s = %v, want %v", name, series[name], want)
		}
	}
}

func TestTryDeliverNeverWaits(t *testing.T) {
	p := newPipeline(t, Config{})
	src := syslogSource()
	p.mu.Lock()
	if p.TryDeliver(src, slabOf("<30>Nov 23 18:40:52 rsyncd[505]: connect from localhost (127.0.0.1)")) {
		t.Fatal("delivered through a held lock")
	}
	p.mu.Unlock()
	if got := gathered(t, p); total(got, "rsyncd_exporter_received_total") != 0 {
		t.Error("a refused slab was counted")
	}
	if !p.TryDeliver(src, slabOf("<30>Nov 23 18:40:52 rsyncd[505]: connect from localhost (127.0.0.1)")) {
		t.Fatal("refused although nobody holds the lock")
	}
}

// Inputs, ticks and scrapes at once; run with -race. Nothing is lost and every scrape's identities hold.
func TestEverythingAtOnce(t *testing.T) {
	p := newPipeline(t, Config{})
	const senders, slabs, each = 4, 200, 20
	var senderGroup, scraperGroup sync.WaitGroup
	for i := range senders {
		src := &receiver.Source{Input: "tcp", Name: "tcp", Dialect: syslog.Auto{}}
		senderGroup.Go(func() {
			r := rand.New(rand.NewPCG(uint64(i), 1))
			for n := range slabs {
				s := &receiver.Slab{}
				for m := range each {
					s.Messages = append(s.Messages, fmt.Appendf(nil, "<30>Nov 23 18:40:52 vm%d rsyncd[%d]: connect from h (192.0.2.%d)",
						i, 300+n*each+m, r.IntN(255)))
				}
				if r.IntN(2) == 0 || !p.TryDeliver(src, s) {
					p.Deliver(src, s)
				}
			}
		})
	}
	done := make(chan struct{})
	scraperGroup.Go(func() {
		for {
			select {
			case <-done:
				return
			default:
				checkIdentities(t, gathered(t, p))
				p.Tick()
			}
		}
	})
	senderGroup.Wait()
	close(done)
	scraperGroup.Wait()
	if got := total(gathered(t, p), "rsync_connections_total"); got != senders*slabs*each {
		t.Errorf("connections: %v, want %v", got, senders*slabs*each)
	}
}

func TestTagsAreGlobsAndSlashesAreOrdinary(t *testing.T) {
	f := tagFilter{globs: []string{"rsyncd*", "mirror-?"}, seen: map[string]bool{}}
	for tag, want := range map[string]bool{
		"rsyncd": true, "rsyncd.alice": true, "rsyncd/m1": true, "mirror-2": true, "mirror-22": false, "sshd": false, "": false,
	} {
		if got := f.match([]byte(tag)); got != want {
			t.Errorf("%q: %v, want %v", tag, got, want)
		}
	}
	for i := range 10 * maxTags {
		f.match(fmt.Append(nil, i))
	}
	if len(f.seen) > maxTags {
		t.Errorf("%d answers remembered, want at most %d", len(f.seen), maxTags)
	}
}

// The sessions' clock goes on when the machine's time is set; only what is shown in seconds of the epoch follows the wall.
func TestSessionClockDoesNotJump(t *testing.T) {
	c := clock{start: time.Now().Add(-time.Hour)} // Add moves the monotonic reading too
	if d := time.Duration(c.now() - c.start.UnixNano()); d < time.Hour || d > time.Hour+time.Minute {
		t.Errorf("an hour after its start the clock shows %v", d)
	}
	wall := c.wall()
	for _, x := range []struct {
		waited time.Duration
		counts bool
	}{{0, true}, {10 * time.Second, true}, {-time.Hour, false}, {time.Hour, false}} { // the last two: the time was set meanwhile
		now, at, _ := c.received(wall - int64(x.waited))
		if late := time.Duration(c.now() - now); (late - x.waited).Abs() < time.Second != x.counts {
			t.Errorf("received %v ago: the sessions see it %v ago", x.waited, late)
		}
		if (at == wall-int64(x.waited)) != x.counts {
			t.Errorf("received %v ago: shown %v ago", x.waited, time.Duration(wall-at))
		}
	}
}

func TestAllocations(t *testing.T) {
	p := newPipeline(t, Config{})
	src := &receiver.Source{Input: "udp", Name: "udp", Dialect: syslog.Auto{}}
	p.Deliver(src, slabOf(
		"<30>Nov 23 18:40:52 vm rsyncd[505]: connect from localhost (127.0.0.1)",
		"<30>Nov 23 18:40:52 vm rsyncd[505]: rsync allowed access on module data from localhost (127.0.0.1)",
		"<30>Nov 23 18:40:52 vm rsyncd[505]: rsync on data/ from localhost (127.0.0.1)"))
	s := slabOf("<30>Nov 23 18:40:52 vm rsyncd[505]: send localhost [127.0.0.1] data () sub/c.dat 70000\n")
	if n := testing.AllocsPerRun(1000, func() { p.Deliver(src, s) }); n != 0 {
		t.Errorf("%v allocations for a transfer line from slab to books", n)
	}
}

// BenchmarkTransfers handles slabs of 64 transfer lines; BenchmarkLineEnds only finds the line ends of the same bytes. Their
// ratio is what the whole pipeline costs.
func BenchmarkTransfers(b *testing.B) {
	p := newPipeline(b, Config{})
	src := &receiver.Source{Input: "udp", Name: "udp", Dialect: syslog.Auto{}}
	p.Deliver(src, slabOf(
		"<30>Nov 23 18:40:52 vm rsyncd[505]: connect from localhost (127.0.0.1)",
		"<30>Nov 23 18:40:52 vm rsyncd[505]: rsync allowed access on module data from localhost (127.0.0.1)",
		"<30>Nov 23 18:40:52 vm rsyncd[505]: rsync on data/ from localhost (127.0.0.1)"))
	s := slabOf()
	for i := range 64 {
		s.Messages = append(s.Messages, fmt.Appendf(nil, "<30>Nov 23 18:40:52 vm rsyncd[505]: send localhost [127.0.0.1] data () sub/dir%d/file%d.dat %d\n", i%7, i, i*1009))
	}
	b.ReportAllocs()
	for b.Loop() {
		p.Deliver(src, s)
	}
	b.ReportMetric(float64(b.N)*64/b.Elapsed().Seconds(), "messages/s")
}

func BenchmarkLineEnds(b *testing.B) {
	var text []byte
	for i := range 64 {
		text = fmt.Appendf(text, "<30>Nov 23 18:40:52 vm rsyncd[505]: send localhost [127.0.0.1] data () sub/dir%d/file%d.dat %d\n", i%7, i, i*1009)
	}
	n := 0
	for b.Loop() {
		n += strings.Count(string(text), "\n")
	}
	b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "messages/s")
}
