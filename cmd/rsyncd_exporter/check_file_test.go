package main

import (
	"bytes"
	"compress/gzip"
	"context"
	"path/filepath"
	"strings"
	"testing"

	"rsyncd_exporter/internal/testenv"
)

// checkText runs check with a file that holds the text.
func checkText(t *testing.T, text string, args ...string) (status int, out, errs string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "log")
	testenv.WriteFile(t, path, text)
	status, out, errs = runProgram(t, append(append([]string{"check"}, args...), path)...)
	return status, strings.ReplaceAll(out, path, "FILE"), strings.ReplaceAll(errs, path, "FILE")
}

const (
	fileLine  = "2026/11/23 18:40:52 [505] "
	connected = fileLine + "connect from a (192.0.2.1)\n"
)

// An example names clients, which ANONYMISE doesn't show.
func TestCheckFileAnonymously(t *testing.T) {
	for _, anonymise := range []string{"off", "on"} {
		_, out, _ := checkText(t, connected+"nonsense of 192.0.2.1\n", "--anonymise="+anonymise)
		if strings.Contains(out, "192.0.2.1") != (anonymise == "off") || !strings.Contains(out, "1 not understood: no header (discarded)") {
			t.Errorf("ANONYMISE=%s: %s", anonymise, out)
		}
	}
}

// What check says of a file, and its status: the same as the warning of serve.
func TestCheckFile(t *testing.T) {
	const sshd = "Nov 23 18:40:52 h sshd[7]: hello\n"
	for _, c := range []struct {
		name, text string
		args       []string
		status     int
		want       string
	}{
		{"understood", connected + fileLine + "building file list\n", nil, exitOK,
			"FILE: 2 lines read, 2 understood\n       1 connect\n       1 file_list\n"},
		{"half of it", connected + "nonsense\n", nil, exitOK,
			"FILE: 2 lines read, 1 understood\n       1 connect\n       1 not understood: no header (discarded), " +
				"such as \"nonsense\"\n"},
		{"less than half", connected + "\x1bnonsense\n\x1bnonsense\n", nil, exitFailure,
			"       2 not understood: no header (discarded), such as \"\\x1bnonsense\"\n  less than half is " +
				"understood: set LINE_FORMAT to a regular"},
		{"a setting helps", connected + "x connect from a (192.0.2.1)\nx connect from a (192.0.2.1)\n",
			[]string{`--line-format=.*(?P<pid>\d?)\s(?P<description>connect from.*)`}, exitOK,
			"FILE: 3 lines read, 3 understood\n"},
		{"a whole machine's log", strings.Repeat(sshd, 900) +
			"Nov 23 18:40:52 h rsyncd[9]: connect from a (192.0.2.1)\n", nil, exitOK,
			"     900 not understood: other programs' lines (ignored), such as \"Nov 23 18:40:52 h sshd[7]: hello\"\n"},
		{"other programs' only", sshd, nil, exitFailure,
			"  no line is an rsync daemon's: if an rsync daemon logs here, add its syslog tag to TAGS=rsyncd*"},
		{"another tag", "Nov 23 18:40:52 h mirror[9]: rsync on a/b from a (192.0.2.1)\n", nil, exitFailure,
			"add the tag: TAGS=rsyncd*,mirror\n"},
		{"that tag", "Nov 23 18:40:52 h mirror[9]: connect from a (192.0.2.1)\n", []string{"--tags=mirror"}, exitOK,
			"1 lines read, 1 understood\n"},
		{"another log format", connected + fileLine + "send a [192.0.2.1] m pool/a 1 2\n", nil, exitFailure,
			`  LOG_FORMAT="%o %h [%a] %m (%u) %f %l" fits none of the lines that look like transfers: set LOG_FORMAT`},
		{"that log format", connected + fileLine + "send a [192.0.2.1] m pool/a 1 2\n",
			[]string{"--log-format=%o %h [%a] %m %f %l %b"}, exitOK,
			"       1 connect\n       1 transfer\n"},
		{"empty", "", nil, exitFailure, "FILE: 0 lines read, 0 understood\n  it is empty"},
		{"more than a thousand lines", strings.Repeat(fileLine+"building file list\n", 1000) +
			strings.Repeat("nonsense\n", 5000), nil, exitOK,
			"FILE: 1000 lines read, 1000 understood\n"},
		{"no line end", strings.Repeat("x", 40<<20), nil, exitFailure, "1 not understood: oversize (discarded)\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			testenv.SetEnv(t)
			status, out, errs := checkText(t, c.text, c.args...)
			if status != c.status || errs != "" || !strings.Contains(out, c.want) {
				t.Errorf("status %d, want %d\nstderr %q\nstdout:\n%s\nwant:\n%s", status, c.status, errs, out, c.want)
			}
		})
	}
}

// Several files, standard input, flags behind a file, and names that look like flags.
func TestCheckTakesFilesAnywhere(t *testing.T) {
	testenv.SetEnv(t)
	dir := t.TempDir()
	t.Chdir(dir)
	testenv.WriteFile(t, "good", connected)
	testenv.WriteFile(t, "-bad", "nonsense\n")
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	z.Write([]byte(strings.Repeat(connected, 3)))
	z.Close()
	testenv.WriteFile(t, "old.gz", packed.String())
	var out, errs bytes.Buffer
	status := run(context.Background(), []string{"check", "good", "--tags=x", "-", "old.gz", "--", "-bad"},
		strings.NewReader(connected+connected), &out, &errs)
	want := []string{"good: 1 lines read, 1 understood", "-: 2 lines read,", "old.gz: 3 lines read,",
		"-bad: 1 lines read, 0 understood"}
	at := 0
	for _, w := range want {
		n := strings.Index(out.String()[at:], w)
		if n < 0 {
			t.Fatalf("no %q behind what comes before it in\n%s%s", w, out.String(), errs.String())
		}
		at += n
	}
	if status != exitFailure {
		t.Errorf("status %d, want %d", status, exitFailure)
	}
	if status, _, errs := runProgram(t, "check", "good", "--nosuch=1"); status != exitUsage || !strings.Contains(errs,
		"--nosuch=1 is unknown") {
		t.Errorf("a bad flag behind a file: status %d, %q", status, errs)
	}
	if status, _, errs := runProgram(t, "serve", "good"); status != exitUsage || !strings.Contains(errs,
		`unexpected argument "good"`) {
		t.Errorf("serve with a file: status %d, %q", status, errs)
	}
}

// A file that can't be read is an error of its own; the others are still read.
func TestCheckFilesThatCantBeRead(t *testing.T) {
	testenv.SetEnv(t)
	dir := t.TempDir()
	testenv.WriteFile(t, dir+"/good", connected)
	testenv.WriteFile(t, dir+"/torn.gz", "\x1f\x8b\x08")
	for path, want := range map[string]string{
		dir:              "it is a directory: name the log file in it",
		dir + "/no":      "no such file",
		dir + "/torn.gz": "EOF",
		"/dev/null":      "it is no regular file",
	} {
		status, out, errs := runProgram(t, "check", path, dir+"/good")
		if status != exitFailure || !strings.Contains(errs, want) || !strings.Contains(errs, path) ||
			!strings.Contains(out, "good: 1 lines") {
			t.Errorf("%s: status %d, %q, %q", path, status, errs, out)
		}
	}
}
