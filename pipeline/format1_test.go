package pipeline_test

import (
	"bytes"
	"encoding/gob"
	"net/netip"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/common/expfmt"

	"rsyncd_exporter/metrics"
	"rsyncd_exporter/pipeline"
	"rsyncd_exporter/receiver"
	"rsyncd_exporter/receiver/follow"
	"rsyncd_exporter/receiver/syslog"
	"rsyncd_exporter/rsynclog"
)

// testdata/format1.state is what the version before saved, after it had read a log of 16 lines that was then rotated,
// 5 lines of the new log, and 17 datagrams. By hand:
//
// The log: a daemon's start; alice's upload to data of 10 s (1000 and 234 bytes in two files, sent 100, received 1500,
// total 5000); a download of 2 s from data (70 bytes in a file, one file error 13, sent 90, received 20, total 170),
// which ended with code 23; and bob's upload to pub (50 bytes in a file), which runs. The datagrams of host vm: a
// download of 11 bytes, whose last line came, and the begin of another one of 12 bytes, which runs; an unknown module;
// a wrong password; one of cron, and an empty one.
func TestTheVersionBeforeIsRead(t *testing.T) {
	file, err := os.ReadFile("testdata/format1.state")
	if err != nil {
		t.Fatal(err)
	}
	_, payload, _ := bytes.Cut(file, []byte("\n"))
	st, err := pipeline.Decode(payload)
	if err != nil {
		t.Fatal(err)
	}
	checkCatalogue1(t, &st.Followed)
	p := newPipeline(t, pipeline.Config{Modules: []string{"data"}, Checkpoint: st})
	series := gathered(t, p)
	checkIdentities(t, series)
	want := map[string]float64{
		`rsync_connections_total{}`:                                                           3,
		`rsync_connections_total{host="vm"}`:                                                  4,
		`rsync_daemon_starts_total{}`:                                                         1,
		`rsync_daemon_info{version="3.4.1"}`:                                                  1,
		`rsync_executions_total{direction="receive",module="data"}`:                           1,
		`rsync_executions_total{direction="receive",module="pub"}`:                            1,
		`rsync_executions_total{direction="send",host="vm",module="data"}`:                    2,
		`rsync_errors_total{module="data",status_code="23"}`:                                  1,
		`rsync_file_errors_total{errno="13",module="data"}`:                                   1,
		`rsync_files_total{module="data",operation="recv"}`:                                   2,
		`rsync_file_bytes_total{module="data",operation="recv"}`:                              1234,
		`rsync_file_bytes_total{host="vm",module="data",operation="send"}`:                    11 + 12,
		`rsync_exchanged_bytes_total{direction="receive",module="data"}`:                      1600,
		`rsync_listed_bytes_total{direction="send",module="data"}`:                            170,
		`rsync_sessions_total{direction="receive",module="data",outcome="ok"}`:                1,
		`rsync_sessions_total{direction="send",module="data",outcome="partial"}`:              1,
		`rsync_rejected_total{host="vm",reason="unknown_module"}`:                             1,
		`rsync_rejected_total{host="vm",module="data",reason="auth"}`:                         1,
		`rsync_sessions_active{direction="receive",module="pub"}`:                             1,
		`rsync_last_session_duration_seconds{direction="receive",module="data",user="alice"}`: 10,
		`rsync_last_session_listed_bytes{direction="receive",module="data",user="alice"}`:     5000,
		`rsync_messages_total{kind="transfer"}`:                                               4,
		`rsyncd_exporter_received_total{input="file"}`:                                        21,
		`rsyncd_exporter_received_total{input="udp"}`:                                         17,
		`rsyncd_exporter_ignored_total{input="udp"}`:                                          1,
		`rsyncd_exporter_discarded_total{input="udp",reason="empty"}`:                         1,
		`rsync_sessions_total{host="vm",outcome="rejected"}`:                                  1,
	}
	for name, n := range want {
		if got, there := series[name]; got != n {
			t.Errorf("%s = %v (there: %v), want %v", name, got, there, n)
		}
	}
	text := string(expose(t, p.Snapshot(), expfmt.NewFormat(expfmt.TypeTextPlain)))
	for _, line := range []string{
		`rsync_session_duration_seconds_bucket{direction="receive",host="",module="data",le="1"} 0`,
		`rsync_session_duration_seconds_bucket{direction="receive",host="",module="data",le="10"} 1`,
		`rsync_session_duration_seconds_sum{direction="send",host="",module="data"} 2`,
	} {
		if !strings.Contains(text, line+"\n") {
			t.Errorf("the scrape has no %s", line)
		}
	}

	// The sessions that ran go on, under the modules and users that were known.
	udp := &receiver.Source{Input: "udp", Name: "udp", Dialect: syslog.Auto{}}
	log := &receiver.Source{Input: "file", Name: "file log", Scope: st.Followed.Files[0].Scope, Dialect: syslog.Lines{}}
	p.Deliver(udp, slabOf("<30>Nov 29 02:00:20 vm rsyncd[506]: sent 1000 bytes  received 1 bytes  total size 12"))
	p.Deliver(log, slabOf("2026/11/29 02:00:30 [103] sent 5 bytes  received 2000 bytes  total size 77"))
	p.EndAll(1 << 40)
	series = gathered(t, p)
	for name, n := range map[string]float64{
		`rsync_exchanged_bytes_total{direction="send",host="vm",module="data"}`:        1001 + 111 + 22,
		`rsync_exchanged_bytes_total{direction="receive",module="pub"}`:                2005,
		`rsync_last_session_listed_bytes{direction="receive",module="pub",user="bob"}`: 77,
		`rsync_sessions_active{direction="receive",module="pub"}`:                      0,
		`rsync_connections_total{}`:                                                    3,
	} {
		if got := series[name]; got != n {
			t.Errorf("later: %s = %v, want %v", name, got, n)
		}
	}
}

