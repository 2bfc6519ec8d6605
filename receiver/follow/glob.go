package follow

import (
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

const globMeta = "*?["

// maxGlobbed is how many directories and files one expansion looks at; what is beyond is an error.
const maxGlobbed = 65536

// IsPattern reports whether a path may name several files: it has a *, ? or [ without a backslash.
func IsPattern(path string) bool {
	for i := 0; i < len(path); i++ {
		switch {
		case path[i] == '\\':
			i++
		case strings.IndexByte(globMeta, path[i]) >= 0:
			return true
		}
	}
	return false
}

// QuotePattern returns the path that names the file called path and no other.
func QuotePattern(path string) string {
	return strings.NewReplacer(`\`, `\\`, "*", `\*`, "?", `\?`, "[", `\[`).Replace(path)
}

// unquote is the opposite of QuotePattern. A backslash before another character stands for itself.
func unquote(path string) string {
	return strings.NewReplacer(`\\`, `\`, `\*`, "*", `\?`, "?", `\[`, "[").Replace(path)
}

// ExpandPath returns the files that a path of SetOptions.Paths names now, sorted. For a pattern
// (see path/filepath.Match) these are those that exist, final symbolic links not followed; a name
// that starts with a dot is matched only by an element that starts with one. Else it is the path
// itself, whether it exists or not. Directories that can't be read are errors, unlike with
// filepath.Glob; what was found beside them is returned.
func ExpandPath(path string) ([]string, error) {
	path = filepath.Clean(path)
	if !IsPattern(path) {
		return []string{unquote(path)}, nil
	}
	if _, err := filepath.Match(path, ""); err != nil {
		return nil, fmt.Errorf("pattern %q: %w; a [ needs its ], and a \\ something behind it", path, err)
	}
	base := "."
	rest := path
	if filepath.IsAbs(path) {
		base, rest = "/", strings.TrimLeft(path, "/")
	}
	found := []string{base}
	var failed []error
	looked := 0
	for element := range strings.SplitSeq(rest, "/") {
		var next []string
		for _, dir := range found {
			if !IsPattern(element) {
				next = append(next, filepath.Join(dir, unquote(element)))
				continue
			}
			names, err := matchingNames(dir, element, &looked)
			if err != nil {
				failed = append(failed, fmt.Errorf("pattern %q: %w", path, err))
			}
			for _, name := range names {
				next = append(next, filepath.Join(dir, name))
			}
		}
		found = next
	}
	if last := filepath.Base(path); !IsPattern(last) { // nobody has looked at these
		found = slices.DeleteFunc(found, func(name string) bool { _, err := os.Lstat(name); return err != nil })
	}
	slices.Sort(found)
	return found, errors.Join(failed...)
}

// dirNames yields the names in a directory, and the error that ends them, if one does.
func dirNames(dir string) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		d, err := os.OpenFile(dir, os.O_RDONLY|unix.O_DIRECTORY|unix.O_NONBLOCK, 0)
		if err != nil {
			yield("", err)
			return
		}
		defer d.Close()
		for {
			names, err := d.Readdirnames(256)
			for _, name := range names {
				if !yield(name, nil) {
					return
				}
			}
			if err != nil {
				if err != io.EOF {
					yield("", err)
				}
				return
			}
		}
	}
}

// matchingNames returns the names in dir that match. A directory that doesn't exist has none.
func matchingNames(dir, element string, looked *int) (names []string, err error) {
	for name, err := range dirNames(dir) {
		if err != nil && isMissing(err) {
			return names, nil
		}
		if err != nil {
			return names, err
		}
		if *looked++; *looked > maxGlobbed {
			return names, fmt.Errorf("%q: more than %d names to look at; write a narrower pattern", dir, maxGlobbed)
		}
		if name[0] == '.' && element[0] != '.' {
			continue
		}
		if ok, _ := filepath.Match(element, name); ok {
			names = append(names, name)
		}
	}
	return names, nil
}

// matchesPath reports whether a path of SetOptions.Paths names the file at name.
func matchesPath(path, name string) bool {
	path = filepath.Clean(path)
	if !IsPattern(path) {
		return unquote(path) == name
	}
	ok, _ := filepath.Match(path, name)
	return ok
}

func matchesAny(paths []string, name string) bool {
	return slices.ContainsFunc(paths, func(path string) bool { return matchesPath(path, name) })
}
