package pipeline_test

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"rsyncd_exporter/internal/testenv"
	"rsyncd_exporter/metrics"
	"rsyncd_exporter/pipeline"
	"rsyncd_exporter/receiver"
	"rsyncd_exporter/receiver/syslog"
	"rsyncd_exporter/rsynclog"
)

// twoLives are what happens to two pipelines, one of which reads every message in full. Its bytes are choices.
type twoLives struct {
	choices []byte
	sources []*receiver.Source
	lag     time.Duration // of stamps behind the time
	spoken  []string      // raw messages so far, to be varied
	form    int           // of usual headers
	recent  []string      // transfer lines, the last ones
}

// pick chooses one of n; the first when there are no choices any more.
func (h *twoLives) pick(n int) int {
	if len(h.choices) == 0 {
		return 0
	}
	c := h.choices[0]
	h.choices = h.choices[1:]
	return int(c) % n
}

func pickOf[T any](h *twoLives, list ...T) T { return list[h.pick(len(list))] }

// often says yes in n of n+1 cases.
func (h *twoLives) often(n int) bool { return h.pick(n+1) > 0 }

func newTwoLives(choices []byte) *twoLives {
	foreign, err := syslog.NewDialect("rfc3164", false)
	if err != nil {
		panic(err)
	}
	return &twoLives{choices: choices, sources: []*receiver.Source{
		{Input: "udp", Name: "udp", Dialect: syslog.Auto{}, Live: true},
		{Input: "unixgram", Name: "unixgram", Dialect: syslog.Auto{Local: true}, Live: true},
		{Input: "tcp", Name: "tcp", Dialect: syslog.Auto{}},
		{Input: "file", Name: "file", Scope: 1, Dialect: syslog.Lines{}},
		{Input: "file", Name: "file 2", Scope: 2, Dialect: syslog.Lines{}},
		{Input: "file", Name: "joins", Joins: true, Host: "vm", Dialect: syslog.Lines{}},
		{Input: "file", Name: "hosted", Scope: 3, Host: "nas", Dialect: syslog.Lines{}},
		{Input: "udp", Name: "wrapped", Wrapped: true, Dialect: syslog.Auto{}},
		{Input: "udp", Name: "foreign", Dialect: foreign},
	}}
}

// message returns one of rsyncd's, of the few processes of a few hosts, or what somebody makes of it.
func (h *twoLives) message() string {
	if len(h.spoken) > 0 && !h.often(6) {
		return h.varied(pickOf(h, h.spoken...))
	}
	m := h.header() + h.text()
	if strings.Contains(m, " localhost [") {
		if !h.often(15) {
			m = cutNear(m, 2043+h.pick(7))
		}
		h.recent = append(h.recent[max(0, len(h.recent)-2):], m)
	}
	m += pickOf(h, "", "\n", "\n", "\n", "\n", "\r\n", "\x00", "\n\x00", "\n\n")
	h.spoken = append(h.spoken, m)
	return m
}

// cutNear lengthens the name in a transfer line until its text has so many bytes.
func cutNear(m string, length int) string {
	at := max(strings.LastIndex(m, " send "), strings.LastIndex(m, " recv "), strings.LastIndex(m, " del. "))
	end := strings.LastIndexByte(m, ' ')
	return m[:end] + strings.Repeat("p", max(0, length-(len(m)-at-1))) + m[end:]
}

// again returns one of the last transfer lines, mostly with another length or name.
func (h *twoLives) again() string {
	m := pickOf(h, h.recent...)
	at := strings.LastIndexByte(m, ' ') + 1
	return pickOf(h, m, m, m[:at]+"7", m[:at]+"1234567", m[:at]+"12345678", m[:at]+"1125899906842600",
		m[:at]+"b 9", m[:at]+"\\#012 5", m+"\n", m+" ")
}

// varied changes a byte of a message, or cuts it.
func (h *twoLives) varied(m string) string {
	at := h.pick(min(len(m), 255) + 1)
	switch h.pick(4) {
	case 0:
		return m[:at]
	case 1:
		return m[:at] + m[at:][min(1, len(m)-at):]
	}
	return m[:at] + pickOf(h, strings.Split(" []:<>()0123456789T/-.\x00\r\nx\xff", "")...) + m[at:][min(1, len(m)-at):]
}

