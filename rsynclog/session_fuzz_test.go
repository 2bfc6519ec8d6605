package rsynclog_test

import (
	"testing"
	"time"

	"rsyncd_exporter/rsynclog"
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
	limits := rsynclog.DefaultLimits()
	limits.Sessions = 3
	parser, err := rsynclog.NewParser(rsynclog.DefaultLogFormat)
	if err != nil {
		t.Fatal(err)
	}
	s := newSessions(limits)
	o := originOf(s, 0, "vm")
	now := int64(time.Hour)
	var lines, connects, connected, starts, executed, summaries, ended uint64
	add := func(changes []rsynclog.Change) {
		for _, c := range changes {
			switch c.Kind {
			case rsynclog.Connected:
				connected += c.N
			case rsynclog.Executed:
				executed += c.N
			case rsynclog.Ended:
				ended++
				if c.Session.HasSummary {
					summaries++
				}
				if c.Session.Sent > rsynclog.MaxBytes || c.Session.Received > rsynclog.MaxBytes {
					t.Fatalf("a session of %d and %d bytes was believed", c.Session.Sent, c.Session.Received)
				}
			}
		}
	}
	for _, b := range script {
		if b >= 0xf0 {
			now += int64(time.Second) << (b & 15)
			add(tickAll(s, now))
			rsynclog.CheckTable(t, s)
			continue
		}
		line := fuzzLines[int(b&31)%len(fuzzLines)]
		pid := int32(b>>5) + 1
		var ev rsynclog.Event
		parser.Parse([]byte(line), &ev)
		ev.Severity = -1
		lines++
		switch ev.Kind {
		case rsynclog.Connect:
			connects++
		case rsynclog.Start:
			starts++
		}
		changes, believed := applyAt(s, o, pid, now, &ev)
		if !believed {
			// sessions of which time has shown that they are over end before the line is looked at
			for _, c := range changes {
				if c.Kind != rsynclog.Ended && c.Kind != rsynclog.Exited {
					t.Fatalf("%q isn't believed, and counts as %d", line, c.Kind)
				}
			}
		}
		add(changes)
		rsynclog.CheckTable(t, s)
	}
	add(tickAll(s, now+int64(100*24*time.Hour)))
	add(tickAll(s, now+int64(200*24*time.Hour)))
	rsynclog.CheckTable(t, s)
	if s.Len() != 0 {
		t.Fatalf("%d sessions never end", s.Len())
	}
	if connected > connects || executed > starts || summaries > lines || ended > lines {
		t.Fatalf("more than was logged: %d of %d connects, %d of %d starts, %d ends of %d lines", connected, connects, executed, starts, ended, lines)
	}
}
