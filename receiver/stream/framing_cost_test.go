package stream

import (
	"bytes"
	"path/filepath"
	"testing"
	"time"

	"rsyncd_exporter/internal/corpus"
	"rsyncd_exporter/internal/receivertest"
	"rsyncd_exporter/internal/testenv"
	"rsyncd_exporter/receiver"
)

// feed takes stream through f in full reads.
func feed(f *framer, slab *receiver.Slab, sink receiver.Sink, stream []byte) {
	for len(stream) > 0 {
		n := copy(f.space(), stream)
		stream = stream[n:]
		f.advance(n)
		_ = f.deliver(nil, sink, slab, 1)
	}
}

func TestFramerAllocatesNothing(t *testing.T) {
	stream := corpus.ReadFile(t, filepath.Join(corpus.Dir(), "forwarded", "syslogng-syslog-tcp-octet.raw"))
	var f framer
	var slab receiver.Slab
	sink := receivertest.NewCounter()
	feed(&f, &slab, sink, stream) // the buffer and the slab grow to their size
	if n := testing.AllocsPerRun(20, func() { feed(&f, &slab, sink, stream) }); n != 0 {
		t.Errorf("%v allocations for %d bytes, want 0", n, len(stream))
	}
	if sink.Received() != 1087*22 { // one to grow, one of AllocsPerRun to warm up, 20 counted
		t.Errorf("%d messages, want %d", sink.Received(), 1087*22)
	}
}

// A buffer starts small: a thousand idle connections are cheap.
func TestFramerStartsSmall(t *testing.T) {
	var f framer
	var slab receiver.Slab
	for range 100 {
		f.advance(copy(f.space(), "<30>hello\n"))
		_ = f.deliver(nil, receivertest.NewCounter(), &slab, 1)
	}
	if len(f.buf) != framerStart {
		t.Errorf("buffer of %d bytes after small messages, want %d", len(f.buf), framerStart)
	}
}

// A read of nothing but terminators is the worst one can send: 65,536 messages in 64 KiB. One slab must not hold them all.
func TestFramerWithNothingButTerminators(t *testing.T) {
	for _, c := range []string{"\x00", "\n"} {
		var f framer
		var slab receiver.Slab
		sink := receivertest.NewCounter()
		feed(&f, &slab, sink, bytes.Repeat([]byte(c), 1<<20))
		if sink.Received() != 1<<20 {
			t.Errorf("%d messages from %q, want %d", sink.Received(), c, 1<<20)
		}
		if cap(slab.Messages) > 2*framerBatch {
			t.Errorf("slab grew to %d messages, want about %d", cap(slab.Messages), framerBatch)
		}
	}
}

// Nor may the search for the other terminator, which never comes, be done for each message: that took 20 times as long.
// A stream in which both are always near is the measure.
func TestFramerSearchesOnce(t *testing.T) {
	cost := func(stream []byte) time.Duration {
		best := time.Hour
		for range 5 {
			var f framer
			var slab receiver.Slab
			best = min(best, testenv.CPUTime(func() { feed(&f, &slab, receivertest.NewCounter(), stream) }))
		}
		return best
	}
	both := cost(bytes.Repeat([]byte("\n\x00"), 128<<10))
	for _, c := range []string{"\x00", "\n"} {
		if one := cost(bytes.Repeat([]byte(c), 256<<10)); one > 5*both {
			t.Errorf("256 KiB of %q took %v, of both terminators %v", c, one, both)
		}
	}
}

func BenchmarkFramer(b *testing.B) {
	stream := corpus.ReadFile(b, filepath.Join(corpus.Dir(), "forwarded", "rsyslog-forward-tcp-lf.raw"))
	var f framer
	var slab receiver.Slab
	sink := receivertest.NewCounter()
	b.SetBytes(int64(len(stream)))
	b.ReportAllocs()
	for b.Loop() {
		feed(&f, &slab, sink, stream)
	}
}
