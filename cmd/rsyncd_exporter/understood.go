package main

import (
	"context"
	"fmt"
	"log/slog"
	"strings"

	"rsyncd_exporter/internal/config"
	"rsyncd_exporter/internal/text"
	"rsyncd_exporter/pipeline"
	"rsyncd_exporter/receiver"
	"rsyncd_exporter/receiver/syslog"
	"rsyncd_exporter/rsynclog"
)

// maxMisunderstood bounds the warnings of a run: a pattern may name thousands of files.
const maxMisunderstood = 16

// maxExample is how many bytes of a message a warning shows.
const maxExample = 80

// misunderstood warns of inputs of which little is understood, once for those with the same
// trouble.
type misunderstood struct {
	list func() []pipeline.Understanding // pipeline.Pipeline.Misunderstood
	cfg  *config.Config
	log  *slog.Logger
	told int
	none map[string]bool // kinds of inputs of which it was said that one has received nothing of rsyncd's
}

func (m *misunderstood) warn() {
	type kind struct {
		input string
		why   pipeline.Trouble
	}
	var kinds []kind // in the order of the list
	list, alike := m.list(), map[kind][]*pipeline.Understanding{}
	for i := range list {
		u := &list[i]
		if why, bad := u.Judge(pipeline.Enough); bad {
			k := kind{u.Input, why}
			if alike[k] == nil {
				kinds = append(kinds, k)
			}
			alike[k] = append(alike[k], u)
		} else if !m.none[u.Input] {
			m.none[u.Input] = true
			m.write(u, pipeline.OtherProgram, 0)
		}
	}
	for _, k := range kinds {
		if m.told > maxMisunderstood {
			return
		}
		if m.told++; m.told > maxMisunderstood {
			m.log.Warn("more inputs are not understood: no further warnings are written",
				"remedy", "run rsyncd_exporter check FILE, and see rsync_messages_total and "+
					"rsyncd_exporter_discarded_total")
			return
		}
		m.write(alike[k][0], k.why, len(alike[k])-1)
	}
}

// write writes one warning, or a note where all messages are other programs', which may be intended.
func (m *misunderstood) write(u *pipeline.Understanding, why pipeline.Trouble, alike int) {
	level, message := slog.LevelWarn, "few of an input's messages are understood"
	switch {
	case why == pipeline.OtherProgram:
		level, message = slog.LevelInfo, "an input has received nothing of an rsync daemon so far"
	case why == pipeline.OtherFormat:
		message = "transfer lines don't fit LOG_FORMAT: their files are not counted"
	case u.Understood == 0:
		message = "none of an input's messages is understood"
	}
	attrs := []any{"input", u.Source, "received", u.Received, "understood", u.Understood, "reason", why.String(),
		"messages", u.Troubles[why]}
	if s := u.Samples[why]; s != "" && !m.cfg.Anonymise { // it may name a client
		attrs = append(attrs, "example", shorten(s)) // the log's handler escapes it
	}
	if alike > 0 {
		attrs = append(attrs, "inputs_alike", alike)
	}
	m.log.Log(context.Background(), level, message, append(attrs, "remedy", remedyFor(m.cfg, u, why))...)
}

func shorten(s string) string {
	if len(s) > maxExample {
		return s[:maxExample] + "…"
	}
	return s
}

// remedyFor names the setting, or whatever else, that helps against a trouble.
func remedyFor(cfg *config.Config, u *pipeline.Understanding, why pipeline.Trouble) string {
	var header receiver.Message
	sample := []byte(u.Samples[why])
	switch {
	case cfg.SyslogLogLines && why == pipeline.Trouble(receiver.NoHeader) &&
		(syslog.Auto{}).Scan(sample, &header) == receiver.Kept && len(header.Tag) > 0:
		return "set SYSLOG_LOG_LINES=no: the texts of these messages are no lines of a rsync log file"
	case !cfg.SyslogLogLines && (why == pipeline.Unrecognised || why == pipeline.OtherFormat) &&
		syslog.Unwrap(&receiver.Message{Text: sample}):
		return "set SYSLOG_LOG_LINES=yes: the texts of these messages are lines of a rsync log file"
	}
	switch why {
	case pipeline.OtherProgram, pipeline.OtherTag:
		return tagRemedy(cfg, u, why)
	case pipeline.Unrecognised:
		return "TAGS=" + strings.Join(cfg.Tags, ",") +
			" should match rsync daemons only, whose texts are in English; a client's own log is not read"
	case pipeline.OtherFormat:
		return formatRemedy(cfg, u)
	case pipeline.Implausible:
		return "give each message its process id, [PID] behind the tag: without it, or under others' ids, sessions " +
			"can't be told apart"
	}
	return discardRemedy(cfg, u, receiver.Discard(why))
}

