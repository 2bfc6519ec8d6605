package report

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"slices"
)

const (
	maxChanges = 20
	// leastChange is the smallest change that is shown, as a part of the larger figure.
	leastChange = 0.05
	// leastBytes and leastShare are the smallest change in bytes that is shown, and the smallest
	// figure in bytes, as a part of all bytes.
	leastBytes = 1 << 20
	leastShare = 0.001
	// chance is how many standard deviations a count must change by. Counts of independent events
	// change by one now and then, and by three hardly ever.
	chance = 3
	// leastSlower is the smallest change of a duration: two buckets, as each end may be one off.
	leastSlower = 1 - 1/1.25/1.25
	// leastTimed is the least number of sessions whose 90th percentile says anything.
	leastTimed = 20
)

// Compared says what is different from the period before, which went from from to to (RFC 3339).
// Both periods have the same length.
//
// Changes are sorted by (change / larger figure) * sqrt(larger figure / all of that kind): what
// halves counts for more than what loses a tenth, and a large module for more than a small one, but
// not in proportion, so that a new error isn't hidden by old ones. Changes that chance or rounding
// may make are left out, and so is a module that is all there is. With a period of which the logs
// have nothing, there is nothing to compare.
func Compared(now, before *Summary, from, to string) *Compare {
	result := &Compare{From: from, To: to, Began: before.From, Before: before.Totals, Changes: []Change{}}
	if before.From == "" {
		return result
	}
	c := &comparison{now: now, before: before}
	c.totals()
	c.modules()
	c.clients()
	c.days()
	slices.SortStableFunc(c.found, func(a, b scored) int {
		return cmp.Or(cmp.Compare(b.score, a.score), cmp.Compare(a.What, b.What))
	})
	for _, f := range c.found[:min(maxChanges, len(c.found))] {
		result.Changes = append(result.Changes, f.Change)
	}
	return result
}

type comparison struct {
	now, before *Summary
	found       []scored
}

type scored struct {
	Change
	score float64
}

// add notes a change that is at least a part of the larger figure. all is the larger one of the sums
// that the figures are parts of.
func (c *comparison) add(what, unit string, before, now, all, least float64) {
	larger := max(before, now)
	part := math.Abs(now-before) / larger
	if larger <= 0 || part < least {
		return
	}
	c.found = append(c.found, scored{
		Change{What: what, Before: before, Now: now, Unit: unit},
		part * math.Sqrt(min(1, larger/max(all, larger))),
	})
}

// bytes notes a change of bytes.
func (c *comparison) bytes(what string, before, now, all uint64) {
	b, n := float64(before), float64(now)
	if math.Abs(n-b) >= leastBytes && max(b, n) >= leastShare*float64(all) {
		c.add(what, "bytes", b, n, float64(all), leastChange)
	}
}

// count notes a change of a count.
func (c *comparison) count(what, unit string, before, now, all uint64) {
	b, n := float64(before), float64(now)
	if math.Abs(n-b) > chance*math.Sqrt(b+n) {
		c.add(what, unit, b, n, float64(all), leastChange)
	}
}

// counts notes changes of counts by name.
func (c *comparison) counts(what, unit string, before, now map[string]uint64) {
	var sumBefore, sumNow uint64
	names := map[string]bool{}
	for name, n := range before {
		names[name] = true
		grow(&sumBefore, n)
	}
	for name, n := range now {
		names[name] = true
		grow(&sumNow, n)
	}
	for _, name := range slices.Sorted(maps.Keys(names)) {
		c.count(fmt.Sprintf(what, name), unit, before[name], now[name], max(sumBefore, sumNow))
	}
}

func (c *comparison) totals() {
	b, n := &c.before.Totals, &c.now.Totals
	c.count("connections", "sessions", b.Connections, n.Connections, 0)
	c.count("transfers", "sessions", b.Executions, n.Executions, 0)
	c.count("module lists", "sessions", b.ModuleLists, n.ModuleLists, max(b.Connections, n.Connections))
	c.bytes("sent bytes", b.Sent, n.Sent, c.traffic())
	c.bytes("received bytes", b.Received, n.Received, c.traffic())
	c.counts("sessions that ended: %s", "sessions", b.Sessions, n.Sessions)
	c.counts("errors with exit code %s", "errors", b.Errors, n.Errors)
	c.counts("file errors with errno %s", "errors", b.FileErrors, n.FileErrors)
	c.counts("rejected: %s", "sessions", b.Rejected, n.Rejected)
	c.counts("files, operation %s", "files", b.Files, n.Files)
	if c.before.Waste.Sampled == 1 && c.now.Waste.Sampled == 1 {
		c.bytes("bytes fetched again", c.before.Waste.Bytes, c.now.Waste.Bytes, c.traffic())
	}
}

