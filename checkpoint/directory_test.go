package checkpoint_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"rsyncd_exporter/checkpoint"
)

func TestOpenRefuses(t *testing.T) {
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	write(t, nil, at("file"))
	for name, mode := range map[string]os.FileMode{"real": 0o700, "public": 0o702, "tmp": 0o777 | os.ModeSticky} {
		if err := errors.Join(os.Mkdir(at(name), 0o700), os.Chmod(at(name), mode)); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(os.Symlink("real", at("link")), os.Symlink("nowhere", at("dangling"))); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		path  string
		words []string
	}{
		{at("file"), []string{"is no directory, mode -rw", "choose another path"}},
		{at("link"), []string{"is a symbolic link", fmt.Sprintf("name what it leads to instead, %q", at("real"))}},
		{at("link") + "/", []string{"is a symbolic link"}},
		{at("dangling"), []string{"is a symbolic link"}},
		{at("missing/state"), []string{"making it: no such file or directory", "is its parent missing?"}},
		{at("file/state"), []string{"not a directory"}},
		{at("public"), []string{"everybody may write to it, mode 0702", "chmod 0700"}},
		{at("tmp"), []string{"everybody may write to it, mode 01777"}},
		{"", []string{`state directory ""`}},
	} {
		d, err := checkpoint.Open(c.path)
		if err == nil {
			d.Close()
		}
		mentions(t, err, c.words...)
	}
	if got := names(t, dir); got != "dangling file link public real tmp" {
		t.Errorf("the refusals made something: %q", got)
	}
	if got := names(t, at("real")); got != "" {
		t.Errorf("behind the link there is %q", got)
	}
	for _, c := range checkpoint.Look(at("link")) {
		mentions(t, c.Err, "is a symbolic link")
	}
}

// A group that may write, and a path that leads through a link, are fine.
func TestOpenAllows(t *testing.T) {
	dir := t.TempDir()
	if err := errors.Join(os.Mkdir(filepath.Join(dir, "a"), 0o700), os.Mkdir(filepath.Join(dir, "a", "state"), 0o700),
		os.Chmod(filepath.Join(dir, "a", "state"), 0o770|os.ModeSetgid), os.Symlink("a", filepath.Join(dir, "b"))); err != nil {
		t.Fatal(err)
	}
	d := open(t, filepath.Join(dir, "b", "state")+"/")
	if _, err := d.Load(); !errors.Is(err, checkpoint.ErrNone) {
		t.Fatal(err)
	}
	if err := d.Save(payloadOf(1)); err != nil {
		t.Fatal(err)
	}
	t.Chdir(filepath.Join(dir, "a"))
	if copies := checkpoint.Look("state"); copies[0].Err != nil || copies[1].Err != nil {
		t.Error(copies)
	}
}

func TestSecondOpenInTheSameProcess(t *testing.T) {
	path := holding(t, payloadOf(1))
	d := open(t, path)
	for range 2 {
		_, err := checkpoint.Open(path)
		if !errors.Is(err, checkpoint.ErrLocked) {
			t.Fatalf("%v, want ErrLocked", err)
		}
		mentions(t, err, path, "another rsyncd_exporter uses it", "directory of its own")
	}
	if err := errors.Join(d.Close(), d.Close()); err != nil { // the second does nothing
		t.Fatal(err)
	}
	if s, err := load(t, path); err != nil || s.Sequence != 1 {
		t.Errorf("%+v, %v", s, err)
	}
}

