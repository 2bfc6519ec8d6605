package config

import (
	"fmt"
	"os"
	"reflect"
	"regexp"
	"strings"

	"github.com/kelseyhightower/envconfig"

	"rsyncd_exporter/internal/text"
)

// envPrefix is what the names of all variables start with, less its underscore.
const envPrefix = "RSYNCD_EXPORTER"

// settings are all settings as given, in the order of the documentation. It is envconfig's specification; the flags, the help text and
// the README's table are made from it too. The names of the variables are the fields' names as envconfig splits them. The tag "envconfig"
// is not used: with it, envconfig also takes variables without the prefix, and LOG_LEVEL or FILE may well be somebody else's.
//
// A list has its items separated by commas, and repeating its flag adds to it. Its tag says what it means without an item: none,
// all, or never, if that makes no sense. See lists.
type settings struct {
	ListenUDP          Setting `split_words:"true" default:"127.0.0.1:5514" list:"none" meaning:"addresses to receive syslog over UDP at; off or --listen-udp= for none"`
	UDPSockets         Setting `split_words:"true" default:"1" meaning:"sockets for each of these addresses, each read on its own; a sender's datagrams stay together"`
	ListenTCP          Setting `split_words:"true" list:"none" meaning:"addresses to receive syslog over TCP at, framed by line feeds or octet counts (RFC 6587)"`
	ListenTLS          Setting `split_words:"true" list:"none" meaning:"addresses to receive syslog over TLS at (RFC 5425)"`
	TLSCert            Setting `split_words:"true" meaning:"PEM file with the certificate for LISTEN_TLS, and those that lead to its CA; read again when it changes, as the next three are"`
	TLSKey             Setting `split_words:"true" meaning:"PEM file with its private key"`
	TLSClientCA        Setting `split_words:"true" meaning:"PEM file with the CAs of the clients' certificates; without it clients need none"`
	TLSCrl             Setting `split_words:"true" meaning:"PEM file with the revocation lists of these CAs"`
	TLSAllowedSans     Setting `split_words:"true" list:"all" meaning:"DNS names, IP addresses, URIs and e-mail addresses one of which a client's certificate must have; without it, any certificate of TLS_CLIENT_CA will do"`
	TLSMinVersion      Setting `split_words:"true" default:"1.3" meaning:"least version of TLS for LISTEN_TLS: 1.3 or 1.2"`
	ListenUnixgram     Setting `split_words:"true" meaning:"path of a unix datagram socket to receive syslog at: a private /dev/log, or /run/systemd/journal/syslog"`
	ListenUnixgramMode Setting `split_words:"true" default:"0666" meaning:"permissions of that socket, octal"`
	ListenUnixgramUids Setting `split_words:"true" list:"all" meaning:"users, by number or name, who may log there: root and those that modules run as; empty for all"`
	AllowFrom          Setting `split_words:"true" default:"127.0.0.0/8,10.0.0.0/8,172.16.0.0/12,192.168.0.0/16,169.254.0.0/16,::1/128,fc00::/7,fe80::/10" list:"never" meaning:"addresses and prefixes to receive from over UDP and TCP, or any; what others send is discarded unread"`
	ReceiveBuffer      Setting `split_words:"true" default:"16MiB" meaning:"socket buffer to ask the kernel for; 0 for the system's default"`
	File               Setting `split_words:"true" list:"none" meaning:"log files to follow, also as patterns such as /var/log/rsync/*.log, looked for again at each FILE_POLL; auto is all log files that RSYNCD_CONF names; - is standard input"`
	FilePoll           Setting `split_words:"true" default:"1s" meaning:"how often a file is looked at"`
	FileStart          Setting `split_words:"true" default:"end" meaning:"where reading a file begins: end or beginning"`
	FileHost           Setting `split_words:"true" meaning:"regular expression on a followed file's path whose group host names the host of its lines: /var/log/remote/(?P<host>[^/]+)/"`
	StateDir           Setting `split_words:"true" meaning:"directory for the counters, sessions and file positions, which then survive restarts; without it they begin anew"`
	SyslogFormat       Setting `split_words:"true" default:"auto" meaning:"header of syslog messages: auto, or go-syslog's rfc3164, rfc5424, rfc6587 or automatic"`
	SyslogLogLines     Setting `split_words:"true" default:"no" meaning:"yes if the text of each syslog message is a whole line of rsyncd's log file, as docker's syslog driver, imfile and logger send it: the pid is that line's, the tag names the container. Such a text is taken at its word, so leave it at no for messages that rsyncd sends"`
	Tags               Setting `split_words:"true" default:"rsyncd*" list:"never" meaning:"syslog tags that are rsyncd's, as globs; other messages are counted as ignored"`
	LogFormat          Setting `split_words:"true" default:"%o %h [%a] %m (%u) %f %l" meaning:"rsyncd.conf's log format, for transfer lines"`
	LineFormat         Setting `split_words:"true" default:"auto" meaning:"shape of a file's lines: auto, or a regular expression with the named groups date, timestamp, pid, description"`
	Modules            Setting `split_words:"true" list:"none" meaning:"names of modules whose series exist from the start, at 0"`
	RsyncdConf         Setting `split_words:"true" meaning:"path of an rsyncd.conf to read such names from, the modules' log formats, which then go before LOG_FORMAT, and the log files: those that are followed are one daemon's"`
	Hosts              Setting `split_words:"true" list:"none" meaning:"names of hosts, as they stand in the syslog header, whose series exist from the start, at 0, and always have room; others make room once silent for a day"`
	MaxSeries          Setting `split_words:"true" default:"10000" meaning:"how many series are served at most besides those of MODULES and HOSTS; what is beyond is counted as _other"`
	SessionTTL         Setting `split_words:"true" default:"24h" meaning:"a session that is silent for so long has ended"`
	HTTPListen         Setting `split_words:"true" default:":8080" meaning:"address of /metrics and the health pages"`
	WebConfig          Setting `split_words:"true" meaning:"exporter-toolkit web configuration file, for TLS and basic authentication"`
	LogLevel           Setting `split_words:"true" default:"info" meaning:"least level of the exporter's own log, on stderr: debug, info, warn or error"`

	legacyFiles []string // paths given with -p
	takesFiles  bool     // arguments that aren't flags are files
	files       []string // those
}