// traffic returns all bytes of the busier period.
func (c *comparison) traffic() uint64 {
	b, n := &c.before.Totals, &c.now.Totals
	return max(Volume{Sent: b.Sent, Received: b.Received}.Bytes(), Volume{Sent: n.Sent, Received: n.Received}.Bytes())
}

func (c *comparison) modules() {
	type key struct{ module, direction string }
	type pair struct{ before, now Module }
	all := map[key]pair{}
	for _, m := range c.before.Modules {
		all[key{m.Module, m.Direction}] = pair{before: m}
	}
	for _, m := range c.now.Modules {
		p := all[key{m.Module, m.Direction}]
		p.now = m
		all[key{m.Module, m.Direction}] = p
	}
	b, n := &c.before.Totals, &c.now.Totals
	transfers := max(b.Executions, n.Executions)
	for k, m := range all {
		name := fmt.Sprintf("of module %s", cmp.Or(k.module, "unknown"))
		if k.direction != "" {
			name += ", " + k.direction
		}
		x, y := &m.before, &m.now
		if x.Sent != b.Sent || y.Sent != n.Sent {
			c.bytes("sent bytes "+name, x.Sent, y.Sent, c.traffic())
		}
		if x.Received != b.Received || y.Received != n.Received {
			c.bytes("received bytes "+name, x.Received, y.Received, c.traffic())
		}
		if x.Executions != b.Executions || y.Executions != n.Executions {
			c.count("transfers "+name, "sessions", x.Executions, y.Executions, transfers)
		}
		for _, outcome := range []string{"partial", "aborted", "unknown"} {
			before, now := x.Sessions[outcome], y.Sessions[outcome]
			sum := max(b.Sessions[outcome], n.Sessions[outcome])
			if before != b.Sessions[outcome] || now != n.Sessions[outcome] {
				c.count(outcome+" sessions "+name, "sessions", before, now, sum)
			}
		}
		if least := min(x.Duration.N, y.Duration.N); least >= leastTimed {
			share := min(1, float64(max(x.Executions, y.Executions))/float64(max(transfers, 1)))
			slower := max(x.Duration.P90, y.Duration.P90)
			c.add("90th percentile of duration "+name, "seconds", x.Duration.P90, y.Duration.P90,
				slower/max(share, 1e-9), leastSlower)
		}
	}
}

// clients notes those that were not in the list before, with the most that they can have had then:
// they have grown at least by the difference.
func (c *comparison) clients() {
	known := map[string]bool{}
	for _, cl := range c.before.Clients {
		known[cl.Client] = true
	}
	most := c.before.ClientsRest.Each()
	for _, cl := range c.now.Clients {
		if known[cl.Client] {
			continue
		}
		if most.Bytes() < cl.Bytes() {
			c.bytes("bytes of client "+cl.Client+", new in the list", most.Bytes(), cl.Bytes(), c.traffic())
		}
		if all := max(c.before.ended(), c.now.ended()); most.Sessions < cl.Sessions {
			c.count("sessions of client "+cl.Client+", new in the list", "sessions",
				most.Sessions, cl.Sessions, all)
		}
	}
}

// ended returns how many sessions ended.
func (t *Totals) ended() (n uint64) {
	for _, sessions := range t.Sessions {
		grow(&n, sessions)
	}
	return n
}

func (c *comparison) days() {
	before, now := busiest(c.before.Days), busiest(c.now.Days)
	c.bytes("bytes of the busiest day", before.Bytes(), now.Bytes(), 0)
	c.count("failed sessions of the worst day", "sessions", before.Failed, now.Failed,
		max(before.Sessions, now.Sessions))
	c.count("most transfers at one time", "sessions", before.Peak, now.Peak, 0)
	x, y := active(c.before.Days), active(c.now.Days)
	if math.Abs(x-y) > 1 { // a period may begin and end within a day
		c.add("days with sessions", "days", x, y, 0, leastChange)
	}
}

// busiest returns the largest figures of any day.
func busiest(days []Day) (most Day) {
	for _, d := range days {
		if d.Bytes() > most.Bytes() {
			most.Sent, most.Received = d.Sent, d.Received
		}
		most.Sessions = max(most.Sessions, d.Sessions)
		most.Failed, most.Peak = max(most.Failed, d.Failed), max(most.Peak, d.Peak)
	}
	return most
}

// active returns how many days have a session.
func active(days []Day) (n float64) {
	for _, d := range days {
		if d.Sessions > 0 {
			n++
		}
	}
	return n
}
