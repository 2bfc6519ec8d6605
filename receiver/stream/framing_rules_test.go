package stream_test

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"rsyncd_exporter/internal/corpus"
	"rsyncd_exporter/receiver"
	"rsyncd_exporter/receiver/stream"
)

// cutResult is what came out of a framer.
type cutResult struct {
	messages  []string
	discarded [receiver.NumDiscards]uint64
	broken    bool // by a bad length
}

func (c *cutResult) equal(o *cutResult) bool {
	return slices.Equal(c.messages, o.messages) && c.discarded == o.discarded && c.broken == o.broken
}

// cutAll returns what comes out of a framer for a stream.
func cutAll(t testing.TB, text string, next func() int) *cutResult {
	t.Helper()
	sink := newHoldSink(false)
	broken, err := stream.Cut(text, next, sink)
	if err != nil {
		t.Fatal(err)
	}
	messages, discarded := sink.All()
	return &cutResult{messages, discarded, broken}
}

func atOnce() int    { return 0 }
func oneByOne() int  { return 1 }
func threeEach() int { return 3 }

func counts(pairs ...uint32) (d [receiver.NumDiscards]uint64) {
	for i := 0; i < len(pairs); i += 2 {
		d[pairs[i]] = uint64(pairs[i+1])
	}
	return d
}

