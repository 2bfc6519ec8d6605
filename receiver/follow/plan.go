package follow

import "rsyncd_exporter/receiver"

// equalStart is how many bytes two logs may have in common at their starts by chance: daemons that
// begin in the same second say the same. Nobody copies a log of less and goes on in the copy.
const equalStart = 4 << 10

// A role is where a look has found a file.
type role uint8

const (
	named  role = iota // the target's path leads to it
	beside             // it is called like the target, as rotated files are
)

// Facts are what is known of a file when a look judges it. See plan.
type facts struct {
	role    role
	size    int64
	stamped bool // its first line has a time stamp, so what begins alike is no other log by chance
	packed  bool // it is compressed
	young   bool // it has just come, or grows
	blank   bool // it holds no line, and too little to be told from others
	skip    bool // nobody has seen the target yet, and reading is to begin at the end
	first   bool // it was there before this target was ever looked at
	rotated bool // a file beside the target may have had its name since the last look
	older   bool // it was there before all that has been followed
	grown   bool // it was left alone as Old or Copied, and holds more by now
	left    int64
	others  []kinship
}

// A kinship is how a file's lines relate to those of a file, or of one before it was cut.
type kinship struct {
	relation relation
	at       int64 // behind what both hold; for moved, behind what is counted
	exact    bool  // at is no guess
	id       receiver.FileID
	of       receiver.FilePosition
	lost     bool // its own file can't give the lines that are not counted yet
	gone     bool // it has no name any more
	old      bool // what it holds isn't counted, see Old
	ahead    bool // it was cut, and what it holds now has yet to be read
	stale    bool // it was cut, and nobody has noticed yet
	extends  bool // the target's path is its target's, with more behind
	elder    bool // the file judged was made before it, and so is no copy of it
	apart    bool // it is what another target's path leads to
	done     bool // the file judged holds all of it, and nothing more
	order    uint64
}

// An action is what to do with a file.
type action struct {
	verdict Verdict
	at      int64           // for Reading: where to begin; for the others: what need not be counted
	copy    bool            // see receiver.FilePosition.Copy
	of      receiver.FileID // for Copied: what else holds the lines; for Reading: whose lines it goes on with
	cut     uint32          // for Copied: the Cut of what else holds the lines
	goesOn  *kinship        // whose uncounted lines it is read for, or nil
	ahead   bool            // for Copied: see kinship
	gap     bool            // lines may be lost

	// With goesOn: its position, and those of others that are lost and go on in the file as well.
	instead []receiver.FilePosition
	blank   bool // it is to be judged again before its first line goes on
}

// plan says what to do with a file that a look has found. It is a pure function.
func plan(f *facts) (a action) {
	if f.role == named {
		a = planNamed(f)
	} else {
		a = planBeside(f)
	}
	if a.goesOn == nil {
		return a
	}
	a.instead = []receiver.FilePosition{a.goesOn.of}
	for i := range f.others {
		if k := &f.others[i]; k.lost && (k.relation == continues || k.relation == moved) && k != a.goesOn {
			a.instead = append(a.instead, k.of)
		}
	}
	return a
}

// best returns the kinship of a relation that reaches furthest, among those that right allows; of
// two, the one that is done.
func (f *facts) best(r relation, right func(*kinship) bool) (best *kinship) {
	for i := range f.others {
		k := &f.others[i]
		if k.relation == r && (right == nil || right(k)) &&
			(best == nil || k.at > best.at || k.at == best.at && k.done && !best.done) {
			best = k
		}
	}
	return best
}

// independent reports whether both files were written by daemons, though they begin alike. It is
// not taken for so where it stands in the place of one that is gone, or is called like its target,
// with more behind.
func (k *kinship) independent() bool {
	whole := k.relation == continues || k.done
	inPlace := (k.gone || k.lost) && (whole || k.gone && k.relation == within && k.exact)
	beside := k.extends && (k.relation == within && k.exact || k.relation != shares && k.lost || k.stale)
	return k.at <= equalStart && !inPlace && !beside
}

