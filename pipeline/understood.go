package pipeline

import (
	"bytes"

	"rsyncd_exporter/receiver"
	"rsyncd_exporter/receiver/syslog"
	"rsyncd_exporter/rsynclog"
)

// A Trouble is why a message is not understood. The values below receiver.NumDiscards are the
// reader's own reasons.
type Trouble uint8

// The troubles of messages whose header could be read.
const (
	OtherProgram Trouble = Trouble(receiver.NumDiscards) + iota // its tag isn't rsyncd's, and its text isn't either
	// its tag isn't rsyncd's, but its text looks like rsyncd's
	OtherTag
	Unrecognised // a text of rsyncd's that no rule knows
	// such a text that looks like a transfer line of another log format
	OtherFormat
	Implausible // a line that can't be the daemon's own
	NumTroubles // how many there are
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
	maxTallied  = 64     // sources that are judged one by one; those beyond share one tally for each kind of input
	MaxSample   = 256    // bytes kept of a message
	maxExamined = 10_000 // messages of other programs, of each source, whose text is looked at
	leastOther  = 10     // transfer lines of another format before LOG_FORMAT is doubted
)

// An Understanding says how much of what one source has delivered since the start was understood.
type Understanding struct {
	Source     string // receiver.Source.Name
	Input      string // receiver.Source.Input
	Received   uint64
	Understood uint64
	Kinds      [rsynclog.NumKinds]uint64 // of those that were understood
	Troubles   [NumTroubles]uint64       // of the others
	// the begin of the first of each, without its header from Unrecognised on; empty: none kept
	Samples  [NumTroubles]string
	Tag      string // of the first message of another program
	OtherTag string // of the first that is OtherTag
	Wrapped  bool   // the text of that one is a whole line of a rsync log file
}

// Judge returns the most frequent trouble if less than half of the messages was understood. Other
// programs' messages are left out: where a machine's whole log arrives, few messages are rsyncd's.
// They matter only where some look like rsyncd's. If a log format fits none of the transfer lines,
// that is the trouble, however much of the rest was understood. No verdict rests on fewer messages
// than enough.
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

// OnlyOthers says that of so many messages as are enough, all are other programs'.
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

// A tally is the Understanding of a source that is still being counted.
type tally struct {
	Understanding
	examined     int
	due          bool // it is in Pipeline.due
	told, hinted bool // Misunderstood has returned it as bad, or as other programs' only
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

// tallies are those of all sources. The pipeline's lock guards them.
type tallies struct {
	bySource map[string]*tally // by Source.Name
	others   map[string]*tally // by Source.Input, for the sources beyond maxTallied
	last     *tally
	lastOf   *receiver.Source
	due      []*tally // those that Misunderstood has yet to look at
}

func newTallies() tallies {
	return tallies{bySource: map[string]*tally{}, others: map[string]*tally{}}
}

// of returns the tally of a source.
func (ts *tallies) of(src *receiver.Source) *tally {
	if ts.lastOf == src {
		return ts.last
	}
	t := ts.bySource[src.Name]
	switch {
	case t != nil:
	case len(ts.bySource) < maxTallied:
		t = &tally{Understanding: Understanding{Source: src.Name, Input: src.Input}}
		ts.bySource[src.Name] = t
	default:
		if t = ts.others[src.Input]; t == nil {
			t = &tally{Understanding: Understanding{Source: "further inputs of kind " + src.Input, Input: src.Input}}
			ts.others[src.Input] = t
		}
	}
	ts.last, ts.lastOf = t, src
	return t
}

// Enough is how many messages a source must have received before Misunderstood judges it.
const Enough = 100

// look puts a tally that may be worth a warning on the list for Misunderstood.
func (ts *tallies) look(t *tally) {
	if t.due || t.told {
		return
	}
	if _, bad := t.Judge(Enough); bad || !t.hinted && t.OnlyOthers(Enough) {
		t.due = true
		ts.due = append(ts.due, t)
	}
}

// Misunderstood returns the sources of which little is understood, each once, and those that have
// delivered other programs' messages only, each once too.
func (p *Pipeline) Misunderstood() (list []Understanding) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, t := range p.tallies.due {
		t.due = false
		if _, bad := t.Judge(Enough); bad {
			t.told = true
			list = append(list, t.Understanding)
		} else if t.OnlyOthers(Enough) && !t.hinted {
			t.hinted = true
			list = append(list, t.Understanding)
		}
	}
	p.tallies.due = p.tallies.due[:0]
	return list
}

// Understanding returns what is known of the source of that name.
func (p *Pipeline) Understanding(source string) Understanding {
	p.mu.Lock()
	defer p.mu.Unlock()
	if t := p.tallies.bySource[source]; t != nil {
		return t.Understanding
	}
	return Understanding{Source: source}
}

// ignored notes that p.message, which stands in raw, is another program's by its tag.
func (p *Pipeline) ignored(t *tally, raw []byte) {
	if t.examined < maxExamined {
		t.examined++
		if looks, wrapped := p.looksLikeRsyncd(); looks {
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

// tagOf returns a tag as it is kept, cut where it is longer than any program's.
func tagOf(tag []byte) string { return string(tag[:min(len(tag), maxTagLen)]) }

// looksLikeRsyncd says whether the message in p.message, whose tag isn't rsyncd's, has a text of
// rsyncd's. "connect from host (address)" is libwrap's text, too, and "rsync error:" a client's:
// they count only where the tag speaks of rsync. wrapped says that the text has the header of
// rsync's own log file.
func (p *Pipeline) looksLikeRsyncd() (looks, wrapped bool) {
	m, ev := &p.message, &p.event
	if string(m.Tag) == ownTag {
		return false, false
	}
	text := m.Text
	var inner receiver.Message
	if (syslog.Lines{}).Scan(text, &inner) == receiver.Kept && inner.Tag == nil && inner.Host == nil {
		text, wrapped = inner.Text, true // as in a container's log
	}
	p.parser.Parse(text, ev)
	switch ev.Kind {
	case rsynclog.Start, rsynclog.Allowed, rsynclog.Summary, rsynclog.Denied, rsynclog.AuthFailed,
		rsynclog.UnknownModule, rsynclog.DaemonStart:
		return true, wrapped
	case rsynclog.Unrecognised, rsynclog.OtherKnown:
		return false, false
	}
	return bytes.Contains(m.Tag, []byte("rsync")), wrapped
}

// counted notes what became of p.message, which is rsyncd's.
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
