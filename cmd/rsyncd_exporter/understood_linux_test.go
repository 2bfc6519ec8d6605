package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"rsyncd_exporter/internal/testenv"
)

// A real daemon whose log format isn't the default logs transfers over the unix socket: the warning names LOG_FORMAT and the format.
func TestServeNamesARealDaemonsLogFormat(t *testing.T) {
	testenv.SetEnv(t)
	dir := testenv.Dir(t)
	socket := filepath.Join(dir, "log")
	var out lockedBuffer
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan int, 1)
	args := []string{"--listen-unixgram=" + socket, "--listen-udp=off", fmt.Sprintf("--http-listen=127.0.0.1:%d", testenv.Port(t))}
	go func() { ended <- run(ctx, args, strings.NewReader(""), io.Discard, &out) }()
	defer func() { cancel(); <-ended }()
	testenv.Until(t, time.Minute, "the exporter to serve", func() bool {
		return strings.Contains(out.String(), "msg=serving")
	})
	d := testenv.StartRsyncdConf(t, dir, "127.0.0.1", socket,
		"log format = %o %a %f %l\ntransfer logging = yes\n[m]\npath = DIR/modules/m\n")
	for i := range 12 {
		file := filepath.Join(d.Module("m"), fmt.Sprint("file", i))
		testenv.WriteFile(t, file, "hello")
		if err := os.Chmod(file, 0o644); err != nil { // sessions are nobody's
			t.Fatal(err)
		}
	}
	if code, out := testenv.Rsync(t, "-a", d.URL("", "m/"), t.TempDir()); code != 0 {
		t.Fatalf("rsync: %d, %s", code, out)
	}
	testenv.Until(t, time.Minute, "the warning", func() bool {
		return strings.Contains(out.String(), `LOG_FORMAT=\"%o %a %f %l\" fits the example`)
	})
	if n := strings.Count(out.String(), "level=WARN msg=\"transfer lines don't fit LOG_FORMAT"); n != 1 {
		t.Errorf("%d warnings:\n%s", n, out.String())
	}
}

// The whole program, sent what another program logs over UDP, says so on its log.
func TestServeSaysWhyNothingCounts(t *testing.T) {
	testenv.SetEnv(t)
	port := testenv.Port(t)
	args := []string{fmt.Sprintf("--listen-udp=127.0.0.1:%d", port), fmt.Sprintf("--http-listen=127.0.0.1:%d",
		testenv.Port(t)), "--tags=mirror"}
	var out lockedBuffer
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan int, 1)
	go func() { ended <- run(ctx, args, strings.NewReader(""), io.Discard, &out) }()
	defer func() { cancel(); <-ended }()
	testenv.Until(t, time.Minute, "the exporter to serve", func() bool {
		return strings.Contains(out.String(),
			"msg=serving")
	})
	conn, err := net.Dial("udp", fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	message := []byte("<30>Nov 23 18:40:52 h rsyncd[7]: connect from a (192.0.2.1)")
	for range 100 {
		if _, err := conn.Write(message); err != nil {
			t.Fatal(err)
		}
	}
	testenv.Until(t, time.Minute, "the warning", func() bool {
		return strings.Contains(out.String(),
			"add the tag: TAGS=mirror,rsyncd")
	})
}

// A real daemon's log with a log format of its own: check names the setting, and with it all is understood.
func TestCheckARealLog(t *testing.T) {
	testenv.SetEnv(t)
	dir := testenv.Dir(t)
	log := filepath.Join(dir, "rsyncd.log")
	d := testenv.StartRsyncdConf(t, dir, "127.0.0.1", "",
		"log file = DIR/rsyncd.log\nlog format = %o %a %f %l %b\ntransfer logging = yes\n[m]\npath = DIR/modules/m\n")
	testenv.WriteFile(t, filepath.Join(d.Module("m"), "a"), "hello")
	if err := os.Chmod(filepath.Join(d.Module("m"), "a"), 0o644); err != nil {
		t.Fatal(err)
	}
	if code, out := testenv.Rsync(t, "-a", d.URL("", "m/"), t.TempDir()); code != 0 {
		t.Fatalf("rsync: %d, %s", code, out)
	}
	var out string
	testenv.Until(t, time.Minute, "the daemon to log its summary", func() bool {
		_, out, _ = runProgram(t, "check", log)
		return strings.Contains(out, " summary\n")
	})
	if status, out, _ := runProgram(t, "check", log); status != exitFailure || !strings.Contains(out,
		`LOG_FORMAT="%o %a %f %l %b" fits the example`) {
		t.Errorf("status %d:\n%s", status, out)
	}
	if status, out, _ := runProgram(t, "check", log, "--log-format=%o %a %f %l %b"); status != exitOK ||
		strings.Contains(out, "not understood") {
		t.Errorf("with its format: status %d:\n%s", status, out)
	}
}
