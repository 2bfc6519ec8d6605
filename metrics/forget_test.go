package metrics_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"rsyncd_exporter/metrics"
	"rsyncd_exporter/rsynclog"
)

const day = 24 * 3600 // seconds

// connect is one message of a host, at a second.
func (b *books) connect(host string, pid int32, second int64) {
	b.event(host, pid, second, rsynclog.Event{Kind: rsynclog.Connect, Addr: []byte("192.0.2.1")})
}

// connections returns what rsync_connections_total has for a host; false if it has nothing.
func (b *books) connections(host string) (n float64, there bool) {
	b.t.Helper()
	for _, m := range family(b.t, b.registry(), "rsync_connections_total").GetMetric() {
		if m.GetLabel()[0].GetValue() == host {
			return m.GetCounter().GetValue(), true
		}
	}
	return 0, false
}

func (b *books) wantConnections(when, host string, want float64) {
	b.t.Helper()
	if n, there := b.connections(host); n != want || there != (want > 0) {
		b.t.Errorf("%s: %v connections of %s (there: %v), want %v", when, n, host, there, want)
	}
}

// checkMessages asserts that each message is under its host, or retired.
func (b *books) checkMessages(when string, want float64) {
	b.t.Helper()
	r := b.registry()
	if got := sum(b.t, r, "rsync_messages_total", "", "") + sum(b.t, r, "rsyncd_exporter_retired_messages_total", "", ""); got != want {
		b.t.Errorf("%s: %v messages served and retired, want %v", when, got, want)
	}
}

// 450 datagrams with invented hosts take all the room that there is. A host of HOSTS has room at once. Another one is
// counted as _other, and under its own name when the first of the invented have been silent for a day: by hand, from
// 2000 s on they are old enough at 88400 s, and at the next whole minute, 88440 s, it is noticed.
func TestInventedHostsMakeRoomAfterADay(t *testing.T) {
	b := newBooks(t, metrics.Config{MaxSeries: 1000, Hosts: []string{"known"}})
	for i := range 450 {
		b.connect(fmt.Sprint("invented", i), 7, 2000)
	}
	b.connect("known", 7, 2001)
	b.connect("real", 7, 2001)
	b.wantConnections("at once", "known", 1)
	b.wantConnections("at once", "real", 0)
	b.connect("real", 8, 88439)
	b.wantConnections("a minute early", "real", 0)
	b.connect("real", 9, 88440)
	b.wantConnections("after a day", "real", 1)
	b.checkMessages("after a day", 454)
	r := b.registry()
	if got := sum(t, r, "rsyncd_exporter_retired_messages_total", "", ""); got != 1 {
		t.Errorf("%v messages retired, want that of one invented host", got)
	}
	if got := sum(t, r, "rsync_connections_total", "host", "known"); got != 1 {
		t.Errorf("%v connections of the host that is configured, want 1: it never goes", got)
	}
}

// A host that comes back begins at 0, with a new created timestamp. Its origin remembers where it was counted.
func TestAHostThatComesBackBeginsAnew(t *testing.T) {
	b := newBooks(t, metrics.Config{MaxSeries: 2 * metrics.HostSeries}) // room for one, with its kinds of messages
	b.connect("a", 1, 2000)
	b.connect("a", 2, 2000)
	b.connect("b", 1, 2000+2*day)
	b.wantConnections("b came", "a", 0)
	b.wantConnections("b came", "b", 1)
	b.connect("a", 3, 2000+4*day)
	b.wantConnections("a is back", "a", 1)
	b.wantConnections("a is back", "b", 0)
	b.checkMessages("a is back", 4)
	for _, m := range family(t, b.registry(), "rsync_connections_total").GetMetric() {
		if got := m.GetCounter().GetCreatedTimestamp().AsTime().Unix(); m.GetLabel()[0].GetValue() == "a" && got != 2000+4*day {
			t.Errorf("created %d, want %d, when it came back", got, 2000+4*day)
		}
	}
}

