package logs

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"rsyncd_exporter/receiver"
	"rsyncd_exporter/receiver/follow"
	"rsyncd_exporter/receiver/syslog"
)

var (
	errBinary = errors.New("it is binary, and no log: if some other program has compressed it, unpack it first")
	errEmpty  = errors.New("it is empty")
	errNoLogs = errors.New("the directory has no files")
)

// A FileError says why a file, or a directory, was not read, or not to its end.
type FileError struct {
	Path string
	Err  error
}

func (e *FileError) Error() string { return fmt.Sprintf("%q: %v", e.Path, e.Err) }

// Unwrap returns Err.
func (e *FileError) Unwrap() error { return e.Err }

// startBytes is how much of a file is read to find its first stamp.
const startBytes = 64 << 10

// Find returns the logs that paths name: files, directories, whose files are taken however deep
// they lie, and "-". A file that is named twice is read once. So is what two files of one log begin
// with, if that is all that one of them has: one is a copy, compressed or made earlier. The errors
// are FileErrors.
func Find(c Config, paths []string) (sets []Set, errs []error) {
	f := finder{c: &c, sets: map[string]*Set{}}
	for _, path := range paths {
		f.path(path)
	}
	for _, name := range f.order {
		set := f.sets[name]
		slices.SortStableFunc(set.Files, older)
		set.Files = withoutCopies(set.Files)
		sets = append(sets, *set)
	}
	return sets, f.errs
}

type finder struct {
	c     *Config
	sets  map[string]*Set // by name
	order []string        // of the names
	seen  []os.FileInfo
	errs  []error
}

func (f *finder) fail(path string, err error) {
	f.errs = append(f.errs, &FileError{path, unwrapPath(err)})
}

func unwrapPath(err error) error {
	var p *fs.PathError
	if errors.As(err, &p) {
		err = p.Err
	}
	if err == io.ErrUnexpectedEOF {
		return errors.New("it is cut off in its first bytes")
	}
	return err
}

func (f *finder) path(path string) {
	if path == "-" {
		if f.sets["-"] != nil {
			return // it has one end
		}
		f.add("-", File{Path: "-", Size: -1, Written: f.c.Now})
		return
	}
	info, err := os.Stat(path)
	switch {
	case err != nil:
		f.fail(path, err)
	case info.IsDir():
		f.directory(path)
	default:
		f.file(path, info, true)
	}
}

func (f *finder) directory(dir string) {
	root, told := dir+string(filepath.Separator), false // so that a symbolic link is followed
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			f.fail(path, err)
			told = true
			return nil
		case strings.HasPrefix(d.Name(), ".") && path != root: // such as an editor's
			if d.IsDir() {
				return fs.SkipDir
			}
			return nil
		case d.IsDir():
			return nil
		}
		info, err := os.Stat(path)
		if err != nil {
			f.fail(path, err)
			told = true
		} else if info.Mode().IsRegular() {
			told = true
			f.file(path, info, false)
		}
		return nil
	})
	if err != nil {
		f.fail(dir, err)
	}
	if !told {
		f.fail(dir, errNoLogs)
	}
}

// file adds a file to its set. An empty one is an error only if somebody has named it.
func (f *finder) file(path string, info os.FileInfo, named bool) {
	if slices.ContainsFunc(f.seen, func(s os.FileInfo) bool { return os.SameFile(s, info) }) {
		return
	}
	f.seen = append(f.seen, info)
	file := File{Path: path, Size: info.Size(), Written: info.ModTime()}
	if file.Size == 0 && info.Mode().IsRegular() {
		if named {
			f.fail(path, errEmpty)
		}
		return
	}
	first, err := f.firstStamp(&file)
	if err != nil {
		f.fail(path, err)
		return
	}
	file.First = first
	f.add(SetName(filepath.Clean(path)), file)
}

func (f *finder) add(name string, file File) {
	set := f.sets[name]
	if set == nil {
		set = &Set{Name: name, Host: f.host(file.Path)}
		f.sets[name] = set
		f.order = append(f.order, name)
	}
	set.Files = append(set.Files, file)
}

// host returns the host that FILE_HOST finds in a path.
func (f *finder) host(path string) string {
	if f.c.FileHost == nil {
		return ""
	}
	m := f.c.FileHost.FindStringSubmatch(path)
	if i := f.c.FileHost.SubexpIndex("host"); i >= 0 && i < len(m) {
		return m[i]
	}
	return ""
}