func (h *twoLives) header() string {
	if !h.often(8) {
		h.lag = pickOf(h, 0, 0, time.Second, 2*time.Minute, 2*time.Hour, 26*time.Hour, -time.Hour)
	}
	stamp := time.Now().Add(-h.lag)
	if h.often(3) {
		return h.usual(stamp)
	}
	priority := pickOf(h, "<30>", "<30>", "<30>", "<28>", "<3>", "", "<999>")
	host := pickOf(h, "vm ", "vm ", "nas ", "mirror.example.net ", "mirror2.example.net ", "2026 ", "- ", "", "h ")
	tag := pickOf(h, "rsyncd", "rsyncd", "rsyncd", "rsyncd", "rsyncd-x", "rsyncd x", "rsyncd[x", "cron", "rsyncd_exporter", "rsyslogd", "last")
	pid := pickOf(h, "505", "505", "506", "7", "1234567", "123456789", "0", "007", "1234567890", "99999999999", "")
	switch form := h.pick(8); form {
	case 0:
		return priority + "1 " + stamp.Format("2006-01-02T15:04:05.000000Z07:00") + " " + cmp.Or(host, "- ") + tag + " " + cmp.Or(pid, "-") +
			pickOf(h, " - - ", " - -  ", " - - \xef\xbb\xbf", " ID1 - ", ` - [a b="c] "] `, "x - - rsyncd[505]: ", " - -")
	case 1:
		carrier := pickOf(h, "", "", "", "web-1  | ", "db-1  | ", stamp.Format("2006-01-02T15:04:05Z stdout F "))
		return carrier + stamp.Format("2006/01/02 15:04:05 [") + pid + pickOf(h, "] ", "] ", "] ", "]", "]  ")
	default:
		shown := stamp.Format(pickOf(h, time.Stamp, time.Stamp, time.Stamp, time.Stamp, time.StampMilli, "Jan 2 15:04:05",
			"2006-01-02T15:04:05Z07:00", "2006-01-02T15:04:05.000000Z07:00", "2006-01-02 15:04:05", "Jan _2 15:04:05 2006", time.ANSIC))
		return priority + shown + " " + pickOf(h, "", "", "", "", "<3.6> ", "<daemon.info> ") + host + tag + "[" + pid +
			pickOf(h, "]: ", "]: ", "]: ", "]: ", "]:", "]:  ", "] ", "]: [ID 702911 daemon.info] ", "]: [")
	}
}

// usual returns a header of the sort that nearly all are.
func (h *twoLives) usual(stamp time.Time) string {
	shown := h.stamp(stamp, time.Stamp)
	switch h.form {
	case 1:
		return h.stamp(stamp, "2006/01/02 15:04:05 [") + pickOf(h, "505", "506") + "] "
	case 2:
		return "<30>1 " + h.stamp(stamp, "2006-01-02T15:04:05.000000Z07:00") + " vm rsyncd " +
			pickOf(h, "505", "506") + " - - "
	case 3:
		return "<30>" + shown + " rsyncd[" + pickOf(h, "505", "506") + "]: "
	}
	return pickOf(h, "<30>", "<30>", "<30>", "<28>") + shown + pickOf(h, " vm ", " vm ", " nas ") +
		"rsyncd[" + pickOf(h, "505", "505", "7") + "]: "
}

// stamp shows a time, now and then one that no clock shows.
func (h *twoLives) stamp(t time.Time, form string) string {
	shown := t.Format(form)
	if h.often(15) {
		return shown
	}
	digits := strings.Map(func(c rune) rune {
		if '0' <= c && c <= '9' {
			return rune("0123456789"[h.pick(10)])
		}
		return c
	}, shown)
	return pickOf(h, digits, strings.ReplaceAll(shown, ":00", ":60"), strings.ReplaceAll(shown, "/01/", "/13/"),
		strings.ReplaceAll(shown, "Jan  1", "Feb 29"), strings.ReplaceAll(shown, "Jan  1", "Dec 31"))
}

