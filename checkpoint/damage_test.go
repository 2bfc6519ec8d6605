package checkpoint_test

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"rsyncd_exporter/checkpoint"
	"rsyncd_exporter/internal/testenv"
)

// A bench loads from two file contents without the cost of opening a directory each time.
type bench struct {
	t    testing.TB
	path string
	d    *checkpoint.Dir
}

func newBench(t testing.TB) *bench {
	path := t.TempDir()
	d, err := checkpoint.OpenUnlocked(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.CloseUnlocked() })
	return &bench{t, path, d}
}

// load loads from the contents; nil is a copy that is missing.
func (b *bench) load(contents ...[]byte) (checkpoint.Saved, error) {
	b.t.Helper()
	for i, content := range contents {
		path := filepath.Join(b.path, checkpoint.CopyNames[i])
		if content != nil {
			write(b.t, content, path)
		} else if err := os.Remove(path); err != nil && !os.IsNotExist(err) {
			b.t.Fatal(err)
		}
	}
	return b.d.Load()
}

// flip returns the content with one bit the other way.
func flip(content []byte, bit int) []byte {
	c := bytes.Clone(content)
	c[bit/8] ^= 1 << (bit % 8)
	return c
}

// FAULTS D4: a file of a small state cut off at any byte, and with any bit flipped; of a large one, any bit of the header and random ones of
// the payload. One copy so: the other is used. Both copies so, in the same way or in two: none is.
func TestEveryPrefixAndBitFlip(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(testenv.Seed(t), 0))
	large := make([]byte, 300<<10)
	for i := range large {
		large[i] = byte(random.Uint32())
	}
	for _, payload := range [][]byte{payloadOf(1)[:20], large} {
		good := append(checkpoint.Header(5, time.Now(), payload), payload...)
		var cases [][]byte
		add := func(content []byte) { cases = append(cases, content) }
		if small := len(payload) == 20; small {
			for i := range good {
				add(good[:i:i])
			}
			for bit := range len(good) * 8 {
				add(flip(good, bit))
			}
		} else {
			for range 30 {
				add(good[:random.IntN(len(good))])
				add(flip(good, checkpoint.HeaderSize*8+random.IntN(len(payload)*8)))
				add(flip(good, random.IntN(checkpoint.HeaderSize*8)))
			}
			for bit := range checkpoint.HeaderSize * 8 { // of these, only the header: reading them all takes a while
				var c checkpoint.Copy
				if err := c.Decode(flip(good, bit)); err == nil || c.Payload != nil {
					t.Errorf("bit %d of the header flipped: %v", bit, err)
				}
			}
		}
		add(append(bytes.Clone(good), 0))
		add(make([]byte, len(good)))

		b := newBench(t)
		for i, bad := range cases {
			for _, pair := range [][2][]byte{{bad, good}, {good, bad}} {
				s, err := b.load(pair[0], pair[1])
				if err != nil || !bytes.Equal(s.Payload, payload) || s.Sequence != 5 || len(s.Damaged) != 1 {
					t.Fatalf("case %d: %v, sequence %d, damaged %v; want the good copy", i, err, s.Sequence, s.Damaged)
				}
			}
			if s, err := b.load(bad, cases[random.IntN(len(cases))]); !errors.Is(err, checkpoint.ErrUntrusted) || s.Payload != nil {
				t.Fatalf("case %d: %v, payload %.20q; want ErrUntrusted", i, err, s.Payload)
			}
			if _, err := b.load(bad, nil); !errors.Is(err, checkpoint.ErrUntrusted) {
				t.Fatalf("case %d alone: %v, want ErrUntrusted", i, err)
			}
		}
		t.Logf("%d cases for %d bytes of payload", len(cases), len(payload))
	}
}

// Damage to both copies costs the state once: they are set aside, the next life starts from nothing and the one after it finds what that has
// saved. A program that is started again and again, and dies before it saves, gets the same answer each time.
func TestBothDamagedThenWorksAsNew(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state")
	for round := 1; round <= 3; round++ {
		write := func(name string, content []byte) { write(t, content, path, name) }
		func() {
			d := open(t, path)
			defer d.Close()
			if _, err := d.Load(); !errors.Is(err, checkpoint.ErrNone) {
				t.Fatalf("round %d: %v, want ErrNone", round, err)
			}
			if err := d.Save(payloadOf(round)); err != nil {
				t.Fatal(err)
			}
		}()
		write("state.a", []byte(fmt.Sprintf("damage %d", round)))
		write("state.b", read(t, path, "state.b")[:100+round])
		for range 3 {
			_, err := load(t, path)
			if !errors.Is(err, checkpoint.ErrUntrusted) {
				t.Fatalf("round %d: %v, want ErrUntrusted", round, err)
			}
			mentions(t, err, path, "state.a: is no state file", fmt.Sprintf("state.b: is cut off after %d bytes", 100+round))
		}
		d := open(t, path)
		if err := d.SetAside(); err != nil {
			t.Fatal(err)
		}
		d.Close()
		if got := names(t, path); got != "lock state.a.aside state.b.aside" {
			t.Errorf("the directory has %q", got)
		}
		if got, want := string(read(t, path, "state.a.aside")), fmt.Sprintf("damage %d", round); got != want {
			t.Errorf("set aside is %q, want %q", got, want)
		}
	}
}

