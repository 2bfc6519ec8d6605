package rsynclog

import (
	"math"
	"net/netip"
	"slices"
	"time"
)

// An Origin is a pid namespace that logs: a host, a container of it, or a followed file.
type Origin struct {
	Host string // name in the syslog header; empty for local inputs
	OriginRecord

	Cookie any // the consumer's; after a restart it may be Restored

	id      uint32 // of no other origin, ever
	tracked bool
	gone    bool
	stirred bool  // a line of another process has moved one of its sessions; see orphan
	due     int64 // none of its sessions is over before
	lists   [numPhases]list
}

type originKey struct {
	scope           uint32
	host, container string
	addr            netip.Addr
}

// A Where is what a message says about its origin.
type Where struct {
	Scope     uint32     // see Origin.Scope
	Host      []byte     // name as it stands in the header; nil for none
	Container []byte     // name of the container, whose pids are its own; nil for none
	Addr      netip.Addr // of the sending machine; matters only without a Host
}

// forgetAfter is how long something must have been silent before it makes room for something new.
const forgetAfter = 24 * time.Hour

// Origin returns the origin of a message that arrives now. It copies the names of a new one.
func (t *Sessions) Origin(w Where, now int64) *Origin {
	if len(w.Host) > 0 {
		w.Addr = netip.Addr{} // any relay may have sent it
	}
	if o := t.last; o != nil && o.Scope == w.Scope && o.Raw == string(w.Host) && o.Container == string(w.Container) &&
		o.Addr == w.Addr {
		o.Heard(now)
		return o
	}
	if len(w.Host) > maxRaw || len(w.Container) > maxRaw {
		t.overflown++
		return t.overflow
	}
	o := t.origins[originKey{w.Scope, string(w.Host), string(w.Container), w.Addr}]
	if o == nil {
		full := !t.hosts[string(w.Host)] && len(t.origins) >= t.limits.Origins
		if full && !t.forgetOrigin(now) {
			t.overflown++
			return t.overflow
		}
		o = t.newOrigin(originKey{w.Scope, string(w.Host), string(w.Container), w.Addr})
	}
	o.Heard(now)
	t.last = o
	return o
}

// Tracked says whether its sessions are followed. The one for hosts beyond the limit has none.
func (o *Origin) Tracked() bool { return o.tracked }

// Gone says whether Sessions has forgotten it. The same host may have another one now.
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

// forgetOrigin forgets the origin that has been silent for longest, if that is a day and none of
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

// wake has the origin looked at when a session may be over.
func (o *Origin) wake(due int64) { o.due = min(o.due, due) }
