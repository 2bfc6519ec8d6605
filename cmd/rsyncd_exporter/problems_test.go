package main

import (
	"bytes"
	"context"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"rsyncd_exporter/internal/config"
	"rsyncd_exporter/internal/testenv"
)

// runProgram runs the program in this process and returns its exit status and output.
func runProgram(t *testing.T, args ...string) (status int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	status = run(context.Background(), args, strings.NewReader(""), &out, &errs)
	return status, out.String(), errs.String()
}

// mustLoad returns the settings in force and fails the test if there is a problem.
func mustLoad(t *testing.T, args ...string) *config.Config {
	t.Helper()
	cfg, err := config.Load(args)
	if err != nil {
		t.Fatalf("%q: %v", args, err)
	}
	return cfg
}

// The golden file has one line for each of the 23 problems made here. Worked out by hand: the socket's path is "/tmp/" and 103 times x, 108 bytes.
func TestAllProblemsAtOnce(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("the golden file has Linux's limit for socket paths and its error texts")
	}
	t.Chdir(t.TempDir())
	testenv.WriteFile(t, "web.yml", "basic_auth_users: [1]\n")
	if err := os.Mkdir("dir", 0o700); err != nil {
		t.Fatal(err)
	}
	testenv.WriteFile(t, "one.log", "")
	testenv.SetEnv(t,
		"LISTEN_UDP=5514",
		"LISTEN_UNIXGRAM=/tmp/"+strings.Repeat("x", 103),
		"LISTEN_UNIXGRAM_MODE=0888",
		"RECEIVE_BUFFER=16 MB",
		"FILE_POLL=5",
		"FILE_START=middle",
		"STATE_DIR=one.log",
		"SYSLOG_FORMAT=rfc1",
		"TAGS=rsyncd[",
		"LINE_FORMAT=(",
		"RSYNCD_CONF=nowhere.conf",
		"WEB_CONFIG=web.yml",
		"LISTN_UDP=x\x1b[2J",
	)
	status, stdout, stderr := runProgram(t, "serve",
		"--listen-tcp=127.0.0.1,[::1]:70000,:8080", "--file", "dir,one.log,two[", "--max-series=-1", "--session-ttl=0s",
		"--log-level", "loud", "--htp-listen", ":9", "--modules", "a", "stray")
	if status != exitUsage || stdout != "" {
		t.Errorf("status %d, stdout %q; want %d and nothing", status, stdout, exitUsage)
	}
	want, err := os.ReadFile(filepath.Join(sourceDir(t), "testdata", "all_problems.golden"))
	if err != nil {
		t.Fatal(err)
	}
	if stderr != string(want) {
		t.Errorf("stderr:\n%s\nwant:\n%s", stderr, want)
	}
}

// sourceDir returns this package's directory, wherever the test has gone meanwhile.
func sourceDir(t *testing.T) string {
	t.Helper()
	_, file, _, _ := runtime.Caller(0)
	return filepath.Dir(file)
}

func TestBadSettingOpensNothing(t *testing.T) {
	busy, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer busy.Close()
	socket := filepath.Join(t.TempDir(), "log")
	testenv.SetEnv(t, "LISTEN_UDP="+busy.LocalAddr().String(), "LISTEN_UNIXGRAM="+socket, "HTTP_LISTEN=127.0.0.1:0")

	status, _, stderr := runProgram(t, "--file-poll=0s")
	if status != exitUsage || strings.Count(stderr, "\n") != 1 || !strings.Contains(stderr, "FILE_POLL") {
		t.Errorf("status %d, stderr %q; want %d and one line about FILE_POLL, none about the port that is taken", status, stderr, exitUsage)
	}
	if left, _ := filepath.Glob(socket + "*"); len(left) != 0 {
		t.Errorf("a socket was made: %q", left)
	}
	// The same without the bad setting gets as far as the port that is taken.
	if status, _, stderr := runProgram(t); status != exitFailure || !strings.Contains(stderr, busy.LocalAddr().String()) {
		t.Errorf("status %d, stderr %q; want %d and an error about %v", status, stderr, exitFailure, busy.LocalAddr())
	}
}
