package pipeline

import (
	"bytes"
	"path"
	"slices"
	"strings"

	"rsyncd_exporter/receiver"
	"rsyncd_exporter/receiver/syslog"
	"rsyncd_exporter/rsynclog"
)

// A reader reads the headers of messages and says which are an rsync daemon's. Not safe for
// concurrent use.
type reader struct {
	parser *rsynclog.Parser
	tags   tagFilter
	host   []byte // the last Source.Host
}

// newReader also returns the parsers of modules that have another log format than the rest.
func newReader(c Config) (rd reader, parsers map[string]*rsynclog.Parser, err error) {
	rd.tags = tagFilter{globs: c.Tags, seen: map[string]bool{}}
	if rd.parser, err = rsynclog.NewParser(c.LogFormat); err != nil {
		return rd, nil, err
	}
	parsers = map[string]*rsynclog.Parser{}
	for module, format := range c.ModuleFormats {
		if format == c.LogFormat {
			continue
		}
		if parsers[rsynclog.Label([]byte(module))], err = rsynclog.NewParser(format); err != nil {
			return rd, nil, err
		}
	}
	return rd, parsers, nil
}

// A verdict says whose message one is.
type verdict struct {
	discard   receiver.Discard // why its header can't be read
	ours      bool             // it is rsyncd's, or a loss report
	relay     bool             // it is a syslog daemon's loss report
	unwrapped bool             // somebody else has passed on a line of rsync's log file
}

// read reads a message's header into m. ev is scratch.
func (rd *reader) read(src *receiver.Source, raw []byte, m *receiver.Message, ev *rsynclog.Event) (v verdict) {
	if v.discard = src.Dialect.Scan(raw, m); v.discard != receiver.Kept {
		return v
	}
	if !rd.isRsyncd(src, m) {
		if v.relay = rd.isLossReport(m, ev); !v.relay {
			return v
		}
	}
	if src.Wrapped && !v.relay && m.Tag != nil {
		if !syslog.Unwrap(m) {
			return verdict{discard: receiver.NoHeader}
		}
		v.unwrapped = true
	}
	if src.Host != "" {
		if string(rd.host) != src.Host {
			rd.host = []byte(src.Host) // views of the old one stay what they are
		}
		m.Host = rd.host
	}
	v.ours = true
	return v
}

// OwnTag is the tag of our own log, which rsyncd* would match.
const OwnTag = "rsyncd_exporter"

// isRsyncd says whether a message is rsyncd's. A line of rsync's own log file is, without a tag.
// Syslog without a tag isn't.
func (rd *reader) isRsyncd(src *receiver.Source, m *receiver.Message) bool {
	switch string(m.Tag) {
	case "":
		return m.Tag == nil && src.IsFile()
	case OwnTag:
		return false
	}
	return rd.tags.match(m.Tag)
}

// isLossReport says whether a syslog daemon reports in a message that it dropped or folded
// messages. Under rsyncd's tag such a line would be a client's text.
func (rd *reader) isLossReport(m *receiver.Message, ev *rsynclog.Event) bool {
	switch string(m.Tag) {
	case "rsyslogd", "systemd-journald", "syslog-ng":
	case "last":
		// BSD's and Solaris' syslogd write "last message repeated N times" without a tag, so the
		// first word looks like one.
		if m.PID != 0 || !bytes.HasPrefix(m.Text, []byte("message repeated ")) {
			return false
		}
	default:
		return false
	}
	rd.parser.Parse(m.Text, ev)
	return ev.Kind == rsynclog.LostUpstream
}

// A tagFilter tells rsyncd's tags from other programs'. It remembers its answers, since a glob
// costs more than a map.
type tagFilter struct {
	globs []string
	seen  map[string]bool
}

// Bounds of tagFilter.seen: senders choose tags.
const (
	maxTags   = 1024
	maxTagLen = 80 // bytes
)

func (f *tagFilter) match(tag []byte) bool {
	if is, seen := f.seen[string(tag)]; seen {
		return is
	}
	is := slices.ContainsFunc(f.globs, func(glob string) bool {
		// path.Match's * stops at a slash, which tags may hold (rsync/daemon).
		ok, err := path.Match(slashless(glob), slashless(string(tag)))
		return ok && err == nil
	})
	if len(f.seen) < maxTags && len(tag) <= maxTagLen {
		f.seen[string(tag)] = is
	}
	return is
}

func slashless(s string) string { return strings.ReplaceAll(s, "/", "\x00") }
