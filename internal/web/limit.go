package web

import (
	"container/list"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// A limitListener has at most max connections open. One more replaces the one idle longest, unless
// its request is under way, so that silent clients keep no scraper out. Connections keep
// CloseWrite, which netutil.LimitListener hides and net/http's last answers need.
type limitListener struct {
	*net.TCPListener
	max    int
	before func() error // is called before a connection is read; an error closes it. nil: nothing

	mu      sync.Mutex
	room    sync.Cond // a connection was closed or waits again, or the listener was closed
	waiting list.List // of *limitConn: for a request, its rest, or the next one; the longest first
	open    int       // those in waiting, and those that are served
	closed  bool
}

// limitConnections limits l's connections. The server's ConnState must be connState.
func limitConnections(l *net.TCPListener, max int) *limitListener {
	limited := &limitListener{TCPListener: l, max: max}
	limited.room.L = &limited.mu
	return limited
}

// Accept waits for a connection, and for room while all others have requests under way.
func (l *limitListener) Accept() (net.Conn, error) {
	conn, err := l.AcceptTCP()
	if err != nil {
		return nil, err
	}
	c := &limitConn{TCPConn: conn, listener: l}
	l.mu.Lock()
	defer l.mu.Unlock()
	for l.open >= l.max && !l.closed {
		if longest := l.waiting.Front(); longest != nil {
			longest.Value.(*limitConn).leave()
			longest.Value.(*limitConn).TCPConn.Close()
			break
		}
		l.room.Wait()
	}
	if l.closed {
		conn.Close()
		return nil, net.ErrClosed
	}
	l.open++
	c.element = l.waiting.PushBack(c)
	return c, nil
}

func (l *limitListener) Close() error {
	l.mu.Lock()
	l.closed = true
	l.room.Broadcast()
	l.mu.Unlock()
	return l.TCPListener.Close()
}

// connState is for http.Server.ConnState.
func connState(conn net.Conn, state http.ConnState) {
	if t, ok := conn.(*tls.Conn); ok {
		conn = t.NetConn()
	}
	if c, ok := conn.(*limitConn); ok {
		c.serving(state == http.StateActive)
	}
}

type limitConn struct {
	*net.TCPConn
	listener *limitListener
	element  *list.Element // in listener.waiting; nil while it is served, and when it has left
	left     bool
	begun    bool // Read was called; whoever reads owns it
}

func (c *limitConn) Read(b []byte) (int, error) {
	if !c.begun && c.listener.before != nil {
		if err := c.listener.before(); err != nil {
			return 0, fmt.Errorf("WEB_CONFIG: %w", err)
		}
	}
	c.begun = true
	return c.TCPConn.Read(b)
}

func (c *limitConn) serving(yes bool) {
	l := c.listener
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case c.left:
	case yes && c.element != nil:
		l.waiting.Remove(c.element)
		c.element = nil
	case !yes && c.element == nil:
		c.element = l.waiting.PushBack(c)
		l.room.Signal()
	}
}

// leave frees the connection's place. The caller holds the listener's lock.
func (c *limitConn) leave() {
	if c.left {
		return
	}
	c.left = true
	if c.element != nil {
		c.listener.waiting.Remove(c.element)
		c.element = nil
	}
	c.listener.open--
	c.listener.room.Signal()
}

func (c *limitConn) Close() error {
	c.listener.mu.Lock()
	c.leave()
	c.listener.mu.Unlock()
	return c.TCPConn.Close()
}

const (
	scrapesAtOnce = 4 // that are answered at the same time: each copies all counters
	// for their turn; further ones are refused at once, and leave connections to the health pages
	scrapesWaiting = 64
	scrapePatience = 8 * time.Second // how long one waits for its turn; Prometheus gives up after 10 s
)

// TakeTurns limits how many scrapes are served at once, by the constants above.
func TakeTurns(scrape http.Handler) http.Handler {
	return inTurn(scrapesAtOnce, scrapesWaiting, scrapePatience, scrape)
}

// inTurn serves at most atOnce requests at a time; others wait, first come, first served. A request
// gets 503 when it has waited longer than patience, or when too many wait.
func inTurn(atOnce, waiting int, patience time.Duration, inner http.Handler) http.Handler {
	turns := make(chan struct{}, atOnce) // those who wait to send are served in their order
	var here atomic.Int64                // who is served, or waits
	refuse := func(w http.ResponseWriter) {
		w.Header().Set("Retry-After", "1")
		plainText(w, http.StatusServiceUnavailable,
			"too many scrapes at the same time: scrape less often, or from fewer places")
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer here.Add(-1)
		if here.Add(1) > int64(atOnce+waiting) {
			refuse(w)
			return
		}
		select {
		case turns <- struct{}{}:
		case <-r.Context().Done():
			return
		case <-time.After(patience):
			refuse(w)
			return
		}
		defer func() { <-turns }()
		inner.ServeHTTP(w, r)
	})
}
