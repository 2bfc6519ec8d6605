package main

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"rsyncd_exporter/internal/testenv"
)

// A real rsyncd with the same files has the same modules.
func TestRsyncdHasTheSameModules(t *testing.T) {
	rsync := testenv.Need(t, "rsync")
	path, want := exampleConf(t)
	ctx, cancel := context.WithTimeout(context.Background(), 15*time.Second)
	defer cancel()
	port := freePort(t)
	log := path + ".log"
	daemon := exec.CommandContext(ctx, rsync, "--daemon", "--no-detach", "--address=127.0.0.1", fmt.Sprintf("--port=%d", port), "--config="+path, "--log-file="+log)
	if err := daemon.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		daemon.Process.Kill()
		daemon.Wait()
	}()
	waitFor(t, "rsyncd to listen", func() bool {
		conn, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err == nil {
			conn.Close()
		}
		return err == nil
	})
	out, err := exec.CommandContext(ctx, rsync, fmt.Sprintf("rsync://127.0.0.1:%d/", port)).Output()
	if err != nil {
		text, _ := os.ReadFile(log)
		t.Fatalf("list of modules: %v\n%s", err, text)
	}
	var got []string
	for line := range bytes.Lines(out) { // NAME padded with spaces, TAB, comment
		name, _, _ := strings.Cut(string(line), "\t")
		got = append(got, strings.TrimRight(name, " \n"))
	}
	if !slices.Equal(got, want) {
		t.Errorf("rsyncd's modules %q\nwant             %q", got, want)
	}
}
