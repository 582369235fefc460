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
	"github.com/clientevents/clientevents/internal/check"
	"github.com/clientevents/clientevents/internal/deadletter"
	"github.com/clientevents/clientevents/internal/find"
	"github.com/clientevents/clientevents/internal/rehearse"
	"github.com/clientevents/clientevents/test/kafkatest"
)

// searchMapping makes an event of each job of a record.
const searchMapping = `.jobs[] as $job | {eventId: (.id + "-" + $job), parentEventId: (if .from then .from + "-" + $job else null end),
	requestId: .search, createTime: .at, jobEvent: {type: .kind, jobs: ["projects/demo/jobs/" + $job]}}`

// rekeyRig is a rig whose source topic is keyed by user.
func rekeyRig(t *testing.T, c *kafkatest.Cluster) *rig {
	t.Helper()
	r := newRig(t, c, 3, emulator.Options{})
	r.configure(t,
		"KAFKA_TOPIC="+r.config.Kafka.Topic, "KAFKA_GROUP="+r.config.Kafka.Group, "API_ENDPOINT="+r.config.API.Endpoint,
		"API_VERSION=v3", "API_PARENT=projects/demo", "API_CREDENTIALS=none", "PARENTS_WAIT=2s", "INPUT_REKEY=true", "INPUT_MAPPING="+searchMapping)
	c.DeleteAfter(t, r.config.Kafka.ByRequestTopic())
	return r
}

func searchRecord(partition int, id, search, kind, from, jobs string) kafka.Message {
	if from != "" {
		from = fmt.Sprintf(`"from":%q,`, from)
	}
	return kafka.Message{
		Partition: partition, Key: fmt.Append(nil, "user-", partition),
		Value: fmt.Appendf(nil, `{"id":%q,"search":%q,"kind":%q,%s"at":%q,"jobs":%s}`, id, search, kind, from, time.Now().UTC().Format(time.RFC3339), jobs),
		Headers: []kafka.Header{
			{Key: "trace", Value: []byte(id)}, {Key: "clientevents-source-key", Value: []byte("the producer's own")},
		},
	}
}

// TestRekey: children and their parents are in different partitions of a source topic,
// and are reported. Dead letters, replays and what find shows refer to the records of
// the source topic.
func TestRekey(t *testing.T) {
	each(t, func(t *testing.T, c *kafkatest.Cluster) {
		r := rekeyRig(t, c)
		topic := r.config.Kafka.Topic
		var messages []kafka.Message
		const searches = 200
		for i := range searches {
			search := fmt.Sprint("search-", i)
			messages = append(messages,
				searchRecord(1, fmt.Sprint("view-", i), search, "VIEW", fmt.Sprint("page-", i), `["a"]`),
				searchRecord(0, fmt.Sprint("page-", i), search, "IMPRESSION", "", `["a","b"]`))
		}
		orphan := searchRecord(2, "orphan", "search-0", "VIEW", "nowhere", `["a","b"]`)
		faulty := searchRecord(2, "faulty", "search-0", "CLICK", "", `["a","b"]`)
		messages = append(messages, orphan, faulty, kafka.Message{Partition: 2, Key: []byte("tombstone")}, searchRecord(2, "none", "s", "VIEW", "", `[]`),
			searchRecord(2, "keyed", "search-0", "IMPRESSION", "", `["a"]`)) // user-2 is in this partition by murmur2
		r.Produce(t, topic, messages...)
		replica := r.run(t, nil)
		want := map[string]uint64{"reported": 3*searches + 1, "dead_letter": 3, "skipped": 2}
		var got map[string]uint64
		kafkatest.WaitFor(t, 2*time.Minute, "every event to have its outcome", func() bool {
			got, _ = replica.Consumer().Counts()
			maps.DeleteFunc(got, func(_ string, n uint64) bool { return n == 0 })
			return maps.Equal(got, want)
		})
		if first := replica.Consumer().First(); len(first.Partitions()) != 3 || len(replica.Consumer().Partitions()) != 3 {
			t.Errorf("the partitions are %+v of the source topic, %+v of the internal one", first.Partitions(), replica.Consumer().Partitions())
		}
		if err := replica.stop(); err != nil {
			t.Errorf("stop: %v", err)
		}
		if n := len(r.api.Events()); n != 3*searches+1 {
			t.Errorf("%d events were reported: expected %d", n, 3*searches+1)
		}
		if got := r.CommittedOffsets(t, r.config.Kafka.Group, topic); !slices.Equal(got, []int64{searches, searches, 5}) {
			t.Errorf("the source offsets committed are %v", got)
		}
		checkByRequest(t, r, 3*searches+3)
		checkRekeyedLetters(t, r, orphan, faulty)
		checkRekeyedTools(t, r)
	})
}

