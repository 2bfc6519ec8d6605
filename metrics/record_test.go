package metrics_test

import (
	"bytes"
	"encoding/gob"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"rsyncd_exporter/metrics"
	"rsyncd_exporter/rsynclog"
)

// restart replaces the store by one that is restored from what is written of it, after spoil has changed that, with another configuration.
func (b *books) restart(c metrics.Config, spoil func(*metrics.Books)) error {
	b.t.Helper()
	var file bytes.Buffer
	if err := gob.NewEncoder(&file).Encode(&b.store.Snapshot(b.sessions, 0).Books); err != nil {
		b.t.Fatal(err)
	}
	var saved metrics.Books
	if err := gob.NewDecoder(&file).Decode(&saved); err != nil {
		b.t.Fatal(err)
	}
	if spoil != nil {
		spoil(&saved)
	}
	if c.MaxSeries == 0 {
		c.MaxSeries = 10000
	}
	if c.Reasons == nil {
		c.Reasons = []string{"kept", "empty"}
	}
	c.Start = time.Unix(5000, 0)
	s, err := metrics.Restore(c, &saved)
	if err != nil {
		return err
	}
	sessions := b.sessions.Record(0, nil)
	if b.sessions, err = rsynclog.RestoreSessions(rsynclog.DefaultLimits(), c.Modules, nil, &sessions, rsynclog.Restart{Now: 0, Replayed: func(uint32) bool { return false }}); err != nil {
		b.t.Fatal(err)
	}
	b.store = s
	return nil
}

// scrape returns every sample, and a line with the created timestamp of each counter and histogram.
func (b *books) scrape() string {
	b.t.Helper()
	families, err := b.registry().Gather()
	if err != nil {
		b.t.Fatal(err)
	}
	var out strings.Builder
	for _, f := range families {
		for _, m := range f.GetMetric() {
			fmt.Fprintln(&out, f.GetName(), m.String())
		}
	}
	return out.String()
}

func busyBooks(t *testing.T) *books {
	b := newBooks(t, metrics.Config{Modules: []string{"data"}})
	b.store.AddLocalHost()
	in := b.store.Input("udp")
	in.Received, in.Ignored, in.LastMessage, in.Discarded[1] = 9, 2, 1234567, 3
	b.pull("vm", "data", 7, 2000, 100, 5)
	b.pull("vm", "old", 8, 2100, 40, 2)
	b.event("vm", 9, 2200, rsynclog.Event{Kind: rsynclog.UnknownModule, Reason: rsynclog.ReasonUnknownModule})
	b.event("vm", 10, 2200, rsynclog.Event{Kind: rsynclog.FileError, Errno: 13})
	b.event("", 11, 2200, rsynclog.Event{Kind: rsynclog.ExitError, Code: 23})
	b.event("vm", 12, 2200, rsynclog.Event{Kind: rsynclog.DaemonStart, Version: []byte("3.5.0")})
	b.event("vm", 0, 2200, rsynclog.Event{Kind: rsynclog.Transfer, Op: rsynclog.OpDel, Length: 77, Wire: 5})
	return b
}

func TestRestoredBooksShowTheSame(t *testing.T) {
	b := busyBooks(t)
	want := b.scrape()
	if err := b.restart(metrics.Config{Modules: []string{"data"}}, nil); err != nil {
		t.Fatal(err)
	}
	b.store.AddLocalHost()
	b.store.Input("udp")
	got := b.scrape()
	// What sockets count is read from them, and begins again with the process: at 5000 s, no longer at 1000.
	lines := func(s string) []string {
		return slices.DeleteFunc(strings.Split(s, "\n"), func(l string) bool {
			return strings.Contains(l, "_socket_") || strings.Contains(l, "_refused_") || strings.Contains(l, "_receive_errors_")
		})
	}
	if g, w := lines(got), lines(want); !slices.Equal(g, w) {
		for i := range min(len(g), len(w)) {
			if g[i] != w[i] {
				t.Fatalf("got  %s\nwant %s", g[i], w[i])
			}
		}
		t.Fatalf("%d lines, want %d", len(g), len(w))
	}
	if !strings.Contains(got, "socket_drops_total") || !strings.Contains(got[strings.Index(got, "socket_drops_total"):], "seconds:5000") {
		t.Error("drops of this process' sockets aren't created with it")
	}
}

