package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"rsyncd_exporter/internal/testenv"
)

// A real daemon whose log format isn't the default logs transfers over the unix socket: the warning names LOG_FORMAT and the format.
func TestServeNamesARealDaemonsLogFormat(t *testing.T) {
	setEnv(t)
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
		writeFile(t, file, "hello")
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