// checkByRequest: the internal topic holds events, keyed by request ID.
func checkByRequest(t *testing.T, r *rig, n int) {
	t.Helper()
	records := r.ReadAll(t, r.config.Kafka.ByRequestTopic())
	if len(records) != n {
		t.Errorf("the internal topic has %d records: expected %d", len(records), n)
	}
	for _, m := range records {
		if !bytes.Contains(m.Value, fmt.Appendf(nil, `"requestId":%q`, m.Key)) {
			t.Fatalf("the record with the key %s is %s", m.Key, m.Value)
		}
	}
}

// checkRekeyedLetters: dead letters have the original key, value, headers and position,
// whichever half wrote them.
func checkRekeyedLetters(t *testing.T, r *rig, orphan, faulty kafka.Message) {
	t.Helper()
	count := map[string]int{}
	for _, l := range r.ReadAll(t, r.config.Kafka.DeadLetterTopic) {
		h := map[string]string{}
		for _, header := range l.Headers {
			h[header.Key] = string(header.Value)
		}
		count[h[consumer.HeaderReason]]++
		want, offset := orphan, "0"
		if h[consumer.HeaderReason] == "invalid_type" {
			want, offset = faulty, "1"
		}
		if !bytes.Equal(l.Key, want.Key) || !bytes.Equal(l.Value, want.Value) || !slices.EqualFunc(l.Headers[:2], want.Headers, func(a, b kafka.Header) bool {
			return a.Key == b.Key && bytes.Equal(a.Value, b.Value)
		}) {
			t.Errorf("a dead letter is %s: %s %v", l.Key, l.Value, l.Headers)
		}
		if h[consumer.HeaderTopic] != r.config.Kafka.Topic || h[consumer.HeaderPartition] != "2" || h[consumer.HeaderOffset] != offset {
			t.Errorf("a dead letter is of %s, partition %s, offset %s", h[consumer.HeaderTopic], h[consumer.HeaderPartition], h[consumer.HeaderOffset])
		}
	}
	if want := map[string]int{"parent_not_found": 2, "invalid_type": 1}; !maps.Equal(count, want) {
		t.Errorf("the dead letters are %v: expected %v", count, want)
	}
}

// checkRekeyedTools: find shows the records of the source topic, and a replay publishes
// each once.
func checkRekeyedTools(t *testing.T, r *rig) {
	t.Helper()
	k := r.connection(t)
	for id, outcome := range map[string]string{"view-7-a": find.Reported, "orphan-a": find.DeadLetterOutcome} {
		events, err := find.Run(t.Context(), k, r.config, find.Query{EventID: id, Partition: map[string]int32{"view-7-a": 1, "orphan-a": 2}[id]})
		if err != nil || len(events) != 1 || events[0].Outcome != outcome || len(events[0].Records) != 1 {
			t.Errorf("find %s: %+v, %v", id, events, err)
		}
	}
	// The state topic is searched in the partition of the request ID.
	for id, outcome := range map[string]string{"keyed-a": find.Reported, "orphan-a": find.DeadLetterOutcome, "unknown": ""} {
		events, err := find.Run(t.Context(), k, r.config, find.Query{EventID: id, Key: []byte("user-2"), Partition: -1})
		if err != nil || (len(events) == 1) != (outcome != "") || len(events) == 1 && events[0].Outcome != outcome {
			t.Errorf("find %s by its key: %+v, %v", id, events, err)
		}
	}
	journey, err := find.Run(t.Context(), k, r.config, find.Query{RequestID: "search-7", Partition: -1})
	if err != nil || len(journey) != 3 || journey[2].Outcome != find.Reported || journey[2].ParentOutcome != find.Reported {
		t.Errorf("find --request-id search-7: %+v, %v", journey, err)
	}
	replayer, err := deadletter.NewReplayer(t.Context(), k, r.config)
	if err != nil {
		t.Fatal(err)
	}
	err = deadletter.Read(t.Context(), k, r.config, deadletter.Filter{}, func(l deadletter.Letter) error { return replayer.Add(t.Context(), l) })
	if err == nil {
		err = replayer.Flush(t.Context())
	}
	if err != nil || replayer.Published != 2 || replayer.Repeated != 1 {
		t.Errorf("%d records were replayed and %d repeated: %v", replayer.Published, replayer.Repeated, err)
	}
	if ends := r.EndOffsets(t, r.config.Kafka.Topic); ends[2] != 7 {
		t.Errorf("the source topic ends at %v after the replay", ends)
	}
}

