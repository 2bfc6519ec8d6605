package pipeline_test

import (
	"fmt"
	"testing"

	"rsyncd_exporter/pipeline"
	"rsyncd_exporter/receiver"
	"rsyncd_exporter/receiver/syslog"
)

// A moment is a pipeline that follows one file of connects, and slabs of it: the position is the number of the
// lines before it.
type moment struct {
	*pipeline.Pipeline
	t     *testing.T
	src   *receiver.Source
	lines int64
}

var momentFile = receiver.FileID{Inode: 1}

func newMoment(t *testing.T) *moment {
	return &moment{Pipeline: newPipeline(t, pipeline.Config{}), t: t, src: &receiver.Source{Input: "file", Name: "file log", Scope: 2, Dialect: syslog.Lines{}}}
}

func (m *moment) deliver() {
	slab := &receiver.Slab{}
	for range 3 {
		m.lines++
		slab.Messages = append(slab.Messages, fmt.Appendf(nil, "2026/11/29 00:00:00 [%d] connect from localhost (127.0.0.1)", m.lines))
	}
	slab.Position = &receiver.FilePosition{ID: momentFile, Offset: m.lines}
	m.Deliver(m.src, slab)
}

// check asserts that a save's counters, sessions and position know the same lines.
func (m *moment) check(snap uint64, st *pipeline.Checkpoint) {
	m.t.Helper()
	counted := uint64(0)
	for _, h := range st.Books.Hosts {
		counted += h.Connections
	}
	at := st.Counted()[momentFile]
	if sessions := uint64(len(st.Sessions.Sessions)); snap != uint64(at.Offset) || counted != snap || sessions != snap {
		m.t.Errorf("position %d, %d received, %d counted, %d sessions: not of one moment", at.Offset, snap, counted, sessions)
	}
}

func (m *moment) save() {
	m.t.Helper()
	snap, st := m.Save(nil)
	m.check(snap.Received(), st)
}

// between calls act with the test's action each time that the lock comes free while it runs: no race needs to
// be won.
func (m *moment) between(act, meanwhile func()) (times int) {
	var freed func()
	freed = func() {
		m.OnUnlock(nil)
		meanwhile()
		m.OnUnlock(freed)
		times++
	}
	m.OnUnlock(freed)
	act()
	m.OnUnlock(nil)
	return times
}

// The counters, the sessions and the positions of a save are of the same moment, whatever is delivered
// whenever the lock is free.
func TestASaveIsOfOneMoment(t *testing.T) {
	m := newMoment(t)
	m.deliver()
	for range 3 {
		if m.between(m.save, m.deliver) == 0 {
			t.Fatal("the lock has never been free")
		}
	}
	if m.lines < 12 {
		t.Errorf("%d lines", m.lines)
	}
}

// Whenever the lock is free while a slab is delivered, a save finds either all of the slab counted, with its
// position, or nothing of it.
func TestASlabIsCountedInOneMoment(t *testing.T) {
	m := newMoment(t)
	for range 3 {
		if m.between(m.deliver, m.save) == 0 {
			t.Fatal("the lock has never been free")
		}
	}
}
