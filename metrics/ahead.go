package metrics

import "time"

// aheadFor is how long a time must lie in the future before it is corrected: a machine without a
// clock starts in the past and learns the time within minutes.
const aheadFor = time.Hour

// mendAhead sets times in the future, by a clock that was ahead, to the present: until then nobody
// would notice that backups fail. now is the present by the sessions' clock, which doesn't jump.
func (s *Store) mendAhead(now int64) {
	isAhead, latest := false, s.at+int64(grain)
	times := func(f func(at *int64)) {
		for _, in := range s.inputs {
			f(&in.LastMessage)
		}
		s.eachHost(func(h *hostTally) {
			h.eachModule(func(m *moduleTally) {
				m.eachFlow(func(flow *flowTally) {
					for _, u := range flow.users {
						f(&u.LastSuccess)
						f(&u.LastAttempt)
					}
				})
			})
		})
	}
	times(func(at *int64) { isAhead = isAhead || *at > latest })
	switch {
	case !isAhead:
		s.aheadSince = 0
	case s.aheadSince == 0:
		s.aheadSince = now
	case now-s.aheadSince >= int64(aheadFor):
		times(func(at *int64) {
			if *at > latest {
				*at = s.at
			}
		})
	}
}
