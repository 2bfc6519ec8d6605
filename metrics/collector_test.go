package metrics_test

import (
	"fmt"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	dto "github.com/prometheus/client_model/go"

	"rsyncd_exporter/metrics"
	"rsyncd_exporter/rsynclog"
)

// books is a Store and the Sessions that feed it.
type books struct {
	t        *testing.T
	store    *metrics.Store
	sessions *rsynclog.Sessions
}

func newBooks(t *testing.T, c metrics.Config) *books {
	t.Helper()
	if c.MaxSeries == 0 {
		c.MaxSeries = 10000
	}
	c.Reasons = []string{"kept", "empty"}
	c.Start = time.Unix(1000, 0)
	l := rsynclog.DefaultLimits()
	l.Settle = 0
	return &books{t, metrics.NewStore(c), rsynclog.NewSessions(l, c.Modules, nil)}
}

// event applies one event of a host's process at a second of the epoch.
func (b *books) event(host string, pid int32, second int64, ev rsynclog.Event) {
	at := second * int64(time.Second)
	o := b.sessions.Origin(rsynclog.Where{Host: []byte(host)}, at)
	ev.Severity = -1
	changes, believed := b.sessions.Apply(o, rsynclog.Process{PID: pid}, rsynclog.When{Arrived: at}, &ev)
	b.store.Message(o, ev.Kind, believed, at)
	b.store.Apply(changes, at, at)
}

// tick ends the sessions whose time has come.
func (b *books) tick(at int64) {
	for more := true; more; {
		var changes []rsynclog.Change
		changes, more = b.sessions.Tick(at, 100)
		b.store.Apply(changes, at, at)
	}
}

// pull is a whole session of 30 s that sends and receives the given bytes.
func (b *books) pull(host, module string, pid int32, second int64, sent, received uint64) {
	addr, name := []byte("192.0.2.1"), []byte(module)
	b.event(host, pid, second, rsynclog.Event{Kind: rsynclog.Connect, Addr: addr})
	b.event(host, pid, second, rsynclog.Event{Kind: rsynclog.Allowed, Module: name, Addr: addr})
	b.event(host, pid, second, rsynclog.Event{Kind: rsynclog.Start, Direction: rsynclog.Send, Request: name, Addr: addr})
	b.event(host, pid, second+30, rsynclog.Event{Kind: rsynclog.Summary, Sent: sent, Received: received, Total: 7})
	end := (second + 30) * int64(time.Second)
	b.tick(end)
}

func (b *books) registry() *prometheus.Registry {
	r := prometheus.NewPedanticRegistry()
	r.MustRegister(metrics.NewCollector(func() *metrics.Snapshot { return b.store.Snapshot(b.sessions, 0) }, func() metrics.Live {
		return metrics.Live{
			Sockets: []metrics.Socket{{Input: "udp", Datagram: true, Drops: 3, Buffer: 4096}, {Input: "tls", Stream: true, Connections: 2,
				Refused: map[string]uint64{"no_certificate": 0, "expired": 4}}},
			TLS:   &metrics.TLS{Expires: map[string]time.Time{"certificate": time.Unix(1800000000, 0)}, OK: true},
			Files: []metrics.File{{Path: "/l", Offset: 5, Lag: 6, Gaps: map[string]uint64{"truncated": 1}}},

			Limits: metrics.Limits{"data": {MaxConnections: 8}},
		}
	}))
	return r
}

func (b *books) want(metrics string, names ...string) {
	b.t.Helper()
	if err := testutil.GatherAndCompare(b.registry(), strings.NewReader(metrics), names...); err != nil {
		b.t.Error(err)
	}
}

