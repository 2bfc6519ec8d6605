package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"rsyncd_exporter/internal/config"
	"rsyncd_exporter/internal/testenv"
)

// helpForm returns what help prints with a flag, to the byte the same whenever it is asked.
func helpForm(t *testing.T, flag string) string {
	t.Helper()
	t.Setenv("SOURCE_DATE_EPOCH", "1796000000")
	var out, again bytes.Buffer
	for _, w := range []*bytes.Buffer{&out, &again} {
		if status := run(t.Context(), []string{"help", flag}, strings.NewReader(""), w, w); status != 0 {
			t.Fatalf("help %s: exit status %d: %s", flag, status, w)
		}
	}
	if !bytes.Equal(out.Bytes(), again.Bytes()) {
		t.Fatalf("help %s prints other text the second time", flag)
	}
	return out.String()
}

// The man page has every command, setting and flag, and mandoc finds nothing to say about it.
func TestManPage(t *testing.T) {
	page := filepath.Join(t.TempDir(), "rsyncd_exporter.1")
	testenv.WriteFile(t, page, helpForm(t, "--man"))
	mandoc := testenv.Need(t, "mandoc")
	if out, err := exec.Command(mandoc, "-T", "lint", "-W", "warning", page).CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("mandoc: %v\n%s", err, out)
	}
	out, err := exec.Command(mandoc, "-T", "utf8", "-O", "width=100", page).Output()
	if err != nil {
		t.Fatal(err)
	}
	shown := removeOverstrikes(string(out))
	words := []string{"2026-11-30", `--only=KIND,...`, "(?P<pid>...)", `SIGHUP opens`}
	for _, c := range commands() {
		words = append(words, "\n       "+c.name)
	}
	for _, s := range config.Defaults() {
		words = append(words, s.Flag+"=value", s.Variable)
		if !strings.Contains(s.Default, ",") { // a long one is broken into lines
			words = append(words, s.Default)
		}
	}
	for _, w := range words {
		if !strings.Contains(shown, w) {
			t.Errorf("the man page doesn't show %q", w)
		}
	}
}

// removeOverstrikes makes plain text of what a terminal shows bold or underlined.
func removeOverstrikes(s string) string {
	var b []rune
	for _, r := range s {
		if r == '\b' {
			b = b[:len(b)-1]
			continue
		}
		b = append(b, r)
	}
	return string(b)
}

// A shell that reads the example of /etc/default/rsyncd_exporter, with no line a comment any more,
// gives the exporter its defaults.
func TestEnvironmentFileHasTheDefaults(t *testing.T) {
	text := helpForm(t, "--environment")
	for line := range strings.Lines(text) {
		if !strings.HasPrefix(line, "#") && line != "\n" || len(line) > 101 && !strings.Contains(line, "=") {
			t.Errorf("%q is no short comment", line)
		}
	}
	file := filepath.Join(t.TempDir(), "default")
	testenv.WriteFile(t, file, strings.ReplaceAll(text, "\n#RSYNCD_", "\nRSYNCD_"))
	cmd := exec.Command("sh", "-c", `set -a; . "$1"; env -0`, "sh", file)
	cmd.Env = []string{"PATH=" + os.Getenv("PATH")}
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	given := map[string]string{}
	for kv := range strings.SplitSeq(string(out), "\x00") {
		name, value, _ := strings.Cut(kv, "=")
		given[name] = value
	}
	for _, s := range config.Defaults() {
		if value, ok := given[s.Variable]; !ok || value != s.Default {
			t.Errorf("%s is %q (%v), and its default %q", s.Variable, value, ok, s.Default)
		}
	}
}

// A real bash completes commands, their flags, settings, values and files on a real terminal.
func TestBashCompletes(t *testing.T) {
	text := helpForm(t, "--bash")
	t.Setenv("SOURCE_DATE_EPOCH", "")
	p := openPane(t)
	testenv.WriteFile(t, filepath.Join(p.dir, "completion"), text)
	testenv.WriteFile(t, filepath.Join(p.dir, "a_log_file"), "")
	p.runs("PS1='bash> ' bash --norc --noprofile")
	p.sees("\nbash>")
	p.runs(". ./completion")
	for _, c := range []struct{ typed, want string }{
		{"rep", "rsyncd_exporter report "},
		{"who --dir", "rsyncd_exporter who --direction="},
		{"who --direction=re", "rsyncd_exporter who --direction=receive "},
		{"backups --nag", "rsyncd_exporter backups --nagios="},
		{"check --max-s", "rsyncd_exporter check --max-series="},
		{"--rsyncd-c", "rsyncd_exporter --rsyncd-conf="},
		{"--rsyncd-conf=a_l", "rsyncd_exporter --rsyncd-conf=a_log_file "},
		{"report a_l", "rsyncd_exporter report a_log_file "},
	} {
		p.keys("C-u", "C-l")
		p.tmux("send-keys", "-l", "rsyncd_exporter "+c.typed)
		p.keys("Tab")
		p.tmux("send-keys", "-l", "|")
		p.sees("bash> " + c.want + "|")
	}
}
