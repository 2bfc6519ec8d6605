package rsynclog

import (
	"bytes"
	"encoding/gob"
	"testing"
)

// Bounds and phases that promises name.
const (
	LapConnects = lapConnects
	Lapsed      = lapsed
	MaxBytes    = maxBytes
	MaxModules  = maxModules
	MaxNames    = maxNames
	MaxText     = maxText
	Reserved    = reserved
	Running     = running
)

// Ranks of lines.
const (
	OwnLine   = int(ownLine)
	DebugLine = int(debugLine)
	NamedLine = int(namedLine)
)

// What tests compare with.
var (
	Alternatives = alternatives
	IsExactAddr  = isExactAddr
	IsScope      = isScope
	SetOf        = setOf
)

// A Row is one of the table of lines.
type Row struct {
	Kind     Kind
	Template string
}

// Rows returns those of a rank.
func Rows(r int) (all []Row) {
	for _, row := range rows[rank(r)] {
		all = append(all, Row{row.kind, row.template})
	}
	return all
}

// DefaultMatchers are the two that read transfers of the default format.
func DefaultMatchers() (compiled, scanned func([]byte, *Event) bool, err error) {
	f, err := compileFormat(DefaultLogFormat)
	if err != nil {
		return nil, nil, err
	}
	return f.match, parseTransfer, nil
}

// ReadsOp says whether the format has an operation where it can be read.
func (p *Parser) ReadsOp() bool { return p.format.readsOp }

// ModuleNamed returns the label of a module that is known.
func (t *Sessions) ModuleNamed(o *Origin, name string) (clean string, ok bool) {
	return t.module(o, []byte(name), false)
}

// Origins are all hosts.
func (t *Sessions) Origins() map[originKey]*Origin { return t.origins }

// NamesKept is how many names of modules all hosts together have taught.
func (t *Sessions) NamesKept() int { return t.names }

// Talks says whether a process is one of those whose client can write.
func (t *Sessions) Talks(o *Origin, pid int32) bool { return t.talkers.has(o, pid) }

// IsOver says whether a session is one that has ended or lapsed.
func (s *Session) IsOver() bool { return s.over() }

// ThroughBytes returns what is read of what is written.
func ThroughBytes(t *testing.T, r TableRecord) (read TableRecord) {
	t.Helper()
	var b bytes.Buffer
	if err := gob.NewEncoder(&b).Encode(&r); err != nil {
		t.Fatal(err)
	}
	if err := gob.NewDecoder(&b).Decode(&read); err != nil {
		t.Fatal(err)
	}
	return read
}

// CheckTable asserts that lists, map and phases agree, and that no session is due before its origin.
func CheckTable(t *testing.T, s *Sessions) {
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
