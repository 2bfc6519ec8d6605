//go:build linux

package main

import (
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"rsyncd_exporter/internal/testenv"
)

// hostileNames says how many files each kind of transfer has in the property test: HOSTILE_NAMES, or a few.
func hostileNames(t *testing.T) int {
	t.Helper()
	s := os.Getenv("HOSTILE_NAMES")
	if s == "" {
		return 80
	}
	n, err := strconv.Atoi(s)
	if err != nil || n < 1 {
		t.Fatalf("HOSTILE_NAMES=%q is no number", s)
	}
	return n
}

// oddModules are names that rsyncd.conf takes. A module's label is the same text, made valid UTF-8.
var oddModules = []string{
	"brack[et", "a b (c) d", `quo"te's`, "x from y (1.2.3.4)", "1.2.3.4", `m"} 1 rsync_x{`, "send localhost [127.0.0.1", "é☃中文", "() ()", "{}",
	"x' tried from evil (6.6.6.6)", "rsync on mirror from x (1.2.3.4)", "sent 1 bytes received 2 bytes total size 3", "(u) x 5", "Ünïcödé", "_other",
	strings.Repeat("long", 32), "a#012", "a: b", "a%m", "@x", "\xff\xc3 \xe2\x98", "\u202e", `\`,
}

// A tree is a directory of files with hostile names, and what a daemon must log of it.
type tree struct {
	files, bytes, dirs int
}

// makeTree makes n files in a directory. Names whose line may or may not be cut, which depends on what the way to the exporter escapes,
// are left out, and so is whatever the file system doesn't take.
func (h *hostile) makeTree(t *testing.T, dir string, n int) (made tree) {
	t.Helper()
	for i := 0; made.files < n; i++ {
		path := h.path()
		if i < len(unfinished) { // each for certain
			path = strings.Trim(unfinished[i], " ")
		}
		const front = len("recv localhost [127.0.0.1] public () ")
		cut := len(path) >= 2047
		if !cut && front+4*len(path) > 1900 && front+len(path)+4*strings.Count(strconv.QuoteToASCII(path), `\`)+12 > 1900 ||
			cut && recordHeader.MatchString(path) { // see receiver's recordEnd
			continue
		}
		if os.MkdirAll(filepath.Join(dir, filepath.Dir(path)), 0o755) != nil {
			continue
		}
		size := h.IntN(50)
		f, err := os.OpenFile(filepath.Join(dir, path), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
		if err != nil {
			if !errors.Is(err, os.ErrExist) && !errors.Is(err, syscall.EISDIR) && !errors.Is(err, syscall.ENAMETOOLONG) && !errors.Is(err, syscall.ENOTDIR) {
				t.Fatal(err)
			}
			continue
		}
		_, err = f.Write(make([]byte, size))
		if err := errors.Join(err, f.Close()); err != nil {
			t.Fatal(err)
		}
		if made.files++; !cut {
			made.bytes += size
		}
	}
	err := filepath.WalkDir(dir, func(path string, e os.DirEntry, err error) error {
		if err == nil && e.IsDir() && path != dir {
			made.dirs++
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return made
}

// unglued cuts a text that would be so long and looks so much like two records that a log file's reader must take it for two texts of a
// client's (see receiver's recordEnd).
func unglued(text string) string {
	if recordHeader.MatchString(text) {
		return text[:min(len(text), 1500)]
	}
	return text
}

var recordHeader = regexp.MustCompile(`\d{4}/\d\d/\d\d \d\d:\d\d:\d\d \[\d+\] `)

// Files, paths, modules and users whose names are lines, headers and labels are counted as what they are, and as nothing else.
func TestHostileNames(t *testing.T) {
	t.Parallel()
	for _, input := range hostileInputs {
		t.Run(input.name, func(t *testing.T) {
			t.Parallel()
			h := newHostile(t)
			n := hostileNames(t)
			dir := testenv.Dir(t)
			modules := append([]string{"public", "void"}, oddModules...)
			configured := append([]string{"mirror", "incoming", "backup"}, modules...)
			e, d, _ := input.start(t, "--modules="+strings.Join(configured, ",")) // pids may come round, which no name is learned from
			addModules(t, d, modules...)
			public, empty := d.Module("added-0"), filepath.Join(dir, "empty")
			pushed := filepath.Join(dir, "pushed")
			for _, made := range []string{empty, pushed} {
				if err := os.Mkdir(made, 0o755); err != nil {
					t.Fatal(err)
				}
			}
			pull, push := h.makeTree(t, public, n), h.makeTree(t, pushed, n)
			rsync := func(want int, args ...string) {
				t.Helper()
				if code, out := testenv.Rsync(t, append([]string{"-r", "--timeout=60"}, args...)...); code != want {
					t.Fatalf("rsync %q: exit code %d, want %d:\n%.2000s", args, code, want, out)
				}
			}
			connections, rejected, sessions := 0, 0, 0
			transfer := func(want int, args ...string) {
				t.Helper()
				rsync(want, args...)
				connections++
				sessions++
			}
			transfer(0, d.URL("", "public/"), filepath.Join(dir, "pulled"))
			transfer(0, pushed+"/", d.URL("", "incoming/"))
			transfer(0, "--delete", empty+"/", d.URL("", "incoming/"))
			for _, m := range oddModules {
				c := attack(t, d, m)
				c.Start(t)
				c.Finish(t)
			}
			connections += len(oddModules)
			sessions += len(oddModules)
			few := max(n/4, 30)
			paths, names, users := 0, 0, 0
			for i := range few {
				c := testenv.Dial(t, d)
				if answer := c.AskFor(t, "void"); answer != "@RSYNCD: OK" {
					t.Fatalf("the daemon says %q", answer)
				}
				request := unglued(h.path())
				if i < len(unfinished) {
					request = unfinished[i]
				}
				c.Pull(t, "void/gone/"+request)
				c.Start(t)
				c.Finish(t)
				paths++

				name, _, _ := strings.Cut(h.text(900), "\n")
				if name = strings.ReplaceAll(name, "\r", ""); name != "" && name[0] != '#' && !slices.Contains(modules, name) {
					c := testenv.Dial(t, d)
					if answer := c.AskFor(t, name); !strings.HasPrefix(answer, "@ERROR: Unknown module") {
						t.Fatalf("module %q: the daemon says %q", name, answer)
					}
					names++
				}

				c = testenv.Dial(t, d)
				c.AskFor(t, "backup")
				user := strings.NewReplacer(" ", "_", "\n", "_", "\r", "_").Replace(unglued(h.text(2500)))
				if answer := c.Authenticate(t, user); !strings.HasPrefix(answer, "@ERROR: auth failed") {
					t.Fatalf("user %q: the daemon says %q", user, answer)
				}
				users++
			}
			testenv.Dial(t, d).AskFor(t, "last") // a line that was cut ends in a log file with the next one
			names++
			connections += paths + names + users
			sessions += paths
			rejected += names + users

			e.until(float64(sessions+rejected), "rsync_sessions_total")
			s := e.scrapeStrictly(map[string][]string{
				"module": strings.Split(strings.ToValidUTF8(strings.Join(configured, "\n"), "\uFFFD")+"\n", "\n"), "user": {""}, "host": hosts(), "version": {"3.5.0"},
			})
			e.identities(s)
			e.want(s, float64(connections), "rsync_connections_total")
			e.want(s, float64(sessions), "rsync_executions_total")
			e.want(s, float64(sessions-paths), "rsync_sessions_total", `outcome="ok"`)
			e.want(s, float64(paths), "rsync_sessions_total", `outcome="partial"`)
			e.want(s, float64(paths), "rsync_sessions_total", `outcome="partial"`, `module="void"`)
			e.want(s, float64(rejected), "rsync_sessions_total", `outcome="rejected"`)
			e.want(s, float64(names), "rsync_rejected_total", `module=""`, `reason="unknown_module"`)
			e.want(s, float64(users), "rsync_rejected_total", `module="backup"`, `reason="auth"`)
			e.want(s, float64(rejected), "rsync_rejected_total")
			e.want(s, float64(pull.files), "rsync_files_total", `module="public"`, `operation="send"`)
			e.want(s, float64(pull.bytes), "rsync_file_bytes_total", `module="public"`, `operation="send"`)
			e.want(s, float64(push.files), "rsync_files_total", `module="incoming"`, `operation="recv"`)
			e.want(s, float64(push.bytes), "rsync_file_bytes_total", `module="incoming"`, `operation="recv"`)
			e.want(s, float64(push.files+push.dirs), "rsync_files_total", `module="incoming"`, `operation="del."`)
			e.want(s, float64(pull.files+2*push.files+push.dirs), "rsync_files_total")
			e.want(s, float64(pull.bytes+push.bytes), "rsync_file_bytes_total")
			e.want(s, float64(paths), "rsync_file_errors_total")
			for _, m := range oddModules {
				label := strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(strings.ToValidUTF8(m, "\uFFFD"))
				e.want(s, 1, "rsync_executions_total", `module="`+label+`"`, `direction="send"`)
			}
			e.want(s, 0, "rsync_errors_total")
			e.want(s, 1, "rsync_daemon_starts_total")
			e.want(s, 0, "rsync_module_list_requests_total")
			e.want(s, 0, "rsync_upstream_lost_messages_total")
			e.want(s, 0, "rsyncd_exporter_discarded_total")
			e.want(s, 0, "rsync_messages_total", `kind="unrecognised"`)
			e.want(s, 0, "rsync_messages_total", `kind="implausible"`)
		})
	}
}
