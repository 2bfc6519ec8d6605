package receiver

import (
	"bytes"
	"errors"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// pidNamespaces tells the pid namespaces of those who log into one unix datagram socket apart.
//
// SCM_CREDENTIALS has a sender's process id as it is in our pid namespace; what stands in its message is the sender's own view. Where both
// are equal nothing need be known: that id is the sender's alone. Where they differ the sender either passes on what others log (a relay
// such as rsyslogd), or is in another pid namespace, such as a container's, whose ids mean nothing here. /proc tells which.
//
// It belongs to one reader. A look at /proc is two system calls that wait for nothing; its answer is believed for a second.
type pidNamespaces struct {
	proc  string // /proc, or what a test has instead
	own   string // target of the link ns/pid of our own process; empty where /proc doesn't show our pid namespace
	known map[int32]process
	base  uint32 // scope of the first of named
	named []named
}

// A named is a namespace that goes by the name of its first process, as its number can't be read. Its scope is base and its index.
type named struct {
	first int32
	used  int64 // when last, in nanoseconds of the Unix epoch
}

// A process is what has been found out about a sender.
type process struct {
	scope  uint32
	looked int64 // when, in nanoseconds of the Unix epoch
}

const (
	believed   = time.Second // how long an answer stands: process ids come round, but not so soon
	maxSenders = 4096        // processes remembered
	maxParents = 64          // looked at on the way to a namespace's first process
	maxNamed   = 1024        // namespaces with a scope of their own; the longest silent makes room, as a Sink keeps every scope that it sees
)

// newPIDNamespaces is for the reader of one socket; nth tells the readers of one input apart, so that they don't name two namespaces alike.
// It returns nil where the system has no way to tell.
func newPIDNamespaces(nth uint64) *pidNamespaces { return pidNamespacesIn("/proc", nth) }

func pidNamespacesIn(proc string, nth uint64) *pidNamespaces {
	n := &pidNamespaces{proc: proc, known: map[int32]process{}, base: ForeignScope + 1 + uint32(nth%(2*maxUnixSockets))*maxNamed}
	// The /proc of another pid namespace, where unshare(1) was told no --mount-proc, has other processes under our numbers.
	if self, err := os.Readlink(proc + "/self"); err == nil && self == strconv.Itoa(os.Getpid()) {
		n.own, _ = os.Readlink(proc + "/self/ns/pid")
	}
	return n
}

// scope returns the scope of what a process logs under another process id than pid, which is its own as seen from here: 0 in our pid
// namespace, and a number from ForeignScope on in another one. A process that has ended keeps the scope that it had.
func (n *pidNamespaces) scope(pid int32, at int64) uint32 {
	if pid <= 0 || n.own == "" {
		return ForeignScope // it isn't below our pid namespace
	}
	s, ok := n.known[pid]
	if ok && at >= s.looked && at-s.looked < int64(believed) {
		return s.scope
	}
	if scope, found := n.look(pid, at); found {
		s.scope = scope
	} else if !ok {
		s.scope = ForeignScope
	}
	if !ok && len(n.known) >= maxSenders {
		n.forget(at)
	}
	n.known[pid] = process{s.scope, at}
	return s.scope
}

// forget makes room: those go that have not logged for a minute, and all if that isn't enough.
func (n *pidNamespaces) forget(at int64) {
	for pid, s := range n.known {
		if at-s.looked > int64(time.Minute) {
			delete(n.known, pid)
		}
	}
	if len(n.known) >= maxSenders {
		clear(n.known)
	}
}

// look asks /proc for the pid namespace of a process. Not found means that the process has ended, or that /proc shows it to others only
// (hidepid).
func (n *pidNamespaces) look(pid int32, at int64) (scope uint32, found bool) {
	link, err := os.Readlink(n.path(pid, "ns/pid"))
	switch {
	case err == nil && link == n.own:
		return 0, true
	case err == nil:
		// "pid:[4026532180]", namespaces(7). The kernel's numbers begin at 0xeffffffc (linux/proc_ns.h), above all other scopes.
		number, err := strconv.ParseUint(strings.TrimSuffix(strings.TrimPrefix(link, "pid:["), "]"), 10, 32)
		return max(uint32(number), ForeignScope), err == nil
	case errors.Is(err, syscall.EACCES), errors.Is(err, syscall.EPERM):
		return n.lookAtStatus(pid, at) // the link is for those who may trace the process, its status for everybody
	}
	return 0, false
}

// lookAtStatus finds the first process of pid's namespace, which is as good as a name for it, among its ancestors. The scope is ForeignScope
// where there is none such: whoever entered the namespace from outside has a parent there.
func (n *pidNamespaces) lookAtStatus(pid int32, at int64) (scope uint32, found bool) {
	own, parent, depth, found := n.status(pid)
	if !found || depth == 1 {
		return 0, found
	}
	for range maxParents {
		if own == 1 {
			return n.name(pid, at), true
		}
		pid = parent
		var d int
		if own, parent, d, found = n.status(pid); !found || d != depth {
			break
		}
	}
	return ForeignScope, true
}

// name returns the scope of the namespace whose first process this is.
func (n *pidNamespaces) name(first int32, at int64) uint32 {
	oldest := 0
	for i := range n.named {
		if n.named[i].first == first {
			n.named[i].used = at
			return n.base + uint32(i)
		}
		if n.named[i].used < n.named[oldest].used {
			oldest = i
		}
	}
	if len(n.named) < maxNamed {
		oldest = len(n.named)
		n.named = append(n.named, named{})
	}
	n.named[oldest] = named{first, at}
	return n.base + uint32(oldest)
}

// status reads from /proc/PID/status the process's id in its own pid namespace, its parent as seen from here, and how many namespaces deep
// it is: 1 in ours, proc_pid_status(5).
func (n *pidNamespaces) status(pid int32) (own, parent int32, depth int, found bool) {
	text, err := os.ReadFile(n.path(pid, "status"))
	if err != nil {
		return 0, 0, 0, false
	}
	for line := range bytes.Lines(text) {
		name, value, _ := strings.Cut(string(line), ":")
		fields := strings.Fields(value)
		if len(fields) == 0 {
			continue
		}
		last, _ := strconv.ParseInt(fields[len(fields)-1], 10, 32)
		switch name {
		case "PPid":
			parent = int32(last)
		case "NSpid":
			own, depth = int32(last), len(fields)
		}
	}
	return own, parent, depth, depth > 0
}

func (n *pidNamespaces) path(pid int32, file string) string {
	return n.proc + "/" + strconv.Itoa(int(pid)) + "/" + file
}
