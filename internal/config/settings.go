package config

import (
	"crypto/tls"
	"io"
	"io/fs"
	"log/slog"
	"net/netip"
	"path"
	"regexp"
	"syscall"
	"time"

	"rsyncd_exporter/backups"
	"rsyncd_exporter/clients"
	"rsyncd_exporter/receiver/follow"
	"rsyncd_exporter/receiver/stream"
	"rsyncd_exporter/receiver/syslog"
)

// Config is the settings in force: valid, typed and complete. See table for what each means.
type Config struct {
	ListenUDP          []string // host:port, as net.Listen takes it; none: off
	UDPSockets         int
	ListenTCP          []string // likewise
	ListenTLS          []string // likewise
	TLS                stream.TLSOptions
	ListenUnixgram     string // path; empty: off
	ListenUnixgramMode fs.FileMode
	ListenUnixgramUIDs []uint32       // none: all
	AllowFrom          []netip.Prefix // 0.0.0.0/0 and ::/0: all
	ReceiveBuffer      ByteSize       // 0: the system's default
	Files              []string       // follow.SetOptions.Paths, each once; "-" is Stdin
	FilePoll           time.Duration
	FileFromStart      bool
	FileHost           *regexp.Regexp // has a group "host"; nil: lines name their host
	StateDir           string         // path; empty: memory only
	SyslogFormat       string         // syslog.NewDialect takes it
	SyslogLogLines     bool           // receiver.Source.Wrapped
	Tags               []string       // globs for path.Match
	LogFormat          string         // rsynclog.NewParser takes it
	LineFormat         string         // syslog.ParseLineFormat takes it
	Modules            []string       // MODULES, and those of RSYNCD_CONF; each once
	Hosts              []string       // each once
	MaxSeries          int
	SessionTTL         time.Duration
	ClientGroups       clients.Groups
	GeoIPDB            string                // path; empty: none
	Expected           []backups.Expectation // of EXPECT and EXPECT_FILE; no two of a name or an identity
	SessionLog         string                // path, or "-" for standard output; empty: none
	SessionLogMode     fs.FileMode
	Anonymise          bool // show networks instead of clients' addresses
	StatusPage         StatusPage
	HTTPListen         string // host:port
	WebConfig          string // path; empty: plain HTTP
	LogLevel           slog.Level

	ModuleFormats map[string]string // by module, the valid log formats of RSYNCD_CONF
	Limits        map[string]Limit  // by module, those of RSYNCD_CONF that limit anything
	Unlogged      []string          // the modules of RSYNCD_CONF that don't log transfers
	Daemon        follow.Daemon     // which files RSYNCD_CONF says are one daemon's
	Passed        []PassedSocket    // what they receive is in none of the settings above
	Warnings      []string          // what is allowed and still doubtful, for the log

	Watchdog time.Duration // how often the supervisor wants a sign of life; 0: never; serve sets it
	Stdin    io.Reader     // what the file "-" is; serve sets it
	Stdout   io.Writer     // what the session log "-" is; serve sets it
}

// A Limit is how many sessions a module lets in at one time.
type Limit struct {
	MaxConnections int
	LockFile       string // modules with the same one share their places
}

// StatusPage says who may see what on the status page and in /api/v1.
type StatusPage uint8

const (
	StatusPageOn     StatusPage = iota // everything
	StatusPageOff                      // neither is there
	StatusPagePublic                   // without addresses and users
)

// maxSocketPath is the longest path of a unix socket (unix(7)); the array holds a NUL too.
const maxSocketPath = len(syscall.RawSockaddrUnix{}.Path) - 1

// Limits of FILE_POLL, which -s knows in seconds.
const (
	minFilePoll = 10 * time.Millisecond
	maxFilePoll = time.Hour
)

const durationRemedy = "write a number and a unit, such as 500ms, 1s, 5m or 24h"

// table declares all settings in the order of the documentation. Environment, flags, help and
// docs/settings.md follow it. A row's read stores the value in v.cfg, or records what is wrong with it.
func (v *validator) table() settings { return append(v.inputSettings(), v.otherSettings()...) }

