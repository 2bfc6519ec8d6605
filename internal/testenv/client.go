//go:build linux

package testenv

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Client is a connection to an rsync daemon that says whatever the test wants: it speaks the daemon
// protocol up to the point where the daemon logs what it is told. Everything it sends goes to
// 127.0.0.1.
type Client struct {
	conn     net.Conn
	in       *bufio.Reader
	received chan int64 // bytes read behind the handshake, sent when the daemon has hung up; nil before
}

// Dial connects to the daemon and exchanges greetings. Protocol 31 is the last one without a
// negotiation of digests.
func Dial(t testing.TB, r *Rsyncd) *Client {
	t.Helper()
	conn, err := net.Dial("tcp4", fmt.Sprintf("127.0.0.1:%d", r.Port))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	c := &Client{conn: conn, in: bufio.NewReader(conn)}
	if line := c.line(t); !strings.HasPrefix(line, "@RSYNCD: ") {
		t.Fatalf("the daemon's greeting is %q", line)
	}
	c.Send(t, "@RSYNCD: 31.0\n")
	return c
}

// Send writes raw bytes.
func (c *Client) Send(t testing.TB, text string) {
	t.Helper()
	if _, err := c.conn.Write([]byte(text)); err != nil {
		t.Fatal(err)
	}
}

// line reads the daemon's next line of text.
func (c *Client) line(t testing.TB) string {
	t.Helper()
	line, err := c.in.ReadString('\n')
	if err != nil {
		t.Fatalf("the daemon hung up within the handshake, after %q: %v", line, err)
	}
	return strings.TrimSuffix(line, "\n")
}

// AskFor asks for a module and returns the daemon's answer: "@RSYNCD: OK", "@RSYNCD: AUTHREQD …" or
// "@ERROR: …". A module that holds a line feed is the daemon's word up to there.
func (c *Client) AskFor(t testing.TB, module string) string {
	t.Helper()
	c.Send(t, module+"\n")
	for {
		if line := c.line(t); strings.HasPrefix(line, "@") {
			return line
		}
	}
}

// Authenticate answers "AUTHREQD" with a user's name and a response that is wrong, and returns what
// the daemon says to it.
func (c *Client) Authenticate(t testing.TB, user string) string {
	t.Helper()
	return c.AskFor(t, user+" wrong")
}

// Pull asks to have the path sent, "mirror/README", after the module was granted. From here on Log
// can write, until Finish or Hangup.
func (c *Client) Pull(t testing.TB, path string) {
	t.Helper()
	// Without an 'i' behind "-e." the file list comes at once, and Finish needs to know nothing of
	// it (compat.c: set_allow_inc_recurse).
	c.Send(t, strings.Join([]string{"--server", "--sender", "-re.", ".", path, "", ""}, "\x00"))
	c.received = make(chan int64, 1)
	go func() {
		n, _ := io.Copy(io.Discard, c.in) // until the daemon hangs up, or the test
		c.received <- n
	}()
}

// A Message is a kind of message that a daemon writes into its log for its client (rsync.h: enum
// msgcode).
type Message byte

// The kinds: MessageInfo is logged with severity info, the errors with warning; MessageDeleted is a
// name for a "del." line.
const (
	messageData       Message = 0
	MessageErrorXfer  Message = 1
	MessageInfo       Message = 2
	MessageError      Message = 3
	MessageWarning    Message = 4
	MessageDeleted    Message = 101
	multiplexTagShift         = 7 // rsync.h: MPLEX_BASE
)

// Log makes the daemon log a text. A line feed at its end is the caller's to add, or to leave out.
func (c *Client) Log(t testing.TB, kind Message, text string) {
	t.Helper()
	header := uint32(kind+multiplexTagShift)<<24 | uint32(len(text))
	c.Send(t, string(binary.LittleEndian.AppendUint32(nil, header))+text)
}

// Start ends the list of filters, whereupon the daemon sends its list of files.
func (c *Client) Start(t testing.TB) { c.Log(t, messageData, "\x00\x00\x00\x00") }

// Finish plays the rest of a pull that wants no file, after Start, waits for the daemon's end and
// returns how many bytes it sent. The daemon then logs its summary.
func (c *Client) Finish(t testing.TB) int64 {
	t.Helper()
	// NDX_DONE for each of the two phases and their end, and twice for good-bye
	c.Log(t, messageData, "\x00\x00\x00\x00\x00")
	n := <-c.received
	c.conn.Close()
	return n
}

// Hangup ends the connection before its time, once the daemon has read what was sent. The daemon
// then logs an error.
func (c *Client) Hangup(t testing.TB) {
	t.Helper()
	if err := c.conn.(*net.TCPConn).CloseWrite(); err != nil && !errors.Is(err, syscall.ENOTCONN) {
		t.Fatal(err)
	}
	if c.received != nil {
		<-c.received
	}
	c.conn.Close()
}
