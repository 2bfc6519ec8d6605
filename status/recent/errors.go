package recent

import (
	"slices"

	"rsyncd_exporter/rsynclog"
)

// A Kind says what an Error is.
type Kind uint8

// The kinds of errors.
const (
	Exit     Kind = iota // an "rsync error" or "rsync warning" line; Number is its code
	File                 // a file failed; Number is its errno, 0 for a vanished file or an error without one
	Rejected             // a client was not let in; Number is a rsynclog.Reason
)

// String returns the kind as the API has it.
func (k Kind) String() string { return [...]string{"exit", "file", "rejected"}[k] }

// An Error is something that went wrong. What happens again to the same client, user and module is
// one Error, so that nobody can fill the list with one; files are counted for each session.
type Error struct {
	Host   string
	PID    int32 // of the last one
	Addr   string
	Name   string
	Module string
	User   string

	Direction rsynclog.Direction
	Kind      Kind
	Number    int16
	At        int64 // the last one's time
	Count     uint64
}

type noted struct {
	Error
	session *rsynclog.Session // of the last one; nil for a line of no known session
}

// error notes an error. It takes the place of the one that happened longest ago.
func (b *Book) error(c *rsynclog.Change, k Kind, number int16, at int64) {
	e := Error{Host: c.Origin.Host, Kind: k, Number: number, At: at, Count: c.N}
	if s := c.Session; s != nil {
		e.PID, e.Addr, e.Name = s.PID, s.Addr, s.Name
		e.Module, e.User, e.Direction = s.Module, s.User, s.Direction
	}
	oldest := -1
	for i := range b.errors {
		known := &b.errors[i]
		if known.again(&e, c.Session) {
			e.Count += known.Count
			*known = noted{e, c.Session}
			return
		}
		if oldest < 0 || known.At < b.errors[oldest].At {
			oldest = i
		}
	}
	if len(b.errors) == MaxErrors {
		b.errors[oldest] = noted{e, c.Session}
		return
	}
	if b.errors == nil {
		b.errors = slices.Grow(b.errors, MaxErrors)
	}
	b.errors = append(b.errors, noted{e, c.Session})
}

// again says whether an error is the known one happening again.
func (n *noted) again(e *Error, s *rsynclog.Session) bool {
	if n.Kind != e.Kind || n.Number != e.Number || e.Kind == File && n.session != s {
		return false
	}
	return n.session == s && s != nil ||
		n.Addr == e.Addr && n.Module == e.Module && n.User == e.User && n.Host == e.Host &&
			n.Direction == e.Direction
}
