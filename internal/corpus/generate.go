package corpus

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strconv"
	"time"
)

// A Shape says what log Generate writes. Two of the same shape are the same to the byte.
type Shape struct {
	Seed    uint64
	Lines   int64 // the log ends with the sessions that run when it has so many lines …
	Bytes   int64 // … or so many bytes; 0: no bound, of one of the two
	Clients int   // addresses; a few of them come most of the time
	Paths   int   // likewise
	Files   int   // that a session moves on average
	// Distinct has each session come from another client and each transfer move another path, until
	// there are none left; then they begin again.
	Distinct bool
	AtOnce   int           // sessions that run at one time
	Start    time.Time     // of the first line; its zone is the log's
	Step     time.Duration // between two lines on average
}

// A Truth is what a generated log must count as. Fields and maps have the names that they have in a
// report's JSON.
type Truth struct {
	Lines        int64             `json:"lines"`
	Unrecognised uint64            `json:"unrecognised"`
	Implausible  uint64            `json:"implausible"`
	Ignored      uint64            `json:"ignored"`
	Discarded    uint64            `json:"discarded"`
	Connections  uint64            `json:"connections"`
	Executions   uint64            `json:"executions"`
	ModuleLists  uint64            `json:"module_lists"`
	DaemonStarts uint64            `json:"daemon_starts"`
	Sent         uint64            `json:"sent_bytes"`
	Received     uint64            `json:"received_bytes"`
	Listed       uint64            `json:"listed_bytes"`
	Running      uint64            `json:"running"`
	Sessions     map[string]uint64 `json:"sessions"`
	Errors       map[string]uint64 `json:"errors"`
	FileErrors   map[string]uint64 `json:"file_errors"`
	Rejected     map[string]uint64 `json:"rejected"`
	Files        map[string]uint64 `json:"files"`
	FileBytes    map[string]uint64 `json:"file_bytes"`
	Kinds        map[string]uint64 `json:"messages"`

	Modules map[string]ModuleTruth `json:"-"`

	Bytes int64 `json:"-"` // of the log
	// Cuts are where the log can be cut between sessions: no session runs there.
	Cuts []int64 `json:"-"`
	// IPv4Transfers are files moved by IPv4, in modules without a space in their names.
	IPv4Transfers uint64 `json:"-"`
}

// A ModuleTruth is what a module's sessions must come to, in both directions.
type ModuleTruth struct {
	Executions uint64 `json:"executions"`
	Sent       uint64 `json:"sent_bytes"`
	Received   uint64 `json:"received_bytes"`
	Files      uint64 `json:"files"` // sent or received
	Deleted    uint64 `json:"deleted"`
}

// A module is what a generated daemon has.
type module struct {
	name  string
	users []string // that log in; none: anybody
	send  int      // sessions in a hundred that fetch
}

var modules = [...]module{
	{"debian", nil, 100},
	{"archive", nil, 98},
	{"old releases (frozen)", nil, 100},
	{"backup", []string{"alice", "bob", "www-data"}, 10},
	{"incoming", nil, 5},
}

// burst is how many lines a session of a generated log writes in a row at most.
const burst = 12

// A life is a session that runs.
type life struct {
	pid         int
	module      *module
	send        bool
	host, user  string
	addr        string
	v6          bool
	phase       int
	files       int // still to be moved
	failed      int // of them
	path        int // the next one, if paths are walked through
	moved, size uint64
	ending      ending
}

// An ending is how a session ends.
type ending int

const (
	whole ending = iota
	partial
	cut
	listing
	unknown // module
	denied
	refused // at max connections
	badPassword
)

// A generator writes one log.
type generator struct {
	Shape
	w       *bufio.Writer
	rand    *rand.Rand
	clients *rand.Zipf
	paths   *rand.Zipf
	truth   Truth
	now     time.Time
	stamp   []byte // of now
	line    []byte
	pid     int
	come    int // sessions so far
	open    []*life
}

// maxPID is Linux's largest on a machine of 64 bits, and firstPID the one after a lap.
const (
	maxPID   = 1<<22 - 1
	firstPID = 300
)

