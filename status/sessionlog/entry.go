package sessionlog

import (
	"bytes"
	"encoding/json"
	"time"

	"rsyncd_exporter/clients"
	"rsyncd_exporter/rsynclog"
	"rsyncd_exporter/status/api"
)

// maxLine is what no line is longer than, in bytes. A pipe takes so much at once (pipe(7)).
const maxLine = 4096

// An Entry is a session that has ended. Its texts are rsynclog.Labels, and the names of numbers that
// differ between versions.
type Entry struct {
	Amends        bool // it says more of a session that has an entry before
	Host          string
	PID           int32
	Time, Started int64 // of its last and first line, nanoseconds of the Unix epoch; whole milliseconds

	Addr, Name, Module, User   string
	Direction, Outcome, Reason string
	Codes                      []int16 // exit codes
	Sent, Received, Listed     uint64  // bytes; what they add, if the entry amends
	Files                      rsynclog.FileCounts
	Failures                   rsynclog.Failures
}

// fill makes the entry of a change out of an empty one. s is the session as it stands now.
func (e *Entry) fill(c *rsynclog.Change, s *rsynclog.Session, now, wall int64) {
	e.Amends, e.Host, e.PID = c.Kind == rsynclog.Amended, c.Origin.Host, s.PID
	e.Time, e.Started = moment(s.LastSeen, now, wall), moment(min(s.FirstSeen, s.LastSeen), now, wall)
	e.Addr, e.Name, e.Module, e.User = s.Addr, s.Name, s.Module, s.User
	e.Direction, e.Outcome, e.Reason = s.Direction.String(), s.Outcome.String(), s.Reason.String()
	e.Codes, e.Files, e.Failures = s.Codes(), s.Files, s.Failures
	e.Sent, e.Received, e.Listed = c.Sent, c.Received, c.Total
}

// moment returns a time of the sessions' clock by the wall clock. It lies not in the future.
func moment(t, now, wall int64) int64 {
	const ms = int64(time.Millisecond)
	return (min(t+wall-now, wall) + ms/2) / ms * ms
}

// Ended returns the entry as people and programs see it.
func (e *Entry) Ended(anonymise bool) api.Ended {
	v := api.Ended{
		Time: utc(e.Time), Started: utc(e.Started), Amends: e.Amends, Host: e.Host, PID: e.PID,
		Module: e.Module, User: e.User, Direction: e.Direction, Outcome: e.Outcome, Reason: e.Reason,
		Duration: time.Duration(e.Time - e.Started).Seconds(), Sent: e.Sent, Received: e.Received, Listed: e.Listed,
		Files: e.Files.ByOp(), FileErrors: e.Failures.ByErrno(),
	}
	v.Client.Address, v.Client.Name = clients.Show(e.Addr, e.Name, anonymise)
	for _, code := range e.Codes {
		v.ExitCodes = append(v.ExitCodes, int(code))
	}
	return v
}

func utc(t int64) time.Time { return time.Unix(0, t).UTC() }

// line adds the entry's line.
func (e *Entry) line(to *bytes.Buffer, anonymise bool) {
	enc := json.NewEncoder(to)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(e.Ended(anonymise)); err != nil {
		panic(err) // all of its numbers and times are ones that JSON has
	}
}

// A key tells whose a line is. It is the same with other settings, and in other versions.
type key struct {
	time, started int64
	host          string
	pid           int32
	outcome       string
	amends        bool
}

func (e *Entry) key() key { return key{e.Time, e.Started, e.Host, e.PID, e.Outcome, e.Amends} }

// keyOf returns the key of a line. ok is false if it isn't one of a session.
func keyOf(line []byte) (k key, ok bool) {
	var v api.Ended
	if json.Unmarshal(line, &v) != nil {
		return k, false
	}
	return key{v.Time.UnixNano(), v.Started.UnixNano(), v.Host, v.PID, v.Outcome, v.Amends}, true
}
