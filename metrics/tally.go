package metrics

import (
	"net/netip"
	"time"

	"rsyncd_exporter/rsynclog"
)

// Books are all that a Store knows. A scrape shows them, and a restart keeps their exported fields
// (encoding/gob); gauges of running sessions come from the sessions.
type Books struct {
	Start           int64 // created time of what existed from the start, nanoseconds of the Unix epoch
	MaxSeries       int
	Modules         []string  // configured ones
	Buckets         []float64 // what histograms are made of, see buckets
	Reasons         []string  // of Input.Discarded
	OverflowByLabel overflowCounts
	Retired         uint64 // messages of hosts that have made room
	Inputs          []Input
	Hosts           []HostRecord
}

// A HostRecord holds the counters whose only rsync label is host.
type HostRecord struct {
	Host                             string
	Created                          int64
	Heard                            int64 // when its last message came, or a session of it ran
	Connections, Lists, Starts, Lost uint64
	Version                          string
	MessagesByKind                   kindCounts
	Configured                       bool           // its configured modules exist
	Senders                          []SenderRecord // the one heard last first
	Modules                          []ModuleRecord // only in Books; among them the module ""

	showZeros bool // set by Snapshot
}

// A SenderRecord is another machine's address from which messages with a host's name came.
type SenderRecord struct {
	Addr  netip.Addr
	Heard int64 // nanoseconds of the Unix epoch
}

// A ModuleRecord holds the counters labelled host and module.
type ModuleRecord struct {
	Module            string
	Created           int64
	Heard             int64 // when something was counted here, or a session of it ran
	Exits, FileErrors []NumberCount
	RejectedByReason  reasonCounts
	FilesByOp         opCounts
	FileBytesByOp     opCounts // %l
	WireBytesByOp     opCounts // %b
	HasWire           bool
	Flows             []FlowRecord // only in Books

	oldest int64 // set by Snapshot: when the oldest running session began, nanoseconds of the Unix epoch; 0: none runs
}

// A NumberCount is how often a number (an exit code, an errno) was seen.
type NumberCount struct {
	Number  int16
	N       uint64
	Created int64 // when it was first counted; 0: its series began with the module's
}

// A FlowRecord holds the counters labelled host, module and direction.
type FlowRecord struct {
	Direction              rsynclog.Direction
	Created                int64
	Executions             uint64
	Sent, Received, Listed uint64
	SessionsByOutcome      outcomeCounts
	Duration               HistogramRecord
	Users                  []UserRecord // only in Books

	active int // set by Snapshot
}

// A UserRecord holds the last session of a user with a module: the freshness of a backup.
type UserRecord struct {
	User                     string
	Heard                    int64         // when a session ended last, or ran
	LastSuccess, LastAttempt int64         // the session's last line, nanoseconds of the Unix epoch; 0: none yet
	LastDuration             time.Duration // -1: not known
	LastListed               int64         // bytes; -1: not known
}

type hostTally struct {
	HostRecord
	fixed   bool // it never goes, and has no weight
	stale   bool // a cookie that leads here is looked up again: it has gone, or stands for hosts without room
	told    bool // MixedHosts has told of it, or will
	modules map[string]*moduleTally
	unnamed *moduleTally // module ""
}

type moduleTally struct {
	ModuleRecord
	host       string
	configured bool          // the name is from the settings: it goes with its host only
	fixed      bool          // it never goes, and has no weight
	flows      [3]*flowTally // by direction
}

type flowTally struct {
	FlowRecord
	tally *moduleTally
	users map[string]*UserRecord
	stale bool // see hostTally
}

// What a message can be besides a rsynclog.Kind.
const (
	implausible = int(rsynclog.NumKinds) + iota // it can't be what it looks like
	otherKind                                   // the kind is not served, for MAX_SERIES
	numMessages
)

const numOps = int(rsynclog.OpUnknown) + 1

// add finds the number's count; the lists are short and their frequent members come first. A new
// one gets the created time.
func add(list []NumberCount, number int16, n uint64, created int64) []NumberCount {
	for i := range list {
		if list[i].Number == number {
			list[i].N += n
			return list
		}
	}
	return append(list, NumberCount{number, n, created})
}
