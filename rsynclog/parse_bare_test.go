package rsynclog_test

import (
	"net/netip"
	"strings"
	"testing"

	"rsyncd_exporter/rsynclog"
)

// The sample log of the program that this one replaces, and anonymised logs, have an address where
// rsync writes a name and, in parentheses, an address.
func TestLinesWithAnAddressAlone(t *testing.T) {
	for text, want := range map[string]string{
		"connect from 192.0.2.46":                              "connect 192.0.2.46",
		"connect from 2001:db8:4f8:191:1056::2":                "connect 2001:db8:4f8:191:1056::2",
		"connect from fe80::1%eth0":                            "connect fe80::1%eth0",
		"connect from ::ffff:192.0.2.46":                       "connect ::ffff:192.0.2.46",
		"rsync on sources/ from 192.0.2.46":                    "start send 192.0.2.46 request=sources/",
		"rsync to inbox/ from ::1":                             "start receive ::1 request=inbox/",
		"rsync to inbox/ from al@ice@192.0.2.46":               "start receive 192.0.2.46 user=al@ice request=inbox/",
		"rsync on a b/ from x (1.2.3.4) from 192.0.2.46":       "start send 192.0.2.46 request=a b/ from x (1.2.3.4)",
		"rsync on a from 1.2.3.4 from 192.0.2.46":              "start send 192.0.2.46 request=a from 1.2.3.4",
		"rsync on a from 1.2.3.4 from localhost (127.0.0.1)":   "start send 127.0.0.1 request=a from 1.2.3.4",
		"rsync on a from u@1.2.3.4 from localhost (::1)":       "start send ::1 request=a from u@1.2.3.4",
		"rsync on  from 192.0.2.46":                            "start send 192.0.2.46",
		"rsync on \nconnect from 1.2.3.4\n from 192.0.2.46":    "start send 192.0.2.46 request=\nconnect from 1.2.3.4\n",
		"module-list request from 192.0.2.46":                  "module_list 192.0.2.46",
		"rsync allowed access on module a from b from ::1":     "allowed ::1 module=a from b",
		"rsync denied on module closed from 192.0.2.46":        "denied hosts_deny 192.0.2.46 module=closed",
		"unknown module 'x' tried from y' tried from ::1":      "unknown_module unknown_module ::1 module=x' tried from y",
		"unknown module '' tried from ::1":                     "unknown_module unknown_module ::1",
		"message repeated 2 times: [ connect from 192.0.2.46]": "connect 192.0.2.46 x2",
	} {
		ev := parseWith(t, rsynclog.DefaultLogFormat, text)
		if got := brief(ev); got != want || (ev.Host == nil) == strings.Contains(text, "localhost") {
			t.Errorf("%q:\n got %s, host %q\nwant %s", text, got, ev.Host, want)
		}
	}
}

// Whatever isn't exactly an address at the very end is no such line: it may be one of rsync's own,
// cut by a relay.
func TestNoAddressAlone(t *testing.T) {
	for _, text := range []string{
		"connect from localhost", "connect from UNKNOWN", "connect from 192.0.2", "connect from 192.0.2.256", "connect from 192.0.2.046",
		"connect from 192.0.2.4.6", "connect from 192.0.2.46 ", "connect from 192.0.2.46:873", "connect from [::1]", "connect from 1", "connect from :",
		"connect from ::1%", "connect from ::1%et h0", "connect from 1.2.3.4%eth0", "connect from 1:2:3:4:5:6:7", "connect from 1:2:3:4:5:6:7:8:9",
		"connect from 1::2::3", "connect from 12345::", "connect from ::1.2.3", "connect from :1::", "connect from 1:2:3:4:5:6:7::8", "connect from 1:",
		"connect from u@192.0.2.46", "connect from a 192.0.2.46", "connect from  192.0.2.46", "xconnect from 192.0.2.46", "connect from 192.0.2.46 (1.2.3.4",
		"rsync on sources/", "rsync on sources/ from", "rsync on from 192.0.2.46", "rsync in sources/ from 192.0.2.46",
		"rsync on sources/ from mirror", "rsync on sources/ from 192.0.2.46 (", "rsync on sources/ from 192.0.2.46)", "rsync on sources/ from a@",
		"module-list request  from 192.0.2.46", "rsync allowed access on module  from 192.0.2.46", "rsync allowed access on module from 192.0.2.46",
		"rsync denied on module m from mirror", "unknown module 'x tried from 192.0.2.46", "unknown module ' tried from 192.0.2.46",
	} {
		if ev := parseWith(t, rsynclog.DefaultLogFormat, text); show(ev) != " Repeat=1" {
			t.Errorf("%q is %s", text, show(ev))
		}
	}
}

