package checkpoint_test

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"rsyncd_exporter/checkpoint"
)

var fixedTime = time.Date(2026, 11, 26, 11, 22, 19, 123456789, time.UTC)

// payloadOf returns a payload that says its number and that differs from others all over.
func payloadOf(n int) []byte {
	p := fmt.Appendf(nil, "%d ", n)
	random := rand.NewChaCha8([32]byte{byte(n), byte(n >> 8), byte(n >> 16)})
	filling := make([]byte, 300)
	random.Read(filling)
	return append(p, filling...)
}

// numberOf returns the number of a payload, and an error if not all of it is payloadOf that number.
func numberOf(payload []byte) (n int, err error) {
	if _, err := fmt.Sscan(string(payload), &n); err != nil {
		return 0, fmt.Errorf("payload %.20q…: %w", payload, err)
	}
	if !bytes.Equal(payload, payloadOf(n)) {
		return 0, fmt.Errorf("payload of %d bytes says that it is number %d and isn't", len(payload), n)
	}
	return n, nil
}

// open opens a directory until the test ends.
func open(t testing.TB, path string) *checkpoint.Dir {
	t.Helper()
	d, err := checkpoint.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	return d
}

// load opens a directory, loads and closes it.
func load(t testing.TB, path string) (checkpoint.Saved, error) {
	t.Helper()
	d, err := checkpoint.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	return d.Load()
}

// holding returns a directory in which the payloads were saved, one after the other, and which is closed again.
func holding(t testing.TB, payloads ...[]byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "state")
	d := open(t, path)
	if _, err := d.Load(); !errors.Is(err, checkpoint.ErrNone) {
		t.Fatalf("%v, want ErrNone", err)
	}
	for _, p := range payloads {
		if err := d.Save(p); err != nil {
			t.Fatal(err)
		}
	}
	d.Close()
	return path
}

func read(t testing.TB, path ...string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(path...))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func write(t testing.TB, content []byte, path ...string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(path...), content, 0o600); err != nil {
		t.Fatal(err)
	}
}

// names lists a directory.
func names(t testing.TB, path string) string {
	t.Helper()
	entries, err := os.ReadDir(path)
	if err != nil {
		t.Fatal(err)
	}
	var list []string
	for _, e := range entries {
		list = append(list, e.Name())
	}
	return strings.Join(list, " ")
}

// mentions fails the test unless the error holds all of the words.
func mentions(t testing.TB, err error, words ...string) {
	t.Helper()
	if err == nil {
		t.Errorf("no error, want one with %q", words)
		return
	}
	for _, w := range words {
		if !strings.Contains(err.Error(), w) {
			t.Errorf("the error %q doesn't say %q", err, w)
		}
	}
}

func TestSaveAndLoad(t *testing.T) {
	before := time.Now()
	path := holding(t, []byte("first"), nil, payloadOf(7))
	if got := names(t, path); got != "lock state.a state.b" {
		t.Errorf("the directory has %q", got)
	}
	if a, b := read(t, path, "state.a"), read(t, path, "state.b"); !bytes.Equal(a, b) {
		t.Errorf("the copies differ:\n%.150q\n%.150q", a, b)
	}
	s, err := load(t, path)
	if err != nil || !bytes.Equal(s.Payload, payloadOf(7)) || s.Sequence != 3 || s.Damaged != nil {
		t.Errorf("loaded %.20q, sequence %d, damaged %v, %v; want payload 7, the third", s.Payload, s.Sequence, s.Damaged, err)
	}
	if s.At.Before(before) || s.At.After(time.Now()) {
		t.Errorf("saved at %s, want a moment since %s", s.At, before)
	}
	for name, want := range map[string]fs.FileMode{"": 0o700 | fs.ModeDir, "lock": 0o600, "state.a": 0o600, "state.b": 0o600} {
		if info, err := os.Stat(filepath.Join(path, name)); err != nil || info.Mode() != want {
			t.Errorf("%q has mode %s (%v), want %s", name, info.Mode(), err, want)
		}
	}
}

func TestEmptyPayload(t *testing.T) {
	s, err := load(t, holding(t, []byte{}))
	if err != nil || len(s.Payload) != 0 || s.Sequence != 1 {
		t.Errorf("%+v, %v", s, err)
	}
}

// What a file looks like, with the checksum worked out bit by bit in another language.
func TestFormat(t *testing.T) {
	at := time.Date(2026, 11, 26, 12, 22, 19, 5, time.FixedZone("", 3600))
	const want = "rsyncd_exporter state 1 sequence=00000000000000000012 saved=2026-11-26T11:22:19.000000005Z length=00000007 crc32c=c14ba42f\n"
	got := string(checkpoint.Header(12, at, []byte("payload")))
	if got != want {
		t.Errorf("header\n%q, want\n%q", got, want)
	}
	if len(got) != checkpoint.HeaderSize {
		t.Errorf("%d bytes, want %d", len(got), checkpoint.HeaderSize)
	}
	var c checkpoint.Copy
	if err := c.Decode([]byte(want + "payload")); err != nil || c.Sequence != 12 || !c.At.Equal(at) || string(c.Payload) != "payload" {
		t.Errorf("%+v, %v", c, err)
	}
}

