package metrics

import "math"

// bounds are the classic histogram's upper bounds in seconds: from a list of unchanged files to a first full backup.
var bounds = [...]float64{0.1, 1, 10, 60, 300, 900, 3600, 10800, 43200, 86400}

// A histogram is a session duration histogram, classic and native.
type histogram struct {
	count  uint64
	sum    float64
	bucket [len(bounds)]uint64 // not cumulative; what is longer is only in count
	zero   uint64              // native: at most nativeZero
	native map[int]uint64      // native: by bucket index
}

// Native buckets grow by 2^(1/2^nativeSchema), about 19 % each; 3 s and 3.5 s are told apart.
const (
	nativeSchema = 2
	nativeZero   = 1e-3 // seconds: below a log's and a scheduler's precision
)

func (h *histogram) observe(v float64) {
	h.count++
	h.sum += v
	for i, b := range bounds {
		if v <= b {
			h.bucket[i]++
			break
		}
	}
	if v <= nativeZero {
		h.zero++
		return
	}
	if h.native == nil {
		h.native = map[int]uint64{}
	}
	h.native[int(math.Ceil(math.Log2(v)*(1<<nativeSchema)))]++
}