// The host that speaks stays, whenever it came; the local host and those of the settings do, whenever they speak.
func TestTheOneSilentLongestGoes(t *testing.T) {
	b := newBooks(t, metrics.Config{MaxSeries: 3*metrics.HostSeries + 5, Hosts: []string{"known"}})
	b.connect("", 1, 2000)
	b.connect("old", 1, 2000)
	b.connect("young", 1, 3000)
	b.connect("silent", 1, 2500)
	b.connect("old", 2, 4000)
	b.connect("new", 1, 4000+day+60)
	for host, want := range map[string]float64{"": 1, "old": 2, "young": 1, "silent": 0, "new": 1} {
		b.wantConnections("new came", host, want)
	}
	if _, there := b.connections("known"); !there {
		t.Error("the configured host has gone")
	}
}

// A host whose sessions were let in stays as long as invented ones can go, though it has been silent for longer.
func TestHostsWithoutModulesGoFirst(t *testing.T) {
	b := newBooks(t, metrics.Config{MaxSeries: 800})
	b.pull("weekly", "data", 1, 2000, 100, 5)
	for i := range 100 {
		b.connect(fmt.Sprint("invented", i), 1, 3000)
	}
	for i := range 10 {
		b.connect(fmt.Sprint("later", i), 1, 3000+2*day+int64(i))
	}
	b.wantConnections("after a flood", "weekly", 1)
	b.wantConnections("after a flood", "later9", 1)
}

// start begins a session that is let through.
func (b *books) start(host, module, user string, pid int32, second int64) {
	addr, name := []byte("192.0.2.1"), []byte(module)
	b.event(host, pid, second, rsynclog.Event{Kind: rsynclog.Connect, Addr: addr})
	b.event(host, pid, second, rsynclog.Event{Kind: rsynclog.Allowed, Module: name, Addr: addr})
	b.event(host, pid, second, rsynclog.Event{Kind: rsynclog.Start, Direction: rsynclog.Receive, Request: name, User: []byte(user), Addr: addr})
}

// executions returns what rsync_executions_total has for a module over all hosts, and whether it is there.
func (b *books) executions(module string) (n float64, there bool) {
	for _, m := range family(b.t, b.registry(), "rsync_executions_total").GetMetric() {
		for _, l := range m.GetLabel() {
			if l.GetName() == "module" && l.GetValue() == module {
				n += m.GetCounter().GetValue()
				there = true
			}
		}
	}
	return n, there
}

// Of the modules the one that has been silent longest makes room, but none of the settings', and none in which a
// session runs. That one is noticed when the gauges of running sessions are made, at the latest a day before.
func TestModulesMakeRoom(t *testing.T) {
	const most = metrics.HostSeries + 10 + 4*(metrics.ModuleSeries+metrics.DirectedSeries+metrics.UserSeries) + metrics.UndirectedSeries + metrics.DirectedSeries
	b := newBooks(t, metrics.Config{MaxSeries: most, Modules: []string{"settings"}})
	b.start("vm", "runs", "", 1, 2000)
	b.pull("vm", "settings", 2, 2000, 100, 5)
	b.pull("vm", "silent", 3, 2000, 100, 5)
	b.pull("vm", "speaks", 4, 2000, 100, 5)
	b.event("vm", 1, 2000+day/2, rsynclog.Event{Kind: rsynclog.FileList})
	b.pull("vm", "speaks", 5, 2000+day, 100, 5)
	b.store.Snapshot(b.sessions, 0)
	b.pull("vm", "new", 6, 2000+day+120, 100, 5)
	for module, want := range map[string]float64{"runs": 1, "settings": 1, "silent": -1, "speaks": 2, "new": 1} {
		if n, there := b.executions(module); there != (want >= 0) || there && n != want {
			t.Errorf("module %s: %v executions (there: %v), want %v", module, n, there, want)
		}
	}
	b.checkBound(metrics.Config{MaxSeries: most, Modules: []string{"settings"}}, "at the end")
}

