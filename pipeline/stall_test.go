//go:build linux

package pipeline_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"rsyncd_exporter/internal/testenv"
	"rsyncd_exporter/pipeline"
	"rsyncd_exporter/receiver"
	"rsyncd_exporter/receiver/datagram"
	"rsyncd_exporter/receiver/syslog"
)

// A real daemon doesn't notice that the pipeline stands still: with the lock held, pulls of thousands of files, each a message, go on
// until well after the pending ring is full, as fast as before. Afterwards the exporter shows what it dropped.
func TestAStalledPipelineDoesNotHoldRsyncdUp(t *testing.T) {
	const files, stalledPulls = 3000, 5 // 15,000 messages; the ring holds 8,192
	p := newPipeline(t, pipeline.Config{})
	socket := filepath.Join(testenv.Dir(t), "log")
	src := receiver.Source{Input: "unixgram", Name: "unixgram " + socket, Dialect: syslog.Auto{Local: true}}
	u, err := datagram.ListenUnixgram(socket, src, p, datagram.UnixgramOptions{})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- u.Run(ctx) }()
	d := testenv.StartRsyncd(t, socket)
	for i := range files {
		if err := os.WriteFile(filepath.Join(d.Module("mirror"), fmt.Sprintf("small%04d", i)), []byte("x"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	mine := testenv.Dir(t)
	pull := func(i int) time.Duration {
		t.Helper()
		start := time.Now()
		if code, out := testenv.Rsync(t, "-a", "--timeout=60", d.URL("", "mirror/"), filepath.Join(mine, fmt.Sprint(i))); code != 0 {
			t.Fatalf("pull %d: exit code %d: %s", i, code, out)
		}
		return time.Since(start)
	}
	free := pull(0)

	goOn := p.Stall() // until the clients are done, which they would never be if the daemon waited: a client gives up after a minute
	var stalled time.Duration
	for i := range stalledPulls {
		stalled = max(stalled, pull(i+1))
	}
	goOn()
	t.Logf("a pull of %d files: %v with a free pipeline, at most %v with a stalled one", files, free, stalled)

	sent := 1.0 + (1+stalledPulls)*(files+2+5) // the daemon's start; connect, allowed, start, file list and summary of each pull
	var series map[string]float64
	testenv.Until(t, time.Minute, "all messages to be accounted for", func() bool {
		series = gathered(t, p)
		return total(series, "rsyncd_exporter_received_total") >= sent
	})
	checkIdentities(t, series)
	if got := total(series, "rsyncd_exporter_received_total"); got != sent {
		t.Errorf("received %v, want %v", got, sent)
	}
	if got := series[`rsyncd_exporter_discarded_total{input="unixgram",reason="overflow"}`]; got == 0 {
		t.Error("nothing was dropped: the test doesn't fill the ring")
	} else {
		t.Logf("dropped and counted: %v of %v messages", got, sent)
	}
	stop()
	if err := <-done; err != nil {
		t.Error(err)
	}
}
