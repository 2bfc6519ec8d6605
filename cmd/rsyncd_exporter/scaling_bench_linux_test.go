package main

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"rsyncd_exporter/internal/testenv"
)

// The benchmarks whose figures docs/scaling.md has: `make bench-scaling`. Hosts are names in generated messages.

// fleetExporter starts an exporter with a state directory and TCP, and connects to it.
func fleetExporter(b *testing.B, flags ...string) (e *testenv.Exporter, port int, state string) {
	b.Helper()
	port, state = testenv.Port(b), filepath.Join(testenv.Dir(b), "state")
	e = testenv.StartExporter(b, nil, append(flags, "--listen-udp=off", fmt.Sprintf("--listen-tcp=127.0.0.1:%d", port),
		"--state-dir="+state)...)
	return e, port, state
}

// connection connects to a port of this machine.
func connection(b *testing.B, port int) net.Conn {
	b.Helper()
	conn, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { conn.Close() })
	return conn
}

// hostSession adds a session of a host with so many files: a pull of mirror, or a push by the host's user. It returns the
// number of messages.
func hostSession(out *bytes.Buffer, host string, pid, files int, push bool) int {
	stamp, messages := time.Now().Format(time.Stamp), 0
	line := func(format string, args ...any) {
		m := fmt.Sprintf("<30>%s %s rsyncd[%d]: ", stamp, host, pid) + fmt.Sprintf(format, args...)
		fmt.Fprintf(out, "%d %s", len(m), m)
		messages++
	}
	client := "client.example.org (192.0.2.7)"
	line("connect from %s", client)
	line("rsync allowed access on module mirror from %s", client)
	if push {
		line("rsync to mirror/ from alice@%s", client)
		line("receiving file list")
	} else {
		line("rsync on mirror/ from %s", client)
		line("building file list")
	}
	for i := range files {
		operation := "send"
		if push {
			operation = "recv"
		}
		line("%s client.example.org [192.0.2.7] mirror () dists/stable/main/file-%04d.deb 48123", operation, i)
	}
	line("sent 48300 bytes  received 210 bytes  total size 481230")
	return messages
}

// fetched returns a scrape in a format, as it is and as gzip packs it, and how long it took.
func fetched(b *testing.B, e *testenv.Exporter, accept string) (body []byte, packed int, took time.Duration) {
	b.Helper()
	req, err := http.NewRequest(http.MethodGet, "http://"+e.Address+"/metrics", nil)
	if err != nil {
		b.Fatal(err)
	}
	req.Header.Set("Accept", accept)
	req.Header.Set("Accept-Encoding", "identity")
	begin := time.Now()
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		b.Fatal(err)
	}
	defer resp.Body.Close()
	if body, err = io.ReadAll(resp.Body); err != nil || resp.StatusCode != http.StatusOK {
		b.Fatalf("status %d: %v", resp.StatusCode, err)
	}
	took = time.Since(begin)
	var gz bytes.Buffer
	w := gzip.NewWriter(&gz)
	w.Write(body)
	w.Close()
	return body, gz.Len(), took
}

const (
	asOpenMetrics = "application/openmetrics-text;version=1.0.0"
	asPlainText   = "text/plain;version=0.0.4"
	asProtobuf    = "application/vnd.google.asProtobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited"
)

// samples counts the lines of a scrape in text that are no comments.
func samples(body []byte, prefix string) (n int) {
	for line := range bytes.Lines(body) {
		if line[0] != '#' && bytes.HasPrefix(line, []byte(prefix)) {
			n++
		}
	}
	return n
}

// awaitCounted waits until exporters have counted so many messages.
func awaitCounted(b *testing.B, messages int, exporters ...*testenv.Exporter) {
	b.Helper()
	testenv.Until(b, 5*time.Minute, "all messages", func() bool {
		sum := 0.0
		for _, e := range exporters {
			body, _, _ := fetched(b, e, asPlainText)
			for line := range strings.Lines(string(body)) {
				if strings.HasPrefix(line, "rsync_messages_total{") {
					var v float64
					fmt.Sscan(line[strings.LastIndexByte(line, ' ')+1:], &v)
					sum += v
				}
			}
		}
		return int(sum) == messages
	})
}

// cpuTime returns what the process has computed so far, user and system, by proc(5). A tick is 10 ms.
func cpuTime(b *testing.B, pid int) time.Duration {
	b.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		b.Fatal(err)
	}
	fields := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:]))
	var user, system int64
	if _, err := fmt.Sscan(fields[11]+" "+fields[12], &user, &system); err != nil {
		b.Fatal(err)
	}
	return time.Duration(user+system) * 10 * time.Millisecond
}

