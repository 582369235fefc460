package registry

import (
	"flag"
	"testing"

	"github.com/clientevents/clientevents/test/kafkatest"
	"github.com/clientevents/clientevents/test/prediction"
)

var records = flag.Int("records", 2000, "publish `N` records of each shape")

// TestRehearsalPredictsEachEvent: with a registry that is no fake, rehearse predicts each
// event and each dead letter of run.
func TestRehearsalPredictsEachEvent(t *testing.T) {
	url := apicurio(t)
	for _, name := range []string{"avro", "protobuf"} {
		t.Run(name, func(t *testing.T) {
			prediction.Check(t, kafkatest.Embedded(t), name, url, *records)
		})
	}
}
