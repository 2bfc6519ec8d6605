package follow

// Helpers of tests that aren't here yet: set_test.go, trouble_test.go.

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"rsyncd_exporter/receiver"
	"rsyncd_exporter/receiver/syslog"
)

func setOptions(paths ...string) SetOptions {
	return SetOptions{
		Paths: paths, Poll: 2 * time.Millisecond, pollOnly: true, unsettled: true,
		Source: func(path string, scope uint32) receiver.Source {
			return receiver.Source{Input: "file", Name: filepath.Base(path), Scope: scope, Dialect: syslog.Lines{}}
		},
	}
}

func followSet(t *testing.T, sink receiver.Sink, opt SetOptions) *Set {
	t.Helper()
	s, err := NewSet(opt, sink)
	must(t, err)
	return s
}

// runSet runs a Set until the function returned is called, or the test ends.
func runSet(t *testing.T, s *Set) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(stop)
	return stop
}

func runUnprivileged(t *testing.T) {
	dir, err := os.MkdirTemp("", "file")
	must(t, err)
	t.Cleanup(func() { os.RemoveAll(dir) })
	must(t, os.Chmod(dir, 0o777))
	// The binary is copied, since the directory that go test put it into is root's.
	program := filepath.Join(dir, "test")
	b, err := os.ReadFile("/proc/self/exe")
	must(t, err)
	must(t, os.WriteFile(program, b, 0o755))
	cmd := exec.Command(program, "-test.run=^"+t.Name()+"$", "-test.v", "-test.timeout=60s")
	cmd.Dir, cmd.Env = dir, []string{"TMPDIR=" + dir}
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	if out, err := cmd.CombinedOutput(); err != nil || !strings.Contains(string(out), "--- PASS: "+t.Name()) {
		t.Errorf("as user 65534: %v\n%s", err, out)
	}
}
