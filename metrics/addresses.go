package metrics

import (
	"net/netip"
	"slices"

	"rsyncd_exporter/rsynclog"
)

// maxAddresses bounds the addresses of a host. Those heard last stay.
const maxAddresses = 16

// HostAddress notes that a message of this origin came from another machine's address, at a time in
// nanoseconds of the Unix epoch. It ignores hosts without a name or without room.
func (s *Store) HostAddress(o *rsynclog.Origin, addr netip.Addr, at int64) {
	s.at = at
	h := s.hostOf(o)
	if len(h.Senders) > 0 && h.Senders[0].Addr == addr {
		h.Senders[0].Heard = at
		return
	}
	if h.Host == "" || h == s.other {
		return
	}
	h.addAddress(addr, at)
	s.noteMixed(h)
}

// addAddress moves or adds an address to the front of the list, the one heard last.
func (h *hostTally) addAddress(addr netip.Addr, at int64) {
	i := slices.IndexFunc(h.Senders, func(a SenderRecord) bool { return a.Addr == addr })
	if i < 0 {
		h.forgetAddresses(at)
		if len(h.Senders) < maxAddresses {
			h.Senders = append(h.Senders, SenderRecord{})
		}
		i = len(h.Senders) - 1
	}
	copy(h.Senders[1:i+1], h.Senders[:i])
	h.Senders[0] = SenderRecord{addr, at}
}

// forgetAddresses removes addresses silent for longAgo, or heard by a clock that was ahead.
func (h *hostTally) forgetAddresses(at int64) {
	h.Senders = slices.DeleteFunc(h.Senders, func(a SenderRecord) bool {
		return a.Heard <= at-int64(longAgo) || a.Heard > at+int64(grain)
	})
}

const maxMixed = 16

func (s *Store) noteMixed(h *hostTally) {
	if len(h.Senders) > 1 && !h.told && len(s.mixed) < maxMixed {
		h.told = true
		s.mixed = append(s.mixed, h.Host)
	}
}

// MixedHosts returns, once each, at most n hosts whose messages lately came from several addresses.
func (s *Store) MixedHosts(n int) []string {
	n = max(0, min(n, len(s.mixed)))
	told := append([]string(nil), s.mixed[:n]...)
	s.mixed = s.mixed[n:]
	return told
}