// testdata/before-catalogue.state is what the version before the follower's catalogue saved of format1.state.
func TestTheFilesOfTheVersionBeforeAreKnown(t *testing.T) {
	payload, err := os.ReadFile("testdata/before-catalogue.state")
	if err != nil {
		t.Fatal(err)
	}
	st, err := pipeline.Decode(payload)
	if err != nil {
		t.Fatal(err)
	}
	checkCatalogue1(t, &st.Followed)
	c := st.Followed.Upgraded()
	if len(c.Targets) != 1 || c.Targets[0].Path != c.Paths[0] || c.Targets[0].Rotations != 1 || c.Targets[0].Base != "rsyncd.log" {
		t.Errorf("targets %+v", c.Targets)
	}
	var read []int64
	for _, f := range c.Known {
		if f.Target != c.Paths[0] {
			t.Errorf("of no target: %+v", f)
		}
		if f.Verdict == follow.Reading && f.Place == c.Paths[0] {
			read = append(read, f.Pos.Offset)
		}
	}
	if !slices.Equal(read, []int64{1321, 374}) {
		t.Errorf("read to %d", read)
	}
}

// checkCatalogue1 compares what the state of the version before says of the log: it and the rotated one are read to
// their ends, 1321 and 374 bytes, and both may still grow.
func checkCatalogue1(t *testing.T, c *follow.Catalogue) {
	t.Helper()
	if len(c.Files) != 1 || len(c.Paths) != 1 || c.Paths[0] != "/tmp/ck/fix/log/rsyncd.log" {
		t.Fatalf("followed: %+v", c)
	}
	f := &c.Files[0]
	if f.Path != c.Paths[0] || f.Scope != receiver.StdinScope+1 || f.FileRecord.Rotations != 1 || f.FileRecord.Followed != 2 ||
		len(f.FileRecord.Positions) != 2 || c.NextScope != f.Scope+1 {
		t.Fatalf("the file is %+v", f)
	}
	for i, want := range []struct {
		offset       int64
		anchor, head string
	}{
		{1321, "mitted (see previous errors)", "2026/11/29 01:00:00 [10] rsyncd version"},
		{374, "[192.0.2.10] pub (bob) b 50\n", "2026/11/29 02:00:00 [103] connect from"},
	} {
		p := &f.FileRecord.Positions[i]
		if p.Offset != want.offset || p.ID.Inode == 0 || !bytes.HasPrefix(p.Head[:], []byte(want.head)) || i == 1 && !bytes.HasSuffix(p.Anchor[:], []byte(want.anchor)) {
			t.Errorf("position %d: %+v", i, p)
		}
	}
	if f.FileRecord.Beside.Base != "rsyncd.log" || f.FileRecord.Place != f.Path {
		t.Errorf("beside %+v, place %q", f.FileRecord.Beside, f.FileRecord.Place)
	}
}

