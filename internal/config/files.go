package config

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"rsyncd_exporter/internal/web"
	"rsyncd_exporter/receiver/follow"
)

func (v *validator) files(s *Setting) []string {
	var files []string
	var infos []fs.FileInfo
	given := append(v.withAuto(s), v.legacyFiles...)
	for i, name := range given {
		from := &Setting{Name: s.Name, Origin: s.Origin}
		if i >= len(given)-len(v.legacyFiles) {
			from.Origin, name = "-p", legacyPath(name)
		}
		if name != "-" {
			name = filepath.Clean(name)
		}
		if slices.Contains(files, name) {
			continue
		}
		info := v.lookAtFile(from, name)
		for j := range infos {
			if info != nil && infos[j] != nil && os.SameFile(info, infos[j]) {
				v.doubt(from, name, "it is the same file as %q, which counts once; name one of them", files[j])
			}
		}
		files, infos = append(files, name), append(infos, info)
	}
	if len(v.legacyFiles) > 0 { // for who looks at the settings in force
		s.set(strings.Join(files, ","), strings.TrimPrefix(s.Origin+" and -p", "default and "))
	}
	for _, name := range files {
		if follow.IsPattern(name) {
			v.lookAtPattern(s, name, files)
		}
	}
	return files
}

// notFollowed reports a file of ours that FILE has followed as one of rsyncd's.
func (v *validator) notFollowed(s *Setting) {
	for _, name := range v.cfg.Files {
		if same, _ := filepath.Match(name, filepath.Clean(s.Value)); same && s.Value != "-" && s.Value != "" {
			v.problem(s, fmt.Errorf("FILE=%q follows it, as if rsyncd wrote it", name), "choose another directory")
		}
	}
}

// legacyPath returns the item of FILE for a path of -p. A file of that name precedes a pattern.
func legacyPath(name string) string {
	if _, err := os.Lstat(name); err == nil || !follow.IsPattern(name) {
		return follow.QuotePattern(name)
	}
	if _, err := filepath.Match(name, ""); err != nil {
		return follow.QuotePattern(name)
	}
	return name
}

func (v *validator) lookAtPattern(s *Setting, pattern string, all []string) {
	if !utf8.ValidString(pattern) {
		v.problemWith(s, pattern, errors.New("it is not UTF-8, and so can't be a label"), "write ? for such bytes")
		return
	}
	followed, left, err := follow.Preview(pattern, all)
	switch {
	case errors.Is(err, filepath.ErrBadPattern):
		v.problemWith(s, pattern, filepath.ErrBadPattern,
			`end each [ with ], and write \ before characters that stand for themselves`)
		return
	case err != nil:
		v.doubt(s, pattern, "%v", err)
	case len(followed) == 0:
		v.doubt(s, pattern, "no file matches it yet; those that come are followed")
	}
	if len(left) > 0 {
		v.doubt(s, pattern, "it matches names of rotated or compressed files, %q and so on, which are read as "+
			"generations of their logs only; write a narrower pattern, or the path itself where it is a log of its own",
			left[0])
	}
}

// lookAtFile reports a file that can't be followed. It returns nil where there is none.
func (v *validator) lookAtFile(from *Setting, name string) fs.FileInfo {
	if name == "-" || follow.IsPattern(name) {
		return nil
	}
	plain, _ := follow.ExpandPath(name) // no error without a pattern
	info, err := os.Stat(plain[0])
	switch {
	case errors.Is(err, fs.ErrNotExist):
		v.doubt(from, name, "it doesn't exist yet, and is followed once it does")
	case err != nil:
		v.doubt(from, name, "%v", err)
	case !utf8.ValidString(name):
		v.problemWith(from, name, errors.New("it is not UTF-8, and so can't be a label"),
			"follow it through a symbolic link of another name")
	case slices.Contains([]string{".gz", ".bz2", ".zst"}, filepath.Ext(name)):
		v.doubt(from, name, "it is compressed, which is read of rotated generations only: name the log itself, or use "+
			"check to look into it")
	case info.IsDir():
		v.problemWith(from, name, errors.New("it is a directory"), "name the log file in it")
	}
	if err != nil {
		return nil
	}
	return info
}

// parseFileHost returns the expression of FILE_HOST, nil without.
func parseFileHost(s string) (*regexp.Regexp, error) {
	if s == "" {
		return nil, nil
	}
	re, err := regexp.Compile(s)
	if err == nil && re.SubexpIndex("host") < 0 {
		return nil, errors.New(`it has no group "host"`)
	}
	return re, err
}

// socketPath returns the path of a unix socket, empty for none.
func (v *validator) socketPath(s *Setting) string {
	switch {
	case s.off():
		return ""
	case len(s.Value) > maxSocketPath:
		v.problem(s, fmt.Errorf("the path has %d bytes, a socket's can have %d", len(s.Value), maxSocketPath),
			"choose a shorter one")
	case strings.HasPrefix(s.Value, "@"):
		v.problem(s, errors.New("an abstract socket has no owner and no mode"), "name a file")
	}
	return s.Value
}

func (v *validator) stateDir(s *Setting) string {
	if s.Value == "" {
		return ""
	}
	dir := filepath.Clean(s.Value)
	switch info, err := os.Stat(dir); {
	case errors.Is(err, fs.ErrNotExist):
		if _, err := os.Stat(filepath.Dir(dir)); err != nil {
			v.problem(s, err, "make the directory, for the exporter's user alone, or have systemd make it with "+
				"StateDirectory=")
		}
	case err != nil:
		v.problem(s, err, "let the exporter's user enter it")
	case !info.IsDir():
		v.problem(s, errors.New("it is no directory"), "name one that is the exporter's alone")
	}
	return dir
}

// webConfig returns the path of a web configuration file that the toolkit accepts.
func (v *validator) webConfig(s *Setting) string {
	warnings, err := web.CheckConfig(s.Value)
	if err != nil {
		v.problem(s, err, "see https://github.com/prometheus/exporter-toolkit/blob/master/docs/web-configuration.md")
	}
	for _, w := range warnings {
		v.doubt(s, s.Value, "%s", w)
	}
	return s.Value
}
