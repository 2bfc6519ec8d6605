package checkpoint_test

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"rsyncd_exporter/checkpoint"
	"rsyncd_exporter/internal/testenv"
)

// Somebody who may write to the parent of the state directory, and to the directory itself, puts symbolic links in the place of the
// directory and of each file in it, thousands of times, while the state is saved. No link leads a save anywhere: what they lead to stays as
// it is. When he has gone away the next save succeeds.
func TestStateRace(t *testing.T) {
	for name, user := range map[string]int{"as root": os.Getuid(), "as a user": 65532} {
		t.Run(name, func(t *testing.T) {
			if user != os.Getuid() && os.Getuid() != 0 {
				t.Skip("only root can be another user")
			}
			t.Parallel()
			r := newStateRace(t, user)
			for range testenv.Tortured(200, 4000) {
				for _, victim := range []string{r.path, "lock", "state.a", "state.b", checkpoint.TmpName} {
					r.replace(victim)
				}
			}
			for _, name := range []string{"lock", "state.a", "state.b", checkpoint.TmpName} {
				if err := os.Remove(filepath.Join(r.path, name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
					t.Fatal(err)
				}
			}
			saved := r.saved.Load()
			testenv.Until(t, patience, "it saves again", func() bool { return r.saved.Load() > saved+1 })
			r.checkVictims()
			if r.failed.Load() == 0 {
				t.Error("no save has met what was put there: the test tests nothing")
			}
		})
	}
}

// A stateRace is a process that saves all the time, and what others put in its way.
type stateRace struct {
	t             *testing.T
	path          string // the state directory
	spare         string // where a link is made, and where what it replaces is kept
	victims       string // a directory with a file; both the saving user's
	victim        string // that file
	saved, failed atomic.Uint64
}

func newStateRace(t *testing.T, user int) *stateRace {
	t.Helper()
	top := t.TempDir()
	for dir := top; dir != os.TempDir() && dir != "/"; dir = filepath.Dir(dir) {
		noError(t, os.Chmod(dir, 0o755))
	}
	at := func(name string) string { return filepath.Join(top, name) }
	r := &stateRace{t: t, path: at("state"), spare: at("spare"), victims: at("victims"), victim: at("victims/file")}
	noError(t, errors.Join(os.Mkdir(r.path, 0o700), os.Mkdir(r.victims, 0o700), os.WriteFile(r.victim, []byte("victim"), 0o640),
		os.Chmod(r.victim, 0o640), os.Chown(r.path, user, -1), os.Chown(r.victims, user, -1), os.Chown(r.victim, user, -1)))
	cmd := keepInput(t, helper(t, "race "+strconv.Itoa(user), r.path))
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	noError(t, err)
	noError(t, cmd.Start())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for lines := bufio.NewScanner(out); lines.Scan(); {
			if strings.HasPrefix(lines.Text(), "saved") {
				r.saved.Add(1)
			} else {
				r.failed.Add(1)
			}
		}
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		<-ended
		_ = cmd.Wait()
	})
	testenv.Until(t, patience, "it saves", func() bool { return r.saved.Load() > 0 })
	return r
}

// replace puts a link in the place of the directory, or of a file in it, until the process has come to it or gone on without it.
func (r *stateRace) replace(name string) {
	r.t.Helper()
	to, place := r.victim, filepath.Join(r.path, name)
	if name == r.path {
		to, place = r.victims, r.path
	}
	noError(r.t, os.Symlink(to, r.spare))
	exchange := func() error {
		return unix.Renameat2(unix.AT_FDCWD, r.spare, unix.AT_FDCWD, place, unix.RENAME_EXCHANGE)
	}
	if err := exchange(); errors.Is(err, fs.ErrNotExist) { // no such file just now
		noError(r.t, os.Rename(r.spare, place))
	} else {
		noError(r.t, err)
	}
	before := r.saved.Load() + r.failed.Load()
	testenv.Until(r.t, patience, "an attempt to save", func() bool { return r.saved.Load()+r.failed.Load() > before })
	if name == r.path {
		noError(r.t, exchange())
	}
	noError(r.t, os.RemoveAll(r.spare))
}

func (r *stateRace) checkVictims() {
	r.t.Helper()
	if got := names(r.t, r.victims); got != "file" {
		r.t.Errorf("in the directory that the links led to there is %q, want %q", got, "file")
	}
	info, err := os.Stat(r.victim)
	noError(r.t, err)
	if b := string(read(r.t, r.victim)); b != "victim" || info.Mode().Perm() != 0o640 {
		r.t.Errorf("the file that the links led to has mode %v and %q, want 0640 and %q", info.Mode(), b, "victim")
	}
}

func noError(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// helperRaces saves without end, and says how each attempt went.
func helperRaces(dir, user string) {
	uid, err := strconv.Atoi(user)
	if err == nil && uid != os.Getuid() {
		err = errors.Join(syscall.Setresgid(uid, uid, uid), syscall.Setresuid(uid, uid, uid))
	}
	var d *checkpoint.Dir
	if err == nil {
		d, err = checkpoint.Open(dir)
	}
	if err == nil {
		_, err = d.Load()
	}
	if err != nil && !errors.Is(err, checkpoint.ErrNone) {
		fmt.Fprintln(os.Stderr, "not begun:", err)
		os.Exit(1)
	}
	for n := 1; ; n++ {
		if err := d.Save(payloadOf(n)); err != nil {
			fmt.Println("failed:", err)
			continue
		}
		fmt.Println("saved", n)
	}
}
