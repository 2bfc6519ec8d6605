package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"time"
	"unicode/utf8"

	"github.com/prometheus/exporter-toolkit/web"

	"rsyncd_exporter/internal/systemd"
	"rsyncd_exporter/receiver/follow"
	"rsyncd_exporter/receiver/stream"
)

// Config is the settings in force: valid, typed and complete. Names and meanings are those of the settings struct.
type Config struct {
	ListenUDP          []string // host:port, as net.Listen takes it; empty: off
	UDPSockets         int
	ListenTCP          []string // likewise
	ListenTLS          []string // likewise
	TLS                stream.TLSOptions
	ListenUnixgram     string // path; empty: off
	ListenUnixgramMode fs.FileMode
	ListenUnixgramUIDs []uint32       // empty: all
	AllowFrom          []netip.Prefix // 0.0.0.0/0 and ::/0: all
	ReceiveBuffer      ByteSize       // 0: the system's default
	Files              []string       // paths and patterns, see follow.SetOptions.Paths, each once; "-" is Stdin
	FilePoll           time.Duration
	FileFromStart      bool              // FILE_START=beginning
	FileHost           *regexp.Regexp    // has a group "host"; nil: lines have the host that they name themselves
	Daemon             follow.Daemon     // those of Files that RSYNCD_CONF makes one daemon's
	StateDir           string            // path; empty: memory only
	SyslogFormat       string            // syslog.NewDialect takes it
	SyslogLogLines     bool              // receiver.Source.Wrapped
	Tags               []string          // globs for path.Match
	LogFormat          string            // rsynclog.NewParser takes it
	LineFormat         string            // syslog.ParseLineFormat takes it
	Modules            []string          // MODULES, and those of RSYNCD_CONF; each once
	Hosts              []string          // as they stand in the syslog header; each once
	ModuleFormats      map[string]string // by module, the log formats that RSYNCD_CONF gives; rsynclog.NewParser takes them
	MaxSeries          int
	SessionTTL         time.Duration
	HTTPListen         string // host:port
	WebConfig          string // path; empty: plain HTTP
	LogLevel           slog.Level

	Passed   []passedSocket // those that this process was started with; what they receive is in none of the settings above
	Watchdog time.Duration  // how often the supervisor wants to be told that all is well; 0: never
	Stdin    io.Reader      // what the file "-" is; whoever starts serve sets it
	Warnings []string       // what is allowed and still doubtful, for the log
}

// Limits of settings.
const (
	minFilePoll      = 10 * time.Millisecond
	maxFilePoll      = time.Hour
	minSessionTTL    = time.Second
	maxSessionTTL    = 365 * 24 * time.Hour
	minReceiveBuffer = 4 << 10
	maxReceiveBuffer = 1 << 30 // the kernel doubles it, in an int
	maxMaxSeries     = 10_000_000
	maxUDPSockets    = 64

	// maxSocketPath is the longest path of a unix socket, 107 bytes on Linux: the array holds a NUL too (unix(7)).
	maxSocketPath = len(syscall.RawSockaddrUnix{}.Path) - 1
)

// loadConfig reads the settings from the process environment and the flags; a flag beats a variable beats the default. It returns the
// settings in both forms, or every problem with them, as a joined error. That error is flag.ErrHelp where the flags ask for help. It opens
// no input. sockets are those that the process was started with.
func loadConfig(args []string, sockets ...systemd.Socket) (*Config, *settings, error) {
	return loadSettings(newSettings(), args, sockets)
}

// loadSettings is loadConfig for settings that are at their defaults.
func loadSettings(s *settings, args []string, sockets []systemd.Socket) (*Config, *settings, error) {
	problems := s.readEnvironment()
	problems = append(problems, s.parseFlags(args, nil)...)
	if slices.Contains(problems, flag.ErrHelp) {
		return nil, nil, flag.ErrHelp
	}
	v := &validator{problems: problems}
	cfg := v.validate(s, sockets)
	if len(v.problems) > 0 {
		return nil, nil, errors.Join(v.problems...)
	}
	return cfg, s, nil
}