// The same in one life, and with a single copy.
func TestSetAsideAndGoOn(t *testing.T) {
	path := t.TempDir()
	write(t, []byte("rsyncd_exporter state 2 from the future"), path, "state.b")
	d := open(t, path)
	_, err := d.Load()
	if !errors.Is(err, checkpoint.ErrUntrusted) {
		t.Fatalf("%v, want ErrUntrusted", err)
	}
	mentions(t, err, "state.a: no such file", "state.b: has format version 2")
	if checkpoint.Aside(path) {
		t.Error("set aside before SetAside")
	}
	for range 2 { // nothing to set aside is fine
		if err := d.SetAside(); err != nil {
			t.Fatal(err)
		}
	}
	if !checkpoint.Aside(path) {
		t.Error("not set aside after SetAside")
	}
	if err := d.Save(payloadOf(1)); err != nil {
		t.Fatal(err)
	}
	if got := names(t, path); got != "lock state.a state.b state.b.aside" {
		t.Errorf("the directory has %q", got)
	}
	if s, err := d.Load(); err != nil || s.Sequence != 1 || !bytes.Equal(s.Payload, payloadOf(1)) {
		t.Errorf("%+v, %v", s, err)
	}
}

// What is no file at all is no state either, nobody waits for it, and setting it aside helps.
func TestCopiesThatAreNoFiles(t *testing.T) {
	target := filepath.Join(t.TempDir(), "elsewhere")
	write(t, append(checkpoint.Header(1, time.Now(), nil), nil...), target)
	for want, create := range map[string]func(path string) error{
		"is a symbolic link":  func(path string) error { return os.Symlink(target, path) },
		"is no file, mode p":  func(path string) error { return unix.Mkfifo(path, 0o600) },
		"is no file, mode dr": func(path string) error { return os.Mkdir(path, 0o700) },
	} {
		path := t.TempDir()
		d := open(t, path)
		for _, name := range checkpoint.CopyNames {
			if err := create(filepath.Join(path, name)); err != nil {
				t.Fatal(err)
			}
		}
		_, err := d.Load()
		if !errors.Is(err, checkpoint.ErrUntrusted) {
			t.Errorf("%v, want ErrUntrusted", err)
		}
		mentions(t, err, "state.a: "+want, "state.b: "+want)
		if err := errors.Join(d.SetAside(), d.Save(payloadOf(1))); err != nil {
			t.Error(err)
		}
	}
	if b := read(t, target); len(b) != checkpoint.HeaderSize {
		t.Errorf("what a copy linked to has %d bytes now", len(b))
	}
}

// FuzzLoad: what is loaded was written by the format's own writer, is the newer of the two, and is found again; anything else is an error.
func FuzzLoad(f *testing.F) {
	file := func(sequence uint64, payload string) []byte {
		return append(checkpoint.Header(sequence, time.Unix(1, 2), []byte(payload)), payload...)
	}
	f.Add([]byte(nil), []byte(nil))
	f.Add(file(1, "one"), file(2, "two"))
	f.Add(file(7, "seven")[:100], file(6, ""))
	f.Add([]byte("rsyncd_exporter state 2 "), []byte("rsyncd_exporter state 00001 sequence=1 saved=x length=99999999 crc32c=00000000\n"))
	f.Add(file(3, "a checksum"), []byte("rsyncd_exporter state 1 sequence=+0000000000000000001 saved=1970-01-01T00:00:01,000000002Z length=00000000 crc32c=00000000\n"))
	b := newBench(f)
	f.Fuzz(func(t *testing.T, first, second []byte) {
		b.t = t
		second = checkpoint.Mend(second)
		s, err := b.load(first, second)
		if err != nil {
			if !errors.Is(err, checkpoint.ErrUntrusted) && !(first == nil && second == nil && errors.Is(err, checkpoint.ErrNone)) {
				t.Error(err)
			}
			return
		}
		again := append(checkpoint.Header(s.Sequence, s.At, s.Payload), s.Payload...)
		if !bytes.Equal(again, first) && !bytes.Equal(again, second) {
			t.Errorf("loaded %+v, which neither file is", s)
		}
		for _, content := range [][]byte{first, second} {
			var c checkpoint.Copy
			if c.Decode(content) == nil && c.Sequence > s.Sequence {
				t.Errorf("loaded sequence %d, and there was %d", s.Sequence, c.Sequence)
			}
		}
	})
}
