// Package clients counts who has come to an rsync daemon and what they moved: exactly by family, by
// the operator's groups and by places, and in bounded memory by client.
package clients

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// Other is the group of addresses that are in none.
const Other = "other"

// Groups are networks with names. The zero value has none.
type Groups struct {
	networks []network // the smallest first
}

type network struct {
	prefix netip.Prefix
	group  string
}

// ParseGroups reads groups as CLIENT_GROUPS has them:
//
//	mirrors=192.0.2.0/24+2001:db8::/32;buildbots=198.51.100.7
//
// A group may be named several times. The error joins everything that is wrong.
func ParseGroups(s string) (g Groups, err error) {
	var problems []error
	for part := range strings.SplitSeq(s, ";") {
		if part = strings.TrimSpace(part); part == "" {
			continue
		}
		name, list, ok := strings.Cut(part, "=")
		if name = strings.TrimSpace(name); !ok || name == "" || name == Other {
			problems = append(problems, fmt.Errorf("%q is no group: write NAME=NETWORK+NETWORK, with another name "+
				"than %q", part, Other))
			continue
		}
		for text := range strings.SplitSeq(list, "+") {
			prefix, err := parseNetwork(strings.TrimSpace(text))
			if err == nil {
				err = g.add(prefix, name)
			}
			if err != nil {
				problems = append(problems, fmt.Errorf("group %q: %w", name, err))
			}
		}
	}
	slices.SortStableFunc(g.networks, func(a, b network) int { return b.prefix.Bits() - a.prefix.Bits() })
	if len(problems) == 0 && len(g.networks) == 0 && strings.TrimSpace(s) != "" {
		problems = append(problems, errors.New("no group is named"))
	}
	return g, errors.Join(problems...)
}

// parseNetwork reads a prefix or an address.
func parseNetwork(s string) (netip.Prefix, error) {
	if a, err := netip.ParseAddr(s); err == nil && a.Zone() == "" {
		return netip.PrefixFrom(a.Unmap(), a.Unmap().BitLen()), nil
	}
	p, err := netip.ParsePrefix(s)
	if err != nil || p.Addr().Is4In6() {
		return p, fmt.Errorf("%q is no network: write 192.0.2.0/24, 2001:db8::/32 or an address", s)
	}
	if p != p.Masked() {
		return p, fmt.Errorf("%q has bits behind its mask: write %v", s, p.Masked())
	}
	return p, nil
}

func (g *Groups) add(p netip.Prefix, name string) error {
	for _, n := range g.networks {
		if n.prefix == p && n.group != name {
			return fmt.Errorf("%v is in group %q, too", p, n.group)
		}
	}
	g.networks = append(g.networks, network{p, name})
	return nil
}

// Any says whether there are any.
func (g *Groups) Any() bool { return len(g.networks) > 0 }

// names returns all that Of can return.
func (g *Groups) names() []string {
	if len(g.networks) == 0 {
		return []string{""}
	}
	names := []string{Other}
	for _, n := range g.networks {
		if !slices.Contains(names, n.group) {
			names = append(names, n.group)
		}
	}
	return names
}

// Of returns the group of an address: that of the smallest network that it is in, or Other. It is
// empty without groups.
func (g *Groups) Of(a netip.Addr) string {
	if len(g.networks) == 0 {
		return ""
	}
	a = a.Unmap().WithZone("")
	for _, n := range g.networks {
		if n.prefix.Contains(a) {
			return n.group
		}
	}
	return Other
}

// ofNetwork returns the group of all addresses of a network. It is empty where they are in several.
func (g *Groups) ofNetwork(p netip.Prefix) string {
	if len(g.networks) == 0 {
		return ""
	}
	for _, n := range g.networks {
		switch {
		case n.prefix.Bits() <= p.Bits() && n.prefix.Contains(p.Addr()):
			return n.group
		case n.prefix.Overlaps(p):
			return ""
		}
	}
	return Other
}
