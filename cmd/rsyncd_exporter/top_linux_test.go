package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"rsyncd_exporter/internal/testenv"
)

// A pane is a shell in a real terminal, which is tmux's.
type pane struct {
	t           *testing.T
	dir, socket string
	commands    int // that were run
}

// openPane starts a shell in a terminal of 80x24, with a directory of its own.
func openPane(t *testing.T) *pane {
	t.Helper()
	dir := testenv.Dir(t)
	p := &pane{t: t, dir: dir, socket: filepath.Join(dir, "socket")}
	cmd := exec.Command(testenv.Need(t, "tmux"), "-S", p.socket, "-f", os.DevNull, "new-session", "-d", "-x", "80", "-y", "24",
		"-c", dir, "env", "ENV=", "PS1=ready> ", "sh", "-i")
	cmd.Env = append(os.Environ(), "LC_ALL=C.UTF-8", "TMUX=", "NO_COLOR=", "HOME="+dir)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("tmux: %v: %s", err, out)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the terminal shows\n%s", p.screen())
		}
		p.tmux("kill-server")
	})
	p.sees("ready>")
	return p
}

func (p *pane) tmux(args ...string) string {
	p.t.Helper()
	out, err := exec.Command(testenv.Need(p.t, "tmux"), append([]string{"-u", "-S", p.socket}, args...)...).CombinedOutput()
	if err != nil {
		p.t.Fatalf("tmux %q: %v: %s", args, err, out)
	}
	return string(out)
}

// screen returns what the terminal shows, with its escape sequences if asked for.
func (p *pane) screen(flags ...string) string {
	p.t.Helper()
	return p.tmux(append([]string{"capture-pane", "-p"}, flags...)...)
}

// sees waits until the terminal shows all of these.
func (p *pane) sees(want ...string) {
	p.t.Helper()
	testenv.Until(p.t, time.Minute, fmt.Sprintf("%q", want), func() bool {
		shown := p.screen()
		for _, w := range want {
			if !strings.Contains(shown, w) {
				return false
			}
		}
		return true
	})
}

// keys presses keys by the names that tmux has for them.
func (p *pane) keys(keys ...string) { p.tmux(append([]string{"send-keys"}, keys...)...) }

// runs types a command line.
func (p *pane) runs(line string) {
	p.commands++
	p.tmux("send-keys", "-l", fmt.Sprintf("%s; echo end %d: $?", line, p.commands))
	p.keys("Enter")
}

// ends waits until the last command line has ended, with success.
func (p *pane) ends() { p.sees(fmt.Sprintf("end %d: 0\nready>", p.commands)) }

// program returns the shell's words for running the program, which writes its pid to the file pid.
func (p *pane) program(args ...string) string {
	self, err := os.Executable()
	if err != nil {
		p.t.Fatal(err)
	}
	script := fmt.Sprintf("#!/bin/sh\necho $$ >pid\n%s=real %s='%s' GORACE=atexit_sleep_ms=0 exec %s '-test.run=^TestHelperProcess$'\n",
		helperVariable, helperArgs, strings.Join(args, "\n"), self)
	if err := os.WriteFile(filepath.Join(p.dir, "program"), []byte(script), 0o755); err != nil {
		p.t.Fatal(err)
	}
	return "clear; ./program"
}

func (p *pane) signal(s syscall.Signal) {
	p.t.Helper()
	text, err := os.ReadFile(filepath.Join(p.dir, "pid"))
	if err != nil {
		p.t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		p.t.Fatal(err)
	}
	if err := syscall.Kill(pid, s); err != nil {
		p.t.Fatal(err)
	}
}

// settings returns the terminal's, as stty prints them.
func (p *pane) settings() string {
	p.t.Helper()
	file := filepath.Join(p.dir, "stty")
	p.runs("clear; stty -a >stty")
	p.ends()
	text, err := os.ReadFile(file)
	if err != nil || !strings.Contains(string(text), " icanon ") {
		p.t.Fatalf("%v: %s", err, text)
	}
	return string(text)
}

func TestTopInATerminal(t *testing.T) {
	t.Parallel()
	server := exporterOf(t, "mirror", "")
	p := openPane(t)
	before := p.settings()
	p.runs(p.program("top", "--url="+server.URL, "-d", "0.1"))
	p.sees("1 session at", "> running", "mirror", "≥4.88 KiB", "q quit", `a\u202eb`)
	if colored := p.screen("-e"); !strings.Contains(colored, "\x1b[32m") {
		t.Errorf("no green: %q", colored)
	}
	p.keys("g")
	p.sees("> mirror")
	p.keys("g", "g")
	p.sees("> 192.0.2.0/24")
	p.keys("Enter", "Enter")
	p.sees("last path   a\\u202eb", "bytes       at least 5,000")
	p.keys("Escape")
	p.sees("only 192.0.2.0/24", "> running")
	p.keys("/")
	p.sees("sessions with: _")
	p.keys("x", "y")
	p.sees("sessions with: xy_", "no session is like that")
	p.keys("Escape")
	p.sees("> running", "q quit")
	p.tmux("resize-window", "-x", "130", "-y", "20")
	p.sees("SINCE", "LAST PATH")
	p.keys("C-z")
	p.sees("Stopped")
	p.runs("fg")
	p.sees("> running", "LAST PATH")
	server.Close()
	p.sees("only: 127.0.0.1:", "not reached", "> running")
	p.keys("q")
	p.ends()
	p.tmux("resize-window", "-x", "80", "-y", "24")
	// tmux may tell the terminal later.
	p.runs(`until test "$(stty size)" = "24 80"; do sleep 0.05; done`)
	p.ends()
	if after := p.settings(); after != before {
		t.Errorf("the terminal was\n%s\nand is\n%s", before, after)
	}
}

// It leaves a sane terminal after signals, too.
func TestTopEndsBySignals(t *testing.T) {
	t.Parallel()
	server := exporterOf(t, "mirror", "")
	p := openPane(t)
	before := p.settings()
	for _, s := range []syscall.Signal{syscall.SIGTERM, syscall.SIGHUP, syscall.SIGINT} {
		p.runs(p.program("top", "--url="+server.URL))
		p.sees("> running")
		p.signal(s)
		p.ends()
		if after := p.settings(); after != before {
			t.Errorf("%v: the terminal was\n%s\nand is\n%s", s, before, after)
		}
	}
}

// Without colours it has marks; a dumb terminal gets plain text, once.
func TestTopWithoutColor(t *testing.T) {
	t.Parallel()
	server := exporterOf(t, "mirror", "")
	p := openPane(t)
	p.runs("export NO_COLOR=1")
	p.ends()
	p.runs(p.program("top", "--url="+server.URL))
	p.sees("> running", "q quit")
	if shown := p.screen("-e"); strings.Contains(shown, "\x1b[") {
		t.Errorf("colours: %q", shown)
	}
	p.keys("C-c")
	p.ends()
	p.runs("export TERM=dumb; unset NO_COLOR")
	p.runs(p.program("top", "--url="+server.URL))
	p.sees("\nrunning  192.0.2.1")
	p.ends()
	if shown := p.screen("-e"); strings.Contains(shown, "\x1b[") || strings.Contains(shown, "q quit") {
		t.Errorf("not plain: %q", shown)
	}
	p.runs("export TERM=screen")
	p.runs(p.program("who", "--url="+server.URL))
	p.sees("running  192.0.2.1")
	p.ends()
	if shown := p.screen("-e"); !strings.Contains(shown, "\x1b[32m") {
		t.Errorf("who without colours: %q", shown)
	}
}
