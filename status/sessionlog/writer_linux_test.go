package sessionlog_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"rsyncd_exporter/internal/testenv"
	"rsyncd_exporter/status/sessionlog"
)

// A pen is a Writer that runs, and what it has reported.
type pen struct {
	*sessionlog.Writer
	q      *sessionlog.Queue
	reopen chan os.Signal
	stop   func() // waits for its end

	mu       sync.Mutex
	reported []string
}

func write(t *testing.T, q *sessionlog.Queue, path string) *pen {
	p := &pen{q: q, reopen: make(chan os.Signal)}
	p.Writer = sessionlog.NewWriter(q, sessionlog.Options{
		Path: path, Mode: 0o640, Reopen: p.reopen,
		Report: func(err error) {
			p.mu.Lock()
			defer p.mu.Unlock()
			if err == nil {
				p.reported = append(p.reported, "ok")
			} else {
				p.reported = append(p.reported, err.Error())
			}
		},
	})
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() {
		if err := p.Run(ctx); err != nil {
			t.Error(err)
		}
	})
	p.stop = func() { cancel(); running.Wait() }
	t.Cleanup(p.stop)
	return p
}

// said returns what has been reported.
func (p *pen) said() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.reported)
}

// release does what a save does, and returns the durable Record.
func release(q *sessionlog.Queue) *sessionlog.Record {
	r := q.Record()
	q.Release(r)
	return r
}

// turn lets the Writer look.
func turn() {
	time.Sleep(1100 * time.Millisecond)
	synctest.Wait()
}

func same(t *testing.T, what string, got, want any) {
	t.Helper()
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%s: %v, want %v", what, got, want)
	}
}

func TestLinesOfAnOrdinarySession(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "sessions")
		q := sessionlog.NewQueue(nil, false, 0)
		write(t, q, path)
		end(q, pushed(7))
		turn()
		// From second 10 to second 100: 90 seconds, and 12:00:00 is second 0.
		want := `{"time":"2026-11-30T12:01:40Z","started":"2026-11-30T12:00:10Z","host":"nas","pid":7,` +
			`"client":{"name":"pc.example.org","address":"192.0.2.77"},"module":"backup","user":"alice","direction":"receive",` +
			`"outcome":"ok","duration_seconds":90,"sent_bytes":166,"received_bytes":3000,"listed_bytes":9000,"files":{"recv":3}}` + "\n"
		if got := read(t, path); got != want {
			t.Errorf("%s\nwant\n%s", got, want)
		}
		info, err := os.Stat(path)
		if err != nil || info.Mode() != 0o640 {
			t.Errorf("mode %v, %v", info.Mode(), err)
		}
	})
}

// logrotate renames or removes the file and tells nobody, or it copies and truncates it.
func TestTheFileIsRotated(t *testing.T) {
	for _, durable := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "sessions")
			q := sessionlog.NewQueue(nil, durable, 0)
			w := write(t, q, path)
			next := int32(0)
			session := func() {
				next++
				end(q, pushed(next))
				for range 3 { // saves; the second has the new file, the third what follows
					release(q)
					turn()
				}
			}
			session()
			move(t, path, path+".1")
			session()
			same(t, "renamed", pids(t, read(t, path+".1")), []int32{1})
			same(t, "made again", pids(t, read(t, path)), []int32{2})
			if err := os.Remove(path); err != nil {
				t.Fatal(err)
			}
			session()
			same(t, "after it was removed", pids(t, read(t, path)), []int32{3})
			if err := os.Truncate(path, 0); err != nil {
				t.Fatal(err)
			}
			session()
			same(t, "after copytruncate", pids(t, read(t, path)), []int32{4})
			move(t, path, path+".2")
			w.reopen <- syscall.SIGHUP
			synctest.Wait()
			same(t, "a file at once after SIGHUP", read(t, path), "")
			same(t, "reported", len(w.said()), 0)
		})
	}
}

func move(t *testing.T, from, to string) {
	t.Helper()
	if err := os.Rename(from, to); err != nil {
		t.Fatal(err)
	}
}

