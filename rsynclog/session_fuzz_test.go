package rsynclog

import (
	"testing"
	"time"
)

// fuzzLines are what a process may log, in any order: the daemon's lines, and what a client can write into its log.
var fuzzLines = []string{
	"connect from localhost (127.0.0.1)",
	"connect from evil (10.6.6.6)",
	"rsync allowed access on module data from localhost (127.0.0.1)",
	"rsync allowed access on module evil from evil (10.6.6.6)",
	"rsync on data/ from localhost (127.0.0.1)",
	"rsync to data/ from alice@localhost (127.0.0.1)",
	"building file list",
	"receiving file list",
	"connect from 127.0.0.1",
	"rsync to data/ from alice@127.0.0.1",
	"send localhost [127.0.0.1] data () a.txt 6",
	"recv localhost [127.0.0.1] data () a.txt 7",
	"del. localhost [127.0.0.1] data () a.txt 0",
	"sent 10 bytes  received 20 bytes  total size 30",
	"sent 0 bytes  received 0 bytes  total size 0",
	"sent 1152921504606846976 bytes  received 2 bytes  total size 3",
	"rsync error: error in socket IO (code 10) at io.c(949) [sender=3.5.0]",
	"rsync error: error in file IO (code 11) at receiver.c(657) [receiver=3.5.0]",
	"rsync warning: some files vanished before they could be transferred (code 24) at main.c(1) [sender=3.5.0]",
	"rsync: [sender] send_files failed to open \"/x\" (in data): Permission denied (13)",
	"module-list request from localhost (127.0.0.1)",
	"unknown module 'x' tried from localhost (127.0.0.1)",
	"rsync denied on module data from localhost (127.0.0.1)",
	"auth failed on module data from localhost (127.0.0.1) for alice: password mismatch",
	"max connections (1) reached",
	"ERROR: module is read only",
	"rsyncd version 3.5.0 starting, listening on port 873",
	"whatever a script says",
}

// FuzzSessions plays any sequence of lines: each byte is a line of one of a few processes, or lets time pass. Whatever is played,
// the table stays whole and bounded, and the books stay possible.
func FuzzSessions(f *testing.F) {
	for p := range byte(len(fuzzLines)) {
		f.Add([]byte{0, 2, 4, 6, 7, 10, p, 0xf0})
		f.Add([]byte{0, p, 2, p, 4, p, 10, 13, 0xf1})
	}
	f.Fuzz(func(t *testing.T, script []byte) {
		play(t, script)
	})
}

func play(t *testing.T, script []byte) {
	limits := DefaultLimits()
	limits.Sessions = 3
	parser, err := NewParser(DefaultLogFormat)
	if err != nil {
		t.Fatal(err)
	}
	s := newSessions(limits)
	o := s.origin(0, "vm")
	now := int64(time.Hour)
	var lines, connects, connected, starts, executed, summaries, ended uint64
	add := func(changes []Change) {
		for _, c := range changes {
			switch c.Kind {
			case Connected:
				connected += c.N
			case Executed:
				executed += c.N
			case Ended:
				ended++
				if c.Session.HasSummary {
					summaries++
				}
				if c.Session.Sent > maxBytes || c.Session.Received > maxBytes {
					t.Fatalf("a session of %d and %d bytes was believed", c.Session.Sent, c.Session.Received)
				}
			}
		}
	}
	for _, b := range script {
		if b >= 0xf0 {
			now += int64(time.Second) << (b & 15)
			add(s.tickAll(now))
			checkTable(t, s)
			continue
		}
		line := fuzzLines[int(b&31)%len(fuzzLines)]
		pid := int32(b>>5) + 1
		var ev Event
		parser.Parse([]byte(line), &ev)
		ev.Severity = -1
		lines++
		switch ev.Kind {
		case Connect:
			connects++
		case Start:
			starts++
		}
		changes, believed := s.apply(o, pid, now, &ev)
		if !believed {
			// sessions of which time has shown that they are over end before the line is looked at
			for _, c := range changes {
				if c.Kind != Ended && c.Kind != Exited {
					t.Fatalf("%q isn't believed, and counts as %d", line, c.Kind)
				}
			}
		}
		add(changes)
		checkTable(t, s)
	}
	add(s.tickAll(now + int64(100*24*time.Hour)))
	add(s.tickAll(now + int64(200*24*time.Hour)))
	checkTable(t, s)
	if s.Len() != 0 {
		t.Fatalf("%d sessions never end", s.Len())
	}
	if connected > connects || executed > starts || summaries > lines || ended > lines {
		t.Fatalf("more than was logged: %d of %d connects, %d of %d starts, %d ends of %d lines", connected, connects, executed, starts, ended, lines)
	}
}

// checkTable asserts that lists, map and phases agree, and that no session is due before its origin.
func checkTable(t *testing.T, s *Sessions) {
	t.Helper()
	listed, aged := 0, 0
	for _, o := range s.origins {
		for p := range o.lists {
			for x := o.lists[p].first; x != nil; x = x.next {
				listed++
				if x.Phase != phase(p) || x.Origin != o || s.session(o, x.PID) != x {
					t.Fatalf("pid %d: phase %d in the list of phase %d, or not its pid's session", x.PID, x.Phase, p)
				}
				if x.next != nil && x.next.prev != x || x.next == nil && o.lists[p].last != x {
					t.Fatal("a list is broken")
				}
			}
			for x := o.lists[p].first; x != nil && x.next != nil && phase(p) <= failing && !o.stirred; x = x.next {
				if x.Orphaned == 0 && x.next.Orphaned != 0 {
					t.Fatalf("pid %d was heard since the daemon's start, and stands before pid %d, which wasn't", x.PID, x.next.PID)
				}
			}
			if x := o.lists[p].first; x != nil && s.due(x) < o.due {
				t.Fatalf("pid %d is due at %d, and its origin not before %d", x.PID, s.due(x), o.due)
			}
		}
	}
	for p := range s.ages {
		for x := s.ages[p].first; x != nil; x = x.age.next {
			aged++
			if x.Phase != phase(p) || x.age.next != nil && x.age.next.age.prev != x || x.age.next == nil && s.ages[p].last != x {
				t.Fatal("a list of all origins is broken")
			}
		}
	}
	if listed != len(s.table) || aged != listed || listed > s.limits.Sessions {
		t.Fatalf("%d sessions in origins' lists, %d in those of all, %d in the table, %d allowed", listed, aged, len(s.table), s.limits.Sessions)
	}
}
