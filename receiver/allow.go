package receiver

import (
	"encoding/binary"
	"net/netip"
)

// An AllowList says which addresses an input takes anything from. It never changes. nil allows all.
type AllowList struct {
	four []prefix4
	six  []prefix6
}

// prefix4 and prefix6 are prefixes made ready for comparing: an address is within if it is addr
// where mask has ones. A handful of them, one after the other, is faster than a tree.
type prefix4 struct{ addr, mask uint32 }

type prefix6 struct{ high, low, highMask, lowMask uint64 }

// NewAllowList returns the list of the prefixes: nil where there are none or where they hold every
// address. Prefixes of IPv4-mapped IPv6 addresses count as IPv4's.
func NewAllowList(prefixes []netip.Prefix) *AllowList {
	var a AllowList
	var all4, all6 bool
	for _, p := range prefixes {
		addr, bits := p.Addr().WithZone(""), p.Bits()
		if addr.Is4In6() && bits >= 96 {
			addr, bits = addr.Unmap(), bits-96
		}
		if addr.Is4() {
			all4 = all4 || bits == 0
			b := addr.As4()
			mask := uint32(uint64(0xffffffff) << (32 - bits))
			a.four = append(a.four, prefix4{binary.BigEndian.Uint32(b[:]) & mask, mask})
			continue
		}
		all6 = all6 || bits == 0
		high, low := halves(addr.As16())
		highMask, lowMask := ^uint64(0)<<max(0, 64-bits), ^uint64(0)<<min(64, 128-bits)
		a.six = append(a.six, prefix6{high & highMask, low & lowMask, highMask, lowMask})
	}
	if len(prefixes) == 0 || all4 && all6 {
		return nil
	}
	return &a
}

func halves(b [16]byte) (high, low uint64) {
	return binary.BigEndian.Uint64(b[:8]), binary.BigEndian.Uint64(b[8:])
}

// Allows says whether addr is on the list. An IPv4-mapped address is the IPv4 address, and a zone
// doesn't matter.
func (a *AllowList) Allows(addr netip.Addr) bool {
	if a == nil {
		return true
	}
	if addr.Is4() {
		b := addr.As4()
		return a.Allows4(binary.BigEndian.Uint32(b[:]))
	}
	return addr.IsValid() && a.Allows16(addr.As16())
}

// Allows4 is Allows for an IPv4 address as a number.
func (a *AllowList) Allows4(addr uint32) bool {
	for i := range a.four {
		if addr&a.four[i].mask == a.four[i].addr {
			return true
		}
	}
	return false
}

// Allows16 is Allows for an IPv6 address.
func (a *AllowList) Allows16(b [16]byte) bool {
	high, low := halves(b)
	// ::ffff:0:0/96, RFC 4291 section 2.5.5.2: how a socket for both families shows IPv4 senders.
	if high == 0 && low>>32 == 0xffff {
		return a.Allows4(uint32(low))
	}
	for i := range a.six {
		if p := &a.six[i]; high&p.highMask == p.high && low&p.lowMask == p.low {
			return true
		}
	}
	return false
}
