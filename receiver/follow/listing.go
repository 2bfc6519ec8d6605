package follow

import (
	"cmp"
	"errors"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"rsyncd_exporter/receiver"
)

const (
	maxSeen = 4096 // files beside a target that are looked at

	// relist is how long a nameList is used, since not every file system tells of all changes.
	relist = 10 * time.Second
)

type sibling struct {
	path string
	info fileInfo
}

// A listing is what listSiblings finds.
type listing struct {
	dir    receiver.FileID // zero if there is no such directory
	base   string
	files  []sibling // oldest first
	reread bool      // its names have been read anew
	hidden bool      // the directory may not be listed, so files is empty
}

// A nameList is what has been read of a directory, for the looks that follow: reading a directory
// of thousands of files for each of hundreds that are followed there, every second, would take half
// a processor.
type nameList struct {
	dir     receiver.FileID
	base    string
	changed int64     // when names in it had changed last, in nanoseconds of the Unix epoch
	read    time.Time // when it was read
	names   []string
}

// holds reports whether these are still the names. The directory may have changed in the same tick.
func (l *nameList) holds(dir fileInfo, base string) bool {
	return l.dir == dir.id && l.base == base && l.changed == dir.written &&
		dir.written < l.read.UnixNano()-int64(clockSlack) && time.Since(l.read) < relist
}

func (l *nameList) fill(path string, dir fileInfo, base string) error {
	now := nameList{dir: dir.id, base: base, changed: dir.written, read: time.Now()}
	*l = nameList{}
	for name, err := range dirNames(path) {
		if err != nil {
			return err
		}
		if isSiblingName(name, base) && len(now.names) < maxSeen {
			now.names = append(now.names, name)
		}
	}
	*l = now
	return nil
}

// isSiblingName reports whether path is base with "." or "-" and more behind.
func isSiblingName(path, base string) bool {
	rest, ok := strings.CutPrefix(path, base)
	return ok && len(rest) > 1 && (rest[0] == '.' || rest[0] == '-')
}

// listSiblings finds the siblings of base in dir. last is what was read of the directory before.
func listSiblings(dir, base string, last *nameList) (listing, error) {
	info, err := statPath(dir, true)
	if err != nil {
		return listing{}, nil // the look at the path itself meets the same
	}
	found := listing{dir: info.id, base: base}
	if found.reread = !last.holds(info, base); found.reread {
		err = last.fill(dir, info, base)
	}
	if errors.Is(err, fs.ErrPermission) || errors.Is(err, fs.ErrNotExist) {
		found.hidden = true
		return found, nil
	}
	if err != nil {
		return listing{}, err
	}
	for _, name := range last.names {
		path := filepath.Join(dir, name)
		info, err := statPath(path, false)
		if err != nil && !isMissing(err) {
			return listing{}, err
		}
		if err == nil && info.isRegular() {
			found.files = append(found.files, sibling{path, info})
		}
	}
	slices.SortStableFunc(found.files, func(a, b sibling) int {
		return cmp.Or(cmp.Compare(a.info.id.Birth, b.info.id.Birth), cmp.Compare(a.info.written, b.info.written))
	})
	return found, nil
}

func regularFiles(dir string) (all []sibling) {
	seen := 0
	for name := range dirNames(dir) {
		if seen++; seen > maxSeen {
			break
		}
		path := filepath.Join(dir, name)
		if info, err := statPath(path, false); err == nil && info.isRegular() {
			all = append(all, sibling{path, info})
		}
	}
	return all
}
