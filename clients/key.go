package clients

import (
	"cmp"
	"net/netip"
)

// Families returns all that Family can return.
func Families() [3]string { return [...]string{"ipv4", "ipv6", "unknown"} }

// Family returns the kind of an address, in text: ipv4, ipv6, or unknown for anything else.
func Family(addr string) string { return family(parse(addr)) }

func family(a netip.Addr) string {
	switch {
	case a.Is4():
		return "ipv4"
	case a.Is6():
		return "ipv6"
	}
	return "unknown"
}

// parse returns an address without its zone; one that isn't valid for anything else.
func parse(addr string) netip.Addr {
	a, _ := netip.ParseAddr(addr)
	return a.Unmap().WithZone("")
}

// Key returns what a client is counted as: its IPv4 address, the /64 of its IPv6 address, or its
// name where there is no address; with anonymise its network.
func Key(addr, name string, anonymise bool) string {
	k := keys{anonymise: anonymise}
	return string(k.of(parse(addr), name))
}

// Nobody is the Key of clients of whom nothing is known, or may be shown.
const Nobody = "unknown"

// keys makes Keys without allocating.
type keys struct {
	anonymise bool
	scratch   []byte
}

// of returns the Key of an address, as parse returns it, or of a name. It is valid until the next
// call.
func (k *keys) of(a netip.Addr, name string) []byte {
	b := k.scratch[:0]
	switch {
	case !a.IsValid() && k.anonymise:
		b = append(b, Nobody...)
	case !a.IsValid():
		b = append(b, cmp.Or(name, Nobody)...)
	case k.anonymise:
		b = Anonymise(a).AppendTo(b)
	case a.Is4():
		b = a.AppendTo(b)
	default:
		site, _ := a.Prefix(bitsOfSite) // fails for lengths that an address can't have
		b = site.AppendTo(b)
	}
	k.scratch = b
	return b
}

// whereabouts returns the group and the place of a Key; empty for a name, and for what isn't known.
func whereabouts(key string, groups *Groups, places *Places) (group, place string) {
	a := parse(key)
	if a.IsValid() {
		group = groups.Of(a)
	} else {
		p, err := netip.ParsePrefix(key)
		if err != nil {
			return "", ""
		}
		group, a = groups.ofNetwork(p), p.Addr()
	}
	if places != nil {
		place = places.Of(a)
	}
	return group, place
}

// Name sets the groups and the places of listed clients. places may be nil.
func Name(list []Client, groups *Groups, places *Places) {
	for i := range list {
		list[i].Group, list[i].Place = whereabouts(list[i].Client, groups, places)
	}
}