// By hand: data was counted until the restart, 100+5 bytes, and is no longer configured; new is, and begins at 0 at 5000 s on both hosts
// that had the configured modules. A kind of input that is new begins then, too.
func TestOtherModulesAfterARestart(t *testing.T) {
	b := busyBooks(t)
	if err := b.restart(metrics.Config{Modules: []string{"new"}}, nil); err != nil {
		t.Fatal(err)
	}
	b.store.Input("tcp").Received++
	b.want(`
# HELP rsync_exchanged_bytes_total Bytes sent and received.
# TYPE rsync_exchanged_bytes_total counter
rsync_exchanged_bytes_total{direction="receive",host="",module="data"} 0
rsync_exchanged_bytes_total{direction="receive",host="",module="new"} 0
rsync_exchanged_bytes_total{direction="receive",host="vm",module="data"} 0
rsync_exchanged_bytes_total{direction="receive",host="vm",module="new"} 0
rsync_exchanged_bytes_total{direction="send",host="",module="data"} 0
rsync_exchanged_bytes_total{direction="send",host="",module="new"} 0
rsync_exchanged_bytes_total{direction="send",host="vm",module="data"} 105
rsync_exchanged_bytes_total{direction="send",host="vm",module="new"} 0
rsync_exchanged_bytes_total{direction="send",host="vm",module="old"} 42
# HELP rsyncd_exporter_received_total Messages received: discarded, ignored and rsyncd's.
# TYPE rsyncd_exporter_received_total counter
rsyncd_exporter_received_total{input="tcp"} 1
rsyncd_exporter_received_total{input="udp"} 9
`, "rsync_exchanged_bytes_total", "rsyncd_exporter_received_total")
	for _, line := range strings.Split(b.scrape(), "\n") {
		isNew := strings.Contains(line, `value:"new"`) || strings.HasPrefix(line, "rsyncd_exporter_received_total") && strings.Contains(line, `value:"tcp"`)
		if isNew && strings.Contains(line, "created") && !strings.Contains(line, "seconds:5000") {
			t.Errorf("not created at the restart: %s", line)
		}
		if strings.Contains(line, `value:"data"`) && strings.Contains(line, "seconds:5000") {
			t.Errorf("created anew: %s", line)
		}
	}
}

// A version that has another reason for discarding before one of this version's reads what was meant.
func TestReasonsForDiscardingAreReadByTheirNames(t *testing.T) {
	b := busyBooks(t)
	if err := b.restart(metrics.Config{Reasons: []string{"kept", "a new one", "empty"}}, nil); err != nil {
		t.Fatal(err)
	}
	if got := b.store.Input("udp").Discarded; !slices.Equal(got, []uint64{0, 0, 3}) {
		t.Errorf("discarded %v, want 3 as empty", got)
	}
}

// Books whose buckets or reasons this version doesn't have are refused.
func TestBooksOfAnotherVersion(t *testing.T) {
	b := busyBooks(t)
	for name, spoil := range map[string]func(*metrics.Books){
		"other buckets":            func(b *metrics.Books) { b.Buckets[0]++ },
		"a reason that is no more": func(b *metrics.Books) { b.Reasons = []string{"kept", "what is no more"} },
	} {
		before := b.store
		if err := b.restart(metrics.Config{}, spoil); err == nil || b.store != before {
			t.Errorf("%s: restored, %v", name, err)
		}
	}
}

// A flow is saved under the number of its direction.
func TestDirectionsKeepTheirNumbers(t *testing.T) {
	for i, want := range []string{"", "send", "receive"} {
		if got := rsynclog.Direction(i).String(); got != want {
			t.Errorf("direction %d is %q, want %q", i, got, want)
		}
	}
}
