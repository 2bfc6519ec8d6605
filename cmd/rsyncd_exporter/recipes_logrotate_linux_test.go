package main

import (
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"rsyncd_exporter/internal/testenv"
)

// The real logrotate rotates a real daemon's log and the exporter's session log by the shipped files, while a session is under way: by
// rename and, which the file advises against, by copytruncate. Every session counts once and has one line.
func TestShippedLogrotate(t *testing.T) {
	t.Parallel()
	for _, way := range []string{"create", "copytruncate"} {
		t.Run(way, func(t *testing.T) {
			t.Parallel()
			dir := testenv.Dir(t)
			log, sessions := filepath.Join(dir, "rsyncd.log"), filepath.Join(dir, "sessions.jsonl")
			create := "create 0640 root adm"
			kept := create
			if os.Geteuid() != 0 {
				kept = "create 0640" // only root may give files away
			}
			if way == "copytruncate" {
				kept = way
			}
			conf := shippedLogrotate(t, dir, "rsyncd", "/var/log/rsyncd.log", log, create, kept)
			confOfSessions := shippedLogrotate(t, dir, "rsyncd_exporter", "/var/log/rsyncd_exporter/sessions.jsonl", sessions)
			e := startExporter(t, "-p", log, "--session-log="+sessions)
			d := testenv.StartRsyncd(t, "", "--dparam=log file="+log)

			traffic(t, d)
			e.until(6, "rsync_sessions_total")
			rotate(t, dir, conf, confOfSessions)
			testenv.Until(t, time.Minute, "a new session log", func() bool { return exists(t, sessions) })
			pull := testenv.Dial(t, d)
			if answer := pull.AskFor(t, "mirror"); answer != "@RSYNCD: OK" {
				t.Fatalf("the daemon says %q", answer)
			}
			pull.Pull(t, "mirror/")
			e.until(5, "rsync_executions_total")
			rotate(t, dir, conf)
			pull.Start(t)
			pull.Finish(t) // its daemon goes on in the file that it has open
			pullReadme(t, d)
			e.until(6, "rsync_messages_total", `kind="summary"`)
			testenv.Until(t, time.Minute, "one line more, without which logrotate leaves the session log", func() bool { return linesOf(t, sessions) > 6 })
			rotate(t, dir, conf, confOfSessions)
			testenv.Until(t, time.Minute, "a new session log", func() bool { return exists(t, sessions) })
			traffic(t, d)
			s := e.until(14, "rsync_sessions_total")

			e.want(s, 14, "rsync_connections_total")
			e.want(s, 10, "rsync_executions_total")
			e.want(s, 5, "rsync_files_total", `module="mirror"`, `operation="send"`)
			e.want(s, 0, "rsync_messages_total", `kind="unrecognised"`)
			e.want(s, 0, "rsync_messages_total", `kind="implausible"`)
			gaps, rotations := 0.0, 3.0
			if way == "copytruncate" {
				gaps, rotations = rotations, gaps
			}
			e.want(s, gaps, "rsyncd_exporter_file_gaps_total", `reason="truncated"`)
			e.want(s, gaps, "rsyncd_exporter_file_gaps_total")
			e.want(s, rotations, "rsyncd_exporter_file_rotations_total")
			testenv.Until(t, time.Minute, "a line for each session", func() bool { return linesOf(t, sessions) >= 14 })
			if got := linesOf(t, sessions); got != 14 {
				t.Errorf("the session logs have %d lines, want 14", got)
			}
			for _, name := range []string{"rsyncd.log.1", "rsyncd.log.2.gz", "rsyncd.log.3.gz", "sessions.jsonl.1", "sessions.jsonl.2.gz"} {
				if !exists(t, filepath.Join(dir, name)) {
					t.Errorf("logrotate has made no %s", name)
				}
			}
		})
	}
}

// shippedLogrotate copies a file of deploy/logrotate, with replacements.
func shippedLogrotate(t *testing.T, dir, name string, replace ...string) (path string) {
	t.Helper()
	text := testenv.ReadDeployed(t, filepath.Join("logrotate", name))
	for i := 0; i < len(replace); i += 2 {
		if !strings.Contains(text, replace[i]) {
			t.Fatalf("deploy/logrotate/%s doesn't hold %q", name, replace[i])
		}
	}
	path = filepath.Join(dir, name+".conf")
	put(t, path, []byte(strings.NewReplacer(replace...).Replace(text)))
	return path
}

// rotate runs logrotate as if it were time.
func rotate(t *testing.T, dir string, confs ...string) {
	t.Helper()
	for _, conf := range confs {
		args := []string{"--force", "--state=" + filepath.Join(dir, "state"), conf}
		if out, err := exec.Command(testenv.Need(t, "logrotate"), args...).CombinedOutput(); err != nil || len(out) > 0 {
			t.Fatalf("logrotate %q: %v: %s", args, err, out)
		}
	}
}

func exists(t *testing.T, path string) bool {
	t.Helper()
	_, err := os.Stat(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	return err == nil
}

// linesOf counts the lines of a log and of what it was rotated to.
func linesOf(t *testing.T, log string) (lines int) {
	t.Helper()
	files, err := filepath.Glob(log + "*")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if filepath.Ext(file) == ".gz" {
			unpacked, err := gzip.NewReader(bytes.NewReader(content))
			if err == nil {
				content, err = io.ReadAll(unpacked)
			}
			if err != nil {
				t.Fatalf("%s: %v", file, err)
			}
		}
		lines += bytes.Count(content, []byte("\n"))
	}
	return lines
}
