package stream_test

import (
	"bytes"
	"math/rand/v2"
	"strings"
	"testing"

	"rsyncd_exporter/internal/corpus"
	"rsyncd_exporter/receiver"
	"rsyncd_exporter/receiver/stream"
)

// cutByTheBook frames a whole stream the slow way, straight from the rules in framer's comment: the oracle of FuzzFraming.
func cutByTheBook(stream []byte) *cutResult {
	if len(stream) > 0 && '0' <= stream[0] && stream[0] <= '9' {
		return countedByTheBook(stream)
	}
	var c cutResult
	for len(stream) > 0 {
		end := bytes.IndexAny(stream, "\n\x00")
		line := stream
		if end >= 0 {
			line = stream[:end]
		}
		switch {
		case len(line) > receiver.MaxMessage:
			c.discarded[receiver.Oversize]++
		case end >= 0:
			c.messages = append(c.messages, string(line))
		default:
			c.discarded[receiver.Incomplete]++
		}
		if end < 0 {
			break
		}
		stream = stream[end+1:]
	}
	return &c
}

// countedByTheBook is cutByTheBook of a stream that begins with a digit.
func countedByTheBook(stream []byte) *cutResult {
	var c cutResult
	for {
		if stream = bytes.TrimLeft(stream, "\r\n\x00"); len(stream) == 0 {
			return &c
		}
		digits := len(stream) - len(bytes.TrimLeft(stream, "0123456789"))
		if digits == 0 || stream[0] == '0' || digits > 6 || digits < len(stream) && stream[digits] != ' ' {
			c.discarded[receiver.BadLength]++
			c.broken = true
			return &c
		}
		if digits == len(stream) {
			c.discarded[receiver.Incomplete]++
			return &c
		}
		n := 0
		for _, d := range stream[:digits] {
			n = n*10 + int(d-'0')
		}
		stream = stream[digits+1:]
		switch {
		case n > receiver.MaxMessage:
			c.discarded[receiver.Oversize]++
		case n > len(stream):
			c.discarded[receiver.Incomplete]++
		default:
			c.messages = append(c.messages, string(stream[:n]))
		}
		stream = stream[min(n, len(stream)):]
	}
}

func randomSizes(seed uint64, most int) func() int {
	r := rand.New(rand.NewPCG(seed, 1))
	return func() int { return 1 + r.IntN(most) }
}

// FAULTS T5: wherever the reads happen to end, the same messages and counts come out, and they are those of the rules.
func FuzzFraming(f *testing.F) {
	for i, name := range corpus.Files(f, "forwarded/*-tcp-*.raw") {
		stream := corpus.ReadFile(f, name)
		f.Add(stream[:3000], uint64(i))
	}
	for _, s := range []string{"5 <30>a\n16385 ", "0", "999999 ", "1234567", "\n\n\x00", "<30>a\n<30>b", "12 a", "<30>x\n9999 y\n0 \n", "5 <30>a\r\n5 <30>b\x00<30>c\n"} {
		f.Add([]byte(s), uint64(1))
	}
	f.Add([]byte(strings.Repeat("x", receiver.MaxMessage+1)+"\n3 abc"), uint64(3))
	f.Add([]byte(strings.Repeat("\n", 2*stream.FramerBatch)), uint64(4))
	f.Fuzz(func(t *testing.T, stream []byte, seed uint64) {
		want := cutByTheBook(stream)
		for name, next := range map[string]func() int{"at once": atOnce, "small": randomSizes(seed, 9), "large": randomSizes(seed, 20000)} {
			if got := cutAll(t, string(stream), next); !got.equal(want) {
				t.Errorf("reads %s: %q %v broken=%v, want %q %v broken=%v", name, clip(got.messages), got.discarded, got.broken,
					clip(want.messages), want.discarded, want.broken)
			}
		}
	})
}

// The same with long random mixes of everything, which a fuzzer takes long to find.
func TestFramingSplitAnywhere(t *testing.T) {
	byLines := []string{"<30>a line\n", "12 <30>digits\n", "0\n", "9999 x\n", "\n", "\x00", "\r\n",
		strings.Repeat("z", 16384) + "\n", strings.Repeat("z", 16385) + "\n", strings.Repeat("w", 70000) + "\x00"}
	byCounts := []string{"12 <30>counted\n", "5 <30>x", "16384 " + strings.Repeat("y", 16384), "16385 " + strings.Repeat("4 \n", 5462)[:16385],
		"\n", "\r\n", "\x00", "20000 " + strings.Repeat("\n", 20000)}
	last := []string{"", "<30>cut", "7 cut", "77", "0", "1234567", "9\n", strings.Repeat("z", 17000)}
	r := rand.New(rand.NewPCG(7, 7))
	for round := range 12 {
		var b strings.Builder
		pieces := byLines
		if round%2 == 0 {
			pieces = byCounts
			b.WriteString("1 x")
		} else {
			b.WriteString("<")
		}
		for range 30 {
			b.WriteString(pieces[r.IntN(len(pieces))])
		}
		stream := b.String() + last[r.IntN(len(last))]
		want := cutByTheBook([]byte(stream))
		for _, most := range []int{1 << 20, 20000, 1000, 50} {
			if got := cutAll(t, stream, randomSizes(uint64(round), most)); !got.equal(want) {
				t.Fatalf("round %d, reads up to %d: %d messages %v, want %d %v", round, most, len(got.messages), got.discarded, len(want.messages), want.discarded)
			}
		}
	}
}
