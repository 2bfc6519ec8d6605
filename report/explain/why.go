package explain

import (
	"fmt"
	"strings"

	"rsyncd_exporter/pipeline"
	"rsyncd_exporter/rsynclog"
	"rsyncd_exporter/rsynclog/codes"
)

// meaning says in a few words what a line that was counted means.
func meaning(l *pipeline.Line) string {
	ev := &l.Event
	what := codes.KindAdvice(ev.Kind).Meaning
	switch ev.Kind {
	case rsynclog.Start:
		what = map[rsynclog.Direction]string{
			rsynclog.Send:    "the client was let in and pulls: the daemon sends",
			rsynclog.Receive: "the client was let in and pushes: the daemon receives",
		}[ev.Direction]
	case rsynclog.Transfer:
		what = moved(l)
	case rsynclog.ExitError, rsynclog.ExitWarning:
		if m := codes.ExitMeaning(int(ev.Code)); m != "" {
			what += ": " + m
		}
	case rsynclog.FileError:
		if _, m := codes.ErrnoName(int(ev.Errno)); m != "" {
			what += ": " + m
		}
	case rsynclog.Summary:
		if l.Session == nil && ev.Sent == 0 && ev.Received == 0 && ev.Total == 0 {
			what = "a daemon stopped to listen"
		}
	}
	return what
}

// moved says what a transfer line tells of its file.
func moved(l *pipeline.Line) string {
	op := l.Event.Op
	if l.Event.OpUnnamed && l.Session != nil {
		op = [...]rsynclog.Op{rsynclog.OpUnknown, rsynclog.OpSend, rsynclog.OpRecv}[l.Session.Direction]
	}
	switch op {
	case rsynclog.OpSend:
		return "the daemon sent a file"
	case rsynclog.OpRecv:
		return "the daemon received a file"
	case rsynclog.OpDel:
		return "the client had a file or directory deleted"
	case rsynclog.NoOp:
		return "something changed without its content: a directory, a link, attributes"
	}
	return "a file was transferred; the log format doesn't say which way"
}

// why says why nothing came of a line.
func (e *Explainer) why(c Class, l *pipeline.Line) string {
	switch c {
	case Discarded:
		return l.Discard.Meaning()
	case Ignored:
		return e.whyIgnored(l)
	case Implausible:
		return e.whyImplausible(l)
	case Class(rsynclog.Unrecognised):
		if rsynclog.LooksLikeTransfer(l.Message.Text) {
			return "it looks like a transfer line of another log format: set LOG_FORMAT to the daemon's log format"
		}
		return "no rule knows this text: a script's output, a client's own words, or a line of another rsync"
	}
	return ""
}

// whyIgnored says why a line is another program's.
func (e *Explainer) whyIgnored(l *pipeline.Line) string {
	m := &l.Message
	if m.Tag == nil {
		return "it has a syslog header without a tag, and rsyncd's have one"
	}
	if string(m.Tag) == pipeline.OwnTag {
		return "it is this exporter's own log"
	}
	var ev rsynclog.Event
	why := fmt.Sprintf("the tag %q isn't in TAGS (%s)", clip(m.Tag, maxShort), strings.Join(e.o.Tags, ","))
	switch looks, wrapped := pipeline.LooksLikeRsyncd(e.parser, m, &ev); {
	case looks && wrapped:
		return why + ", and the text is a whole line of an rsync log file: name the tag in TAGS, set SYSLOG_LOG_LINES"
	case looks:
		return why + ", and the text looks like rsyncd's: if it is, name the tag in TAGS"
	}
	return why
}