// A listKind says what a list without an item means; it is empty for what is no list.
type listKind string

const (
	emptyIsNone listKind = "none"  // nothing is listened at, followed or named
	emptyIsAll  listKind = "all"   // everybody is let in
	neverEmpty  listKind = "never" // an error
)

// A setting is one setting as given: its text and where that came from.
type Setting struct {
	Name     string // LISTEN_UDP
	Variable string // RSYNCD_EXPORTER_LISTEN_UDP
	Flag     string // --listen-udp
	Default  string // default
	Meaning  string
	list     listKind

	Value  string
	Origin string // "default", the variable's name, or the flag
}

// Set implements envconfig.Setter. It takes anything: the values are looked at later, since envconfig stops at the first that it can't convert.
func (s *Setting) Set(value string) error {
	s.Value = value
	return nil
}

// items returns the items of a list, trimmed, without empty and repeated ones.
func (s *Setting) items() []string {
	if s.list == "" {
		panic(s.Name + " has no list tag, so that nobody looks at whether it is empty")
	}
	var items []string
	seen := map[string]bool{}
	for item := range strings.SplitSeq(s.Value, ",") {
		if item = strings.TrimSpace(item); item != "" && !seen[item] {
			seen[item] = true
			items = append(items, item)
		}
	}
	return items
}

// off says whether a listener is switched off. DESIGN has an empty variable mean an unset one, and an empty LISTEN_UDP mean none: so an
// empty variable leaves the default, and an empty flag, or the word off in either, means none.
func (s *Setting) off() bool {
	v := strings.TrimSpace(s.Value)
	return v == "" || v == "off"
}

// newSettings returns all settings at their defaults.
func newSettings() *settings {
	s := &settings{}
	var keys strings.Builder
	if err := envconfig.Usagef(envPrefix, s, &keys, "{{range .}}{{usage_key .}}\n{{end}}"); err != nil {
		panic(err) // the struct above is not a specification
	}
	variables := strings.Fields(keys.String())
	v := reflect.ValueOf(s).Elem()
	for i, variable := range variables {
		tag := v.Type().Field(i).Tag
		name := strings.TrimPrefix(variable, envPrefix+"_")
		def := tag.Get("default")
		*v.Field(i).Addr().Interface().(*Setting) = Setting{
			Name:     name,
			Variable: variable,
			Flag:     "--" + strings.ToLower(strings.ReplaceAll(name, "_", "-")),
			Default:  def,
			Meaning:  tag.Get("meaning"),
			list:     listKind(tag.Get("list")),
			Value:    def,
			Origin:   "default",
		}
	}
	return s
}

// Defaults returns all settings at their defaults, in the order of the documentation.
func Defaults() []*Setting { return newSettings().all() }

// all returns pointers to all settings in their order.
func (s *settings) all() []*Setting {
	v := reflect.ValueOf(s).Elem()
	var all []*Setting
	for i := range v.NumField() {
		if v.Type().Field(i).IsExported() {
			all = append(all, v.Field(i).Addr().Interface().(*Setting))
		}
	}
	return all
}

// readEnvironment takes the settings from the variables of this process. The problems are variables with unknown names.
func (s *settings) readEnvironment() []error {
	if err := envconfig.Process(envPrefix, s); err != nil {
		return []error{fmt.Errorf("environment: %w", err)}
	}
	known := map[string]bool{}
	var names []string
	for _, set := range s.all() {
		known[set.Variable] = true
		names = append(names, set.Variable)
		if os.Getenv(set.Variable) == "" { // envconfig would have an empty variable override the default
			set.Value = set.Default
		} else {
			set.Origin = set.Variable
		}
	}
	var problems []error
	for _, kv := range os.Environ() {
		name, value, _ := strings.Cut(kv, "=")
		if strings.HasPrefix(name, envPrefix+"_") && !known[name] && !fromKubernetes(name, value) {
			problems = append(problems, fmt.Errorf("variable %s=%q is no setting%s: see rsyncd_exporter help, or unset it",
				text.Printable(name), value, text.DidYouMean(name, names)))
		}
	}
	return problems
}

// fromKubernetes says whether a variable with the prefix is one that Kubernetes (and, before it, Docker's links) sets in every container for
// a service whose name starts with rsyncd-exporter. The value is looked at too, so that HTTP_PORT=8080 stays a mistake that is told.
// See https://kubernetes.io/docs/concepts/services-networking/service/#environment-variables.
func fromKubernetes(name, value string) bool {
	const service = `^` + envPrefix + `_(.+_)?`
	switch {
	case strings.Contains(value, "://"):
		return regexp.MustCompile(service + `PORT(_[0-9]+_(TCP|UDP|SCTP))?$`).MatchString(name)
	default:
		return regexp.MustCompile(service + `(SERVICE_HOST|SERVICE_PORT(_.+)?|PORT_[0-9]+_(TCP|UDP|SCTP)_(PROTO|PORT|ADDR))$`).MatchString(name)
	}
}
