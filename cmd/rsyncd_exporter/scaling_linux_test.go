package main

import (
	"bytes"
	"fmt"
	"maps"
	"math"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"rsyncd_exporter/internal/corpus"
	"rsyncd_exporter/internal/testenv"
)

// fleet is a relay that shares the messages of several hosts among three exporters, and another exporter that gets all.
type fleet struct {
	t      *testing.T
	relay  net.Conn
	web    []string // HTTP addresses, that of the one for all last
	args   [][]string
	all    []*process
	sent   int
	hosts  []string
	record [][]byte // what one host logs, with the host name vm
}

func startFleet(t *testing.T) *fleet {
	t.Helper()
	f := &fleet{t: t}
	var ports [4]int
	for i := range ports {
		ports[i] = testenv.Port(t)
		f.web = append(f.web, fmt.Sprintf("127.0.0.1:%d", testenv.Port(t)))
		f.args = append(f.args, []string{"--http-listen=" + f.web[i], "--listen-udp=off",
			fmt.Sprintf("--listen-tcp=127.0.0.1:%d", ports[i]), "--state-dir=" + filepath.Join(testenv.Dir(t), "state")})
		f.all = append(f.all, startReleased(t, f.web[i], nil, f.args[i]...))
	}
	in := testenv.Port(t)
	testenv.StartRsyslogByHost(t, in, ports[3], [3]int(ports[:3]))
	f.hostsLogTo(in)
	return f
}

// hostsLogTo connects to a relay, and gets what each host logs there.
func (f *fleet) hostsLogTo(port int) {
	t := f.t
	t.Helper()
	f.relay = dial(t, "tcp", fmt.Sprintf("127.0.0.1:%d", port))
	for i := 2; i < 7; i++ { // of which either hash gives each exporter one at least
		f.hosts = append(f.hosts, fmt.Sprintf("mirror%d.example.org", i))
	}
	for _, message := range corpus.ReadOctetCounted(t, filepath.Join(corpus.Dir(), "forwarded/rsyslog-rfc5424-tcp-octet.raw")) {
		if bytes.Contains(message, []byte(" vm rsyncd")) { // or the recipes don't let it pass
			f.record = append(f.record, message)
		}
	}
	f.record = f.record[:400] // thousands of series would keep four servers busy
}

// send sends some of what each host logs, in turns.
func (f *fleet) send(record [][]byte) {
	f.t.Helper()
	var out bytes.Buffer
	for _, message := range record {
		for _, host := range f.hosts {
			m := bytes.Replace(message, []byte(" vm "), []byte(" "+host+" "), 1)
			fmt.Fprintf(&out, "%d %s", len(m), m)
			f.sent++
		}
	}
	if _, err := f.relay.Write(out.Bytes()); err != nil {
		f.t.Fatal(err)
	}
}

// counts waits until the members have counted as many messages altogether, and returns their scrapes.
func (f *fleet) counts(messages int, members ...int) (scrapes []map[string]float64) {
	f.t.Helper()
	sum := 0.0
	defer func() {
		if f.t.Failed() {
			f.t.Logf("the exporters %v have counted %v messages of %d", members, sum, messages)
		}
	}()
	testenv.Until(f.t, time.Minute, "all messages", func() bool {
		sum, scrapes = 0, nil
		for _, i := range members {
			s := f.all[i].scrape()
			sum += total(s, "rsync_messages_total")
			scrapes = append(scrapes, s)
		}
		return sum >= float64(messages)
	})
	if sum != float64(messages) {
		f.t.Fatalf("%v messages, %d were sent", sum, messages)
	}
	return scrapes
}

// shares returns which hosts each of the three has. Each host has to be one's alone.
func (f *fleet) shares(scrapes []map[string]float64) (hosts [3][]string) {
	f.t.Helper()
	for _, host := range f.hosts {
		for i, s := range scrapes {
			switch n := total(s, "rsync_messages_total", fmt.Sprintf("host=%q", host)); n {
			case 0:
			case float64(f.sent / len(f.hosts)):
				hosts[i] = append(hosts[i], host)
			default:
				f.t.Errorf("%v of the %d messages of %s are at exporter %d", n, f.sent/len(f.hosts), host, i)
			}
		}
	}
	for i := range hosts {
		if len(hosts[i]) == 0 {
			f.t.Fatalf("exporter %d has no host: %q", i, hosts)
		}
	}
	return hosts
}