// Each reason not to trust a file has its words.
func TestReasons(t *testing.T) {
	good := string(checkpoint.Header(12, time.Unix(0, 0), []byte("payload"))) + "payload"
	for _, c := range []struct{ content, want string }{
		{"", "is empty"},
		{good[:10], "cut off after 10 bytes"},
		{good[:60], "cut off after 60 bytes, in its header"},
		{good[:len(good)-1], "has 6 bytes after its header, which says 7"},
		{good + "\n", "has 8 bytes after its header, which says 7"},
		{"# HELP go_goroutines Number", `is no state file, as it begins with "# HELP go_goroutines N"`},
		{strings.Replace(good, "state 1", "state 2", 1), "has format version 2, and this program knows version 1 only"},
		{"rsyncd_exporter state 12", "has format version 12,"},
		{strings.Replace(good, "state 1", "state x", 1), "has no format version"},
		{strings.Replace(good, "sequence=0", "sequence=1", 1), "is damaged"},
		{strings.Replace(good, "sequence=00000000000000000012", "sequence=00000000000000000x12", 1), "has a damaged header"},
		{strings.Replace(good, "sequence=00000000000000000012", "sequence=99999999999999999999", 1), "has a damaged header"},
		{strings.Replace(good, "saved=1970", "saved=1971", 1), "is damaged"},
		{strings.Replace(good, "-01T", "-41T", 1), "has a damaged header"},
		{strings.Replace(good, "payload", "Payload", 1), "is damaged"},
		{strings.Replace(good, "length=00000007", "length=-0000007", 1), "which says -7"},
	} {
		var copy checkpoint.Copy
		if err := copy.Decode([]byte(c.content)); err == nil || !strings.Contains(err.Error(), c.want) || copy.Payload != nil {
			t.Errorf("%q: %v, payload %q, want %q", c.content, err, copy.Payload, c.want)
		}
	}
}

// The newest valid copy is used, and what is wrong with the other one is said.
func TestCopiesThatDiffer(t *testing.T) {
	file := func(sequence uint64, payload string) string {
		return string(checkpoint.Header(sequence, time.Unix(1, 0), []byte(payload))) + payload
	}
	const none = "none" // of that name
	for _, c := range []struct{ name, a, b, want, damaged string }{
		{"first is newer", file(2, "new"), file(1, "old"), "new", ""},
		{"second is newer", file(1, "old"), file(2, "new"), "new", ""},
		{"first is newer and damaged", file(2, "new") + "x", file(1, "old"), "old", "state.a: has 4 bytes"},
		{"second is damaged", file(1, "old"), file(2, "new")[:99], "old", "state.b: is cut off"},
		{"first is missing", none, file(1, "old"), "old", "state.a: no such file"},
		{"second is missing", file(1, "old"), none, "old", "state.b: no such file"},
		{"the same number, and other content", file(1, "here"), file(1, "there"), "here", "state.b: differs from state.a"},
		{"the last number", file(3, "old"), file(math.MaxUint64, "new"), "new", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := t.TempDir()
			for name, content := range map[string]string{"state.a": c.a, "state.b": c.b} {
				if content != none {
					write(t, []byte(content), path, name)
				}
			}
			d := open(t, path)
			s, err := d.Load()
			if err != nil || string(s.Payload) != c.want {
				t.Fatalf("loaded %q, %v, want %q", s.Payload, err, c.want)
			}
			if c.damaged == "" && s.Damaged != nil || c.damaged != "" && len(s.Damaged) != 1 {
				t.Errorf("damaged: %v, want %q", s.Damaged, c.damaged)
			} else if c.damaged != "" {
				mentions(t, s.Damaged[0], c.damaged, path)
			}
			if s.Sequence == math.MaxUint64 {
				mentions(t, d.Save(nil), "used up")
				return
			}
			if err := d.Save([]byte("next")); err != nil {
				t.Fatal(err)
			}
			if next, err := d.Load(); err != nil || string(next.Payload) != "next" || next.Damaged != nil || next.Sequence != s.Sequence+1 {
				t.Errorf("after a save: %+v, %v", next, err)
			}
		})
	}
}