// By hand: two pulls of 100+5 and 40+2 bytes make 140 sent, 7 received and 147 exchanged; each took 30 s, in the bucket up to 60.
func TestTwoPulls(t *testing.T) {
	b := newBooks(t, metrics.Config{})
	b.pull("vm", "data", 7, 2000, 100, 5)
	b.pull("vm", "data", 8, 3000, 40, 2)
	b.want(`
# HELP rsync_exchanged_bytes_total Bytes sent and received.
# TYPE rsync_exchanged_bytes_total counter
rsync_exchanged_bytes_total{direction="send",host="vm",module="data"} 147
# HELP rsync_executions_total Transfers that were let through: rsync on (send) and rsync to (receive).
# TYPE rsync_executions_total counter
rsync_executions_total{direction="send",host="vm",module="data"} 2
# HELP rsync_last_success_timestamp_seconds When a session last ended with outcome ok, in seconds of the Unix epoch.
# TYPE rsync_last_success_timestamp_seconds gauge
rsync_last_success_timestamp_seconds{direction="send",host="vm",module="data",user=""} 3030
# HELP rsync_received_bytes_total Bytes that the daemon received, from the sessions' summaries.
# TYPE rsync_received_bytes_total counter
rsync_received_bytes_total{direction="send",host="vm",module="data"} 7
# HELP rsync_sent_bytes_total Bytes that the daemon sent, from the sessions' summaries.
# TYPE rsync_sent_bytes_total counter
rsync_sent_bytes_total{direction="send",host="vm",module="data"} 140
# HELP rsync_session_duration_seconds Time from a session's connect to its last line, by the receive clock.
# TYPE rsync_session_duration_seconds histogram
rsync_session_duration_seconds_bucket{direction="send",host="vm",module="data",le="0.1"} 0
rsync_session_duration_seconds_bucket{direction="send",host="vm",module="data",le="1"} 0
rsync_session_duration_seconds_bucket{direction="send",host="vm",module="data",le="10"} 0
rsync_session_duration_seconds_bucket{direction="send",host="vm",module="data",le="60"} 2
rsync_session_duration_seconds_bucket{direction="send",host="vm",module="data",le="300"} 2
rsync_session_duration_seconds_bucket{direction="send",host="vm",module="data",le="900"} 2
rsync_session_duration_seconds_bucket{direction="send",host="vm",module="data",le="3600"} 2
rsync_session_duration_seconds_bucket{direction="send",host="vm",module="data",le="10800"} 2
rsync_session_duration_seconds_bucket{direction="send",host="vm",module="data",le="43200"} 2
rsync_session_duration_seconds_bucket{direction="send",host="vm",module="data",le="86400"} 2
rsync_session_duration_seconds_bucket{direction="send",host="vm",module="data",le="+Inf"} 2
rsync_session_duration_seconds_sum{direction="send",host="vm",module="data"} 60
rsync_session_duration_seconds_count{direction="send",host="vm",module="data"} 2
`, "rsync_exchanged_bytes_total", "rsync_executions_total", "rsync_last_success_timestamp_seconds", "rsync_received_bytes_total",
		"rsync_sent_bytes_total", "rsync_session_duration_seconds")
}

func TestConfiguredModulesExistAtZero(t *testing.T) {
	b := newBooks(t, metrics.Config{Modules: []string{"data"}})
	b.store.AddLocalHost()
	if got := sum(b.t, b.registry(), "rsync_executions_total", "module", "data"); got != 0 || countOf(b.registry(), "rsync_executions_total") != 2 {
		t.Errorf("executions of a configured module: %v in %d series, want 0 in 2", got, countOf(b.registry(), "rsync_executions_total"))
	}
	if n := countOf(b.registry(), "rsync_errors_total"); n != len(metrics.UsualCodes) {
		t.Errorf("%d error series, want one for each of the %d usual codes", n, len(metrics.UsualCodes))
	}
	// Two directions with 6 outcomes each; without a direction, for the module and for none, those 4 that need none.
	if n := countOf(b.registry(), "rsync_sessions_total"); n != 2*6+2*4 {
		t.Errorf("%d session series, want 20", n)
	}
	if n := countOf(b.registry(), "rsync_rejected_total"); n != 8+1 {
		t.Errorf("%d series of rejections, want the module's 8 reasons, and unknown_module", n)
	}
}

// An operation that a log format doesn't tell has series where there is such a file, and none
// before: few formats leave it unknown.
func TestUnknownOperationsHaveNoSeriesBeforeTheFirst(t *testing.T) {
	b := newBooks(t, metrics.Config{Modules: []string{"data"}})
	b.store.AddLocalHost()
	if n := countOf(b.registry(), "rsync_files_total"); n != 3 {
		t.Errorf("%d operations of a configured module, want 3", n)
	}
	b.change("vm", "data", "", rsynclog.Receive, 2000, rsynclog.Change{Kind: rsynclog.FileMoved, Op: rsynclog.OpUnknown, Length: 70}, 0)
	r := b.registry()
	if n, bytes := sum(t, r, "rsync_files_total", "operation", "unknown"), sum(t, r, "rsync_file_bytes_total", "operation", "unknown"); n != 1 || bytes != 70 {
		t.Errorf("%v files and %v bytes of unknown operations, want 1 and 70", n, bytes)
	}
}

