package clients

import "net/netip"

// Bits of the networks that stand for addresses.
const (
	bitsShown4 = 24 // with ANONYMISE
	bitsShown6 = 48
	bitsOfSite = 64 // an IPv6 client has all addresses of such a network
)

// Anonymise returns the network that ANONYMISE shows instead of an address: the /24 of an IPv4
// address, the /48 of an IPv6 address. It is not valid where the address isn't.
func Anonymise(addr netip.Addr) netip.Prefix {
	addr = addr.Unmap().WithZone("")
	bits := bitsShown6
	if addr.Is4() {
		bits = bitsShown4
	}
	p, _ := addr.Prefix(bits) // fails only for an address that isn't valid
	return p
}

// Show returns what may be shown of a client's address or network and its name. With ANONYMISE that
// is a network, and no name: an address that can't be read isn't shown either.
func Show(address, name string, anonymise bool) (shownAddress, shownName string) {
	if !anonymise {
		return address, name
	}
	if a, err := netip.ParseAddr(address); err == nil {
		return Anonymise(a).String(), ""
	}
	p, err := netip.ParsePrefix(address)
	if err != nil {
		return "", ""
	}
	if network := Anonymise(p.Addr()); p.Bits() > network.Bits() {
		p = network
	}
	return p.Masked().String(), ""
}