// Generate writes the log of an rsync 3.5.0 daemon, in the default log format, to w: sessions that
// overlap, fetch or bring files, fail, are turned away or ask for the module list.
func Generate(w io.Writer, s Shape) (*Truth, error) {
	g := &generator{Shape: s, w: bufio.NewWriterSize(w, 1<<16), rand: rand.New(rand.NewPCG(s.Seed, 15)), now: s.Start}
	for _, m := range [...]*map[string]uint64{
		&g.truth.Sessions, &g.truth.Errors, &g.truth.FileErrors, &g.truth.Rejected, &g.truth.Files, &g.truth.FileBytes,
		&g.truth.Kinds,
	} {
		*m = map[string]uint64{}
	}
	g.truth.Modules = map[string]ModuleTruth{}
	g.clients = rand.NewZipf(g.rand, 1.1, 8, uint64(s.Clients-1))
	g.paths = rand.NewZipf(g.rand, 1.1, 20, uint64(s.Paths-1))
	g.pid = firstPID + g.rand.IntN(maxPID-firstPID)
	g.tick()
	g.begin(g.nextPID())
	g.text("rsyncd version 3.5.0 starting, listening on port 873")
	g.end("daemon_start")
	g.truth.DaemonStarts++
	for {
		more := (s.Lines == 0 || g.truth.Lines < s.Lines) && (s.Bytes == 0 || g.truth.Bytes < s.Bytes)
		if len(g.open) == 0 {
			g.truth.Cuts = append(g.truth.Cuts, g.truth.Bytes)
		}
		if more && len(g.open) < max(s.AtOnce, 1) {
			g.connect()
			continue
		}
		if len(g.open) == 0 {
			break
		}
		at := g.rand.IntN(len(g.open))
		for range 1 + g.rand.IntN(burst) {
			if g.tick(); !g.step(g.open[at]) {
				g.open[at] = g.open[len(g.open)-1]
				g.open = g.open[:len(g.open)-1]
				break
			}
		}
	}
	return &g.truth, g.w.Flush()
}

// tick lets time pass.
func (g *generator) tick() {
	before := g.now.Unix()
	g.now = g.now.Add(time.Duration(g.rand.Int64N(2*int64(g.Step) + 1)))
	if len(g.stamp) == 0 || g.now.Unix() != before {
		g.stamp = g.now.AppendFormat(g.stamp[:0], "2006/01/02 15:04:05 [")
	}
}

func (g *generator) nextPID() int {
	if g.pid += 1 + g.rand.IntN(4); g.pid > maxPID {
		g.pid = firstPID + g.rand.IntN(4)
	}
	return g.pid
}

// module changes what the session's module must come to.
func (g *generator) module(l *life, change func(*ModuleTruth)) {
	m := g.truth.Modules[l.module.name]
	change(&m)
	g.truth.Modules[l.module.name] = m
}

// begin, text, number and end write a line.
func (g *generator) begin(pid int) {
	g.line = append(g.line[:0], g.stamp...)
	g.line = append(strconv.AppendInt(g.line, int64(pid), 10), "] "...)
}

func (g *generator) text(parts ...string) {
	for _, p := range parts {
		g.line = append(g.line, p...)
	}
}

func (g *generator) number(n uint64) { g.line = strconv.AppendUint(g.line, n, 10) }

func (g *generator) end(kind string) {
	g.line = append(g.line, '\n')
	_, _ = g.w.Write(g.line) // Flush returns the error
	g.truth.Lines++
	g.truth.Bytes += int64(len(g.line))
	g.truth.Kinds[kind]++
}

// connect begins a session.
func (g *generator) connect() {
	n := int(g.clients.Uint64())
	if g.Distinct {
		n = g.come % g.Clients
	}
	g.come++
	l := &life{pid: g.nextPID(), module: &modules[n%len(modules)], files: 1 + int(g.rand.ExpFloat64()*float64(g.Files))}
	l.send = g.rand.IntN(100) < l.module.send
	l.v6 = n%4 == 3
	l.addr = address(n, l.v6)
	l.host = "UNDETERMINED"
	if n%8 < 5 {
		l.host = "host" + strconv.Itoa(n) + ".example.net"
	}
	if users := l.module.users; users != nil {
		l.user = users[n%len(users)]
	}
	if l.path = int(g.paths.Uint64()); g.Distinct {
		l.path = g.come * g.Files % g.Paths
	}
	switch p := g.rand.IntN(100); {
	case p < 6:
		l.ending, l.failed = partial, 1+g.rand.IntN(3)
	case p < 11:
		l.ending = cut
	case p < 16:
		l.ending = listing
	case p < 18:
		l.ending = unknown
	case p < 20:
		l.ending = denied
	case p < 23:
		l.ending = refused
	case p < 24 && l.user != "":
		l.ending = badPassword
	}
	g.open = append(g.open, l)
}