// firstStamp returns the least stamp of the first lines: a single one may be of a clock that was
// ahead, and daemons in a chroot mix two time zones. It is zero if none near the start has any.
func (f *finder) firstStamp(file *File) (first time.Time, err error) {
	log, err := follow.OpenLog(file.Path)
	if err != nil {
		return first, err
	}
	defer log.Close()
	buf := make([]byte, startBytes)
	n, err := fill(log, buf, 0)
	if n == 0 {
		return first, broken(err)
	}
	if isBinary(buf[:n]) {
		return first, errBinary
	}
	const looked = 64
	var m receiver.Message
	stamps, found := syslog.Stamps{Local: f.c.Zone}, 0
	for line := range bytes.Lines(buf[:n]) {
		if f.c.Lines.Scan(line, &m) != receiver.Kept {
			continue
		}
		at, _, ok := stamps.Time(m.Stamp, file.Written.UnixNano())
		if t := time.Unix(0, at); ok && (found == 0 || t.Before(first)) {
			first = t
		}
		if ok {
			found++
		}
		if found == looked {
			break
		}
	}
	return first, nil
}

// isBinary says whether the start of a file is no text: it has a NUL within a line. NULs before a
// line are the hole of a log that was truncated under its writer.
func isBinary(start []byte) bool {
	start = start[syslog.NULsEnd(start):]
	const looked = 4 << 10
	for line := range bytes.Lines(start[:min(len(start), looked)]) {
		if bytes.IndexByte(line[syslog.NULsEnd(line):], 0) >= 0 {
			return true
		}
	}
	return false
}

// rotated are the endings that rotation gives names, apart from those of compression: a number
// behind a dot, a date behind a dot or a dash, or .old.
var rotated = regexp.MustCompile(`(?:\.\d{1,5}|[.-]\d{4}-?\d\d-?\d\d(?:[-T_.]?\d[\d:-]*)?|[.-]\d{9,10}|\.old)$`)

// SetName returns the path that a rotated file had when it was written, as its name tells.
func SetName(path string) string {
	name := uncompressed(path)
	if dir, base := filepath.Split(name); base != "" {
		if short := rotated.ReplaceAllString(base, ""); short != "" {
			return dir + short
		}
	}
	return name
}

// uncompressed returns a path without the ending that a compressor gives it.
func uncompressed(path string) string {
	for _, end := range [...]string{".gz", ".bz2", ".zst", ".xz"} {
		if short, ok := strings.CutSuffix(path, end); ok && filepath.Base(path) != end {
			return short
		}
	}
	return path
}

// withoutCopies leaves out files whose content others begin with. Without stamps lines are alike
// anyway, and only the names tell which may be copies.
func withoutCopies(files []File) (kept []File) {
next:
	for i := range files {
		f := &files[i]
		for k := 0; k < len(kept); {
			other := &kept[k]
			if !f.First.Equal(other.First) || f.First.IsZero() && uncompressed(f.Path) != uncompressed(other.Path) {
				k++
				continue
			}
			switch inOther, has := compareStarts(f.Path, other.Path); {
			case inOther:
				continue next
			case has:
				kept = slices.Delete(kept, k, k+1)
			default:
				k++
			}
		}
		kept = append(kept, *f)
	}
	return kept
}

// compareStarts says whether b begins with all that a has, and a with all that b has.
func compareStarts(a, b string) (aInB, bInA bool) {
	x, err := follow.OpenLog(a)
	if err != nil {
		return false, false
	}
	defer x.Close()
	y, err := follow.OpenLog(b)
	if err != nil {
		return false, false
	}
	defer y.Close()
	ofA, ofB := make([]byte, startBytes), make([]byte, startBytes)
	for {
		n, _ := fill(x, ofA, 0)
		m, _ := fill(y, ofB, 0)
		if least := min(n, m); !bytes.Equal(ofA[:least], ofB[:least]) {
			return false, false
		} else if least < startBytes {
			return n == least, m == least
		}
	}
}

// older orders the files of a set by their first stamps. Those that begin in the same second, or
// have no stamp, go by what their names say, and then by when they were written.
func older(a, b File) int {
	if !a.First.IsZero() && !b.First.IsZero() && !a.First.Equal(b.First) {
		return a.First.Compare(b.First)
	}
	return cmp.Or(cmp.Compare(generation(b.Path), generation(a.Path)), a.Written.Compare(b.Written))
}

// generation returns how old a file is by its name: 0 for the one that is being written, 3 for
// log.3. Dates say nothing here: their stamps do.
func generation(path string) int {
	path = uncompressed(path)
	const most = 99_999
	n, err := strconv.Atoi(path[strings.LastIndexByte(path, '.')+1:])
	if err != nil || n > most || path == SetName(path) {
		return 0
	}
	return n
}