// What so many hosts cost, each with one module, pulls, and pushes of one user.
func BenchmarkHosts(b *testing.B) {
	for _, of := range []struct{ hosts, series int }{{10, 10000}, {64, 10000}, {250, 40000}, {1000, 200000}} {
		b.Run(fmt.Sprintf("hosts=%d", of.hosts), func(b *testing.B) {
			for b.Loop() {
				e, port, state := fleetExporter(b, fmt.Sprintf("--max-series=%d", of.series))
				conn, messages := connection(b, port), 0
				for i := range of.hosts {
					var out bytes.Buffer
					host := fmt.Sprintf("mirror%04d.example.org", i)
					messages += hostSession(&out, host, 1000, 10, false) + hostSession(&out, host, 1001, 10, true)
					if _, err := conn.Write(out.Bytes()); err != nil {
						b.Fatal(err)
					}
				}
				awaitCounted(b, messages, e)
				ended := func() bool { // each session settles for two seconds
					body, _, _ := fetched(b, e, asPlainText)
					return samples(body, "rsync_last_success_timestamp_seconds{") == 2*of.hosts
				}
				testenv.Until(b, time.Minute, "all sessions to be over", ended)
				plain, _, _ := fetched(b, e, asPlainText)
				open, packedOpen, took := fetched(b, e, asOpenMetrics)
				proto, packedProto, _ := fetched(b, e, asProtobuf)
				file, err := os.Stat(filepath.Join(state, "state.a"))
				if err != nil {
					b.Fatal(err)
				}
				b.ReportMetric(float64(samples(plain, "rsync_")), "series")
				b.ReportMetric(float64(samples(open, "rsync")), "samples")
				for unit, bytes := range map[string]int{"open-kB": len(open), "packed-open-kB": packedOpen, "proto-kB": len(proto),
					"packed-proto-kB": packedProto, "memory-kB": mostMemory(b, e.Pid()), "state-kB": int(file.Size())} {
					b.ReportMetric(float64(bytes)/1000, unit)
				}
				b.ReportMetric(took.Seconds(), "scrape-s")
			}
		})
	}
}

// What 600 sessions a second with ten files each cost, of 100 hosts, with a session log.
func BenchmarkSessionsAtARate(b *testing.B) {
	const rate, seconds = 600, 10
	for b.Loop() {
		e, port, _ := fleetExporter(b, "--max-series=40000", "--session-log="+filepath.Join(testenv.Dir(b), "sessions.jsonl"))
		conn, messages, pid := connection(b, port), 0, 1000
		before, tick := cpuTime(b, e.Pid()), time.NewTicker(100*time.Millisecond)
		for range 10 * seconds {
			<-tick.C
			var out bytes.Buffer
			for range rate / 10 {
				pid++
				messages += hostSession(&out, fmt.Sprintf("mirror%04d.example.org", pid%100), pid, 10, false)
			}
			if _, err := conn.Write(out.Bytes()); err != nil {
				b.Fatal(err)
			}
		}
		tick.Stop()
		used := cpuTime(b, e.Pid()) - before
		awaitCounted(b, messages, e)
		b.ReportMetric(100*used.Seconds()/seconds, "%-of-a-core")
	}
}

// How fast rsyslog passes messages on to three exporters, by deploy/rsyslog/rsyncd_exporter-by-host.conf.
func BenchmarkRelayByHost(b *testing.B) {
	for b.Loop() {
		var ports [3]int
		var all []*testenv.Exporter
		for i := range ports {
			var e *testenv.Exporter
			e, ports[i], _ = fleetExporter(b)
			all = append(all, e)
		}
		in := testenv.Port(b)
		relay := testenv.StartRsyslogByHost(b, in, 0, ports)
		var out bytes.Buffer
		messages := 0
		for pid := range 4000 {
			messages += hostSession(&out, fmt.Sprintf("mirror%04d.example.org", pid%30), 1000+pid, 10, false)
		}
		conn, begin, before := connection(b, in), time.Now(), cpuTime(b, relay.Pid())
		if _, err := conn.Write(out.Bytes()); err != nil {
			b.Fatal(err)
		}
		awaitCounted(b, messages, all...)
		b.ReportMetric(float64(messages)/time.Since(begin).Seconds(), "messages/s")
		b.ReportMetric(float64((cpuTime(b, relay.Pid())-before).Microseconds())/float64(messages), "relay-µs/message")
	}
}
