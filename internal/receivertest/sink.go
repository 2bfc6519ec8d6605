// Package receivertest has what tests of several kinds of inputs share: a sink, long lines,
// networks of their own.
package receivertest

import (
	"context"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"rsyncd_exporter/receiver"
)

// Sink keeps copies of what it is given. While held it behaves as a pipeline that is busy with
// another slab. The zero Sink is not held, and never is.
type Sink struct {
	On func(*receiver.Source, *receiver.Slab) // gets each slab in place of messages being kept, if it isn't nil

	mu        sync.Mutex
	released  sync.Cond
	held      bool
	count     uint64
	messages  []string
	senders   []receiver.Sender // of messages
	discarded [receiver.NumDiscards]uint64
	lastAt    int64
	backwards int // slabs that are older than the one before
	bad       int // slabs from no source
	refused   int // Offers while held
}

// NewSink returns a Sink that is held or not.
func NewSink(held bool) *Sink {
	h := &Sink{held: held}
	h.released.L = &h.mu
	return h
}

// NewCounter returns a Sink that counts messages and keeps none.
func NewCounter() *Sink {
	h := NewSink(false)
	h.On = func(*receiver.Source, *receiver.Slab) {}
	return h
}

// TryDeliver implements receiver.TrySink.
func (h *Sink) TryDeliver(src *receiver.Source, s *receiver.Slab) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.held {
		h.refused++
		return false
	}
	h.keep(src, s)
	return true
}

// Deliver implements receiver.Sink.
func (h *Sink) Deliver(src *receiver.Source, s *receiver.Slab) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for h.held {
		h.released.Wait()
	}
	h.keep(src, s)
}

func (h *Sink) keep(src *receiver.Source, s *receiver.Slab) {
	if src == nil || src.Name == "" {
		h.bad++
	}
	if s.At < h.lastAt {
		h.backwards++
	}
	h.lastAt = s.At
	h.count += uint64(len(s.Messages))
	if h.On != nil {
		h.On(src, s)
	} else {
		for i, m := range s.Messages {
			h.messages = append(h.messages, string(m))
			h.senders = append(h.senders, SenderOf(src, s, i))
		}
	}
	for i, n := range s.Discarded {
		h.discarded[i] += uint64(n)
	}
}

// Hold holds the Sink or lets it go.
func (h *Sink) Hold(held bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.held = held
	h.released.Broadcast()
}

// Received is what the metric of that name would show.
func (h *Sink) Received() uint64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	n := h.count
	for _, d := range h.discarded {
		n += d
	}
	return n
}

// Offers is how many slabs were refused.
func (h *Sink) Offers() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.refused
}

// All returns the messages, and the counts of those discarded.
func (h *Sink) All() ([]string, [receiver.NumDiscards]uint64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return append([]string(nil), h.messages...), h.discarded
}

// SenderOf says who sent a slab's message.
func SenderOf(src *receiver.Source, slab *receiver.Slab, i int) receiver.Sender {
	switch {
	case len(slab.Senders) > 0:
		return slab.Senders[i]
	case src == nil:
		return receiver.Sender{Addr: slab.Peer}
	}
	return receiver.Sender{Addr: slab.Peer, Scope: src.Scope}
}

// Senders returns who sent each message.
func (h *Sink) Senders() map[string]receiver.Sender {
	h.mu.Lock()
	defer h.mu.Unlock()
	all := map[string]receiver.Sender{}
	for i, m := range h.messages {
		all[m] = h.senders[i]
	}
	return all
}

// Of waits for a message that is this text, or has it behind its header, and returns who sent it.
func (h *Sink) Of(t *testing.T, text string) (from receiver.Sender) {
	t.Helper()
	Reach(t, "message "+text, func() bool {
		for m, sender := range h.Senders() {
			if m = strings.TrimSpace(m); m == text || strings.HasSuffix(m, ": "+text) {
				from = sender
				return true
			}
		}
		return false
	})
	return from
}

// WantFrom waits for a message and fails the test unless it came from the address.
func (h *Sink) WantFrom(t *testing.T, text, want string) {
	t.Helper()
	addr, _ := netip.ParseAddr(want)
	if got := h.Of(t, text).Addr; got != addr {
		t.Errorf("%s: from %v, want %v", text, got, addr)
	}
}

// CheckOrder fails the test if slabs came in the wrong order of time or without their source.
func (h *Sink) CheckOrder(t *testing.T) {
	t.Helper()
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.backwards > 0 || h.bad > 0 {
		t.Errorf("%d slabs older than the one before, %d without source", h.backwards, h.bad)
	}
}

// Reach polls until cond holds, for what no channel tells.
func Reach(t *testing.T, what string, cond func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); !cond(); time.Sleep(200 * time.Microsecond) {
		if time.Now().After(end) {
			t.Fatalf("not after a minute: %s", what)
		}
	}
}

// Start runs an input. The function that it returns ends it and waits for it; it is called at the
// end of the test in any case.
func Start(t *testing.T, in interface{ Run(context.Context) error }) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- in.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		select {
		case err := <-done:
			if err != nil {
				t.Errorf("Run returned %v, want nil", err)
			}
		case <-time.After(time.Minute):
			t.Error("Run didn't end within a minute")
		}
	})
	t.Cleanup(stop)
	return stop
}

// Send writes a message.
func Send(t *testing.T, c net.Conn, message string) {
	t.Helper()
	if _, err := c.Write([]byte(message)); err != nil {
		t.Fatal(err)
	}
}

// Must fails the test for an error of a call that prepares it.
func Must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// Clip cuts long messages, for errors.
func Clip(messages []string) []string {
	messages = slices.Clone(messages)
	for i, m := range messages {
		if len(m) > 50 {
			messages[i] = m[:50] + "… " + strconv.Itoa(len(m))
		}
	}
	return messages
}

// AllowList makes a list of prefixes.
func AllowList(prefixes ...string) *receiver.AllowList {
	var list []netip.Prefix
	for _, p := range prefixes {
		list = append(list, netip.MustParsePrefix(p))
	}
	return receiver.NewAllowList(list)
}

// PrivateNets is ALLOW_FROM's default.
var PrivateNets = []string{"127.0.0.0/8", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "169.254.0.0/16", "::1/128",
	"fc00::/7", "fe80::/10"}
