package config

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"rsyncd_exporter/internal/readfile"
	"rsyncd_exporter/internal/text"
)

const (
	maxConfDepth = 8       // files that include each other; rsyncd dies of a file that includes itself
	maxConfSize  = 4 << 20 // bytes of one file
	maxConfFiles = 1000
)

type confModule struct {
	name      string
	logFormat string
	formatted bool // the file says what logFormat is, if only for all modules
	logFile   string
	transfers bool // transfer logging
	most      int  // max connections; 0: no limit
	lockFile  string
	authUsers string
	readOnly  bool // unless a user has :rw
}

// limit returns the module's limit; false: there is none that could be shown. A negative one lets
// nobody in. With a lock file for each client, sessions in the module can be any number.
// clientserver.c: rsync_module sets these variables before it takes a place.
func (m *confModule) limit() (Limit, bool) {
	file := strings.ReplaceAll(m.lockFile, "%RSYNC_MODULE_NAME%", m.name)
	forEach := strings.Contains(file, "%RSYNC_HOST_NAME%") || strings.Contains(file, "%RSYNC_HOST_ADDR%")
	return Limit{MaxConnections: m.most, LockFile: file}, m.most > 0 && !forEach
}

// confReader reads rsyncd.conf as rsync 3.1.0 and later do (params.c, loadparm.c).
type confReader struct {
	modules  []confModule
	seen     map[string]int // by foldSection, where in modules
	section  int            // of the parameters that follow, where in modules; global: outside of any module
	defaults confModule     // what a module begins with
	files    int
	reader   readfile.Reader
}

const global = -1

// loadRsyncdConf reads an rsyncd.conf and what it includes and merges. Errors say file and line.
func loadRsyncdConf(path string) (*confReader, error) {
	r := newConfReader()
	if err := r.file(path, 0); err != nil {
		return nil, err
	}
	return r, nil
}

func newConfReader() *confReader {
	seen := map[string]int{foldSection("global"): global}
	// rsync.h: DEFAULT_LOCK_FILE
	defaults := confModule{readOnly: true, lockFile: "/var/run/rsyncd.lock"}
	return &confReader{seen: seen, section: global, defaults: defaults, reader: readfile.NewReader()}
}

func (r *confReader) file(path string, depth int) error {
	if r.files++; r.files > maxConfFiles {
		return fmt.Errorf("%q: more than %d files", path, maxConfFiles)
	}
	if depth > maxConfDepth {
		return fmt.Errorf("%q: files that include each other, more than %d deep", path, maxConfDepth)
	}
	text, err := r.reader.Read(path, maxConfSize)
	if err != nil {
		return err
	}
	return r.text(path, text, depth)
}

func (r *confReader) text(path string, content []byte, depth int) error {
	if bytes.IndexByte(content, 0) >= 0 {
		return fmt.Errorf("%q: it holds a NUL byte, so it is no text", path)
	}
	number := 0
	for len(content) > 0 {
		first := number + 1
		var line string
		line, content, number = cutConfLine(content, number)
		line = strings.TrimLeft(line, confSpace+`\`) // params.c:Parse skips a stray backslash
		var err error
		switch {
		case strings.HasPrefix(line, "["):
			err = r.begin(line[1:])
		case strings.HasPrefix(line, "&"):
			err = r.directive(line, depth)
		case !strings.HasPrefix(line, "#") && !strings.HasPrefix(line, ";"):
			r.parameter(line)
		}
		if err != nil {
			return fmt.Errorf("%s:%d: %w", text.Printable(path), first, err)
		}
	}
	return nil
}

// confSpace are the characters of C's isspace without the line feed.
const confSpace = " \t\v\f\r"

// cutConfLine cuts off a line. A backslash at its end joins it with the next, but not in a comment.
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

// begin takes a section header, less its first bracket (params.c:Section).
func (r *confReader) begin(header string) error {
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
	folded := foldSection(name)
	section, ok := r.seen[folded]
	if !ok {
		module := r.defaults
		module.name = name
		section = len(r.modules)
		r.modules = append(r.modules, module)
		r.seen[folded] = section
	}
	r.section = section
	return nil
}

// parameter takes the parameters that confModule has (loadparm.c: do_parameter).
func (r *confReader) parameter(line string) {
	name, value, ok := strings.Cut(line, "=")
	if !ok {
		return
	}
	m := &r.defaults
	if r.section != global {
		m = &r.modules[r.section]
	}
	value = strings.Trim(value, confSpace)
	switch foldSection(name) {
	case "LOGFORMAT":
		m.logFormat, m.formatted = value, true
	case "LOGFILE":
		m.logFile = value
	case "MAXCONNECTIONS":
		m.most = atoi(value)
	case "LOCKFILE":
		m.lockFile = value
	case "AUTHUSERS":
		m.authUsers = value
	case "TRANSFERLOGGING":
		setBoolean(&m.transfers, value)
	case "READONLY":
		setBoolean(&m.readOnly, value)
	}
}

// setBoolean reads a boolean as loadparm.c: set_boolean does. Anything else changes nothing.
func setBoolean(b *bool, value string) {
	switch strings.ToLower(value) {
	case "yes", "true", "1":
		*b = true
	case "no", "false", "0":
		*b = false
	}
}

// atoi reads a number as C's does: what follows the digits is ignored, and without any it is 0.
func atoi(s string) int {
	end := 0
	for end < len(s) && (isDigit(s[end]) || end == 0 && (s[0] == '-' || s[0] == '+')) {
		end++
	}
	n, err := strconv.ParseInt(s[:end], 10, 32)
	if err != nil {
		return 0
	}
	return int(n)
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }

// foldSection returns a name without case and spaces (loadparm.c:strwiEQ).
func foldSection(name string) string {
	return strings.ToUpper(strings.Join(strings.FieldsFunc(name, isConfSpace), ""))
}

func isConfSpace(r rune) bool { return strings.ContainsRune(confSpace, r) }

// directive follows "&include PATH" and "&merge PATH"; of a directory *.conf and *.inc, sorted.
func (r *confReader) directive(line string, depth int) error {
	end := strings.IndexAny(line, confSpace+"=")
	if end < 0 {
		return nil // "Ignoring badly formed line"
	}
	path := strings.Trim(strings.TrimPrefix(strings.TrimLeft(line[end:], confSpace), "="), confSpace)
	suffix, read := "", r.file
	switch strings.ToLower(line[:end]) {
	case "&include":
		suffix, read = ".conf", r.include
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
		return read(path, depth+1)
	}
	entries, err := os.ReadDir(path)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if e.IsDir() || !strings.HasSuffix(e.Name(), suffix) {
			continue
		}
		if err := read(filepath.Join(path, e.Name()), depth+1); err != nil {
			return err
		}
	}
	return nil
}

// include reads a file whose global parameters hold in it only (loadparm.c: do_section).
func (r *confReader) include(path string, depth int) error {
	defaults := r.defaults
	r.section = global
	err := r.file(path, depth)
	r.section, r.defaults = global, defaults
	return err
}
