package status_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"rsyncd_exporter/backups"
	"rsyncd_exporter/clients"
	"rsyncd_exporter/metrics"
	"rsyncd_exporter/pipeline"
	"rsyncd_exporter/receiver"
	"rsyncd_exporter/receiver/syslog"
	"rsyncd_exporter/rsynclog"
	"rsyncd_exporter/status"
	"rsyncd_exporter/status/recent"
)

// A world is a pipeline that real lines are told to, and a server that shows it.
type world struct {
	t     testing.TB
	p     *pipeline.Pipeline
	src   *receiver.Source
	now   time.Time // from which what was logged some time ago is counted
	live  metrics.Live
	why   map[string]string
	wait  string
	looks int

	groups   clients.Groups
	expected []backups.Expectation
}

func newWorld(t testing.TB, modules ...string) *world {
	t.Helper()
	return newWorldWith(t, pipeline.Books{Recent: recent.NewBook()}, modules...)
}

func newWorldWith(t testing.TB, books pipeline.Books, modules ...string) *world {
	t.Helper()
	limits := rsynclog.DefaultLimits()
	limits.Settle = time.Nanosecond
	p, err := pipeline.New(pipeline.Config{
		LogFormat: rsynclog.DefaultLogFormat, Tags: []string{"rsyncd*"}, Modules: modules, MaxSeries: 1_000_000, Limits: limits,
		Books: func(*pipeline.Checkpoint) pipeline.Books { return books },
	})
	if err != nil {
		t.Fatal(err)
	}
	src := &receiver.Source{Input: "file", Name: "file", Scope: 2, Dialect: syslog.Lines{}}
	p.Input("file")
	return &world{t: t, p: p, src: src, now: time.Now()}
}

// log has a daemon write lines of a process, some time ago, into a file that is read now. What lies between two times
// ago doesn't depend on when this is called.
func (w *world) log(ago time.Duration, pid int, lines ...string) {
	slab := &receiver.Slab{Backlog: ago > 0}
	now := w.now
	if ago == 0 {
		now = time.Now()
	}
	for _, l := range lines {
		at := now.Add(-ago).Format("2006/01/02 15:04:05")
		slab.Messages = append(slab.Messages, fmt.Appendf(nil, "%s [%d] %s", at, pid, l))
	}
	w.p.Deliver(w.src, slab)
}

// caughtUp says that the file holds no more.
func (w *world) caughtUp() { w.p.Deliver(w.src, &receiver.Slab{}) }

// connect begins a session; way is on (a pull) or to (a push).
func (w *world) connect(ago time.Duration, pid int, name, addr, way, module, path, user string) {
	from := name + " (" + addr + ")"
	if user != "" {
		from = user + "@" + from
	}
	w.log(ago, pid, "connect from "+name+" ("+addr+")", "rsync allowed access on module "+module+" from "+name+" ("+addr+")",
		"rsync "+way+" "+path+" from "+from)
}

// moved has a session log a file; op is send, recv or del.
func (w *world) moved(ago time.Duration, pid int, op, name, addr, module, user, file string, length int) {
	w.log(ago, pid, fmt.Sprintf("%s %s [%s] %s (%s) %s %d", op, name, addr, module, user, file, length))
}

func (w *world) done(ago time.Duration, pid, sent, received, total int) {
	w.log(ago, pid, fmt.Sprintf("sent %d bytes  received %d bytes  total size %d", sent, received, total))
}

func (w *world) options() status.Options {
	return status.Options{
		Look: func() *status.Moment {
			w.looks++
			return &status.Moment{View: w.p.Look(), Live: w.live, Why: w.why, Waiting: w.wait}
		},
		Remedy: func(_, reason string) string { return "help against " + reason },
		Groups: w.groups, Expected: w.expected,
		Version: "1.2.3", Listens: []string{"udp 127.0.0.1:5514"},
	}
}

// serve shows the world as changed options say.
func (w *world) serve(change func(*status.Options)) *httptest.Server {
	w.t.Helper()
	o := w.options()
	if change != nil {
		change(&o)
	}
	mux := http.NewServeMux()
	status.Register(mux, o)
	mux.HandleFunc("/favicon.ico", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) })
	s := httptest.NewServer(mux)
	w.t.Cleanup(s.Close)
	return s
}

// pushed has a backup come, some time ago.
func (w *world) pushed(ago time.Duration, pid int, module, user, addr string, files, moved, listed int) {
	name := user + ".example.org"
	w.connect(ago+7*time.Minute, pid, name, addr, "to", module, module+"/"+user, user)
	for i := range files {
		w.moved(ago+time.Minute, pid, "recv", name, addr, module, user, fmt.Sprintf("%s/%d", user, i), moved/files)
	}
	w.done(ago, pid, 20_000, moved, listed)
}

