package show

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"unicode"

	"rsyncd_exporter/internal/text"
	"rsyncd_exporter/report"
)

// CSV writes a file for each table of the Summary into a directory, which it makes if there is none:
// modules.csv, clients.csv, days.csv and so on, as RFC 4180 says. Each has a first line with the
// names of its columns; bytes, seconds and counts are numbers without a unit. Words are in quotes,
// and what a spreadsheet would take for a formula stands behind an apostrophe.
//
// A file of that name is replaced if its first line is the one it would get, and is an error
// otherwise: then nothing is written. A file is either as it was or whole.
func CSV(dir string, s *report.Summary) error {
	// #nosec G301 -- who may read a report is up to its owner's umask
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	var tables []*table
	for _, sec := range everySection(s) {
		for _, t := range sec.tables {
			if t.file != "" {
				tables = append(tables, t)
			}
		}
	}
	var foreign []error
	for _, t := range tables {
		foreign = append(foreign, mayReplace(filepath.Join(dir, t.file+".csv"), t.csvHead()))
	}
	if err := errors.Join(foreign...); err != nil {
		return err
	}
	for _, t := range tables {
		if err := replace(dir, t.file+".csv", t.csv()); err != nil {
			return err
		}
	}
	return nil
}

// mayReplace says whether a file may be replaced: it isn't there, or its first line is head.
func mayReplace(path, head string) error {
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case !info.Mode().IsRegular():
		return fmt.Errorf("%q is not a regular file: move it away, or choose another directory", path)
	}
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	first, _ := bufio.NewReaderSize(f, len(head)+1).Peek(len(head))
	if string(first) != head {
		return fmt.Errorf("%q is not a table of a report: move it away, or choose another directory", path)
	}
	return nil
}

// replace writes a file under another name and renames it.
func replace(dir, name string, content []byte) (err error) {
	f, err := os.CreateTemp(dir, "."+name+".*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			os.Remove(f.Name())
		}
	}()
	_, err = f.Write(content)
	if err = errors.Join(err, f.Chmod(0o644), f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), filepath.Join(dir, name))
}

func (t *table) csvHead() string {
	var names []string
	for _, c := range t.columns {
		if c.name != "" {
			names = append(names, c.name)
		}
	}
	return strings.Join(names, ",") + "\r\n"
}

func (t *table) csv() []byte {
	var b bytes.Buffer
	b.WriteString(t.csvHead())
	for _, r := range t.rows {
		comma := ""
		for i, c := range t.columns {
			if c.name == "" {
				continue
			}
			b.WriteString(comma + r[i].csv())
			comma = ","
		}
		b.WriteString("\r\n")
	}
	return b.Bytes()
}

// quoted returns words as a cell of CSV. They are always in quotes: spreadsheets of some countries
// separate cells by semicolons, and only quotes keep one in a name from beginning a cell.
func quoted(s string) string {
	return `"` + strings.ReplaceAll(text.OneLine(defused(s)), `"`, `""`) + `"`
}

// defused returns a text that no spreadsheet runs as a formula, neither as a whole nor from a
// semicolon on.
func defused(s string) string {
	var b strings.Builder
	begins := true // nothing but what spreadsheets skip has come since the cell's beginning
	from := 0
	for i, r := range s {
		switch {
		case begins && (strings.ContainsRune("=+-@\t\r\n＝＋－＠", r)):
			b.WriteString("'" + s[from:i])
			from, begins = i, false
		case r == ';':
			b.WriteString(s[from : i+1])
			from, begins = i+1, true
		case !unicode.IsSpace(r) && !strings.ContainsRune(`'"`+"\ufeff\u200b", r):
			begins = false
		}
	}
	b.WriteString(s[from:])
	return b.String()
}
