package pipeline_test

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"rsyncd_exporter/pipeline"
	"rsyncd_exporter/receiver"
	"rsyncd_exporter/receiver/syslog"
	"rsyncd_exporter/rsynclog"
)

// A coming is a slab with one message, or time that passes.
type coming struct {
	raw   string
	from  receiver.Sender
	pause time.Duration
}

const (
	vmHeader = "<30>Nov 23 18:40:52 vm rsyncd[505]: "
	vmSend   = "send localhost [127.0.0.1] data () "
)

func of(raws ...string) (list []coming) {
	for _, raw := range raws {
		list = append(list, coming{raw: raw})
	}
	return list
}

// Each case has messages that are like one before but for a detail that makes them another's, or nobody's.
var shortcutRules = map[string]struct {
	source   receiver.Source
	config   pipeline.Config
	arrivals []coming
}{
	"the stamp goes on": {arrivals: of(vmHeader+vmSend+"a 6", "<30>Nov 23 18:41:07 vm rsyncd[505]: "+vmSend+"b 7")},
	"no digit where the stamp had one": {arrivals: of(vmHeader+vmSend+"a 6", vmHeader+vmSend+"b 7",
		"<30>Nov 2x 18:40:52 vm rsyncd[505]: "+vmSend+"c 8", "<30>Nov  3 18:40:52 vm rsyncd[505]: "+vmSend+"c 8")},
	"another pid namespace": {arrivals: []coming{{raw: vmHeader + vmSend + "a 6"},
		{raw: vmHeader + vmSend + "b 7", from: receiver.Sender{Scope: receiver.ForeignScope}}}},
	"another sender of a message without a host": {source: receiver.Source{Dialect: syslog.Auto{Local: true}}, arrivals: []coming{
		{raw: "<30>Nov 23 18:40:52 rsyncd[505]: " + vmSend + "a 6", from: receiver.Sender{Addr: netip.MustParseAddr("192.0.2.7")}},
		{raw: "<30>Nov 23 18:40:52 rsyncd[505]: " + vmSend + "b 7", from: receiver.Sender{Addr: netip.MustParseAddr("192.0.2.8")}}}},
	"another process of the same pid": {arrivals: []coming{{raw: vmHeader + vmSend + "a 6", from: receiver.Sender{Started: 7}},
		{raw: vmHeader + vmSend + "b 7", from: receiver.Sender{Started: 7}}, {raw: vmHeader + vmSend + "c 8", from: receiver.Sender{Started: 8}}}},
	"who may not speak for it": {arrivals: []coming{{raw: vmHeader + vmSend + "a 6"}, {raw: vmHeader + vmSend + "b 7", from: receiver.Sender{Forged: true}}}},
	"a pid in the text": {arrivals: of("<30>1 2026-11-23T18:40:52Z vm rsyncd 505x - - rsyncd[505]: "+vmSend+"a 6",
		"<30>1 2026-11-23T18:40:52Z vm rsyncd 506x - - rsyncd[505]: "+vmSend+"b 7")},
	"a tag so long that only a short pid stands where it is looked for": {arrivals: of(
		"<30>Nov 23 18:40:52 vm rsyncd"+strings.Repeat(" x", 35)+"[5]: "+vmSend+"a 6",
		"<30>Nov 23 18:40:52 vm rsyncd"+strings.Repeat(" x", 35)+"[505]: "+vmSend+"a 6")},
	"an expression that reads a text in its own way": {
		source: receiver.Source{Scope: 1, Dialect: mustLineFormat(
			`(?P<date>\S+) (?P<timestamp>\S+) \[(?P<pid>\d+)\] (?:again: )?(?P<description>.*)`,
		)},
		arrivals: of("2026/11/23 18:40:52 [505] "+vmSend+"a 6", "2026/11/23 18:40:52 [505] again: "+vmSend+"b 7"),
	},
	"a log format with its length elsewhere": {
		config:   pipeline.Config{LogFormat: "%o %h [%a] %m (%u) %l %f"},
		arrivals: of(vmHeader+vmSend+"6 a 1", vmHeader+vmSend+"6 b 2", vmHeader+vmSend+"6 c 3"),
	},
	"a log format with a number behind the length": {
		config:   pipeline.Config{LogFormat: "%o %h [%a] %m (%u) %f %l %b"},
		arrivals: of(vmHeader+vmSend+"a 6 1", vmHeader+vmSend+"b 6 2", vmHeader+vmSend+"c 6 3"),
	},
	"other line ends": {arrivals: of(vmHeader+vmSend+"a 6\n", vmHeader+vmSend+"b 7\r\n", vmHeader+vmSend+"c 8\x00", vmHeader+vmSend+"d 9\n\x00",
		vmHeader+vmSend+"e 10\n\n", vmHeader+"\n", vmHeader)},
	"a line of rsync's own log within a message": {source: receiver.Source{Wrapped: true}, arrivals: of(
		vmHeader+"2026/11/23 18:40:52 [7] "+vmSend+"a 6", vmHeader+vmSend+"b 7", vmHeader+"2026/11/23 18:40:52 [8] "+vmSend+"a 6")},
	"longer than any message": {arrivals: of(vmHeader+vmSend+"a 6",
		vmHeader+vmSend+strings.Repeat("p", receiver.MaxMessage)+" 7", vmHeader+vmSend+"b 7")},
	"no name": {arrivals: of(vmHeader+vmSend+"a 6", vmHeader+vmSend+"b 7", vmHeader+vmSend+" 8", vmHeader+vmSend+"8", vmHeader+vmSend)},
	"no length": {arrivals: of(vmHeader+vmSend+"a 6", vmHeader+vmSend+"b 07", vmHeader+vmSend+"b 00000008", vmHeader+vmSend+"b 7x",
		vmHeader+vmSend+"b ", vmHeader+vmSend+"b 1152921504606846977", vmHeader+vmSend+"b 99999999999999999999", vmHeader+vmSend+"b 1125899906842625",
		vmHeader+vmSend+"b 1125899906842624", vmHeader+vmSend+"b 1125899906842618", vmHeader+vmSend+"b 1")},
	"a line that rsync may have cut": {arrivals: of(vmHeader+vmSend+"a 6", vmHeader+vmSend+strings.Repeat("p", 2045-len(vmSend)-2)+" 7",
		vmHeader+vmSend+strings.Repeat("p", 2044-len(vmSend)-2)+" 7", vmHeader+vmSend+strings.Repeat("p", 2100)+" 7")},
	"a debug line that looks like a transfer": {arrivals: of(vmHeader+"recv mapped [127.0.0.1] data () a 6", vmHeader+"recv mapped [127.0.0.1] data () a of size 7")},
	"another line between": {arrivals: of(vmHeader+vmSend+"a 6", vmHeader+vmSend+"b 7", vmHeader+"sent 10 bytes  received 20 bytes  total size 30",
		vmHeader+vmSend+"c 8", vmHeader+"connect from localhost (127.0.0.1)", vmHeader+vmSend+"d 9")},
	"a session that has ended": {arrivals: append(of(vmHeader+vmSend+"a 6", vmHeader+vmSend+"b 7"),
		coming{pause: 80 * time.Hour}, coming{raw: vmHeader + vmSend + "c 8"})},
	"a host that was let go of": {config: pipeline.Config{Limits: rsynclog.Limits{Sessions: 5, Origins: 1, TTL: time.Hour, Settle: time.Second}}, arrivals: append(
		of(vmHeader+vmSend+"a 6", vmHeader+vmSend+"b 7"), coming{pause: 40 * time.Hour},
		coming{raw: strings.Replace(vmHeader, "vm", "nas", 1) + vmSend + "a 6"}, coming{raw: vmHeader + vmSend + "c 8"})},
	"a host beyond the limit": {config: pipeline.Config{Limits: rsynclog.Limits{Sessions: 5, Origins: 1, TTL: time.Hour, Settle: time.Second}}, arrivals: append(
		of("<30>Nov 23 18:40:52 nas rsyncd[505]: "+vmSend+"a 6", vmHeader+vmSend+"b 7", vmHeader+vmSend+"c 8"), coming{pause: 40 * time.Hour},
		coming{raw: vmHeader + vmSend + "c 8"})},
	"series beyond the limit": {config: pipeline.Config{MaxSeries: 1, Hosts: nil}, arrivals: of(vmHeader+vmSend+"a 6", vmHeader+vmSend+"b 7", vmHeader+vmSend+"c 8")},
	"series that were let go of": {
		source: receiver.Source{Live: true},
		config: pipeline.Config{MaxSeries: 100, Limits: rsynclog.Limits{
			Sessions: 5, Origins: 5, TTL: 100 * time.Hour, Settle: time.Second,
		}},
		arrivals: append(append(of(vmHeader+vmSend+"a 6", vmHeader+vmSend+"b 7"),
			coming{raw: strings.Replace(vmHeader, "vm", "nas", 1) + vmSend + "a 6", pause: 40 * time.Hour}),
			of(vmHeader+vmSend+"c 8", vmHeader+vmSend+"d 9")...),
	},
	"a module that a session's lines name no longer": {
		config: pipeline.Config{Modules: []string{"data", "m (x) y"}},
		arrivals: of(vmHeader+"connect from localhost (127.0.0.1)", vmHeader+"rsync on data/ from localhost (127.0.0.1)",
			vmHeader+"send localhost [127.0.0.1] m (x) y () a 6", vmHeader+"send localhost [127.0.0.1] m (x) y () b 7",
			vmHeader+"send localhost [127.0.0.1] m (x) z () c 8", vmHeader+"send localhost [127.0.0.1] m (x) y () d 9"),
	},
	"a module whose name begins that of a session's": {
		config: pipeline.Config{Modules: []string{"data", "m (x) y"}},
		arrivals: of(vmHeader+"connect from localhost (127.0.0.1)", vmHeader+"rsync on data/ from localhost (127.0.0.1)",
			vmHeader+"send localhost [127.0.0.1] m (x) y () a 6", vmHeader+"send localhost [127.0.0.1] m (x) y () b 7",
			strings.Replace(vmHeader, "505", "506", 1)+"connect from localhost (127.0.0.1)",
			strings.Replace(vmHeader, "505", "506", 1)+"rsync allowed access on module m from localhost (127.0.0.1)",
			vmHeader+"send localhost [127.0.0.1] m (x) y () c 8", vmHeader+"send localhost [127.0.0.1] m (x) y () d 9"),
	},
	"a module with another log format": {config: pipeline.Config{ModuleFormats: map[string]string{"data": "%f %l"}}, arrivals: of(vmHeader+vmSend+"a 6", vmHeader+vmSend+"b 7",
		vmHeader+"connect from localhost (127.0.0.1)", vmHeader+"rsync allowed access on module data from localhost (127.0.0.1)",
		vmHeader+"rsync on data/ from localhost (127.0.0.1)", vmHeader+vmSend+"a 6", vmHeader+vmSend+"b 7")},
}

