package main

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"rsyncd_exporter/internal/testenv"
)

// runAsNobody runs the program as a user whom no file belongs to, or as this one where that isn't root.
func runAsNobody(t *testing.T, args ...string) (status int, stdout, stderr string) {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	self := filepath.Join(testenv.Dir(t), "program") // that user can't reach the test binary itself
	content, err := os.ReadFile(exe)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(os.WriteFile(self, content, 0o755), os.Chmod(self, 0o755)); err != nil { // whatever the umask
		t.Fatal(err)
	}
	cmd := exec.Command(self, "-test.run=^TestHelperProcess$")
	cmd.Env = append(os.Environ(), helperVariable+"=run", helperArgs+"="+strings.Join(args, "\n"))
	if os.Geteuid() == 0 {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	}
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	var exit *exec.ExitError
	if err := cmd.Run(); err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return cmd.ProcessState.ExitCode(), out.String(), errs.String()
}

// What serve would refuse of STATE_DIR, check says, in the words of serve and with a status that isn't 0.
func TestCheckSaysWhatServeWouldRefuse(t *testing.T) {
	testenv.SetEnv(t, anyHTTP, anyUDP)
	dir := testenv.Dir(t)
	mine := filepath.Join(dir, "mine")
	if err := os.Mkdir(mine, 0o700); err != nil {
		t.Fatal(err)
	}
	if os.Geteuid() != 0 {
		if err := os.Chmod(mine, 0); err != nil {
			t.Fatal(err)
		}
		defer os.Chmod(mine, 0o700)
	}
	open := filepath.Join(dir, "open")
	if err := errors.Join(os.Mkdir(open, 0o777), os.Chmod(open, 0o777)); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{mine: "permission denied (user ", open: "everybody may write to it"} {
		status, out, errs := runAsNobody(t, "check", "--state-dir="+path)
		if status != exitUsage || !strings.Contains(errs, "STATE_DIR: state directory \""+path+"\": "+want) ||
			strings.HasSuffix(out, "\nok\n") {
			t.Errorf("check of %s: status %d, %q, %q", path, status, out, errs)
		}
		refused := "\"STATE_DIR: state directory \\\"" + path + "\\\": " + want
		if status, _, errs := runAsNobody(t, "serve", "--state-dir="+path, "--http-listen=127.0.0.1:0",
			"--listen-udp=127.0.0.1:0"); status != exitFailure ||
			!strings.Contains(errs, refused) {
			t.Errorf("serve with %s: status %d, %q; want that it refuses", path, status, errs)
		}
	}
}

// Beside a running exporter check says so, and that it is no mistake of the settings; it disturbs nobody.
func TestCheckBesideARunningExporter(t *testing.T) {
	testenv.SetEnv(t, anyHTTP, anyUDP)
	dir := testenv.Dir(t)
	e := startExporter(t, "--state-dir="+dir, "--listen-udp=127.0.0.1:0")
	status, out, errs := runProgram(t, "check", "--state-dir="+dir)
	if status != exitOK || errs != "" || !strings.Contains(out,
		"another rsyncd_exporter uses it: serve would refuse to start before the rsyncd_exporter that runs has stopped\n") {
		t.Errorf("status %d, %q, %q", status, out, errs)
	}
	e.scrape()
	if status, out, _ := runProgram(t, "check", "--state-dir="+testenv.Dir(t)); status != exitOK ||
		strings.Contains(out, "another rsyncd_exporter") {
		t.Errorf("a directory of nobody's: status %d, %q", status, out)
	}
}

// Logs that can't be read are told of, by name and by pattern, and those that can't be opened at all in check FILE.
func TestCheckWarnsOfLogsThatCantBeRead(t *testing.T) {
	testenv.SetEnv(t, anyHTTP, anyUDP)
	dir := testenv.Dir(t)
	for _, name := range []string{"a.log", "b.log", "good.log"} {
		testenv.WriteFile(t, filepath.Join(dir, name), connected)
		mode := os.FileMode(0)
		if name == "good.log" {
			mode = 0o644
		}
		if err := os.Chmod(filepath.Join(dir, name), mode); err != nil {
			t.Fatal(err)
		}
	}
	status, out, errs := runAsNobody(t, "check", "--file="+dir+"/a.log,"+dir+"/good.log,"+dir+"/[b]*.log")
	if status != exitOK || errs != "" || strings.Count(out, "can't be read: open ") != 2 || strings.Contains(out,
		"good.log\" can't") ||
		!strings.Contains(out, "b.log: permission denied; let the exporter's user read it") {
		t.Errorf("status %d, %q, %q", status, out, errs)
	}
	status, out, errs = runAsNobody(t, "check", dir+"/a.log", dir+"/good.log")
	if status != exitFailure || !strings.Contains(errs, "a.log: permission denied") || !strings.Contains(out,
		"good.log: 1 lines") {
		t.Errorf("status %d, %q, %q", status, out, errs)
	}
}

// What -p names is a file if there is one of that name, and else a pattern if it looks like one.
func TestPatternsOfP(t *testing.T) {
	testenv.SetEnv(t, anyHTTP, anyUDP)
	dir := t.TempDir()
	testenv.WriteFile(t, dir+"/a.log", "")
	testenv.WriteFile(t, dir+"/b.log", "")
	testenv.WriteFile(t, dir+"/odd[1]", "")
	for given, want := range map[string]string{
		"/*.log": "/*.log", "/odd[1]": `/odd\[1]`, "/odd[": `/odd\[`, "/new?": "/new?", "/plain": "/plain",
	} {
		given, want = dir+given, dir+want
		if got := mustLoad(t, "-p", given).Files; len(got) != 1 || got[0] != want {
			t.Errorf("-p %s: %q, want %q", given, got, want)
		}
	}
	if status, out, _ := runProgram(t, "check", "-p", dir+"/*.log"); status != exitOK || !strings.Contains(out,
		"*.log: 2 now\n  "+dir+"/a.log\n  "+dir+"/b.log\n") {
		t.Errorf("status %d, %q", status, out)
	}
}