// A validator turns settings as given into a Config and collects what is wrong with them.
type validator struct {
	problems []error
	warnings []string
	formats  map[string]string // Config.ModuleFormats
	conf     *confReader       // what RSYNCD_CONF holds; nil where it is not set or can't be read
}

// problem notes that a setting can't be used: why, and what to do about it.
func (v *validator) problem(s *setting, reason error, remedy string) {
	v.problemWith(s, s.value, reason, remedy)
}

// problemWith is problem for one item of a list.
func (v *validator) problemWith(s *setting, value string, reason error, remedy string) {
	v.problems = append(v.problems, fmt.Errorf("%s=%q (from %s): %w: %s", s.name, value, s.origin, reason, remedy))
}

func (v *validator) warn(format string, args ...any) {
	v.warnings = append(v.warnings, fmt.Sprintf(format, args...))
}

func (v *validator) validate(s *settings, sockets []systemd.Socket) *Config {
	if len(s.legacyFiles) > 0 && s.ListenUDP.origin == "default" {
		s.ListenUDP.value, s.ListenUDP.origin = "off", "-p"
	}
	v.lists(s)
	v.doors(s)
	passed := v.assign(sockets, s)
	v.readConf(&s.RsyncdConf)
	c := &Config{
		ListenUDP:          v.addresses(&s.ListenUDP),
		UDPSockets:         v.number(&s.UDPSockets, 1, maxUDPSockets),
		ListenTCP:          v.addresses(&s.ListenTCP),
		ListenTLS:          v.addresses(&s.ListenTLS),
		TLS:                v.tls(s),
		ListenUnixgram:     v.socketPath(&s.ListenUnixgram),
		ListenUnixgramMode: v.mode(&s.ListenUnixgramMode),
		ListenUnixgramUIDs: v.users(&s.ListenUnixgramUids),
		AllowFrom:          v.prefixes(&s.AllowFrom),
		ReceiveBuffer:      v.receiveBuffer(&s.ReceiveBuffer),
		Files:              v.files(&s.File, s.legacyFiles),
		FilePoll:           v.duration(&s.FilePoll, minFilePoll, maxFilePoll),
		FileFromStart:      v.oneOf(&s.FileStart, "end", "beginning") == "beginning",
		FileHost:           v.fileHost(&s.FileHost),
		StateDir:           v.stateDir(&s.StateDir),
		SyslogFormat:       v.syslogFormat(&s.SyslogFormat),
		SyslogLogLines:     v.oneOf(&s.SyslogLogLines, "no", "yes") == "yes",
		Tags:               v.globs(&s.Tags),
		LogFormat:          v.logFormat(&s.LogFormat),
		LineFormat:         v.lineFormat(&s.LineFormat),
		Modules:            v.modules(&s.Modules, &s.RsyncdConf),
		Hosts:              s.Hosts.items(),
		MaxSeries:          v.number(&s.MaxSeries, 1, maxMaxSeries),
		SessionTTL:         v.duration(&s.SessionTTL, minSessionTTL, maxSessionTTL),
		HTTPListen:         v.address(&s.HTTPListen),
		WebConfig:          v.webConfig(&s.WebConfig),
		LogLevel:           v.level(&s.LogLevel),
		Passed:             passed,
	}
	c.ModuleFormats = v.formats
	c.Daemon = v.daemon(s, c)
	v.lookAtFileHost(s, c)
	v.withoutCovered(s, c)
	v.together(s, c)
	c.Warnings = v.warnings
	return c
}