// What can happen to a client before it has named a module exists at 0 from a host's first message on: the first unknown module must not
// be lost to increase().
func TestEarlyOutcomesExistAtZero(t *testing.T) {
	b := newBooks(t, metrics.Config{})
	b.event("vm", 7, 2000, rsynclog.Event{Kind: rsynclog.Connect, Addr: []byte("192.0.2.1")})
	b.want(`
# HELP rsync_rejected_total Clients that were turned away, by reason.
# TYPE rsync_rejected_total counter
rsync_rejected_total{host="vm",module="",reason="unknown_module"} 0
# HELP rsync_sessions_total Sessions that ended, by outcome.
# TYPE rsync_sessions_total counter
rsync_sessions_total{direction="",host="vm",module="",outcome="aborted"} 0
rsync_sessions_total{direction="",host="vm",module="",outcome="listing"} 0
rsync_sessions_total{direction="",host="vm",module="",outcome="rejected"} 0
rsync_sessions_total{direction="",host="vm",module="",outcome="unknown"} 0
`, "rsync_rejected_total", "rsync_sessions_total")
}

// Beyond MAX_SERIES nothing is lost: the sum over all series is what was counted, and memory stays bounded.
func TestSeriesBeyondTheCapKeepTheSum(t *testing.T) {
	b := newBooks(t, metrics.Config{MaxSeries: 500})
	const hosts, modules = 50, 20
	for h := range hosts {
		for m := range modules {
			b.pull(fmt.Sprint("host", h), fmt.Sprint("module", m), int32(m+1), 2000, 10, 1)
		}
	}
	if got := sum(t, b.registry(), "rsync_sent_bytes_total", "", ""); got != hosts*modules*10 {
		t.Errorf("sent bytes over all series: %v, want %v", got, hosts*modules*10)
	}
	if got := sum(t, b.registry(), "rsync_connections_total", "host", "_other"); got == 0 {
		t.Error("no connection under _other")
	}
	if n, limit := countOf(b.registry(), "rsync_executions_total"), 100; n > limit {
		t.Errorf("%d series of executions, want at most %d", n, limit)
	}
	if got := sum(t, b.registry(), "rsyncd_exporter_label_overflow_total", "", ""); got == 0 {
		t.Error("the overflow wasn't counted")
	}
}

func TestInventedNumbersMakeNoSeries(t *testing.T) {
	b := newBooks(t, metrics.Config{})
	for code := range int16(1000) {
		b.event("vm", 0, 2000, rsynclog.Event{Kind: rsynclog.ExitError, Code: code})
		b.event("vm", 0, 2000, rsynclog.Event{Kind: rsynclog.FileError, Errno: code})
	}
	if n := countOf(b.registry(), "rsync_errors_total"); n > 30 {
		t.Errorf("%d error series", n)
	}
	if n := countOf(b.registry(), "rsync_file_errors_total"); n > 135 {
		t.Errorf("%d file error series", n)
	}
	if got := sum(t, b.registry(), "rsync_errors_total", "", ""); got != 1000 {
		t.Errorf("errors: %v, want 1000", got)
	}
}

// A reason that never happened is there at 0, so that the first one is an increase.
func TestTLSMetrics(t *testing.T) {
	newBooks(t, metrics.Config{}).want(`
# HELP rsyncd_exporter_connections Open connections.
# TYPE rsyncd_exporter_connections gauge
rsyncd_exporter_connections{input="tls"} 2
# HELP rsyncd_exporter_refused_connections_total Connections closed for what their peers are or did, by reason.
# TYPE rsyncd_exporter_refused_connections_total counter
rsyncd_exporter_refused_connections_total{input="tls",reason="expired"} 4
rsyncd_exporter_refused_connections_total{input="tls",reason="no_certificate"} 0
# HELP rsyncd_exporter_tls_certificate_expiry_timestamp_seconds When what is in force for LISTEN_TLS expires, in seconds of the Unix epoch: certificate, client_ca, and the crl's next update.
# TYPE rsyncd_exporter_tls_certificate_expiry_timestamp_seconds gauge
rsyncd_exporter_tls_certificate_expiry_timestamp_seconds{file="certificate"} 1.8e+09
# HELP rsyncd_exporter_tls_reload_ok 1 if the files of LISTEN_TLS are in force, 0 if they have changed and can't be used.
# TYPE rsyncd_exporter_tls_reload_ok gauge
rsyncd_exporter_tls_reload_ok 1
`, "rsyncd_exporter_connections", "rsyncd_exporter_refused_connections_total", "rsyncd_exporter_tls_certificate_expiry_timestamp_seconds",
		"rsyncd_exporter_tls_reload_ok")
}

