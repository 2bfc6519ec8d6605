package main

import (
	"net"
	"sync"
)

// limitConnections returns a listener that has at most n connections open at the same time; others wait in the kernel. It is what
// netutil.LimitListener is too, but its connections keep CloseWrite, without which net/http's last answers, such as 431, are lost to a reset.
func limitConnections(l *net.TCPListener, n int) net.Listener {
	return &limitListener{TCPListener: l, slots: make(chan struct{}, n), closed: make(chan struct{})}
}

type limitListener struct {
	*net.TCPListener
	slots  chan struct{} // holds one element for each open connection
	closed chan struct{}
	once   sync.Once // closes closed
}

// Accept waits until there are less than n connections, and for the next one.
func (l *limitListener) Accept() (net.Conn, error) {
	select {
	case l.slots <- struct{}{}:
	case <-l.closed:
		return nil, net.ErrClosed
	}
	conn, err := l.AcceptTCP()
	if err != nil {
		<-l.slots
		return nil, err
	}
	return &limitConn{TCPConn: conn, release: sync.OnceFunc(func() { <-l.slots })}, nil
}

// Close stops listening. Open connections stay open.
func (l *limitListener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return l.TCPListener.Close()
}

type limitConn struct {
	*net.TCPConn
	release func()
}

func (c *limitConn) Close() error {
	defer c.release()
	return c.TCPConn.Close()
}