func mustLineFormat(s string) receiver.Dialect {
	d, err := syslog.ParseLineFormat(s)
	if err != nil {
		panic(err)
	}
	return d
}

func TestShortcutsKnowTheirLimits(t *testing.T) {
	for name, x := range shortcutRules {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				src := x.source
				src.Input, src.Name = "udp", "udp"
				if src.Dialect == nil {
					src.Dialect = syslog.Auto{}
				}
				short := newPipeline(t, x.config)
				x.config.InFull = true
				full := newPipeline(t, x.config)
				for _, size := range []int{1, 1, len(x.arrivals)} { // the second time everything has been learned, then in slabs
					slab := slabOf()
					for i, a := range x.arrivals {
						time.Sleep(a.pause)
						if a.raw != "" {
							slab.Messages, slab.Senders = append(slab.Messages, []byte(a.raw)), append(slab.Senders, a.from)
						}
						if last := i+1 == len(x.arrivals); !last && len(slab.Messages) < size && x.arrivals[i+1].pause == 0 {
							continue
						}
						for _, p := range []*pipeline.Pipeline{short, full} {
							p.Tick()
							p.Deliver(&src, slab)
						}
						slab = slabOf()
						sameBooks(t, short, full)
					}
				}
				sameExposition(t, short, full, name)
			})
		})
	}
}

