package prediction_test

import (
	"flag"
	"os"
	"testing"
	"testing/synctest"

	"github.com/clientevents/clientevents/internal/shape"
	"github.com/clientevents/clientevents/test/kafkatest"
	"github.com/clientevents/clientevents/test/prediction"
)

var records = flag.Int("records", 2000, "publish `N` records of each shape")

// TestRehearsalPredictsEachEvent: whatever the shape of the records, rehearse predicts
// each event and each dead letter of run.
func TestRehearsalPredictsEachEvent(t *testing.T) {
	if testing.Short() && os.Getenv("KAFKA_BROKERS") != "" {
		t.Skip("not run with -short and KAFKA_BROKERS: it needs no real broker")
	}
	for _, name := range shape.Names() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				prediction.Check(t, kafkatest.Bubble(t), name, "", *records)
			})
		})
	}
}
