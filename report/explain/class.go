package explain

import (
	"fmt"
	"strings"

	"rsyncd_exporter/internal/text"
	"rsyncd_exporter/rsynclog"
)

// A Class says what became of a line: an rsynclog.Kind, if it was counted as one, or why not. Its
// String is what rsync_messages_total says of it, "ignored" or "discarded".
type Class uint8

// The classes behind those of the kinds.
const (
	Implausible Class = Class(rsynclog.NumKinds) + iota // rsyncd's by its looks, but a client wrote it
	Ignored                                             // another program's
	Discarded                                           // nothing was made of it: see receiver.Discard
	NumClasses                                          // how many there are
)

// String returns the class's name.
func (c Class) String() string {
	if c < Implausible {
		return rsynclog.Kind(c).String()
	}
	return [...]string{"implausible", "ignored", "discarded"}[c-Implausible]
}

// trouble says whether nothing came of a line.
func (c Class) trouble() bool { return c == Class(rsynclog.Unrecognised) || c >= Implausible }

// Only says which lines are shown. The zero value shows all.
type Only struct {
	some  bool
	class [NumClasses]bool
}

// ParseOnly reads names of classes, separated by commas. The error says which name is wrong.
func ParseOnly(list string) (only Only, err error) {
	names := make([]string, NumClasses)
	for c := range NumClasses {
		names[c] = c.String()
	}
next:
	for name := range strings.SplitSeq(list, ",") {
		name = strings.TrimSpace(name)
		for c, known := range names {
			if name == known {
				only.class[c], only.some = true, true
				continue next
			}
		}
		return Only{}, fmt.Errorf("--only=%q is not a kind of line%s: the kinds are %s",
			name, text.DidYouMean(name, names), strings.Join(names, ", "))
	}
	return only, nil
}

func (o *Only) shows(c Class) bool { return !o.some || o.class[c] }
