package follow

import (
	"reflect"
	"testing"

	"rsyncd_exporter/receiver"
)

const (
	few  = 1 << 10  // bytes that two logs may have in common by chance
	many = 16 << 10 // and that they may not
)

var fileA, fileB = receiver.FileID{Inode: 1}, receiver.FileID{Inode: 2}

// A planRow is a rule, and what it says of one file. goesOn is the place among others of the one whose uncounted lines the file is read for.
type planRow struct {
	rule   string
	facts  facts
	want   action
	goesOn int
}

const nobodys = -1

// kin is how the lines of a file relate to those of another, which ends where its position is.
func kin(r relation, at int64, id receiver.FileID) kinship {
	return kinship{relation: r, at: at, exact: true, id: id, of: receiver.FilePosition{ID: id, Offset: at}}
}

func (k kinship) with(change func(*kinship)) kinship {
	change(&k)
	return k
}

func lost(k *kinship)    { k.lost = true }
func guess(k *kinship)   { k.exact = false }
func isApart(k *kinship) { k.apart = true }
func isStale(k *kinship) { k.stale = true }

func kinOf(all ...kinship) []kinship { return all }

var namedRows = []planRow{
	{"at the very first start reading begins at the end",
		facts{skip: true, size: 900}, action{verdict: Reading, at: 900}, nobodys},
	{"a file without a line is held, and judged again before its first one counts",
		facts{blank: true, size: 10}, action{verdict: Reading, blank: true}, nobodys},
	{"a file that is like no other is read from its first line",
		facts{size: many}, action{verdict: Reading}, nobodys},
	{"a copy that stands in the place of its original is read on behind it",
		facts{size: many, others: kinOf(kin(within, many, fileA).with(func(k *kinship) { k.done = true }))},
		action{verdict: Reading, at: many, of: fileA}, nobodys},
	{"what holds less than its original waits until it holds more",
		facts{size: many, others: kinOf(kin(within, many, fileA))},
		action{verdict: Copied, at: many, of: fileA}, nobodys},
	{"a copy at another path than its original's waits until it holds more",
		facts{size: many, others: kinOf(kin(within, many, fileA).with(func(k *kinship) { k.done, k.apart = true, true }))},
		action{verdict: Copied, at: many, of: fileA}, nobodys},
	{"a file that has just come, and holds nothing but the first lines of another target's log, may be its copy",
		facts{young: true, size: few, others: kinOf(kin(within, few, fileA).with(isApart))}, action{verdict: Unsure}, nobodys},
	{"a file that stays as short as that is a log of its own",
		facts{size: few, others: kinOf(kin(within, few, fileA).with(isApart))}, action{verdict: Reading}, nobodys},
	{"a file that has just come, and holds many lines of another target's log, is its copy",
		facts{young: true, size: many, others: kinOf(kin(within, many, fileA).with(isApart))},
		action{verdict: Copied, at: many, of: fileA}, nobodys},
	{"what holds all of a log, and more, is read behind that",
		facts{size: 2 * many, others: kinOf(kin(continues, many, fileA))},
		action{verdict: Reading, at: many, of: fileA}, nobodys},
	{"what holds all of a log that is gone is read for the lines that this owes",
		facts{size: 2 * many, others: kinOf(kin(continues, many, fileA).with(lost))},
		action{verdict: Reading, at: many, of: fileA, instead: []receiver.FilePosition{{ID: fileA, Offset: many}}}, 0},
	{"a few lines in common with a log that is gone are no chance",
		facts{size: many, others: kinOf(kin(continues, few, fileA).with(lost))},
		action{verdict: Reading, at: few, of: fileA, instead: []receiver.FilePosition{{ID: fileA, Offset: few}}}, 0},
	{"of several logs that a file goes on with, the one that reaches furthest counts, and what the others owe is settled",
		facts{size: 4 * many, others: kinOf(kin(continues, many, fileA).with(lost), kin(continues, 2*many, fileB).with(lost))},
		action{verdict: Reading, at: 2 * many, of: fileB,
			instead: []receiver.FilePosition{{ID: fileB, Offset: 2 * many}, {ID: fileA, Offset: many}}}, 1},
	{"a few lines in common with a log that is still there are chance",
		facts{size: many, others: kinOf(kin(continues, few, fileA), kin(within, few, fileB), kin(shares, few, fileB))},
		action{verdict: Reading}, nobodys},
	{"a log that was trimmed is read behind its counted lines, wherever they stand",
		facts{size: many, stamped: true, others: kinOf(kin(moved, few, fileA))},
		action{verdict: Reading, at: few, of: fileA}, nobodys},
	{"lines without stamps that stand elsewhere may be others",
		facts{size: many, others: kinOf(kin(moved, few, fileA))}, action{verdict: Reading}, nobodys},
	{"lines without stamps that stand elsewhere are known if their file is gone",
		facts{size: many, others: kinOf(kin(moved, few, fileA).with(func(k *kinship) { k.gone = true }))},
		action{verdict: Reading, at: few, of: fileA}, nobodys},
	{"lines without stamps that stand elsewhere are known if there are many",
		facts{size: many, others: kinOf(kin(moved, many, fileA))},
		action{verdict: Reading, at: many, of: fileA}, nobodys},
	{"what was left alone and has grown is read from where it was left",
		facts{size: many, grown: true, left: few}, action{verdict: Reading, at: few}, nobodys},
	{"what was left alone, and only begins as another target's log, is read from its first line",
		facts{size: many, grown: true, left: few, others: kinOf(kin(shares, few, fileA).with(isApart))},
		action{verdict: Reading}, nobodys},
	{"what two logs share at their starts counts once",
		facts{size: 2 * many, others: kinOf(kin(shares, many, fileA))},
		action{verdict: Reading, at: many, of: fileA}, nobodys},
	{"where it can't be known how much two logs share, reading begins at the end, and lines may be lost",
		facts{size: 2 * many, others: kinOf(kin(shares, many, fileA).with(guess))},
		action{verdict: Reading, at: 2 * many, of: fileA, gap: true}, nobodys},
}