// address returns the nth client's: one in four has IPv6.
func address(n int, v6 bool) string {
	h := uint32(n) * 2654435761 // a permutation
	if v6 {
		a := [16]byte{0x20, 0x01, 0x0d, 0xb8, byte(h >> 24), byte(h >> 16), byte(h >> 8), byte(h), 15: 1}
		return netip.AddrFrom16(a).String()
	}
	return netip.AddrFrom4([4]byte{byte(1 + h>>24%223), byte(h >> 16), byte(h >> 8), byte(h)}).String()
}

// step writes a session's next line. It returns false if that was its last.
func (g *generator) step(l *life) bool {
	phase := l.phase
	l.phase++
	g.begin(l.pid)
	switch phase {
	case 0:
		g.text("connect from ", l.host, " (", l.addr, ")")
		g.end("connect")
		g.truth.Connections++
		return true
	case 1:
		return g.gate(l)
	case 2:
		return g.start(l)
	case 3:
		g.text("building file list")
		if !l.send {
			g.line = append(g.line[:len(g.line)-len("building file list")], "receiving file list"...)
		}
		g.end("file_list")
		return true
	}
	l.phase = phase // files until there are none left
	switch {
	case l.failed > 0 && l.files <= l.failed:
		g.fail(l)
		l.failed--
		return true
	case l.files > 0 && !(l.ending == cut && l.files == 1):
		g.move(l)
		l.files--
		return true
	case l.ending == cut:
		g.abort(l)
		g.outcome(l)
		return false
	case l.ending == partial && !l.send: // an upload with failed files ends without another line since 3.2
		g.outcome(l)
		return false
	}
	g.summary(l)
	g.outcome(l)
	return false
}

// gate writes the second line: what is asked for, and whether it is granted.
func (g *generator) gate(l *life) bool {
	switch l.ending {
	case listing:
		g.text("module-list request from ", l.host, " (", l.addr, ")")
		g.end("module_list")
		g.truth.ModuleLists++
		g.truth.Sessions["listing"]++
		return false
	case unknown:
		g.text("unknown module 'nosuch' tried from ", l.host, " (", l.addr, ")")
		g.reject("unknown_module", "unknown_module")
		return false
	case denied:
		g.text("rsync denied on module ", l.module.name, " from ", l.host, " (", l.addr, ")")
		g.reject("denied", "hosts_deny")
		return false
	}
	g.text("rsync allowed access on module ", l.module.name, " from ", l.host, " (", l.addr, ")")
	g.end("allowed")
	return true
}

func (g *generator) reject(kind, reason string) {
	g.end(kind)
	g.truth.Rejected[reason]++
	g.truth.Sessions["rejected"]++
}

// start writes that the transfer begins, or why it doesn't.
func (g *generator) start(l *life) bool {
	switch l.ending {
	case refused:
		g.text("max connections (20) reached")
		g.reject("max_connections", "max_connections")
		return false
	case badPassword:
		g.text("auth failed on module ", l.module.name, " from ", l.host, " (", l.addr, ") for ", l.user,
			": password mismatch")
		g.reject("auth_failed", "auth")
		return false
	}
	way := "rsync to "
	if l.send {
		way = "rsync on "
	}
	g.text(way, l.module.name, "/ from ")
	if l.user != "" {
		g.text(l.user, "@")
	}
	g.text(l.host, " (", l.addr, ")")
	g.end("start")
	g.truth.Executions++
	g.module(l, func(m *ModuleTruth) { m.Executions++ })
	return true
}

// move writes a transfer line. What is brought deletes something now and then.
func (g *generator) move(l *life) {
	op, size := "send", uint64(0)
	if !l.send {
		op = "recv"
		if g.rand.IntN(20) == 0 {
			op = "del."
		}
	}
	g.text(op, " ", l.host, " [", l.addr, "] ", l.module.name, " (", l.user, ") ")
	if op != "del." {
		size = g.path(l)
		g.truth.FileBytes[op] += size
		g.module(l, func(m *ModuleTruth) { m.Files++ })
		if !l.v6 && l.module != &modules[2] {
			g.truth.IPv4Transfers++
		}
		l.moved, l.size = l.moved+size/2+100, l.size+size
	} else {
		g.path(l)
		g.module(l, func(m *ModuleTruth) { m.Deleted++ })
	}
	g.text(" ")
	g.number(size)
	g.end("transfer")
	g.truth.Files[op]++
}

