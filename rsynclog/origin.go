package rsynclog

import (
	"bytes"
	"math"
	"net/netip"
	"slices"
	"time"
)

// An Origin is where sessions with distinct pids come from: a host, a container of it, or a
// followed file.
type Origin struct {
	Host string // name in the syslog header; empty for local inputs
	OriginRecord

	// Cookie is the consumer's; see also Restored.
	Cookie any

	id      uint32 // of no other origin, ever
	tracked bool
	gone    bool  // Sessions has let go of it
	stirred bool  // its sessions may stand in another order than orphan takes for granted
	due     int64 // no session of it is over before
	lists   [numPhases]sessionList
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

// Origin returns the origin that a message tells. The time at is that of its arrival. What names it
// is copied when it is new.
func (t *Sessions) Origin(w Where, at int64) *Origin {
	if len(w.Host) > 0 {
		w.Addr = netip.Addr{} // it may be anybody who passes messages on
	}
	if o := t.last; o != nil && o.Scope == w.Scope && o.Raw == string(w.Host) && o.Container == string(w.Container) &&
		(len(w.Host) > 0 || o.Addr == w.Addr) {
		o.Arrived = max(o.Arrived, at)
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
	o.Arrived = max(o.Arrived, at)
	t.last = o
	return o
}

// Tracked says whether its sessions are followed: it isn't the one that stands for the hosts beyond
// the limit.
func (o *Origin) Tracked() bool { return o.tracked }

// Gone says whether it was let go of: the same host has another one now, or none.
func (o *Origin) Gone() bool { return o.gone }

// Heard notes that a message of the origin arrived, as Sessions.Origin does.
func (o *Origin) Heard(at int64) { o.Arrived = max(o.Arrived, at) }

func (t *Sessions) newOrigin(key originKey) *Origin {
	t.ids++
	o := &Origin{
		Host: Label([]byte(key.host)), id: t.ids, tracked: true, stirred: true, due: math.MaxInt64,
		OriginRecord: OriginRecord{Scope: key.scope, Addr: key.addr, Container: key.container, Raw: key.host},
	}
	t.origins[key] = o
	t.inOrder = append(t.inOrder, o)
	return o
}

// forgetOrigin lets go of the origin that has been silent for longest, if that is a day and none of
// its sessions is open.
func (t *Sessions) forgetOrigin(now int64) bool {
	if now < t.nobodyBefore {
		return false
	}
	var oldest *Origin
	for _, o := range t.inOrder {
		if !t.hosts[o.Raw] && !o.busy() && (oldest == nil || o.Arrived < oldest.Arrived) {
			oldest = o
		}
	}
	if oldest == nil || now-oldest.Arrived < int64(forgetAfter) {
		t.nobodyBefore = now + int64(time.Minute) // a flood of names costs one search a minute
		return false
	}
	for p := range oldest.lists {
		for s := oldest.lists[p].first; s != nil; s = oldest.lists[p].first {
			t.drop(s)
		}
	}
	oldest.gone = true
	t.names -= len(oldest.Modules)
	delete(t.origins, originKey{oldest.Scope, oldest.Raw, oldest.Container, oldest.Addr})
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

// module returns the label for a module name as logged. A name that isn't known yet is learned if
// teach says that the daemon, not a client, wrote it; otherwise ok is false.
func (t *Sessions) module(o *Origin, name []byte, teach bool) (clean string, ok bool) {
	if m, ok := t.known[string(name)]; ok {
		return m, true
	}
	if len(t.known) > 0 && bytes.Contains(name, []byte(`\#`)) { // as a log file has it
		if m, ok := t.known[string(AppendUnescaped(nil, name[:min(len(name), maxRaw)]))]; ok {
			return m, true
		}
	}
	if m, ok := o.Modules[string(name)]; ok {
		if teach {
			o.Modules[string(name)] = Taught{m.Label, o.Arrived}
		}
		return m.Label, true
	}
	if !teach || len(name) == 0 {
		return "", false
	}
	if len(name) > maxRaw || !t.roomForName(o) {
		return Other, true
	}
	if o.Modules == nil {
		o.Modules = map[string]Taught{}
	}
	m := Label(name)
	o.Modules[string(name)] = Taught{m, o.Arrived}
	t.names++
	return m, true
}

// roomForName says whether an origin may learn another module's name, and lets go of one that has
// not been heard for a day if need be.
func (t *Sessions) roomForName(o *Origin) bool {
	if t.names >= maxNames {
		t.forgetOrigin(o.Arrived)
	}
	if len(o.Modules) < maxModules && t.names < maxNames {
		return true
	}
	if o.Arrived < o.NoName {
		return false
	}
	oldest, heard := "", int64(math.MaxInt64)
	for name, m := range o.Modules {
		if m.Heard < heard || m.Heard == heard && name < oldest {
			oldest, heard = name, m.Heard
		}
	}
	if len(o.Modules) == 0 || o.Arrived-heard < int64(forgetAfter) {
		o.NoName = o.Arrived + int64(time.Minute)
		return false
	}
	delete(o.Modules, oldest)
	t.names--
	return true
}