var besideRows = []planRow{
	{"what was there before anybody looked is old",
		facts{first: true, size: many}, action{verdict: Old, at: many}, nobodys},
	{"what is older than all that is followed is old",
		facts{older: true, rotated: true, size: many}, action{verdict: Old, at: many}, nobodys},
	{"what comes while the log keeps its name is strange",
		facts{size: many}, action{verdict: Strange, at: many}, nobodys},
	{"what may have had the log's name is read from its first line",
		facts{rotated: true, size: many}, action{verdict: Reading}, nobodys},
	{"what holds no line yet is looked at again",
		facts{rotated: true, blank: true}, action{verdict: Unsure}, nobodys},
	{"what begins as another, and is too short to be told from it, is looked at again",
		facts{rotated: true, size: 10, others: kinOf(kin(tooShort, 10, fileA))}, action{verdict: Unsure}, nobodys},
	{"what holds nothing but what a log holds is its copy",
		facts{rotated: true, size: many, others: kinOf(kin(within, many, fileA))},
		action{verdict: Copied, at: many, of: fileA}, nobodys},
	{"a copy of a few lines is a copy",
		facts{rotated: true, size: few, others: kinOf(kin(within, few, fileA))},
		action{verdict: Copied, at: few, of: fileA}, nobodys},
	{"a copy whose log was cut before its lines were read is looked at again",
		facts{rotated: true, size: many, others: kinOf(kin(within, many, fileA).with(func(k *kinship) { k.ahead = true }))},
		action{verdict: Copied, at: many, of: fileA, ahead: true}, nobodys},
	{"a file of a few lines is no copy of one that was made later",
		facts{rotated: true, size: few, others: kinOf(kin(within, few, fileA).with(func(k *kinship) { k.elder = true }))},
		action{verdict: Reading}, nobodys},
	{"a file of a few lines that may be a log's is none of its copies",
		facts{rotated: true, size: few, others: kinOf(kin(within, few, fileA).with(guess))},
		action{verdict: Reading}, nobodys},
	{"a file of a few lines that may be those of a log which has just been cut is its copy",
		facts{rotated: true, size: few, others: kinOf(kin(within, few, fileA).with(guess).with(isStale))},
		action{verdict: Copied, at: few, of: fileA}, nobodys},
	{"what holds more than is counted of a log that is gone is read for it",
		facts{size: many, others: kinOf(kin(continues, few, fileA).with(lost))},
		action{verdict: Reading, at: few, copy: true, of: fileA, instead: []receiver.FilePosition{{ID: fileA, Offset: few}}}, 0},
	{"what holds all of a log that is gone stands for it, though another holds its lines as well",
		facts{size: many, others: kinOf(kin(within, many, fileA),
			kin(continues, many, fileB).with(func(k *kinship) { k.lost, k.done = true, true }))},
		action{verdict: Reading, at: many, copy: true, of: fileB, instead: []receiver.FilePosition{{ID: fileB, Offset: many}}}, 1},
	{"what a log that is still there has counted further than the one that is gone is its copy",
		facts{size: 3 * many, others: kinOf(kin(continues, many, fileA).with(lost), kin(continues, 2*many, fileB))},
		action{verdict: Copied, at: 3 * many, of: fileB}, nobodys},
	{"uncounted lines of a log that is gone, and was trimmed, are read wherever they stand",
		facts{size: many, others: kinOf(kin(moved, few, fileA).with(lost))},
		action{verdict: Reading, at: few, of: fileA, instead: []receiver.FilePosition{{ID: fileA, Offset: few}}}, 0},
	{"nobody looks beside a log for lines that it still holds",
		facts{size: many, others: kinOf(kin(moved, few, fileA))}, action{verdict: Strange, at: many}, nobodys},
	{"what holds more than is counted yet of a log that is read is its copy",
		facts{rotated: true, size: 2 * many, others: kinOf(kin(continues, many, fileA))},
		action{verdict: Copied, at: 2 * many, of: fileA}, nobodys},
	{"a few lines in common with a log that is read are chance",
		facts{rotated: true, size: many, others: kinOf(kin(continues, few, fileA), kin(shares, few, fileB))},
		action{verdict: Reading}, nobodys},
	{"a few lines in common with a log that has just been cut are no chance",
		facts{rotated: true, size: many, others: kinOf(kin(continues, few, fileA).with(isStale))},
		action{verdict: Copied, at: many, of: fileA}, nobodys},
	{"what begins as an old file is that, compressed",
		facts{rotated: true, size: many, packed: true, others: kinOf(kin(continues, few, fileA).with(func(k *kinship) { k.old = true }))},
		action{verdict: Copied, at: many, of: fileA}, nobodys},
	{"what was left alone and has grown is read from where it was left",
		facts{size: many, grown: true, left: few}, action{verdict: Reading, at: few}, nobodys},
	{"what a new file shares with a log counts once",
		facts{rotated: true, size: 2 * many, others: kinOf(kin(shares, many, fileA))},
		action{verdict: Reading, at: many, of: fileA}, nobodys},
	{"what shares nobody knows how much with a log is left alone",
		facts{rotated: true, size: 2 * many, others: kinOf(kin(shares, many, fileA).with(guess))},
		action{verdict: Copied, at: 2 * many, of: fileA}, nobodys},
}

