package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"rsyncd_exporter/receiver/follow"
)

// autoFiles is what FILE says for all log files that RSYNCD_CONF names. A file of that name is ./auto.
const autoFiles = "auto"

// withAuto returns the items of FILE, with the files of RSYNCD_CONF in the place of auto.
func (v *validator) withAuto(s *setting) []string {
	items := s.items()
	at := slices.Index(items, autoFiles)
	if at < 0 {
		return items
	}
	var found []string
	if v.conf == nil {
		v.problemWith(s, autoFiles, errors.New("no rsyncd.conf says which files these are"),
			"set RSYNCD_CONF to one that can be read, name the files, or write ./auto for a file of that name")
		return slices.Delete(items, at, at+1)
	}
	var not []string
	for _, f := range v.conf.logFiles() {
		if reason, remedy := cannotFollow(f.path); reason != "" {
			not = append(not, fmt.Sprintf("%s logs to %q, which is not followed: %s: %s", f.whose, f.path, reason, remedy))
			continue
		}
		found = append(found, follow.QuotePattern(f.path))
	}
	if len(found) == 0 {
		v.problemWith(s, autoFiles, errors.New(strings.Join(append(not, "RSYNCD_CONF names no log file that can be followed"), "; ")),
			"have rsyncd's syslog sent here (LISTEN_UNIXGRAM, LISTEN_UDP), or name the files")
		return slices.Delete(items, at, at+1)
	}
	for _, why := range not {
		v.warn("%s=%q (from %s): %s", s.name, autoFiles, s.origin, why)
	}
	return slices.Replace(items, at, at+1, found...)
}

// A confLog is a log file that an rsyncd.conf names.
type confLog struct{ path, whose string }

// logFiles returns the log files that an rsyncd.conf names, each once: the daemon's own first,
// where sessions begin.
func (r *confReader) logFiles() (all []confLog) {
	add := func(path, whose string) {
		if filepath.IsAbs(path) {
			path = filepath.Clean(path)
		}
		if path != "" && !slices.ContainsFunc(all, func(l confLog) bool { return l.path == path }) {
			all = append(all, confLog{path, whose})
		}
	}
	add(r.defaults.logFile, "the daemon")
	for _, m := range r.modules {
		add(m.logFile, "module "+printable(m.name))
	}
	return all
}

// logsToSyslog says whether a part of what the daemon logs goes to syslog: its own messages, or
// those of a module.
func (r *confReader) logsToSyslog() bool {
	return r.defaults.logFile == "" || slices.ContainsFunc(r.modules, func(m confModule) bool { return m.logFile == "" })
}

// confVariable is one that rsyncd puts a value in the place of (loadparm.c: expand_vars).
var confVariable = regexp.MustCompile(`%[A-Za-z_][A-Za-z0-9_]*%`)

// cannotFollow says why a log file of rsyncd.conf can't be followed by its name, and what to do;
// the reason is empty where it can.
func cannotFollow(path string) (reason, remedy string) {
	if name := confVariable.FindString(path); name != "" {
		return "only rsyncd knows the value of " + name, "name these files in FILE, as a pattern"
	}
	if !filepath.IsAbs(path) {
		return "it is relative to where rsyncd was started", "write the whole path in rsyncd.conf, or name the file in FILE"
	}
	if info, err := os.Stat(path); err == nil && !info.Mode().IsRegular() {
		return "it is no regular file",
			"have rsyncd log to a file or to syslog, or give the exporter the other end as its standard input"
	}
	return "", ""
}

