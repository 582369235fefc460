package app_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"

	"github.com/clientevents/clientevents/emulator"
	"github.com/clientevents/clientevents/internal/quality"
	"github.com/clientevents/clientevents/test/kafkatest"
)

// TestQuality: /status judges the journeys that were reported, repeated and refused events
// not counted, and the metrics follow an hour later.
func TestQuality(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, kafkatest.Bubble(t), 2, emulator.Options{})
		site, replica := r.runReplicaSite(t, nil)
		sent := uint64(0)
		journey := func(n int, kinds ...string) {
			for i, kind := range append(kinds, kinds[0], "JOB_EVENT_TYPE_UNSPECIFIED") { // a repetition and a dead letter
				id := fmt.Sprintf("%d-%d", n, i%len(kinds))
				parent := ""
				if at := i % len(kinds); at > 0 {
					parent = fmt.Sprintf("%d-%d", n, min(at-1, 1))
				}
				value := fmt.Sprintf(`{"eventId":%q,"parentEventId":%q,"requestId":"r-%d","createTime":"2026-01-02T03:04:05Z","jobEvent":{"type":%q,"jobs":["projects/demo/jobs/1"]}}`,
					id, parent, n, kind)
				r.Produce(t, r.config.Kafka.Topic, kafka.Message{Partition: n % 2, Value: []byte(value)})
				sent++
			}
		}
		for n := range 30 {
			switch n % 3 {
			case 0:
				journey(n, "IMPRESSION", "VIEW", "APPLICATION_QUICK_SUBMISSION")
			case 1:
				journey(n, "IMPRESSION", "VIEW", "APPLICATION_START", "APPLICATION_QUICK_SUBMISSION")
			case 2:
				journey(n, "IMPRESSION")
			}
		}
		kafkatest.WaitFor(t, time.Minute, "outcomes", func() bool { return replica.finished() == sent })
		q := site.status(t).Quality
		if q.Journeys != 30 || q.Events != 80 || q.Jobs != 30 || q.Forgotten != 0 {
			t.Errorf("%+v, expected 30 journeys and 80 events", q)
		}
		want := map[quality.Rule]int64{quality.QuickSubmissionNotAlone: 10, quality.ImpressionWithoutView: 10}
		for _, rule := range q.Rules {
			if rule.Journeys != want[rule.Rule] {
				t.Errorf("%s: %d journeys, expected %d", rule.Rule, rule.Journeys, want[rule.Rule])
			}
		}
		if testing.Short() {
			return // of the next hour, each second takes work
		}
		time.Sleep(quality.Window + time.Minute)
		if q := site.status(t).Quality; q.Journeys != 0 {
			t.Errorf("an hour later, %+v", q)
		}
		_, series := site.scrape(t)
		if n := series[`clientevents_quality_violations_total{rule="quick_submission_not_alone"}`]; n != "10" {
			t.Errorf("the metric is %q, expected 10", n)
		}
	})
}
