package ownlog

import (
	"bufio"
	"fmt"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// Whoever logs never waits for who reads, the lines that are read are in order, the last is among them, and those that
// are missing are counted where they are missing. In a bubble the time stands still while somebody reads, so that the
// end of the log waits for a reader that has no processor for a while.
func TestALogThatNobodyReads(t *testing.T) {
	synctest.Test(t, logThatNobodyReads)
}

func logThatNobodyReads(t *testing.T) {
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer read.Close()
	const lines = 3 * logQueueLines
	long := strings.Repeat("x", 200) // so that a pipe doesn't hold as many
	q := newLogQueue(write)
	for i := range lines {
		if n, err := fmt.Fprintf(q, "line %d %s\n", i, long); n == 0 || err != nil {
			t.Fatal(n, err)
		}
	}
	go func() {
		q.end()
		write.Close()
	}()
	last, got, dropped := -1, 0, 0
	for s := bufio.NewScanner(read); s.Scan(); {
		var n int
		switch text := s.Text(); {
		case strings.Contains(text, "log lines were dropped"):
			if _, err := fmt.Sscanf(text[strings.LastIndex(text, "lines="):], "lines=%d", &n); err != nil || n == 0 {
				t.Errorf("%q: %v", text, err)
			}
			dropped += n
			last += n
		default:
			if _, err := fmt.Sscanf(text, "line %d", &n); err != nil || n != last+1 {
				t.Errorf("%q after line %d: %v", text, last, err)
			}
			last = n
			got++
		}
	}
	if got < logQueueLines || dropped == 0 || got+dropped != lines || last != lines-1 {
		t.Errorf("%d lines read, the last is %d, and %d confessed as dropped of %d", got, last, dropped, lines)
	}
}

// A slowReader takes a while for each line.
type slowReader struct{ lines int }

func (s *slowReader) Write(line []byte) (int, error) {
	time.Sleep(logPatience / 25)
	s.lines++
	return len(line), nil
}

// The end of the program waits for a reader that is slow, as long as it reads: the last line says why the program ends.
func TestALogThatIsReadSlowly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const lines = 50 // two times logPatience
		to := &slowReader{}
		q := newLogQueue(to)
		for i := range lines {
			fmt.Fprintln(q, "line", i)
		}
		q.end()
		select {
		case <-q.written:
			if to.lines != lines {
				t.Errorf("%d lines written of %d", to.lines, lines)
			}
		default:
			t.Error("the end hasn't waited until all is written")
		}
	})
}
