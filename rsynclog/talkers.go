package rsynclog

import (
	"fmt"
	"time"
)

// talkers is the set of the processes whose clients can have lines logged. It must remember them however many sessions
// come meanwhile, so it has one bit for each: a host that used each of Linux's 4 million pids takes 1.1 MB.
//
// One that has said nothing for a week, or two, is forgotten. Where pids wrap and nobody can see it, since few of them are
// rsyncd's, every pid would be a talker's in the end, and no backup fresh any more.
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
	era  uint32 // of the origin; bits of an earlier one mean nothing
	used uint64
	week int64 // of the origin's time
	bits [pidsPerPage / 64]uint64
	past [pidsPerPage / 64]uint64 // of the week before
}

const talkerWeek = 7 * 24 * int64(time.Hour)

// at brings the bits to an origin's present.
func (p *talkerBits) at(o *Origin) {
	week := o.clock.latest / talkerWeek
	switch {
	case p.era != o.life.era || week > p.week+1:
		p.bits, p.past = [pidsPerPage / 64]uint64{}, [pidsPerPage / 64]uint64{}
	case week == p.week+1:
		p.bits, p.past = [pidsPerPage / 64]uint64{}, p.bits
	default:
		return
	}
	p.era, p.week = o.life.era, week
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
	return (p.bits[pid%pidsPerPage/64]|p.past[pid%pidsPerPage/64])&(1<<(pid%64)) != 0
}

func (t *talkers) add(o *Origin, pid int32) {
	key := talkerPage{o.id, pid / pidsPerPage}
	p := t.pages[key]
	if p == nil {
		if len(t.pages) >= maxTalkerPages {
			t.forget()
		}
		p = &talkerBits{era: o.life.era, week: o.clock.latest / talkerWeek}
		t.pages[key] = p
	}
	p.at(o)
	t.used++
	p.used = t.used
	p.bits[pid%pidsPerPage/64] |= 1 << (pid % 64)
}

// remove says that a pid is another process' now.
func (t *talkers) remove(o *Origin, pid int32) {
	if p := t.pages[talkerPage{o.id, pid / pidsPerPage}]; p != nil {
		p.bits[pid%pidsPerPage/64] &^= 1 << (pid % 64)
		p.past[pid%pidsPerPage/64] &^= 1 << (pid % 64)
	}
}

// forget makes room: the half goes that was used longest ago. A daemon's clients can't fill the set, as Linux has
// 8192 pages of pids; who sends datagrams in the name of many hosts can.
func (t *talkers) forget() {
	half := make(map[talkerPage]*talkerBits, maxTalkerPages/2)
	for key, p := range t.pages {
		if p.used+maxTalkerPages/2 > t.used {
			half[key] = p
		}
	}
	t.pages = half
}

// state copies what is set of the origins' present eras.
func (t *talkers) state(states []OriginState, origins []*Origin) {
	byID := make(map[uint32]*Origin, len(origins))
	for _, o := range origins {
		byID[o.id] = o
	}
	words := make([]uint64, 0, 2*len(t.pages)*len(talkerBits{}.bits)) // one piece of memory, as others wait meanwhile
	for key, p := range t.pages {
		if o := byID[key.origin]; o != nil && p.era == o.life.era {
			from := len(words)
			words = append(append(words, p.bits[:]...), p.past[:]...)
			c := &states[o.index]
			c.Talkers = append(c.Talkers, TalkerState{key.first * pidsPerPage, p.week, words[from:len(words):len(words)]})
		}
	}
}

// restore sets what state copied.
func (t *talkers) restore(o *Origin, pages []TalkerState) error {
	for _, c := range pages {
		key, half := talkerPage{o.id, c.First / pidsPerPage}, pidsPerPage/64
		if c.First < 0 || c.First%pidsPerPage != 0 || len(c.Bits) != 2*half || t.pages[key] != nil || c.Week < 0 {
			return fmt.Errorf("%d words of pids from %d on, of week %d", len(c.Bits), c.First, c.Week)
		}
		if len(t.pages) >= maxTalkerPages {
			t.forget()
		}
		t.used++
		p := &talkerBits{era: o.life.era, used: t.used, week: min(c.Week, o.clock.latest/talkerWeek)}
		copy(p.bits[:], c.Bits[:half])
		copy(p.past[:], c.Bits[half:])
		t.pages[key] = p
	}
	return nil
}
