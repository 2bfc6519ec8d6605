package stream_test

import (
	"context"
	"errors"
	"io"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"rsyncd_exporter/receiver"
	"rsyncd_exporter/receiver/stream"
)

func stdinOf(r io.Reader, sink receiver.Sink) *stream.Stdin {
	return stream.NewStdin(r, receiver.Source{Input: "stdin", Name: "stdin"}, sink)
}

// Lines in, messages out; the end of the stream ends Run, however the reader serves it.
func TestStdinLines(t *testing.T) {
	text := "2026/11/23 18:40:52 [505] connect\n\n0 digits mean nothing\n" + strings.Repeat("x", receiver.MaxMessage+1) + "\nlast, without LF"
	want := []string{"2026/11/23 18:40:52 [505] connect", "", "0 digits mean nothing", "last, without LF"}
	for name, r := range map[string]io.Reader{
		"plain": strings.NewReader(text), "byte by byte": iotest.OneByteReader(strings.NewReader(text)),
		"EOF with the data": iotest.DataErrReader(strings.NewReader(text)), "halves": iotest.HalfReader(strings.NewReader(text)),
	} {
		sink := newHoldSink(false)
		if err := stdinOf(r, sink).Run(t.Context()); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if got, discarded := sink.All(); !slices.Equal(got, want) || discarded[receiver.Oversize] != 1 {
			t.Errorf("%s: got %q, %v; want %q, 1 oversize", name, clip(got), discarded, want)
		}
		sink.CheckOrder(t)
	}
}

// A read that fails is an error, and the line that it cut is no message.
func TestStdinReadError(t *testing.T) {
	broken := errors.New("the disk is gone")
	sink := newHoldSink(false)
	err := stdinOf(io.MultiReader(strings.NewReader("a\nb"), iotest.ErrReader(broken)), sink).Run(t.Context())
	if !errors.Is(err, broken) || !strings.HasPrefix(err.Error(), "stdin: ") {
		t.Errorf("Run returned %v, want stdin: %v", err, broken)
	}
	if got, discarded := sink.All(); !slices.Equal(got, []string{"a"}) || discarded[receiver.Incomplete] != 1 {
		t.Errorf("got %q, %v; want a, 1 incomplete", got, discarded)
	}
}

// A pipe whose other end stays open doesn't keep Run from ending, neither a blocking one, as descriptor 0 mostly is, nor another.
func TestStdinEndsWithoutEOF(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	defer w.Close()
	r.Fd() // makes it blocking
	sink := newHoldSink(false)
	stop := start(t, stdinOf(r, sink))
	if _, err := w.WriteString("a\nb\nhalf"); err != nil {
		t.Fatal(err)
	}
	reach(t, "two lines", func() bool { return sink.Received() == 2 })
	stop()
	if _, discarded := sink.All(); discarded[receiver.Incomplete] != 1 {
		t.Errorf("discarded %v, want 1 incomplete", discarded)
	}
}

// A pipe that is closed ends Run by itself.
func TestStdinPipeCloses(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	sink := newHoldSink(false)
	done := make(chan error, 1)
	go func() { done <- stdinOf(r, sink).Run(context.Background()) }()
	if _, err := w.WriteString("a\nb"); err != nil {
		t.Fatal(err)
	}
	w.Close()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if got, _ := sink.All(); !slices.Equal(got, []string{"a", "b"}) {
		t.Errorf("got %q, want a, b", got)
	}
}

// A busy pipeline makes the reader wait; a file of any size takes one buffer.
func TestStdinWaitsForTheSink(t *testing.T) {
	sink := newHoldSink(true)
	const lines = 100_000
	done := make(chan error, 1)
	go func() {
		done <- stdinOf(strings.NewReader(strings.Repeat("line\n", lines)), sink).Run(context.Background())
	}()
	time.AfterFunc(20*time.Millisecond, func() { sink.Hold(false) })
	if err := <-done; err != nil {
		t.Error(err)
	}
	if got, discarded := sink.All(); len(got) != lines || discarded != [receiver.NumDiscards]uint64{} {
		t.Errorf("%d lines, %v; want %d, nothing discarded", len(got), discarded, lines)
	}
}
