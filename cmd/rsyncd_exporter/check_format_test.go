//go:build linux

package main

import (
	"path/filepath"
	"strings"
	"testing"

	"rsyncd_exporter/internal/testenv"
)

// notes runs check and returns its notes with what belongs to each.
func notes(t *testing.T, args ...string) string {
	t.Helper()
	status, out, errs := runProgram(t, append([]string{"check"}, args...)...)
	if status != exitOK || errs != "" {
		t.Fatalf("status %d, stdout %q, stderr %q", status, out, errs)
	}
	var b strings.Builder
	in := false
	for line := range strings.Lines(out) {
		if in = strings.HasPrefix(line, "note: ") || in && strings.HasPrefix(line, "  "); in {
			b.WriteString(line)
		}
	}
	return b.String()
}

func TestCheckSaysWhatALogFormatLacks(t *testing.T) {
	const moved = "  how many bytes were moved for a file (%b)\n"
	conf := filepath.Join(t.TempDir(), "rsyncd.conf")
	testenv.WriteFile(t, conf, `transfer logging = yes
[plain]
[a]
log format = %o [%a] %m (%u) %f %l
[b]
log format = %o [%a] %m (%u) %f %l
[full]
log format = %o [%a] %m (%u) %f %l %b
[empty]
log format =
[quiet]
Transfer  Logging = False
log format = %f
[odd]
transfer logging = perhaps
log format = %i %f%l
`)
	for _, c := range []struct{ args, want string }{
		{"", "note: log format \"%o %h [%a] %m (%u) %f %l\" (LOG_FORMAT) doesn't tell\n" + moved +
			"  in rsyncd.conf: log format = %o %h [%a] %m (%u) %f %l %b, and the same for LOG_FORMAT\n"},
		{"--log-format=%o %h [%a] %m (%u) %f %l %b", ""},
		{"--rsyncd-conf=" + conf, `note: without transfer logging no file is counted (module quiet)
  in rsyncd.conf: transfer logging = yes
note: log format "%o %h [%a] %m (%u) %f %l" (LOG_FORMAT) doesn't tell
` + moved + `  in rsyncd.conf: log format = %o %h [%a] %m (%u) %f %l %b, and the same for LOG_FORMAT
note: log format "%o [%a] %m (%u) %f %l" (modules a, b) doesn't tell
` + moved + `  in rsyncd.conf: log format = %o [%a] %m (%u) %f %l %b
note: log format "" (module empty) doesn't tell
  which files are transferred: it is empty, and so none is logged
  in rsyncd.conf: log format = %o %h [%a] %m (%u) %f %l %b
note: log format "%i %f%l" (module odd) doesn't tell
  whose file it was, by which lines that a client has written are found out (%a)
  in which module, which before rsync 3.2 only the client's request names (%m (%u) behind %o)
  what the file is called (%f)
  how long a file is (%l)
` + moved + `  in rsyncd.conf: log format = %o %h [%a] %m (%u) %f %l %b
`},
	} {
		testenv.SetEnv(t, anyHTTP, anyUDP)
		var args []string
		if c.args != "" {
			args = append(args, c.args)
		}
		if got := notes(t, args...); got != c.want {
			t.Errorf("check %q:\n%s\nwant:\n%s", c.args, got, c.want)
		}
	}
}

// rsync's default is no transfer logging: one note, however many modules there are.
func TestCheckNamesFewModules(t *testing.T) {
	testenv.SetEnv(t, anyHTTP, anyUDP)
	conf := filepath.Join(t.TempDir(), "rsyncd.conf")
	testenv.WriteFile(t, conf, "log format = %f\n[a]\n[b]\n[c]\n[d]\n[e]\n[f\x1b]\n[g]\n")
	want := "note: without transfer logging no file is counted (modules a, b, c, d, e, 2 more)\n  in rsyncd.conf: transfer logging = yes\n"
	if got := notes(t, "--rsyncd-conf="+conf); got != want {
		t.Errorf("%s\nwant:\n%s", got, want)
	}
}

// What check advises has no findings, and a real daemon's lines in that format tell all that they should. By hand: 5 + 6000 bytes in two
// files, one of whose names ends like the fields behind it; both are moved whole, and so at least that many bytes.
func TestAdvisedLogFormatIsRead(t *testing.T) {
	testenv.SetEnv(t, anyHTTP, anyUDP)
	_, out, _ := runProgram(t, "check", "--log-format=%f")
	_, advised, _ := strings.Cut(out, "  in rsyncd.conf: log format = ")
	advised, _, ok := strings.Cut(advised, ", and the same for LOG_FORMAT\n")
	if !ok {
		t.Fatalf("no advice in %s", out)
	}
	if status, out, _ := runProgram(t, "check", "--log-format="+advised); status != exitOK || strings.Contains(out, "warning:") || strings.Contains(out, "note:") {
		t.Errorf("check of what it advises: status %d\n%s", status, out)
	}
	testenv.SetEnv(t)
	s := live(t, logFile, "127.0.0.1", "log format = "+advised+"\n[odd (x) y]\n", "--log-format="+advised)
	put(t, filepath.Join(s.d.Module("odd (x) y"), "f) 99 7"), noise(5))
	put(t, filepath.Join(s.d.Module("odd (x) y"), "plain"), noise(6000))
	s.book(counted("odd (x) y", "send", "ok", s.stats(t, 0, s.url("odd (x) y/"), s.scratch(t))))
	got := s.audit(t)
	label := `module="odd (x) y"`
	length, wire := total(got, "rsync_file_bytes_total", label), total(got, "rsync_file_transferred_bytes_total", label)
	if length != 6005 || wire < 6005 || wire > total(got, "rsync_sent_bytes_total", label) {
		t.Errorf("%v bytes of files, %v moved for them", length, wire)
	}
}
