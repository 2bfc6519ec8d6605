package web

import (
	"errors"
	"log/slog"
	"net"
	"net/http"
	"testing"
	"time"
)

func TestTimeoutsAndLimitsAreSet(t *testing.T) {
	s := newHTTPServer(Options{Log: slog.New(slog.DiscardHandler)})
	if s.ReadHeaderTimeout != 5*time.Second || s.ReadTimeout != 10*time.Second || s.WriteTimeout != 30*time.Second ||
		s.IdleTimeout != time.Minute || s.MaxHeaderBytes != 16384 {
		t.Errorf("read header %v, read %v, write %v, idle %v, header %d bytes", s.ReadHeaderTimeout, s.ReadTimeout, s.WriteTimeout, s.IdleTimeout, s.MaxHeaderBytes)
	}
}

// A connection that is served makes room for none.
func TestServedConnectionsStay(t *testing.T) {
	l, err := net.ListenTCP("tcp4", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	limited := limitConnections(l, 1)
	dial := func() {
		t.Helper()
		conn, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
	}
	dial()
	served, err := limited.Accept()
	if err != nil {
		t.Fatal(err)
	}
	connState(served, http.StateActive)
	dial()
	second := make(chan net.Conn, 1)
	go func() {
		conn, err := limited.Accept()
		if err != nil {
			t.Error(err)
		}
		second <- conn
	}()
	select {
	case <-second:
		t.Fatal("a second connection beside one that is served")
	case <-time.After(100 * time.Millisecond):
	}
	connState(served, http.StateIdle)
	conn := <-second
	if _, err := served.Write([]byte("x")); !errors.Is(err, net.ErrClosed) {
		t.Errorf("the idle one: %v, want it closed", err)
	}
	served.Close() // net/http does, too
	if limited.open != 1 {
		t.Errorf("%d are open, want 1", limited.open)
	}

	connState(conn, http.StateActive)
	dial()
	ended := make(chan error, 1)
	go func() {
		_, err := limited.Accept()
		ended <- err
	}()
	limited.Close()
	limited.Close() // once more does no harm
	if err := <-ended; !errors.Is(err, net.ErrClosed) {
		t.Errorf("Accept: %v, want net.ErrClosed", err)
	}
}
