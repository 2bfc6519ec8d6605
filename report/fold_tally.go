package report

import (
	"math"

	"rsyncd_exporter/rsynclog"
)

const (
	numOps = rsynclog.OpUnknown + 1
	// maxModules bounds the names of modules, which daemons have in their settings. Clients can't
	// invent any; a broken log may hold many. Others count as rsynclog.Other.
	maxModules = 2000
)

// A flow counts what belongs to one module and direction.
type flow struct {
	module    string
	direction rsynclog.Direction

	executions             uint64
	sessions               [rsynclog.NumOutcomes]uint64
	sent, received, listed uint64
	files, lengths, wire   [numOps]uint64
	took                   histogram
}

// A tally counts changes as metrics.Store does, without hosts.
type tally struct {
	modules map[string]*[rsynclog.Receive + 1]*flow

	connections, lists, starts, lost, running uint64

	exits, fileErrors map[int16]uint64
	rejected          [rsynclog.NumReasons]uint64
	families          map[string]Volume
}

func newTally() tally {
	return tally{
		modules: map[string]*[rsynclog.Receive + 1]*flow{},
		exits:   map[int16]uint64{}, fileErrors: map[int16]uint64{},
		families: map[string]Volume{"ipv4": {}, "ipv6": {}, "unknown": {}},
	}
}

// flow returns the counts of a module and direction, or those of the modules without room.
func (t *tally) flow(module string, d rsynclog.Direction) *flow {
	flows := t.modules[module]
	if flows == nil && len(t.modules) >= maxModules && module != rsynclog.Other {
		return t.flow(rsynclog.Other, d)
	}
	if flows == nil {
		flows = &[rsynclog.Receive + 1]*flow{}
		t.modules[module] = flows
	}
	if flows[d] == nil {
		flows[d] = &flow{module: module, direction: d}
	}
	return flows[d]
}

// grow adds to a count of bytes, which stops at the end of its range.
func grow(n *uint64, by uint64) {
	if *n += by; *n < by {
		*n = math.MaxUint64
	}
}