// By hand: data and mail have one lock file. The three sessions in data and the one in mail take four of data's eight
// places, and all two of mail's.
func TestMaxConnections(t *testing.T) {
	b := newBooks(t, metrics.Config{})
	for pid, module := range []string{"data", "data", "mail", "data", "alone", "open"} {
		b.start("vm", module, "", int32(pid+1), 2000)
	}
	r := prometheus.NewPedanticRegistry()
	r.MustRegister(metrics.NewCollector(func() *metrics.Snapshot { return b.store.Snapshot(b.sessions, 0) }, func() metrics.Live {
		limit := func(most int, file string) metrics.Limit { return metrics.Limit{MaxConnections: most, LockFile: file} }
		return metrics.Live{Limits: metrics.Limits{
			"data": limit(8, "l"), "mail": limit(2, "l"), "alone": limit(5, "alone"), "unused": limit(9, "l"),
		}}
	}))
	if err := testutil.GatherAndCompare(r, strings.NewReader(`
# HELP rsync_module_max_connections The module's max connections, as RSYNCD_CONF has it; no series where it limits nothing.
# TYPE rsync_module_max_connections gauge
rsync_module_max_connections{module="alone"} 5
rsync_module_max_connections{module="data"} 8
rsync_module_max_connections{module="mail"} 2
rsync_module_max_connections{module="unused"} 9
# HELP rsync_module_places_taken How many of the module's max connections are taken, also by sessions in modules with the same lock file.
# TYPE rsync_module_places_taken gauge
rsync_module_places_taken{host="vm",module="alone"} 1
rsync_module_places_taken{host="vm",module="data"} 4
rsync_module_places_taken{host="vm",module="mail"} 2
`), "rsync_module_max_connections", "rsync_module_places_taken"); err != nil {
		t.Error(err)
	}
}

func TestExpositionIsClean(t *testing.T) {
	b := newBooks(t, metrics.Config{})
	b.store.Input("udp").Received = 5
	b.pull("vm", "data", 7, 2000, 100, 5)
	b.pull("vm", "m\"} 1\nrsync_x{", 8, 2000, 100, 5)
	problems, err := testutil.GatherAndLint(b.registry())
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
}

func TestDurationIsNativeTooAndHasItsCreatedTime(t *testing.T) {
	b := newBooks(t, metrics.Config{})
	b.pull("vm", "data", 7, 2000, 100, 5)
	for _, m := range family(t, b.registry(), "rsync_session_duration_seconds").GetMetric() {
		h := m.GetHistogram()
		// 30 s is in the bucket that ends at 2^(20/4) = 32: log2(30)*4 = 19.6.
		if h.GetSchema() != metrics.NativeSchema || len(h.GetPositiveSpan()) != 1 || h.GetPositiveSpan()[0].GetOffset() != 20 || h.GetPositiveDelta()[0] != 1 {
			t.Errorf("native part: schema %d spans %v deltas %v", h.GetSchema(), h.GetPositiveSpan(), h.GetPositiveDelta())
		}
		if got := h.GetCreatedTimestamp().AsTime().Unix(); got != 2000 {
			t.Errorf("created %d, want 2000, when the module was first seen", got)
		}
	}
}