func (h *twoLives) text() string {
	if h.often(2) {
		return pickOf(h, "send", "send", "recv") + " localhost [127.0.0.1] " + pickOf(h, "data", "data", "data", "data", "loose", `m\#012`) + " () " + pickOf(h, "a", "b c") + pickOf(h, " 6", " 12345", " 1234567890")
	}
	module := pickOf(h, "data", "data", "data", "other", "loose", "m (x", `m\#012`)
	client := pickOf(h, "localhost [127.0.0.1] ", "localhost [127.0.0.1] ", "localhost [127.0.0.1] ", "evil [10.6.6.6] ", "mapped [127.0.0.1] ")
	if h.often(2) {
		op := pickOf(h, "send ", "send ", "send ", "recv ", "del. ")
		user := pickOf(h, "() ", "() ", "() ", "(alice) ", "(a) (b) ", "(", "")
		path := pickOf(h, "a.txt", "dir/a b", "x (y) z", " ", "", "a 1", "1", strings.Repeat("p", 1950), strings.Repeat("p", 2010), "\xff", "of size")
		length := pickOf(h, "6", "70000", "12345678", "123456789", "0", "00", "07", "1152921504606846976", "1152921504606846977",
			"99999999999999999999", "1125899906842624", "", "x", "1234567890123", "12345678x")
		return op + client + module + " " + user + path + " " + length
	}
	text := pickOf(h, lines...)
	if strings.Contains(text, "%") {
		text = fmt.Sprintf(text+"%.0[1]s%.0[2]d", module, h.pick(10))
	}
	if !h.often(15) {
		return "message repeated 3 times: [ " + text + "]"
	}
	return text
}

// slab returns a batch of one source.
func (h *twoLives) slab() (*receiver.Source, *receiver.Slab) {
	src := pickOf(h, h.sources...)
	s := slabOf()
	switch src.Input {
	case "file":
		h.form = pickOf(h, 1, 1, 0)
	case "unixgram":
		h.form = 3
	default:
		h.form = pickOf(h, 0, 0, 2)
	}
	calm := h.often(2)
	for range 1 + h.pick(12) {
		var m string
		if calm && len(h.recent) > 0 && h.often(7) {
			m = h.again()
		} else {
			m = h.message()
		}
		s.Messages = append(s.Messages, []byte(m))
	}
	addr := func() netip.Addr {
		return pickOf(h, netip.Addr{}, netip.Addr{}, netip.MustParseAddr("192.0.2.7"), netip.MustParseAddr("2001:db8::7"))
	}
	switch src.Input {
	case "udp":
		for range s.Messages {
			s.Senders = append(s.Senders, receiver.Sender{Addr: addr()})
		}
	case "unixgram":
		for range s.Messages {
			s.Senders = append(s.Senders, receiver.Sender{
				Started: uint64(pickOf(h, 0, 0, 0, 0, 7, 8)), Forged: !h.often(20), Scope: pickOf(h, 0, 0, 0, receiver.ForeignScope)})
		}
	case "tcp":
		s.Peer = addr()
	case "file":
		s.Backlog = h.pick(2) == 0
	}
	return src, s
}

// pass lets time pass.
func (h *twoLives) pass() {
	time.Sleep(pickOf(h, time.Millisecond, time.Millisecond, time.Second, time.Second, 3*time.Second, time.Minute, 20*time.Minute, 2*time.Hour, 25*time.Hour))
}

// play has both pipelines live through the history.
func (h *twoLives) play(t *testing.T) {
	limits := rsynclog.DefaultLimits()
	limits.Sessions, limits.Origins = pickOf(h, limits.Sessions, 2, 5), pickOf(h, limits.Origins, 3)
	limits.TTL = pickOf(h, limits.TTL, limits.TTL, 100*time.Hour) // silent for longer than series may be
	c := pipeline.Config{
		LogFormat: pickOf(h, defaultFormat, defaultFormat, defaultFormat, "%o %f %l"), Limits: limits, MaxSeries: pickOf(h, 10_000, 10_000, 60, 150, 250),
		ModuleFormats: map[string]string{"loose": pickOf(h, "%f %l", defaultFormat, "%o %h [%a] %m (%u) %l %f")}, Hosts: []string{"vm"}, Modules: pickOf(h, nil, []string{"data"}),
		Tags: []string{"rsyncd*"}, Resumable: true,
	}
	quick := c
	short := newPipeline(t, quick)
	c.InFull = true
	full := newPipeline(t, c)
	for len(h.choices) > 0 && !t.Failed() {
		if !h.often(4) {
			h.pass()
		}
		if !h.often(10) {
			short.Tick()
			full.Tick()
		}
		switch h.pick(40) {
		case 1:
			short, full = restarted(t, short, quick), restarted(t, full, c)
		case 2:
			sameExposition(t, short, full, "with shortcuts")
		case 3:
			for _, p := range []*pipeline.Pipeline{short, full} {
				p.Deliver(h.sources[3], slabOf())
				p.Deliver(h.sources[5], slabOf())
			}
		}
		src, slab := h.slab()
		short.Deliver(src, slab)
		full.Deliver(src, slab)
		if got, want := short.Understanding(src.Name), full.Understanding(src.Name); got != want {
			t.Errorf("%s: understood\n%+v, want\n%+v", src.Name, got, want)
		}
		if !h.often(20) {
			sameBooks(t, short, full)
		}
	}
	sameExposition(t, short, full, "with shortcuts")
	sameBooks(t, short, full)
	time.Sleep(200 * time.Hour)
	sameBooks(t, short, full)
}

