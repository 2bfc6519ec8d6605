package rsynclog

import (
	"fmt"
	"math/bits"
)

// talkers is the set of the processes whose clients can have lines logged. It must remember them for as long as they
// may live, however many sessions come meanwhile, so it has one bit for each: a host that used each of Linux's 4
// million pids takes 0.6 MB.
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
	bits [pidsPerPage / 64]uint64
}

const (
	pidsPerPage = 512
	// maxTalkerPages bounds the set: about 8 MiB.
	maxTalkerPages = 1 << 16
)

func (t *talkers) has(o *Origin, pid int32) bool {
	p := t.pages[talkerPage{o.id, pid / pidsPerPage}]
	return p != nil && p.era == o.life.era && p.bits[pid%pidsPerPage/64]&(1<<(pid%64)) != 0
}

func (t *talkers) add(o *Origin, pid int32) {
	key := talkerPage{o.id, pid / pidsPerPage}
	p := t.pages[key]
	if p == nil {
		if len(t.pages) >= maxTalkerPages {
			t.forget()
		}
		p = &talkerBits{}
		t.pages[key] = p
	}
	if p.era != o.life.era {
		p.era, p.bits = o.life.era, [pidsPerPage / 64]uint64{}
	}
	t.used++
	p.used = t.used
	p.bits[pid%pidsPerPage/64] |= 1 << (pid % 64)
}

// remove says that a pid is another process' now.
func (t *talkers) remove(o *Origin, pid int32) {
	if p := t.pages[talkerPage{o.id, pid / pidsPerPage}]; p != nil {
		p.bits[pid%pidsPerPage/64] &^= 1 << (pid % 64)
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
	words := make([]uint64, 0, len(t.pages)*len(talkerBits{}.bits)) // one piece of memory, as others wait meanwhile
	for key, p := range t.pages {
		if o := byID[key.origin]; o != nil && p.era == o.life.era {
			from := len(words)
			words = append(words, p.bits[:]...)
			c := &states[o.index]
			c.Talkers = append(c.Talkers, TalkerState{key.first * pidsPerPage, words[from:len(words):len(words)]})
		}
	}
}

// restore sets what state copied.
func (t *talkers) restore(o *Origin, pages []TalkerState) error {
	for _, c := range pages {
		if c.First < 0 || c.First%pidsPerPage != 0 || len(c.Bits) != pidsPerPage/64 {
			return fmt.Errorf("%d words of pids from %d on", len(c.Bits), c.First)
		}
		for i, word := range c.Bits {
			for ; word != 0; word &= word - 1 {
				t.add(o, c.First+int32(64*i+bits.TrailingZeros64(word)))
			}
		}
	}
	return nil
}
