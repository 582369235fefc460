package consumer

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/clientevents/clientevents/consumer/partition"
	"github.com/clientevents/clientevents/internal/metric"
)

// TestSuspicionsAreLoggedNowAndThen: each rule is logged once a minute, with the
// number of its events, and each event is counted.
func TestSuspicionsAreLoggedNowAndThen(t *testing.T) {
	var log bytes.Buffer
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	s := newSuspicions(Suspicious{Age: 24 * time.Hour}, slog.New(slog.NewTextHandler(&log, nil)), nil)
	for offset := range int64(100) {
		s.add(3, &partition.Suspicion{Rule: partition.CreateTimePast, By: 48 * time.Hour, Offset: 2 * offset}, now)
		s.add(3, &partition.Suspicion{Rule: partition.CreateTimeFuture, By: time.Hour, Offset: 2*offset + 1}, now)
	}
	if got := strings.Count(log.String(), "\n"); got != 2 {
		t.Errorf("%d log lines, want one for each rule:\n%s", got, log.String())
	}
	log.Reset()
	s.add(3, &partition.Suspicion{Rule: partition.CreateTimePast, By: 48 * time.Hour, Offset: 200}, now.Add(time.Minute))
	if got := log.String(); !strings.Contains(got, "rule=create_time_past by=48h0m0s partition=3 offset=200 events=100") {
		t.Errorf("the log is %s", got)
	}
	for rule, want := range map[partition.SuspicionRule]uint64{partition.CreateTimePast: 101, partition.CreateTimeFuture: 100, partition.RequestIDOld: 0} {
		if got := metric.Count(s.counted[rule]); got != want {
			t.Errorf("%d events are counted for %s: want %d", got, rule, want)
		}
	}
}