// together checks what is wrong only in company.
func (v *validator) together(s *settings, c *Config) {
	if s.ListenUDP.off() && s.ListenTCP.off() && s.ListenTLS.off() && s.ListenUnixgram.off() && s.File.off() && len(c.Files) == 0 && !takesMessages(c.Passed) {
		v.problems = append(v.problems, fmt.Errorf("no input: LISTEN_UDP is off (from %s), and LISTEN_TCP, LISTEN_TLS, LISTEN_UNIXGRAM and FILE are empty: "+
			"set one of them", s.ListenUDP.origin))
	}
	v.apart(&s.ListenUDP, c.ListenUDP)
	v.apart(&s.ListenTCP, c.ListenTCP)
	v.apart(&s.ListenTLS, c.ListenTLS)
	for _, a := range c.ListenTCP {
		if overlap(a, c.HTTPListen) {
			v.problemWith(&s.ListenTCP, a, fmt.Errorf("HTTP_LISTEN is %q, the same port", c.HTTPListen), "give one of them another port")
		}
	}
	if uidMap, err := os.ReadFile("/proc/self/uid_map"); err == nil && len(c.ListenUnixgramUIDs) > 0 && !seesAllUsers(string(uidMap)) {
		v.warn("LISTEN_UNIXGRAM_UIDS (from %s): in this user namespace (systemd: PrivateUsers=yes) users of the system all look like 65534, "+
			"and can't be told apart: run the exporter outside of it", s.ListenUnixgramUids.origin)
	}
	for _, a := range c.ListenTLS {
		if overlap(a, c.HTTPListen) {
			v.problemWith(&s.ListenTLS, a, fmt.Errorf("HTTP_LISTEN is %q, the same port", c.HTTPListen), "give one of them another port")
		}
		for _, b := range c.ListenTCP {
			if overlap(a, b) {
				v.problemWith(&s.ListenTLS, a, fmt.Errorf("LISTEN_TCP has %q, the same port", b), "give one of them another port")
			}
		}
	}
	if len(c.Files) == 0 && len(s.files) == 0 && s.LineFormat.origin != "default" {
		v.warn("LINE_FORMAT (from %s) is for the lines of files, and FILE names none", s.LineFormat.origin)
	}
}

// seesAllUsers says whether users have the numbers here that they have elsewhere, by /proc/self/uid_map (user_namespaces(7)).
func seesAllUsers(uidMap string) bool {
	return slices.Equal(strings.Fields(uidMap), []string{"0", "0", "4294967295"})
}

// apart reports addresses of one listener that can't be listened at at once.
func (v *validator) apart(s *setting, addresses []string) {
	for i, a := range addresses {
		for _, b := range addresses[:i] {
			if overlap(a, b) {
				v.problemWith(s, a, fmt.Errorf("it names %q, too, which has the same port", b), "name one of them")
			}
		}
	}
}

// overlap says whether two addresses, both valid, can't be listened at at once, as far as that is known without a look at names: the same one
// twice, or one that is among those of a wildcard.
func overlap(a, b string) bool {
	hostA, portA, errA := net.SplitHostPort(a)
	hostB, portB, errB := net.SplitHostPort(b)
	if errA != nil || errB != nil || portA != portB || portA == "0" {
		return false
	}
	return hostA == hostB || covers(hostA, hostB) || covers(hostB, hostA)
}

// covers says whether a wildcard takes the other host's addresses: 0.0.0.0 those of IPv4, :: and none all.
func covers(wildcard, host string) bool {
	ip, _ := netip.ParseAddr(host)
	switch wildcard {
	case "", "::":
		return true
	case "0.0.0.0":
		return host == "" || host == "::" || ip.Unmap().Is4()
	}
	return false
}

// socketPath returns the path of a unix socket, empty for none.
func (v *validator) socketPath(s *setting) string {
	switch {
	case s.off():
		return ""
	case len(s.value) > maxSocketPath:
		v.problem(s, fmt.Errorf("the path has %d bytes, a socket's can have %d", len(s.value), maxSocketPath), "choose a shorter one")
	case strings.HasPrefix(s.value, "@"):
		v.problem(s, errors.New("an abstract socket has no owner and no mode"), "name a file")
	}
	return s.value
}

