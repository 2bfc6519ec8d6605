package datagram

import (
	"bytes"
	"encoding/binary"
	"hash/fnv"
	"maps"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"rsyncd_exporter/receiver"
)

// pidNamespaces knows the processes that log into one unix datagram socket: in which pid namespace
// each is, when it started, and whether it speaks for itself.
//
// SCM_CREDENTIALS gives a sender's user, and its process id in our pid namespace. The id in its
// message is the sender's own view. If both are equal the sender speaks for itself. If not, it
// passes on what others log (a relay such as rsyslogd), or it lives in another pid namespace such
// as a container's, or it lies. /proc tells which.
//
// It belongs to one reader. A look at /proc waits for nothing: stat and status take no lock that a
// process holds while it sleeps or reads from a disk. What it has found is believed for a second,
// and kept for a process that has ended since.
type pidNamespaces struct {
	proc  string // /proc, or what a test has instead
	own   string // target of the link ns/pid of our own process; empty where /proc can't tell the senders
	known map[int32]*process
}

// A process is what has been found out about a sender.
type process struct {
	started uint64 // in clock ticks since boot; 0 where /proc has never shown it
	looked  int64  // when, in nanoseconds of the Unix epoch
	placed  bool   // place has been looked up, or can't be before the next look
	place   place
	spoke   bool   // it has logged under its own id
	user    uint32 // and as whom it did so last
}

// A place is where a process lives. It never changes.
type place struct {
	scope   uint32
	own     int32 // its id in its own pid namespace; 0 where that is not known
	root    bool  // its real user is root
	unclear bool  // it exists, but this /proc doesn't have its own id
}

const (
	believed   = time.Second // how long an answer stands: process ids come round, but not so soon
	maxSenders = 4096        // processes remembered
	maxParents = 16          // looked at on the way to a namespace's first process
)

func newPIDNamespaces() *pidNamespaces { return pidNamespacesIn("/proc") }

func pidNamespacesIn(proc string) *pidNamespaces {
	n := &pidNamespaces{proc: proc, known: map[int32]*process{}}
	// The /proc of another pid namespace (unshare(1) without --mount-proc) has other processes
	// under our ids.
	self, err := os.Readlink(proc + "/self")
	if err != nil || self != strconv.Itoa(os.Getpid()) {
		return n
	}
	// With hidepid (proc(5)) a hidden process looks like one that has ended. Process 1 always
	// exists.
	if _, found := n.started(1); found {
		n.own, _ = os.Readlink(proc + "/self/ns/pid")
	}
	return n
}

// sender says who sent a message whose header names the process id names, 0 for none. pid and uid
// are the kernel's; pid is 0 for a process that can't be seen from our pid namespace.
func (n *pidNamespaces) sender(pid int32, uid uint32, names int32, at int64) receiver.Sender {
	itself := pid > 0 && names == pid
	if pid <= 0 || n.own == "" {
		if itself {
			return receiver.Sender{}
		}
		return receiver.Sender{Scope: receiver.ForeignScope}
	}
	p := n.process(pid, at)
	s := receiver.Sender{}
	if !itself {
		if !p.placed {
			p.place, p.placed = n.placeOf(pid), true
		}
		if s.Scope = p.place.scope; p.place.own == 0 && s.Scope == 0 {
			s.Scope = receiver.ForeignScope
		}
		itself = names > 0 && names == p.place.own
	}
	switch {
	case itself:
		s.Started = p.started
		p.spoke, p.user = true, uid
	case uid != 0 && names > 0:
		s.Forged = !p.place.unclear && !n.relays(p, uid, names)
	}
	return s
}

// relays says whether the sender p is root and hands on what process names has logged as user uid.
// systemd-journald sends with the credentials of whoever logged; of a process that has ended it can
// give the user only, beside its own process id (journald-syslog.c:forward_syslog_iovec). That is
// believed of a process that was heard as this user before.
func (n *pidNamespaces) relays(p *process, uid uint32, names int32) bool {
	q := n.known[names]
	return p.place.root && p.place.own > 0 && p.place.scope == 0 && q != nil && q.spoke && q.user == uid
}

// process returns what is known of a process, after a look at it unless the last one is believed.
func (n *pidNamespaces) process(pid int32, at int64) *process {
	p := n.known[pid]
	if p != nil && at >= p.looked && at-p.looked < int64(believed) {
		return p
	}
	if p == nil {
		if len(n.known) >= maxSenders {
			n.forget(at)
		}
		p = &process{}
		n.known[pid] = p
	}
	if started, found := n.started(pid); found && started != p.started {
		*p = process{started: started} // another process has the id now
	}
	p.looked = at
	p.placed = p.place.own > 0
	return p
}

