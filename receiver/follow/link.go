package follow

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// Whoever may write to a log's directory may put a symbolic link in the log's place, to a file that
// this process may read and he may not. Its lines would be shown as labels, and as an example of
// lines that aren't understood. So a link is followed as Linux follows those in /tmp
// (fs.protected_symlinks): if its owner is root, this user, or the owner of the file it leads to.

// errStranger is wrapped by errors about links that aren't followed.
var errStranger = errors.New("belongs to neither root, nor this program's user, nor the owner of what it leads to, " +
	"and isn't followed (name the file itself, or make the link as root)")

// Bounds of a path: of symbolic links as in Linux, and of names, with those in links.
const (
	maxLinks = 40
	maxNames = 1 << 12
)

// A walk goes along a path, name by name. On Linux each name is opened once, so that what is judged
// is what is used, though names may be given to others meanwhile. Elsewhere there is a moment in
// between.
type walk struct {
	dir   int    // descriptor of a directory, -1 where paths are used
	at    string // its path, without symbolic links
	name  string // in it, of what is no directory: the end of the path; "" before
	info  fileInfo
	links []link // those passed
}

type link struct {
	path  string
	owner uint32
}

// walkTo goes to the end of a path. The caller closes the walk.
func walkTo(path string) (w *walk, err error) {
	if path, err = filepath.Abs(path); err != nil {
		return nil, err
	}
	w = &walk{dir: -1}
	if err = w.restart(); err == nil {
		err = w.follow(strings.Split(path, "/"))
	}
	if err == nil {
		err = w.judge()
	}
	if err != nil {
		w.close()
		return nil, err
	}
	return w, nil
}

func (w *walk) follow(names []string) error {
	for passed := 0; len(names) > 0; passed++ {
		name := names[0]
		names = names[1:]
		if name == "" || name == "." {
			continue
		}
		if w.name != "" {
			return w.fail(w.name, unix.ENOTDIR)
		}
		to, err := w.step(name)
		if err != nil {
			return w.fail(name, err)
		}
		if to == "" {
			continue
		}
		if passed > maxNames || len(w.links) > maxLinks {
			return w.fail(name, unix.ELOOP)
		}
		if filepath.IsAbs(to) {
			if err := w.restart(); err != nil {
				return err
			}
		}
		names = append(strings.Split(to, "/"), names...)
	}
	return nil
}

// step goes to a name in the directory. Of a symbolic link it returns the target, and stays.
func (w *walk) step(name string) (to string, err error) {
	fd, info, to, err := lookIn(w.dir, w.at, name)
	if err != nil {
		return "", err
	}
	switch info.kind() {
	case unix.S_IFLNK:
		closeFD(fd)
		w.links = append(w.links, link{filepath.Join(w.at, name), info.owner})
		return to, nil
	case unix.S_IFDIR:
		closeFD(w.dir)
		w.dir, w.at = fd, filepath.Join(w.at, name) // of .. the parent: there are no links in it
	default:
		closeFD(fd)
		w.name = name
	}
	w.info = info
	return "", nil
}

func (w *walk) restart() (err error) {
	w.close()
	w.at = "/"
	w.dir, w.info, _, err = lookIn(-1, "/", "/")
	return err
}

func (w *walk) judge() error {
	for _, l := range w.links {
		if l.owner != 0 && l.owner != uint32(os.Geteuid()) && l.owner != w.info.owner {
			return fmt.Errorf("the symbolic link %q of user %d %w", l.path, l.owner, errStranger)
		}
	}
	return nil
}

func (w *walk) open() (fd int, err error) {
	if w.dir < 0 {
		return openAt(unix.AT_FDCWD, filepath.Join(w.at, w.name), unix.O_NOFOLLOW)
	}
	return openAt(w.dir, cmp.Or(w.name, "."), unix.O_NOFOLLOW)
}

func (w *walk) fail(name string, err error) error {
	return &os.PathError{Op: "open", Path: filepath.Join(w.at, name), Err: err}
}

func (w *walk) close() {
	closeFD(w.dir)
	w.dir = -1
}

// Resolve returns the absolute path, without symbolic links, of what path leads to. A link that is
// not followed is an error.
func Resolve(path string) (string, error) {
	w, err := walkTo(path)
	if err != nil {
		return "", err
	}
	defer w.close()
	return filepath.Join(w.at, w.name), nil
}

// openFollowing opens what path leads to, unless a stranger's link leads there.
func openFollowing(path string) (fd int, err error) {
	if strings.HasPrefix(path, "/proc/") { // whose links have no path
		if fd, err = openAt(unix.AT_FDCWD, path, 0); err != nil {
			return -1, &os.PathError{Op: "open", Path: path, Err: err}
		}
		return fd, nil
	}
	for range 10 { // a rotation may come in between
		w, err := walkTo(path)
		if err != nil {
			return -1, err
		}
		fd, err := w.open()
		w.close()
		if err == unix.ELOOP || errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return -1, w.fail(w.name, err)
		}
		if opened, err := statFD(fd); err == nil && opened.id == w.info.id {
			return fd, nil
		}
		unix.Close(fd)
	}
	return -1, &os.PathError{Op: "open", Path: path, Err: errors.New("another file comes to this name again and again")}
}
