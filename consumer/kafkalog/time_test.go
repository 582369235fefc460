package kafkalog

import (
	"encoding/json"
	"math"
	"testing"
	"time"
)

// TestTimesCanBeEncoded: whatever time a producer writes, JSON can hold it in every
// zone.
func TestTimesCanBeEncoded(t *testing.T) {
	for _, ms := range []int64{math.MinInt64, -1 << 50, -2, 0, 1 << 40, 1 << 50, math.MaxInt64} {
		for _, hours := range []int{-14, 0, 14} {
			at := timeOf(ms).In(time.FixedZone("", hours*3600))
			if _, err := json.Marshal(at); err != nil {
				t.Errorf("%d ms: %v", ms, err)
			}
		}
	}
	if got := timeOf(1_700_000_000_123); got.UnixMilli() != 1_700_000_000_123 {
		t.Errorf("a usual time became %v", got)
	}
	if !timeOf(-1).IsZero() {
		t.Error("no time became one")
	}
}
