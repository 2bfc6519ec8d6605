package receiver

import "net/netip"

// An AllowList says which addresses an input takes anything from. It never changes. nil allows all.
type AllowList struct{ prefixes []netip.Prefix }

// NewAllowList returns the list of the prefixes: nil where there are none or where they hold every
// address. Prefixes of IPv4-mapped IPv6 addresses count as IPv4's (RFC 4291 section 2.5.5.2).
func NewAllowList(prefixes []netip.Prefix) *AllowList {
	var a AllowList
	var all4, all6 bool
	for _, p := range prefixes {
		addr, bits := p.Addr().WithZone(""), p.Bits()
		if addr.Is4In6() && bits >= 96 {
			addr, bits = addr.Unmap(), bits-96
		}
		all4 = all4 || bits == 0 && addr.Is4()
		all6 = all6 || bits == 0 && addr.Is6()
		a.prefixes = append(a.prefixes, netip.PrefixFrom(addr, bits))
	}
	if len(prefixes) == 0 || all4 && all6 {
		return nil
	}
	return &a
}

// Allows reports whether addr is on the list. An IPv4-mapped address is the IPv4 address, as a
// socket for both families shows IPv4 senders. A zone doesn't matter.
func (a *AllowList) Allows(addr netip.Addr) bool {
	if a == nil {
		return true
	}
	addr = addr.Unmap().WithZone("")
	for _, p := range a.prefixes {
		if p.Contains(addr) {
			return true
		}
	}
	return false
}