// TestRekeyNeeded: without input.rekey, a child with its parent in another partition is a
// dead letter that names the partition, and the status says that rekeying would help.
func TestRekeyNeeded(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, kafkatest.Bubble(t), 3, emulator.Options{})
		r.configure(t,
			"KAFKA_TOPIC="+r.config.Kafka.Topic, "KAFKA_GROUP="+r.config.Kafka.Group, "API_ENDPOINT="+r.config.API.Endpoint,
			"API_VERSION=v3", "API_PARENT=projects/demo", "API_CREDENTIALS=none", "PARENTS_WAIT=2s", "INPUT_MAPPING="+searchMapping)
		keyless := searchRecord(2, "keyless", "search-1", "IMPRESSION", "", `["a"]`)
		keyless.Key = nil
		r.Produce(t, r.config.Kafka.Topic, searchRecord(1, "view", "search-0", "VIEW", "page", `["a"]`),
			searchRecord(0, "page", "search-0", "IMPRESSION", "", `["a"]`), searchRecord(1, "orphan", "search-0", "VIEW", "nowhere", `["a"]`), keyless)
		var notes []string
		check.Run(t.Context(), r.config, check.Options{DialKafka: r.DialContext, DialAPI: r.net.DialContext}, func(f check.Finding) { notes = append(notes, f.String()) })
		if said := strings.Join(notes, "\n"); !strings.Contains(said, "of the last 4 records 1 have no key, and 1 of 2 journeys are in several partitions") {
			t.Errorf("check says:\n%s", said)
		}
		replica := r.run(t, nil)
		kafkatest.WaitFor(t, time.Minute, "every record to have its outcome", func() bool { return replica.finished() == 4 })
		if got, want := replica.Consumer().Keying(), (consumer.Keying{WithoutKey: 1, Misplaced: 1, RekeyNeeded: true}); got != want {
			t.Errorf("the keying is %+v: expected %+v", got, want)
		}
		named := 0
		for _, l := range r.ReadAll(t, r.config.Kafka.DeadLetterTopic) {
			for _, h := range l.Headers {
				if h.Key == consumer.HeaderDetail && bytes.Contains(h.Value, []byte("its parent is in partition 0: give all events of a journey one key, or set input.rekey: true")) {
					named++
				}
			}
		}
		if named != 1 {
			t.Errorf("%d dead letters name the partition of the parent: expected 1", named)
		}
	})
}

// TestRehearsalWithRekey: a rehearsal predicts what a run with input.rekey does.
func TestRehearsalWithRekey(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := rekeyRig(t, kafkatest.Bubble(t))
		var messages []kafka.Message
		for i := range 100 {
			search := fmt.Sprint("search-", i)
			messages = append(messages,
				searchRecord(1, fmt.Sprint("view-", i), search, "VIEW", fmt.Sprint("page-", i), `["a"]`),
				searchRecord(0, fmt.Sprint("page-", i), search, "IMPRESSION", "", `["a","b"]`))
		}
		messages = append(messages, searchRecord(2, "orphan", "search-0", "VIEW", "nowhere", `["a"]`), searchRecord(2, "faulty", "s", "CLICK", "", `["a"]`), searchRecord(2, "none", "s", "VIEW", "", `[]`))
		r.Produce(t, r.config.Kafka.Topic, messages...)
		report, err := rehearse.Run(t.Context(), r.connection(t), r.config, rehearse.Options{Last: 1000, Samples: 1})
		if err != nil {
			t.Fatal(err)
		}
		if want := map[string]int64{"reported": 300, "dead_letter": 2, "skipped": 1}; !maps.Equal(report.Outcomes, want) {
			t.Errorf("the outcomes are %v: expected %v", report.Outcomes, want)
		}
		if want := map[string]int64{"parent_not_found": 1, "invalid_type": 1}; !maps.Equal(report.DeadLetters, want) {
			t.Errorf("the dead letters are %v: expected %v", report.DeadLetters, want)
		}
		if x := report.Examples["parent_not_found"]; len(x) != 1 || x[0].Partition != 2 || x[0].Offset != 0 {
			t.Errorf("the example is %+v", x)
		}
	})
}
