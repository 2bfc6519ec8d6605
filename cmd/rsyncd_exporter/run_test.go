package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"rsyncd_exporter/internal/config"
	"rsyncd_exporter/internal/testenv"
)

// helperVariable makes TestHelperProcess, run as a process of its own, be something else. Its name has not the settings' prefix.
const helperVariable = "TEST_HELPER_PROCESS"

// helperArgs holds the arguments of the helper "run", one a line.
const helperArgs = "TEST_HELPER_ARGS"

// quickExit is the setting with which a process that was built with -race doesn't sleep for a second
// before it ends.
const quickExit = "GORACE=atexit_sleep_ms=0"

// TestHelperProcess is no test but the processes that other tests start.
func TestHelperProcess(t *testing.T) {
	switch os.Getenv(helperVariable) {
	case "":
		t.Skip("only for other tests")
	case "stuck": // a program that notices the first signal and then doesn't end
		ctx, stop := untilSignal(context.Background())
		defer stop()
		fmt.Println("waiting")
		<-ctx.Done()
		fmt.Println("cancelled")
		bufio.NewReader(os.Stdin).ReadByte()
		os.Exit(99)
	case "panic": // the program's tasks, of which one has a mistake
		err := runAll(context.Background(), []task{
			taskFunc(func(ctx context.Context) error { <-ctx.Done(); return nil }),
			taskFunc(func(context.Context) error { panic("a mistake in an input") }),
		})
		fmt.Println("not reached", err)
	case "run": // the program
		var args []string
		if given := os.Getenv(helperArgs); given != "" {
			args = strings.Split(given, "\n")
		}
		os.Exit(run(context.Background(), args, strings.NewReader(""), os.Stdout, heldLog{}))
	case "real": // the program, as main runs it
		os.Exit(run(context.Background(), strings.Split(os.Getenv(helperArgs), "\n"), os.Stdin, os.Stdout, os.Stderr))
	case "serve":
		os.Exit(run(context.Background(), []string{"--listen-udp=127.0.0.1:0", "--http-listen=127.0.0.1:0"}, os.Stdin, os.Stdout, os.Stderr))
	}
}

// heldLog is standard error, but what says "stopping" is only written at the end of standard input. Then the inputs are done and HTTP is not.
type heldLog struct{}

func (heldLog) Write(line []byte) (int, error) {
	n, err := os.Stderr.Write(line)
	if bytes.Contains(line, []byte(" msg=stopping ")) {
		_, _ = io.Copy(io.Discard, os.Stdin)
	}
	return n, err
}

// taskFunc is a task of a function.
type taskFunc func(ctx context.Context) error

func (f taskFunc) Run(ctx context.Context) error { return f(ctx) }
func (taskFunc) String() string                  { return "task of a test" }

// startHelper starts this test program as the named process.
func startHelper(t *testing.T, name string) *exec.Cmd {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	t.Cleanup(cancel)
	cmd := exec.CommandContext(ctx, exe, "-test.run=^TestHelperProcess$")
	cmd.Env = append(os.Environ(), helperVariable+"="+name, quickExit)
	return cmd
}

func TestSecondSignalEndsAtOnce(t *testing.T) {
	for _, signals := range [][2]syscall.Signal{{syscall.SIGTERM, syscall.SIGTERM}, {syscall.SIGINT, syscall.SIGINT}, {syscall.SIGTERM, syscall.SIGINT}} {
		t.Run(fmt.Sprint(signals), func(t *testing.T) {
			cmd := startHelper(t, "stuck")
			stdin, err := cmd.StdinPipe() // stays open: the process waits for it
			if err != nil {
				t.Fatal(err)
			}
			defer stdin.Close()
			stdout, err := cmd.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			lines := bufio.NewScanner(stdout)
			for i, want := range []string{"waiting", "cancelled"} {
				if !lines.Scan() || lines.Text() != want {
					t.Fatalf("the process says %q, want %q", lines.Text(), want)
				}
				if err := cmd.Process.Signal(signals[i]); err != nil {
					t.Fatal(err)
				}
			}
			cmd.Wait()
			if status := cmd.ProcessState.Sys().(syscall.WaitStatus); !status.Signaled() || status.Signal() != signals[1] {
				t.Errorf("%v, want an end by the second signal", cmd.ProcessState)
			}
		})
	}
}

