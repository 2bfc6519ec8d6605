package receiver

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// Whoever may write to a log's directory may put a symbolic link in the log's place, to a file that this process
// may read and he may not: its
// lines would be shown as labels, and as an example of lines that aren't understood. So a link is followed as Linux
// follows those in /tmp
// (fs.protected_symlinks): if it is root's, this user's, or belongs to whom the file belongs that it leads to.

// errStranger is what the error wraps that says so.
var errStranger = errors.New("belongs to neither root, nor this program's user, nor the owner of what it leads to, and isn't followed (name the file itself, or make the link as root)")

// resolve returns the path without symbolic links, and what is there.
func resolve(path string) (real string, info fileInfo, err error) {
	if path, err = filepath.Abs(path); err != nil {
		return "", info, err
	}
	type link struct {
		path  string
		owner uint32
	}
	var links []link
	at, rest := "/", strings.Split(path, "/")
	for len(rest) > 0 {
		name := rest[0]
		rest = rest[1:]
		switch name {
		case "", ".":
			continue
		case "..":
			at = filepath.Dir(at) // there are no links in it
			continue
		}
		next := filepath.Join(at, name)
		if info, err = statPath(next, false); err != nil {
			return "", info, err
		}
		if info.mode&unix.S_IFMT != unix.S_IFLNK {
			at = next
			continue
		}
		if links = append(links, link{next, info.owner}); len(links) > 40 {
			return "", info, &os.PathError{Op: "open", Path: path, Err: unix.ELOOP}
		}
		to, err := os.Readlink(next)
		if err != nil {
			return "", info, err
		}
		if filepath.IsAbs(to) {
			at = "/"
		}
		rest = append(strings.Split(to, "/"), rest...)
	}
	for _, l := range links {
		if l.owner != 0 && l.owner != uint32(os.Geteuid()) && l.owner != info.owner {
			return "", info, fmt.Errorf("the symbolic link %q of user %d %w", l.path, l.owner, errStranger)
		}
	}
	return at, info, nil
}

// openFollowing opens what path leads to, unless a stranger's link leads there. A link that comes and goes
// meanwhile is one, too: what was
// opened must be what was looked at.
func openFollowing(path string) (fd int, err error) {
	for range 10 { // a rotation may come in between
		if fd, err = openLog(path, true); err != nil || strings.HasPrefix(path, "/proc/") { // whose links have no path
			return fd, err
		}
		_, looked, lerr := resolve(path)
		opened, serr := statFD(fd)
		if err = errors.Join(lerr, serr); err == nil && looked.id == opened.id {
			return fd, nil
		}
		unix.Close(fd)
		if errors.Is(err, errStranger) {
			break
		}
	}
	if err == nil {
		err = &os.PathError{Op: "open", Path: path, Err: errors.New("another file comes to this name again and again")}
	}
	return -1, err
}
