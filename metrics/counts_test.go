package metrics

import (
	"encoding/gob"
	"fmt"
	"testing"

	dto "github.com/prometheus/client_model/go"

	"rsyncd_exporter/internal/enum"
	"rsyncd_exporter/rsynclog"
)

// A kind of message that this version doesn't have is counted as _other, so that messages still come to what was
// received. Any other count under a name that is no more is refused.
func TestANameThatIsNoMore(t *testing.T) {
	saved := enum.Encode([]uint64{2, 3}, []string{"connect", "what is no more"})
	var kinds kindCounts
	if err := kinds.GobDecode(saved); err != nil {
		t.Fatal(err)
	}
	if kinds[rsynclog.Connect] != 2 || kinds[otherKind] != 3 {
		t.Errorf("%d connects and %d others, want 2 and 3", kinds[rsynclog.Connect], kinds[otherKind])
	}
	for _, counts := range []gob.GobDecoder{new(reasonCounts), new(opCounts), new(outcomeCounts), new(overflowCounts)} {
		if err := counts.GobDecode(saved); err == nil {
			t.Errorf("%T takes a name that is no more: %v", counts, counts)
		}
	}
}

// Sessions of 30 s are in native bucket 20, those of an hour in 48: 2^(48/4) = 4096 is the first power beyond 3600. Between the spans lie 27.
func TestNativeBucketsWithAGap(t *testing.T) {
	var h HistogramRecord
	h.observe(30)
	h.observe(3600)
	h.observe(3600)
	var out dto.Histogram
	h.writeNative(&out)
	spans := fmt.Sprint(out.GetPositiveSpan()[0].GetOffset(), out.GetPositiveSpan()[1].GetOffset(), len(out.GetPositiveSpan()))
	if spans != "20 27 2" || fmt.Sprint(out.GetPositiveDelta()) != "[1 1]" {
		t.Errorf("offsets and number of spans %s, deltas %v; want 20 27 2 and [1 1]", spans, out.GetPositiveDelta())
	}
}
