package pipeline_test

import (
	"context"
	"fmt"
	"io"
	"os"
	"slices"
	"syscall"
	"testing"
	"time"

	"rsyncd_exporter/backups"
	"rsyncd_exporter/clients"
	"rsyncd_exporter/pipeline"
	"rsyncd_exporter/receiver"
	"rsyncd_exporter/receiver/syslog"
	"rsyncd_exporter/rsynclog"
	"rsyncd_exporter/status/recent"
	"rsyncd_exporter/status/sessionlog"
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

// BenchmarkBooks compares pipelines with and without all books. They take turns as in BenchmarkShortcuts. The session log writes between
// the passes, so that no session is dropped.
func BenchmarkBooks(b *testing.B) {
	for _, l := range []load{loads()[0], wholeSessions("sessions of 20 files", 20), wholeSessions("sessions of no file", 0)} {
		b.Run(l.name, func(b *testing.B) {
			limits := rsynclog.DefaultLimits()
			limits.Sessions = 1000 // so that each that begins ends another one
			now := time.Now().UnixNano()
			all := pipeline.Books{
				Clients: clients.NewBook(nil, clients.Config{Now: now}), Backups: backups.NewBook(nil, nil, now),
				Recent: recent.NewBook(), Ended: sessionlog.NewQueue(nil, false, now),
			}
			drain := writeEnded(b, all.Ended)
			without := newRunner(b, l, pipeline.Config{Limits: limits})
			with := newRunner(b, l, pipeline.Config{Limits: limits, Books: func(*pipeline.Checkpoint) pipeline.Books { return all }})
			var ratios []float64
			for b.Loop() {
				w := without.pass()
				ratios = append(ratios, float64(with.pass())/float64(w))
				drain()
			}
			slices.Sort(ratios)
			b.ReportMetric(float64(without.least.Nanoseconds())/float64(len(l.lines)), "ns/message-without")
			b.ReportMetric(float64(with.least.Nanoseconds())/float64(len(l.lines)), "ns/message")
			b.ReportMetric(ratios[len(ratios)/2], "ratio")
			b.ReportMetric(float64(all.Clients.Record().Sums[0].Sessions), "ended")
			b.ReportMetric(0, "ns/op")
		})
	}
}

// writeEnded writes a queue to nowhere. It returns what waits until everything is written.
func writeEnded(b *testing.B, q *sessionlog.Queue) (drain func()) {
	wake, ended := make(chan os.Signal), make(chan struct{})
	w := sessionlog.NewWriter(q, sessionlog.Options{Path: "-", Stdout: io.Discard, Reopen: wake, Report: func(err error) {
		if err != nil {
			b.Error(err)
		}
	}})
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		defer close(ended)
		_ = w.Run(ctx) // Report has said it
	}()
	b.Cleanup(func() {
		cancel()
		<-ended
		if n := q.Counts().Dropped; n > 0 {
			b.Errorf("%d sessions found no room", n)
		}
	})
	return func() {
		for q.Counts().Waiting > 0 {
			wake <- syscall.SIGHUP // it writes, whenever it is told anything
		}
	}
}

// BenchmarkLook copies what people look at: a thousand sessions that run, and as many as there can
// be.
func BenchmarkLook(b *testing.B) {
	for _, n := range []int{1000, 32_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			p := newPipeline(b, pipeline.Config{})
			src := &receiver.Source{Input: "udp", Name: "udp", Dialect: syslog.Auto{}}
			for pid := range n {
				h := fmt.Sprintf("<30>Nov 23 18:40:52 vm rsyncd[%d]: ", 100+pid)
				p.Deliver(src, slabOf(h+"connect from localhost (127.0.0.1)", h+"rsync on archive/dists/ from localhost (127.0.0.1)",
					h+"send localhost [127.0.0.1] archive () dists/stable/main/binary-amd64/Packages.xz 10090"))
			}
			if got := len(p.Look().Sessions); got != n {
				b.Fatalf("%d sessions", got)
			}
			b.ReportAllocs()
			for b.Loop() {
				p.Look()
			}
		})
	}
}
