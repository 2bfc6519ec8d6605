package main

import (
	"fmt"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"rsyncd_exporter/internal/testenv"
)

// visitOf is the log of one session of a client that fetches something.
func visitOf(pid int, client string, sent int) string {
	at := time.Now().Format("2006/01/02 15:04:05")
	line := func(text string) string { return fmt.Sprintf("%s [%d] %s\n", at, pid, text) }
	return line("connect from "+client) + line("rsync on data/ from "+client) +
		line(fmt.Sprintf("sent %d bytes  received 5 bytes  total size 9", sent))
}

// The series of clients are sums by group, place and family, which go on over restarts, also where groups and places change.
func TestClientsByGroupAndPlace(t *testing.T) {
	dir := testenv.Dir(t)
	log, state := filepath.Join(dir, "log"), filepath.Join(dir, "state")
	countries := testenv.WriteMMDB(t, "GeoLite2-Country", testenv.Country("DE"))
	appendFile(t, log, "")
	args := []string{"-p", log, "--state-dir=" + state, "--client-groups=lab=192.0.2.0/25", "--geoip-db=" + countries}
	p := startExporterProcess(t, nil, args...)
	appendFile(t, log, visitOf(7, "a.example.org (192.0.2.1)", 100)+visitOf(8, "b.example.org (192.0.2.200)", 20)+
		visitOf(9, "UNKNOWN (2001:db8::1)", 3))
	s := p.until(123, "rsync_client_sent_bytes_total")
	for _, c := range []struct {
		want   float64
		labels []string
	}{
		{100, []string{`group="lab"`, `country="DE"`, `family="ipv4"`}}, {20, []string{`group="other"`, `country="DE"`, `family="ipv4"`}},
		{3, []string{`group="other"`, `country="unknown"`, `family="ipv6"`}}, {123, nil},
	} {
		p.want(s, c.want, "rsync_client_sent_bytes_total", c.labels...)
	}
	if err := p.Stop(); err != nil {
		t.Fatal(err)
	}
	p = startExporterProcess(t, nil, "-p", log, "--state-dir="+state, "--client-groups=shed=192.0.2.0/25")
	appendFile(t, log, visitOf(11, "a.example.org (192.0.2.1)", 1000))
	s = p.until(1123, "rsync_client_sent_bytes_total")
	p.want(s, 100, "rsync_client_sent_bytes_total", `group="lab"`, `country="DE"`)
	p.want(s, 1000, "rsync_client_sent_bytes_total", `group="shed"`, `country=""`)
	p.want(s, 4, "rsync_client_sessions_total")
}

// A database that can't be used is named before anything is opened.
func TestDatabaseThatIsMissing(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	for _, command := range []string{"serve", "check"} {
		status, out, errs := runOld(t, "", command, "--listen-udp=off", "-p", "-", "--http-listen="+l.Addr().String(),
			"--geoip-db=/nowhere/x.mmdb")
		if status == exitOK || !strings.Contains(errs+out, "GEOIP_DB") || !strings.Contains(errs+out, "/nowhere/x.mmdb") {
			t.Errorf("%s: status %d, %s %s", command, status, out, errs)
		}
	}
}
