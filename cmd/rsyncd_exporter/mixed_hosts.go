package main

import (
	"log/slog"
	"time"
)

// mixedHosts warns of host names that come from several addresses. Senders choose host names, so
// that only so many warnings are written a day; rsyncd_exporter_host_addresses shows all.
type mixedHosts struct {
	hosts func(n int) []string // pipeline.Pipeline.MixedHosts
	log   *slog.Logger
	day   time.Time // when the first of these warnings was written
	told  int       // since then
}

// maxMixedHosts is how many warnings are written a day.
const maxMixedHosts = 16

// warn writes the warnings that are due.
func (m *mixedHosts) warn(now time.Time) {
	if now.Sub(m.day) >= 24*time.Hour {
		m.told = 0
	}
	for _, host := range m.hosts(maxMixedHosts - m.told) {
		if m.told == 0 {
			m.day = now
		}
		m.told++
		m.log.Warn("one host name comes from several addresses: their sessions may be mixed up; give each sender its own host name", "host", host)
	}
}
