package rsynclog_test

import (
	"fmt"
	"regexp"
	"testing"

	"rsyncd_exporter/rsynclog"
)

// inFull gives the lines of a script their other form: rsync's own, with a name.
func inFull(script string) string {
	return regexp.MustCompile(`(connect|rsync on .*|rsync to .*) from (\S*@)?([0-9.:]+)\n`).ReplaceAllString(script, "$1 from ${2}localhost ($3)\n")
}

// A session whose lines have an address alone goes as one whose lines have the name, too. Whatever
// a client forges in this form is refused as it is in the other.
func TestAnAddressAloneIsAsGoodAsWithAName(t *testing.T) {
	const sample = `
		17161 connect from 2001:db8:4f8:191:1056::2
		17161 rsync on sources/ from 2001:db8:4f8:191:1056::2
		17161 sent 6092862 bytes  received 55750 bytes  total size 302215840
		+5s
		17162 connect from 192.0.2.46
		17162 rsync to inbox/ from alice@192.0.2.46
		`
	for script, want := range map[string]string{
		sample: "2 connected, 2 executed, 0 implausible, [ send ok 6092862/55750]",
		sample + "17162 connect from 192.0.2.99\n":                                        "2 connected, 2 executed, 1 implausible, [ send ok 6092862/55750]",
		sample + "17162 rsync on sources/ from 192.0.2.99\n":                              "2 connected, 2 executed, 1 implausible, [ send ok 6092862/55750]",
		sample + "17161 connect from 192.0.2.99\n":                                        "2 connected, 2 executed, 1 implausible, [ send ok 6092862/55750]",
		sample + "17162 rsync to inbox/ from bob@192.0.2.46\n17162 connect from ::1\n":    "2 connected, 2 executed, 2 implausible, [ send ok 6092862/55750]",
		sample + "17163 rsync on sources/ from 192.0.2.46\n17163 connect from 10.1.1.1\n": "2 connected, 3 executed, 1 implausible, [ send ok 6092862/55750]",
	} {
		for _, form := range []string{script, inFull(script)} {
			b := newTable(t, rsynclog.DefaultLimits())
			b.say(form)
			got := fmt.Sprintf("%d connected, %d executed, %d implausible, %v", b.book.connected, b.book.executed, b.book.implausible, b.book.ended)
			b.want(form, got, want)
		}
	}
}

// The address of a start goes to a session without one, and never to one that has another.
func TestAnAddressAloneNamesTheSession(t *testing.T) {
	for script, want := range map[string]string{
		"7 rsync on data/ from 192.0.2.46":                                     "192.0.2.46",
		"7 connect from 192.0.2.46\n7 rsync on data/ from 192.0.2.99":          "192.0.2.46",
		"7 connect from localhost (::1)\n7 rsync on data/ from 192.0.2.46":     "::1",
		"7 connect from 192.0.2.46\n7 rsync on data/ from localhost (::1)":     "192.0.2.46",
		"7 connect from ::1\n7 connect from ::2\n7 rsync on data/ from ::ffff": "::2",
	} {
		b := newTable(t, rsynclog.DefaultLimits())
		b.say(script)
		b.want(script, b.sessions.Session(b.host, 7).Addr, want)
	}
}

// Where a relay has cut a request its client can have it end in an address. It doesn't go on in
// another's session for that, as a start that names its client does under the pid of a post-xfer
// exec's transfer.
func TestAnAddressAloneTakesNobodysSession(t *testing.T) {
	const waits = `
		7 connect from localhost (127.0.0.1)
		7 rsync allowed access on module data from localhost (127.0.0.1)
		`
	for start, stays := range map[string]bool{
		"9 rsync on data/ from localhost (127.0.0.1)": false,
		"9 rsync on data/ from 127.0.0.1":             true,
		"0 rsync on data/ from localhost (127.0.0.1)": false,
		"0 rsync on data/ from 127.0.0.1":             true,
	} {
		b := newTable(t, rsynclog.DefaultLimits())
		b.say(waits + start)
		b.want(start+": the session stays", b.sessions.Session(b.host, 7) != nil, stays)
	}
}