// whyImplausible says which rule of the sessions a line breaks, as far as what is left of its
// session tells.
func (e *Explainer) whyImplausible(l *pipeline.Line) string {
	ev, s := &l.Event, l.Session
	if ev.Kind == rsynclog.LostUpstream {
		return "only syslog daemons report lost messages, under tags of their own: under rsyncd's a client wrote it"
	}
	if why := tooMuch(ev); why != "" {
		return why
	}
	if s == nil {
		return "no session of this pid is known that could have it: only the text of a client whose session is " +
			"over can look so"
	}
	switch ev.Kind {
	case rsynclog.Connect, rsynclog.DaemonStart:
		return "the process of this pid serves a client, or has lately, and logs this only once, at its beginning"
	case rsynclog.Start:
		return "the session's transfer has begun before: a process serves one only"
	case rsynclog.Allowed:
		return "the client had been let into a module, or its transfer had begun"
	case rsynclog.ModuleList, rsynclog.UnknownModule, rsynclog.Denied, rsynclog.ProxyRejected:
		return "a daemon logs this before it lets a client into a module, and this one had been let in"
	case rsynclog.AuthFailed, rsynclog.MaxConnections, rsynclog.SetupFailed:
		return "a daemon logs this before a transfer begins, and this one had begun"
	case rsynclog.ReadOnlyModule, rsynclog.WriteOnlyModule, rsynclog.RefusedOption, rsynclog.ExecFailed:
		return "a daemon refuses a request before its first file, and this session was past that"
	case rsynclog.FileError, rsynclog.FileVanished:
		return "it names the client's role, not the daemon's, which " + whichWay(s.Direction)
	case rsynclog.MaxDelete, rsynclog.DeletionSkipped:
		return "the daemon " + whichWay(s.Direction) + " in this session, and deletes nothing then"
	case rsynclog.Transfer:
		return e.whyNotMoved(ev, s)
	case rsynclog.ExitError, rsynclog.ExitWarning:
		return "the session is over and has had its exit lines, or the role isn't one that its process can have now"
	}
	return "the session's state rules it out"
}

// whyNotMoved says why a transfer line can't be the session's.
func (e *Explainer) whyNotMoved(ev *rsynclog.Event, s *rsynclog.Session) string {
	down := ev.Op == rsynclog.OpRecv || ev.Op == rsynclog.OpDel
	switch {
	case ev.Addr != nil && s.Addr != "" && s.Addr != string(ev.Addr):
		return strings.TrimSuffix("it names another client than the session's, "+e.shown(s.Addr), ", ")
	case s.Direction == rsynclog.Send && down, s.Direction == rsynclog.Receive && ev.Op == rsynclog.OpSend:
		return "the daemon " + whichWay(s.Direction) + " in this session, and this line says otherwise"
	}
	return "the session's direction or the size of all its files rules it out"
}

const (
	maxBytes     = 1 << 50 // what one line is believed of, as rsynclog has it
	severityInfo = 6       // LOG_INFO, which log.c: logit gives to a summary
)

// tooMuch says what is wrong with an event's numbers or its severity, whatever its session.
func tooMuch(ev *rsynclog.Event) string {
	switch {
	case max(ev.Sent, ev.Received, ev.Total) > maxBytes, max(ev.Length, ev.Wire) > maxBytes:
		return "it tells of more than 1 PiB"
	case ev.Kind == rsynclog.Summary && ev.Severity >= 0 && ev.Severity != severityInfo:
		return "a daemon logs its summary as info, and this one is more severe: a client sent it as a message"
	}
	return ""
}

func whichWay(d rsynclog.Direction) string {
	switch d {
	case rsynclog.Send:
		return "sends"
	case rsynclog.Receive:
		return "receives"
	}
	return "has done nothing yet"
}

// saysAll has the kinds whose fields say all that their lines do. Lines of the others are shown
// with their text.
var saysAll = [rsynclog.NumKinds]bool{
	rsynclog.Connect: true, rsynclog.Allowed: true, rsynclog.Start: true, rsynclog.FileList: true,
	rsynclog.Transfer: true, rsynclog.Summary: true, rsynclog.ExitError: true, rsynclog.ExitWarning: true,
	rsynclog.ModuleList: true, rsynclog.UnknownModule: true, rsynclog.Denied: true, rsynclog.DaemonStart: true,
}