// path appends a session's next path and returns its file's size. One in sixteen has spaces.
func (g *generator) path(l *life) (size uint64) {
	n := l.path % g.Paths
	l.path++
	h := uint64(n) * 0x9e3779b97f4a7c15
	g.text("pool/")
	g.line = append(g.line, 'a'+byte(h>>56)%26, '/')
	if h>>60 == 0 {
		g.text("release notes 2 ")
	}
	g.text("package-")
	g.number(uint64(n))
	g.text("/file_")
	g.number(h >> 52)
	g.text("_all.deb")
	return h >> 20 % (1 << 22)
}

// fail writes that a file couldn't be read or written.
func (g *generator) fail(l *life) {
	if l.send {
		g.text(`rsync: [sender] send_files failed to open "/secret-`)
	} else {
		g.text(`rsync: [receiver] mkstemp "/.secret-`)
	}
	g.number(uint64(l.failed))
	g.text(`" (in `, l.module.name, ")")
	if !l.send {
		g.text(" failed")
	}
	g.text(": Permission denied (13)")
	g.end("file_error")
	g.truth.FileErrors["13"]++
}

// abort writes how a client that is gone looks: two lines at one moment.
func (g *generator) abort(l *life) {
	g.summary(l)
	g.begin(l.pid)
	g.text("rsync error: error in socket IO (code 10) at io.c(949) [")
	if l.send {
		g.text("sender")
	} else {
		g.text("receiver")
	}
	g.text("=3.5.0]")
	g.end("exit_error")
	g.truth.Errors["10"]++
}

func (g *generator) summary(l *life) {
	sent, received := l.moved+1000, uint64(200)
	if !l.send {
		sent, received = received, sent
	}
	g.text("sent ")
	g.number(sent)
	g.text(" bytes  received ")
	g.number(received)
	g.text(" bytes  total size ")
	g.number(l.size)
	g.end("summary")
	t := &g.truth
	t.Sent, t.Received, t.Listed = t.Sent+sent, t.Received+received, t.Listed+l.size
	g.module(l, func(m *ModuleTruth) { m.Sent, m.Received = m.Sent+sent, m.Received+received })
}

func (g *generator) outcome(l *life) {
	name := "ok"
	switch l.ending {
	case partial:
		name = "partial"
	case cut:
		name = "aborted"
	}
	g.truth.Sessions[name]++
}

// Differences says in what a report's JSON differs from the truth.
func (t *Truth) Differences(report []byte) (all []string, err error) {
	own, err := json.Marshal(t)
	if err != nil {
		return nil, err
	}
	var want, got map[string]any
	var parts struct {
		Modules []struct {
			Module string `json:"module"`
			ModuleTruth
		} `json:"modules"`
	}
	for _, d := range []struct {
		from []byte
		to   any
	}{{own, &want}, {report, &got}, {report, &parts}} {
		decoder := json.NewDecoder(bytes.NewReader(d.from))
		decoder.UseNumber() // all digits
		if err := decoder.Decode(d.to); err != nil {
			return nil, err
		}
	}
	for name := range want {
		if w, g := fmt.Sprint(withoutZeros(want[name])), fmt.Sprint(withoutZeros(got[name])); w != g {
			all = append(all, fmt.Sprintf("%s: %s, want %s", name, g, w))
		}
	}
	modules := map[string]ModuleTruth{}
	for _, p := range parts.Modules {
		m, q := modules[p.Module], p.ModuleTruth
		modules[p.Module] = ModuleTruth{m.Executions + q.Executions, m.Sent + q.Sent, m.Received + q.Received,
			m.Files + q.Files, m.Deleted + q.Deleted}
	}
	for name, w := range t.Modules {
		if g := modules[name]; g != w {
			all = append(all, fmt.Sprintf("module %s: %+v, want %+v", name, g, w))
		}
	}
	slices.Sort(all)
	return all, nil
}

// withoutZeros takes counts of 0 out of a map: they may be there or not.
func withoutZeros(v any) any {
	if m, ok := v.(map[string]any); ok {
		maps.DeleteFunc(m, func(_ string, n any) bool { return fmt.Sprint(n) == "0" })
	}
	return v
}
