package stream

import (
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"
)

// A gate counts the open connections of one listener, in total and by where they come from, and holds them to their limits. Where a limit
// is reached, a connection that has been quiet for long makes room: closing it without need would lose messages, see docs/decisions.md.
type gate struct {
	most       int           // connections in total
	mostOfOne  int           // connections of one sender
	idle       time.Duration // after which one that has sent a message may have to go
	silent     time.Duration // after which one that has not may have to go
	handshakes chan struct{} // holds a token for each TLS handshake that is under way
	began      time.Time     // when its clock began, which doesn't jump when the machine's time is set

	mu       sync.Mutex
	visitors map[*visitor]struct{}
	senders  map[netip.Addr]*sender // those with open connections
}

// A sender is where connections come from: an IPv4 address, or an IPv6 network of 64 bits, which is what one machine gets.
type sender struct {
	addr       netip.Addr
	open       int           // guarded by gate.mu
	handshakes chan struct{} // as gate's, for this sender: one that stalls its handshakes holds up no other's
}

// A visitor is one connection that was let in.
type visitor struct {
	from  *sender
	conn  net.Conn
	quiet atomic.Int64 // since when, by the gate's clock
	spoke atomic.Bool  // it has sent a whole message
}

func newGate(opt TCPOptions) *gate {
	return &gate{most: opt.MaxConnections, mostOfOne: opt.MaxPerSource, idle: opt.IdleTimeout, silent: opt.MessageTimeout, began: time.Now(),
		handshakes: make(chan struct{}, opt.MaxHandshakes), visitors: map[*visitor]struct{}{}, senders: map[netip.Addr]*sender{}}
}

// clock returns a time by the gate's clock, in nanoseconds.
func (g *gate) clock(now time.Time) int64 { return int64(now.Sub(g.began)) }

// enter counts a connection in, or returns why not. The caller calls leave when it has ended. Another one that had to make room has
// been closed and counted out.
func (g *gate) enter(conn net.Conn, now time.Time) (v *visitor, madeRoom bool, reason Refusal) {
	addr := limitKey(conn.RemoteAddr())
	g.mu.Lock()
	defer g.mu.Unlock()
	from := g.senders[addr]
	if from != nil && from.open >= g.mostOfOne {
		if madeRoom = g.makeRoom(from, now); !madeRoom {
			return nil, false, TooManyFromSource
		}
	}
	if len(g.visitors) >= g.most {
		if madeRoom = g.makeRoom(nil, now); !madeRoom {
			return nil, false, TooMany
		}
	}
	if from = g.senders[addr]; from == nil {
		from = &sender{addr: addr, handshakes: make(chan struct{}, max(1, cap(g.handshakes)/4))}
		g.senders[addr] = from
	}
	from.open++
	v = &visitor{from: from, conn: conn}
	v.quiet.Store(g.clock(now))
	g.visitors[v] = struct{}{}
	return v, madeRoom, Admitted
}

// makeRoom closes the connection that has been quiet for the longest time beyond what it may, of one sender or, with nil, of all.
func (g *gate) makeRoom(of *sender, now time.Time) bool {
	var longest *visitor
	var least time.Duration = -1
	for v := range g.visitors {
		limit := g.silent
		if v.spoke.Load() {
			limit = g.idle
		}
		if over := time.Duration(g.clock(now)-v.quiet.Load()) - limit; over > least && (of == nil || v.from == of) {
			longest, least = v, over
		}
	}
	if longest == nil || least < 0 {
		return false
	}
	longest.conn.Close()
	g.remove(longest)
	return true
}

// leave counts a connection out, if makeRoom hasn't.
func (g *gate) leave(v *visitor) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.remove(v)
}

func (g *gate) remove(v *visitor) {
	if _, in := g.visitors[v]; !in {
		return
	}
	delete(g.visitors, v)
	if v.from.open--; v.from.open == 0 {
		delete(g.senders, v.from.addr)
	}
}

// connections returns how many are open.
func (g *gate) connections() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return len(g.visitors)
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

// limitKey returns what limits go by. A v4-mapped address is the IPv4 address that it holds.
func limitKey(peer net.Addr) netip.Addr {
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