// files returns the files and patterns to follow, each once.
func (v *validator) files(s *setting, legacy []string) []string {
	var files []string
	var infos []fs.FileInfo
	given := append(v.withAuto(s), legacy...)
	for i, name := range given {
		origin := s.origin
		if i >= len(given)-len(legacy) {
			origin, name = "-p", legacyPath(name)
		}
		from := &setting{name: s.name, origin: origin}
		if name != "-" {
			name = filepath.Clean(name)
		}
		if slices.Contains(files, name) {
			continue
		}
		info := v.lookAtFile(from, name)
		for j := range infos {
			if info != nil && infos[j] != nil && os.SameFile(info, infos[j]) {
				v.warn("%s=%q (from %s): it is the same file as %q, which counts once; name one of them", from.name, name, from.origin, files[j])
			}
		}
		files, infos = append(files, name), append(infos, info)
	}
	if len(legacy) > 0 { // for who looks at the settings in force
		s.origin = strings.TrimPrefix(s.origin+" and -p", "default and ")
		s.value = strings.Join(files, ",")
	}
	for _, name := range files {
		if follow.IsPattern(name) {
			v.lookAtPattern(s, name, files)
		}
	}
	return files
}

// legacyPath returns what -p names as a path of FILE: a file of that very name, if there is one, else a pattern if it
// is one. The script that this program replaces knew no patterns, but who quotes one for the shell means it.
func legacyPath(name string) string {
	if _, err := os.Lstat(name); err == nil || !follow.IsPattern(name) {
		return follow.QuotePattern(name)
	}
	if _, err := filepath.Match(name, ""); err != nil {
		return follow.QuotePattern(name)
	}
	return name
}

// lookAtPattern reports a pattern of files that matches nothing, or more than it should.
func (v *validator) lookAtPattern(s *setting, pattern string, all []string) {
	if !utf8.ValidString(pattern) {
		v.problemWith(s, pattern, errors.New("it is not UTF-8, and so can't be a label"), "write ? for such bytes")
		return
	}
	followed, left, err := follow.Preview(pattern, all)
	switch {
	case errors.Is(err, filepath.ErrBadPattern):
		v.problemWith(s, pattern, filepath.ErrBadPattern, `end each [ with ], and write \ before characters that stand for themselves`)
		return
	case err != nil:
		v.warn("%s=%q (from %s): %v", s.name, pattern, s.origin, err)
	case len(followed) == 0:
		v.warn("%s=%q (from %s): no file matches it yet; those that come are followed", s.name, pattern, s.origin)
	}
	if len(left) > 0 {
		v.warn("%s=%q (from %s): it matches names of rotated or compressed files, %q and so on, which are read as generations of their logs only; "+
			"write a narrower pattern, or the path itself where it is a log of its own", s.name, pattern, s.origin, left[0])
	}
}

// lookAtFile reports a file that can't be followed. The result is nil where there is nothing to compare with other files.
func (v *validator) lookAtFile(from *setting, name string) fs.FileInfo {
	if name == "-" || follow.IsPattern(name) {
		return nil
	}
	plain, _ := follow.ExpandPath(name) // no error without a pattern
	info, err := os.Stat(plain[0])
	switch {
	case errors.Is(err, fs.ErrNotExist):
		v.warn("%s=%q (from %s): it doesn't exist yet, and is followed once it does", from.name, name, from.origin)
	case err != nil:
		v.warn("%s=%q (from %s): %v", from.name, name, from.origin, err)
	case !utf8.ValidString(name):
		v.problemWith(from, name, errors.New("it is not UTF-8, and so can't be a label"), "follow it through a symbolic link of another name")
	case strings.HasSuffix(name, ".gz") || strings.HasSuffix(name, ".zst"):
		v.warn("%s=%q (from %s): it is compressed, which is read of rotated generations only: name the log itself, or use check to look into it",
			from.name, name, from.origin)
		return info
	case info.IsDir():
		v.problemWith(from, name, errors.New("it is a directory"), "name the log file in it")
	}
	if err != nil {
		return nil
	}
	return info
}

// globs returns the tags.
func (v *validator) globs(s *setting) []string {
	tags := s.items()
	for _, t := range tags {
		if _, err := path.Match(t, ""); err != nil {
			v.problemWith(s, t, err, `close the bracket, or write \[ for a bracket in the tag`)
		}
	}
	return tags
}