// A line is written only when a durable Record has it, and names the file that it is written to.
func TestNothingIsWrittenBeforeItIsSaved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "sessions")
		q := sessionlog.NewQueue(nil, true, 0)
		write(t, q, path)
		synctest.Wait()
		release(q) // names the file
		end(q, pushed(1))
		turn()
		same(t, "not saved", read(t, path), "")
		same(t, "something waits", q.Unsaved(), true)
		release(q)
		synctest.Wait()
		same(t, "saved", pids(t, read(t, path)), []int32{1})
		same(t, "something waits", q.Unsaved(), false)

		move(t, path, path+".1")
		blank := strings.Repeat(" ", 1000) + "\n"
		if err := os.WriteFile(path, []byte(blank), 0o600); err != nil { // longer than the old one
			t.Fatal(err)
		}
		end(q, pushed(2))
		release(q) // the Record still names the old file
		synctest.Wait()
		same(t, "not saved with the new file", read(t, path), blank)
		same(t, "something waits", q.Unsaved(), true)
		release(q)
		synctest.Wait()
		same(t, "saved with the new file", pids(t, strings.TrimPrefix(read(t, path), blank)), []int32{2})

		release(q)
		synctest.Wait()
		if err := os.Truncate(path, 0); err != nil {
			t.Fatal(err)
		}
		end(q, pushed(3))
		release(q) // the Record still has the old size
		synctest.Wait()
		same(t, "not saved with the new size", read(t, path), "")
		release(q)
		synctest.Wait()
		same(t, "saved with the new size", pids(t, read(t, path)), []int32{3})
	})
}

// SIGKILL may come after any byte. What a restart writes completes the lines, whatever the file is called by then.
func TestAKillAfterAnyByte(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "sessions")
		q := sessionlog.NewQueue(nil, true, 0)
		w := write(t, q, path)
		end(q, pushed(1))
		turn()
		release(q)
		synctest.Wait()
		end(q, pushed(2), pushed(3), pushed(3)) // the last two are the same to the byte
		saved := release(q)
		synctest.Wait()
		w.stop()
		whole := read(t, path)
		same(t, "written", pids(t, whole), []int32{1, 2, 3, 3})
		begin := strings.Index(whole, "\n") + 1
		for cut := begin; cut <= len(whole); cut += 1 + cut%17 {
			for _, rotated := range []bool{false, true} {
				if err := errors.Join(removed(path), removed(path+".1"), os.WriteFile(path, []byte(whole[:cut]), 0o600)); err != nil {
					t.Fatal(err)
				}
				old := path
				if rotated {
					old = path + ".1"
					move(t, path, old)
				}
				rec := *saved
				rec.Log.Inode = inode(t, old)
				again := restart(t, &rec)
				w := write(t, again, path)
				for range 2 {
					turn()
					release(again)
				}
				w.stop()
				if rotated {
					if got := read(t, old) + read(t, path); got != whole {
						t.Fatalf("cut at %d, renamed: %q", cut, got)
					}
				} else if got := read(t, path); got != whole {
					t.Fatalf("cut at %d: %q", cut, got)
				}
				same(t, "reported", len(w.said()), 0)
				same(t, "counts", again.Counts(), sessionlog.Counts{Written: 4})
			}
		}
	})
}

func removed(path string) error {
	if err := os.Remove(path); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

func inode(t *testing.T, path string) uint64 {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	return info.Sys().(*syscall.Stat_t).Ino
}

// What may be written twice after a kill is said: the file that might have it is gone.
func TestTheFileIsGoneAfterAKill(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "sessions")
		q := sessionlog.NewQueue(&sessionlog.Record{Log: sessionlog.Place{Path: path, Inode: 1 << 60}}, true, 0)
		end(q, pushed(1))
		again := restart(t, q.Record())
		w := write(t, again, path)
		turn()
		release(again)
		synctest.Wait()
		same(t, "written", pids(t, read(t, path)), []int32{1})
		if len(w.said()) != 1 || !strings.Contains(w.said()[0], "may be there twice, after the program was killed: 1:") {
			t.Errorf("reported: %q", w.said())
		}
	})
}

// A FIFO that nobody reads, a directory that isn't there: said once, tried again, and nothing is lost but what finds no room.
func TestTheLogCantBeWritten(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "fifo")
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		q := sessionlog.NewQueue(nil, false, 0)
		w := write(t, q, path)
		end(q, pushed(1))
		turn()
		turn()
		same(t, "OK", w.OK(), false)
		if len(w.said()) != 1 || !strings.Contains(w.said()[0], "nobody reads this FIFO") {
			t.Fatalf("reported: %q", w.said())
		}
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
		turn()
		same(t, "written", pids(t, read(t, path)), []int32{1})
		same(t, "reported last", w.said()[len(w.said())-1:], []string{"ok"})
	})
}

