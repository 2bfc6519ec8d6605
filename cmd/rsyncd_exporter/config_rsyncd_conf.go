package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
)

const (
	maxConfDepth = 8       // files that include each other; rsyncd has no limit, and dies of a file that includes itself
	maxConfSize  = 4 << 20 // bytes of one file
	maxConfFiles = 1000
)

// confReader reads module names out of rsyncd.conf as rsync 3.1.0 and later do (params.c, loadparm.c).
type confReader struct {
	modules []string
	seen    map[string]bool // by foldSection
	files   int
}

// readRsyncdConf returns the names of the modules that an rsyncd.conf defines, itself or through &include and &merge, in their order.
// The error is for files that can't be read and for sections that rsyncd would refuse too, with file and line.
func readRsyncdConf(path string) (modules []string, err error) {
	r := &confReader{seen: map[string]bool{foldSection("global"): true}}
	if err := r.file(path, 0); err != nil {
		return nil, err
	}
	return r.modules, nil
}

// file reads one file.
func (r *confReader) file(path string, depth int) error {
	if r.files++; r.files > maxConfFiles {
		return fmt.Errorf("%q: more than %d files", path, maxConfFiles)
	}
	if depth > maxConfDepth {
		return fmt.Errorf("%q: files that include each other, more than %d deep", path, maxConfDepth)
	}
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxConfSize+1))
	if err != nil {
		return err
	}
	if len(text) > maxConfSize {
		return fmt.Errorf("%q: larger than %v", path, ByteSize(maxConfSize))
	}
	return r.text(path, text, depth)
}

// text reads the text of a file, line by line.
func (r *confReader) text(path string, text []byte, depth int) error {
	if bytes.IndexByte(text, 0) >= 0 {
		return fmt.Errorf("%q: it holds a NUL byte, so it is no text", path)
	}
	number := 0
	for len(text) > 0 {
		first := number + 1
		var line string
		line, text, number = cutConfLine(text, number)
		line = strings.TrimLeft(line, confSpace+`\`) // params.c:Parse skips a stray backslash
		var err error
		switch {
		case strings.HasPrefix(line, "["):
			err = r.section(line[1:])
		case strings.HasPrefix(line, "&"):
			err = r.directive(line, depth)
		}
		if err != nil {
			return fmt.Errorf("%s:%d: %w", printable(path), first, err)
		}
	}
	return nil
}

// confSpace is what C's isspace is true for, less the line feed, which ends lines.
const confSpace = " \t\v\f\r"

// cutConfLine cuts the first line off text. A backslash at the end of a line joins it with the next, but not in a comment.
func cutConfLine(text []byte, number int) (line string, rest []byte, last int) {
	var joined strings.Builder
	for {
		raw, after, _ := bytes.Cut(text, []byte("\n"))
		number++
		trimmed := bytes.TrimRight(raw, confSpace)
		start := bytes.TrimLeft(raw, confSpace)
		comment := joined.Len() == 0 && len(start) > 0 && (start[0] == '#' || start[0] == ';')
		if comment || len(after) == 0 || !bytes.HasSuffix(trimmed, []byte(`\`)) {
			joined.Write(raw)
			return joined.String(), after, number
		}
		joined.Write(trimmed[:len(trimmed)-1])
		text = after
	}
}

// section takes the name of a section header, less its first bracket. What follows the second one is ignored (params.c:Section).
func (r *confReader) section(header string) error {
	name, _, closed := strings.Cut(header, "]")
	name = strings.Join(strings.FieldsFunc(name, isConfSpace), " ")
	switch {
	case !closed:
		return fmt.Errorf("section %q has no closing bracket", header)
	case name == "":
		return errors.New("section without a name")
	case strings.Contains(name, "/"):
		return fmt.Errorf("section %q: a module's name has no slash", name)
	}
	if folded := foldSection(name); !r.seen[folded] {
		r.seen[folded] = true
		r.modules = append(r.modules, name)
	}
	return nil
}

// foldSection returns what names of the same section have in common: case and spaces don't count (loadparm.c:strwiEQ).
func foldSection(name string) string {
	return strings.ToUpper(strings.Join(strings.FieldsFunc(name, isConfSpace), ""))
}

func isConfSpace(r rune) bool { return strings.ContainsRune(confSpace, r) }

// directive follows "&include PATH" and "&merge PATH". Of a directory, the first reads *.conf and the second *.inc, in the order of their
// names. For the names of modules they are otherwise the same.
func (r *confReader) directive(line string, depth int) error {
	end := strings.IndexAny(line, confSpace+"=")
	if end < 0 {
		return nil // "Ignoring badly formed line"
	}
	path := strings.Trim(strings.TrimPrefix(strings.TrimLeft(line[end:], confSpace), "="), confSpace)
	suffix := ""
	switch strings.ToLower(line[:end]) {
	case "&include":
		suffix = ".conf"
	case "&merge":
		suffix = ".inc"
	default:
		return fmt.Errorf("directive %q is unknown", line[:end])
	}
	info, err := os.Stat(path) // relative to the working directory, as in rsyncd
	if err != nil {
		return err
	}
	if !info.IsDir() {
		return r.file(path, depth+1)
	}
	entries, err := os.ReadDir(path)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if e.IsDir() || !strings.HasSuffix(e.Name(), suffix) {
			continue
		}
		if err := r.file(filepath.Join(path, e.Name()), depth+1); err != nil {
			return err
		}
	}
	return nil
}
