// Package backups knows which backups are expected and which of them came.
package backups

import (
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"rsyncd_exporter/internal/text"
	"rsyncd_exporter/rsynclog"
)

// DefaultAge is the longest time between successes where an entry of EXPECT doesn't say: a day, and
// two hours in reserve.
const DefaultAge = 26 * time.Hour

// MaxAge is the longest time between successes that can be asked for.
const MaxAge = 400 * 24 * time.Hour

// MaxExpected is how many backups can be expected.
const MaxExpected = 10_000

// An Expectation is a backup that is expected: whose it is, when it should come, and what of it is
// enough. Nothing changes it.
type Expectation struct {
	Name string // no two have the same; label, and what --nagios takes
	Identity
	Client Client

	Every    time.Duration // longest time between successes; 0: Schedule says when they are due
	Schedule *Schedule
	Grace    time.Duration // how long after that it is only late
	Calendar Calendar
	Paused   bool

	Bytes   uint64 // least size of the files listed
	Files   uint64 // least number of files transferred
	Partial bool   // a session in which some files failed is enough
}

// An Identity says whose sessions are a backup's. A restart knows a backup by it.
type Identity struct {
	Module    string
	User      string             // empty: any
	Client    string             // Client.String(); empty: any
	Host      string             // of the syslog header; empty: any
	Direction rsynclog.Direction // Receive for a push, Send for a pull
}

// A Client is where a backup comes from: one network, or one name as the daemon finds it. The zero
// Client is everywhere.
type Client struct {
	Network netip.Prefix
	Name    string
}

// String returns the network or the name.
func (c Client) String() string {
	if c.Network.IsValid() {
		return c.Network.String()
	}
	return c.Name
}

// ParseEntry reads an entry of EXPECT: module[@user][<age]. Its errors say what to write instead.
func ParseEntry(text string) (Expectation, error) {
	who, age, aged := strings.Cut(text, "<")
	module, user, named := strings.Cut(who, "@")
	e := Expectation{
		Name:     who,
		Identity: Identity{Module: module, User: user, Direction: rsynclog.Receive},
		Every:    DefaultAge,
	}
	if named && user == "" {
		return e, errors.New("no user behind the @: leave that out for any user")
	}
	if aged {
		var err error
		if e.Every, err = ParseAge(age); err != nil {
			return e, err
		}
	}
	return e, e.Check(time.Time{})
}

// Check says what keeps a backup from ever coming, or from ever being due from now on.
func (e *Expectation) Check(now time.Time) error {
	switch {
	case e.Module == "":
		return errors.New("no module is named")
	case e.Schedule == nil && e.Every <= 0:
		return errors.New("it is always due: name the longest time between successes, such as 26h")
	case e.Due(now).IsZero():
		return errors.New("it is never due: weekdays and windows leave no time for it")
	}
	for _, name := range []string{e.Module, e.User, e.Host, e.Client.Name, e.Name} {
		if rsynclog.Label([]byte(name)) != name || strings.TrimSpace(name) != name {
			return fmt.Errorf("no log has the name %q: it is longer than %d bytes, begins or ends with a space, or "+
				"has what a log escapes", name, rsynclog.MaxLabel)
		}
	}
	return nil
}

// ParseAge reads a duration as EXPECT has it: 90m, 26h, 8d, 1d12h.
func ParseAge(text string) (time.Duration, error) {
	rest, days := text, uint64(0)
	if number, after, ok := strings.Cut(text, "d"); ok {
		n, err := strconv.ParseUint(number, 10, 16)
		if err != nil {
			return 0, notAnAge(text)
		}
		days, rest = n, after
	}
	age := time.Duration(days) * 24 * time.Hour
	if rest != "" || text == "" {
		d, err := time.ParseDuration(rest)
		if err != nil || d < 0 || strings.HasPrefix(rest, "+") {
			return 0, notAnAge(text)
		}
		if age > 0 && d > MaxAge {
			d = MaxAge + 1
		}
		age += d
	}
	if age > MaxAge {
		return 0, fmt.Errorf("%q is longer than %d days", text, MaxAge/(24*time.Hour))
	}
	return age, nil
}

func notAnAge(text string) error {
	return fmt.Errorf("%q is not an age: write 90m, 26h or 8d", text)
}

// String describes what is expected, in words for people.
func (e *Expectation) String() string {
	words := fmt.Sprintf("%s: ", e.Name)
	switch e.Direction {
	case rsynclog.Send:
		words += "a pull from "
	default:
		words += "a push to "
	}
	words += "module " + e.Module
	for _, part := range []struct{ word, is string }{
		{" by user ", e.User}, {" from ", e.Identity.Client}, {" on host ", e.Host},
	} {
		if part.is != "" {
			words += part.word + part.is
		}
	}
	if e.Schedule != nil {
		words += fmt.Sprintf(", due at %q %v", e.Schedule, e.Calendar.zone())
	} else {
		words += ", every " + span(e.Every)
	}
	if e.Grace > 0 {
		words += ", with a grace of " + span(e.Grace)
	}
	words += e.enough() + e.Calendar.String()
	if e.Paused {
		words += ", paused"
	}
	return words
}

// enough describes what is a success.
func (e *Expectation) enough() string {
	var least []string
	if e.Bytes > 0 {
		least = append(least, size(e.Bytes))
	}
	if e.Files > 0 {
		least = append(least, text.Plural(e.Files, "file", "files"))
	}
	words := ""
	if len(least) > 0 {
		words = ", of at least " + strings.Join(least, " and ")
	}
	if e.Partial {
		words += ", partial is enough"
	}
	return words
}