// inputSettings are the rows of where messages come from, and how they are read.
func (v *validator) inputSettings() settings {
	c := v.cfg
	return settings{
		{Name: "LISTEN_UDP", Default: "127.0.0.1:5514", list: emptyIsNone, read: into(&c.ListenUDP, v.addresses),
			Meaning: "addresses to receive syslog over UDP at; off or --listen-udp= for none"},
		{Name: "UDP_SOCKETS", Default: "1",
			read:    into(&c.UDPSockets, parsed(v, parseNumber(1, 64), "the default is 1")),
			Meaning: "sockets for each of these addresses, each read on its own; a sender's datagrams stay together"},
		{Name: "LISTEN_TCP", list: emptyIsNone, read: into(&c.ListenTCP, v.addresses),
			Meaning: "addresses to receive syslog over TCP at, framed by line feeds or octet counts (RFC 6587)"},
		{Name: "LISTEN_TLS", list: emptyIsNone, read: into(&c.ListenTLS, v.addresses),
			Meaning: "addresses to receive syslog over TLS at (RFC 5425)"},
		{Name: "TLS_CERT", read: into(&c.TLS.Certificate, asGiven),
			Meaning: "PEM file with the certificate for LISTEN_TLS, and those that lead to its CA; read again " +
				"when it changes, as the next three are"},
		{Name: "TLS_KEY", read: into(&c.TLS.Key, asGiven),
			Meaning: "PEM file with its private key"},
		{Name: "TLS_CLIENT_CA", read: into(&c.TLS.ClientCA, asGiven),
			Meaning: "PEM file with the CAs of the clients' certificates; without it clients need none"},
		{Name: "TLS_CRL", read: into(&c.TLS.CRL, asGiven),
			Meaning: "PEM file with the revocation lists of these CAs"},
		{Name: "TLS_ALLOWED_SANS", list: emptyIsAll, read: into(&c.TLS.AllowedSANs, parsedItems(v, stream.ParseSAN,
			"write rsync1.example.org, 192.0.2.1, spiffe://example.org/rsync1 or ops@example.org")),
			Meaning: "DNS names, IP addresses, URIs and e-mail addresses one of which a client's certificate must " +
				"have; without it, any certificate of TLS_CLIENT_CA will do"},
		{Name: "TLS_MIN_VERSION", Default: "1.3",
			read:    into(&c.TLS.MinVersion, oneOf[uint16](v, "1.3, 1.2", tls.VersionTLS13, tls.VersionTLS12)),
			Meaning: "least version of TLS for LISTEN_TLS: 1.3 or 1.2"},
		{Name: "LISTEN_UNIXGRAM", read: into(&c.ListenUnixgram, v.socketPath),
			Meaning: "path of a unix datagram socket to receive syslog at: a private /dev/log, or " +
				"/run/systemd/journal/syslog"},
		{Name: "LISTEN_UNIXGRAM_MODE", Default: "0666", read: into(&c.ListenUnixgramMode, parsed(v, parseMode,
			"write 0666 for everybody, 0660 for owner and group")),
			Meaning: "permissions of that socket, octal"},
		{Name: "LISTEN_UNIXGRAM_UIDS", list: emptyIsAll, read: into(&c.ListenUnixgramUIDs,
			parsedItems(v, parseUser, "write the user's number")),
			Meaning: "users, by number or name, who may log there: root and those that modules run as; empty for " +
				"all"},
		{Name: "ALLOW_FROM", list: neverEmpty, read: into(&c.AllowFrom, v.prefixes),
			Default: "127.0.0.0/8,10.0.0.0/8,172.16.0.0/12,192.168.0.0/16,169.254.0.0/16,::1/128,fc00::/7,fe80::/10",
			Meaning: "addresses and prefixes to receive from over UDP and TCP, or any; what others send is " +
				"discarded unread"},
		{Name: "RECEIVE_BUFFER", Default: "16MiB", read: into(&c.ReceiveBuffer, parsed(v, parseReceiveBuffer,
			"write 16MiB, 512KiB or a number of bytes")),
			Meaning: "socket buffer to ask the kernel for; 0 for the system's default"},
		{Name: "FILE", list: emptyIsNone, read: into(&c.Files, v.files),
			Meaning: "log files to follow, also as patterns such as /var/log/rsync/*.log, looked for again at " +
				"each FILE_POLL; auto is all log files that RSYNCD_CONF names; - is standard input"},
		{Name: "FILE_POLL", Default: "1s", read: into(&c.FilePoll,
			parsed(v, parseDuration(minFilePoll, maxFilePoll), durationRemedy)),
			Meaning: "how often a file is looked at"},
		{Name: "FILE_START", Default: "end", read: into(&c.FileFromStart, oneOf(v, "end, beginning", false, true)),
			Meaning: "where reading a file begins: end or beginning"},
		{Name: "FILE_HOST", read: into(&c.FileHost, parsed(v, parseFileHost,
			"write one such as /var/log/remote/(?P<host>[^/]+)/ in the syntax of https://golang.org/s/re2syntax")),
			Meaning: "regular expression on a followed file's path whose group host names the host of its lines: " +
				"/var/log/remote/(?P<host>[^/]+)/"},
	}
}

