package rsynclog_test

import (
	"strings"
	"testing"

	"rsyncd_exporter/rsynclog"
)

// What a format lacks, by what the sentences end with. By hand: the default has all but the bytes that were moved.
func TestLacks(t *testing.T) {
	for format, want := range map[string][]string{
		rsynclog.DefaultLogFormat:               {"(%b)"},
		rsynclog.FullLogFormat:                  nil,
		"":                                      {"none is logged"},
		"%o %h [%a] %m (%u) %b %f %l":           {"(%f)"}, // a user may be called "x) 7"
		"%i %h [%a] %m (%u) %n %l %b":           nil,
		"%f %l":                                 {"decides (%o)", "(%a)", "behind %o)", "(%b)"},
		"%o %f":                                 {"(%a)", "behind %o)", "(%l)", "(%b)"},
		"%f %o %n":                              {"beginning)", "(%a)", "behind %o)", "(%f)", "(%l)", "(%b)"},
		"%o %f%l %''b":                          {"(%a)", "behind %o)", "(%f)", "(%l)", "(%b)"}, // neither number is used
		`{"op":"%o","module":"%m","file":"%f"}`: {"(%a)", "behind %o)", "(%f)", "(%l)", "(%b)"},
		"no escapes":                            {"decides (%o)", "(%a)", "behind %o)", "(%f)", "(%l)", "(%b)"},
	} {
		got := mustParser(t, format).Lacks()
		if len(got) != len(want) {
			t.Errorf("%q: %q, want %q", format, got, want)
			continue
		}
		for i := range want {
			if !strings.HasSuffix(got[i], want[i]) {
				t.Errorf("%q: %q, want %q", format, got, want)
			}
		}
	}
}

func TestFullLogFormatLacksNothing(t *testing.T) {
	for format, want := range map[string]string{
		rsynclog.DefaultLogFormat:   rsynclog.FullLogFormat,
		"%f":                        rsynclog.FullLogFormat,
		"":                          rsynclog.FullLogFormat,
		"%i %h [%a] %m (%u) %n %l":  "%i %h [%a] %m (%u) %n %l %b",
		"%o [%a] %m (%u) %f %b %'l": "%o [%a] %m (%u) %f %b %'l",
	} {
		full := mustParser(t, format).Full()
		if p := mustParser(t, full); full != want || len(p.Lacks()) > 0 || len(p.Warnings()) > 0 {
			t.Errorf("%q: %q, want %q; lacks %q, warnings %q", format, full, want, p.Lacks(), p.Warnings())
		}
	}
}

// The name ends where the fields behind it begin, whatever it and the user are called.
func TestFileNameInFormats(t *testing.T) {
	for _, c := range []struct{ format, text, module, want string }{
		{rsynclog.DefaultLogFormat, "send h [192.0.2.1] data () a 12 34 56", "data", "a 12 34"},
		{rsynclog.DefaultLogFormat, "send h [192.0.2.1] odd (x) (al) a 7", "odd (x)", "a"},
		{rsynclog.FullLogFormat, "send h [192.0.2.1] data () a 12 34 56", "data", "a 12"},
		{rsynclog.FullLogFormat, "send h [192.0.2.1] odd (x) (al) a 12 34 56", "odd (x)", "a 12"},
		{"%o %m (%u) %n", "send data () a 12 34 56", "data", "a 12 34 56"},
		{"%o %m (%u) %b %f %l", "send data () 12 a 34", "data", ""},
		{"%o %b %f %l", "send 12 a 34 56", "data", "a 34"},
	} {
		ev := parseWith(t, c.format, c.text)
		if got := string(ev.File(c.module)); ev.Kind != rsynclog.Transfer || got != c.want {
			t.Errorf("%q, %q: %s, file %q, want %q", c.format, c.text, show(ev), got, c.want)
		}
	}
}