// sameBooks compares all that two pipelines know and would save, in the order of the lists of sessions.
func sameBooks(t *testing.T, got, want *pipeline.Pipeline) {
	t.Helper()
	_, a := got.Save(nil)
	_, b := want.Save(nil)
	for _, c := range []*pipeline.Checkpoint{a, b} {
		sortBooks(c.Books)
		slices.SortFunc(c.Sessions.Talkers, func(a, b rsynclog.TalkerRecord) int {
			return cmp.Or(cmp.Compare(a.Origin, b.Origin), cmp.Compare(a.First, b.First))
		})
	}
	if !reflect.DeepEqual(a.Sessions, b.Sessions) {
		t.Errorf("sessions\n%+v, want\n%+v", a.Sessions, b.Sessions)
	}
	if !reflect.DeepEqual(a.Books, b.Books) {
		t.Errorf("books\n%+v, want\n%+v", a.Books, b.Books)
	}
}

// sortBooks brings what is in no order into one.
func sortBooks(b *metrics.Books) {
	slices.SortFunc(b.Hosts, func(a, b metrics.HostRecord) int { return cmp.Compare(a.Host, b.Host) })
	for _, h := range b.Hosts {
		slices.SortFunc(h.Modules, func(a, b metrics.ModuleRecord) int { return cmp.Compare(a.Module, b.Module) })
		for _, m := range h.Modules {
			for _, f := range m.Flows {
				slices.SortFunc(f.Users, func(a, b metrics.UserRecord) int { return cmp.Compare(a.User, b.User) })
			}
		}
	}
}

// Whatever happens, a message that is compared with one before counts as if it had been read.
func TestShortcutsChangeNothing(t *testing.T) {
	histories := testenv.Tortured(2000, 100_000)
	seed := testenv.Seed(t)
	for i := range histories {
		r := rand.New(rand.NewPCG(seed, uint64(i)))
		choices := make([]byte, 100+r.IntN(2000))
		for j := range choices {
			choices[j] = byte(r.Uint32())
		}
		synctest.Test(t, func(t *testing.T) { newTwoLives(choices).play(t) })
		if t.Failed() {
			t.Fatalf("history %d", i)
		}
	}
}

// A header that is known means what it means to the dialect: of messages that differ by a byte or two from one that was
// learned, those that are taken for alike are.
func TestAKnownHeaderIsRead(t *testing.T) {
	seed := testenv.Seed(t)
	r := rand.New(rand.NewPCG(seed, 1))
	p := newPipeline(t, pipeline.Config{})
	known := 0
	for i := range testenv.Tortured(10_000, 5_000_000) {
		choices := make([]byte, 200)
		for j := range choices {
			choices[j] = byte(r.Uint32())
		}
		h := newTwoLives(choices)
		src := pickOf(h, h.sources...)
		h.form = h.pick(4)
		from := receiver.Sender{Addr: pickOf(h, netip.Addr{}, netip.MustParseAddr("192.0.2.7"))}
		p.ForgetHeaders()
		first := h.message()
		for raw := first; len(h.choices) > 0; raw = h.varied(first) {
			if !h.often(3) {
				raw = h.varied(raw)
			}
			if !h.often(8) {
				src = pickOf(h, h.sources...)
			}
			if p.SameHeader(t, src, from, []byte(raw)) {
				known++
			}
			if t.Failed() {
				t.Fatalf("message %d", i)
			}
		}
	}
	if known == 0 {
		t.Error("no header was known")
	}
}

func FuzzMemoChangesNothing(f *testing.F) {
	for i := range 20 {
		f.Add(slices.Repeat([]byte{byte(i), 3, 1, byte(2 * i), 0, 5}, 100))
	}
	f.Fuzz(func(t *testing.T, choices []byte) {
		synctest.Test(t, func(t *testing.T) { newTwoLives(choices).play(t) })
	})
}