// recipe returns the configuration in docs/scaling.md that has this name there, with addresses replaced. It scrapes
// every other second, which is also how long a busy machine may take for it.
func recipe(t *testing.T, name string, replace ...string) (path string) {
	t.Helper()
	path = filepath.Join(testenv.Dir(t), "prometheus.yml")
	interval := regexp.MustCompile(`scrape_interval: \w+`)
	put(t, path, []byte(interval.ReplaceAllString(block(t, name, replace...), "scrape_interval: 2s")))
	return path
}

// block returns a block of docs/scaling.md by its name there, with texts replaced.
func block(t *testing.T, name string, replace ...string) string {
	t.Helper()
	doc, err := os.ReadFile(filepath.Join(testenv.Root(t), "docs/scaling.md"))
	if err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile(`(?s)<!-- test: ` + name + ` -->\n+` + "```\\w*\n(.*?)```").FindSubmatch(doc)
	if m == nil {
		t.Fatalf("docs/scaling.md has no configuration %q", name)
	}
	text := string(m[1])
	for i := 0; i < len(replace); i += 2 {
		if !strings.Contains(text, replace[i]) {
			t.Fatalf("the configuration %q in docs/scaling.md lacks %q", name, replace[i])
		}
	}
	return strings.NewReplacer(replace...).Replace(text)
}

// startOn starts Debian's Prometheus on one of these.
func startOn(t *testing.T, path string, args ...string) *testenv.Prometheus {
	t.Helper()
	return testenv.StartPrometheusConf(t, testenv.Need(t, "prometheus"), path, args...)
}

// sums returns what Prometheus has of all rsync_… series of some targets, added up over them.
func sums(t *testing.T, p *testenv.Prometheus, selector string) map[string]float64 {
	t.Helper()
	all, now := map[string]float64{}, time.Now()
	names := p.QueryAt(t, fmt.Sprintf(`group by (__name__) ({__name__=~"rsync_.*",__name__!~".*_created",%s})`, selector), now)
	for _, name := range names {
		name := name.Labels["__name__"]
		for _, s := range p.QueryAt(t, fmt.Sprintf("sum without (instance, job, site) (%s{%s})", name, selector), now) {
			all[name+written(s.Labels)] = s.Value
		}
	}
	return all
}

// equal compares two values of a series. Counters are the same to the last bit. Times and durations are fractions of seconds, added
// up in the order in which sessions happened to end, and so are equal to a microsecond.
func equal(series string, v, w float64) bool {
	return v == w || strings.Contains(series, "_seconds") && math.Abs(v-w) < 1e-6
}

// agree waits until what is got is what one exporter gives, and is at least so many series.
func agree(t *testing.T, what string, least int, want, got func() map[string]float64) {
	t.Helper()
	var a, b map[string]float64
	differences := func() (all []string) {
		for series, v := range a {
			if w, ok := b[series]; !ok || !equal(series, v, w) {
				all = append(all, fmt.Sprintf("%s: %v (there: %t), want %v", series, w, ok, v))
			}
		}
		for series := range b {
			if _, ok := a[series]; !ok {
				all = append(all, "one exporter doesn't have "+series)
			}
		}
		return all
	}
	defer func() {
		if t.Failed() {
			t.Logf("%s: %q", what, differences())
		}
	}()
	testenv.Until(t, patient, what+" to be what one exporter gives", func() bool {
		a, b = want(), got()
		return len(a) >= least && len(differences()) == 0
	})
	t.Logf("%s: %d series are the same", what, len(a))
}