// What the tests above compare is two ways: here it shows that the short one is gone.
func TestShortcutsAreTaken(t *testing.T) {
	for name, x := range map[string]struct {
		header string
		src    receiver.Source
	}{
		"direct":           {"<30>Nov 23 18:40:5%d rsyncd[505]: ", receiver.Source{Dialect: syslog.Auto{Local: true}}},
		"rfc3164":          {"<30>Nov 23 18:40:5%d vm rsyncd[505]: ", receiver.Source{Dialect: syslog.Auto{}}},
		"rfc3339":          {"<30>2026-11-23T18:40:5%d.123456+00:00 vm rsyncd[505]: ", receiver.Source{Dialect: syslog.Auto{}}},
		"rfc5424":          {"<30>1 2026-11-23T18:40:5%d.123456+00:00 vm rsyncd 505 - - ", receiver.Source{Dialect: syslog.Auto{}}},
		"rsync's own log":  {"2026/11/23 18:40:5%d [505] ", receiver.Source{Dialect: syslog.Lines{}, Scope: 1}},
		"a syslog daemons": {"Nov 23 18:40:5%d vm rsyncd[505]: ", receiver.Source{Dialect: syslog.Lines{}, Scope: 1}},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPipeline(t, pipeline.Config{})
			x.src.Input, x.src.Name = "udp", "udp"
			at := func(second int) []byte { return fmt.Appendf(nil, x.header+vmSend+"a 6\n", second) }
			for second := range 2 {
				p.Deliver(&x.src, slabOf(string(at(second))))
			}
			known, m, front := p.Known(&x.src, at(7), []byte(vmSend+"other 123"))
			if !known {
				t.Fatal("the header isn't known")
			}
			if m.PID != 505 || string(m.Text) != vmSend+"a 6" {
				t.Errorf("it is read as pid %d, text %q", m.PID, m.Text)
			}
			if !front {
				t.Error("the transfer line's begin isn't known")
			}
		})
	}
}
