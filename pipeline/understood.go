package pipeline

import (
	"bytes"

	"rsyncd_exporter/receiver"
	"rsyncd_exporter/receiver/syslog"
	"rsyncd_exporter/rsynclog"
)

// A Trouble is why a message was not understood. Values below receiver.NumDiscards are the reader's
// reasons.
type Trouble uint8

// The troubles of messages whose header could be read.
const (
	OtherProgram Trouble = Trouble(receiver.NumDiscards) + iota // neither tag nor text are rsyncd's
	OtherTag                                                    // the text looks like rsyncd's, the tag doesn't
	Unrecognised                                                // a text of rsyncd's that no rule knows
	OtherFormat                                                 // such a text, like another log format's transfer line
	Implausible                                                 // a line that the daemon can't have written
	NumTroubles
)

var troubleNames = [...]string{"other_program", "other_tag", "unrecognised", "other_log_format", "implausible"}

// String returns a word for logs.
func (t Trouble) String() string {
	if t < Trouble(receiver.NumDiscards) {
		return receiver.Discard(t).String()
	}
	return troubleNames[t-Trouble(receiver.NumDiscards)]
}

const (
	maxTallied  = 64     // sources with a tally; those beyond share one for each kind of input
	MaxSample   = 256    // bytes kept of a message
	maxExamined = 10_000 // other programs' messages, of each source, whose text is parsed
	leastOther  = 10     // transfer lines of another format before LOG_FORMAT is doubted
)

// An Understanding says how much was understood of what one source has delivered since the start.
type Understanding struct {
	Source     string // receiver.Source.Name
	Input      string // receiver.Source.Input
	Received   uint64
	Understood uint64
	Kinds      [rsynclog.NumKinds]uint64 // of the understood ones
	Troubles   [NumTroubles]uint64       // of the others
	Samples    [NumTroubles]string       // the start of the first of each; only its text from Unrecognised on
	Tag        string                    // of the first OtherProgram
	OtherTag   string                    // of the first OtherTag
	Wrapped    bool                      // that one's text is a whole line of an rsync log file
}

// Judge returns the most frequent trouble if less than half of the messages was understood. It
// leaves out other programs' messages, as few messages of a machine's whole log are rsyncd's. If
// only messages with another tag look like rsyncd's, the tag is the trouble. If the log format fits
// no transfer line, the format is. A verdict needs enough messages.
func (u *Understanding) Judge(enough uint64) (why Trouble, bad bool) {
	ours := u.Received - u.Troubles[OtherProgram]
	switch {
	case ours >= enough && ours > 0 && 2*u.Understood < ours:
		return u.worst(), true
	case u.Received >= enough && u.Understood == 0 && u.Troubles[OtherTag] > 0:
		return OtherTag, true
	case u.Troubles[OtherFormat] >= min(enough, leastOther) && u.Troubles[OtherFormat] > 0 &&
		u.Kinds[rsynclog.Transfer] == 0:
		return OtherFormat, true
	}
	return 0, false
}

// OnlyOthers says whether enough messages have arrived and all are other programs'.
func (u *Understanding) OnlyOthers(enough uint64) bool {
	return u.Received >= enough && u.Received == u.Troubles[OtherProgram]
}

// worst returns the most frequent trouble of messages that may be rsyncd's.
func (u *Understanding) worst() (worst Trouble) {
	most := uint64(0)
	for t, n := range u.Troubles {
		if Trouble(t) != OtherProgram && n > most {
			worst, most = Trouble(t), n
		}
	}
	return worst
}

// A tally counts an Understanding.
type tally struct {
	Understanding
	examined     int
	told, hinted bool // Misunderstood has returned it, as bad or as other programs' only
}

// note counts a message that was not understood, and copies the first of its kind.
func (t *tally) note(why Trouble, message []byte) {
	if t.Samples[why] == "" {
		t.Samples[why] = string(message[:min(len(message), MaxSample)])
	}
	t.Troubles[why]++
}

// understood counts n messages of a kind.
func (t *tally) understood(kind rsynclog.Kind, n uint64) {
	t.Understood += n
	t.Kinds[kind] += n
}

