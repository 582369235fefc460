package app_test

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"

	"github.com/clientevents/clientevents/consumer"
	"github.com/clientevents/clientevents/emulator"
	"github.com/clientevents/clientevents/event"
	"github.com/clientevents/clientevents/internal/journey"
	"github.com/clientevents/clientevents/test/kafkatest"
)

// TestMixedRecords is the main job: believable traffic with everything that
// goes wrong in it, from the broker to the API.
func TestMixedRecords(t *testing.T) {
	each(t, func(t *testing.T, c *kafkatest.Cluster) {
		r := newRig(t, c, 6, emulator.Options{Faults: emulator.Faults{Latency: 5 * time.Millisecond}})
		const n = 20_000
		mix := journey.DemoMix
		mix.Tombstones = true
		records := slices.Collect(journey.New(journey.Options{Seed: 7, Version: event.V3, Start: time.Now()}).Mixed(mix, n))
		if len(records) != n {
			t.Fatalf("%d records were made up: want %d", len(records), n)
		}
		messages := make([]kafka.Message, n)
		for i, rec := range records {
			messages[i] = kafka.Message{Key: rec.Key, Value: rec.Value, Headers: []kafka.Header{{Key: "number", Value: []byte(fmt.Sprint(i))}}}
		}
		r.ProduceByKey(t, r.config.Kafka.Topic, messages...)
		replica := r.run(t, nil)
		kafkatest.WaitFor(t, 2*time.Minute, "every record to have its outcome", func() bool { return replica.finished() >= n })
		if err := replica.stop(); err != nil {
			t.Errorf("stop: %v", err)
		}
		if lag := r.Lag(t, r.config.Kafka.Group, r.config.Kafka.Topic); lag != 0 {
			t.Errorf("the group's lag is %d: want 0", lag)
		}
		checkReported(t, r.api.Events(), records)
		checkLetters(t, r.ReadAll(t, r.config.Kafka.DeadLetterTopic), records)
		outcomes, _ := replica.Consumer().Counts()
		want := map[string]uint64{}
		for _, rec := range records {
			want[rec.Expect]++
		}
		maps.DeleteFunc(outcomes, func(_ string, n uint64) bool { return n == 0 })
		if !maps.Equal(outcomes, want) {
			t.Errorf("outcomes are %v: want %v", outcomes, want)
		}
	})
}

// checkReported wants each valid event once, as it was published, and after its
// parent.
func checkReported(t *testing.T, accepted []emulator.Accepted, records []journey.Record) {
	t.Helper()
	at := map[string]int{}
	for i, a := range accepted {
		if _, twice := at[a.Event.EventID]; twice {
			t.Errorf("event %s was reported twice", a.Event.EventID)
		}
		at[a.Event.EventID] = i
	}
	want := 0
	for _, rec := range records {
		if rec.Expect != "reported" {
			continue
		}
		want++
		i, ok := at[rec.Event.ID]
		if !ok {
			t.Errorf("event %s was not reported", rec.Event.ID)
			continue
		}
		got, fault := event.Decode(accepted[i].Raw, event.V3)
		if fault != nil {
			t.Fatalf("event %s was accepted as something else: %v", rec.Event.ID, fault)
		}
		if !sameEvent(got, rec.Event) {
			t.Errorf("event %s was reported as %s: want %s", rec.Event.ID, accepted[i].Raw, rec.Value)
		}
		if parent := rec.Event.ParentID; parent != "" && at[parent] > i {
			t.Errorf("event %s was reported before its parent", rec.Event.ID)
		}
	}
	if len(accepted) != want {
		t.Errorf("%d events were reported: want %d", len(accepted), want)
	}
}

func sameEvent(a, b *event.Event) bool {
	return a.ID == b.ID && a.RequestID == b.RequestID && a.ParentID == b.ParentID && a.Time.Equal(b.Time) &&
		a.Type == b.Type && slices.Equal(a.Jobs, b.Jobs) && slices.Equal(a.ExtraInfo, b.ExtraInfo) && a.Notes == b.Notes
}

// checkLetters wants each faulty record in the dead-letter topic once, as it
// was, under its reason.
func checkLetters(t *testing.T, letters []kafka.Message, records []journey.Record) {
	t.Helper()
	byNumber := map[string]kafka.Message{}
	for _, l := range letters {
		number := headerOf(l, "number")
		if _, twice := byNumber[number]; twice {
			t.Errorf("record %s is a dead letter twice", number)
		}
		byNumber[number] = l
	}
	want := 0
	for i, rec := range records {
		if rec.Expect != "dead_letter" {
			continue
		}
		want++
		l, ok := byNumber[fmt.Sprint(i)]
		switch {
		case !ok:
			t.Errorf("record %d (%s) is no dead letter", i, rec.Reason)
		case headerOf(l, consumer.HeaderReason) != string(rec.Reason):
			t.Errorf("record %d is a dead letter for %s (%s): want %s; it is %.200q", i,
				headerOf(l, consumer.HeaderReason), headerOf(l, consumer.HeaderDetail), rec.Reason, rec.Value)
		case !bytes.Equal(l.Key, rec.Key) || !bytes.Equal(l.Value, rec.Value):
			t.Errorf("record %d is a dead letter with other bytes", i)
		}
	}
	if len(letters) != want {
		t.Errorf("%d dead letters: want %d", len(letters), want)
	}
}

