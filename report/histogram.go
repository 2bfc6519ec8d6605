package report

import (
	"math"
	"slices"
	"time"
)

const (
	// Bounds go from a millisecond, a log's best precision, to 104 days in 10 decades of 12.
	decades   = 10
	perDecade = 12
	numBounds = 1 + decades*perDecade
)

// DurationBounds returns the upper bounds of Duration.Buckets in seconds: 0, then 0.001 to
// 9,000,000. Each is at most a quarter above the one before.
func DurationBounds() []float64 {
	list := make([]float64, 1, numBounds)
	scale := 1.0
	for range decades {
		for _, m := range [perDecade]float64{100, 125, 150, 180, 220, 270, 330, 400, 500, 600, 750, 900} {
			list = append(list, m*scale/1e5)
		}
		scale *= 10
	}
	return list
}

// A histogram counts durations.
type histogram struct {
	sum     time.Duration
	max     time.Duration
	buckets []uint64 // as in Duration; nil: none
	bounds  []float64
}

// observe counts a duration. Rounding undoes the nanoseconds between lines that have waited, as
// metrics does.
func (h *histogram) observe(took time.Duration) {
	took = took.Round(time.Millisecond)
	if h.buckets == nil {
		h.buckets, h.bounds = make([]uint64, numBounds+1), DurationBounds()
	}
	i, _ := slices.BinarySearch(h.bounds, took.Seconds())
	h.buckets[i]++
	h.max = max(h.max, took)
	if h.sum += took; h.sum < 0 {
		h.sum = math.MaxInt64
	}
}

func (h *histogram) duration() Duration {
	d := Duration{Sum: h.sum.Seconds(), Max: h.max.Seconds(), Buckets: slices.Clone(h.buckets)}
	d.measure()
	return d
}

// measure sets N and the percentiles by Buckets and Max.
func (d *Duration) measure() {
	d.N = 0
	for _, n := range d.Buckets {
		d.N += n
	}
	d.P50, d.P90 = d.percentile(0.5), d.percentile(0.9)
}

// percentile returns the upper bound of the bucket that holds it, or Max if that is less; 0 if
// there is none.
func (d *Duration) percentile(part float64) float64 {
	rank := uint64(math.Ceil(part * float64(d.N)))
	bounds := DurationBounds()
	var seen uint64
	for i, n := range d.Buckets {
		if seen += n; n > 0 && seen >= rank && i < len(bounds) {
			return min(bounds[i], d.Max)
		}
	}
	return d.Max
}
