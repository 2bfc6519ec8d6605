package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"rsyncd_exporter/internal/corpus"
	"rsyncd_exporter/internal/testenv"
)

func explainOf(t *testing.T, stdin string, args ...string) (status int, out, errs string) {
	t.Helper()
	testenv.SetEnv(t)
	var o, e bytes.Buffer
	status = run(context.Background(), append([]string{"explain"}, args...), strings.NewReader(stdin), &o, &e)
	return status, o.String(), e.String()
}

// The status says whether all was recognised, and read. By hand: download_small.log has 15 lines (wc -l), all of them rsyncd's own;
// xfer_exec_hooks.log has the two lines that a script has printed.
func TestExplainStatus(t *testing.T) {
	file := func(name string) string { return filepath.Join(corpus.Dir(), "file", name+".log") }
	missing := filepath.Join(t.TempDir(), "missing")
	for _, c := range []struct {
		args      []string
		status    int
		out, errs string
	}{
		{[]string{file("download_small")}, exitOK, "     15  lines\n", ""},
		{[]string{file("xfer_exec_hooks")}, exitFailure, "      2  unrecognised\n", ""},
		{[]string{file("xfer_exec_hooks"), "--only", "start"}, exitFailure, "      2  unrecognised\n", ""},
		{[]string{file("download_small"), missing}, exitUsage, "     15  lines\n", "no such file"},
		{[]string{"--session=859", file("download_small")}, exitOK, "session 859#1\n", ""},
		{[]string{"--session=4470", file("xfer_exec_hooks")}, exitFailure, "session 4470#1\n", ""},
		{[]string{"--session=h/859#2", file("download_small")}, exitFailure, "", "no line is of session h/859#2"},
		{[]string{"--session=859", "--only=start", "--json", file("download_small")}, exitOK, `{"line":4,`, ""},
		{[]string{"--session=859", "--only=start", file("download_small")}, exitUsage, "", "add --json"},
		{[]string{"--only=unrecognized", file("download_small")}, exitUsage, "", "did you mean unrecognised?"},
		{[]string{"--session=x", file("download_small")}, exitUsage, "", "PID#N"},
		{[]string{"--jsn", file("download_small")}, exitUsage, "", "jsn"},
		{nil, exitUsage, "", "name a log file"},
	} {
		status, out, errs := explainOf(t, "", c.args...)
		if status != c.status || !strings.Contains(out, c.out) || c.out == "" && out != "" ||
			!strings.Contains(errs, c.errs) || c.errs == "" && errs != "" {
			t.Errorf("%q: status %d, want %d\n%s\n%s", c.args, status, c.status, out, errs)
		}
	}
}

func TestAnonymousExplanation(t *testing.T) {
	const line = "2026/11/23 23:51:22 [5] connect from a.example (192.0.2.1)\n"
	for anonymise, want := range map[string]string{
		"off": `"fields":{"host":"a.example","address":"192.0.2.1"}`, "on": `"fields":{"address":"192.0.2.0/24"}`,
	} {
		if status, out, errs := explainOf(t, line, "-", "--json", "--anonymise="+anonymise); status != exitOK || !strings.Contains(out, want) {
			t.Errorf("ANONYMISE=%s: status %d, %s, %s", anonymise, status, out, errs)
		}
	}
}

func TestExplainStandardInput(t *testing.T) {
	status, out, errs := explainOf(t, "2026/11/23 23:51:22 [5] connect from a.example (192.0.2.1)\nx\n", "-", "--json")
	const want = `{"line":1,"file":"-","kind":"connect","pid":5,"session":"5#1","fields":{"host":"a.example","address":"192.0.2.1"}}` + "\n" +
		`{"line":2,"file":"-","kind":"discarded","fields":{"reason":"no_header","text":"x"},"why":"`
	if status != exitOK || errs != "" || !strings.HasPrefix(out, want) {
		t.Errorf("status %d, %s%s; want %s", status, out, errs, want)
	}
}

// A pipe that closes early ends it, quietly and before everything is read.
func TestExplainIntoAClosedPipe(t *testing.T) {
	path := filepath.Join(t.TempDir(), "rsyncd.log")
	line := "2026/11/23 23:51:22 [5] connect from a.example (192.0.2.1)\n"
	testenv.WriteFile(t, path, strings.Repeat(line, 50_000))

	cmd := startHelper(t, "real")
	cmd.Env = append(cmd.Env, helperArgs+"=explain\n"+path)
	var errs bytes.Buffer
	cmd.Stderr = &errs
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if first, err := bufio.NewReaderSize(stdout, 16).ReadString('\n'); err != nil || !strings.HasPrefix(first, "==> ") {
		t.Errorf("%q, %v", first, err)
	}
	stdout.Close()
	cmd.Wait()
	if s := cmd.ProcessState.Sys().(syscall.WaitStatus); errs.Len() > 0 || !(s.Signaled() && s.Signal() == syscall.SIGPIPE || s.Exited() && s.ExitStatus() == exitOK) {
		t.Errorf("%v, %s", cmd.ProcessState, errs.String())
	}

	// where no signal tells, the error does
	testenv.SetEnv(t)
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	r.Close()
	defer w.Close()
	for _, c := range []struct {
		w      io.Writer
		status int
		errs   string
	}{{w, exitOK, ""}, {failing{}, exitUsage, "writing: the disk is full"}} {
		var errs bytes.Buffer
		status := run(context.Background(), []string{"explain", path}, strings.NewReader(""), c.w, &errs)
		if status != c.status || !strings.Contains(errs.String(), c.errs) || c.errs == "" && errs.Len() > 0 {
			t.Errorf("%T: status %d, want %d; %q", c.w, status, c.status, errs.String())
		}
	}
}

type failing struct{}

func (failing) Write([]byte) (int, error) { return 0, errors.New("the disk is full") }
