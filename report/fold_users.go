package report

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"rsyncd_exporter/rsynclog"
)

const (
	// maxUsers bounds the users: 3 KiB each at most. Others count as rsynclog.Other.
	maxUsers = 10_000
	// maxTimes bounds the successes of a user that are kept: a night's backup for eight months.
	maxTimes = 256
)

type userKey struct {
	module, user string
	direction    rsynclog.Direction
}

// A user is who came to a module. Times are nanoseconds of the Unix epoch; 0 is none yet.
type user struct {
	userKey
	first, lastSuccess, lastAttempt int64
	listed                          uint64 // in the last session
	outcomes                        [rsynclog.NumOutcomes]uint64
	volume                          Volume
	gaps                            gaps
}

type users map[userKey]*user

func newUsers() users { return users{} }

// of returns a user, or those without room.
func (us users) of(module, name string, d rsynclog.Direction) *user {
	key := userKey{module, name, d}
	u := us[key]
	if u == nil && len(us) >= maxUsers && name != rsynclog.Other {
		return us.of(module, rsynclog.Other, d)
	}
	if u == nil {
		u = &user{userKey: key}
		us[key] = u
	}
	return u
}

// ended notes a session that has ended, at a known time. Those of several logs come in any order.
func (u *user) ended(s *rsynclog.Session, at int64) {
	if u.first == 0 || at < u.first {
		u.first = at
	}
	if s.Outcome == rsynclog.OK && at > 0 {
		u.lastSuccess = max(u.lastSuccess, at)
		u.gaps.add(at)
	}
	if at < u.lastAttempt {
		return
	}
	u.lastAttempt, u.listed = at, 0
	if s.HasSummary {
		u.listed = s.Total
	}
}

// gaps are the times between the successes of a user, which may come in any order. Where there are
// too many, the earliest half of them is settled: an earlier one that comes later is only counted.
type gaps struct {
	n       uint64
	times   []int64
	settled int64 // the last one that is; 0: none

	longest, from int64 // how long, and since when
	first         int64
}

func (g *gaps) add(at int64) {
	g.n++
	if g.first == 0 || at < g.first {
		g.first = at
	}
	if at < g.settled {
		return
	}
	if len(g.times) >= maxTimes {
		g.settle(maxTimes / 2)
	}
	g.times = append(g.times, at)
}

// settle settles the earliest times.
func (g *gaps) settle(n int) {
	slices.Sort(g.times)
	for _, at := range g.times[:n] {
		if g.settled != 0 && at-g.settled > g.longest {
			g.longest, g.from = at-g.settled, g.settled
		}
		g.settled = at
	}
	g.times = slices.Delete(g.times, 0, n)
}

// all returns the gaps with all times settled, and the lengths of the last ones.
func (g *gaps) all() (settled gaps, last []int64) {
	settled = *g
	settled.times = slices.Clone(g.times)
	slices.Sort(settled.times)
	for i, at := range settled.times {
		before := settled.settled
		if i > 0 {
			before = settled.times[i-1]
		}
		if before != 0 {
			last = append(last, at-before)
		}
	}
	settled.settle(len(settled.times))
	return settled, last
}

// sorted returns all users by module and name.
func (us users) sorted() []*user {
	return slices.SortedFunc(maps.Values(us), func(a, b *user) int {
		return cmp.Or(cmp.Compare(a.module, b.module), cmp.Compare(a.user, b.user),
			cmp.Compare(a.direction, b.direction))
	})
}

func (us users) list(zone *time.Location) []User {
	list := make([]User, 0, len(us))
	for _, u := range us.sorted() {
		g, _ := u.gaps.all()
		list = append(list, User{
			Module: u.module, User: u.user, Direction: u.direction.String(),
			FirstSeen: nanos(u.first, zone), LastSuccess: nanos(u.lastSuccess, zone),
			FirstOK: nanos(g.first, zone), LastAttempt: nanos(u.lastAttempt, zone),
			LongestGap: seconds(g.longest), GapFrom: nanos(g.from, zone),
			Listed: u.listed, Sessions: byName(u.outcomes[:], rsynclog.Outcome.String), Volume: u.volume,
		})
	}
	return list
}