// A request that is cut at 2047 bytes may end as its client likes; it may have a line end there,
// which is then taken for the line's own.
func TestAnAddressWhereRsyncCutsIsTheClients(t *testing.T) {
	for size := 2040; size <= 2060; size++ {
		const front, end = "rsync on ", " from 6.6.6.6"
		text := front + strings.Repeat("d", size-len(front)-len(end)) + end
		ev, want := parseWith(t, rsynclog.DefaultLogFormat, text), rsynclog.Unrecognised
		if size < 2045 || size >= 2047 {
			want = rsynclog.Start
		}
		if ev.Kind != want || (ev.Addr != nil) != (size < 2045) {
			t.Errorf("%d bytes: %s with the address %q", size, ev.Kind, ev.Addr)
		}
	}
}

// A log format's own line stays one, whatever its fields come to.
func TestALogFormatsLineIsReadBeforeAnAddressAlone(t *testing.T) {
	for format, text := range map[string]string{
		"%f from %a": "connect from 192.0.2.46", "%f %h": "rsync on x from 192.0.2.46", "%f": "connect from 192.0.2.46", "connect from %a": "connect from 192.0.2.46",
	} {
		if ev := parseWith(t, format, text); ev.Kind != rsynclog.Transfer {
			t.Errorf("%q, %q: %s", format, text, show(ev))
		}
	}
	if ev := parseWith(t, "%o %f %l", "connect from 192.0.2.46"); ev.Kind != rsynclog.Connect {
		t.Errorf("%s", show(ev))
	}
}

func FuzzAddressAlone(f *testing.F) {
	for _, s := range []string{"192.0.2.46", "2001:db8:4f8:191:1056::2", "::", "::ffff:1.2.3.4", "fe80::1%eth0", "1:2:3:4:5:6:1.2.3.4", "1::8", "0:0:0:0:0:0:0:0",
		"1:2:3:4:5:6:7::", "::2:3:4:5:6:7:8", "256.1.1.1", "1.2.3.4%e", "::ffff:1.2.3.4%e", "::1.2.3.4", "00001::", "1::2:", "01.2.3.4"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got := rsynclog.IsExactAddr([]byte(s))
		a, err := netip.ParseAddr(s)
		want := err == nil && (a.Zone() == "" || rsynclog.IsScope([]byte(a.Zone())))
		if got != want {
			t.Errorf("%q: %v, netip says %v", s, got, want)
		}
	})
}

// No line of a real daemon, 2.6.9 to 3.5.0, is read for an address alone, wherever somebody cuts
// it.
func TestNoLineOfRsyncsHasAnAddressAlone(t *testing.T) {
	p, n := mustParser(t, rsynclog.DefaultLogFormat), 0
	for _, form := range []string{"file", "syslog"} {
		for _, l := range readCorpus(t, form) {
			for end := range min(len(l.text), 300) {
				var ev rsynclog.Event
				text := l.text[:end+1]
				if p.Parse([]byte(text), &ev); ev.Addr != nil && ev.Host == nil {
					t.Errorf("%s: %q is %s", l.scenario, text, show(ev))
				}
			}
			n++
		}
	}
	if n < 2000 {
		t.Errorf("only %d lines", n)
	}
}
