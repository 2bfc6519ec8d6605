package main

import (
	"bufio"
	"fmt"
	"os"
	"strings"
	"testing"
)

// Whoever logs never waits for who reads, the lines that are read are in order, and those that are missing are counted.
func TestALogThatNobodyReads(t *testing.T) {
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
		default:
			if _, err := fmt.Sscanf(text, "line %d", &n); err != nil || n <= last {
				t.Errorf("%q after line %d: %v", text, last, err)
			}
			last = n
			got++
		}
	}
	if got < logQueueLines || dropped == 0 || got+dropped != lines {
		t.Errorf("%d lines read and %d confessed as dropped of %d", got, dropped, lines)
	}
}
