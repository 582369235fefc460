package app_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"

	"github.com/clientevents/clientevents/emulator"
	"github.com/clientevents/clientevents/internal/find"
	"github.com/clientevents/clientevents/test/kafkatest"
)

func TestFind(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, kafkatest.Bubble(t), 3, emulator.Options{})
		line := func(id, parent, typ string, job string) []byte {
			return fmt.Appendf(nil, `{"eventId":%q,"parentEventId":%q,"requestId":"r-1","createTime":%q,"jobEvent":{"type":%q,"jobs":[%q]}}`,
				id, parent, time.Now().UTC().Format(time.RFC3339), typ, job)
		}
		k := r.connection(t)
		search := func(q find.Query) []*find.Event {
			t.Helper()
			events, err := find.Run(t.Context(), k, r.config, q)
			if err != nil {
				t.Fatal(err)
			}
			return events
		}
		one := func(id string) *find.Event {
			t.Helper()
			events := search(find.Query{EventID: id, Partition: -1})
			if len(events) != 1 {
				t.Fatalf("%d events are found for %s", len(events), id)
			}
			return events[0]
		}
		messages := []kafka.Message{
			{Partition: 1, Key: []byte("r-1"), Value: line("i", "", "IMPRESSION", "projects/p/jobs/j")},
			{Partition: 1, Key: []byte("r-1"), Value: line("v", "i", "VIEW", "projects/p/jobs/j")},
			{Partition: 1, Key: []byte("r-1"), Value: line("v", "i", "VIEW", "projects/p/jobs/j")},
			{Partition: 1, Key: []byte("r-1"), Value: line("wrong", "v", "VIEW", "j")},
			{Partition: 1, Key: []byte("r-1"), Value: line("orphan", "gone", "VIEW", "projects/p/jobs/j")},
		}
		r.Produce(t, r.config.Kafka.Topic, messages...)
		// Before the first run there is neither a state nor a dead-letter topic.
		if e := one("v"); e.Outcome != find.Unknown || len(e.Records) != 2 || e.Records[0].Partition != 1 || e.Records[0].Offset != 1 {
			t.Errorf("before a run, %+v is found", e)
		}
		replica := r.run(t, nil)
		kafkatest.WaitFor(t, time.Minute, "every record to have its outcome", func() bool { return replica.finished() >= uint64(len(messages)) })
		if err := replica.stop(); err != nil {
			t.Fatal(err)
		}
		if e := one("v"); e.Outcome != find.Reported || e.ParentOutcome != find.Reported || e.Reported.IsZero() || e.Type != "VIEW" || e.RequestID != "r-1" || len(e.Records) != 2 {
			t.Errorf("the view is %+v", e)
		}
		if e := one("wrong"); e.Outcome != find.DeadLetterOutcome || len(e.DeadLetters) != 1 || e.DeadLetters[0].Reason != "invalid_job_name" || e.DeadLetters[0].SourcePartition != "1" || e.DeadLetters[0].SourceOffset != "3" {
			t.Errorf("the event with a wrong job is %+v", e)
		}
		if e := one("orphan"); e.Outcome != find.DeadLetterOutcome || e.ParentOutcome != find.Unknown || e.DeadLetters[0].Reason != "parent_not_found" {
			t.Errorf("the orphan is %+v", e)
		}
		if events := search(find.Query{EventID: "nothing", Partition: -1}); len(events) != 0 {
			t.Errorf("%+v is found of nothing", events)
		}
		if events := search(find.Query{EventID: "v", Partition: 0}); len(events) != 0 {
			t.Errorf("%+v is found in another partition", events)
		}
		journey := search(find.Query{RequestID: "r-1", Partition: -1})
		var text strings.Builder
		find.Write(&text, journey)
		if len(journey) != 3 || !strings.Contains(text.String(), "IMPRESSION i: reported at ") || !strings.Contains(text.String(), "\n  VIEW v: reported at ") {
			t.Errorf("the journey has %d events:\n%s", len(journey), text.String())
		}
	})
}

// TestFindByKey: a key limits the search to the partition of murmur2, and to records with
// this key.
func TestFindByKey(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, kafkatest.Bubble(t), 3, emulator.Options{})
		line := func(id string, jobs string) []byte {
			return fmt.Appendf(nil, `{"eventId":%q,"requestId":"r-1","createTime":%q,"jobEvent":{"type":"IMPRESSION","jobs":[%s]}}`,
				id, time.Now().UTC().Format(time.RFC3339), jobs)
		}
		all := []int{0, 1, 2}
		home := kafka.Murmur2Balancer{}.Balance(kafka.Message{Key: []byte("r-1")}, all...)
		messages := []kafka.Message{
			{Partition: home, Key: []byte("r-1"), Value: line("here", `"projects/p/jobs/j"`)},
			{Partition: home, Key: []byte("r-1"), Value: line("wrong", `"j"`)},
			{Partition: home, Key: []byte("other"), Value: line("other key", `"projects/p/jobs/j"`)},
			{Partition: home, Key: []byte("other"), Value: line("other wrong", `"j"`)},
			{Partition: (home + 1) % 3, Key: []byte("r-1"), Value: line("elsewhere", `"projects/p/jobs/j"`)},
		}
		r.Produce(t, r.config.Kafka.Topic, messages...)
		replica := r.run(t, nil)
		kafkatest.WaitFor(t, time.Minute, "every record to have its outcome", func() bool { return replica.finished() >= uint64(len(messages)) })
		if err := replica.stop(); err != nil {
			t.Fatal(err)
		}
		k := r.connection(t)
		for id, outcome := range map[string]string{
			"here": find.Reported, "wrong": find.DeadLetterOutcome, "other wrong": "", "elsewhere": "",
		} {
			events, err := find.Run(t.Context(), k, r.config, find.Query{EventID: id, Key: []byte("r-1"), Partition: -1})
			if err != nil {
				t.Fatal(err)
			}
			if outcome == "" && len(events) != 0 || outcome != "" && (len(events) != 1 || events[0].Outcome != outcome) {
				t.Errorf("%s is found %d times, expected %q", id, len(events), outcome)
			}
		}
		// The state topic has no keys of the source: it is known that the event was reported.
		events, err := find.Run(t.Context(), k, r.config, find.Query{EventID: "other key", Key: []byte("r-1"), Partition: -1})
		if err != nil || len(events) != 1 || events[0].Outcome != find.Reported || len(events[0].Records) != 0 {
			t.Errorf("of another key's event, %d are found (%v)", len(events), err)
		}
	})
}
