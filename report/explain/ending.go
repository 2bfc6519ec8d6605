package explain

import (
	"cmp"
	"fmt"

	"rsyncd_exporter/clients"
	"rsyncd_exporter/internal/text"
	"rsyncd_exporter/rsynclog"
	"rsyncd_exporter/rsynclog/codes"
)

// facts returns who a session's client was and what it did.
func (e *Explainer) facts(s *rsynclog.Session) (rows []row) {
	client := "not known"
	if s.Addr != "" {
		client = cmp.Or(text.Printable(e.shown(s.Addr)), "not shown")
	}
	if s.User != "" {
		client += ", user " + text.Printable(s.User)
	}
	rows = append(rows, row{"client", client})
	if s.Module != "" || s.Direction != rsynclog.NoDirection {
		what := map[rsynclog.Direction]string{
			rsynclog.NoDirection: "", rsynclog.Send: " (send: the client pulls)",
			rsynclog.Receive: " (receive: the client pushes)",
		}[s.Direction]
		module := "not known"
		if s.Module != "" {
			module = text.Printable(s.Module)
		}
		rows = append(rows, row{"module", module + what})
	}
	if s.HasSummary {
		rows = append(rows, row{"bytes", fmt.Sprintf("%d sent, %d received; the files listed have %d",
			s.Sent, s.Received, s.Total)})
	}
	return rows
}

// shown returns what may be shown of a client's address: with ANONYMISE its network, or nothing where
// it can't be read.
func (e *Explainer) shown(address string) string {
	address, _ = clients.Show(address, "", e.o.Anonymise)
	return address
}

// ending returns how a session that is over has ended, why, and what to do about it. The order is
// that of rsynclog, which judges by the same.
func ending(s *rsynclog.Session) (rows []row) {
	rows = append(rows, row{"ended", s.Outcome.String()})
	because := func(why string, more ...string) {
		rows = append(rows, row{"why", why})
		for i, text := range more {
			rows = append(rows, row{[...]string{"usually", "to do"}[i], text})
		}
	}
	if s.Reason != rsynclog.NoReason {
		a := codes.ReasonAdvice(s.Reason)
		because(a.Meaning, a.Cause, a.Remedy)
	}
	exits := 0
	for _, x := range s.Exits {
		if x.Role == 0 {
			continue
		}
		exits++
		c, ok := codes.ExitCodeOf(int(x.Code))
		switch why := fmt.Sprintf("exit code %d: %s", c.Code, c.Meaning); {
		case !ok:
			because(fmt.Sprintf("exit code %d, which this program doesn't know", x.Code))
		case exits == 2 && x.Code == s.Exits[0].Code: // of both processes of an upload
		case s.Reason != rsynclog.NoReason:
			because(why) // it follows from the refusal
		default:
			because(why, c.Cause, c.Remedy)
		}
	}
	switch {
	case s.Reason != rsynclog.NoReason || exits > 0:
	case s.Listed:
		because("the client asked for the list of modules, and nothing else")
	case s.HasSummary && !s.FileErrors:
		because("it has a summary, and no error")
	case s.FileErrors:
		c, _ := codes.ExitCodeOf(23)
		why := "files failed, or deletions were left out, though it went to its end"
		if !s.HasSummary {
			why = "files failed, or deletions were left out; then no summary comes, since rsync 3.2"
		}
		because(why, c.Cause, c.Remedy)
	case s.Lost:
		c, _ := codes.ExitCodeOf(12)
		because("the connection was lost, or timed out", c.Cause, c.Remedy)
	case s.MaxDelete:
		because("everything came; only deletions are missing, which --max-delete stopped")
	case s.Outcome == rsynclog.Partial:
		because("an upload that is complete has a summary, and this one has none",
			"The client could not read all of its own files, or some vanished: it ended with code 23 or 24.",
			"Look at the client's own messages.")
	case s.Evicted:
		because("it was forgotten to make room for others")
	default:
		because("no line says how it ended",
			"The process was killed or the machine went down, lines are missing, or the client only connected.",
			"Look at the kernel's and the service manager's log of that time; "+
				"a scanner or a health check that only connects needs nothing.")
	}
	if s.MaxDelete && exits > 0 {
		rows = append(rows, row{"also", "--max-delete stopped deletions"})
	}
	return rows
}