// An errno or unusual exit code that a module meets late has series that appear at 1 or more. Prometheus takes them for 0 at
// their created time: the module's, long ago, would hide the first event. Usual codes have been there at 0 since the module.
func TestLateNumbersAreCreatedWhenFirstCounted(t *testing.T) {
	b := newBooks(t, metrics.Config{})
	b.pull("vm", "data", 7, 2000, 100, 5)
	addr := []byte("192.0.2.1")
	for i, at := range []int64{9000, 9500} { // the second changes no created time
		pid := int32(70 + i)
		b.event("vm", pid, at, rsynclog.Event{Kind: rsynclog.Connect, Addr: addr})
		b.event("vm", pid, at, rsynclog.Event{Kind: rsynclog.Allowed, Module: []byte("data"), Addr: addr})
		b.event("vm", pid, at, rsynclog.Event{Kind: rsynclog.FileError, Errno: 28})
		b.event("vm", pid, at, rsynclog.Event{Kind: rsynclog.ExitError, Code: 11})
		b.event("vm", pid, at, rsynclog.Event{Kind: rsynclog.ExitError, Code: 14})
	}
	if err := b.restart(metrics.Config{}, nil); err != nil {
		t.Fatal(err)
	}
	got := map[string]int64{}
	for _, name := range []string{"rsync_file_errors_total", "rsync_errors_total"} {
		for _, m := range family(t, b.registry(), name).GetMetric() {
			if m.GetCounter().GetValue() > 0 {
				for _, l := range m.GetLabel() {
					if l.GetName() == "errno" || l.GetName() == "status_code" {
						got[l.GetName()+l.GetValue()] = m.GetCounter().GetCreatedTimestamp().AsTime().Unix()
					}
				}
			}
		}
	}
	if want := map[string]int64{"errno28": 9000, "status_code11": 2000, "status_code14": 9000}; !maps.Equal(got, want) {
		t.Errorf("created %v, want %v", got, want)
	}
}

func TestRunningSessions(t *testing.T) {
	b := newBooks(t, metrics.Config{})
	addr := []byte("192.0.2.1")
	b.event("vm", 7, 2000, rsynclog.Event{Kind: rsynclog.Connect, Addr: addr})
	b.event("vm", 7, 2000, rsynclog.Event{Kind: rsynclog.Allowed, Module: []byte("data"), Addr: addr})
	b.event("vm", 7, 2001, rsynclog.Event{Kind: rsynclog.Start, Direction: rsynclog.Receive, Request: []byte("data/"), Addr: addr})
	b.event("vm", 8, 2002, rsynclog.Event{Kind: rsynclog.Connect, Addr: addr})
	b.want(`
# HELP rsync_oldest_session_start_timestamp_seconds When the oldest running session began, in seconds of the Unix epoch.
# TYPE rsync_oldest_session_start_timestamp_seconds gauge
rsync_oldest_session_start_timestamp_seconds{host="vm",module="data"} 2000
# HELP rsync_sessions_active Sessions that were let through and have not ended.
# TYPE rsync_sessions_active gauge
rsync_sessions_active{direction="receive",host="vm",module="data"} 1
`, "rsync_oldest_session_start_timestamp_seconds", "rsync_sessions_active")
}

func family(t *testing.T, g prometheus.Gatherer, name string) *dto.MetricFamily {
	t.Helper()
	families, err := g.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == name {
			return f
		}
	}
	return nil
}

// sum adds up a counter's series, those with the label value if a label is given.
func sum(t *testing.T, g prometheus.Gatherer, name, label, value string) float64 {
	t.Helper()
	total := 0.0
	for _, m := range family(t, g, name).GetMetric() {
		ok := label == ""
		for _, l := range m.GetLabel() {
			ok = ok || l.GetName() == label && l.GetValue() == value
		}
		if ok {
			total += m.GetCounter().GetValue()
		}
	}
	return total
}

func countOf(g prometheus.Gatherer, name string) int {
	n, err := testutil.GatherAndCount(g, name)
	if err != nil {
		return -1
	}
	return n
}

// A Latin-1 rsyncd.conf, a name that is longer than a label, and one that is there twice: every scrape works, and what is counted is
// counted in the series that were there at 0.
func TestConfiguredNamesAreCleanedLikeLoggedOnes(t *testing.T) {
	long := strings.Repeat("x", 300)
	b := newBooks(t, metrics.Config{Modules: []string{"m\xfcll", long, long, ""}})
	b.store.AddLocalHost()
	before := countOf(b.registry(), "rsync_executions_total")
	b.pull("", "m\xfcll", 7, 2000, 100, 5)
	b.pull("", long, 8, 2000, 100, 5)
	if after := countOf(b.registry(), "rsync_executions_total"); before != 4 || after != before {
		t.Errorf("%d series before, %d after: want 2 modules in 2 directions", before, after)
	}
}

