//go:build linux

package pipeline_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"rsyncd_exporter/internal/testenv"
	"rsyncd_exporter/pipeline"
	"rsyncd_exporter/receiver"
	"rsyncd_exporter/receiver/datagram"
	"rsyncd_exporter/receiver/follow"
	"rsyncd_exporter/receiver/syslog"
)

// A slabCounter counts what the files deliver.
type slabCounter struct {
	*pipeline.Pipeline
	slabs, lines atomic.Int64
}

func (c *slabCounter) Deliver(src *receiver.Source, s *receiver.Slab) {
	n := int64(len(s.Messages))
	c.Pipeline.Deliver(src, s)
	c.slabs.Add(1)
	c.lines.Add(n)
}

// backlog reads a log of 32 MiB from its beginning, again and again, each time as another file's, until ctx ends.
func (c *slabCounter) backlog(t *testing.T, ctx context.Context) {
	path := filepath.Join(testenv.Dir(t), "rsyncd.log")
	const line = "2026/11/23 18:40:52 [505] send mirror7.example.net [203.0.113.7] archive () dists/stable/main/binary-amd64/Packages.gz 11234567\n"
	if err := os.WriteFile(path, []byte(strings.Repeat(line, 32<<20/len(line))), 0o644); err != nil {
		t.Error(err)
		return
	}
	for scope := uint32(2); ctx.Err() == nil; scope++ {
		source := func(path string, _ uint32) receiver.Source {
			return receiver.Source{Input: "file", Name: "file " + path, Scope: scope, Dialect: syslog.Lines{}}
		}
		f, err := follow.NewSet(follow.SetOptions{Paths: []string{path}, FromBeginning: true, Source: source}, c)
		if err != nil {
			t.Error(err)
			return
		}
		one, stop := context.WithCancel(ctx)
		done := make(chan error, 1)
		go func() { done <- f.Run(one) }()
		select {
		case <-f.CaughtUp():
		case <-ctx.Done():
		}
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}

// While a backlog is read from a file, a real daemon's messages all come in, none for want of its turn is thrown away, and whoever
// asks for the books waits for a few slabs, not for the backlog.
func TestABacklogHoldsNobodyUp(t *testing.T) {
	const files, pulls = 3000, 3
	p := newPipeline(t, pipeline.Config{})
	c := &slabCounter{Pipeline: p}
	socket := filepath.Join(testenv.Dir(t), "log")
	u, err := datagram.ListenUnixgram(socket, receiver.Source{Input: "unixgram", Name: "unixgram " + socket, Dialect: syslog.Auto{Local: true}},
		c, datagram.UnixgramOptions{})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- u.Run(ctx) }()
	read, stopReading := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		c.backlog(t, read)
	}()
	testenv.Until(t, time.Minute, "the backlog to be under way", func() bool { return c.slabs.Load() > 0 })

	d := testenv.StartRsyncd(t, socket)
	for i := range files {
		if err := os.WriteFile(filepath.Join(d.Module("mirror"), fmt.Sprintf("small%04d", i)), []byte("x"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	mine := testenv.Dir(t)
	var waited []int64 // slabs that were delivered while a snapshot was asked for
	for i := range pulls {
		before := c.slabs.Load()
		if code, out := testenv.Rsync(t, "-a", "--timeout=60", d.URL("", "mirror/"), filepath.Join(mine, fmt.Sprint(i))); code != 0 {
			t.Fatalf("pull %d: exit code %d: %s", i, code, out)
		}
		if c.slabs.Load() == before {
			t.Errorf("pull %d: the backlog stood still meanwhile", i)
		}
		for range 30 {
			asked := c.slabs.Load()
			p.Snapshot()
			waited = append(waited, c.slabs.Load()-asked)
		}
	}
	stopReading()
	<-ended

	sent := 1.0 + pulls*(files+2+5) // the daemon's start; connect, allowed, start, file list and summary of each pull
	var series map[string]float64
	testenv.Until(t, time.Minute, "all of the daemon's messages", func() bool {
		series = gathered(t, p)
		return series[`rsyncd_exporter_received_total{input="unixgram"}`] >= sent
	})
	checkIdentities(t, series)
	if got := series[`rsyncd_exporter_received_total{input="unixgram"}`]; got != sent {
		t.Errorf("received %v from the daemon, want %v", got, sent)
	}
	if n := series[`rsyncd_exporter_discarded_total{input="unixgram",reason="overflow"}`]; n != 0 {
		t.Errorf("%v messages were thrown away for want of a turn", n)
	}
	if got, want := series[`rsyncd_exporter_received_total{input="file"}`], float64(c.lines.Load()); got != want || want < 100_000 {
		t.Errorf("%v lines of the file are counted, want %v", got, want)
	}
	slices.Sort(waited)
	if median := waited[len(waited)/2]; median > 20 {
		t.Errorf("half of the snapshots waited for %d slabs and more: %v", median, waited)
	}
	t.Logf("%d lines of the backlog in %d slabs; snapshots waited for %d slabs (median), %d at most", c.lines.Load(), c.slabs.Load(),
		waited[len(waited)/2], waited[len(waited)-1])
	stop()
	if err := <-done; err != nil {
		t.Error(err)
	}
}