// otherSettings are the rows of what messages mean, and what is served.
func (v *validator) otherSettings() settings {
	c := v.cfg
	return settings{
		{Name: "STATE_DIR", read: into(&c.StateDir, v.stateDir),
			Meaning: "directory for the counters, sessions and file positions, which then survive restarts; " +
				"without it they begin anew"},
		{Name: "SYSLOG_FORMAT", Default: "auto", read: into(&c.SyslogFormat, parsed(v, parseSyslogFormat,
			"write auto unless a sender needs another one")),
			Meaning: "header of syslog messages: auto, or go-syslog's rfc3164, rfc5424, rfc6587 or automatic"},
		{Name: "SYSLOG_LOG_LINES", Default: "no", read: into(&c.SyslogLogLines, oneOf(v, "no, yes", false, true)),
			Meaning: "yes if the text of each syslog message is a whole line of rsyncd's log file, as docker's " +
				"syslog driver, imfile and logger send it: the pid is that line's, the tag names the container. " +
				"Such a text is taken at its word, so leave it at no for messages that rsyncd sends"},
		{Name: "TAGS", Default: "rsyncd*", list: neverEmpty, read: into(&c.Tags, parsedItems(v,
			valid(func(tag string) (bool, error) { return path.Match(tag, "") }),
			`close the bracket, or write \[ for a bracket in the tag`)),
			Meaning: "syslog tags that are rsyncd's, as globs; other messages are counted as ignored"},
		{Name: "LOG_FORMAT", Default: "%o %h [%a] %m (%u) %f %l", read: into(&c.LogFormat, v.logFormat),
			Meaning: "rsyncd.conf's log format, for transfer lines"},
		{Name: "LINE_FORMAT", Default: "auto", read: into(&c.LineFormat, parsed(v, valid(syslog.ParseLineFormat),
			"write auto, or a regular expression with the named groups pid and description")),
			Meaning: "shape of a file's lines: auto, or a regular expression with the named groups date, " +
				"timestamp, pid, description"},
		{Name: "MODULES", list: emptyIsNone, read: into(&c.Modules, v.modules),
			Meaning: "names of modules whose series exist from the start, at 0"},
		{Name: "RSYNCD_CONF",
			Meaning: "path of an rsyncd.conf to read such names from, the modules' log formats, which then go " +
				"before LOG_FORMAT, and the log files: those that are followed are one daemon's"},
		{Name: "HOSTS", list: emptyIsNone, read: into(&c.Hosts, items),
			Meaning: "names of hosts, as they stand in the syslog header, whose series exist from the start, at " +
				"0, and always have room; others make room once silent for a day"},
		{Name: "MAX_SERIES", Default: "10000", read: into(&c.MaxSeries, parsed(v, parseNumber(1, 10_000_000),
			"the default is 10000")),
			Meaning: "how many series are served at most besides those of MODULES and HOSTS; what is beyond is " +
				"counted as _other"},
		{Name: "SESSION_TTL", Default: "24h", read: into(&c.SessionTTL,
			parsed(v, parseDuration(time.Second, 365*24*time.Hour), durationRemedy)),
			Meaning: "a session that is silent for so long has ended"},
		{Name: "CLIENT_GROUPS", read: into(&c.ClientGroups, parsed(v, clients.ParseGroups,
			"write mirrors=192.0.2.0/24+2001:db8::/32;bots=198.51.100.7")),
			Meaning: "names of clients' networks: mirrors=192.0.2.0/24+2001:db8::/32;bots=198.51.100.7"},
		{Name: "GEOIP_DB", read: into(&c.GeoIPDB, asGiven),
			Meaning: "database of countries or of autonomous systems (.mmdb), by which clients are added up; none is " +
				"shipped"},
		{Name: "EXPECT", list: emptyIsNone,
			Meaning: "backups that are expected, as module[@user][<age]: data@alice<26h, which is also the age " +
				"without one; auto for all auth users of RSYNCD_CONF that may write"},
		{Name: "EXPECT_FILE",
			Meaning: "YAML file of expected backups, where more is to be said: schedule, grace, least size, windows"},
		{Name: "SESSION_LOG", read: into(&c.SessionLog, asGiven),
			Meaning: "file to which one JSON line is written for each session that ends; - is standard output"},
		{Name: "SESSION_LOG_MODE", Default: "0640", read: into(&c.SessionLogMode, parsed(v, parseMode,
			"write 0640 for owner and group, 0600 for the owner")),
			Meaning: "permissions of that file, octal"},
		{Name: "ANONYMISE", Default: "off", read: into(&c.Anonymise, oneOf(v, "off, on", false, true)),
			Meaning: "on counts and shows networks (/24, /48) instead of clients' addresses, and no client's name"},
		{Name: "STATUS_PAGE", Default: "true", read: into(&c.StatusPage, oneOf(v, "true, false, public",
			StatusPageOn, StatusPageOff, StatusPagePublic)),
			Meaning: "the status page and /api/v1: true, false, or public for without addresses and users"},
		{Name: "HTTP_LISTEN", Default: ":8080", read: into(&c.HTTPListen, v.address),
			Meaning: "address of /metrics, the health pages and the status page"},
		{Name: "WEB_CONFIG", read: into(&c.WebConfig, v.webConfig),
			Meaning: "exporter-toolkit web configuration file, for TLS and basic authentication"},
		{Name: "LOG_LEVEL", Default: "info", read: into(&c.LogLevel, oneOf(v, "debug, info, warn, error",
			slog.LevelDebug, slog.LevelInfo, slog.LevelWarn, slog.LevelError)),
			Meaning: "least level of the exporter's own log, on stderr: debug, info, warn or error"},
	}
}