// FAULTS D6: whatever is done to the directory of a running process, a save that succeeds is found under the path, the directory is locked
// again, and the numbers go on above any that are found there.
func TestDirectoryChangedWhileOpen(t *testing.T) {
	old := append(checkpoint.Header(41, fixedTime, payloadOf(99)), payloadOf(99)...)
	for name, c := range map[string]struct {
		change func(path string) error
		want   uint64 // sequence number
	}{
		"nothing": {func(string) error { return nil }, 2},
		"removed": {os.RemoveAll, 2},
		"emptied": {func(path string) error {
			return errors.Join(os.Remove(path+"/state.a"), os.Remove(path+"/state.b"), os.Remove(path+"/lock"))
		}, 2},
		"lock removed": {func(path string) error { return os.Remove(path + "/lock") }, 2},
		"moved away":   {func(path string) error { return os.Rename(path, path+".moved") }, 2},
		"replaced by a backup": {func(path string) error {
			return errors.Join(os.Rename(path, path+".moved"), os.Mkdir(path, 0o700), os.WriteFile(path+"/state.b", old, 0o600))
		}, 42},
		"replaced, and its files moved back": {func(path string) error {
			moved := path + ".moved"
			return errors.Join(os.Rename(path, moved), os.Mkdir(path, 0o700), os.Rename(moved+"/lock", path+"/lock"),
				os.Rename(moved+"/state.a", path+"/state.a"), os.Rename(moved+"/state.b", path+"/state.b"))
		}, 2},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "state")
			d := open(t, path)
			if _, err := d.Load(); !errors.Is(err, checkpoint.ErrNone) {
				t.Fatal(err)
			}
			if err := d.Save(payloadOf(1)); err != nil {
				t.Fatal(err)
			}
			if err := c.change(path); err != nil {
				t.Fatal(err)
			}
			if err := d.Save(payloadOf(2)); err != nil {
				t.Fatal(err)
			}
			if _, err := checkpoint.Open(path); !errors.Is(err, checkpoint.ErrLocked) {
				t.Errorf("%v, want ErrLocked", err)
			}
			for _, copy := range checkpoint.Look(path) {
				if copy.Err != nil || !bytes.Equal(copy.Payload, payloadOf(2)) || copy.Sequence != c.want {
					t.Errorf("%s: sequence %d, %v; want %d with the last payload", copy.Name, copy.Sequence, copy.Err, c.want)
				}
			}
			d.Close()
			if s, err := load(t, path); err != nil || !bytes.Equal(s.Payload, payloadOf(2)) || s.Damaged != nil {
				t.Errorf("sequence %d, damaged %v, %v", s.Sequence, s.Damaged, err)
			}
		})
	}
}

// Where the path can't be opened anew saves fail, every one of them, and succeed when that is over.
func TestDirectoryLostWhileOpen(t *testing.T) {
	for name, c := range map[string]struct {
		change, mend func(path string) error
		words        []string
	}{
		"a symbolic link is there": {
			func(path string) error {
				return errors.Join(os.Rename(path, path+".moved"), os.Symlink("state.moved", path))
			},
			os.Remove, []string{"is a symbolic link", "state.moved"}},
		"a file is there": {
			func(path string) error {
				return errors.Join(os.Rename(path, path+".moved"), os.WriteFile(path, nil, 0o600))
			},
			os.Remove, []string{"is no directory"}},
		"its parent is gone": {
			func(path string) error { return os.Rename(filepath.Dir(path), filepath.Dir(path)+".moved") },
			func(path string) error { return os.Rename(filepath.Dir(path)+".moved", filepath.Dir(path)) },
			[]string{"no such file or directory"}},
		"everybody may write to the new one": {
			func(path string) error {
				return errors.Join(os.Rename(path, path+".moved"), os.Mkdir(path, 0o700), os.Chmod(path, 0o777))
			},
			func(path string) error { return os.Chmod(path, 0o700) }, []string{"everybody may write to it"}},
		"the lock is a symbolic link": {
			func(path string) error {
				return errors.Join(os.Remove(path+"/lock"), os.Symlink("state.a", path+"/lock"))
			},
			func(path string) error { return os.Remove(path + "/lock") }, []string{"lock: too many levels of symbolic links"}},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "parent", "state")
			if err := os.Mkdir(filepath.Dir(path), 0o700); err != nil {
				t.Fatal(err)
			}
			d := open(t, path)
			if _, err := d.Load(); !errors.Is(err, checkpoint.ErrNone) {
				t.Fatal(err)
			}
			if err := errors.Join(d.Save(payloadOf(1)), c.change(path)); err != nil {
				t.Fatal(err)
			}
			for range 2 {
				mentions(t, d.Save(payloadOf(2)), append(c.words, path, "was removed or replaced, and can't be opened anew")...)
			}
			if err := errors.Join(c.mend(path), d.Save(payloadOf(3))); err != nil {
				t.Fatal(err)
			}
			for _, copy := range checkpoint.Look(path) {
				if copy.Err != nil || !bytes.Equal(copy.Payload, payloadOf(3)) {
					t.Errorf("%s: sequence %d, %v", copy.Name, copy.Sequence, copy.Err)
				}
			}
		})
	}
}

// When another process has the directory that is at the path now, this one has lost.
func TestDirectoryTakenByAnother(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state")
	d := open(t, path)
	if _, err := d.Load(); !errors.Is(err, checkpoint.ErrNone) {
		t.Fatal(err)
	}
	if err := os.RemoveAll(path); err != nil {
		t.Fatal(err)
	}
	other := open(t, path)
	if err := d.Save(payloadOf(1)); !errors.Is(err, checkpoint.ErrLocked) {
		t.Errorf("%v, want ErrLocked", err)
	}
	if got := names(t, path); got != "lock" {
		t.Errorf("the directory has %q", got)
	}
	other.Close()
	if err := d.Save(payloadOf(2)); err != nil {
		t.Error(err)
	}
}