// readConf reads RSYNCD_CONF, where that is set.
func (v *validator) readConf(s *setting) {
	if s.value == "" {
		return
	}
	conf, err := loadRsyncdConf(s.value)
	if err != nil {
		v.problem(s, err, "name an rsyncd.conf that rsyncd accepts and that the exporter may read, or use MODULES")
		return
	}
	v.conf = conf
}

// modules returns the names given and those of an rsyncd.conf, and notes the log formats that the latter gives.
func (v *validator) modules(names, conf *setting) []string {
	modules := names.items()
	if v.conf == nil {
		return modules
	}
	found := v.conf.modules
	if len(found) == 0 {
		v.warn("RSYNCD_CONF=%q (from %s): it has no module", conf.value, conf.origin)
	}
	for _, m := range found {
		if !slices.Contains(modules, m.name) {
			modules = append(modules, m.name)
		}
		if !m.formatted {
			continue
		}
		warnings, err := checkLogFormat(m.logFormat)
		if err != nil {
			warnings = append(warnings, err.Error()+"; LOG_FORMAT is taken instead")
		} else if v.formats == nil {
			v.formats = map[string]string{m.name: m.logFormat}
		} else {
			v.formats[m.name] = m.logFormat
		}
		for _, w := range warnings {
			v.warn("RSYNCD_CONF=%q (from %s), module %s: %s", conf.value, conf.origin, printable(m.name), w)
		}
	}
	return modules
}

// stateDir returns the path of a directory that need not exist yet.
func (v *validator) stateDir(s *setting) string {
	if s.value == "" {
		return ""
	}
	dir := filepath.Clean(s.value)
	switch info, err := os.Stat(dir); {
	case errors.Is(err, fs.ErrNotExist):
		if _, err := os.Stat(filepath.Dir(dir)); err != nil {
			v.problem(s, err, "make the directory, for the exporter's user alone, or have systemd make it with StateDirectory=")
		}
	case err != nil:
		v.problem(s, err, "let the exporter's user enter it")
	case !info.IsDir():
		v.problem(s, errors.New("it is no directory"), "name one that is the exporter's alone")
	}
	return dir
}

// webConfig returns the path of a web configuration file that the toolkit accepts.
func (v *validator) webConfig(s *setting) string {
	file := newWebFile(s.value)
	err := file.check()
	if err == nil {
		err = web.Validate(s.value)
	}
	if err == nil && file.last != nil && file.last.mayNeed {
		v.warn("WEB_CONFIG=%q (from %s): client_allowed_sans keeps out clients without a certificate, and exporter-toolkit panics "+
			"at each of them: set client_auth_type: RequireAndVerifyClientCert", s.value, s.origin)
	}
	if err == nil && file.last != nil && file.last.anyCA {
		v.warn("WEB_CONFIG=%q (from %s): it has no client_ca_file, so that a certificate of any CA that this machine trusts will do",
			s.value, s.origin)
	}
	if err != nil {
		err = errors.New(strings.Join(strings.Fields(err.Error()), " ")) // YAML's have several lines
		v.problem(s, err, "see https://github.com/prometheus/exporter-toolkit/blob/master/docs/web-configuration.md")
	}
	return s.value
}

func (v *validator) logFormat(s *setting) string {
	warnings, err := checkLogFormat(s.value)
	if err != nil {
		v.problem(s, err, "copy rsyncd.conf's log format")
	}
	for _, w := range warnings {
		v.warn("LOG_FORMAT=%q (from %s): %s", s.value, s.origin, w)
	}
	return s.value
}

func (v *validator) lineFormat(s *setting) string {
	if err := checkLineFormat(s.value); err != nil {
		v.problem(s, err, "write auto, or a regular expression with the named groups pid and description")
	}
	return s.value
}

func (v *validator) syslogFormat(s *setting) string {
	name := strings.TrimSpace(s.value)
	if err := checkSyslogFormat(name); err != nil {
		v.problem(s, err, "write auto unless a sender needs another one")
	}
	return name
}
