package rsynclog

import "time"

// talkers is the set of the processes whose clients can have lines logged. It must remember them
// however many sessions come meanwhile, so it has one bit for each: a host that used each of
// Linux's 4 million pids takes 1.1 MB.
//
// One that has said nothing for a week, or two, is forgotten. Where pids wrap and nobody can see
// it, since few of them are rsyncd's, every pid would be a talker's in the end, and no backup fresh
// any more.
type talkers struct {
	pages map[talkerPage]*talkerBits
	used  uint64 // counts up: which page was used last
}

// talkerPage names the bits of 512 pids of an origin.
type talkerPage struct {
	origin uint32
	first  int32 // pid / pidsPerPage
}

type talkerBits struct {
	TalkerRecord
	era  uint32 // of the origin; bits of an earlier one mean nothing
	used uint64
}

// A TalkerRecord has one bit for each of the pids from First on.
type TalkerRecord struct {
	Origin int // only in a TableRecord: index of the origin
	First  int32
	Week   int64 // of the origin's time
	Bits   [pidsPerPage / 64]uint64
	Past   [pidsPerPage / 64]uint64 // of the week before
}

const talkerWeek = 7 * 24 * int64(time.Hour)

// at brings the bits to an origin's present.
func (p *talkerBits) at(o *Origin) {
	week := o.Clock.Latest / talkerWeek
	switch {
	case p.era != o.Life.Era || week > p.Week+1:
		p.Bits, p.Past = [pidsPerPage / 64]uint64{}, [pidsPerPage / 64]uint64{}
	case week == p.Week+1:
		p.Bits, p.Past = [pidsPerPage / 64]uint64{}, p.Bits
	default:
		return
	}
	p.era, p.Week = o.Life.Era, week
}

const (
	pidsPerPage = 512
	// maxTalkerPages bounds the set: about 8 MiB.
	maxTalkerPages = 1 << 16
)

func (t *talkers) has(o *Origin, pid int32) bool {
	p := t.pages[talkerPage{o.id, pid / pidsPerPage}]
	if p == nil {
		return false
	}
	p.at(o)
	return (p.Bits[pid%pidsPerPage/64]|p.Past[pid%pidsPerPage/64])&(1<<(pid%64)) != 0
}

func (t *talkers) add(o *Origin, pid int32) {
	key := talkerPage{o.id, pid / pidsPerPage}
	p := t.pages[key]
	if p == nil {
		if len(t.pages) >= maxTalkerPages {
			t.forget()
		}
		p = &talkerBits{era: o.Life.Era, TalkerRecord: TalkerRecord{
			First: pid - pid%pidsPerPage, Week: o.Clock.Latest / talkerWeek,
		}}
		t.pages[key] = p
	}
	p.at(o)
	t.used++
	p.used = t.used
	p.Bits[pid%pidsPerPage/64] |= 1 << (pid % 64)
}

// remove says that a pid is another process' now.
func (t *talkers) remove(o *Origin, pid int32) {
	if p := t.pages[talkerPage{o.id, pid / pidsPerPage}]; p != nil {
		p.Bits[pid%pidsPerPage/64] &^= 1 << (pid % 64)
		p.Past[pid%pidsPerPage/64] &^= 1 << (pid % 64)
	}
}

// forget makes room: the half goes that was used longest ago. A daemon's clients can't fill the
// set, as Linux has 8192 pages of pids; who sends datagrams in the name of many hosts can.
func (t *talkers) forget() {
	half := make(map[talkerPage]*talkerBits, maxTalkerPages/2)
	for key, p := range t.pages {
		if p.used+maxTalkerPages/2 > t.used {
			half[key] = p
		}
	}
	t.pages = half
}

// records copies what is set of the origins' present eras.
func (t *talkers) records(origins []*Origin) []TalkerRecord {
	index := make(map[uint32]int, len(origins))
	for i, o := range origins {
		index[o.id] = i
	}
	list := make([]TalkerRecord, 0, len(t.pages))
	for key, p := range t.pages {
		if i, ok := index[key.origin]; ok && p.era == origins[i].Life.Era {
			list = append(list, p.TalkerRecord)
			list[len(list)-1].Origin = i
		}
	}
	return list
}

// restore takes back what records copied.
func (t *talkers) restore(o *Origin, rec *TalkerRecord) {
	t.used++
	p := &talkerBits{TalkerRecord: *rec, era: o.Life.Era, used: t.used}
	p.Week = min(p.Week, o.Clock.Latest/talkerWeek)
	t.pages[talkerPage{o.id, rec.First / pidsPerPage}] = p
}