// A session that runs on while its module is let go is counted in a new one: what came before has left, what comes is
// there.
func TestASessionWhoseModuleHasGone(t *testing.T) {
	const most = metrics.HostSeries + 10 + metrics.ModuleSeries + metrics.DirectedSeries + metrics.UserSeries
	b := newBooks(t, metrics.Config{MaxSeries: most})
	b.start("vm", "data", "", 1, 2000)
	moved := rsynclog.Event{Kind: rsynclog.Transfer, Op: rsynclog.OpRecv, Length: 5, Repeat: 1}
	b.event("vm", 1, 2000, moved)
	b.event("vm", 1, 2000+day/2, rsynclog.Event{Kind: rsynclog.FileList})
	b.start("vm", "new", "", 2, 2000+day+120) // takes the room of data, in which nothing was counted for a day
	if n, there := b.executions("new"); n != 1 || !there {
		t.Fatalf("%v executions of the new module, want 1", n)
	}
	// Its gauge has no place of its own, and doesn't take any.
	if got := b.activeIn(rsynclog.Other); got != 1 || b.activeIn("new") != 1 {
		t.Errorf("%v sessions active under _other and %v in the new module, want 1 and 1", got, b.activeIn("new"))
	}
	b.event("vm", 1, 2000+day+120, moved) // for which there is no room now
	r := b.registry()
	if got := sum(t, r, "rsync_file_bytes_total", "", ""); got != 5 {
		t.Errorf("%v bytes of files, want the 5 since the module has gone", got)
	}
	if got := sum(t, r, "rsync_file_bytes_total", "module", rsynclog.Other); got != 5 {
		t.Errorf("%v bytes of files under _other, want 5", got)
	}
}

// Users make room for users, so that a new one's freshness is not lost among others'.
func TestUsersMakeRoom(t *testing.T) {
	const most = 10 + metrics.HostSeries + metrics.ModuleSeries + metrics.DirectedSeries + 2*metrics.UserSeries
	b := newBooks(t, metrics.Config{MaxSeries: most})
	push := func(user string, pid int32, second int64) {
		b.start("vm", "data", user, pid, second)
		b.event("vm", pid, second+30, rsynclog.Event{Kind: rsynclog.Summary, Sent: 1, Received: 2, Total: 3})
		end := (second + 30) * int64(time.Second)
		b.tick(end)
	}
	for i := range int32(60) { // whatever is left is taken by users
		push(fmt.Sprint("old", i), 1+i, 2000)
	}
	push("old0", 100, 2000+day/2)
	push("alice", 101, 2000+day+200)
	users := b.users()
	if !users["old0"] || !users["alice"] || users["old1"] || !users[rsynclog.Other] {
		t.Errorf("users %v; want old0, which was heard half a day ago, alice, and _other for the first day's rest, but not old1", users)
	}
}

// A flood of invented names doesn't look at all hosts for each: what was found, or not found, is remembered. So a
// host that becomes old enough behind the Store's back isn't noticed before its time.
func TestLookingForRoomIsAmortised(t *testing.T) {
	b := newBooks(t, metrics.Config{MaxSeries: 400})
	for i := range 20 {
		b.connect(fmt.Sprint("first", i), 1, 2000)
	}
	b.store.Silence("first0", 2*day*time.Second)
	for i := range 1000 {
		b.connect(fmt.Sprint("flood", i), 1, 2000+int64(i))
	}
	if b.store.Retired() != 0 {
		t.Error("a host was looked at again for a flood of names")
	}
	b.connect("late", 1, 2000+day+60)
	if got := b.store.BareVictims(); got == 0 || b.store.Retired() != 1 {
		t.Errorf("%d more hosts found that can go, %d messages retired; want some and 1", got, b.store.Retired())
	}
}

// A clock that was ahead by a year, and is right again, doesn't keep room from being made for a year.
func TestRoomIsMadeAfterAClockThatWasAhead(t *testing.T) {
	const year = 365 * day
	b := newBooks(t, metrics.Config{MaxSeries: 400})
	for i := range 20 {
		b.connect(fmt.Sprint("then", i), 1, year)
	}
	b.connect("now", 1, 2000) // all others are taken for heard now
	b.connect("now", 2, 2000+day+120)
	b.wantConnections("a day later", "now", 1)
}