// What is to be done with a file follows from what a look knows of it, and from nothing else.
func TestPlan(t *testing.T) {
	for r, rows := range map[role][]planRow{named: namedRows, beside: besideRows} {
		for _, row := range rows {
			f := row.facts
			f.role = r
			if row.goesOn != nobodys {
				row.want.goesOn = &f.others[row.goesOn]
			}
			got := plan(&f)
			if !reflect.DeepEqual(got, row.want) {
				t.Errorf("%s (role %d):\n got %+v\nwant %+v", row.rule, r, got, row.want)
			}
			if got.goesOn != row.want.goesOn {
				t.Errorf("%s (role %d): it goes on with another one", row.rule, r)
			}
		}
	}
}

// A few equal lines at the starts of two logs may be chance, but not those of a file and of what stands in its place, or is called like it.
func TestIndependent(t *testing.T) {
	for rule, row := range map[string]struct {
		k    kinship
		want bool
	}{
		"a few lines that two logs begin with":                      {kin(shares, few, fileA), true},
		"just as many as may be chance":                             {kin(shares, equalStart, fileA), true},
		"more than may be chance":                                   {kin(shares, equalStart+1, fileA), false},
		"a few that are all that a log holds":                       {kin(continues, few, fileA), true},
		"all of a log that is gone":                                 {kin(continues, few, fileA).with(func(k *kinship) { k.gone = true }), false},
		"all of a log that owes lines":                              {kin(continues, few, fileA).with(lost), false},
		"part of a log that owes lines":                             {kin(shares, few, fileA).with(lost), true},
		"nothing but what a log held that is gone":                  {kin(within, few, fileA).with(func(k *kinship) { k.gone = true }), false},
		"what a log may have held that is gone":                     {kin(within, few, fileA).with(guess).with(func(k *kinship) { k.gone = true }), true},
		"exactly what a log holds whose place it has":               {kin(within, few, fileA).with(func(k *kinship) { k.done, k.lost = true, true }), false},
		"nothing but what another target's log holds":               {kin(within, few, fileA).with(isApart), true},
		"what another target's log holds, and more":                 {kin(continues, few, fileA).with(isApart), true},
		"nothing but what the log holds that it is called like":     {kin(within, few, fileA).with(func(k *kinship) { k.extends = true }), false},
		"a start that the log has which it is called like":          {kin(shares, few, fileA).with(func(k *kinship) { k.extends = true }), true},
		"a start of the log that it is called like, which was cut":  {kin(shares, few, fileA).with(func(k *kinship) { k.extends, k.stale = true, true }), false},
		"a start of the log that it is called like, and owes lines": {kin(shares, few, fileA).with(func(k *kinship) { k.extends, k.lost = true, true }), true},
	} {
		if got := row.k.independent(); got != row.want {
			t.Errorf("%s: independent %v, want %v", rule, got, row.want)
		}
	}
}
