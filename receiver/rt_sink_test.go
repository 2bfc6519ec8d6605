package receiver

import (
	"context"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"
)

// holdSink keeps copies of what it is given. While held it behaves as a pipeline that is busy with another slab.
type holdSink struct {
	mu        sync.Mutex
	released  sync.Cond
	held      bool
	messages  []string
	discarded [NumDiscards]uint64
	lastAt    int64
	backwards int // slabs that are older than the one before
	bad       int // slabs from no source
	refused   int // offers while held
}

func newHoldSink(held bool) *holdSink {
	h := &holdSink{held: held}
	h.released.L = &h.mu
	return h
}

func (h *holdSink) TryDeliver(src *Source, s *Slab) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.held {
		h.refused++
		return false
	}
	h.keep(src, s)
	return true
}

func (h *holdSink) Deliver(src *Source, s *Slab) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for h.held {
		h.released.Wait()
	}
	h.keep(src, s)
}

func (h *holdSink) keep(src *Source, s *Slab) {
	if src == nil || src.Name == "" {
		h.bad++
	}
	if s.At < h.lastAt {
		h.backwards++
	}
	h.lastAt = s.At
	for _, m := range s.Messages {
		h.messages = append(h.messages, string(m))
	}
	for i, n := range s.Discarded {
		h.discarded[i] += uint64(n)
	}
}

func (h *holdSink) hold(held bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.held = held
	h.released.Broadcast()
}

// received is what the metric of that name would show.
func (h *holdSink) received() uint64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	n := uint64(len(h.messages))
	for _, d := range h.discarded {
		n += d
	}
	return n
}

// offers is how many slabs were refused.
func (h *holdSink) offers() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.refused
}

func (h *holdSink) all() ([]string, [NumDiscards]uint64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return append([]string(nil), h.messages...), h.discarded
}

// checkOrder fails the test if slabs came in the wrong order of time or without their source.
func (h *holdSink) checkOrder(t *testing.T) {
	t.Helper()
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.backwards > 0 || h.bad > 0 {
		t.Errorf("%d slabs older than the one before, %d without source", h.backwards, h.bad)
	}
}

// reach polls until cond holds, for what no channel tells.
func reach(t *testing.T, what string, cond func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); !cond(); time.Sleep(200 * time.Microsecond) {
		if time.Now().After(end) {
			t.Fatalf("not after a minute: %s", what)
		}
	}
}

// start runs an input. The function that it returns ends it and waits for it; it is called at the end of the test in any case.
func start(t *testing.T, in interface{ Run(context.Context) error }) (stop func()) {
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
		case <-time.After(15 * time.Second):
			t.Error("Run didn't end within 15 s")
		}
	})
	t.Cleanup(stop)
	return stop
}

func send(t *testing.T, c net.Conn, message string) {
	t.Helper()
	if _, err := c.Write([]byte(message)); err != nil {
		t.Fatal(err)
	}
}

// must fails the test for an error of a call that prepares it.
func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// clip cuts long messages, for errors.
func clip(messages []string) []string {
	messages = slices.Clone(messages)
	for i, m := range messages {
		if len(m) > 50 {
			messages[i] = m[:50] + "… " + strconv.Itoa(len(m))
		}
	}
	return messages
}

// allowList makes a list of prefixes.
func allowList(prefixes ...string) *AllowList {
	var list []netip.Prefix
	for _, p := range prefixes {
		list = append(list, netip.MustParsePrefix(p))
	}
	return NewAllowList(list)
}

// privateNets is ALLOW_FROM's default.
var privateNets = []string{"127.0.0.0/8", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "169.254.0.0/16", "::1/128", "fc00::/7", "fe80::/10"}
