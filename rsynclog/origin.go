package rsynclog

import (
	"bytes"
	"math"
	"net/netip"
	"slices"
	"time"
)

// An Origin is where sessions with distinct pids come from: a host, a container of it, or a followed file.
type Origin struct {
	Host  string     // name in the syslog header; empty for local inputs
	Scope uint32     // tells followed files, and pid namespaces, apart; 0 for syslog of our own pid namespace
	Addr  netip.Addr // tells other machines apart that don't say their names; not valid otherwise

	container string // tells containers of one host apart; empty otherwise

	// Cookie is the consumer's; see also Restored.
	Cookie any

	id      uint32 // of no other origin, ever
	raw     string // the host as it stands in the header
	tracked bool
	gone    bool // Sessions has let go of it
	stirred bool // its sessions may stand in another order than orphan takes for granted
	life    life
	clock   originClock
	arrived int64 // when the last of its messages came
	due     int64 // no session of it is over before
	lists   [numPhases]sessionList
	// forgotten is until when a session of which nothing is remembered can't have ended an hour ago: some had to make
	// room before.
	forgotten int64
	modules   map[string]taught // configured modules' names, raw as logged
	noName    int64             // until when there is no room for another one
	serves    bool              // somebody was let in
	names     bool              // "allowed access" lines are logged (rsync 3.2 and later): nothing else teaches a module
	index     int               // in the State that is being made
}

// A taught is a module's name that an origin's daemons have logged.
type taught struct {
	label string
	heard int64 // when last
}

type originKey struct {
	scope           uint32
	host, container string
	addr            netip.Addr
}

// A Where is what a message tells of its origin.
type Where struct {
	Scope     uint32     // see Origin.Scope
	Host      []byte     // name as it stands in the header; nil for none
	Container []byte     // name of the container, whose pids are its own; nil for none
	Addr      netip.Addr // of the machine that sent it; matters only without a Host
}

// forgetAfter is how long something must have been silent before it makes room for something new.
const forgetAfter = 24 * time.Hour

// Origin returns the origin that a message tells. The time at is that of its arrival. What names it is copied when it
// is new.
func (t *Sessions) Origin(w Where, at int64) *Origin {
	if len(w.Host) > 0 {
		w.Addr = netip.Addr{} // it may be anybody who passes messages on
	}
	if o := t.last; o != nil && o.Scope == w.Scope && o.raw == string(w.Host) && o.container == string(w.Container) &&
		(len(w.Host) > 0 || o.Addr == w.Addr) {
		o.arrived = max(o.arrived, at)
		return o
	}
	if len(w.Host) > maxRaw || len(w.Container) > maxRaw {
		t.overflown++
		return t.overflow
	}
	o := t.origins[originKey{w.Scope, string(w.Host), string(w.Container), w.Addr}]
	if o == nil {
		full := !t.hosts[string(w.Host)] && len(t.origins) >= t.limits.Origins
		if full && !t.forgetOrigin(at) {
			t.overflown++
			return t.overflow
		}
		o = t.newOrigin(originKey{w.Scope, string(w.Host), string(w.Container), w.Addr})
	}
	o.arrived = max(o.arrived, at)
	t.last = o
	return o
}

// Tracked says whether its sessions are followed: it isn't the one that stands for the hosts beyond the limit.
func (o *Origin) Tracked() bool { return o.tracked }

// Gone says whether it was let go of: the same host has another one now, or none.
func (o *Origin) Gone() bool { return o.gone }

// Heard notes that a message of the origin arrived, as Sessions.Origin does.
func (o *Origin) Heard(at int64) { o.arrived = max(o.arrived, at) }

func (t *Sessions) newOrigin(key originKey) *Origin {
	t.ids++
	o := &Origin{
		Host: Label([]byte(key.host)), Scope: key.scope, Addr: key.addr, container: key.container,
		raw: key.host, id: t.ids, tracked: true, stirred: true, due: math.MaxInt64,
	}
	t.origins[key] = o
	t.inOrder = append(t.inOrder, o)
	return o
}

// forgetOrigin lets go of the origin that has been silent for longest, if that is a day and none of its sessions is
// open.
func (t *Sessions) forgetOrigin(now int64) bool {
	if now < t.nobodyBefore {
		return false
	}
	var oldest *Origin
	for _, o := range t.inOrder {
		if !t.hosts[o.raw] && !o.busy() && (oldest == nil || o.arrived < oldest.arrived) {
			oldest = o
		}
	}
	if oldest == nil || now-oldest.arrived < int64(forgetAfter) {
		t.nobodyBefore = now + int64(time.Minute) // a flood of names costs one search a minute
		return false
	}
	for p := range oldest.lists {
		for s := oldest.lists[p].first; s != nil; s = oldest.lists[p].first {
			t.drop(s)
		}
	}
	oldest.gone = true
	t.names -= len(oldest.modules)
	delete(t.origins, originKey{oldest.Scope, oldest.raw, oldest.container, oldest.Addr})
	t.inOrder = slices.DeleteFunc(t.inOrder, func(o *Origin) bool { return o == oldest })
	if t.last == oldest {
		t.last = nil
	}
	return true
}

// busy says whether a session of the origin is open.
func (o *Origin) busy() bool {
	for p := fresh; p <= settling; p++ {
		if o.lists[p].first != nil {
			return true
		}
	}
	return false
}

// wake makes the origin be looked at when a session may be over.
func (o *Origin) wake(due int64) { o.due = min(o.due, due) }

// module returns the label for a module name as logged. A name that isn't known yet is learned if teach says that the
// daemon, not a client, wrote it; otherwise ok is false.
func (t *Sessions) module(o *Origin, name []byte, teach bool) (clean string, ok bool) {
	if m, ok := t.known[string(name)]; ok {
		return m, true
	}
	if len(t.known) > 0 && bytes.Contains(name, []byte(`\#`)) { // as a log file has it
		if m, ok := t.known[string(AppendUnescaped(nil, name[:min(len(name), maxRaw)]))]; ok {
			return m, true
		}
	}
	if m, ok := o.modules[string(name)]; ok {
		if teach {
			o.modules[string(name)] = taught{m.label, o.arrived}
		}
		return m.label, true
	}
	if !teach || len(name) == 0 {
		return "", false
	}
	if len(name) > maxRaw || !t.roomForName(o) {
		return Other, true
	}
	if o.modules == nil {
		o.modules = map[string]taught{}
	}
	m := Label(name)
	o.modules[string(name)] = taught{m, o.arrived}
	t.names++
	return m, true
}

// roomForName says whether an origin may learn another module's name, and lets go of one that has not been heard for
// a day if need be.
func (t *Sessions) roomForName(o *Origin) bool {
	if t.names >= maxNames {
		t.forgetOrigin(o.arrived)
	}
	if len(o.modules) < maxModules && t.names < maxNames {
		return true
	}
	if o.arrived < o.noName {
		return false
	}
	oldest, heard := "", int64(math.MaxInt64)
	for name, m := range o.modules {
		if m.heard < heard || m.heard == heard && name < oldest {
			oldest, heard = name, m.heard
		}
	}
	if len(o.modules) == 0 || o.arrived-heard < int64(forgetAfter) {
		o.noName = o.arrived + int64(time.Minute)
		return false
	}
	delete(o.modules, oldest)
	t.names--
	return true
}
