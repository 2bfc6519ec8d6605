package config

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"rsyncd_exporter/internal/testenv"
)

// A real rsyncd with the same files has the same modules.
func TestRsyncdHasTheSameModules(t *testing.T) {
	path, want := exampleConf(t)
	url := startDaemon(t, path, "--log-file="+path+".log")
	code, out := testenv.Rsync(t, url)
	if code != 0 {
		text, _ := os.ReadFile(path + ".log")
		t.Fatalf("list of modules: exit code %d, %s\n%s", code, out, text)
	}
	var got []string
	for line := range strings.Lines(out) { // NAME padded with spaces, TAB, comment
		name, _, _ := strings.Cut(line, "\t")
		got = append(got, strings.TrimRight(name, " \n"))
	}
	if !slices.Equal(got, want) {
		t.Errorf("rsyncd's modules %q\nwant             %q", got, want)
	}
}

// startDaemon starts a real rsyncd with a configuration and returns its URL.
func startDaemon(t *testing.T, conf string, args ...string) (url string) {
	t.Helper()
	port := testenv.Port(t)
	args = append([]string{"--daemon", "--no-detach", "--address=127.0.0.1", fmt.Sprintf("--port=%d", port), "--config=" + conf}, args...)
	testenv.Start(t, exec.Command(testenv.Need(t, "rsync"), args...)).Ready(t, "rsyncd to listen", func() bool {
		return testenv.Listening(t, port)
	})
	return fmt.Sprintf("rsync://127.0.0.1:%d/", port)
}

// A real rsyncd writes the log formats that are read from its configuration. Each format here begins with a word of its own.
func TestRsyncdHasTheSameLogFormats(t *testing.T) {
	dir := testenv.Dir(t)
	module := func(name string) string { return "[" + name + "]\npath = " + dir + "/files\n" }
	log := filepath.Join(dir, "log")
	conf := filepath.Join(dir, "main.conf")
	for name, text := range map[string]string{
		"files/a": "content",
		"main.conf": "use chroot = no\ntransfer logging = yes\nlog file = " + log + "\n" + module("before") +
			"[global]\nLOG  Format =   first  %f  \n" + module("then") + module("own") + "logformat=own %f\n" +
			"&include " + dir + "/include\n# log format = comment %f\n" + module("after") + module("before") + "log format = again %f\n" +
			"&merge " + dir + "/merge\n" + module("merged") + "[empty]\npath = " + dir + "/files\nlog format =\n",
		"include": "log format = included %f\n" + module("inside") + "log format = inner %f\n" + module("inside two"),
		"merge":   "[global]\nlog format = merge %f\n",
	} {
		if err := os.MkdirAll(filepath.Join(dir, "files"), 0o755); err != nil {
			t.Fatal(err)
		}
		testenv.WriteFile(t, filepath.Join(dir, name), text)
	}
	if err := os.Chmod(filepath.Join(dir, "files/a"), 0o644); err != nil { // sessions are nobody's
		t.Fatal(err)
	}
	modules, err := readRsyncdConf(conf)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{"before": "again %f", "then": "first  %f", "own": "own %f", "inside": "inner %f", "inside two": "included %f",
		"after": "first  %f", "merged": "merge %f", "empty": ""}
	if len(modules) != len(want) {
		t.Errorf("%d modules, want %d", len(modules), len(want))
	}
	url := startDaemon(t, conf)
	for _, m := range modules {
		if !m.formatted || m.logFormat != want[m.name] {
			t.Errorf("module %q has log format %q (%v), want %q", m.name, m.logFormat, m.formatted, want[m.name])
		}
		before, _ := os.ReadFile(log)
		if code, out := testenv.Rsync(t, url+m.name+"/a", filepath.Join(dir, "pulled "+m.name)); code != 0 {
			t.Fatalf("rsync: exit code %d, %s", code, out)
		}
		line := ""
		testenv.Until(t, time.Minute, "the session's summary", func() bool {
			after, _ := os.ReadFile(log)
			line, _, _ = strings.Cut(string(after[len(before):]), "sent ")
			return len(line) < len(after)-len(before)
		})
		if m.logFormat == "" {
			if strings.Contains(line, " a\n") {
				t.Errorf("module %q logs its transfer: %q", m.name, line)
			}
		} else if text := "] " + strings.ReplaceAll(m.logFormat, "%f", "a") + "\n"; !strings.Contains(line, text) {
			t.Errorf("module %q: no %q in rsyncd's %q", m.name, text, line)
		}
	}
}
