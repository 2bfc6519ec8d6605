package pipeline_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"rsyncd_exporter/clients"
	"rsyncd_exporter/pipeline"
	"rsyncd_exporter/rsynclog"
)

// wholeSessions is a load of sessions from their connect to their summary: few of many files as backups are, or many of no file as
// those that only ask. Each comes from another address.
func wholeSessions(name string, files int) load {
	l := load{name: name, fresh: 500}
	for i := range l.fresh {
		h := fmt.Sprintf("<30>Nov 23 18:40:52 vm rsyncd[%d]: ", freshPID+i)
		who := fmt.Sprintf("client%d.example.net (10.7.%d.%d)", i, i>>8, i&255)
		l.lines = append(l.lines, h+"connect from "+who, h+"rsync allowed access on module archive from "+who,
			h+"rsync on archive/dists/ from "+who, h+"building file list")
		for f := range files {
			l.lines = append(l.lines, h+fmt.Sprintf("send client%d.example.net [10.7.%d.%d] archive () dists/stable/dir%d/file%d.gz %d",
				i, i>>8, i&255, f%7, f, f*10090))
		}
		l.lines = append(l.lines, h+"sent 1310256 bytes  received 120 bytes  total size 1309578")
	}
	return l
}

// BenchmarkBooks compares pipelines with and without the book of clients. They take turns as in BenchmarkShortcuts.
func BenchmarkBooks(b *testing.B) {
	for _, l := range []load{loads()[0], wholeSessions("sessions of 20 files", 20), wholeSessions("sessions of no file", 0)} {
		b.Run(l.name, func(b *testing.B) {
			limits := rsynclog.DefaultLimits()
			limits.Sessions = 1000 // so that each that begins ends another one
			book := clients.NewBook(nil, clients.Config{Now: time.Now().UnixNano()})
			without := newRunner(b, l, pipeline.Config{Limits: limits})
			with := newRunner(b, l, pipeline.Config{Limits: limits, Books: func(*pipeline.Checkpoint) pipeline.Books {
				return pipeline.Books{Clients: book}
			}})
			var ratios []float64
			for b.Loop() {
				w := without.pass()
				ratios = append(ratios, float64(with.pass())/float64(w))
			}
			slices.Sort(ratios)
			b.ReportMetric(float64(without.least.Nanoseconds())/float64(len(l.lines)), "ns/message-without")
			b.ReportMetric(float64(with.least.Nanoseconds())/float64(len(l.lines)), "ns/message")
			b.ReportMetric(ratios[len(ratios)/2], "ratio")
			b.ReportMetric(float64(book.Record().Sums[0].Sessions), "ended")
			b.ReportMetric(0, "ns/op")
		})
	}
}
