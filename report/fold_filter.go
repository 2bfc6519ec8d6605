package report

import (
	"math"
	"net/netip"
	"strings"
	"time"

	"rsyncd_exporter/rsynclog"
)

// A filter is what Options let pass.
type filter struct {
	since, until int64 // nanoseconds of the Unix epoch; whole: the widest
	period       bool  // since or until is set

	sessions                        bool // any of these is set
	module, direction, user, client string
	prefix                          netip.Prefix // what client says, if that is one
}

func newFilter(o Options) filter {
	f := filter{
		since: math.MinInt64, until: math.MaxInt64, period: !o.Since.IsZero() || !o.Until.IsZero(),
		module: o.Module, direction: o.Direction, user: o.User, client: strings.ToLower(o.Client),
	}
	if !o.Since.IsZero() {
		f.since = epoch(o.Since)
	}
	if !o.Until.IsZero() {
		f.until = epoch(o.Until)
	}
	f.sessions = f.module+f.direction+f.user+f.client != ""
	if addr, err := netip.ParseAddr(o.Client); err == nil {
		f.prefix = netip.PrefixFrom(addr.Unmap().WithZone(""), addr.Unmap().BitLen())
	} else if p, err := netip.ParsePrefix(o.Client); err == nil {
		f.prefix = p
	}
	return f
}

// epoch returns a time in nanoseconds of the Unix epoch, which go from 1677 to 2262.
func epoch(t time.Time) int64 {
	switch s := t.Unix(); {
	case s <= math.MinInt64/int64(time.Second):
		return math.MinInt64
	case s >= math.MaxInt64/int64(time.Second):
		return math.MaxInt64
	}
	return t.UnixNano()
}

// within says whether a time is in the period. 0 is a time that isn't known.
func (f *filter) within(at int64) bool {
	return !f.period || at != 0 && f.since <= at && at < f.until
}

// passes says whether what belongs to a session counts. nil is none.
func (f *filter) passes(v *visit) bool { return !f.sessions || v != nil && v.matches }

// match judges a session by what is known of it. name is its client's.
func (f *filter) match(s *rsynclog.Session, name string) bool {
	return (f.module == "" || s.Module == f.module) &&
		(f.direction == "" || s.Direction.String() == f.direction) &&
		(f.user == "" || s.User == f.user) &&
		(f.client == "" || f.matchClient(s.Addr, name))
}

func (f *filter) matchClient(addr, name string) bool {
	if f.prefix.IsValid() {
		a, err := netip.ParseAddr(addr)
		return err == nil && f.prefix.Contains(a.Unmap().WithZone(""))
	}
	return strings.HasPrefix(strings.ToLower(name), f.client) || strings.HasPrefix(strings.ToLower(addr), f.client)
}

// shown returns the filter as a Summary has it; nil: everything passes.
func (o *Options) shown() *Filter {
	s := Filter{
		Since: moment(o.Since, o.Zone), Until: moment(o.Until, o.Zone),
		Module: clean(o.Module), Direction: clean(o.Direction), Client: clean(o.Client), User: clean(o.User),
	}
	if o.Anonymise && s.Client != "" {
		s.Client = anonymous(s.Client)
	}
	if s == (Filter{}) {
		return nil
	}
	return &s
}

// moment shows a time, or nothing for the zero time.
func moment(t time.Time, zone *time.Location) string {
	if t.IsZero() {
		return ""
	}
	return t.In(zone).Format(time.RFC3339)
}