func tagRemedy(cfg *config.Config, u *pipeline.Understanding, why pipeline.Trouble) string {
	tag := u.Tag
	if why == pipeline.OtherTag {
		tag = u.OtherTag
	}
	tags := strings.Join(cfg.Tags, ",")
	switch {
	case tag == "":
		return "have the sender keep the program's name in the header, which TAGS is compared with"
	case why == pipeline.OtherProgram:
		return fmt.Sprintf("if an rsync daemon logs here, add its syslog tag to TAGS=%s; the first message came "+
			"from %q", tags, tag)
	case u.Wrapped:
		yes := " SYSLOG_LOG_LINES=yes and"
		if cfg.SyslogLogLines {
			yes = ""
		}
		return fmt.Sprintf("the lines of a rsync log file come under the tag %q: set%s TAGS=%s,%s", tag, yes, tags,
			text.Printable(tag))
	}
	return fmt.Sprintf("add the tag: TAGS=%s,%s", tags, text.Printable(tag))
}

func formatRemedy(cfg *config.Config, u *pipeline.Understanding) string {
	remedy := "set LOG_FORMAT to the \"log format\" of rsyncd.conf"
	if len(cfg.ModuleFormats) > 0 {
		remedy += ", and see that RSYNCD_CONF names the file that the daemon reads"
	}
	if s := u.Samples[pipeline.OtherFormat]; len(s) < pipeline.MaxSample {
		if format := suggestLogFormat(s); format != "" {
			remedy += fmt.Sprintf("; LOG_FORMAT=\"%s\" fits the example", format)
		}
	}
	return remedy
}

// suggestLogFormat returns a log format in use that fits a transfer line, or nothing.
func suggestLogFormat(text string) string {
	for _, format := range [...]string{
		rsynclog.DefaultLogFormat,
		"%o %h [%a] %m (%u) %f %l %b", "%o %h [%a] %m (%u) %f %b %l",
		"%t %o %h [%a] %m (%u) %f %l", "%t [%p] %o %h [%a] %m (%u) %f %l",
		"%h [%a] %o %m (%u) %f %l", "%a %o %m (%u) %f %l",
		"%a %o %f %l %b", "%a %o %f %l", "%o %a %f %l %b", "%o %a %f %l",
		"%i %o %h [%a] %m (%u) %f %l", "%i %h [%a] %m (%u) %f %l", "%i %f %l", "%i %n%L",
		"%o %f %l %b", "%o %f %l", "%o %f",
	} {
		parser, err := rsynclog.NewParser(format)
		if err != nil {
			continue
		}
		var ev rsynclog.Event
		if parser.Parse([]byte(text), &ev); ev.Kind == rsynclog.Transfer {
			return format
		}
	}
	return ""
}

func discardRemedy(cfg *config.Config, u *pipeline.Understanding, why receiver.Discard) string {
	lines := u.Input == "file" || u.Input == "stdin"
	switch why {
	case receiver.NoHeader, receiver.BadPriority, receiver.BadDialect:
		switch {
		case lines && cfg.LineFormat != "auto":
			return "LINE_FORMAT doesn't match these lines: correct it, or set LINE_FORMAT=auto"
		case lines:
			return "set LINE_FORMAT to a regular expression for these lines, with the groups (?P<pid>…) and " +
				"(?P<description>…)"
		case cfg.SyslogFormat != "auto":
			return "set SYSLOG_FORMAT=auto: the messages are not " + cfg.SyslogFormat
		}
		return "have the sender use the format of RFC 3164 or RFC 5424, or name the parser that reads it with " +
			"SYSLOG_FORMAT"
	case receiver.Empty, receiver.NoText:
		return "correct the sender's template: it writes no text"
	case receiver.Oversize:
		return fmt.Sprintf("no message of rsyncd's is longer than %d bytes: is it a log, and does a line feed end "+
			"each line?", receiver.MaxMessage)
	case receiver.BadLength, receiver.Incomplete:
		return "have the sender frame messages by line feeds or octet counts (RFC 6587), and send TLS to LISTEN_TLS " +
			"only"
	case receiver.Overflow:
		return "more arrives than this machine can read: have the relay send rsyncd's messages only, or give the " +
			"exporter more processors"
	case receiver.NotAllowed:
		if u.Input == "unixgram" {
			return "add the users that log to LISTEN_UNIXGRAM_UIDS"
		}
		return "add the senders' networks to ALLOW_FROM"
	}
	return "see rsyncd_exporter_discarded_total"
}
