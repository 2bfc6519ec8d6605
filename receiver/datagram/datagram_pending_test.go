package datagram

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"rsyncd_exporter/receiver"
	"rsyncd_exporter/receiver/syslog"
)

var testSource = receiver.Source{Input: "udp", Name: "test", Dialect: syslog.Auto{Local: true}}

func slabOf(at int64, messages ...string) *receiver.Slab {
	s := &receiver.Slab{At: at}
	for _, m := range messages {
		s.Messages = append(s.Messages, []byte(m))
	}
	return s
}

// 10,000 short messages: 8 slabs of 1024 keep 8192, 1808 are lost. 200 of 16 KiB: 256 KiB hold 16, 8 slabs 128, 72 are lost.
func TestPendingRingKeepsWhatItsLimitsSay(t *testing.T) {
	var ring pendingRing // used again and again, as a reader's is
	for _, tt := range []struct{ sent, size, kept, lost int }{{10000, 8, 8192, 1808}, {200, receiver.MaxMessage, 128, 72}, {8192, 0, 8192, 0}, {200, receiver.MaxMessage, 128, 72}} {
		sink := newHoldSink(true)
		for i := range tt.sent {
			m := []byte(fmt.Sprintf("%08d", i))
			if tt.size == 0 {
				m = nil
			} else {
				m = append(m, make([]byte, tt.size-8)...)
			}
			s := &receiver.Slab{At: int64(i), Messages: [][]byte{m}}
			ring.add(s)
			clear(m) // the caller's memory is reused
		}
		if ring.offer(&testSource, sink) {
			t.Fatal("offer to a held sink returned true")
		}
		sink.Hold(false)
		if !ring.offer(&testSource, sink) || ring.n != 0 {
			t.Fatal("offer to a free sink left something behind")
		}
		sink.CheckOrder(t)
		got, lost := sink.All()
		if len(got) != tt.kept || lost[receiver.Overflow] != uint64(tt.lost) {
			t.Errorf("%d of %d bytes: kept %d, lost %d; want %d, %d", tt.sent, tt.size, len(got), lost[receiver.Overflow], tt.kept, tt.lost)
		}
		for i, m := range got {
			if tt.size > 0 && m[:8] != fmt.Sprintf("%08d", i) {
				t.Fatalf("message %d is %q", i, m[:8])
			}
		}
	}
}

// Random batches against a sink that is held at random: order is kept, and every message and every count comes out once or is Overflow.
func TestPendingRingLosesNothingUncounted(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	d := newDatagrams(-1, &testSource, nil, filter{})
	for round := range 4 {
		sink, held := newHoldSink(false), false
		d.sink = sink
		var sent, oversize int
		for batch := range 600 {
			if r.IntN(40) == 0 {
				held = !held
				sink.Hold(held)
			}
			s := &receiver.Slab{At: int64(batch)}
			for range r.IntN(65) {
				s.Messages = append(s.Messages, []byte(fmt.Sprintf("%07d%s", sent, strings.Repeat("x", r.IntN(1+r.IntN(3000))))))
				sent++
			}
			n := r.IntN(3)
			s.Discarded[receiver.Oversize] = uint32(n)
			oversize += n
			d.slab = *s
			d.handOver()
		}
		sink.Hold(false)
		if !d.pending.offer(d.src, d.sink) {
			t.Fatal("ring isn't empty after the end")
		}
		got, lost := sink.All()
		if uint64(len(got))+lost[receiver.Overflow] != uint64(sent) || lost[receiver.Oversize] != uint64(oversize) {
			t.Fatalf("round %d: %d + %d overflow of %d sent, %d oversize of %d", round, len(got), lost[receiver.Overflow], sent, lost[receiver.Oversize], oversize)
		}
		if !slices.IsSortedFunc(got, func(a, b string) int { return strings.Compare(a[:7], b[:7]) }) {
			t.Fatalf("round %d: out of order", round)
		}
		sink.CheckOrder(t)
	}
}

// At the end, what is pending is offered for two seconds and taken as soon as the sink is free.
func TestPendingIsSettledWhenSinkBecomesFree(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sink := newHoldSink(true)
		d := newDatagrams(-1, &testSource, sink, filter{})
		d.slab = *slabOf(1, "a", "b")
		d.handOver()
		time.AfterFunc(1500*time.Millisecond, func() { sink.Hold(false) })
		start := time.Now()
		d.settle()
		if got, lost := sink.All(); !slices.Equal(got, []string{"a", "b"}) || lost[receiver.Overflow] != 0 {
			t.Errorf("got %q, lost %v", got, lost)
		}
		if waited := time.Since(start); waited > 1600*time.Millisecond {
			t.Errorf("waited %v after 1.5 s of a held sink", waited)
		}
	})
}

// A sink that refuses messages for good: settle ends, and what was lost gets through as a count at the last attempt.
func TestPendingIsGivenUpAfterTwoSeconds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		counter := &countsOnly{}
		d := newDatagrams(-1, &testSource, counter, filter{})
		for i := range 3000 {
			d.slab = *slabOf(int64(i), "m")
			d.slab.Discarded[receiver.Oversize] = 1
			d.handOver()
		}
		start := time.Now()
		d.settle()
		if waited := time.Since(start); waited < settleLimit || waited > settleLimit+100*time.Millisecond {
			t.Errorf("settle took %v, want %v", waited, settleLimit)
		}
		if counter.discarded[receiver.Overflow] != 3000 || counter.discarded[receiver.Oversize] != 3000 || d.pending.n != 0 {
			t.Errorf("counts %v, %d slabs left; want 3000 overflow, 3000 oversize, 0", counter.discarded, d.pending.n)
		}
	})
}

// countsOnly refuses every slab that has messages.
type countsOnly struct{ discarded [receiver.NumDiscards]uint64 }

func (c *countsOnly) TryDeliver(_ *receiver.Source, s *receiver.Slab) bool {
	if len(s.Messages) > 0 {
		return false
	}
	for i, n := range s.Discarded {
		c.discarded[i] += uint64(n)
	}
	return true
}
