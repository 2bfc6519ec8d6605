package receiver

import (
	"net"
	"net/netip"
	"sync"
)

// A gate counts the open connections of one listener, in total and by where they come from, and holds them to their limits.
type gate struct {
	most       int           // connections in total
	mostOfOne  int           // connections of one source
	handshakes chan struct{} // holds a token for each TLS handshake that is under way

	mu      sync.Mutex
	open    int
	senders map[netip.Addr]*sender // those with open connections
}

// A sender is where connections come from: an IPv4 address, or an IPv6 network of 64 bits, which is what one machine gets.
type sender struct {
	addr       netip.Addr
	open       int           // guarded by gate.mu
	handshakes chan struct{} // as gate's, for this source: one that stalls its handshakes holds up no other's
}

func newGate(most, mostOfOne, handshakes int) *gate {
	return &gate{most: most, mostOfOne: mostOfOne, handshakes: make(chan struct{}, handshakes), senders: map[netip.Addr]*sender{}}
}

// enter counts a connection in. The caller calls leave when it has ended. A sender that is nil was refused.
func (g *gate) enter(peer net.Addr) (*sender, Refusal) {
	addr := sourceOf(peer)
	g.mu.Lock()
	defer g.mu.Unlock()
	from := g.senders[addr]
	switch {
	case g.open >= g.most:
		return nil, TooMany
	case from == nil:
		from = &sender{addr: addr, handshakes: make(chan struct{}, max(1, cap(g.handshakes)/4))}
		g.senders[addr] = from
	case from.open >= g.mostOfOne:
		return nil, TooManyFromSource
	}
	from.open++
	g.open++
	return from, Admitted
}

// leave counts a connection out.
func (g *gate) leave(from *sender) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.open--
	if from.open--; from.open == 0 {
		delete(g.senders, from.addr)
	}
}

// connections returns how many are open.
func (g *gate) connections() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.open
}

// startHandshake waits for a turn to do a TLS handshake, until done is closed. The caller calls endHandshake if it got one.
func (g *gate) startHandshake(from *sender, done <-chan struct{}) bool {
	select {
	case from.handshakes <- struct{}{}:
	case <-done:
		return false
	}
	select {
	case g.handshakes <- struct{}{}:
		return true
	case <-done:
		<-from.handshakes
		return false
	}
}

func (g *gate) endHandshake(from *sender) {
	<-g.handshakes
	<-from.handshakes
}

// sourceOf returns what limits go by. A v4-mapped address is the IPv4 address that it holds.
func sourceOf(peer net.Addr) netip.Addr {
	tcp, ok := peer.(*net.TCPAddr)
	if !ok {
		return netip.Addr{}
	}
	addr := tcp.AddrPort().Addr().Unmap().WithZone("")
	if addr.Is6() {
		prefix, _ := addr.Prefix(64) // it has 128 bits
		addr = prefix.Addr()
	}
	return addr
}