func headerOf(m kafka.Message, name string) string {
	for _, h := range m.Headers {
		if h.Key == name {
			return string(h.Value)
		}
	}
	return ""
}

// TestPoison wants records that are made to hurt to do no harm.
func TestPoison(t *testing.T) {
	each(t, func(t *testing.T, c *kafkatest.Cluster) {
		r := newRig(t, c, 1, emulator.Options{})
		keys := &bytes.Buffer{}
		for i := range 40_000 {
			fmt.Fprintf(keys, `,"k%d":""`, i)
		}
		valid := func(id, more string) string {
			return `{"eventId":"` + id + `","requestId":"r","createTime":"2026-01-02T03:04:05Z","jobEvent":{"type":"IMPRESSION","jobs":["projects/p/jobs/1"]}` + more + `}`
		}
		poison := []struct {
			value  string
			reason event.Reason
		}{
			{strings.Repeat("[", 100_000), event.ReasonMalformed},
			{`{"a":` + strings.Repeat("[", 100_000), event.ReasonMalformed},
			{valid("keys", `,"extraInfo":{"k":""`+keys.String()+`}`), event.ReasonExtraInfoTooManyKeys},
			{valid("utf8", `,"extraInfo":{"k":"`+"\xff"+`"}`), event.ReasonMalformed},
			{"null", event.ReasonMalformed},
			{valid("large", `,"extraInfo":{"k":"`+strings.Repeat("x", 900_000)+`"}`), event.ReasonExtraInfoTooLarge},
			{"", ""},
			{"tombstone", ""},
			{valid("last", ""), ""},
		}
		var messages []kafka.Message
		for i, p := range poison {
			m := kafka.Message{Key: []byte("k"), Value: []byte(p.value), Headers: []kafka.Header{{Key: "number", Value: []byte(fmt.Sprint(i))}}}
			if p.value == "tombstone" {
				m.Value = nil
			}
			messages = append(messages, m)
		}
		for _, m := range messages { // each by itself: together they are larger than a batch may be
			r.Produce(t, r.config.Kafka.Topic, m)
		}
		replica := r.run(t, nil)
		kafkatest.WaitFor(t, time.Minute, "every record to have its outcome", func() bool { return replica.finished() >= uint64(len(poison)) })
		if err := replica.stop(); err != nil {
			t.Errorf("stop: %v", err)
		}
		letters := map[string]kafka.Message{}
		for _, l := range r.ReadAll(t, r.config.Kafka.DeadLetterTopic) {
			letters[headerOf(l, "number")] = l
		}
		for i, p := range poison {
			l, is := letters[fmt.Sprint(i)]
			if is != (p.reason != "") || headerOf(l, consumer.HeaderReason) != string(p.reason) {
				t.Errorf("record %d: dead letter %v for %q: want %q", i, is, headerOf(l, consumer.HeaderReason), p.reason)
			}
			if is && string(l.Value) != p.value {
				t.Errorf("record %d: the dead letter has other bytes", i)
			}
		}
		if got := r.api.Stats().Accepted; got != 1 {
			t.Errorf("%d events were accepted: want 1", got)
		}
	})
}

// TestPublishedTwice wants a restart to remember what was reported.
func TestPublishedTwice(t *testing.T) {
	each(t, func(t *testing.T, c *kafkatest.Cluster) {
		r := newRig(t, c, 3, emulator.Options{})
		const n = 3000
		var messages []kafka.Message
		for e := range journey.New(journey.Options{Seed: 3, Version: event.V3, Start: time.Now()}).Events() {
			messages = append(messages, kafka.Message{Key: []byte(e.RequestID), Value: e.AppendRecord(nil)})
			if len(messages) == n {
				break
			}
		}
		for round, want := range []map[string]uint64{{"reported": n}, {"duplicate": n}} {
			r.ProduceByKey(t, r.config.Kafka.Topic, messages...)
			replica := r.run(t, nil)
			kafkatest.WaitFor(t, time.Minute, "every record to have its outcome", func() bool { return replica.finished() >= n })
			if err := replica.stop(); err != nil {
				t.Errorf("stop: %v", err)
			}
			outcomes, _ := replica.Consumer().Counts()
			maps.DeleteFunc(outcomes, func(_ string, n uint64) bool { return n == 0 })
			if !maps.Equal(outcomes, want) {
				t.Errorf("round %d: outcomes are %v: want %v", round, outcomes, want)
			}
		}
		if s := r.api.Stats(); s.Accepted != n || s.Duplicates != 0 {
			t.Errorf("%d events were accepted, %d of them twice: want %d and 0", s.Accepted, s.Duplicates, n)
		}
	})
}
