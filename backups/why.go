package backups

import (
	"fmt"
	"time"

	"rsyncd_exporter/internal/text"
	"rsyncd_exporter/rsynclog/codes"
	"rsyncd_exporter/status/api"
)

// Why returns for people why the backup is in its state. Nothing in it is a client's text.
func (s *Status) Why() string {
	switch s.State {
	case Paused:
		return s.whyPaused()
	case Never:
		if s.IsLate {
			return fmt.Sprintf("not one success in the %s that it has been expected%s%s", s.ago(s.Entry.Since),
				s.lastTry(), s.butRuns())
		}
		return fmt.Sprintf("none has come yet; overdue %s", s.in(s.Overdue))
	case Overdue:
		return fmt.Sprintf("the last success was %s ago%s%s", s.ago(s.Entry.Success.At), s.lastTry(), s.butRuns())
	case Failed:
		return "the last attempt " + s.attempt()
	case Running:
		return fmt.Sprintf("runs for %s", s.ago(s.Entry.RunningSince))
	case Late:
		return fmt.Sprintf("due for %s; overdue %s", span(s.Now.Sub(s.Due)), s.in(s.Overdue))
	}
	why := fmt.Sprintf("came %s ago%s", s.ago(s.Entry.Success.At), s.unusual())
	if !s.Due.IsZero() {
		why += "; the next is due " + s.in(s.Due)
	}
	return why
}

func (s *Status) whyPaused() string {
	if s.Expected.Paused {
		return "paused by the settings"
	}
	end := s.Expected.Calendar.windowsEnd(s.Now)
	if end.IsZero() {
		return "in a maintenance window"
	}
	return "in a maintenance window until " + end.Format("2006-01-02 15:04 MST")
}

// lastTry tells of a failure after the last success.
func (s *Status) lastTry() string {
	if !s.Entry.failed() {
		return ""
	}
	return "; the last attempt " + s.attempt()
}

func (s *Status) butRuns() string {
	if s.Entry.Running == 0 {
		return ""
	}
	return fmt.Sprintf("; one runs for %s", s.ago(s.Entry.RunningSince))
}

// attempt tells why the last attempt is no success.
func (s *Status) attempt() string {
	a, e := &s.Entry.Attempt, s.Expected
	when := fmt.Sprintf("%s ago ", s.ago(a.At))
	switch {
	case a.Exited:
		return when + fmt.Sprintf("ended %s with exit code %d, %s", a.Outcome, a.Code, codes.ExitMeaning(int(a.Code)))
	case a.Outcome != "ok" && a.Outcome != "partial" || a.Outcome == "partial" && !e.Partial:
		return when + "ended " + a.Outcome
	case a.Listed < e.Bytes:
		return when + fmt.Sprintf("listed %s, and %s are the least", size(a.Listed), size(e.Bytes))
	case a.Files < e.Files:
		return when + fmt.Sprintf("transferred %d files, and %d are the least", a.Files, e.Files)
	case a.Outcome == "partial": // it was cut off: see run
		return when + "ended partial"
	}
	return when + "was too small by the settings of then"
}

// unusual tells of a success that is less than half as large, or took more than twice as long, as
// usual.
func (s *Status) unusual() string {
	listed, took := s.Entry.Usual()
	last := &s.Entry.Success
	switch {
	case last.Listed < listed/2:
		return fmt.Sprintf(", with %s where %s are usual", size(last.Listed), size(listed))
	case took >= time.Minute && last.Took > 2*took:
		return fmt.Sprintf(", and took %s where %s is usual", span(last.Took), span(took))
	}
	return ""
}

func (s *Status) ago(at int64) string { return span(s.Now.Sub(time.Unix(0, at))) }

// in tells when something is going to be, or since when it is.
func (s *Status) in(at time.Time) string {
	if at.IsZero() {
		return "never"
	}
	return "in " + span(at.Sub(s.Now))
}

// span writes a duration in its two largest units: 12 s, 45 min, 3 h 20 min, 2 days 4 h.
func span(d time.Duration) string {
	d = max(0, d)
	if d < time.Minute {
		return fmt.Sprintf("%d s", d/time.Second)
	}
	d = d.Truncate(time.Minute)
	days, hours, minutes := d/(24*time.Hour), d%(24*time.Hour)/time.Hour, d%time.Hour/time.Minute
	part := func(n time.Duration, unit string) string {
		if n == 0 {
			return ""
		}
		return fmt.Sprintf(" %d %s", n, unit)
	}
	switch {
	case days == 1:
		return "1 day" + part(hours, "h")
	case days > 0:
		return fmt.Sprintf("%d days", days) + part(hours, "h")
	case hours > 0:
		return fmt.Sprintf("%d h", hours) + part(minutes, "min")
	}
	return fmt.Sprintf("%d min", minutes)
}

// API returns what /api/v1/backups answers, the worst first. expected is what the record's Book was
// made of.
func (r *Record) API(expected []Expectation, now time.Time) api.Backups {
	list := r.List(expected, now)
	all := api.Backups{Backups: make([]api.Backup, len(list)), States: map[string]int{}}
	for i := range list {
		all.Backups[i] = list[i].api()
		all.States[string(list[i].State)]++
	}
	return all
}

func (s *Status) api() api.Backup {
	e, of := s.Expected, s.Entry
	last := &of.Success
	b := api.Backup{
		Name: e.Name, Module: e.Module, User: e.User, Host: e.Host, Client: e.Identity.Client,
		Direction: e.Direction.String(), State: string(s.State), Why: s.Why(), Alarm: s.Alarm(),
		Since: known(s.Since), Due: known(s.Due), Overdue: known(s.Overdue), MaxAge: s.MaxAge().Seconds(),
		Duration: max(0, last.Took.Seconds()), Sent: last.Sent, Received: last.Received, Listed: last.Listed,
		Files: last.Files,
	}
	listed, took := of.Usual()
	b.UsualListed, b.UsualDuration = listed, took.Seconds()
	if age, ok := s.Age(); ok {
		seconds := age.Seconds()
		b.Age, b.LastSuccess = &seconds, known(time.Unix(0, last.At))
	}
	if of.Attempt.At != 0 {
		b.LastAttempt, b.LastOutcome = known(time.Unix(0, of.Attempt.At)), of.Attempt.Outcome
	}
	return b
}

// known returns a time for JSON, or nil for none.
func known(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC()
	return &t
}

func size(n uint64) string { return text.Bytes(float64(n)) }
