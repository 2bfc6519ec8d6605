package main

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"rsyncd_exporter/internal/testenv"
	"rsyncd_exporter/internal/testpki"
)

// deepLog makes a log file whose path has almost as many bytes as Linux allows (PATH_MAX is 4096, with the NUL). It differs from
// that of another name only at its begin.
func deepLog(t *testing.T, name string) string {
	t.Helper()
	dir := filepath.Join(testenv.Dir(t), name)
	for len(dir) < 3800 {
		dir = filepath.Join(dir, strings.Repeat(`"long\`, 40))
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "rsyncd.log")
	appendFile(t, path, "")
	return path
}

// manyLongNames writes sessions whose hosts, modules and users are as long as can be, of characters that take two bytes on /metrics, until
// MAX_SERIES is used up many times; what takes one series alone, exit codes and errnos, most of all.
func manyLongNames(t *testing.T, address string) (sessions int) {
	t.Helper()
	to := bufio.NewWriterSize(dial(t, "tcp", address), 1<<16)
	long := func(what string, i int) string { return fmt.Sprintf("%s%03d", what, i) + strings.Repeat(`"\`, 100) }
	for i := range 150 {
		host, module := long("h", i%30), long("m", i)
		for user := range 3 {
			sessions++
			head := fmt.Sprintf("<30>Nov 23 18:40:52 %s rsyncd[%d]: ", host, sessions)
			fmt.Fprintf(to, "%sconnect from client (192.0.2.1)\n", head)
			fmt.Fprintf(to, "%srsync allowed access on module %s from client (192.0.2.1)\n", head, module)
			fmt.Fprintf(to, "%srsync to %s/ from %s@client (192.0.2.1)\n", head, module, long("u", user))
			for errno := range 134 {
				fmt.Fprintf(to, "%srsync: [receiver] open \"/f\" (in %s) failed: Some error (%d)\n", head, module, errno)
			}
			fmt.Fprintf(to, "%srsync error: some error (code %d) at main.c(1) [receiver=3.2.7]\n", head, 1+i%30)
			fmt.Fprintf(to, "%ssent 30 bytes  received 200 bytes  total size 1000\n", head)
		}
	}
	if err := to.Flush(); err != nil {
		t.Fatal(err)
	}
	return sessions
}

// limitOf returns a limit of the Prometheus configuration that the repository ships.
func limitOf(t *testing.T, name string) int {
	t.Helper()
	conf, err := os.ReadFile(filepath.Join(testenv.Root(t), "deploy/prometheus/prometheus.yml"))
	if err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile(`(?m)^ +` + name + `: (\d+)(MB)?$`).FindSubmatch(conf)
	if m == nil {
		t.Fatalf("prometheus.yml has no %s", name)
	}
	n, err := strconv.Atoi(string(m[1]))
	if err != nil {
		t.Fatal(err)
	}
	if len(m[2]) > 0 {
		n <<= 20 // Prometheus' MB
	}
	return n
}

// The exporter with every kind of input, with as many followed files as it takes, with the longest names and paths there can be, and with
// MAX_SERIES used up, is scraped by the real Prometheus within all limits of the shipped configuration. Each file has its series.
func TestPrometheusTakesTheMostThatIsShown(t *testing.T) {
	t.Parallel()
	const followed = 256
	dir := testenv.Dir(t)
	pki := testpki.Write(t)
	one, other := deepLog(t, "a"), deepLog(t, "b")
	many := filepath.Join(dir, "logs", strings.Repeat(`"`, 200))
	if err := os.MkdirAll(many, 0o755); err != nil {
		t.Fatal(err)
	}
	for i := range followed {
		appendFile(t, filepath.Join(many, fmt.Sprintf("%s%03d.log", strings.Repeat(`\`, 200), i)), fmt.Sprintf("file %d\n", i))
	}
	address := func() string { return fmt.Sprintf("127.0.0.1:%d", testenv.Port(t)) }
	tcp, web := address(), address()
	p := startReleased(t, web, nil, append(tlsArgs(pki), "--http-listen="+web, "--listen-udp="+address(), "--listen-tcp="+tcp, "--listen-tls="+address(),
		"--listen-unixgram="+filepath.Join(dir, "log"), "--state-dir="+filepath.Join(dir, "state"),
		"--file="+strings.Join([]string{one, other, filepath.Join(filepath.Dir(many), "*", "*.log")}, ","))...)
	e := p.exporter
	sessions := manyLongNames(t, tcp)
	e.until(float64(sessions), "rsync_sessions_total")
	s := e.scrape()
	if n := seriesOf(s, "rsyncd_exporter_file_up"); n != followed+2 { // two, and what the pattern names
		t.Errorf("%d followed files are shown, want %d", n, followed+2)
	}
	if total(s, "rsyncd_exporter_label_overflow_total") == 0 {
		t.Error("MAX_SERIES isn't used up")
	}

	samples, size, longest := openMetrics(t, e)
	t.Logf("%d samples, %d bytes, label values of at most %d bytes", samples, size, longest)
	for name, got := range map[string]int{"sample_limit": samples, "body_size_limit": size, "label_value_length_limit": longest} {
		if limit := limitOf(t, name); got > limit {
			t.Errorf("%s is %d, the exporter comes to %d", name, limit, got)
		}
	}
	prometheus := testenv.StartPrometheusEvery(t, "10s", strings.TrimPrefix(e.url, "http://"))
	testenv.Until(t, 3*time.Minute, "a scrape that Prometheus doesn't refuse, and that comes in time", func() bool {
		up, _ := prometheus.Query(t, "up")
		return up == 1
	})
	if n, _ := prometheus.Query(t, "count(last_over_time(rsyncd_exporter_file_up[10m]))"); n != followed+2 {
		t.Errorf("%v followed files in Prometheus, want %d", n, followed+2)
	}
	if err := p.Stop(); err != nil {
		t.Errorf("after SIGTERM: %v", err)
	}
}

// openMetrics reads what Prometheus reads: how many samples, bytes, and bytes in the longest label value.
func openMetrics(t *testing.T, e *exporter) (samples, size, longest int) {
	t.Helper()
	req, err := http.NewRequest(http.MethodGet, e.url+"/metrics", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Accept", "application/openmetrics-text;version=1.0.0")
	r, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	body, err := io.ReadAll(r.Body)
	if err != nil || r.StatusCode != http.StatusOK {
		t.Fatalf("%s, %v", r.Status, err)
	}
	value := regexp.MustCompile(`="((?:[^"\\]|\\.)*)"`)
	unescape := strings.NewReplacer(`\\`, `\`, `\"`, `"`, `\n`, "\n")
	for line := range bytes.Lines(body) {
		if line[0] == '#' {
			continue
		}
		samples++
		for _, m := range value.FindAllSubmatch(line, -1) {
			longest = max(longest, len(unescape.Replace(string(m[1]))))
		}
	}
	return samples, len(body), longest
}
