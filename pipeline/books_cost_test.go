package pipeline_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"rsyncd_exporter/backups"
	"rsyncd_exporter/clients"
	"rsyncd_exporter/pipeline"
	"rsyncd_exporter/receiver"
	"rsyncd_exporter/receiver/syslog"
	"rsyncd_exporter/status/recent"
	"rsyncd_exporter/status/sessionlog"
)

func allBooks(*pipeline.Checkpoint) pipeline.Books {
	return pipeline.Books{
		Clients: clients.NewBook(nil), Backups: backups.NewBook(nil), Recent: recent.NewBook(),
		Ended: sessionlog.NewQueue(nil),
	}
}

// BenchmarkBooks compares pipelines with all books and without, in turns, so that both meet the
// same machine. ratio is the median over the turns, with/without.
func BenchmarkBooks(b *testing.B) {
	for _, c := range []struct {
		name            string
		sessions, files int // sessions at one time, and files in each
	}{
		{"transfers", 1, 1 << 12}, {"mixed", 50, 1 << 8}, {"sessions", 50, 3}, {"probes", 50, 0},
	} {
		b.Run(c.name, func(b *testing.B) {
			with, without := newPipeline(b, pipeline.Config{Books: allBooks}), newPipeline(b, pipeline.Config{})
			src := &receiver.Source{Input: "udp", Name: "udp", Dialect: syslog.Auto{}}
			var ratios []float64
			pid, lines := 0, 0
			for b.Loop() {
				slabs, n := slabsOfSessions(&pid, c.sessions, c.files)
				lines += n
				first, second := with, without
				if len(ratios)%2 == 1 {
					first, second = without, with
				}
				took := map[*pipeline.Pipeline]time.Duration{}
				for _, p := range []*pipeline.Pipeline{first, second} {
					began := time.Now()
					for _, s := range slabs {
						p.Deliver(src, s)
					}
					took[p] = time.Since(began)
				}
				ratios = append(ratios, float64(took[with])/float64(took[without]))
			}
			slices.Sort(ratios)
			b.ReportMetric(ratios[len(ratios)/2], "ratio")
			b.ReportMetric(0, "ns/op") // it has the making of the lines in it
		})
	}
}

// slabsOfSessions returns what that many sessions log that run at the same time, each from its own
// client, in slabs of 64 lines, and the number of lines.
func slabsOfSessions(pid *int, sessions, files int) (slabs []*receiver.Slab, lines int) {
	say := func(s int, text string, args ...any) {
		if lines%64 == 0 {
			slabs = append(slabs, slabOf())
		}
		lines++
		slab := slabs[len(slabs)-1]
		slab.Messages = append(slab.Messages,
			fmt.Appendf(nil, "<30>Nov 23 18:40:52 vm rsyncd[%d]: "+text+"\n", append([]any{*pid%4_000_000 + s}, args...)...))
	}
	each := func(text string, args ...any) {
		for s := range sessions {
			client := (*pid + s) % 5000
			all := append([]any{client, client >> 8, client & 0xff}, args...)
			say(s, text, all...)
		}
	}
	const who = "client%[2]d.example.org (192.0.%[3]d.%[4]d)"
	each("connect from " + who)
	if files > 0 {
		each("rsync allowed access on module data from " + who)
		each("rsync on data/ from " + who)
		each("building file list")
	}
	for f := range files {
		each("send client%[2]d.example.org [192.0.%[3]d.%[4]d] data () pool/main/f/file_%[5]d_amd64.deb %[6]d", f, f*1009)
	}
	if files > 0 {
		each("sent %[5]d bytes  received 1234 bytes  total size %[5]d", files*1009)
	}
	*pid += sessions
	return slabs, lines
}

// BenchmarkLook copies what people look at: a thousand sessions that run, and as many as there can
// be.
func BenchmarkLook(b *testing.B) {
	for _, n := range []int{1000, 32_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			p := newPipeline(b, pipeline.Config{Books: allBooks})
			src, pid := &receiver.Source{Input: "udp", Name: "udp", Dialect: syslog.Auto{}}, 1
			for range n / 1000 {
				slabs, _ := slabsOfSessions(&pid, 1000, 1)
				for _, s := range slabs[:len(slabs)-1000/64-1] { // they don't end
					p.Deliver(src, s)
				}
			}
			if got := len(p.Look().Sessions); got < n-100 {
				b.Fatalf("%d sessions", got)
			}
			b.ReportAllocs()
			for b.Loop() {
				p.Look()
			}
		})
	}
}