// Nobody reads the log any more when it stops; the exporter must still end in good order.
func TestServeOutlivesTheReaderOfItsLog(t *testing.T) {
	testenv.SetEnv(t)
	cmd := startHelper(t, "serve")
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = write
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	write.Close()
	lines := bufio.NewScanner(read)
	for lines.Scan() && !strings.Contains(lines.Text(), `msg="TLS is disabled."`) { // the last line at its start
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
	read.Close()
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("after SIGTERM: %v, want status 0", err)
	}
}

func TestUntilSignalEndsWithItsParent(t *testing.T) {
	parent, cancel := context.WithCancel(context.Background())
	ctx, stop := untilSignal(parent)
	defer stop()
	cancel()
	<-ctx.Done()
	if ctx.Err() != context.Canceled {
		t.Errorf("%v", ctx.Err())
	}
}

func TestUnknownCommand(t *testing.T) {
	testenv.SetEnv(t)
	status, out, errs := runProgram(t, "chek")
	const want = "rsyncd_exporter: \"chek\" is not a command (did you mean check?): the commands are serve, check, who, top, report, explain, backups, backfill, healthcheck, version, help\n"
	if status != exitUsage || out != "" || errs != want {
		t.Errorf("status %d, stdout %q, stderr %q; want %d and %q", status, out, errs, exitUsage, want)
	}
}

func TestVersion(t *testing.T) {
	testenv.SetEnv(t)
	for _, args := range [][]string{{"version"}, {"--version"}, {"-version"}} {
		status, out, errs := runProgram(t, args...)
		want := "rsyncd_exporter " + buildInfo().Version + " (revision "
		if status != exitOK || errs != "" || !strings.HasPrefix(out, want) || !strings.HasSuffix(out, ", "+runtime.Version()+", "+runtime.GOOS+"/"+runtime.GOARCH+")\n") {
			t.Errorf("%q: status %d, stdout %q, stderr %q", args, status, out, errs)
		}
	}
	if status, _, errs := runProgram(t, "version", "x"); status != exitUsage || !strings.Contains(errs, `unexpected argument "x"`) {
		t.Errorf("version x: status %d, stderr %q", status, errs)
	}
}

func TestHelp(t *testing.T) {
	testenv.SetEnv(t, "NOSUCH=x") // help is shown all the same
	_, help, _ := runProgram(t, "help")
	for _, args := range [][]string{{"--help"}, {"-h"}, {"serve", "--help"}, {"check", "-h"}, {"healthcheck", "--help"}, {"--listen-udp=:1", "-h", "--nosuch"}} {
		if status, out, errs := runProgram(t, args...); status != exitOK || out != help || errs != "" {
			t.Errorf("%q: status %d, stderr %q, stdout %q", args, status, errs, out)
		}
	}
	for _, c := range commands() {
		if !strings.Contains(help, "\n  "+c.name+" ") {
			t.Errorf("the command %s is not in the help", c.name)
		}
	}
	for _, s := range config.Defaults() {
		entry := "\n  " + s.Flag + ", " + s.Variable
		if s.Default != "" {
			entry += " (default " + s.Default + ")"
		}
		if s.Meaning == "" || !strings.Contains(help, entry+"\n        "+s.Meaning+"\n") {
			t.Errorf("%s is not in the help", s.Name)
		}
	}
	for _, flag := range []string{"-p FILE", "-f FILE", "-s SECONDS", "-x PORT"} {
		if !strings.Contains(help, "\n  "+flag+" ") {
			t.Errorf("the flag %s is not in the help", flag)
		}
	}
	if status, _, errs := runProgram(t, "help", "me"); status != exitUsage || !strings.Contains(errs, `unexpected argument "me"`) {
		t.Errorf("help me: status %d, stderr %q", status, errs)
	}
}

func TestSettingsAsMarkdown(t *testing.T) {
	testenv.SetEnv(t)
	status, out, _ := runProgram(t, "help", "--markdown")
	if status != exitOK || out != settingsMarkdown() {
		t.Errorf("status %d, %q", status, out)
	}
	lines := strings.Split(out, "\n")
	if len(lines) != 44 || lines[43] != "" { // heading, rule, 41 settings, nothing behind the last line feed
		t.Errorf("%d lines, want 38", len(lines))
	}
	const want = "| RSYNCD_EXPORTER_LOG_FORMAT | --log-format | `%o %h [%a] %m (%u) %f %l` | rsyncd.conf's log format, for transfer lines |"
	if !strings.Contains(out, "\n"+want+"\n") {
		t.Errorf("no line %s in\n%s", want, out)
	}
	for _, line := range lines[:21] {
		if got := strings.Count(line, "|") - strings.Count(line, `\|`); got != 5 {
			t.Errorf("%d bars, want 5: %s", got, line)
		}
	}
}
