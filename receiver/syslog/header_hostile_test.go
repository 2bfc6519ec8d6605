package syslog_test

import (
	"cmp"
	"fmt"
	"strings"
	"testing"

	"rsyncd_exporter/receiver"
	"rsyncd_exporter/receiver/syslog"
)

func TestHeaders(t *testing.T) {
	const rsyncd = `no host tag "rsyncd" pid 505 pri 3.6 text "hi"`
	long := strings.Repeat("t", 1000)
	const relayed = "-"                                   // no message that a unix socket brings
	tests := []struct{ name, raw, remote, local string }{ // local: what it is on a unix socket, "" where that is the same
		// Line ends.
		{"line feed", "<30>Nov 23 18:40:52 rsyncd[505]: hi\n", rsyncd, ""},
		{"carriage return, line feed", "<30>Nov 23 18:40:52 rsyncd[505]: hi\r\n", rsyncd, ""},
		{"NUL of an old libc", "<30>Nov 23 18:40:52 rsyncd[505]: hi\n\x00", rsyncd, ""},
		{"none", "<30>Nov 23 18:40:52 rsyncd[505]: hi", rsyncd, ""},
		{"only one goes", "<30>Nov 23 18:40:52 rsyncd[505]: hi\n\n", `no host tag "rsyncd" pid 505 pri 3.6 text "hi\n"`, ""},
		{"line feed inside", "<30>Nov 23 18:40:52 rsyncd[505]: a\n<30>Nov 23 18:40:52 rsyncd[1]: b\n",
			`no host tag "rsyncd" pid 505 pri 3.6 text "a\n<30>Nov 23 18:40:52 rsyncd[1]: b"`, ""},
		{"nothing", "", "empty", ""},
		{"line ends only", "\r\n\n\x00", "empty", ""},
		{"at the limit", "<30>rsyncd[1]: " + strings.Repeat("x", receiver.MaxMessage-15),
			fmt.Sprintf("no host tag \"rsyncd\" pid 1 pri 3.6 text %q", strings.Repeat("x", receiver.MaxMessage-15)), ""},
		{"over the limit", "<30>rsyncd[1]: " + strings.Repeat("x", receiver.MaxMessage-14), "oversize", ""},

		// FAULTS.md P1: priorities.
		{"no priority", "Nov 23 18:40:52 rsyncd[505]: hi", `no host tag "rsyncd" pid 505 pri -1.-1 text "hi"`, ""},
		{"lowest priority", "<0>rsyncd[5]: hi", `no host tag "rsyncd" pid 5 pri 0.0 text "hi"`, ""},
		{"highest priority", "<191>rsyncd[5]: hi", `no host tag "rsyncd" pid 5 pri 23.7 text "hi"`, ""},
		{"192", "<192>rsyncd[5]: hi", "bad_priority", ""},
		{"999", "<999>rsyncd[5]: hi", "bad_priority", ""},
		{"many digits", "<999999999999>rsyncd[5]: hi", "bad_priority", ""},
		{"negative", "<-1>rsyncd[5]: hi", "bad_priority", ""},
		{"empty", "<>rsyncd[5]: hi", "bad_priority", ""},
		{"unclosed", "<30", "bad_priority", ""},
		{"unclosed, text", "<30 rsyncd[5]: hi", "bad_priority", ""},
		{"leading zero", "<030>rsyncd[5]: hi", "bad_priority", ""},
		{"two zeros", "<00>rsyncd[5]: hi", "bad_priority", ""},
		{"bare", "<34>", "no_text", ""},
		{"bare with line feed", "<34>\n", "no_text", ""},
		{"no header", "-1 x", "no_header", ""},
		{"text alone", "connect from localhost (127.0.0.1)", "no_header", ""},
		{"html", "GET / HTTP/1.1\r\n", "no_header", ""},

		// FAULTS.md P2: tags.
		{"no stamp", "<30>rsyncd[12]: hi", `no host tag "rsyncd" pid 12 pri 3.6 text "hi"`, ""},
		{"no stamp, space", "<30> rsyncd[12]: hi", `no host tag "rsyncd" pid 12 pri 3.6 text "hi"`, ""},
		{"no stamp, no pid", "<30>rsyncd: hi", `no host tag "rsyncd" pid 0 pri 3.6 text "hi"`, ""},
		{"no stamp, no tag", "<30>connect from localhost (127.0.0.1)", "no_header", ""},
		{"stamp, no colon", "<30>Nov 23 23:14:00 vm last message repeated", `host "vm" tag "last" pid 0 pri 3.6 text "message repeated"`, relayed},
		{"ends after the stamp", "<30>Nov 23 23:14:00", "no_text", ""},
		{"ends after the host", "<30>Nov 23 23:14:00 m", "no_text", ""},
		{"ends after the tag", "<30>Nov 23 23:14:00 m rsyncd[1]: ", "no_text", ""},
		{"no tag", "<30>Nov 23 23:14:00 m : hi", `host "m" tag "" pid 0 pri 3.6 text "hi"`, `no host tag "m" pid 0 pri 3.6 text ": hi"`},
		{"pid alone", "<30>Nov 23 23:14:00 [7]: hi", `no host tag "" pid 7 pri 3.6 text "hi"`, ""},
		{"no pid", "<30>Nov 23 23:14:00 rsyncd: hi", `no host tag "rsyncd" pid 0 pri 3.6 text "hi"`, ""},
		{"no pid, forged in the text", "<30>Nov 23 23:14:00 rsyncd: send x[99]: hi",
			`no host tag "rsyncd" pid 0 pri 3.6 text "send x[99]: hi"`, ""},
		{"pid, forged in the text", "<30>Nov 23 23:14:00 rsyncd[5]: send x[99]: hi",
			`no host tag "rsyncd" pid 5 pri 3.6 text "send x[99]: hi"`, ""},
		{"open bracket", "<30>Nov 23 23:14:00 rsyncd[ hi", `no host tag "rsyncd[" pid 0 pri 3.6 text "hi"`, ""},
		{"pid too large", "<30>Nov 23 23:14:00 rsyncd[99999999999]: x[9]: hi", `no host tag "rsyncd" pid 0 pri 3.6 text "x[9]: hi"`, ""},
		{"largest pid", "<30>Nov 23 23:14:00 rsyncd[2147483647]: hi", `no host tag "rsyncd" pid 2147483647 pri 3.6 text "hi"`, ""},
		{"one more", "<30>Nov 23 23:14:00 rsyncd[2147483648]: hi", `no host tag "rsyncd" pid 0 pri 3.6 text "hi"`, ""},
		{"empty pid", "<30>Nov 23 23:14:00 rsyncd[]: x[7]: hi", `no host tag "rsyncd[]: x" pid 7 pri 3.6 text "hi"`, ""},
		{"pid 0", "<30>Nov 23 23:14:00 rsyncd[0]: hi", `no host tag "rsyncd" pid 0 pri 3.6 text "hi"`, ""},
		{"negative pid", "<30>Nov 23 23:14:00 rsyncd[-5]: hi", `no host tag "rsyncd[-5]" pid 0 pri 3.6 text "hi"`, ""},
		{"1000 bytes", "<30>Nov 23 23:14:00 " + long + "[5]: hi", fmt.Sprintf("no host tag %q pid 5 pri 3.6 text \"hi\"", long), ""},
		{"several words", "<30>Nov 23 23:14:00 m my tag[4414]: hi", `host "m" tag "my tag" pid 4414 pri 3.6 text "hi"`,
			`no host tag "m my tag" pid 4414 pri 3.6 text "hi"`},
		{"several words, no host", "<30>Nov 23 23:14:00 my tag[4414]: hi", `host "my" tag "tag" pid 4414 pri 3.6 text "hi"`,
			`no host tag "my tag" pid 4414 pri 3.6 text "hi"`},
		{"inner bracket", "<30>Nov 23 23:14:00 rsyncd[m3]: x[4411]: hi", `no host tag "rsyncd[m3]: x" pid 4411 pri 3.6 text "hi"`, ""},
		{"slash", "<30>Nov 23 23:14:00 rsync/daemon[1]: hi", `no host tag "rsync/daemon" pid 1 pri 3.6 text "hi"`, ""},
		{"pid ends at byte 80", "<30>" + strings.Repeat("a ", 38) + "[1]: hi",
			fmt.Sprintf("no host tag %q pid 1 pri 3.6 text \"hi\"", strings.Repeat("a ", 38)), ""},
		{"pid ends at byte 81", "<30>" + strings.Repeat("a ", 38) + "b[1]: hi", "no_header", ""},
		// rsyslog cut at 32 bytes. What stands behind is text, whatever it looks like.
		{"cut before the pid", "<30>Nov 23 23:14:00 vm " + long[:32] + " rsync on m7/[99]: hi",
			fmt.Sprintf("host \"vm\" tag %q pid 0 pri 3.6 text \"rsync on m7/[99]: hi\"", long[:32]), relayed},
		{"cut in the pid", "<30>Nov 23 23:14:00 vm " + long[:28] + "[442 hi",
			fmt.Sprintf("host \"vm\" tag %q pid 0 pri 3.6 text \"hi\"", long[:28]), relayed},
		{"cut behind the pid", "<30>Nov 23 23:14:00 vm " + long[:26] + "[4420] hi",
			fmt.Sprintf("host \"vm\" tag %q pid 4420 pri 3.6 text \"hi\"", long[:26]), relayed},
		{"empty brackets at the cut", "<30>Nov 23 23:14:00 vm " + long[:30] + "[] hi",
			fmt.Sprintf("host \"vm\" tag \"%s[]\" pid 0 pri 3.6 text \"hi\"", long[:30]), relayed},
		{"32 bytes, but no relay's stamp", "<30>" + long[:32] + " x[5]: hi", fmt.Sprintf("no host tag \"%s x\" pid 5 pri 3.6 text \"hi\"", long[:32]), ""},
		{"32 bytes with colon", "<30>Nov 23 23:14:00 vm " + long[:25] + "[4420]: hi",
			fmt.Sprintf("host \"vm\" tag %q pid 4420 pri 3.6 text \"hi\"", long[:25]), relayed},
		{"32 bytes, no space", "<30>Nov 23 23:14:00 rsyncd[4420]:" + long[:18], `no host tag "rsyncd" pid 4420 pri 3.6 text "` + long[:18] + `"`, ""},

		// Hosts.
		{"IPv6 host", "<30>Nov 23 23:14:00 2001:db8::1 rsyncd[5]: hi", `host "2001:db8::1" tag "rsyncd" pid 5 pri 3.6 text "hi"`, relayed},
		{"nil host", "<30>Nov 23 23:14:00 - rsyncd[5]: hi", `no host tag "rsyncd" pid 5 pri 3.6 text "hi"`, relayed},
		{"empty host", "<30>Nov 23 23:14:00  rsyncd[5]: hi", `no host tag "rsyncd" pid 5 pri 3.6 text "hi"`, relayed},
		{"host that is no UTF-8", "<30>Nov 23 23:14:00 \xff\x85 rsyncd[5]: \xc0\xaf", `host "\xff\x85" tag "rsyncd" pid 5 pri 3.6 text "\xc0\xaf"`, relayed},

		// FAULTS.md P3: stamps are shapes.
		{"one-digit day", "<30>Nov  3 18:40:52 rsyncd[505]: hi", rsyncd, ""},
		{"February 30", "<30>Feb 30 18:40:52 rsyncd[505]: hi", rsyncd, ""},
		{"leap second", "<30>Jun 30 23:59:60 rsyncd[505]: hi", rsyncd, ""},
		{"fraction", "<30>Jun 30 23:59:60.123 rsyncd[505]: hi", rsyncd, ""},
		{"no space behind", "<30>Nov 23 18:40:52rsyncd[505]: hi", `no host tag "Nov 23 18:40:52rsyncd" pid 505 pri 3.6 text "hi"`, ""},
		{"year 0", "<30>0000-01-01T00:00:00Z rsyncd[505]: hi", rsyncd, ""},
		{"year 99999", "99999-01-01T00:00:00Z rsyncd[505]: hi", "no_header", ""},
		{"offset", "<30>2026-11-23T18:40:52-11:30 rsyncd[505]: hi", rsyncd, ""},
		{"fraction of 1000 digits", "<30>2026-11-23T18:40:52." + strings.Repeat("1", 1000) + "Z rsyncd[505]: hi", rsyncd, ""},
		{"fraction without digits", "2026-11-23T18:40:52.Z rsyncd[505]: hi", "no_header", ""},
		{"no zone", "<30>2026-11-23T18:40:52 rsyncd[505]: hi", rsyncd, ""},
		{"space and comma", "<30>2026-11-23 18:40:52,123 rsyncd[505]: hi", rsyncd, ""},
		{"no colon", "<30>2026-11-23T18:40:52+0100 rsyncd[505]: hi", rsyncd, ""},
		{"unpadded day", "<30>Nov 3 18:40:52 rsyncd[505]: hi", rsyncd, ""},
		{"year first", "<30>2026 Nov 23 18:40:52 rsyncd[505]: hi", rsyncd, ""},
		{"year third", "<30>Nov 23 2026 18:40:52 rsyncd[505]: hi", rsyncd, ""},
		{"year last", "<30>Nov 23 18:40:52 2026 rsyncd[505]: hi", rsyncd, ""},
		{"no year last", "<30>Nov 23 18:40:52 1826 rsyncd[505]: hi", `host "1826" tag "rsyncd" pid 505 pri 3.6 text "hi"`, relayed},
		{"year cut off", "<30>Nov 23 18:40:52 202 rsyncd[505]: hi", `host "202" tag "rsyncd" pid 505 pri 3.6 text "hi"`, relayed},

		// What relays of other systems add.
		{"Solaris", "<30>Nov 23 18:40:52 m rsyncd[505]: [ID 702911 daemon.info] hi", `host "m" tag "rsyncd" pid 505 pri 3.6 text "hi"`, relayed},
		{"Solaris, not quite", "<30>Nov 23 18:40:52 m rsyncd[505]: [ID 702911 x.info] hi",
			`host "m" tag "rsyncd" pid 505 pri 3.6 text "[ID 702911 x.info] hi"`, relayed},
		{"Solaris, two spaces", "<30>Nov 23 18:40:52 m rsyncd[505]: [ID 702911  daemon.info] hi",
			`host "m" tag "rsyncd" pid 505 pri 3.6 text "[ID 702911  daemon.info] hi"`, relayed},
		{"Solaris, no text", "<30>Nov 23 18:40:52 m rsyncd[505]: [ID 702911 daemon.info] ", "no_text", ""},
		{"AIX", "<30>Nov 23 18:40:52 Message forwarded from m: rsyncd[505]: hi", `host "m" tag "rsyncd" pid 505 pri 3.6 text "hi"`, relayed},
		{"AIX, in a text", "<30>Nov 23 18:40:52 m rsyncd[505]: Message forwarded from x: rsyncd[1]: hi",
			`host "m" tag "rsyncd" pid 505 pri 3.6 text "Message forwarded from x: rsyncd[1]: hi"`, relayed},
		{"forwarded behind a host", "<30>Nov 23 18:40:52 m Forwarded from victim: rsyncd[505]: hi",
			`host "m" tag "Forwarded from victim: rsyncd" pid 505 pri 3.6 text "hi"`, relayed},
		{"FreeBSD", "<30>Nov 23 18:40:52 Forwarded from m: rsyncd[505]: hi", `host "m" tag "rsyncd" pid 505 pri 3.6 text "hi"`, relayed},
		{"FreeBSD's level", "Nov 23 18:40:52 <3.6> m rsyncd[505]: hi", `host "m" tag "rsyncd" pid 505 pri 3.6 text "hi"`, relayed},
		{"no level", "Nov 23 18:40:52 <24.6> m[1]: x rsyncd[505]: hi", `host "<24.6>" tag "m" pid 1 pri -1.-1 text "x rsyncd[505]: hi"`, relayed},
		{"busybox", "Nov 23 18:40:52 m daemon.info rsyncd[505]: hi", `host "m" tag "rsyncd" pid 505 pri 3.6 text "hi"`, relayed},
		{"the priority outside goes before", "<28>Nov 23 18:40:52 m daemon.info rsyncd[505]: hi", `host "m" tag "rsyncd" pid 505 pri 3.4 text "hi"`, relayed},
		{"OpenWrt", "<30>Nov 23 18:40:52 [1795459252.520] m rsyncd[505]: hi", `host "m" tag "rsyncd" pid 505 pri 3.6 text "hi"`, relayed},
		{"half a zone", "2026-11-23T18:40:52+01 rsyncd[505]: hi", "no_header", ""},

		// RFC 5424, and FAULTS.md P4 and P5.
		{"5424", "<30>1 2026-11-23T23:49:46+00:00 vm rsyncd 505 - - hi", `host "vm" tag "rsyncd" pid 505 pri 3.6 text "hi"`, ""},
		{"5424, two spaces", "<30>1 2026-11-23T23:49:46+00:00 vm rsyncd 505 - -  hi", `host "vm" tag "rsyncd" pid 505 pri 3.6 text "hi"`, ""},
		{"5424, three spaces", "<30>1 2026-11-23T23:49:46+00:00 vm rsyncd 505 - -   hi", `host "vm" tag "rsyncd" pid 505 pri 3.6 text " hi"`, ""},
		{"5424, byte order mark", "<30>1 2026-11-23T23:49:46.1Z vm rsyncd 505 - - \ufeffhi", `host "vm" tag "rsyncd" pid 505 pri 3.6 text "hi"`, ""},
		{"5424, nil values", "<30>1 - - - - - - hi", `no host no tag pid 0 pri 3.6 text "hi"`, ""},
		{"5424, no priority", "1 - vm rsyncd 505 - - hi", `host "vm" tag "rsyncd" pid 505 pri -1.-1 text "hi"`, ""},
		{"5424, structured data", `<30>1 - vm rsyncd 505 ID1 [a@1 b="c" d="\"]\\"][e] hi`, `host "vm" tag "rsyncd" pid 505 pri 3.6 text "hi"`, ""},
		{"5424, bare bracket in a value", `<30>1 - vm rsyncd 505 - [a b="] "] hi`, `host "vm" tag "rsyncd" pid 505 pri 3.6 text "hi"`, ""},
		{"5424, backslash outside a value", `<30>1 - vm rsyncd 505 - [a\] hi`, `host "vm" tag "rsyncd" pid 505 pri 3.6 text "hi"`, ""},
		{"5424, unclosed", `<30>1 - vm rsyncd 505 - [a b="c" hi`, "no_header", ""},
		{"5424, unclosed value", `<30>1 - vm rsyncd 505 - [a b="c] hi`, "no_header", ""},
		{"5424, ends in an escape", `<30>1 - vm rsyncd 505 - [a b="\`, "no_header", ""},
		{"5424, structured data at the limit", "<30>1 - h a 1 - [" + strings.Repeat("x", receiver.MaxMessage-17), "no_header", ""},
		{"5424, nested brackets", `<30>1 - vm rsyncd 505 - ` + strings.Repeat("[", 9999) + "] hi", `host "vm" tag "rsyncd" pid 505 pri 3.6 text "hi"`, ""},
		{"5424, junk behind nil", "<30>1 - vm rsyncd 505 - -[a] hi", "no_header", ""},
		{"5424, no message", "<30>1 - vm rsyncd 505 - -", "no_text", ""},
		{"5424, no structured data", "<30>1 - vm rsyncd 505 -", "no_header", ""},
		{"5424, empty field", "<30>1 - vm  505 - - hi", "no_header", ""},
		{"5424, RFC 3164's stamp", "<30>1 Nov 23 18:40:52 vm rsyncd 505 - - hi", "no_header", ""},
		{"5424, tag of two words", "<30>1 - vm my - - -  tag[4414]: hi", `host "vm" tag "my" pid 4414 pri 3.6 text "hi"`, ""},
		{"5424, tag with a bracket", "<30>1 - vm rsyncd m3 - - x[4411]: hi", `host "vm" tag "rsyncd" pid 4411 pri 3.6 text "hi"`, ""},
		{"5424, pid forged in the text", "<30>1 - vm rsyncd 505 - - x[4411]: hi", `host "vm" tag "rsyncd" pid 505 pri 3.6 text "x[4411]: hi"`, ""},
		{"5424, pid too large", "<30>1 - vm rsyncd 2147483648 - - x[4411]: hi", `host "vm" tag "rsyncd" pid 0 pri 3.6 text "x[4411]: hi"`, ""},
		{"version 2", "<30>2 - vm rsyncd 505 - - hi", "no_header", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := scanned(syslog.Auto{}, []byte(tt.raw)); got != tt.remote {
				t.Errorf("%.99q\n got %.200s\nwant %.200s", tt.raw, got, tt.remote)
			}
			if tt.local == relayed {
				return
			}
			if got, want := scanned(syslog.Auto{Local: true}, []byte(tt.raw)), cmp.Or(tt.local, tt.remote); got != want {
				t.Errorf("local: %.99q\n got %.200s\nwant %.200s", tt.raw, got, want)
			}
		})
	}
}

// A good message, cut at every byte, is read or refused; a priority, tag and pid that were read are never others than its own.
func TestHeadersCutAnywhere(t *testing.T) {
	for _, shape := range shapes {
		for n := range len(shape.raw) {
			var m receiver.Message
			d := shape.dialect.Scan([]byte(shape.raw)[:n], &m)
			if d == receiver.Kept && !strings.HasPrefix("sent 75310 bytes  received 98 bytes  total size 75006\n", string(m.Text)) {
				t.Errorf("%q: text %q", shape.raw[:n], m.Text)
			}
			if d == receiver.Kept && (m.PID != 505 || m.Tag != nil && string(m.Tag) != "rsyncd") {
				t.Errorf("%q: tag %q, pid %d", shape.raw[:n], m.Tag, m.PID)
			}
		}
	}
}