// What was heard when, and what has gone, survives a restart.
func TestForgettingAfterARestart(t *testing.T) {
	c := metrics.Config{MaxSeries: 400}
	b := newBooks(t, c)
	for i := range 20 {
		b.connect(fmt.Sprint("h", i), 1, 2000+int64(i))
	}
	b.connect("first", 1, 2000+day+60) // h0's room
	b.connect("h2", 2, 2000+day+60)
	if err := b.restart(c, nil); err != nil { // at 5000 s, by the clock; only what is noted counts
		t.Fatal(err)
	}
	if b.store.Retired() != 1 {
		t.Errorf("%d messages retired after the restart, want 1", b.store.Retired())
	}
	b.connect("second", 1, 5000+day-60) // within a day of the restart
	if _, there := b.connections("h1"); there {
		t.Error("h1, silent for a day, is still there")
	}
	if _, there := b.connections("h2"); !there {
		t.Error("h2, which spoke lately, has gone")
	}
	if got := b.scrape(); !strings.Contains(got, `value:"second"`) {
		t.Error("the new host is not there")
	}
}

// activeIn returns how many sessions are active in a module.
func (b *books) activeIn(module string) (n float64) {
	for _, m := range family(b.t, b.registry(), "rsync_sessions_active").GetMetric() {
		for _, l := range m.GetLabel() {
			if l.GetName() == "module" && l.GetValue() == module {
				n += m.GetGauge().GetValue()
			}
		}
	}
	return n
}

// A module doesn't make room for its own second direction, whose sessions are counted under _other instead.
func TestAModuleDoesNotMakeRoomForItself(t *testing.T) {
	const most = 10 + metrics.HostSeries + metrics.ModuleSeries + metrics.DirectedSeries + metrics.UserSeries
	b := newBooks(t, metrics.Config{MaxSeries: most})
	b.pull("vm", "data", 1, 2000, 100, 5)
	b.start("vm", "data", "", 2, 2000+2*day)
	if n, there := b.executions("data"); n != 1 || !there {
		t.Errorf("%v executions of the module (there: %v), want its 1", n, there)
	}
	if n, _ := b.executions(rsynclog.Other); n != 1 {
		t.Errorf("%v executions under _other, want 1", n)
	}
}

// A silent host whose last module makes room goes along.
func TestASilentHostGoesWithItsLastModule(t *testing.T) {
	const most = 20 + 2*metrics.HostSeries + metrics.ModuleSeries + metrics.DirectedSeries + metrics.UserSeries
	b := newBooks(t, metrics.Config{MaxSeries: most})
	b.pull("gone", "data", 1, 2000, 100, 5)
	b.connect("vm", 1, 2000)
	b.start("vm", "new", "", 2, 2000+2*day)
	b.wantConnections("a module came", "gone", 0)
	b.wantConnections("a module came", "vm", 2)
	if n, _ := b.executions("new"); n != 1 {
		t.Errorf("%v executions of the new module, want 1", n)
	}
	b.checkMessages("a module came", 8) // four of the pull, one connect, three of the start
}

// A user whose session runs stays, though none of his has ended for long.
func TestAUserWithARunningSessionStays(t *testing.T) {
	const most = 10 + metrics.HostSeries + metrics.ModuleSeries + metrics.DirectedSeries + 40
	b := newBooks(t, metrics.Config{MaxSeries: most})
	b.connect("vm", 1, 2000)
	for i := range 60 {
		b.endOf("data", fmt.Sprint("u", i), 2000)
	}
	b.start("vm", "data", "u0", 100, 2000)
	b.event("vm", 100, 2000+day/2, rsynclog.Event{Kind: rsynclog.FileList})
	b.store.Snapshot(b.sessions, 0)
	for i := range 5 {
		b.endOf("data", fmt.Sprint("new", i), 2000+day+120)
	}
	users := b.users()
	if !users["u0"] || !users["new4"] || users["u1"] {
		t.Errorf("u0, whose session runs: %v; new4: %v; u1, who was silent: %v", users["u0"], users["new4"], users["u1"])
	}
}

// users returns the users whose sessions have ended.
func (b *books) users() map[string]bool {
	b.t.Helper()
	users := map[string]bool{}
	for _, m := range family(b.t, b.registry(), "rsync_last_attempt_timestamp_seconds").GetMetric() {
		for _, l := range m.GetLabel() {
			if l.GetName() == "user" {
				users[l.GetValue()] = true
			}
		}
	}
	return users
}

// endOf ends a push of a user on the host vm.
func (b *books) endOf(module, user string, second int64) {
	b.change("vm", module, user, rsynclog.Receive, second, rsynclog.Change{Kind: rsynclog.Ended}, rsynclog.OK)
}
