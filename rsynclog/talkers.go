package rsynclog

import "time"

// talkers is the set of processes whose clients can have lines logged. It has one bit for each pid,
// so that it remembers them however many sessions come meanwhile: all of Linux's 4 million pids
// take 1.1 MB for each host.
//
// It forgets a process that was silent for one to two weeks. Otherwise, where pids wrap unnoticed
// because few of them are rsyncd's, every pid would be in the set in the end, and no backup would
// be fresh any more.
type talkers struct {
	pages map[talkerPage]*talkerBits
	used  uint64 // counts up: which page was used last
}

// A talkerPage names the bits of 512 pids of an origin.
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
	Bits   talkerWord
	Past   talkerWord // of the week before
}

type talkerWord = [pidsPerPage / 64]uint64

const (
	talkerWeek  = 7 * 24 * int64(time.Hour)
	pidsPerPage = 512
	// maxTalkerPages bounds the set: about 8 MiB.
	maxTalkerPages = 1 << 16
)

// at brings the bits to an origin's present.
func (p *talkerBits) at(o *Origin) {
	week := o.Clock.Latest / talkerWeek
	switch {
	case p.era != o.Life.Era || week > p.Week+1:
		p.Bits, p.Past = talkerWord{}, talkerWord{}
	case week == p.Week+1:
		p.Bits, p.Past = talkerWord{}, p.Bits
	default:
		return
	}
	p.era, p.Week = o.Life.Era, week
}

// page returns the page of a pid, which may be nil, and the place of its bit there.
func (t *talkers) page(o *Origin, pid int32) (p *talkerBits, word int32, bit uint64) {
	return t.pages[talkerPage{o.id, pid / pidsPerPage}], pid % pidsPerPage / 64, 1 << (pid % 64)
}

func (t *talkers) has(o *Origin, pid int32) bool {
	p, word, bit := t.page(o, pid)
	if p == nil {
		return false
	}
	p.at(o)
	return (p.Bits[word]|p.Past[word])&bit != 0
}

func (t *talkers) add(o *Origin, pid int32) {
	p, word, bit := t.page(o, pid)
	if p == nil {
		if len(t.pages) >= maxTalkerPages {
			t.forget()
		}
		p = &talkerBits{era: o.Life.Era, TalkerRecord: TalkerRecord{
			First: pid - pid%pidsPerPage, Week: o.Clock.Latest / talkerWeek,
		}}
		t.pages[talkerPage{o.id, pid / pidsPerPage}] = p
	}
	p.at(o)
	t.used++
	p.used = t.used
	p.Bits[word] |= bit
}

// remove notes that a pid belongs to another process now.
func (t *talkers) remove(o *Origin, pid int32) {
	if p, word, bit := t.page(o, pid); p != nil {
		p.Bits[word] &^= bit
		p.Past[word] &^= bit
	}
}

// forget drops the half that was used longest ago. A daemon's clients can't fill the set: Linux has
// 8192 pages of pids. Whoever sends datagrams in the name of many hosts can.
func (t *talkers) forget() {
	half := make(map[talkerPage]*talkerBits, maxTalkerPages/2)
	for key, p := range t.pages {
		if p.used+maxTalkerPages/2 > t.used {
			half[key] = p
		}
	}
	t.pages = half
}

// records copies the bits of the origins' present eras.
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
