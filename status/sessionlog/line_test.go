package sessionlog_test

import (
	"bytes"
	"context"
	"encoding/json"
	"maps"
	"math"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"rsyncd_exporter/rsynclog"
	"rsyncd_exporter/status/api"
	"rsyncd_exporter/status/sessionlog"
)

// lines returns what a Writer makes of changes.
func lines(t testing.TB, anonymise bool, changes ...rsynclog.Change) string {
	t.Helper()
	q := sessionlog.NewQueue(nil, false, 0)
	apply(q, changes...)
	var out bytes.Buffer
	w := sessionlog.NewWriter(q, sessionlog.Options{Path: "-", Stdout: &out, Anonymise: anonymise})
	ctx, stop := context.WithCancel(t.Context())
	stop()
	if err := w.Run(ctx); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

func schema(t testing.TB) *jsonschema.Schema {
	t.Helper()
	c := jsonschema.NewCompiler()
	c.AssertFormat()
	s, err := c.Compile("../../docs/session-log.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// valid fails unless each line is what the schema says.
func valid(t testing.TB, s *jsonschema.Schema, log string) {
	t.Helper()
	for line := range strings.Lines(log) {
		v, err := jsonschema.UnmarshalJSON(strings.NewReader(line))
		if err == nil {
			err = s.Validate(v)
		}
		if err != nil {
			t.Errorf("%s: %v", line, err)
		}
	}
}

// The schema knows every key that a line can have, and no others.
func TestTheSchemaHasTheKeysOfALine(t *testing.T) {
	keys := func(of any) map[string]bool {
		all := map[string]bool{}
		for i := range reflect.TypeOf(of).NumField() {
			name, _, _ := strings.Cut(reflect.TypeOf(of).Field(i).Tag.Get("json"), ",")
			all[name] = true
		}
		return all
	}
	same := func(s *jsonschema.Schema, want map[string]bool) {
		for name := range s.Properties {
			if !want[name] {
				t.Errorf("no line has %q", name)
			}
			delete(want, name)
		}
		if len(want) > 0 {
			t.Errorf("the schema lacks %v", want)
		}
	}
	s := schema(t)
	same(s, keys(api.Ended{}))
	same(s.Properties["client"], keys(api.Client{}))
}

// lnav's format names keys of a line, and no others.
func TestTheFormatOfLnavHasTheKeysOfALine(t *testing.T) {
	text, err := os.ReadFile("../../deploy/lnav/rsyncd_exporter.json")
	if err != nil {
		t.Fatal(err)
	}
	var formats map[string]json.RawMessage
	var format struct {
		Fields []any          `json:"line-format"`
		Values map[string]any `json:"value"`
	}
	if err := json.Unmarshal(text, &formats); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(formats["rsyncd_session_log"], &format); err != nil {
		t.Fatal(err)
	}
	line := schema(t)
	for name := range format.Values {
		of, rest := line, name
		if inner, ok := strings.CutPrefix(name, "client/"); ok {
			of, rest = line.Properties["client"], inner
		}
		if of.Properties[rest] == nil {
			t.Errorf("no line has %q", name)
		}
		delete(line.Properties, name)
	}
	delete(line.Properties, "client")
	if len(line.Properties) > 0 {
		t.Errorf("the format lacks %v", slices.Collect(maps.Keys(line.Properties)))
	}
	for _, f := range format.Fields {
		if f, ok := f.(map[string]any); ok && f["field"] != "__timestamp__" && format.Values[f["field"].(string)] == nil {
			t.Errorf("%v has no kind", f["field"])
		}
	}
}

func TestLines(t *testing.T) {
	refused := pushed(8)
	refused.SessionRecord = rsynclog.SessionRecord{
		PID: 8, Addr: "2001:db8:1:2::3", FirstSeen: 101 * second, LastSeen: 101*second + second/4, Outcome: rsynclog.Rejected,
		Reason: rsynclog.ReasonUnknownModule,
	}
	failed := pushed(9)
	failed.Outcome, failed.Failures = rsynclog.Partial, rsynclog.Failures{{Errno: 13, N: 2}, {Errno: 28, N: 1}}
	hostile := pushed(10)
	hostile.User = rsynclog.Label([]byte("\"\\\n\x1b[31m<\xff\xe2\x80\xa8"))
	hostile.Module = rsynclog.Label([]byte(`b\#303\#244ckup`)) // rsync 3.5.0 writes "bäckup" so, or half so
	hostile.Name = rsynclog.Label([]byte("\xe2\\#206\\#222"))  // an arrow
	amended := ended(pushed(11))
	amended.Kind, amended.Sent, amended.Received, amended.Total = rsynclog.Amended, 5, 0, 0
	lapsed, resumed := amended, amended
	again := *pushed(12)
	again.Outcome = rsynclog.OK
	lapsed.Session = pushed(12)
	lapsed.Session.Outcome = rsynclog.Unknown
	resumed.Kind, resumed.Session = rsynclog.Resumed, &again
	const head = `{"time":"2026-11-30T12:01:40Z","started":"2026-11-30T12:00:10Z",`
	const rest = `"direction":"receive","outcome":"ok","duration_seconds":90,"sent_bytes":166,"received_bytes":3000,` +
		`"listed_bytes":9000,"files":{"recv":3}}`
	for _, c := range []struct {
		name      string
		anonymise bool
		changes   []rsynclog.Change
		want      string
	}{
		{"refused", false, []rsynclog.Change{{Kind: rsynclog.Ended, Origin: &rsynclog.Origin{}, Session: refused}},
			`{"time":"2026-11-30T12:01:41.25Z","started":"2026-11-30T12:01:41Z","pid":8,"client":{"address":"2001:db8:1:2::3"},` +
				`"outcome":"rejected","reason":"unknown_module","duration_seconds":0.25,"sent_bytes":0,"received_bytes":0,"listed_bytes":0}`},
		{"files that failed", false, []rsynclog.Change{ended(failed)},
			head + `"host":"nas","pid":9,"client":{"name":"pc.example.org","address":"192.0.2.77"},"module":"backup","user":"alice",` +
				strings.TrimSuffix(strings.Replace(rest, "ok", "partial", 1), "}") + `,"file_errors":{"13":2,"28":1}}`},
		{"hostile names", false, []rsynclog.Change{ended(hostile)},
			head + `"host":"nas","pid":10,"client":{"name":"→","address":"192.0.2.77"},"module":"bäckup","user":"\"\\�` +
				`�[31m<�\u2028",` + rest},
		{"anonymised", true, []rsynclog.Change{ended(pushed(7))},
			head + `"host":"nas","pid":7,"client":{"address":"192.0.2.0/24"},"module":"backup","user":"alice",` + rest},
		{"anonymised IPv6", true, []rsynclog.Change{{Kind: rsynclog.Ended, Origin: &rsynclog.Origin{}, Session: refused}},
			`{"time":"2026-11-30T12:01:41.25Z","started":"2026-11-30T12:01:41Z","pid":8,"client":{"address":"2001:db8:1::/48"},` +
				`"outcome":"rejected","reason":"unknown_module","duration_seconds":0.25,"sent_bytes":0,"received_bytes":0,"listed_bytes":0}`},
		{"another summary", false, []rsynclog.Change{amended},
			head + `"amends":true,"host":"nas","pid":11,"client":{"name":"pc.example.org","address":"192.0.2.77"},"module":"backup",` +
				`"user":"alice","direction":"receive","outcome":"ok","duration_seconds":90,"sent_bytes":5,"received_bytes":0,` +
				`"listed_bytes":0,"files":{"recv":3}}`},
		{"a session that was only silent", false, []rsynclog.Change{lapsed, resumed},
			head + `"amends":true,"host":"nas","pid":12,"client":{"name":"pc.example.org","address":"192.0.2.77"},"module":"backup",` +
				`"user":"alice","direction":"receive","outcome":"ok","duration_seconds":90,"sent_bytes":5,"received_bytes":0,` +
				`"listed_bytes":0,"files":{"recv":3}}`},
	} {
		got := lines(t, c.anonymise, c.changes...)
		if got != c.want+"\n" {
			t.Errorf("%s: %s\nwant %s", c.name, got, c.want)
		}
		valid(t, schema(t), got)
	}
}

// Whatever a session is called, its line is valid, short, and says what the session was.
func FuzzLine(f *testing.F) {
	f.Add("nas", "192.0.2.1", "pc", "backup", "alice", int32(7), int64(10), int64(20), uint64(1), uint64(2), uint64(3), byte(1), false)
	f.Add("\xff", "::%\x1b", "</script>", `\#303\#244`, "\u2028", int32(math.MaxInt32), int64(math.MinInt64), int64(math.MaxInt64), uint64(math.MaxUint64),
		uint64(0), uint64(1)<<53, byte(255), true)
	s := schema(f)
	f.Fuzz(func(t *testing.T, host, addr, name, module, user string, pid int32, first, last int64, sent, received, n uint64, bits byte, amends bool) {
		label := func(text string) string { return rsynclog.Label([]byte(text)) }
		session := &rsynclog.Session{Origin: &rsynclog.Origin{Host: label(host)}}
		session.SessionRecord = rsynclog.SessionRecord{
			PID: pid & math.MaxInt32, Addr: label(addr), Name: label(name), Module: label(module), User: label(user),
			FirstSeen: first / 4, LastSeen: last / 4, Direction: rsynclog.Direction(bits % 3), Outcome: rsynclog.Outcome(bits) % rsynclog.NumOutcomes,
			Reason: rsynclog.Reason(bits) % rsynclog.NumReasons, Failures: rsynclog.Failures{{Errno: int16(first), N: uint32(n)}, {Errno: int16(last), N: uint32(sent)}},
		}
		for op := range session.Files {
			session.Files[op] = n >> op
		}
		c := rsynclog.Change{Kind: rsynclog.Ended, Origin: session.Origin, Session: session, Sent: sent, Received: received, Total: n}
		if amends {
			c.Kind = rsynclog.Amended
		}
		for _, anonymise := range []bool{false, true} {
			line := lines(t, anonymise, c)
			if line == "" {
				if amends && sent|received|n == 0 {
					return
				}
				t.Fatal("no line")
			}
			if len(line) > 4096 || !utf8.ValidString(line) || strings.Count(line, "\n") != 1 || !strings.HasSuffix(line, "\n") {
				t.Fatalf("%d bytes: %q", len(line), line)
			}
			valid(t, s, line)
			var got api.Ended
			if err := json.Unmarshal([]byte(line), &got); err != nil {
				t.Fatal(err)
			}
			q := sessionlog.NewQueue(nil, false, 0)
			apply(q, c)
			if want := q.Record().Pending[0][0].Ended(anonymise); !reflect.DeepEqual(got, want) {
				t.Fatalf("%+v, want %+v", got, want)
			}
		}
	})
}