// tallies are those of all sources. Sources beyond maxTallied share one for each kind of input.
type tallies struct {
	byName map[string]*tally // by Understanding.Source
	all    []*tally          // the same, oldest first
}

// of returns the tally of a source.
func (ts *tallies) of(src *receiver.Source) *tally {
	if t := ts.byName[src.Name]; t != nil {
		return t
	}
	name := src.Name
	if len(ts.byName) >= maxTallied {
		name = "further inputs of kind " + src.Input
	}
	t := ts.byName[name]
	if t == nil {
		t = &tally{Understanding: Understanding{Source: name, Input: src.Input}}
		ts.byName[name] = t
		ts.all = append(ts.all, t)
	}
	return t
}

// Enough is how many messages a source must have received before Misunderstood judges it.
const Enough = 100

// Misunderstood returns the sources of which little is understood, each once, and those that have
// delivered only other programs' messages, each once too.
func (p *Pipeline) Misunderstood() (list []Understanding) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, t := range p.tallies.all {
		if t.told {
			continue
		}
		if _, bad := t.Judge(Enough); bad {
			t.told = true
			list = append(list, t.Understanding)
		} else if t.OnlyOthers(Enough) && !t.hinted {
			t.hinted = true
			list = append(list, t.Understanding)
		}
	}
	return list
}

// Understanding returns the Understanding of the source of that name.
func (p *Pipeline) Understanding(source string) Understanding {
	p.mu.Lock()
	defer p.mu.Unlock()
	if t := p.tallies.byName[source]; t != nil {
		return t.Understanding
	}
	return Understanding{Source: source}
}

// ignored counts p.message, read from raw, whose tag isn't rsyncd's.
func (p *Pipeline) ignored(t *tally, raw []byte) {
	if t.examined < maxExamined {
		t.examined++
		if looks, wrapped := LooksLikeRsyncd(p.reader.parser, &p.message, &p.event); looks {
			if t.Troubles[OtherTag] == 0 {
				t.OtherTag, t.Wrapped = tagOf(p.message.Tag), wrapped
			}
			t.note(OtherTag, raw)
			return
		}
	}
	if t.Troubles[OtherProgram] == 0 {
		t.Tag = tagOf(p.message.Tag)
	}
	t.note(OtherProgram, raw)
}

// tagOf copies a tag, cut where it is longer than any program's.
func tagOf(tag []byte) string { return string(tag[:min(len(tag), maxTagLen)]) }

// LooksLikeRsyncd says whether a message, whose tag isn't rsyncd's, has a text of rsyncd's. libwrap
// also logs "connect from host (address)", and an rsync client "rsync error:". Such texts count
// only if the tag contains "rsync". wrapped says that the text has the header of rsync's own log
// file. ev is scratch.
func LooksLikeRsyncd(p *rsynclog.Parser, m *receiver.Message, ev *rsynclog.Event) (looks, wrapped bool) {
	if string(m.Tag) == OwnTag {
		return false, false
	}
	text := m.Text
	var inner receiver.Message
	if (syslog.Lines{}).Scan(text, &inner) == receiver.Kept && inner.Tag == nil && inner.Host == nil {
		text, wrapped = inner.Text, true // as in a container's log
	}
	p.Parse(text, ev)
	switch ev.Kind {
	case rsynclog.Start, rsynclog.Allowed, rsynclog.Summary, rsynclog.Denied, rsynclog.AuthFailed,
		rsynclog.UnknownModule, rsynclog.DaemonStart:
		return true, wrapped
	case rsynclog.Unrecognised, rsynclog.OtherKnown:
		return false, false
	}
	return bytes.Contains(m.Tag, []byte("rsync")), wrapped
}

// counted counts p.message, which is rsyncd's, as understood or not.
func (p *Pipeline) counted(t *tally, kind rsynclog.Kind, believed bool) {
	switch {
	case !believed:
		t.note(Implausible, p.message.Text)
	case kind != rsynclog.Unrecognised:
		t.understood(kind, 1)
	case rsynclog.LooksLikeTransfer(p.message.Text):
		t.note(OtherFormat, p.message.Text)
	default:
		t.note(Unrecognised, p.message.Text)
	}
}