// Three exporters, each of which gets the messages of some hosts, give what one gives that gets all: in a Prometheus, in another
// that federates it, and in one to which an agent writes. One of the three that is killed costs the numbers of its own hosts only,
// and these only until it is back.
func TestExportersByHostAddUp(t *testing.T) {
	t.Parallel()
	f := startFleet(t)
	targets := []string{"exporter-0.example.org:8080", f.web[0], "exporter-1.example.org:8080", f.web[1],
		"exporter-2.example.org:8080", f.web[2]}
	more := fmt.Sprintf("  - job_name: one\n    static_configs:\n      - targets: [%q]\n", f.web[3])
	path := recipe(t, "prometheus", targets...)
	appendFile(t, path, more)
	site := startOn(t, path, "--storage.tsdb.path="+filepath.Join(testenv.Dir(t), "data"))
	global := startOn(t, recipe(t, "federation", "prometheus-0.example.org:9090", strings.TrimPrefix(site.URL, "http://"),
		"scrape_configs:", "global: {scrape_interval: 2s}\nscrape_configs:"),
		"--storage.tsdb.path="+filepath.Join(testenv.Dir(t), "data"), "--web.enable-remote-write-receiver")
	startOn(t, recipe(t, "remote write", append(targets, "http://prometheus.example.org:9090", global.URL)...),
		"--enable-feature=agent", "--storage.agent.path="+filepath.Join(testenv.Dir(t), "data"))

	half := len(f.record) / 2
	f.send(f.record[:half])
	f.counts(f.sent, 3)
	hosts := f.shares(f.counts(f.sent, 0, 1, 2)) // a scrape shows what is saved
	const victim = 1
	if err := f.all[victim].Signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	<-f.all[victim].Ended()
	f.send(f.record[half:])
	f.counts(f.sent, 3)
	f.counts(f.sent*(len(hosts[0])+len(hosts[2]))/len(f.hosts), 0, 2)
	others := fmt.Sprintf("host=~%q", strings.Join(slices.Concat(hosts[0], hosts[2]), "|"))
	agree(t, "the hosts of the others", 500, func() map[string]float64 { return sums(t, site, `job="one",`+others) },
		func() map[string]float64 { return sums(t, site, `job="rsyncd_exporter",`+others) })
	testenv.Until(t, patient, "one exporter to be down", func() bool { // another's scrape may have come too late
		down, _ := site.Query(t, `count(up{job="rsyncd_exporter"} == 0)`)
		return down == 1
	})
	if n, ok := site.Query(t, fmt.Sprintf(`count({job="rsyncd_exporter",host=~%q})`, strings.Join(hosts[victim], "|"))); ok {
		t.Errorf("%v series of the hosts of the one that was killed", n)
	}

	f.all[victim] = startReleased(t, f.web[victim], nil, f.args[victim]...)
	f.counts(f.sent, 0, 1, 2)
	want := func() map[string]float64 { return sums(t, site, `job="one"`) }
	agree(t, "the sum", 1000, want, func() map[string]float64 { return sums(t, site, `job="rsyncd_exporter"`) })
	// Federated samples have timestamps, so that a series that ends is there for five more minutes.
	lasting := func(all map[string]float64) map[string]float64 {
		maps.DeleteFunc(all, func(series string, _ float64) bool {
			return strings.HasPrefix(series, "rsync_oldest_session_start_timestamp_seconds")
		})
		return all
	}
	agree(t, "federation", 1000, func() map[string]float64 { return lasting(want()) },
		func() map[string]float64 { return lasting(sums(t, global, `job="rsyncd_exporter",site=""`)) })
	agree(t, "remote write", 1000, want, func() map[string]float64 { return sums(t, global, `site="berlin"`) })
}

// syslog-ng shares by host, too, with the filters in docs/scaling.md.
func TestSyslogNGSharesByHost(t *testing.T) {
	t.Parallel()
	f := &fleet{t: t}
	var replace []string
	for i := range 3 {
		port := testenv.Port(t)
		replace = append(replace, fmt.Sprintf(`"exporter-%d.example.org" transport("tcp") port(5514)`, i),
			fmt.Sprintf(`"127.0.0.1" transport("tcp") port(%d)`, port))
		e := startExporter(t, "--listen-udp=off", fmt.Sprintf("--listen-tcp=127.0.0.1:%d", port))
		f.all = append(f.all, &process{exporter: e})
	}
	in := testenv.Port(t)
	testenv.StartSyslogNGRelay(t, in, block(t, "syslog-ng", replace...))
	f.hostsLogTo(in)
	f.send(f.record)
	f.shares(f.counts(f.sent, 0, 1, 2))
}
