package follow

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"rsyncd_exporter/internal/testenv"
)

// Who owns a log's directory, and may not read a file that the exporter may, can't have it read by a link in the log's place, nor what lies beside
// it, whatever is rotated. The link of whom the file belongs to is followed, and root's.
func TestAStrangersLink(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("takes root: files of two other users are made")
	}
	const stranger, other = 64001, 64002
	bothWays(t, func(t *testing.T, opt Options) {
		dir := filepath.Dir(opt.Path)
		private := filepath.Join(dir, "private")
		must(t, os.Mkdir(private, 0o700))
		for _, name := range []string{"shadow", "shadow.1", "shadow-2"} {
			create(t, filepath.Join(private, name)).write(strings.Repeat("secret\n", 100))
		}
		sink := newLineSink()
		opt.FromBeginning = true
		point := func(owner int, to string) {
			t.Helper()
			must(t, os.Symlink(to, opt.Path+".tmp"))
			must(t, os.Lchown(opt.Path+".tmp", owner, owner))
			must(t, os.Rename(opt.Path+".tmp", opt.Path))
		}
		refuses := func(f *File, what string) {
			t.Helper()
			errs := f.Status().Errors
			reach(t, what+" is refused", func() bool {
				s := f.Status()
				if !opt.pollOnly && s.Errors <= errs+1 {
					f.target.wake()
					poke(f.Set.wake)
				}
				return s.Errors > errs+1 && errors.Is(s.Err, errStranger)
			})
		}
		log := create(t, opt.Path)
		log.write("a\n")
		f := follow(t, sink, opt)
		start(t, f)
		reachCount(t, sink, 1)
		must(t, os.Rename(opt.Path, opt.Path+".1"))
		point(stranger, filepath.Join(private, "shadow"))
		refuses(f, "a link to a file of root's")
		must(t, os.Symlink("private", filepath.Join(dir, "way")))
		must(t, os.Lchown(filepath.Join(dir, "way"), stranger, stranger))
		point(0, filepath.Join(dir, "way", "shadow"))
		refuses(f, "a link on the way")
		log.write("b\n") // what was opened before is read on
		reachCount(t, sink, 2)
		theirs := create(t, filepath.Join(dir, "theirs"))
		must(t, os.Chown(filepath.Join(dir, "theirs"), stranger, stranger))
		theirs.write("c\n")
		point(other, filepath.Join(dir, "theirs"))
		refuses(f, "a third user's link")
		point(stranger, filepath.Join(dir, "theirs"))
		reachCount(t, sink, 3)
		sink.check(t, false, "a", "b", "c")
	})
}

// Who owns a log's directory can't have what a link leads to swapped between the look at it and its use: neither the link, where one of root's lies
// in his directory, nor the directory itself.
func TestAStrangersLinkThatComesAndGoes(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("takes root: links of another user are made")
	}
	const stranger = 64001
	for name, prepare := range map[string]func(t *testing.T, dir, private string) (path, one, other string){
		"root's link": func(t *testing.T, dir, private string) (path, one, other string) {
			path, other = filepath.Join(dir, "current"), filepath.Join(dir, "other")
			create(t, filepath.Join(dir, "log")).write("honest\n")
			must(t, os.Symlink("log", path))
			must(t, os.Symlink(filepath.Join(private, "log"), other))
			return path, path, other
		},
		"a directory": func(t *testing.T, dir, private string) (path, one, other string) {
			one, other = filepath.Join(dir, "logs"), filepath.Join(dir, "other")
			must(t, os.Mkdir(one, 0o755))
			create(t, filepath.Join(one, "log")).write("honest\n")
			must(t, os.Symlink(private, other))
			return filepath.Join(one, "log"), one, other
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir, private := t.TempDir(), t.TempDir()
			create(t, filepath.Join(private, "log")).write("secret\n")
			path, one, other := prepare(t, dir, private)
			must(t, os.Lchown(other, stranger, stranger))
			ctx, cancel := context.WithCancel(t.Context())
			swapped := make(chan error, 1)
			go func() {
				var err error
				for err == nil && ctx.Err() == nil {
					err = unix.Renameat2(unix.AT_FDCWD, one, unix.AT_FDCWD, other, unix.RENAME_EXCHANGE)
				}
				swapped <- err
			}()
			for range testenv.Tortured(20_000, 500_000) {
				fd, err := openFollowing(path)
				if err != nil {
					continue
				}
				var b [6]byte
				_, err = unix.Read(fd, b[:])
				unix.Close(fd)
				if must(t, err); string(b[:]) != "honest" {
					t.Errorf("opened and read %q", b)
					break
				}
			}
			cancel()
			must(t, <-swapped)
		})
	}
}

// A stranger's link to a file that is followed by its own path takes it away from nobody.
func TestAStrangersLinkTakesNoFile(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("takes root: a link of another user is made")
	}
	const stranger = 64001
	dir := t.TempDir()
	link, log := filepath.Join(dir, "link"), filepath.Join(dir, "log")
	appendTo(t, log, "a")
	must(t, os.Symlink("log", link))
	must(t, os.Lchown(link, stranger, stranger))
	opt := setOptions(link, log)
	opt.FromBeginning = true
	sink := newSetSink()
	s := followSet(t, sink, opt)
	runSet(t, s)
	sink.reach(t, 1)
	scans(t, s, 3)
	appendTo(t, log, "b")
	sink.reach(t, 2)
	if got := sink.of("log"); !slices.Equal(got, []string{"a", "b"}) {
		t.Errorf("%q, status %+v", got, s.Status())
	}
}
