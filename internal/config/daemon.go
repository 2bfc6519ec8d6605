package config

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"rsyncd_exporter/internal/text"
	"rsyncd_exporter/receiver/follow"
)

func (v *validator) readConf() {
	s := v.settings.get("RSYNCD_CONF")
	if s.Value == "" {
		return
	}
	conf, err := loadRsyncdConf(s.Value)
	if err != nil {
		v.problem(s, err, "name an rsyncd.conf that rsyncd accepts and that the exporter may read, or use MODULES")
		return
	}
	v.conf = conf
}

// modules returns the names given and those of RSYNCD_CONF, and takes the latter's log formats.
func (v *validator) modules(s *Setting) []string {
	modules := items(s)
	if v.conf == nil {
		return modules
	}
	conf := v.settings.get("RSYNCD_CONF")
	if len(v.conf.modules) == 0 {
		v.doubt(conf, conf.Value, "it has no module")
	}
	formats := map[string]string{}
	for _, m := range v.conf.modules {
		if !slices.Contains(modules, m.name) {
			modules = append(modules, m.name)
		}
		if l, ok := m.limit(); ok {
			v.cfg.Limits = with(v.cfg.Limits, m.name, l)
		}
		if !m.transfers {
			v.cfg.Unlogged = append(v.cfg.Unlogged, m.name)
		}
		if !m.formatted {
			continue
		}
		warnings, err := checkLogFormat(m.logFormat)
		if err != nil {
			warnings = append(warnings, err.Error()+"; LOG_FORMAT is taken instead")
		} else {
			formats[m.name] = m.logFormat
		}
		for _, w := range warnings {
			v.warn("RSYNCD_CONF=%q (from %s), module %s: %s", conf.Value, conf.Origin, text.Printable(m.name), w)
		}
	}
	v.cfg.ModuleFormats = formats
	return modules
}

// autoFiles in FILE stands for all log files that RSYNCD_CONF names. A file of that name is ./auto.
const autoFiles = "auto"

func (v *validator) withAuto(s *Setting) []string {
	list := items(s)
	at := slices.Index(list, autoFiles)
	if at < 0 {
		return list
	}
	if v.conf == nil {
		v.problemWith(s, autoFiles, errors.New("no rsyncd.conf says which files these are"),
			"set RSYNCD_CONF to one that can be read, name the files, or write ./auto for a file of that name")
		return slices.Delete(list, at, at+1)
	}
	var found, not []string
	for _, f := range v.conf.logFiles() {
		if reason, remedy := cannotFollow(f.path); reason != "" {
			not = append(not, fmt.Sprintf("%s logs to %q, which is not followed: %s: %s",
				f.whose, f.path, reason, remedy))
			continue
		}
		found = append(found, follow.QuotePattern(f.path))
	}
	if len(found) == 0 {
		why := append(not, "RSYNCD_CONF names no log file that can be followed")
		v.problemWith(s, autoFiles, errors.New(strings.Join(why, "; ")),
			"have rsyncd's syslog sent here (LISTEN_UNIXGRAM, LISTEN_UDP), or name the files")
		return slices.Delete(list, at, at+1)
	}
	for _, why := range not {
		v.doubt(s, autoFiles, "%s", why)
	}
	return slices.Replace(list, at, at+1, found...)
}

type confLog struct{ path, whose string }

// logFiles returns the log files that an rsyncd.conf names, each once, the daemon's own first.
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
		add(m.logFile, "module "+text.Printable(m.name))
	}
	return all
}

// logsToSyslog reports whether the daemon, or one of its modules, logs to syslog.
func (r *confReader) logsToSyslog() bool {
	noFile := func(m confModule) bool { return m.logFile == "" }
	return noFile(r.defaults) || slices.ContainsFunc(r.modules, noFile)
}

// confVariable matches a variable that rsyncd replaces by its value (loadparm.c: expand_vars).
var confVariable = regexp.MustCompile(`%[A-Za-z_][A-Za-z0-9_]*%`)

// cannotFollow returns why a log file of rsyncd.conf can't be followed, and what to do.
func cannotFollow(path string) (reason, remedy string) {
	if name := confVariable.FindString(path); name != "" {
		return "only rsyncd knows the value of " + name, "name these files in FILE, as a pattern"
	}
	if !filepath.IsAbs(path) {
		return "it is relative to where rsyncd was started",
			"write the whole path in rsyncd.conf, or name the file in FILE"
	}
	if info, err := os.Stat(path); err == nil && !info.Mode().IsRegular() {
		return "it is no regular file",
			"have rsyncd log to a file or to syslog, or give the exporter the other end as its standard input"
	}
	return "", ""
}

// daemon finds out which followed files belong to one daemon, by RSYNCD_CONF.
func (v *validator) daemon() {
	if v.conf == nil {
		return
	}
	c, d := v.cfg, &v.cfg.Daemon
	for _, f := range v.conf.logFiles() {
		if reason, _ := cannotFollow(f.path); reason == "" {
			d.Paths = append(d.Paths, f.path)
		}
	}
	followed := v.warnOfUnfollowed()
	isUnix := func(p PassedSocket) bool { return p.Role == RoleUnixgram }
	local := c.ListenUnixgram != "" || slices.ContainsFunc(c.Passed, isUnix)
	remote := len(c.ListenUDP)+len(c.ListenTCP)+len(c.ListenTLS) > 0 || takesMessages(c.Passed)
	if !followed || !v.conf.logsToSyslog() || !local && !remote {
		return
	}
	d.Syslog = true
	if !local && c.FileHost == nil {
		conf := v.settings.get("RSYNCD_CONF")
		v.doubt(conf, conf.Value, "sessions log to files and to syslog, whose messages come from a relay: have "+
			"FILE_HOST give the files the host name that these bear, or sessions are not whole")
	}
}

// warnOfUnfollowed reports whether some of the daemon's files are followed, and warns of others.
func (v *validator) warnOfUnfollowed() (some bool) {
	d := &v.cfg.Daemon
	followed := make([]bool, len(d.Paths))
	for _, path := range v.cfg.Files {
		for _, p := range expand(path) {
			if rank, ok := d.Rank(p); ok {
				followed[rank], some = true, true
			}
		}
	}
	conf := v.settings.get("RSYNCD_CONF")
	for rank, path := range d.Paths {
		if some && !followed[rank] {
			v.doubt(conf, conf.Value, "it has sessions logged to %q, which FILE doesn't follow, so their parts there "+
				"don't count: add it, or write FILE=auto", path)
		}
	}
	return some
}

func (v *validator) lookAtFileHost() {
	if v.cfg.FileHost == nil {
		return
	}
	example := ""
	for _, path := range v.cfg.Files {
		for _, example = range expand(path) {
			if v.cfg.HostOf(example) != "" {
				return
			}
		}
	}
	if example != "" {
		s := v.settings.get("FILE_HOST")
		v.doubt(s, s.Value, "it finds no host in the path of any followed file, such as %q", example)
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

// HostOf returns the host of a followed file's lines, or nothing where the lines name it. All files
// of one daemon share the host of the first file that has one.
func (c *Config) HostOf(path string) string {
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

// with sets a value in a map, which may be nil.
func with[T any](m map[string]T, key string, value T) map[string]T {
	if m == nil {
		m = map[string]T{}
	}
	m[key] = value
	return m
}
