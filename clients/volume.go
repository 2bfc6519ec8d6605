package clients

import "math"

// A Volume is sessions that ended, and their bytes. Bytes stop at the end of their range.
type Volume struct {
	Sessions uint64 `json:"sessions"`
	Sent     uint64 `json:"sent_bytes"`
	Received uint64 `json:"received_bytes"`
}

// Add adds sessions and bytes.
func (v *Volume) Add(o Volume) {
	v.Sessions += o.Sessions
	v.Sent = sum(v.Sent, o.Sent)
	v.Received = sum(v.Received, o.Received)
}

func sum(a, b uint64) uint64 {
	if a+b < a {
		return math.MaxUint64
	}
	return a + b
}

// Bytes returns what was sent and received.
func (v Volume) Bytes() uint64 { return sum(v.Sent, v.Received) }

// Plus returns the sum of two volumes.
func (v Volume) Plus(o Volume) Volume {
	v.Add(o)
	return v
}

// Minus returns v-o, and 0 for a figure that is larger in o. One that has reached the end of its
// range stays there.
func (v Volume) Minus(o Volume) Volume {
	less := func(a, b uint64) uint64 {
		if a == math.MaxUint64 {
			return a
		}
		return a - min(a, b)
	}
	return Volume{less(v.Sessions, o.Sessions), less(v.Sent, o.Sent), less(v.Received, o.Received)}
}

// Max returns the larger one of each figure.
func (v Volume) Max(o Volume) Volume {
	return Volume{max(v.Sessions, o.Sessions), max(v.Sent, o.Sent), max(v.Received, o.Received)}
}

// Min returns the smaller one of each figure.
func (v Volume) Min(o Volume) Volume {
	return Volume{min(v.Sessions, o.Sessions), min(v.Sent, o.Sent), min(v.Received, o.Received)}
}
