package sessionlog_test

import (
	"bytes"
	"encoding/gob"
	"encoding/json"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"rsyncd_exporter/rsynclog"
	"rsyncd_exporter/status/api"
	"rsyncd_exporter/status/sessionlog"
)

const second = int64(time.Second)

// began is the wall clock's time when tests begin; the sessions' clock is at 0 then.
var began = time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)

// pushed is a session of 90 seconds that ended at second 100.
func pushed(pid int32) *rsynclog.Session {
	s := &rsynclog.Session{Origin: &rsynclog.Origin{Host: "nas"}}
	s.SessionRecord = rsynclog.SessionRecord{
		PID: pid, Module: "backup", Direction: rsynclog.Receive, User: "alice", Addr: "192.0.2.77", Name: "pc.example.org",
		FirstSeen: 10 * second, LastSeen: 100 * second, Outcome: rsynclog.OK,
	}
	s.Files[rsynclog.OpRecv] = 3
	return s
}

func ended(s *rsynclog.Session) rsynclog.Change {
	return rsynclog.Change{Kind: rsynclog.Ended, Origin: s.Origin, Session: s, N: 1, Sent: 166, Received: 3000, Total: 9000}
}

// end queues sessions that end now, at second 102.
func end(q *sessionlog.Queue, sessions ...*rsynclog.Session) {
	var changes []rsynclog.Change
	for _, s := range sessions {
		changes = append(changes, ended(s))
	}
	apply(q, changes...)
}

func apply(q *sessionlog.Queue, changes ...rsynclog.Change) {
	q.Apply(changes, 102*second, began.UnixNano()+102*second)
}

// pids are those of a log's lines, each of which must be one.
func pids(t *testing.T, log string) (all []int32) {
	t.Helper()
	for line := range strings.Lines(log) {
		var v api.Ended
		if err := json.Unmarshal([]byte(line), &v); err != nil || !strings.HasSuffix(line, "}\n") {
			t.Fatalf("%q: %v", line, err)
		}
		all = append(all, v.PID)
	}
	return all
}

func read(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// restart passes a Record through what STATE_DIR holds.
func restart(t *testing.T, r *sessionlog.Record) *sessionlog.Queue {
	t.Helper()
	var b bytes.Buffer
	if err := gob.NewEncoder(&b).Encode(r); err != nil {
		t.Fatal(err)
	}
	got := &sessionlog.Record{}
	if err := gob.NewDecoder(&b).Decode(got); err != nil {
		t.Fatal(err)
	}
	return sessionlog.NewQueue(got, true, 0)
}

// What doesn't fit is counted, and what is queued stays. 40,000 sessions come, 32,768 fit, 7,232 don't.
func TestAFullQueueCountsWhatItDrops(t *testing.T) {
	q := sessionlog.NewQueue(nil, true, 5)
	s := pushed(1)
	for range 40_000 {
		end(q, s)
	}
	if got, want := q.Counts(), (sessionlog.Counts{Since: 5, Dropped: 7232, Waiting: 32768}); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
	if got := q.Record().Counts(); got != q.Counts() {
		t.Errorf("the Record has %+v", got)
	}
	again := restart(t, q.Record())
	end(again, s)
	if got, want := again.Counts(), (sessionlog.Counts{Since: 5, Dropped: 7233, Waiting: 32768}); got != want {
		t.Errorf("after a restart: %+v, want %+v", got, want)
	}
}

// A client can have any number of summaries logged after what looks like its end.
func TestAmendmentsAreBounded(t *testing.T) {
	q := sessionlog.NewQueue(nil, true, 0)
	s := pushed(1)
	end(q, s)
	for i := range 100 {
		s.Amendments = uint8(i + 1)
		apply(q, rsynclog.Change{Kind: rsynclog.Amended, Origin: s.Origin, Session: s, Sent: 1})
	}
	apply(q, rsynclog.Change{Kind: rsynclog.Amended, Origin: s.Origin, Session: s}) // says nothing new
	if got := q.Counts().Waiting; got != 9 {
		t.Errorf("%d lines, want the session's and 8 more", got)
	}
}

// Only an end, and what is found out later, make a line.
func TestOtherChangesMakeNoLine(t *testing.T) {
	q := sessionlog.NewQueue(nil, true, 0)
	s := pushed(1)
	for kind := rsynclog.Connected; kind <= rsynclog.Resumed; kind++ {
		if kind != rsynclog.Ended && kind != rsynclog.Amended {
			apply(q, rsynclog.Change{Kind: kind, Origin: s.Origin, Session: s, N: 1, Sent: 1})
		}
	}
	if got := q.Counts().Waiting; got != 0 {
		t.Errorf("%d lines, want none", got)
	}
}

// Waiting costs a second once, not for each slab: a log that hangs holds nothing up.
func TestAFullQueueIsWaitedForOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := sessionlog.NewQueue(nil, true, 0)
		s := pushed(1)
		for range 17_000 {
			end(q, s)
		}
		at := time.Now()
		for range 1000 {
			q.Wait()
		}
		if all := time.Since(at); all < time.Second || all > 2*time.Second {
			t.Errorf("1,000 waits took %v", all)
		}
	})
}

func BenchmarkApply(b *testing.B) {
	q := sessionlog.NewQueue(nil, false, 0)
	changes := []rsynclog.Change{ended(pushed(1))}
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		if i%sessionlog.Limit == 0 {
			q = sessionlog.NewQueue(nil, false, 0)
		}
		q.Apply(changes, 1, 1)
	}
}
