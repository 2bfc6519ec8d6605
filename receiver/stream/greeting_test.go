package stream

import (
	"testing"
)

// FAULTS T14, T17: other protocols are known by their first bytes, and not before it is certain.
func TestGreetings(t *testing.T) {
	longest := 0
	for _, g := range greetings {
		longest = max(longest, len(g))
		for i := range len(g) {
			if says, more := greeting([]byte(g[:i])); says != Admitted || !more {
				t.Errorf("%q: %v, %t; want none and more", g[:i], says, more)
			}
		}
		want := SpeaksOther
		if g == tlsGreeting {
			want = SpeaksTLS
		}
		if says, more := greeting([]byte(g + "and so on")); says != want || more {
			t.Errorf("%q: %v, %t; want %v", g, says, more, want)
		}
	}
	if longest != maxGreeting {
		t.Errorf("the longest has %d bytes, want %d", longest, maxGreeting)
	}
	for _, syslog := range []string{"<", "<30>x", "1", "57 <30>x", "\n", "\x00", "get x", "Gx", "GETX", "HEADER", "\x16\x02", "\r\n<30>", "rsyncd[1]: x", "PROXIMITY"} {
		if says, more := greeting([]byte(syslog)); says != Admitted || more {
			t.Errorf("%q: %v, %t; want none at once", syslog, says, more)
		}
	}
}

// However a stream is split, the same is known of it; and of one that begins as syslog does at its first byte.
func FuzzGreeting(f *testing.F) {
	for _, g := range greetings {
		f.Add([]byte(g + "x"))
		f.Add([]byte(g[:len(g)-1] + "\xff"))
	}
	f.Add([]byte("<30>x"))
	f.Fuzz(func(t *testing.T, stream []byte) {
		whole, undecided := greeting(stream)
		if undecided && len(stream) >= maxGreeting {
			t.Fatalf("%q: undecided after %d bytes", stream, len(stream))
		}
		if len(stream) > 0 && (stream[0] == '<' || isDigit(stream[0])) && (whole != Admitted || undecided) {
			t.Fatalf("%q: %v, %t", stream, whole, undecided)
		}
		for i := range stream {
			says, more := greeting(stream[:i])
			if !more && says != whole {
				t.Fatalf("%q: %v after %d bytes, %v in the end", stream, says, i, whole)
			}
			if !more {
				break
			}
		}
	})
}