// daemon returns which of the followed files are one daemon's, by RSYNCD_CONF.
func (v *validator) daemon(s *settings, c *Config) (d follow.Daemon) {
	if v.conf == nil {
		return d
	}
	for _, f := range v.conf.logFiles() {
		if reason, _ := cannotFollow(f.path); reason == "" {
			d.Paths = append(d.Paths, f.path)
		}
	}
	followed := v.warnOfUnfollowed(s, c, &d)
	isUnix := func(p passedSocket) bool { return p.role == roleUnixgram }
	local := c.ListenUnixgram != "" || slices.ContainsFunc(c.Passed, isUnix)
	remote := len(c.ListenUDP)+len(c.ListenTCP)+len(c.ListenTLS) > 0 || takesMessages(c.Passed)
	if !followed || !v.conf.logsToSyslog() || !local && !remote {
		return d
	}
	d.Syslog = true
	if !local && c.FileHost == nil {
		v.warn("RSYNCD_CONF=%q (from %s): sessions log to files and to syslog, whose messages come from a relay: "+
			"have FILE_HOST give the files the host name that these bear, or sessions are not whole",
			s.RsyncdConf.value, s.RsyncdConf.origin)
	}
	return d
}

// warnOfUnfollowed says whether some of the daemon's files are followed, and warns of those that are not then.
func (v *validator) warnOfUnfollowed(s *settings, c *Config, d *follow.Daemon) (some bool) {
	followed := make([]bool, len(d.Paths))
	for _, path := range c.Files {
		for _, p := range expand(path) {
			if rank, ok := d.Rank(p); ok {
				followed[rank], some = true, true
			}
		}
	}
	for rank, path := range d.Paths {
		if some && !followed[rank] {
			v.warn("RSYNCD_CONF=%q (from %s): it has sessions logged to %q, which FILE doesn't follow, so their parts there don't "+
				"count: add it, or write FILE=auto", s.RsyncdConf.value, s.RsyncdConf.origin, path)
		}
	}
	return some
}

// lookAtFileHost warns of a FILE_HOST that gives no followed file a host.
func (v *validator) lookAtFileHost(s *settings, c *Config) {
	if c.FileHost == nil {
		return
	}
	example := ""
	for _, path := range c.Files {
		for _, example = range expand(path) {
			if c.hostOf(example) != "" {
				return
			}
		}
	}
	if example != "" {
		v.warn("FILE_HOST=%q (from %s): it finds no host in the path of any followed file, such as %q",
			s.FileHost.value, s.FileHost.origin, example)
	}
}

// expand returns the files that a path or pattern of FILE names now.
func expand(path string) []string {
	if path == "-" {
		return nil
	}
	all, _ := follow.ExpandPath(path) // errors are told elsewhere
	return all
}

// fileHost returns the expression of FILE_HOST, nil without.
func (v *validator) fileHost(s *setting) *regexp.Regexp {
	if s.value == "" {
		return nil
	}
	const remedy = `write one such as /var/log/remote/(?P<host>[^/]+)/ in the syntax of https://golang.org/s/re2syntax`
	re, err := regexp.Compile(s.value)
	if err == nil && re.SubexpIndex("host") < 0 {
		err = errors.New(`it has no group "host"`)
	}
	if err != nil {
		v.problem(s, err, remedy)
		return nil
	}
	return re
}

// hostOf returns the host of a followed file's lines, empty where they say it themselves. All files
// of one daemon have the host of the first that has one.
func (c *Config) hostOf(path string) string {
	if c.FileHost == nil {
		return ""
	}
	paths := []string{path}
	if _, ok := c.Daemon.Rank(path); ok {
		paths = append(c.Daemon.Paths, path)
	}
	for _, p := range paths {
		if m := c.FileHost.FindStringSubmatch(p); m != nil && m[c.FileHost.SubexpIndex("host")] != "" {
			return m[c.FileHost.SubexpIndex("host")]
		}
	}
	return ""
}

// printDaemon prints which files are one daemon's.
func printDaemon(w io.Writer, d follow.Daemon) {
	if len(d.Paths) == 0 || len(d.Paths) == 1 && !d.Syslog {
		return
	}
	var names []string
	for _, path := range d.Paths {
		names = append(names, printable(path))
	}
	if d.Syslog {
		names = append(names, "syslog")
	}
	fmt.Fprintf(w, "one daemon: %s\n", strings.Join(names, ", "))
}
