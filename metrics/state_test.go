package metrics

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"rsyncd_exporter/rsynclog"
)

// restart replaces the store by one that is restored from it, after spoil has changed its State, with another configuration.
func (b *books) restart(c Config, spoil func(*State)) error {
	b.t.Helper()
	st := b.store.Snapshot(b.sessions, 0).State()
	if spoil != nil {
		spoil(&st)
	}
	if c.MaxSeries == 0 {
		c.MaxSeries = 10000
	}
	if c.Reasons == nil {
		c.Reasons = []string{"kept", "empty"}
	}
	c.Start = time.Unix(5000, 0)
	s, err := Restore(c, &st)
	if err != nil {
		return err
	}
	sessions := b.sessions.State(0, nil)
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
	b := newBooks(t, Config{Modules: []string{"data"}})
	b.store.Local()
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
	if err := b.restart(Config{Modules: []string{"data"}}, nil); err != nil {
		t.Fatal(err)
	}
	b.store.Local()
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
	if err := b.restart(Config{Modules: []string{"new"}}, nil); err != nil {
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

// reorder turns a list of names around, and with it every slice of counts that goes by it.
func reorder(names []string, counts ...[]uint64) []string {
	names = slices.Clone(names)
	slices.Reverse(names)
	for _, c := range counts {
		slices.Reverse(c)
	}
	return names
}

// A version that numbers everything the other way around, and has a reason for discarding at another place, reads what was meant.
func TestCountsAreReadByTheirNames(t *testing.T) {
	b := busyBooks(t)
	before := rsyncLines(b.scrape())
	err := b.restart(Config{Modules: []string{"data"}, Reasons: []string{"kept", "a new one", "empty"}}, func(st *State) {
		n := &st.Names
		n.Overflow = reorder(n.Overflow, st.Overflow)
		var messages, rejected, ops, outcomes [][]uint64
		last := uint8(len(n.Directions) - 1)
		for h := range st.Hosts {
			messages = append(messages, st.Hosts[h].Messages)
			for m := range st.Hosts[h].Modules {
				m := &st.Hosts[h].Modules[m]
				rejected, ops = append(rejected, m.Rejected), append(ops, m.Files, m.FileBytes, m.WireBytes)
				for f := range m.Flows {
					m.Flows[f].Direction = last - m.Flows[f].Direction
					outcomes = append(outcomes, m.Flows[f].Outcomes)
				}
			}
		}
		n.Messages, n.Reasons, n.Ops = reorder(n.Messages, messages...), reorder(n.Reasons, rejected...), reorder(n.Ops, ops...)
		n.Outcomes, n.Directions = reorder(n.Outcomes, outcomes...), reorder(n.Directions)
	})
	if err != nil {
		t.Fatal(err)
	}
	if after := rsyncLines(b.scrape()); after != before {
		t.Errorf("got\n%s\nwant\n%s", after, before)
	}
	if got := b.store.Input("udp").Discarded; !slices.Equal(got, []uint64{0, 0, 3}) {
		t.Errorf("discarded %v, want 3 as empty", got)
	}
}

// rsyncLines returns the samples that aren't about the exporter itself.
func rsyncLines(scrape string) string {
	return strings.Join(slices.DeleteFunc(strings.Split(scrape, "\n"), func(l string) bool { return strings.HasPrefix(l, "rsyncd_exporter_") }), "\n")
}

// A state of a version that knew no unknown operation has all its files.
func TestAStateWithoutUnknownOperations(t *testing.T) {
	b := busyBooks(t)
	before := rsyncLines(b.scrape())
	if err := b.restart(Config{Modules: []string{"data"}}, func(st *State) {
		last := len(st.Names.Ops) - 1
		if st.Names.Ops[last] != "unknown" {
			t.Fatalf("operations %q", st.Names.Ops)
		}
		st.Names.Ops = st.Names.Ops[:last]
		for h := range st.Hosts {
			for m := range st.Hosts[h].Modules {
				m := &st.Hosts[h].Modules[m]
				m.Files, m.FileBytes, m.WireBytes = m.Files[:last], m.FileBytes[:last], m.WireBytes[:last]
			}
		}
	}); err != nil {
		t.Fatal(err)
	}
	if after := rsyncLines(b.scrape()); after != before {
		t.Errorf("got\n%s\nwant\n%s", after, before)
	}
}

// A kind of message that this version doesn't have is counted as _other, so that messages still come to what was received.
func TestAKindThatIsNoMore(t *testing.T) {
	b := busyBooks(t)
	var n uint64
	err := b.restart(Config{}, func(st *State) {
		for i, name := range st.Names.Messages {
			if name == "connect" {
				st.Names.Messages[i] = "what is no more"
				for _, h := range st.Hosts {
					n += h.Messages[i]
				}
			}
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	if got := b.store.hosts["vm"].messages; n != 2 || got[otherKind] != n || got[rsynclog.Connect] != 0 {
		t.Errorf("%d connects are %d others and %d connects; want 2, 2, 0", n, got[otherKind], got[rsynclog.Connect])
	}
}

// What can't be is refused, as are counts under names that are no more.
func TestImpossibleBooks(t *testing.T) {
	vm := func(st *State) *HostState {
		return &st.Hosts[slices.IndexFunc(st.Hosts, func(h HostState) bool { return h.Host == "vm" })]
	}
	data := func(st *State) *ModuleState {
		h := vm(st)
		return &h.Modules[slices.IndexFunc(h.Modules, func(m ModuleState) bool { return m.Module == "data" })]
	}
	send := func(st *State) *FlowState {
		m := data(st)
		return &m.Flows[slices.IndexFunc(m.Flows, func(f FlowState) bool { return f.Duration.Count > 0 })]
	}
	for name, spoil := range map[string]func(*State){
		"a negative weight":            func(st *State) { st.Series = -1 },
		"other buckets":                func(st *State) { st.Names.Bounds = []float64{1} },
		"another schema":               func(st *State) { st.Names.NativeSchema++ },
		"an input twice":               func(st *State) { st.Inputs = append(st.Inputs, st.Inputs[0]) },
		"a reason that is no more":     func(st *State) { st.Names.Discards = []string{"kept", "what is no more"} },
		"a reason without a name":      func(st *State) { st.Names.Discards = nil },
		"a host twice":                 func(st *State) { st.Hosts = append(st.Hosts, *vm(st)) },
		"a host that is no label":      func(st *State) { vm(st).Host = "\xff" },
		"a version that is no label":   func(st *State) { vm(st).Version = "\xff" },
		"no module without a name":     func(st *State) { vm(st).Modules = nil },
		"a module twice":               func(st *State) { vm(st).Modules = append(vm(st).Modules, *data(st)) },
		"a module that is no label":    func(st *State) { data(st).Module = "\xff" },
		"a code that doesn't exist":    func(st *State) { data(st).Exits = []NumberState{{99, 1}} },
		"a code twice":                 func(st *State) { data(st).Exits = []NumberState{{23, 1}, {23, 1}} },
		"an errno that doesn't exist":  func(st *State) { data(st).FileErrors = []NumberState{{999, 1}} },
		"a direction twice":            func(st *State) { data(st).Flows = append(data(st).Flows, data(st).Flows[0]) },
		"an unknown direction":         func(st *State) { send(st).Direction = 9 },
		"an outcome that is no more":   func(st *State) { st.Names.Outcomes = slices.Repeat([]string{"what is no more"}, 6) },
		"more in buckets than counted": func(st *State) { send(st).Duration.Count-- },
		"fewer in native buckets":      func(st *State) { send(st).Duration.Count++ },
		"a missing bucket":             func(st *State) { send(st).Duration.Buckets = []uint64{0} },
		"a sum that is no number":      func(st *State) { send(st).Duration.Sum = math.NaN() },
		"a negative sum":               func(st *State) { send(st).Duration.Sum = -1 },
		"a bucket out of range":        func(st *State) { send(st).Duration.Native[0].Index = math.MaxInt },
		"a user twice":                 func(st *State) { send(st).Users = append(send(st).Users, send(st).Users[0]) },
		"a count that can't be":        func(st *State) { vm(st).Connections = math.MaxUint64 },
		"messages that can't be":       func(st *State) { vm(st).Messages[0] = maxCount + 1 },
		"errors that can't be":         func(st *State) { data(st).Exits = []NumberState{{23, 1 << 63}} },
		"sessions that can't be":       func(st *State) { send(st).Outcomes[0] = maxCount + 1 },
		"durations that can't be":      func(st *State) { send(st).Duration.Sum = math.MaxFloat64 },
		"an input's count":             func(st *State) { st.Inputs[0].Received = math.MaxUint64 },
		"an input before the epoch":    func(st *State) { st.Inputs[0].LastMessage = -1 },
		"made after all times":         func(st *State) { st.Start = math.MaxInt64 },
		"a success before the epoch":   func(st *State) { send(st).Users[0].LastSuccess = -1 },
		"an attempt after all times":   func(st *State) { send(st).Users[0].LastAttempt = 1 << 62 },
		"a negative duration":          func(st *State) { send(st).Users[0].LastDuration = -2 },
		"a negative size":              func(st *State) { send(st).Users[0].LastListed = -2 },
		"a label that is too long":     func(st *State) { send(st).Users[0].User = strings.Repeat("x", maxLabel+1) },
		"a user that is no label":      func(st *State) { send(st).Users[0].User = "\xff" },
	} {
		b := busyBooks(t)
		before := b.store
		if err := b.restart(Config{}, spoil); err == nil || b.store != before {
			t.Errorf("%s: restored, %v", name, err)
		}
	}
}
