package datagram

import (
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// FAULTS U12: an error that is over at once costs nothing, one that stays costs at most ten reads a second.
func TestTroubleBacksOff(t *testing.T) {
	var tr trouble
	var got []time.Duration
	for range 11 {
		got = append(got, tr.pause()/time.Millisecond)
	}
	if want := []time.Duration{0, 1, 2, 4, 8, 16, 32, 64, 100, 100, 100}; !slices.Equal(got, want) {
		t.Errorf("pauses in ms %d, want %d", got, want)
	}
	for range 100 {
		if p := tr.pause(); p != maxPause {
			t.Fatalf("pause %v, want %v", p, maxPause)
		}
	}
	tr.repeats = 0 // as a read that succeeds does
	if p := tr.pause(); p != 0 {
		t.Errorf("pause %v after a success, want 0", p)
	}
	if n := tr.total.Load(); n != 112 {
		t.Errorf("%d errors counted, want 112", n)
	}
}

func TestWhichErrorsEndTheInput(t *testing.T) {
	for _, errno := range []unix.Errno{unix.EINTR, unix.EAGAIN, unix.ENOBUFS, unix.ENOMEM, unix.ECONNREFUSED, unix.EHOSTUNREACH, unix.ENETDOWN, unix.EIO} {
		if isFatal(errno) {
			t.Errorf("%v ends the input", errno)
		}
	}
	for _, errno := range []unix.Errno{unix.EBADF, unix.ENOTSOCK, unix.ENOSYS, unix.EPERM} {
		if !isFatal(errno) {
			t.Errorf("%v is tried for ever", errno)
		}
	}
}
