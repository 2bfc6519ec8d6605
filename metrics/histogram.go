package metrics

import (
	"cmp"
	"math"
	"slices"
)

// bounds are the classic upper bounds in seconds, from a list of unchanged files to a full backup.
var bounds = [...]float64{0.1, 1, 10, 60, 300, 900, 3600, 10800, 43200, 86400}

// A HistogramRecord is a histogram of session durations, classic and native.
type HistogramRecord struct {
	Count   uint64
	Sum     float64
	Classic [len(bounds)]uint64 // not cumulative; what is longer is only in count
	Zero    uint64              // native: at most nativeZero
	Native  []NativeBucket      // in the order of their indexes
}

// A NativeBucket counts what is more than 2^((Index-1)/2^nativeSchema) and at most
// 2^(Index/2^nativeSchema) seconds.
type NativeBucket struct {
	Index int
	N     uint64
}

// Native buckets grow by 2^(1/2^nativeSchema), about 19 % each; 3 s and 3.5 s are told apart.
const (
	nativeSchema = 2
	nativeZero   = 1e-3 // seconds: below a log's and a scheduler's precision
)

func (h *HistogramRecord) observe(v float64) {
	h.Count++
	h.Sum += v
	for i, b := range bounds {
		if v <= b {
			h.Classic[i]++
			break
		}
	}
	if v <= nativeZero {
		h.Zero++
		return
	}
	index := int(math.Ceil(math.Log2(v) * (1 << nativeSchema)))
	i, found := slices.BinarySearchFunc(h.Native, index, func(b NativeBucket, index int) int {
		return cmp.Compare(b.Index, index)
	})
	if !found {
		h.Native = slices.Insert(h.Native, i, NativeBucket{Index: index})
	}
	h.Native[i].N++
}

// buckets are what tells histograms apart that can't be added up.
func buckets() []float64 { return append(bounds[:len(bounds):len(bounds)], nativeSchema, nativeZero) }