// planNamed judges what a target's path leads to. It is logged to from now on.
func planNamed(f *facts) action {
	if f.skip {
		return action{verdict: Reading, at: f.size}
	}
	if f.blank { // held, since it may lose its name, or be deleted, before its first line ends
		return action{verdict: Reading, blank: true}
	}
	alike := func(k *kinship) bool { return k.apart && k.at <= equalStart }
	if f.young && f.best(within, alike) != nil { // it may be a copy that is being made
		return action{verdict: Unsure}
	}
	dependent := func(k *kinship) bool { return !k.independent() }
	known := func(k *kinship) bool { return f.stamped || k.gone || k.of.Offset > equalStart }
	if k := f.best(within, dependent); k != nil {
		if k.done && !k.apart { // the copy stands in the place of what it was made of
			return action{verdict: Reading, at: k.at, of: k.id, goesOn: lostOnly(k)}
		}
		return action{verdict: Copied, at: f.size, of: k.id, cut: k.of.Cut} // until it holds more
	}
	k := f.best(continues, dependent)
	if m := f.best(moved, known); m != nil && (k == nil || m.at > k.at) {
		k = m
	}
	if k != nil {
		return action{verdict: Reading, at: k.at, of: k.id, goesOn: lostOnly(k)}
	}
	other := func(k *kinship) bool { return k.apart && k.independent() }
	if f.grown && f.best(shares, other) == nil && f.best(continues, other) == nil {
		return action{verdict: Reading, at: f.left}
	}
	if k := f.best(shares, dependent); k != nil {
		if !k.exact { // it was trimmed, or restored from a backup, and has been logged to since
			return action{verdict: Reading, at: f.size, of: k.id, gap: true}
		}
		return action{verdict: Reading, at: k.at, of: k.id}
	}
	return action{verdict: Reading}
}

// lostOnly returns a kinship to a file that can't give its lines, or is about to be found cut.
func lostOnly(k *kinship) *kinship {
	if k.lost || k.stale {
		return k
	}
	return nil
}

// planBeside judges a file beside what a target's path leads to: a generation that has lost the
// name before anybody looked, a copy, or something else.
func planBeside(f *facts) action {
	alone := action{verdict: Old, at: f.size}
	if !f.first && !f.older {
		alone.verdict = Strange
	}
	lost := f.best(continues, func(k *kinship) bool { return k.lost })
	alive := f.best(continues, func(k *kinship) bool { return !k.lost && (k.at > equalStart || k.stale || k.old) })
	trimmed := f.best(moved, func(k *kinship) bool { return k.lost })
	k := f.best(within, func(k *kinship) bool {
		return k.at > equalStart || !k.elder && (k.exact || k.stale && !k.apart)
	})
	switch {
	case k != nil && (lost == nil || !lost.done):
		return action{verdict: Copied, at: f.size, of: k.id, cut: k.of.Cut, ahead: k.ahead}
	case trimmed != nil && (lost == nil || trimmed.at > lost.at) && (alive == nil || trimmed.at > alive.at):
		return action{verdict: Reading, at: trimmed.at, of: trimmed.id, goesOn: trimmed}
	case lost != nil && (alive == nil || lost.at >= alive.at):
		return action{verdict: Reading, at: lost.at, copy: true, of: lost.id, goesOn: lost}
	case alive != nil:
		return action{verdict: Copied, at: f.size, of: alive.id, cut: alive.of.Cut}
	case f.grown: // who wrote to it when it had the name goes on
		return action{verdict: Reading, at: f.left}
	case !f.rotated || f.older:
		return alone
	case f.blank, f.best(tooShort, nil) != nil:
		return action{verdict: Unsure}
	}
	if k := f.best(shares, nil); k != nil && !k.independent() {
		if !k.exact {
			return action{verdict: Copied, at: f.size, of: k.id, cut: k.of.Cut}
		}
		return action{verdict: Reading, at: k.at, of: k.id}
	}
	return action{verdict: Reading}
}
