package stream

import (
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"
)

// A gate limits the open connections of one listener, in total and by sender. At a limit a
// connection that has been quiet for long makes room. Otherwise quiet connections stay: closing one
// may lose messages, see docs/decisions.md.
type gate struct {
	opt        TCPOptions
	handshakes chan struct{} // holds a token for each TLS handshake that is under way
	began      time.Time     // of its clock, which doesn't jump when the machine's time is set

	mu       sync.Mutex
	visitors map[*visitor]struct{}
	senders  map[netip.Addr]*sender // those with open connections
}

// A sender is an IPv4 address, or an IPv6 network of 64 bits.
type sender struct {
	addr       netip.Addr
	open       int           // guarded by gate.mu
	handshakes chan struct{} // as gate's, so that a sender that stalls its handshakes holds up no other
}

// A visitor is one connection that was let in.
type visitor struct {
	from  *sender
	conn  net.Conn
	quiet atomic.Int64 // since when, by the gate's clock
	spoke atomic.Bool  // it has sent a whole message
}

func newGate(opt TCPOptions) *gate {
	return &gate{opt: opt, handshakes: make(chan struct{}, opt.MaxHandshakes), began: time.Now(),
		visitors: map[*visitor]struct{}{}, senders: map[netip.Addr]*sender{}}
}

// clock returns a time by the gate's clock, in nanoseconds.
func (g *gate) clock(now time.Time) int64 { return int64(now.Sub(g.began)) }

// enter counts a connection in, or returns why not. Another one that had to make room has been
// closed and counted out. The caller calls leave.
func (g *gate) enter(conn net.Conn, now time.Time) (v *visitor, madeRoom bool, reason Refusal) {
	addr := limitKey(remoteIP(conn))
	g.mu.Lock()
	defer g.mu.Unlock()
	from := g.senders[addr]
	if from != nil && from.open >= g.opt.MaxPerSource {
		if madeRoom = g.makeRoom(from, now); !madeRoom {
			return nil, false, TooManyFromSource
		}
	}
	if len(g.visitors) >= g.opt.MaxConnections {
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

// makeRoom closes the connection that most exceeds its idle limit; a nil sender stands for all.
func (g *gate) makeRoom(of *sender, now time.Time) bool {
	var longest *visitor
	var most time.Duration
	for v := range g.visitors {
		limit := g.opt.MessageTimeout
		if v.spoke.Load() {
			limit = g.opt.IdleTimeout
		}
		over := time.Duration(g.clock(now)-v.quiet.Load()) - limit
		if (of == nil || v.from == of) && (over > most || over == most && longest == nil) {
			longest, most = v, over
		}
	}
	if longest == nil {
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

func (g *gate) connections() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return len(g.visitors)
}

// startHandshake waits for a turn until done is closed. Whoever got one calls endHandshake.
func (g *gate) startHandshake(from *sender, done <-chan struct{}) bool {
	if !turn(from.handshakes, done) {
		return false
	}
	if !turn(g.handshakes, done) {
		<-from.handshakes
		return false
	}
	return true
}

// turn waits for a turn until done is closed. One that is free can be had afterwards as well.
func turn(turns chan<- struct{}, done <-chan struct{}) bool {
	select {
	case turns <- struct{}{}:
		return true
	default:
	}
	select {
	case turns <- struct{}{}:
		return true
	case <-done:
		return false
	}
}

func (g *gate) endHandshake(from *sender) {
	<-g.handshakes
	<-from.handshakes
}

// limitKey returns what limits go by: an address, or the /64 of an IPv6 address.
func limitKey(addr netip.Addr) netip.Addr {
	addr = addr.Unmap().WithZone("")
	if addr.Is6() {
		prefix, _ := addr.Prefix(64) // it has 128 bits
		addr = prefix.Addr()
	}
	return addr
}
