package rsynclog_test

import (
	"maps"
	"strings"
	"testing"
	"unicode/utf8"

	"rsyncd_exporter/rsynclog"
)

func TestFailures(t *testing.T) {
	b := newTable(t, rsynclog.DefaultLimits())
	b.say(`7 connect from pc.example.org (192.0.2.1)
		7 rsync on data/a/../b from pc.example.org (192.0.2.1)
		7 rsync: [sender] send_files failed to open "/a" (in data): Permission denied (13)
		7 rsync: [sender] send_files failed to open "/b" (in data): Permission denied (13)
		7 rsync: [sender] send_files failed to open "/c" (in data): Input/output error (5)
		7 file has vanished: "/d" (in data)
		7 rsync: [sender] send_files failed to open "/e" (in data): Stale file handle (116)
		7 rsync: [sender] send_files failed to open "/f" (in data): No such device (19)`)
	got := b.sessions.Session(b.host, 7)
	want := rsynclog.Failures{{Errno: 13, N: 2}, {Errno: 5, N: 1}, {Errno: 0, N: 1}, {Errno: 0, N: 2}}
	if got.Failures != want {
		t.Errorf("failures are %v, want %v", got.Failures, want)
	}
	if got.Name != "pc.example.org" || got.Request != "data/a/../b" {
		t.Errorf("name %q, request %q", got.Name, got.Request)
	}
}

// A line about a directory is no file. By hand: two files were sent and one deleted.
func TestFileCounts(t *testing.T) {
	c := rsynclog.FileCounts{rsynclog.NoOp: 7, rsynclog.OpSend: 2, rsynclog.OpDel: 1}
	if got := c.Files(); got != 3 {
		t.Errorf("%d files, want 3", got)
	}
	if got, want := c.ByOp(), map[string]uint64{"send": 2, "del.": 1}; !maps.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
	f := rsynclog.Failures{{Errno: 13, N: 2}, {Errno: 0, N: 1}, {}, {Errno: 0, N: 4}}
	if got, want := f.ByErrno(), map[string]uint64{"13": 2, "0": 5}; !maps.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}

func TestLastPath(t *testing.T) {
	var s rsynclog.Session
	if got := rsynclog.PathText(s.AppendPath(nil)); got != "" {
		t.Errorf("%q before any", got)
	}
	s.Saw([]byte(`a/\#033[2J` + "\xff\x07"))
	if got, want := rsynclog.PathText(s.AppendPath(nil)), "a/\uFFFD[2J\uFFFD\uFFFD"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	if got := string(s.AppendPath([]byte("x"))); !strings.HasPrefix(got, "xa/") {
		t.Errorf("%q is not appended", got)
	}
	view := []byte("b/c")
	if !s.Sees(view) || s.Sees(view) {
		t.Error("Keep is asked for once")
	}
	s.Keep()
	copy(view, "xxx")
	if got := rsynclog.PathText(s.AppendPath(nil)); got != "b/c" {
		t.Errorf("%q, want what Keep has copied", got)
	}
	s.Saw([]byte("a longer path than " + strings.Repeat("before/", 20)))
	if got := string(s.AppendPath(nil)); !strings.HasSuffix(got, "before/before/") || len(got) != 159 {
		t.Errorf("%q", got)
	}
	s.Saw([]byte("top/" + strings.Repeat("é", 60) + "/" + strings.Repeat("ü", 90) + "/f"))
	if got, want := rsynclog.PathText(s.AppendPath(nil)), "…/"+strings.Repeat("ü", 90)+"/f"; got != want || !utf8.ValidString(got) {
		t.Errorf("%q, want %q", got, want)
	}
}

// A session that is over stays in the table for an hour, and nobody asks for its path.
func TestPathsAreForgotten(t *testing.T) {
	b := newTable(t, rsynclog.DefaultLimits())
	b.say(`7 connect from pc.example.org (192.0.2.1)
		7 rsync on data/ from pc.example.org (192.0.2.1)`)
	s := b.sessions.Session(b.host, 7)
	s.Saw([]byte("a/b"))
	s.Sees([]byte("a/c"))
	if got := string(s.AppendPath(nil)); got != "a/b" {
		t.Fatalf("%q while it runs", got)
	}
	b.say("+24h1m")
	s.Keep()
	s.Saw([]byte("a/d"))
	if got := s.AppendPath(nil); s.State() != "" || len(got) > 0 || s.Request != "" {
		t.Errorf("%q and request %q of a session in state %q", got, s.Request, s.State())
	}
}
