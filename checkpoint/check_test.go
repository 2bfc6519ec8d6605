package checkpoint_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"rsyncd_exporter/checkpoint"
)

// Check says what Open would, and neither makes the directory nor keeps anybody from opening it.
func TestCheck(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state")
	if err := checkpoint.Check(path); err != nil {
		t.Errorf("a directory that can be made: %v", err)
	}
	if _, err := os.Stat(path); err == nil {
		t.Error("Check has made it")
	}
	d, err := checkpoint.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := checkpoint.Check(path); !errors.Is(err, checkpoint.ErrLocked) {
		t.Errorf("%v, want ErrLocked", err)
	}
	d.Close()
	if err := checkpoint.Check(path); err != nil {
		t.Errorf("nobody has it: %v", err)
	}
	if d, err = checkpoint.Open(path); err != nil {
		t.Errorf("opening it after Check: %v", err)
	} else {
		d.Close()
	}
	if err := os.Chmod(path, 0o777); err != nil {
		t.Fatal(err)
	}
	mentions(t, checkpoint.Check(path), "everybody may write to it")
	mentions(t, checkpoint.Check(filepath.Join(path, "no", "such")), "making it: no such file")
}
