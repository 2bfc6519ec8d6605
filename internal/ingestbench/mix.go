//go:build linux

package main

import (
	"bytes"
	"fmt"
	"path/filepath"
	"regexp"
	"strconv"

	"rsyncd_exporter/internal/corpus"
)

// A mix is the recorded messages of whole sessions of real daemons, in their order. Each pass over
// it has pids of its own, so that each is new sessions to the receiver: the pids are written over
// in place, in a field of pidDigits bytes.
type mix struct {
	messages [][]byte // as one datagram, or one LF-terminated line, each
	pids     []int    // where in a message its pid's digits begin; -1: nowhere
	sessions []int    // which of the mix's pids it is, from 0
	distinct int      // pids
	bytes    int      // of one pass
}

const pidDigits = 7

var pidField = regexp.MustCompile(`\[(\d+)\]: `)

// readMix reads what a forwarder or, for the unix socket, the daemons themselves sent.
func readMix(dir, transport string) (*mix, error) {
	pattern := filepath.Join(dir, "forwarded", "rsyslog-traditional-udp.raw")
	if transport == "unixgram" {
		pattern = filepath.Join(dir, "syslog", "*.raw")
	}
	names, err := filepath.Glob(pattern)
	if err != nil || len(names) == 0 {
		return nil, fmt.Errorf("no recorded messages at %q: run this in the repository", pattern)
	}
	m := &mix{}
	seen := map[string]int{}
	for _, name := range names {
		messages, err := corpus.Datagrams(name)
		if err != nil {
			return nil, err
		}
		for _, message := range messages {
			if transport == "tcp" {
				if message = bytes.ReplaceAll(message, []byte("\n"), nil); len(message) == 0 {
					continue
				}
				message = append(message, '\n')
			}
			m.add(message, name, seen)
		}
	}
	m.distinct = len(seen)
	return m, nil
}

// transferMix returns sessions of many files, as a mirror's are: some at a time, of one host.
func transferMix(transport string) *mix {
	const sessions, files = 8, 500
	header, end := "<30>Nov 23 18:40:52 mirror rsyncd[%d]: ", ""
	switch transport {
	case "unixgram":
		header = "<30>Nov 23 18:40:52 rsyncd[%d]: "
	case "tcp":
		end = "\n"
	}
	m, seen := &mix{distinct: sessions}, map[string]int{}
	say := func(session int, text string, args ...any) {
		m.add(fmt.Appendf(nil, header+text+end, append([]any{1 + session}, args...)...), "", seen)
	}
	for s := range sessions {
		say(s, "connect from mirror%d.example.net (203.0.113.7)", s)
		say(s, "rsync allowed access on module archive from mirror%d.example.net (203.0.113.7)", s)
		say(s, "rsync on archive/dists/ from mirror%d.example.net (203.0.113.7)", s)
		say(s, "building file list")
	}
	for f := range files {
		for s := range sessions {
			say(s, "send mirror%d.example.net [203.0.113.7] archive () dists/stable/dir%d/file%d.gz %d",
				s, f%7, f, f*10090)
		}
	}
	for s := range sessions {
		say(s, "sent 1310256 bytes  received 120 bytes  total size 1309578")
	}
	return m
}

// add appends a message. Equal pids of two files are two processes.
func (m *mix) add(message []byte, file string, seen map[string]int) {
	at, session := -1, 0
	if loc := pidField.FindSubmatchIndex(message); loc != nil {
		key := file + string(message[loc[2]:loc[3]])
		number, ok := seen[key]
		if !ok {
			number = len(seen)
			seen[key] = number
		}
		at, session = loc[2], number
		pid := bytes.Repeat([]byte("1"), pidDigits)
		message = append(append(bytes.Clone(message[:at]), pid...), message[loc[3]:]...)
	}
	m.messages = append(m.messages, message)
	m.pids = append(m.pids, at)
	m.sessions = append(m.sessions, session)
	m.bytes += len(message)
}

// number writes the pids of a pass into the messages.
func (m *mix) number(pass int) {
	const first = 1_000_000 // so that each has pidDigits digits
	base := first + pass*m.distinct%(9*first-m.distinct)
	for i, at := range m.pids {
		if at >= 0 {
			strconv.AppendInt(m.messages[i][at:at], int64(base+m.sessions[i]), 10)
		}
	}
}
