package main

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"testing"
	"time"

	"rsyncd_exporter/internal/testenv"
)

// With few open files, a pattern that names 200 logs and senders that open as many connections as they can leave HTTP
// its share, and all logs are read.
func TestHTTPComesFirstWhereOpenFilesAreFew(t *testing.T) {
	testenv.SetEnv(t)
	for _, limit := range []string{"32", "64"} {
		t.Run(limit, func(t *testing.T) {
			t.Parallel()
			dir := testenv.Dir(t)
			for i := range 200 {
				testenv.WriteFile(t, filepath.Join(dir, fmt.Sprint(i, ".log")), fileLine+"building file list\n")
			}
			web, tcp := fmt.Sprintf("127.0.0.1:%d", testenv.Port(t)), fmt.Sprintf("127.0.0.1:%d", testenv.Port(t))
			p := startReleased(t, web, []string{"NOFILE=" + limit}, "--http-listen="+web,
				"--listen-tcp="+tcp, "--listen-udp=off",
				"--file="+dir+"/*.log", "--file-start=beginning", "--file-poll=100ms", "--state-dir="+testenv.Dir(t))
			p.until(200, "rsyncd_exporter_received_total", `input="file"`) // logs are read in turn
			for range 40 {
				conn, err := net.Dial("tcp", tcp)
				if err != nil {
					t.Fatal(err)
				}
				defer conn.Close()
			}
			p.until(float64(shareOfLimit(t, limit).stream), "rsyncd_exporter_connections")
			for range 2 { // both are open at the same time
				client := &http.Client{Timeout: time.Minute, Transport: &http.Transport{}}
				defer client.CloseIdleConnections()
				answer, err := client.Get(p.url + "/metrics")
				if err != nil {
					t.Fatalf("%v\n%s", err, p.Output())
				}
				defer answer.Body.Close()
				if _, err := io.Copy(io.Discard, answer.Body); err != nil || answer.StatusCode != http.StatusOK {
					t.Errorf("%s, %v", answer.Status, err)
				}
			}
			p.endsWell(p.terminate())
		})
	}
}

// shareOfLimit is the share of a process with so many open files, one stream listener and followed logs.
func shareOfLimit(t *testing.T, limit string) share {
	t.Helper()
	n := 0
	if _, err := fmt.Sscan(limit, &n); err != nil {
		t.Fatal(err)
	}
	return shareOf(n, 0, 1, true)
}
