package metrics

import (
	"strconv"
	"time"

	"rsyncd_exporter/rsynclog"
)

// A count is how often a number (an exit code, an errno) was seen.
type count struct {
	number int16
	n      uint64
}

// add finds the number's count; the lists are short and their frequent members come first.
func add(list []count, number int16, n uint64) []count {
	for i := range list {
		if list[i].number == number {
			list[i].n += n
			return list
		}
	}
	return append(list, count{number, n})
}

// A hostTally holds the counters whose only rsync label is host.
type hostTally struct {
	host                       string
	created                    int64
	heard                      int64 // when its last message came, or a session of it ran
	fixed                      bool  // it never goes, and has no weight
	stale                      bool  // a cookie that leads here is looked up again: it has gone, or stands for hosts without room
	told                       bool  // MixedHosts has told of it, or will
	connections, lists, starts uint64
	lost                       uint64
	version                    string
	messages                   [numMessages]uint64 // by kind, then implausible and otherKind
	configured                 bool                // its configured modules exist
	modules                    map[string]*moduleTally
	unnamed                    *moduleTally // module ""
	addresses                  []address    // of other machines, the one heard last first
}

// What a message can be besides a rsynclog.Kind.
const (
	implausible = int(rsynclog.NumKinds) + iota // it can't be what it looks like
	otherKind                                   // the kind is not served, for MAX_SERIES
	numMessages
)

// A moduleTally holds the counters labelled host and module.
type moduleTally struct {
	host, module string
	created      int64
	known        bool  // it has a name: its series exist at 0
	configured   bool  // the name is from the settings: it goes with its host only
	fixed        bool  // it never goes, and has no weight
	heard        int64 // when something was counted here, or a session of it ran
	exits        []count
	fileErrors   []count
	rejected     [rsynclog.NumReasons]uint64
	files        [numOps]uint64
	fileBytes    [numOps]uint64 // %l
	wireBytes    [numOps]uint64 // %b
	hasWire      bool
	flows        [3]*flowTally // by direction
	oldest       int64         // set by Snapshot: when the oldest running session began, nanoseconds of the Unix epoch; 0: none runs
}

const numOps = int(rsynclog.OpUnknown) + 1

// A flowTally holds the counters labelled host, module and direction.
type flowTally struct {
	host, module           string
	tally                  *moduleTally // of the same host and module; nil in a Snapshot
	direction              rsynclog.Direction
	created                int64
	executions             uint64
	sent, received, listed uint64
	outcomes               [rsynclog.NumOutcomes]uint64
	duration               histogram
	users                  map[string]*userTally
	active                 int  // set by Snapshot
	stale                  bool // see hostTally
}

// A userTally holds the last session of a user with a module: the freshness of a backup.
type userTally struct {
	user                     string
	heard                    int64         // when a session ended last, or ran
	lastSuccess, lastAttempt int64         // when the session's last line came, nanoseconds of the Unix epoch; 0: none yet
	lastDuration             time.Duration // -1: not known
	lastListed               int64         // bytes; -1: not known
}

// otherNumber stands for exit codes and errnos that don't exist: a client can write any number into the log.
const otherNumber = -1

func number(n int16) string {
	if n == otherNumber {
		return rsynclog.Other
	}
	return strconv.Itoa(int(n))
}

// exitCode returns a code of rsync's errcode.h (2.6.9 to 3.5.0) or otherNumber.
func exitCode(n int16) int16 {
	switch {
	case n >= 1 && n <= 5, n >= 10 && n <= 16, n >= 19 && n <= 25, n == 30, n == 35, n >= 124 && n <= 127:
		return n
	}
	return otherNumber
}

// errno returns an errno of Linux, which has 1 to 133, or 0 for none, or otherNumber.
func errno(n int16) int16 {
	if n >= 0 && n <= 133 {
		return n
	}
	return otherNumber
}