// Whatever format 1 keeps of followed files is read: positions that were cut and replaced, orphans, and sums of patterns.
func TestTheFollowedFilesOfFormat1AreReadInFull(t *testing.T) {
	var old struct {
		Format   int
		Followed struct {
			Paths     []string
			Scanned   int64
			NextScope uint32
			Files     []pipeline.File1
			Orphans   []pipeline.Position1
			Sums      []struct {
				Pattern           string
				Rotations, Errors uint64
				Gaps              []pipeline.Gap1
			}
		}
	}
	next := uint64(0)
	fill(reflect.ValueOf(&old).Elem(), &next)
	old.Format = 1
	gaps := []pipeline.Gap1{{"unread", 7}, {"of another version", 8}, {"truncated", 9}}
	for i := range old.Followed.Files {
		old.Followed.Files[i].Gaps, old.Followed.Sums[i].Gaps = gaps, gaps
	}
	var payload bytes.Buffer
	if err := gob.NewEncoder(&payload).Encode(&old); err != nil {
		t.Fatal(err)
	}
	st, err := pipeline.Decode(payload.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	sameByName(t, "Followed", reflect.ValueOf(old.Followed), reflect.ValueOf(st.Followed))
	for i := range st.Followed.Files {
		for _, g := range []any{st.Followed.Files[i].FileRecord.Gaps, st.Followed.Sums[i].Gaps} {
			if v := reflect.ValueOf(g); v.Index(int(follow.GapTruncated)).Uint() != 9 || v.Index(int(follow.GapUnread)).Uint() != 7 {
				t.Errorf("gaps %v", g)
			}
		}
	}
}

// What the state of the version before, in testdata, doesn't have: a container, an address, learned modules, talkers.
func TestTheOriginsOfFormat1AreReadInFull(t *testing.T) {
	var old struct {
		Format   int
		Saved    int64
		Books    struct{ Hosts []metrics.HostRecord }
		Sessions struct{ Origins []pipeline.Origin1 }
	}
	old.Format, old.Saved = 1, 77
	old.Books.Hosts = []metrics.HostRecord{{Host: "h", Modules: []metrics.ModuleRecord{
		{Flows: []metrics.FlowRecord{{Users: []metrics.UserRecord{{User: "u"}}}}},
	}}}
	old.Sessions.Origins = make([]pipeline.Origin1, 1)
	o := &old.Sessions.Origins[0]
	next := uint64(0)
	fill(reflect.ValueOf(o).Elem(), &next)
	o.Addr = "192.0.2.7"
	o.Talkers[0].Bits = []uint64{1, 2, 3, 4, 5, 6, 7, 8, 11, 12, 13, 14, 15, 16, 17, 18}
	var payload bytes.Buffer
	if err := gob.NewEncoder(&payload).Encode(&old); err != nil {
		t.Fatal(err)
	}
	st, err := pipeline.Decode(payload.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	h := &st.Books.Hosts[0]
	if m := &h.Modules[0]; h.Heard != 77 || m.Heard != 77 || m.Flows[0].Users[0].Heard != 77 {
		t.Errorf("heard of a host: %+v; want when it was saved", h)
	}
	is := st.Sessions.Origins[0]
	want := rsynclog.OriginRecord{
		Scope: o.Scope, Addr: netip.MustParseAddr(o.Addr), Raw: o.Host, Container: o.Container, Arrived: o.Arrived,
		Forgotten: o.Forgotten, NoName: o.NoName, Serves: true, Names: true, Noted: true, Modules: map[string]rsynclog.Taught{},
	}
	want.Life.Number, want.Life.Era, want.Life.Top, want.Life.Floor = o.Life, o.Era, o.Top, o.Floor
	want.Life.Connects, want.Life.Laps = o.Connects, o.Laps
	want.Clock.Offset, want.Clock.SteadyArrived, want.Clock.SteadyStamp = o.Offset, o.SteadyArrived, o.SteadyStamp
	want.Clock.Latest, want.Clock.QuietFrom, want.Clock.Behind = o.Latest, o.QuietFrom, true
	for _, m := range o.Taught {
		want.Modules[m.Name] = rsynclog.Taught{Label: m.Name, Heard: m.Heard}
	}
	if !reflect.DeepEqual(is, want) {
		t.Errorf("got  %+v\nwant %+v", is, want)
	}
	talks := st.Sessions.Talkers[0]
	if len(st.Sessions.Talkers) != 3 || talks.First != o.Talkers[0].First || talks.Week != o.Talkers[0].Week ||
		talks.Bits != [8]uint64{1, 2, 3, 4, 5, 6, 7, 8} || talks.Past != [8]uint64{11, 12, 13, 14, 15, 16, 17, 18} {
		t.Errorf("talkers: %+v", talks)
	}
}

// sameByName compares all but gaps with the fields of the same names.
func sameByName(t *testing.T, at string, old, is reflect.Value) {
	t.Helper()
	switch {
	case old.Kind() == reflect.Struct && is.Kind() == reflect.Struct:
		for i := range old.NumField() {
			name := old.Type().Field(i).Name
			f := is.FieldByName(name)
			if inner := is.FieldByName("FileRecord"); !f.IsValid() && inner.IsValid() {
				f = inner.FieldByName(name)
			}
			if !f.IsValid() {
				t.Errorf("%s.%s is read into nothing", at, name)
			} else if name != "Gaps" {
				sameByName(t, at+"."+name, old.Field(i), f)
			}
		}
	case old.Kind() == reflect.Slice && old.Len() <= is.Len():
		for i := range old.Len() {
			sameByName(t, at, old.Index(i), is.Index(i))
		}
	case !old.CanConvert(is.Type()) || !old.Convert(is.Type()).Equal(is):
		t.Errorf("%s is %v, was %v", at, is, old)
	}
}
