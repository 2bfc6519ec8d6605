package checkpoint

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
)

// Check says what Open would, and neither makes the directory nor keeps anybody from opening it.
func TestCheck(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state")
	if err := Check(path); err != nil {
		t.Errorf("a directory that can be made: %v", err)
	}
	if _, err := os.Stat(path); err == nil {
		t.Error("Check has made it")
	}
	d, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := Check(path); !errors.Is(err, ErrLocked) {
		t.Errorf("%v, want ErrLocked", err)
	}
	d.Close()
	if err := Check(path); err != nil {
		t.Errorf("nobody has it: %v", err)
	}
	if d, err = Open(path); err != nil {
		t.Errorf("opening it after Check: %v", err)
	} else {
		d.Close()
	}
	if err := os.Chmod(path, 0o777); err != nil {
		t.Fatal(err)
	}
	mentions(t, Check(path), "everybody may write to it")
	mentions(t, Check(filepath.Join(path, "no", "such")), "making it: no such file")
}
