package app_test

import (
	"encoding/binary"
	"fmt"
	"maps"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/twmb/avro"
	"github.com/twmb/franz-go/pkg/sr"
	"github.com/twmb/franz-go/pkg/sr/srfake"

	"github.com/clientevents/clientevents/consumer"
	"github.com/clientevents/clientevents/emulator"
	"github.com/clientevents/clientevents/test/kafkatest"
)

const viewedSchema = `{"type":"record","name":"Viewed","fields":[{"name":"id","type":"long"},
 {"name":"at","type":{"type":"long","logicalType":"timestamp-millis"}},{"name":"jobs","type":{"type":"array","items":"string"}}]}`

// TestRecordsOfAnotherFormat: Avro with a registry that can't be used for an hour, and
// a mapping that skips records and makes several events of others.
func TestRecordsOfAnotherFormat(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, kafkatest.Bubble(t), 3, emulator.Options{})
		fake := srfake.NewRegistry()
		fake.SeedSchema("viewed", 1, 7, sr.Schema{Schema: viewedSchema})
		var requests atomic.Int64
		var trouble atomic.Int64 // an HTTP status
		trouble.Store(http.StatusUnauthorized)
		registry := http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
			requests.Add(1)
			if status := int(trouble.Load()); status != 0 {
				http.Error(w, "no", status)
				return
			}
			fake.Handler().ServeHTTP(w, req)
		})
		r.configure(t,
			"KAFKA_TOPIC="+r.config.Kafka.Topic, "KAFKA_GROUP="+r.config.Kafka.Group, "API_ENDPOINT="+r.config.API.Endpoint,
			"API_VERSION=v3", "API_PARENT=projects/demo", "API_CREDENTIALS=none", "INPUT_FORMAT=avro", "INPUT_REGISTRY_URL="+r.serve(t, registry),
			`INPUT_MAPPING=.jobs[] as $job | {eventId: event_id(.id; $job), requestId: $key, createTime: .at,
				jobEvent: {type: "IMPRESSION", jobs: ["projects/demo/jobs/" + $job]}}`)
		schema := avro.MustParse(viewedSchema)
		const n = 999
		messages := make([]kafka.Message, n)
		for i := range messages {
			jobs := [][]string{{"a"}, {}, {"a", "b"}}[i%3]
			value, err := schema.Encode(map[string]any{"id": int64(i), "at": time.Now().UnixMilli(), "jobs": jobs})
			if err != nil {
				t.Fatal(err)
			}
			id := uint32(7)
			if i == 500 {
				id = 8
			}
			messages[i] = kafka.Message{
				Key:   []byte(fmt.Sprint("r-", i)),
				Value: append(binary.BigEndian.AppendUint32([]byte{0}, id), value...),
			}
		}
		r.ProduceByKey(t, r.config.Kafka.Topic, messages...)
		replica := r.run(t, nil)

		kafkatest.WaitFor(t, time.Minute, "the registry's trouble to be told", func() bool { return replica.SchemaRegistry() != "" })
		time.Sleep(time.Hour)
		if got := replica.SchemaRegistry(); !strings.HasPrefix(got, "the schema registry: HTTP 401") {
			t.Errorf("the status of the registry is %q", got)
		}
		if replica.finished() != 0 || len(r.ReadAll(t, r.config.Kafka.DeadLetterTopic)) != 0 {
			t.Errorf("%d records have an outcome while the registry rejects the login", replica.finished())
		}
		for _, p := range replica.Consumer().Partitions() {
			if p.Trouble != consumer.TroubleDecode {
				t.Errorf("partition %d has the trouble %q", p.Partition, p.Trouble)
			}
		}
		before := requests.Load()
		trouble.Store(0)
		kafkatest.WaitFor(t, 2*time.Minute, "every record to have its outcome", func() bool { return replica.finished() >= n })
		if err := replica.stop(); err != nil {
			t.Errorf("stop: %v", err)
		}
		outcomes, letters := replica.Consumer().Counts()
		want := map[string]uint64{"reported": 665, "skipped": 333, "dead_letter": 1}
		maps.DeleteFunc(outcomes, func(_ string, n uint64) bool { return n == 0 })
		if !maps.Equal(outcomes, want) || letters["undecodable"] != 1 {
			t.Errorf("outcomes are %v, dead letters %v: want %v", outcomes, letters, want)
		}
		if got := len(r.api.Events()); got != 997 {
			t.Errorf("%d events were reported: want 997", got)
		}
		if after := requests.Load() - before; after > 3 || before > 1000 {
			t.Errorf("%d requests to the registry in the hour, and %d after it", before, after)
		}
	})
}