// withBackups is a server to which backups have come for a month, but for some. A month ago it began to expect them.
func withBackups(t testing.TB, modules ...string) *world {
	t.Helper()
	var all []backups.Expectation
	for _, s := range []string{"photos@erin<26h", "www@deploy<26h", "mail@mx1<26h", "db@postgres<26h", "home@alice<26h", "home@bob<26h",
		"home@carol<26h", "vm@vault1<8d", "archive@nas<8d"} {
		e, err := backups.ParseEntry(s)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, e)
	}
	all[3].Every, all[3].Grace, all[8].Paused = 24*time.Hour, 3*time.Hour, true
	groups, err := clients.ParseGroups("mirrors=198.51.100.0/24;office=192.0.2.0/24")
	if err != nil {
		t.Fatal(err)
	}
	const hour, day = time.Hour, 24 * time.Hour
	began := time.Now().Add(-40 * day).UnixNano()
	w := newWorldWith(t, pipeline.Books{
		Recent:  recent.NewBook(),
		Clients: clients.NewBook(nil, clients.Config{Groups: groups, Now: began}),
		Backups: backups.NewBook(all, nil, began),
	}, modules...)
	w.groups, w.expected = groups, all
	w.pushed(12*day, 10, "archive", "nas", "192.0.2.90", 3, 12<<30, 700<<30)
	w.pushed(3*day+5*hour, 11, "photos", "erin", "192.0.2.45", 12, 300<<20, 81<<30)
	w.pushed(2*day, 12, "vm", "vault1", "2001:db8:1:7::90", 4, 60<<30, 240<<30)
	w.pushed(25*hour, 13, "db", "postgres", "192.0.2.20", 2, 900<<20, 4<<30)
	w.pushed(22*hour, 14, "home", "alice", "192.0.2.44", 8, 70<<20, 120<<30)
	w.pushed(20*hour, 15, "mail", "mx1", "192.0.2.21", 90, 800<<20, 33<<30)
	w.pushed(9*hour, 16, "home", "bob", "192.0.2.46", 31, 2<<30, 64<<30)
	w.pushed(5*hour, 17, "home", "carol", "192.0.2.47", 5, 11<<20, 18<<30)
	w.connect(100*time.Minute, 18, "mx1.example.org", "192.0.2.21", "to", "mail", "mail/mx1", "mx1")
	w.log(98*time.Minute, 18, "rsync error: timeout in data send/receive (code 30) at io.c(197) [receiver=3.4.1]")
	return w
}

// busy is a mirror and backup server of an afternoon.
func busy(t testing.TB) *world {
	w := withBackups(t, "debian", "fedora", "photos", "mail", "home", "db", "vm")
	pid := 100
	for m := 58; m >= 0; m-- {
		ago := time.Duration(m)*time.Minute + 2*time.Second
		for i := range 1 + (m*7)%5 {
			pid++
			addr := fmt.Sprintf("198.51.100.%d", 10+(m*3+i)%40)
			module := []string{"debian", "debian", "fedora"}[(m+i)%3]
			w.connect(ago, pid, "mirror"+fmt.Sprint(m%9)+".example.net", addr, "on", module, module+"/", "")
			w.moved(ago, pid, "send", "mirror.example.net", addr, module, "", "pool/main/l/linux_6.12.deb", 1<<20)
			switch {
			case (m+i)%17 == 0:
				w.log(ago, pid, "rsync error: error in rsync protocol data stream (code 12) at io.c(232) [sender=3.4.1]")
			default:
				w.done(ago, pid, (50+(m*13)%70)<<20, 4000+m, 900<<20)
			}
		}
		if m%6 == 1 {
			pid++
			w.log(ago, pid, "connect from UNKNOWN (203.0.113.9)", "unknown module 'admin' tried from UNKNOWN (203.0.113.9)")
		}
	}
	w.caughtUp()
	for i := range 4 {
		pid++
		addr := fmt.Sprintf("2001:db8:7::%x", 0x20+i)
		name := fmt.Sprintf("pull%d.example.org", i)
		w.connect(0, pid, name, addr, "on", "debian", "debian/dists", "")
		for f := range 3 + i*40 {
			w.moved(0, pid, "send", name, addr, "debian", "", fmt.Sprintf("dists/trixie/main/by-hash/%d.xz", f), 3<<20)
		}
	}
	pid++
	w.connect(0, pid, "laptop.example.org", "192.0.2.44", "to", "home", "home/alice", "alice")
	w.moved(0, pid, "recv", "laptop.example.org", "192.0.2.44", "home", "alice", "alice/Pictures/2026/holiday at the lake.jpg", 4<<20)
	w.log(0, pid, `rsync: [receiver] mkstemp "/.secret.XXXXXX" (in home) failed: Permission denied (13)`)
	w.log(0, pid+1, "connect from UNKNOWN (203.0.113.77)")
	w.live = metrics.Live{Files: []metrics.File{
		{Path: "/var/log/rsyncd.log", OK: true, Offset: 48 << 20, Rotations: 3, Generations: 1},
		{Path: "/var/log/rsyncd-photos.log", OK: true, Offset: 5 << 20, Generations: 1, Gaps: map[string]uint64{}},
	}, State: &metrics.Durability{OK: true, Age: time.Second, Start: "restored"}, SessionLog: &metrics.SessionLog{OK: true, Written: 51_234}}
	return w
}