// A failed attempt's number isn't given to another content.
func TestFailedSaveHasItsNumber(t *testing.T) {
	path := holding(t, payloadOf(1))
	d := open(t, path)
	if _, err := d.Load(); err != nil {
		t.Fatal(err)
	}
	second := filepath.Join(path, "state.b")
	if err := errors.Join(os.Remove(second), os.Mkdir(second, 0o700)); err != nil {
		t.Fatal(err)
	}
	mentions(t, d.Save(payloadOf(2)), "state.b: replacing it by state.tmp")
	if got := names(t, path); got != "lock state.a state.b" {
		t.Errorf("the directory has %q", got)
	}
	if err := os.Remove(second); err != nil {
		t.Fatal(err)
	}
	if err := d.Save(payloadOf(3)); err != nil {
		t.Fatal(err)
	}
	if s, err := d.Load(); err != nil || s.Sequence != 3 || s.Damaged != nil {
		t.Errorf("sequence %d, damaged %v, %v; want the third attempt", s.Sequence, s.Damaged, err)
	}
}

func TestSaveLimits(t *testing.T) {
	path := t.TempDir()
	d := open(t, path)
	mentions(t, d.Save(nil), "Save before Load")
	if _, err := d.Load(); !errors.Is(err, checkpoint.ErrNone) {
		t.Fatal(err)
	}
	mentions(t, d.Save(make([]byte, checkpoint.MaxPayload+1)), "67108865 bytes, of which 67108864")
	if got := names(t, path); got != "lock" {
		t.Errorf("the directory has %q", got)
	}
}

// The largest payload can be loaded; a file that is larger is refused without being read.
func TestLargestPayload(t *testing.T) {
	path := holding(t, bytes.Repeat([]byte{1}, checkpoint.MaxPayload))
	if s, err := load(t, path); err != nil || len(s.Payload) != checkpoint.MaxPayload || s.Damaged != nil {
		t.Errorf("%d bytes, damaged %v, %v", len(s.Payload), s.Damaged, err)
	}
	for _, name := range checkpoint.CopyNames {
		if err := os.Truncate(filepath.Join(path, name), 1<<40); err != nil { // sparse
			t.Fatal(err)
		}
	}
	_, err := load(t, path)
	if !errors.Is(err, checkpoint.ErrUntrusted) {
		t.Errorf("%v, want ErrUntrusted", err)
	}
	mentions(t, err, "state.a: has 1099511627776 bytes", "state.b: has")
}

// A stale state.tmp is no obstacle, whatever it is, and is never read.
func TestStaleTmp(t *testing.T) {
	path := holding(t, payloadOf(1))
	d := open(t, path)
	for i, stale := range []func(tmp string) error{
		func(tmp string) error { return os.WriteFile(tmp, checkpoint.Header(99, time.Now(), nil), 0o400) },
		func(tmp string) error { return os.Symlink("/dev/full", tmp) },
		func(tmp string) error { return os.Link(filepath.Join(path, "lock"), tmp) },
	} {
		if err := stale(filepath.Join(path, "state.tmp")); err != nil {
			t.Fatal(err)
		}
		if s, err := d.Load(); err != nil || s.Sequence != uint64(1+i) || s.Damaged != nil {
			t.Fatalf("%+v, %v", s, err)
		}
		if err := d.Save(payloadOf(2 + i)); err != nil {
			t.Fatal(err)
		}
		if got := names(t, path); got != "lock state.a state.b" {
			t.Errorf("the directory has %q", got)
		}
	}
	if b := read(t, path, "lock"); len(b) != 0 {
		t.Errorf("the lock file holds %q", b)
	}
	if err := os.Mkdir(filepath.Join(path, "state.tmp"), 0o700); err != nil {
		t.Fatal(err)
	}
	mentions(t, d.Save(nil), "removing an old state.tmp")
}

func TestLook(t *testing.T) {
	path := holding(t, payloadOf(1), payloadOf(2))
	d := open(t, path) // the lock is no obstacle
	if _, err := d.Load(); err != nil {
		t.Fatal(err)
	}
	write(t, []byte("rsyncd_exporter state 2 and so on"), path, "state.b")
	copies := checkpoint.Look(path + "/")
	a, b := copies[0], copies[1]
	if a.Name != "state.a" || a.Err != nil || a.Sequence != 2 || a.Version != 1 || a.Size != int64(checkpoint.HeaderSize)+302 || !bytes.Equal(a.Payload, payloadOf(2)) {
		t.Errorf("%+v", a)
	}
	if b.Name != "state.b" || b.Version != 2 || b.Size != 33 || b.Payload != nil {
		t.Errorf("%+v", b)
	}
	mentions(t, b.Err, "state.b: has format version 2")

	for _, c := range checkpoint.Look(t.TempDir()) {
		if !errors.Is(c.Err, fs.ErrNotExist) {
			t.Errorf("%s: %v, want that it doesn't exist", c.Name, c.Err)
		}
	}
	none := filepath.Join(t.TempDir(), "none")
	for _, c := range checkpoint.Look(none) {
		mentions(t, c.Err, none, "no such file or directory")
	}
	if _, err := os.Lstat(none); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("looking made the directory: %v", err)
	}
}
