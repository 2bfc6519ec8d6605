package syslog

import (
	"bufio"
	"bytes"
	"fmt"
	"strconv"
	"time"

	"gopkg.in/mcuadros/go-syslog.v2/format"

	"rsyncd_exporter/receiver"
)

// NewDialect returns the dialect that SYSLOG_FORMAT names; local is Auto.Local. Dialects are safe
// for concurrent use.
//
//	auto       Auto, ours
//	rfc3164    go-syslog's parsers: a message that one refuses or panics on is BadDialect,
//	rfc5424    one that it takes for mere text, without a tag, is NoHeader
//	rfc6587    as rfc5424; the stream's reader has taken the octet count off
//	automatic  rfc3164 or rfc5424, as the message starts
//
// go-syslog v2.3.0's parsers are known to get these wrong:
//   - rfc3164 throws the pid away. It is taken from the raw header here, unless the tag holds a
//     space or an inner bracket: "host my tag[12]: text" has the tag "my" and no pid.
//   - rfc3164 and automatic don't know RFC 3339 stamps with a fraction (rsyslog's ForwardFormat):
//     NoHeader.
//   - rfc3164 gives a message without a host the name of this machine, which is left out where
//     local is set. If the tag of such a message holds a space, its first word is the host.
//   - rfc3164 trims all spaces off the text, and panics on a message that ends after the priority
//     or the host.
//   - rfc5424 refuses a fraction of more than six digits, and ends the structured data at "] " in a
//     quoted value too.
//   - each makes a map and about ten strings for every message.
func NewDialect(name string, local bool) (receiver.Dialect, error) {
	if name == "auto" {
		return Auto{Local: local}, nil
	}
	f, ok := map[string]format.Format{
		"rfc3164": &format.RFC3164{}, "rfc5424": &format.RFC5424{}, "rfc6587": &format.RFC6587{},
		"automatic": &format.Automatic{},
	}[name]
	if !ok {
		return nil, fmt.Errorf("syslog format %q is not known; use auto, rfc3164, rfc5424, rfc6587 or automatic", name)
	}
	return &plugged{format: f, local: local}, nil
}

// plugged is one of go-syslog's formats as a Dialect. What it sets are copies, but for the stamp.
type plugged struct {
	format format.Format
	local  bool
}

// Scan implements Dialect.
func (p *plugged) Scan(raw []byte, m *receiver.Message) (d receiver.Discard) {
	line, d := trimMessage(raw)
	if d != receiver.Kept {
		return d
	}
	defer func() {
		if recover() != nil {
			d = receiver.BadDialect
		}
	}()
	*m = receiver.Message{Facility: -1, Severity: -1}
	header, d := scanPriority(line, m) // by us: the parsers take <999>, and make up a priority where there is none
	if d != receiver.Kept {
		return d
	}
	parser := p.format.GetParser(line)
	if parser.Parse() != nil {
		return receiver.BadDialect
	}
	parts := parser.Dump()
	text, rfc5424 := parts["message"].(string)
	if rfc5424 {
		header = bytes.TrimPrefix(header, []byte("1 "))
		d = fromRFC5424(parts, text, m)
	} else {
		d = fromRFC3164(parts, line, m)
	}
	m.Stamp = stampIn(header[:stampLength(header)]) // the parsers make up a year and a zone where it has none
	if p.local && !rfc5424 {
		m.Host = nil
	}
	if d != receiver.Kept {
		return d
	}
	return keptIfText(m)
}

// fromRFC5424 takes over what go-syslog's RFC 5424 parser found. A header that ends early is no
// error to it: then APP-NAME or MSGID is empty, which RFC 5424 doesn't allow.
func fromRFC5424(parts format.LogParts, text string, m *receiver.Message) receiver.Discard {
	host, _ := parts["hostname"].(string)
	app, _ := parts["app_name"].(string)
	procID, _ := parts["proc_id"].(string)
	msgID, _ := parts["msg_id"].(string)
	if app == "" || msgID == "" {
		return receiver.NoHeader
	}
	m.Host, m.Tag, m.Text = valueOrNil([]byte(host)), valueOrNil([]byte(app)), trimMSG([]byte(text))
	if digits := []byte(procID); digitsEnd(digits, 0) == len(digits) {
		m.PID = parsePID(digits)
	}
	return receiver.Kept
}

// fromRFC3164 takes over what go-syslog's RFC 3164 parser found. Without a priority or a stamp it
// takes everything for text. The pid is what stands in brackets before the text.
func fromRFC3164(parts format.LogParts, line []byte, m *receiver.Message) receiver.Discard {
	host, _ := parts["hostname"].(string)
	tag, _ := parts["tag"].(string)
	content, _ := parts["content"].(string)
	if tag == "" {
		return receiver.NoHeader
	}
	m.Host, m.Tag, m.Text = valueOrNil([]byte(host)), []byte(tag), []byte(content)
	header := bytes.TrimRight(line, " ")
	header = bytes.TrimRight(header[:len(header)-len(content)], " ")
	open := bytes.LastIndexByte(header, '[')
	digits, ok := bytes.CutSuffix(header[open+1:], []byte("]:"))
	if ok && open >= 0 && digitsEnd(digits, 0) == len(digits) {
		m.PID = parsePID(digits)
	}
	return receiver.Kept
}

var _ format.Format = Auto{}

// GetParser makes Auto a format of go-syslog, for a program that uses its Server.
func (a Auto) GetParser(line []byte) format.LogParser { return &autoParser{dialect: a, line: line} }

// GetSplitFunc is nil: go-syslog then takes a datagram as one message, and cuts a stream at line
// feeds. With a function its Server would cut datagrams too.
func (a Auto) GetSplitFunc() bufio.SplitFunc { return nil }

// autoParser is one message read by Auto, in go-syslog's terms.
type autoParser struct {
	dialect Auto
	line    []byte
	message receiver.Message
	discard receiver.Discard
}

// Parse reads the header. The error says why there is none.
func (p *autoParser) Parse() error {
	if p.discard = p.dialect.Scan(p.line, &p.message); p.discard != receiver.Kept {
		p.message = receiver.Message{Text: p.line, Facility: -1, Severity: -1}
		return fmt.Errorf("syslog message %.80q: %s; want \"<priority>stamp host tag[pid]: text\" or RFC 5424",
			p.line, p.discard)
	}
	return nil
}

// Dump returns priority, facility and severity (int, -1 where there is none), hostname, tag,
// proc_id and content (string, empty where there is none). If Parse failed the content is the whole
// message.
func (p *autoParser) Dump() format.LogParts {
	m, priority, procID := &p.message, -1, ""
	if m.Severity >= 0 {
		priority = int(m.Facility)<<3 | int(m.Severity)
	}
	if m.PID != 0 {
		procID = strconv.Itoa(int(m.PID))
	}
	return format.LogParts{
		"priority": priority, "facility": int(m.Facility), "severity": int(m.Severity),
		"hostname": string(m.Host), "tag": string(m.Tag), "proc_id": procID, "content": string(m.Text),
	}
}

// Location has no effect, since Auto does not read stamps.
func (p *autoParser) Location(*time.Location) {}