// A session that never ended expires a day later; the newer one stays the last.
func TestAnOldSessionThatExpiresIsNotTheLast(t *testing.T) {
	b := newBooks(t, metrics.Config{})
	addr := []byte("192.0.2.1")
	start := func(pid int32, second int64) {
		b.event("vm", pid, second, rsynclog.Event{Kind: rsynclog.Connect, Addr: addr})
		b.event("vm", pid, second, rsynclog.Event{Kind: rsynclog.Allowed, Module: []byte("data"), Addr: addr})
		b.event("vm", pid, second, rsynclog.Event{Kind: rsynclog.Start, Direction: rsynclog.Send, Request: []byte("data"), Addr: addr})
	}
	start(7, 2000)
	b.pull("vm", "data", 8, 5000, 100, 5)
	b.tick(90000 * int64(time.Second))
	if n := sum(t, b.registry(), "rsync_sessions_total", "outcome", "unknown"); n != 1 {
		t.Fatalf("%v sessions expired, want 1", n)
	}
	b.want(`
# HELP rsync_last_attempt_timestamp_seconds When a session last ended, in seconds of the Unix epoch.
# TYPE rsync_last_attempt_timestamp_seconds gauge
rsync_last_attempt_timestamp_seconds{direction="send",host="vm",module="data",user=""} 5030
# HELP rsync_last_session_duration_seconds How long the last session took.
# TYPE rsync_last_session_duration_seconds gauge
rsync_last_session_duration_seconds{direction="send",host="vm",module="data",user=""} 30
`, "rsync_last_attempt_timestamp_seconds", "rsync_last_session_duration_seconds")
}

// Whatever senders invent, a scrape has about MAX_SERIES series.
func TestServedSeriesAreBounded(t *testing.T) {
	b := newBooks(t, metrics.Config{MaxSeries: 3000, Modules: []string{"a", "b"}})
	for h := range 1000 {
		b.event(fmt.Sprint("host", h), 0, 2000, rsynclog.Event{Kind: rsynclog.Connect})
	}
	for h := range 1000 {
		host := fmt.Sprint("host", h)
		for kind := rsynclog.Kind(0); kind < rsynclog.NumKinds; kind++ {
			b.event(host, 0, 2000, rsynclog.Event{Kind: kind, Code: int16(h % 200), Errno: int16(h % 200)})
		}
		b.pull(host, fmt.Sprint("m", h), 8, 5000, 100, 5)
	}
	families, err := b.registry().Gather()
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, f := range families {
		n += len(f.GetMetric())
	}
	if n > 3500 {
		t.Errorf("%d series served, MAX_SERIES is 3000", n)
	}
	if got := sum(t, b.registry(), "rsync_sent_bytes_total", "", ""); got != 1000*100 {
		t.Errorf("sent bytes over all series: %v, want %v", got, 1000*100)
	}
}

// A session of a second, whose lines were read late and have some nanoseconds between them, took a second.
func TestADurationOfWholeSeconds(t *testing.T) {
	sess := &rsynclog.Session{SessionRecord: rsynclog.SessionRecord{FirstSeen: 3, LastSeen: int64(time.Second) + 7, ConnectSeen: true}}
	if took := metrics.TookBy(sess); took != time.Second {
		t.Errorf("it took %v, want 1s", took)
	}
}

// Before rsync 3.2 a session may run while its module isn't known for certain: it is shown, on its host, without one.
func TestARunningSessionWhoseModuleIsNotKnownYet(t *testing.T) {
	b := newBooks(t, metrics.Config{Modules: []string{"data"}})
	b.event("vm", 7, 2000, rsynclog.Event{Kind: rsynclog.Connect, Addr: []byte("192.0.2.1")})
	b.event("vm", 7, 2000, rsynclog.Event{
		Kind: rsynclog.Start, Direction: rsynclog.Send, Request: []byte("data/"), Addr: []byte("192.0.2.1")})
	for _, m := range family(t, b.registry(), "rsync_sessions_active").GetMetric() {
		want := 0.0
		if host, module := m.GetLabel()[1].GetValue(), m.GetLabel()[2].GetValue(); host == "vm" && module == "" {
			want = 1
		}
		if m.GetGauge().GetValue() != want {
			t.Errorf("%v, want %v", m, want)
		}
	}
	if n := sum(t, b.registry(), "rsync_executions_total", "host", "vm"); n != 0 {
		t.Errorf("%v executions before the module is known, want 0", n)
	}
}