// Half a line of somebody else doesn't spoil one of ours.
func TestTheFileEndsWithinALine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "sessions")
		if err := os.WriteFile(path, []byte("half a li"), 0o600); err != nil {
			t.Fatal(err)
		}
		q := sessionlog.NewQueue(nil, true, 0)
		write(t, q, path)
		turn()
		end(q, pushed(1))
		release(q)
		synctest.Wait()
		begin, line, _ := strings.Cut(read(t, path), "\n")
		same(t, "what was there", begin, "half a li")
		same(t, "line", pids(t, line), []int32{1})
	})
}

// A short writer takes some bytes and fails.
type shortWriter struct {
	bytes.Buffer
	room int
}

func (w *shortWriter) Write(b []byte) (int, error) {
	n, _ := w.Buffer.Write(b[:min(len(b), w.room)])
	if w.room -= n; n < len(b) {
		return n, syscall.EAGAIN
	}
	return n, nil
}

// Of what standard output has taken, whole lines aren't written again.
func TestStandardOutput(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := sessionlog.NewQueue(nil, false, 0)
		out := &shortWriter{room: 1000} // three lines and something
		w := sessionlog.NewWriter(q, sessionlog.Options{Path: "-", Stdout: out, Report: func(error) {}})
		end(q, pushed(1), pushed(2), pushed(3), pushed(4))
		ctx, stop := context.WithCancel(t.Context())
		var running sync.WaitGroup
		running.Go(func() { _ = w.Run(ctx) })
		turn()
		taken := strings.LastIndex(out.String(), "\n") + 1
		same(t, "whole lines", pids(t, out.String()[:taken]), []int32{1, 2, 3})
		out.Truncate(taken)
		out.room = 1000
		stop()
		running.Wait()
		same(t, "in the end", pids(t, out.String()), []int32{1, 2, 3, 4})
	})
}

func TestCheck(t *testing.T) {
	dir := t.TempDir()
	for path, want := range map[string]string{
		"-": "", dir + "/new": "", dir: "is a directory", dir + "/no/such": "no such file or directory",
	} {
		err := sessionlog.Check(path)
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: %v, want %q", path, err, want)
		}
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 0 {
		t.Errorf("it has made %v, %v", entries, err)
	}
}

// A full disk takes some lines and a part of one more. Nothing of that part stays, and nothing is there twice when there is room again.
func TestAFullDisk(t *testing.T) {
	dir := testenv.Dir(t)
	command := testenv.OwnMounts(t, "/bin/sh", "-c",
		`mount -t tmpfs -o mode=700,size=32k none "$1" && echo mounted && exec sleep 86400`, "sh", dir)
	holder := testenv.Start(t, exec.Command(command[0], command[1:]...))
	holder.Ready(t, "a small disk", func() bool { return strings.Contains(holder.Output(), "mounted") })
	path := filepath.Join("/proc", fmt.Sprint(holder.Pid()), "root", dir, "sessions")
	if err := os.WriteFile(path+".1", make([]byte, 16<<10), 0o600); err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		q := sessionlog.NewQueue(nil, true, 0)
		w := write(t, q, path)
		var want []int32
		for pid := range int32(100) { // 30,000 bytes; the disk has room for 12 to 16 KiB
			end(q, pushed(pid))
			want = append(want, pid)
		}
		for range 3 {
			release(q)
			turn()
		}
		some := pids(t, read(t, path))
		if len(some) < 30 || len(some) > 60 || q.Counts().Written != uint64(len(some)) {
			t.Errorf("%d lines, and %+v", len(some), q.Counts())
		}
		same(t, "OK", w.OK(), false)
		if len(w.said()) != 1 || !strings.Contains(w.said()[0], "no space left on device") {
			t.Errorf("reported: %q", w.said())
		}
		if err := os.Remove(path + ".1"); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			release(q)
			turn()
		}
		same(t, "in the end", pids(t, read(t, path)), want)
		same(t, "OK", w.OK(), true)
	})
}
