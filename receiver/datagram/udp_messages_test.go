//go:build linux

package datagram

import (
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"rsyncd_exporter/internal/testenv"
	"rsyncd_exporter/receiver"
	"rsyncd_exporter/receiver/stream"
)

// FAULTS U6, U7, and FACTS 1.3: a datagram is one message, whatever is in it; an empty one is an empty message; one that is too long is
// counted and not delivered.
func TestUDPOneDatagramIsOneMessage(t *testing.T) {
	sink := newHoldSink(false)
	u, conn := listenUDP(t, "127.0.0.1:0", sink, UDPOptions{Buffer: 1 << 20})
	start(t, u)
	full := strings.Repeat("f", receiver.MaxMessage)
	sent := []string{"<30>a\n", "", "<30>b\n<30>forged\n", "\x00\x1b[31m\n\n", full, full + "x", strings.Repeat("t", 65507), strings.Repeat("4", 4000), "", "<30>last"}
	for _, m := range sent {
		send(t, conn, m)
	}
	reach(t, "all received", func() bool { return sink.Received() == uint64(len(sent)) })
	want := slices.DeleteFunc(slices.Clone(sent), func(m string) bool { return len(m) > receiver.MaxMessage })
	got, discarded := sink.All()
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", clip(got), clip(want))
	}
	if discarded[receiver.Oversize] != 2 {
		t.Errorf("discarded %v, want 2 oversize", discarded)
	}
}

// One socket for both families, or for one of them.
func TestUDPAddresses(t *testing.T) {
	t.Parallel()
	if c, err := net.Dial("udp", "[::1]:9"); err != nil {
		t.Skipf("no IPv6 here: %v", err)
	} else {
		c.Close()
	}
	for _, tt := range []struct {
		listen       string
		from4, from6 bool
	}{{"[::]:0", true, true}, {":0", true, true}, {"0.0.0.0:0", true, false}, {"127.0.0.1:0", true, false}, {"[::1]:0", false, true}, {"localhost:0", true, false}} {
		sink := newHoldSink(false)
		u, err := ListenUDP(tt.listen, receiver.Source{Input: "udp", Name: "udp " + tt.listen}, sink, UDPOptions{})
		if err != nil {
			t.Errorf("%s: %v", tt.listen, err)
			continue
		}
		stop := start(t, u)
		port := strconv.Itoa(u.Addr().(*net.UDPAddr).Port)
		var want []string // each arrives before the next one is sent
		for _, from := range []struct {
			host string
			ok   bool
		}{{"127.0.0.1", tt.from4}, {"::1", tt.from6}} {
			c, err := net.Dial("udp", net.JoinHostPort(from.host, port))
			if err != nil {
				t.Fatal(err)
			}
			send(t, c, from.host)
			c.Close()
			if from.ok {
				want = append(want, from.host)
				reach(t, tt.listen+" receives", func() bool { return sink.Received() >= uint64(len(want)) })
			}
		}
		stop()
		if got, _ := sink.All(); !slices.Equal(got, want) {
			t.Errorf("%s: got %q, want %q", tt.listen, got, want)
		}
	}
}

// FAULTS U15, U13, A1: what can't be bound is refused at once, with a reason and a remedy.
func TestUDPBindErrors(t *testing.T) {
	first, _ := listenUDP(t, "127.0.0.1:0", newHoldSink(false), UDPOptions{})
	for _, tt := range []struct{ addr, reason, remedy string }{
		{first.Addr().String(), "address already in use", "another rsyncd_exporter"},
		{"192.0.2.1:5514", "cannot assign requested address", "no interface of this machine has the address"},
		{"5514", "missing port", `"127.0.0.1:5514"`},
		{"127.0.0.1:syslogg", "unknown port", `"127.0.0.1:5514"`},
	} {
		u, err := ListenUDP(tt.addr, testSource, newHoldSink(false), UDPOptions{})
		if err == nil {
			u.Close()
			t.Errorf("%s: no error", tt.addr)
			continue
		}
		for _, want := range []string{"udp", tt.addr, tt.reason, tt.remedy} {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %q doesn't say %q", tt.addr, err, want)
			}
		}
	}
}

// withoutCapability runs f on a thread that lacks one capability, and throws the thread away.
func withoutCapability(t *testing.T, capability uint, f func()) {
	t.Helper()
	var err error
	testenv.OnThrownThread(func() {
		hdr := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
		var data [2]unix.CapUserData
		if err = unix.Capget(&hdr, &data[0]); err == nil {
			data[capability/32].Effective &^= 1 << (capability % 32)
			err = unix.Capset(&hdr, &data[0])
		}
		if err == nil {
			f()
		}
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestPortBelow1024WithoutCapability(t *testing.T) {
	if b, err := os.ReadFile("/proc/sys/net/ipv4/ip_unprivileged_port_start"); err != nil || strings.TrimSpace(string(b)) < "1" {
		t.Skipf("every port is free for all here: %q, %v", b, err)
	}
	withoutCapability(t, unix.CAP_NET_BIND_SERVICE, func() {
		u, err := ListenUDP("127.0.0.1:1", testSource, newHoldSink(false), UDPOptions{})
		if err == nil {
			u.Close()
			t.Error("UDP port 1 was bound without privilege")
		} else if !strings.Contains(err.Error(), "CAP_NET_BIND_SERVICE") {
			t.Errorf("%q doesn't name CAP_NET_BIND_SERVICE", err)
		}
		l, err := stream.ListenTCP("127.0.0.1:1", testSource, newHoldSink(false), stream.TCPOptions{})
		if err == nil {
			l.Close()
			t.Error("TCP port 1 was bound without privilege")
		} else if !strings.Contains(err.Error(), "CAP_NET_BIND_SERVICE") {
			t.Errorf("%q doesn't name CAP_NET_BIND_SERVICE", err)
		}
	})
}

// FAULTS U4: without CAP_NET_ADMIN the buffer is cut to rmem_max, and Status.Buffer tells.
func TestUDPBufferIsWhatWasGranted(t *testing.T) {
	b, err := os.ReadFile("/proc/sys/net/core/rmem_max")
	if err != nil {
		t.Skip(err)
	}
	most, err := strconv.Atoi(strings.TrimSpace(string(b)))
	if err != nil {
		t.Fatal(err)
	}
	withoutCapability(t, unix.CAP_NET_ADMIN, func() {
		u, err := ListenUDP("127.0.0.1:0", testSource, newHoldSink(false), UDPOptions{Buffer: most + 1<<20})
		if err != nil {
			t.Error(err)
			return
		}
		defer u.Close()
		if u.Status().Buffer != most {
			t.Errorf("BufferBytes() = %d, want rmem_max %d", u.Status().Buffer, most)
		}
	})
	u, _ := listenUDP(t, "127.0.0.1:0", newHoldSink(false), UDPOptions{Buffer: 100 << 10})
	if u.Status().Buffer != 100<<10 {
		t.Errorf("BufferBytes() = %d, want %d", u.Status().Buffer, 100<<10)
	}
}
