package metrics

import "time"

// What weighs how much of MAX_SERIES, and other bounds.
const (
	DirectedSeries   = directedSeries
	HostSeries       = hostSeries
	MaxMixed         = maxMixed
	ModuleSeries     = moduleSeries
	NativeSchema     = nativeSchema
	NumMessages      = numMessages
	NumOps           = numOps
	UndirectedSeries = undirectedSeries
	UnnamedSeries    = unnamedSeries
	UserSeries       = userSeries
)

// What tests compare with.
var (
	AllDescs    = allDescs
	ClientDescs = clientDescs
	TookBy      = tookBy
	UsualCodes  = usualCodes
)

// Weights returns what all hosts weigh, and what was taken of MAX_SERIES for them.
func (s *Store) Weights() (weight, taken int) {
	weight = s.other.weight()
	for _, h := range s.hosts {
		weight += h.weight()
	}
	return weight, s.series
}

// WeightOf returns what one host weighs.
func (s *Store) WeightOf(host string) int { return s.hosts[host].weight() }

// TakeAllRoom leaves no room.
func (s *Store) TakeAllRoom() { s.maxSeries = 0 }

// Retired is how many messages were of hosts that made room.
func (s *Store) Retired() uint64 { return s.retired }

// Silence makes a host one that was heard long ago, behind the Store's back.
func (s *Store) Silence(host string, ago time.Duration) { s.hosts[host].Heard = -int64(ago) }

// BareVictims is how many hosts without modules it knows that can go.
func (s *Store) BareVictims() int { return len(s.pools[bareHosts].victims) }