// FAULTS T1 to T4, T7 to T9: each stream, whole or byte by byte, gives exactly these messages and counts.
func TestFramingRules(t *testing.T) {
	long := strings.Repeat("x", receiver.MaxMessage)
	over := uint32(receiver.Oversize)
	bad := counts(uint32(receiver.BadLength), 1)
	tests := []struct {
		name, stream string
		want         cutResult
	}{
		{name: "nothing", stream: ""},
		{name: "lines", stream: "<30>a\n<30>b\n", want: cutResult{messages: []string{"<30>a", "<30>b"}}},
		{name: "octet counts", stream: "5 <30>a6 <30>bc", want: cutResult{messages: []string{"<30>a", "<30>bc"}}},
		{name: "LF inside a frame is data", stream: "12 <30>a\n<30>b\n6 <30>c\n", want: cutResult{messages: []string{"<30>a\n<30>b\n", "<30>c\n"}}},
		{name: "NUL inside a frame is data", stream: "3 a\x00b", want: cutResult{messages: []string{"a\x00b"}}},
		{name: "trailing LF in the count, as syslog-ng does it", stream: "6 <30>a\n6 <30>b\n", want: cutResult{messages: []string{"<30>a\n", "<30>b\n"}}},
		{name: "trailing LF not in the count", stream: "5 <30>a\n5 <30>b\n", want: cutResult{messages: []string{"<30>a", "<30>b"}}},
		{name: "NUL ends a line", stream: "<30>a\x00<30>b\x00", want: cutResult{messages: []string{"<30>a", "<30>b"}}},
		{name: "LF and NUL mixed", stream: "<30>a\n<30>b\x00<30>c\n\x00", want: cutResult{messages: []string{"<30>a", "<30>b", "<30>c", ""}}},
		{name: "CR and 0x1e are data", stream: "<30>a\r\n<30>b\rc\x1ed\n", want: cutResult{messages: []string{"<30>a\r", "<30>b\rc\x1ed"}}},
		{name: "blank lines are counted", stream: "\n\r\n\n<30>a\n", want: cutResult{messages: []string{"", "\r", "", "<30>a"}}},
		{name: "LF, CRLF and NUL between counts", stream: "5 <30>a\r\n5 <30>b\x00\n\n5 <30>c", want: cutResult{messages: []string{"<30>a", "<30>b", "<30>c"}}},
		{name: "lines that begin with counts", stream: "<30>x\n9999 y\n0 \n99999999999 z\n70 <30>b\n5\n",
			want: cutResult{messages: []string{"<30>x", "9999 y", "0 ", "99999999999 z", "70 <30>b", "5"}}},
		{name: "a blank line first", stream: "\n5 <30>a\n", want: cutResult{messages: []string{"", "5 <30>a"}}},
		{name: "a line after a count", stream: "5 <30>a<30>b\n5 <30>c", want: cutResult{messages: []string{"<30>a"}, discarded: bad, broken: true}},

		{name: "line of MaxMessage", stream: long + "\n<30>a\n", want: cutResult{messages: []string{long, "<30>a"}}},
		{name: "line one longer", stream: long + "x\n<30>a\n", want: cutResult{messages: []string{"<30>a"}, discarded: counts(over, 1)}},
		{name: "very long line", stream: strings.Repeat(long, 20) + "\n<30>a\n", want: cutResult{messages: []string{"<30>a"}, discarded: counts(over, 1)}},
		{name: "very long line that ends with NUL", stream: long + long + "\x00<30>a\n", want: cutResult{messages: []string{"<30>a"}, discarded: counts(over, 1)}},
		{name: "very long line without an end", stream: "<30>a\n" + long + long, want: cutResult{messages: []string{"<30>a"}, discarded: counts(over, 1)}},
		{name: "frame of MaxMessage", stream: "16384 " + long + "1 a", want: cutResult{messages: []string{long, "a"}}},
		{name: "frame one longer", stream: "16385 x" + long + "1 a", want: cutResult{messages: []string{"a"}, discarded: counts(over, 1)}},
		{name: "frame of 99999, digits and LF within", stream: "99999 " + strings.Repeat("9 \n", 33333) + "1 a<30>b\n",
			want: cutResult{messages: []string{"a"}, discarded: counts(over, uint32(1), uint32(receiver.BadLength), 1), broken: true}},
		{name: "oversized frame cut off", stream: "999999 abc", want: cutResult{discarded: counts(over, 1)}},

		{name: "count of 10^6 zeros", stream: strings.Repeat("0", 1e6), want: cutResult{discarded: bad, broken: true}},
		{name: "count of seven digits", stream: "1000000 a", want: cutResult{discarded: bad, broken: true}},
		{name: "leading zero", stream: "5 <30>a05 <30>b", want: cutResult{messages: []string{"<30>a"}, discarded: bad, broken: true}},
		{name: "count of 0", stream: "0 <30>a\n", want: cutResult{discarded: bad, broken: true}},
		{name: "2^31", stream: "2147483648 a", want: cutResult{discarded: bad, broken: true}},
		{name: "2^63", stream: "9223372036854775808 a", want: cutResult{discarded: bad, broken: true}},
		{name: "tab behind the count", stream: "5\t<30>a", want: cutResult{discarded: bad, broken: true}},
		{name: "a line that starts with a digit", stream: "2026-11-23 hello\n<30>a\n", want: cutResult{discarded: bad, broken: true}},
		{name: "-1 is a line", stream: "-1 x\n", want: cutResult{messages: []string{"-1 x"}}},
		{name: "+5 is a line", stream: "+5 x\n", want: cutResult{messages: []string{"+5 x"}}},

		{name: "last line without LF", stream: "<30>a\n<30>b", want: cutResult{messages: []string{"<30>a"}, discarded: counts(uint32(receiver.Incomplete), 1)}},
		{name: "frame cut off", stream: "5 <30>a5 <30>", want: cutResult{messages: []string{"<30>a"}, discarded: counts(uint32(receiver.Incomplete), 1)}},
		{name: "count cut off", stream: "5 <30>a123", want: cutResult{messages: []string{"<30>a"}, discarded: counts(uint32(receiver.Incomplete), 1)}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			for name, next := range map[string]func() int{"at once": atOnce, "byte by byte": oneByOne, "three bytes each": threeEach} {
				if got := cutAll(t, tt.stream, next); !got.equal(&tt.want) {
					t.Errorf("%s: %q %v broken=%v, want %q %v broken=%v", name, clip(got.messages), got.discarded, got.broken,
						clip(tt.want.messages), tt.want.discarded, tt.want.broken)
				}
			}
		})
	}
}

// The streams of real forwarders. Each carries the corpus' 1087 records (the sum over order.json, worked out apart from this code; it is
// also the number of lines in the LF-framed file). syslog-ng's has 1090 LFs: three are inside frames.
func TestFramingOfRealForwarders(t *testing.T) {
	for _, name := range []string{"rsyslog-forward-tcp-lf.raw", "rsyslog-rfc5424-tcp-octet.raw", "syslogng-syslog-tcp-octet.raw"} {
		t.Run(name, func(t *testing.T) {
			stream := corpus.ReadFile(t, filepath.Join(corpus.Dir(), "forwarded", name))
			got := cutAll(t, string(stream), atOnce)
			if len(got.messages) != 1087 || got.discarded != counts() || got.broken {
				t.Fatalf("%d messages, discarded %v, broken=%v; want 1087, none, false", len(got.messages), got.discarded, got.broken)
			}
			for i, m := range got.messages {
				if !strings.HasPrefix(m, "<") {
					t.Fatalf("message %d is %q, want a priority first", i, m)
				}
			}
		})
	}
}
