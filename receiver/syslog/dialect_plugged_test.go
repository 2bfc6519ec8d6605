package syslog_test

import (
	"slices"
	"strings"
	"testing"

	"rsyncd_exporter/receiver"
	"rsyncd_exporter/receiver/syslog"
)

var dialectNames = []string{"auto", "rfc3164", "rfc5424", "rfc6587", "automatic"}

func dialectByName(t testing.TB, name string, local bool) receiver.Dialect {
	t.Helper()
	d, err := syslog.NewDialect(name, local)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// The datagrams of which any one ends a program that is built on go-syslog's Server are discarded by every dialect.
func TestPayloadsThatCrashGoSyslog(t *testing.T) {
	payloads := []string{"-1 x", "<34>", "<30>Nov 23 23:14:00 m"}
	want := map[string][]string{ // by dialect, in the order of the payloads
		"auto":      {"no_header", "no_text", "no_text"},
		"rfc3164":   {"no_header", "bad_dialect", "bad_dialect"},
		"rfc5424":   {"bad_dialect", "bad_dialect", "bad_dialect"},
		"rfc6587":   {"bad_dialect", "bad_dialect", "bad_dialect"},
		"automatic": {"no_header", "bad_dialect", "bad_dialect"},
	}
	for _, name := range dialectNames {
		for _, local := range []bool{false, true} {
			var got []string
			for _, p := range payloads {
				got = append(got, scanned(dialectByName(t, name, local), []byte(p)))
			}
			if !slices.Equal(got, want[name]) {
				t.Errorf("%s, local %v: %q, want %q", name, local, got, want[name])
			}
		}
	}
}

func TestUnknownDialect(t *testing.T) {
	for _, name := range []string{"", "Auto", "rfc3195"} {
		d, err := syslog.NewDialect(name, false)
		if d != nil || err == nil {
			t.Fatalf("NewDialect(%q) = %v, %v; want an error", name, d, err)
		}
		for _, allowed := range dialectNames {
			if !strings.Contains(err.Error(), allowed) {
				t.Errorf("the error for %q does not name %s: %v", name, allowed, err)
			}
		}
	}
}

// What each dialect makes of each header: the good ones agree with Auto, the rest is the damage that NewDialect documents.
func TestDialectsSideBySide(t *testing.T) {
	const ok = `host "vm" tag "rsyncd" pid 865 pri 3.6 text "hi"`
	tests := []struct{ raw, auto, rfc3164, rfc5424, automatic string }{
		{"<30>Nov 23 23:49:46 vm rsyncd[865]: hi\n", ok, ok, "bad_dialect", ok},
		{"<30>1 2026-11-23T23:49:46.226705+00:00 vm rsyncd 865 - -  hi", ok, "no_header", ok, ok},
		{`<30>1 2026-11-23T23:49:46+00:00 vm rsyncd 865 - [meta sequenceId="2"] hi` + "\n", ok, "no_header", ok, ok},
		{"<30>1 2026-11-23T23:49:46Z - - - - - hi", `no host no tag pid 0 pri 3.6 text "hi"`, "no_header",
			`no host no tag pid 0 pri 3.6 text "hi"`, `no host no tag pid 0 pri 3.6 text "hi"`},
		// Damage.
		{"<30>Nov 23 23:49:46 vm my tag[865]: hi", `host "vm" tag "my tag" pid 865 pri 3.6 text "hi"`,
			`host "vm" tag "my" pid 0 pri 3.6 text "tag[865]: hi"`, "bad_dialect", `host "vm" tag "my" pid 0 pri 3.6 text "tag[865]: hi"`},
		{"<30>Nov 23 23:49:46 vm rsyncd[m3]: x[865]: hi", `host "vm" tag "rsyncd[m3]: x" pid 865 pri 3.6 text "hi"`,
			`host "vm" tag "rsyncd" pid 0 pri 3.6 text "x[865]: hi"`, "bad_dialect", `host "vm" tag "rsyncd" pid 0 pri 3.6 text "x[865]: hi"`},
		{"<30>2026-11-23T23:49:46.226705+00:00 vm rsyncd[865]: hi", ok, "no_header", "bad_dialect", "no_header"},
		{"<30>1 2026-11-23T23:49:46.2267051Z vm rsyncd 865 - - hi", ok, "no_header", "bad_dialect", "bad_dialect"},
		{`<30>1 2026-11-23T23:49:46Z vm rsyncd 865 - [a b="] "] hi`, ok, "no_header", `host "vm" tag "rsyncd" pid 865 pri 3.6 text "\"] hi"`,
			`host "vm" tag "rsyncd" pid 865 pri 3.6 text "\"] hi"`},
		{"<30>1 2026-11-23T23:49:46Z vm rsyncd 865", "no_header", "no_header", "no_header", "no_header"},
		{"<30>rsyncd[865]: hi", `no host tag "rsyncd" pid 865 pri 3.6 text "hi"`, "no_header", "bad_dialect", "no_header"},
		// What no dialect is asked.
		{"<999>Nov 23 23:49:46 vm rsyncd[865]: hi", "bad_priority", "bad_priority", "bad_priority", "bad_priority"},
		{"\n", "empty", "empty", "empty", "empty"},
		{strings.Repeat("x", receiver.MaxMessage+1), "oversize", "oversize", "oversize", "oversize"},
	}
	for _, tt := range tests {
		want := []string{tt.auto, tt.rfc3164, tt.rfc5424, tt.rfc5424, tt.automatic}
		for i, name := range dialectNames {
			if got := scanned(dialectByName(t, name, false), []byte(tt.raw)); got != want[i] {
				t.Errorf("%s: %.99q\n got %s\nwant %s", name, tt.raw, got, want[i])
			}
		}
	}
}

// Straight from rsyncd, go-syslog's RFC 3164 parser finds tag, pid and text, and no host where there can be none.
func TestPluggedRFC3164OnDirectDatagrams(t *testing.T) {
	for _, path := range corpusFiles(t, "syslog/download_*.raw") {
		for i, raw := range readDatagrams(t, path) {
			got, want := scanned(dialectByName(t, "rfc3164", true), raw), scanned(syslog.Auto{Local: true}, raw)
			if got != want {
				t.Errorf("%s:%d: %s\nwant %s", path, i+1, got, want)
			}
		}
	}
}

// Auto plugs into go-syslog with the keys that go-syslog's own parsers use.
func TestAutoAsFormat(t *testing.T) {
	parser := syslog.Auto{}.GetParser([]byte("<28>Nov 23 23:49:46 vm my tag[865]: rsync error\n"))
	if err := parser.Parse(); err != nil {
		t.Fatal(err)
	}
	parts := parser.Dump()
	want := map[string]any{ // 28 = 3*8 + 4
		"priority": 28, "facility": 3, "severity": 4, "hostname": "vm", "tag": "my tag", "proc_id": "865", "content": "rsync error",
	}
	if len(parts) != len(want) {
		t.Errorf("Dump has %d keys, want %d: %v", len(parts), len(want), parts)
	}
	for key, value := range want {
		if parts[key] != value {
			t.Errorf("%s is %#v, want %#v", key, parts[key], value)
		}
	}

	parser = syslog.Auto{}.GetParser([]byte("GET / HTTP/1.1"))
	err := parser.Parse()
	if err == nil || !strings.Contains(err.Error(), "no_header") || !strings.Contains(err.Error(), `"GET / HTTP/1.1"`) {
		t.Errorf("Parse: %v; want an error that quotes the message and says no_header", err)
	}
	if parts := parser.Dump(); parts["content"] != "GET / HTTP/1.1" || parts["priority"] != -1 || parts["proc_id"] != "" {
		t.Errorf("Dump of a refused message: %v", parts)
	}
	if (syslog.Auto{}).GetSplitFunc() != nil {
		t.Error("a split function would make go-syslog cut datagrams at line feeds")
	}
}

func FuzzDialects(f *testing.F) {
	seeds(f)
	var dialects []receiver.Dialect
	for _, name := range dialectNames {
		dialects = append(dialects, dialectByName(f, name, false), dialectByName(f, name, true))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		before := string(raw)
		for i, dialect := range dialects {
			var m receiver.Message
			d := dialect.Scan(raw, &m)
			if d >= receiver.NumDiscards || d == receiver.Kept && (len(m.Text) == 0 || len(m.Text) > len(raw) || m.PID < 0 || m.Severity > 7 || m.Facility > 23) {
				t.Errorf("%s: %q: %v, %s", dialectNames[i/2], raw, d, show(m, receiver.Kept))
			}
			if (len(raw) > receiver.MaxMessage) != (d == receiver.Oversize) {
				t.Errorf("%s: %d bytes: %v", dialectNames[i/2], len(raw), d)
			}
		}
		if string(raw) != before {
			t.Errorf("%q was changed into %q", before, raw)
		}
	})
}