// forget drops processes that are silent for a minute and have ended; all if that isn't enough.
func (n *pidNamespaces) forget(at int64) {
	maps.DeleteFunc(n.known, func(pid int32, p *process) bool {
		return at-p.looked > int64(time.Minute) && unix.Kill(int(pid), 0) == unix.ESRCH
	})
	if len(n.known) > maxSenders/2 {
		clear(n.known)
	}
}

// placeOf asks /proc where a process lives. The zero value means that it has ended.
func (n *pidNamespaces) placeOf(pid int32) place {
	st, found := n.status(pid)
	switch {
	case !found:
		return place{}
	case st.depth == 1:
		return place{own: pid, root: st.root}
	}
	inode := uint64(0)
	// The link is for those who may trace the process only, its status for everybody.
	if link, err := os.Readlink(n.path(pid, "ns/pid")); err == nil && link == n.own {
		return place{own: pid, root: st.root}
	} else if err == nil { // "pid:[4026532180]", namespaces(7)
		inode, _ = strconv.ParseUint(strings.TrimSuffix(strings.TrimPrefix(link, "pid:["), "]"), 10, 64)
	}
	p := place{scope: receiver.ForeignScope, own: st.own, root: st.root, unclear: st.own == 0}
	if first, started, found := n.first(pid, st); found {
		p.scope = scopeOf(uint64(first), started)
	} else if inode != 0 {
		p.scope = scopeOf(inode)
	}
	return p
}

// first returns the id as seen from here and the start time of the first process of the namespace
// of process pid, which is among its ancestors. A process that entered the namespace from outside
// (nsenter, docker exec) has none: its parent is outside.
func (n *pidNamespaces) first(pid int32, st status) (first int32, started uint64, found bool) {
	depth := st.depth // a parent of the same depth is in the same namespace: what it could enter lies deeper
	for range maxParents {
		if st.own == 1 {
			started, found = n.started(pid)
			return pid, started, found
		}
		pid = st.parent
		if st, found = n.status(pid); !found || st.depth != depth {
			break
		}
	}
	return 0, 0, false
}

// scopeOf makes a scope of what tells a pid namespace from all others: the id of its first process
// and when that started, or its inode number, which the kernel reuses at once. A namespace has the
// same scope in each run of the exporter.
func scopeOf(numbers ...uint64) uint32 {
	h := fnv.New64a()
	_ = binary.Write(h, binary.LittleEndian, numbers)
	sum := h.Sum64()
	return receiver.ForeignScope + max(1, uint32(sum^sum>>32)&^receiver.ForeignScope)
}

// A status is what /proc/PID/status has of a process, proc_pid_status(5).
type status struct {
	own    int32 // its id in its own pid namespace
	parent int32 // its parent's id, as seen from here
	depth  int   // how many namespaces deep it is, 1 in ours; 0 on a system that doesn't say
	root   bool  // its real user is root
}

func (n *pidNamespaces) status(pid int32) (status, bool) {
	text, err := os.ReadFile(n.path(pid, "status"))
	if err != nil {
		return status{}, false
	}
	return parseStatus(text), true
}

func parseStatus(text []byte) (st status) {
	for line := range bytes.Lines(text) { // in a process's name line feeds are escaped
		name, value, _ := bytes.Cut(line, []byte(":"))
		value = bytes.TrimSpace(value)
		switch string(name) {
		case "PPid":
			st.parent = parseID(value)
		case "Uid": // real, effective, saved, file system
			user, _, _ := bytes.Cut(value, []byte("\t"))
			st.root = string(user) == "0"
		case "NSpid": // from our namespace to its own
			st.depth = bytes.Count(value, []byte("\t")) + 1
			st.own = parseID(value[bytes.LastIndexByte(value, '\t')+1:])
		}
	}
	return st
}

// parseID returns 0 for what is no process id.
func parseID(digits []byte) int32 {
	pid, err := strconv.ParseUint(string(digits), 10, 31)
	if err != nil {
		return 0
	}
	return int32(pid)
}

// started returns when a process started, in clock ticks since boot; false for one that has ended.
func (n *pidNamespaces) started(pid int32) (ticks uint64, found bool) {
	text, err := os.ReadFile(n.path(pid, "stat"))
	if err != nil {
		return 0, false
	}
	return parseStarted(text)
}

// parseStarted returns field 22 of /proc/PID/stat, proc_pid_stat(5). The second field is the
// program's name in parentheses, which may hold spaces and parentheses; no other field does.
func parseStarted(text []byte) (ticks uint64, ok bool) {
	name := bytes.LastIndexByte(text, ')')
	if name < 0 {
		return 0, false
	}
	fields := bytes.Split(text[name+1:], []byte(" ")) // the first is empty, the next is field 3
	if len(fields) <= 22-2 {
		return 0, false
	}
	ticks, err := strconv.ParseUint(string(fields[22-2]), 10, 64)
	return ticks, err == nil
}

func (n *pidNamespaces) path(pid int32, file string) string {
	return n.proc + "/" + strconv.Itoa(int(pid)) + "/" + file
}
