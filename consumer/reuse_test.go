package consumer

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/clientevents/clientevents/event"
	"github.com/clientevents/clientevents/test/kafkatest"
)

// TestMemoryIsUsedAgainOnlyWhenFinished: the memory of a fetch serves a later one,
// and never before each of its records has its outcome: dead letters of a backlog
// are the records unchanged, though they are written while more is fetched.
func TestMemoryIsUsedAgainOnlyWhenFinished(t *testing.T) {
	for _, codec := range []struct {
		name  string
		codec kgo.CompressionCodec
	}{{"none", kgo.NoCompression()}, {"zstd", kgo.ZstdCompression()}} {
		t.Run(codec.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				const n = 20_000
				cluster := kafkatest.Bubble(t)
				cluster.CreateTopic(t, "events", 2, nil)
				published := refuse(t, cluster, codec.codec, n)
				c, stop := refusing(t, cluster)
				kafkatest.WaitFor(t, time.Minute, "the dead letters", func() bool {
					_, letters := c.Counts()
					return letters[string(event.ReasonMalformed)] == n
				})
				if len(c.budget.spares.batches) == 0 {
					t.Error("no memory is kept for fetches that come")
				}
				stop()
				for _, letter := range cluster.ReadAll(t, "events.dead-letter") {
					key := string(letter.Key)
					if want, ok := published[key]; !ok || !bytes.Equal(letter.Value, want) || headerCarrier(letter.Headers).Get("of") != key {
						t.Fatalf("the dead letter of %q is %q, and was published as %q", key, letter.Value, want)
					}
					delete(published, key)
				}
				if len(published) > 0 {
					t.Errorf("%d records have no dead letter", len(published))
				}
			})
		})
	}
}

// refusing runs a consumer of topic "events", whose records are all at fault. stop
// ends it, and wants it to end well.
func refusing(t *testing.T, cluster *kafkatest.Cluster, adjust ...func(*Config)) (c *Consumer, stop func()) {
	t.Helper()
	return consuming(t, cluster, &hangingSink{}, adjust...)
}

// consuming runs a consumer of topic "events". stop ends it, and wants it to end well.
func consuming(t *testing.T, cluster *kafkatest.Cluster, sink Sink, adjust ...func(*Config)) (c *Consumer, stop func()) {
	t.Helper()
	cfg := Config{
		Brokers: cluster.Brokers, Topic: "events", Group: "group",
		DeadLetterTopic: "events.dead-letter", StateTopic: "events.reported",
		Version:   event.V3,
		Rules:     Rules{Window: time.Hour, ParentsRequired: true, ParentsWait: time.Minute},
		Transport: cluster.Transport(t),
	}
	for _, f := range adjust {
		f(&cfg)
	}
	c = New(cfg, sink)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- c.Run(ctx) }()
	return c, func() {
		t.Helper()
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
}

// refuse publishes n records that are no events, each of its own, and returns
// their values by their keys.
func refuse(t *testing.T, cluster *kafkatest.Cluster, codec kgo.CompressionCodec, n int) map[string][]byte {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(cluster.Brokers...), kgo.Dialer(cluster.DialContext), kgo.ProducerBatchMaxBytes(20_000),
		kgo.DefaultProduceTopic("events"), kgo.ProducerBatchCompression(codec), kgo.MaxBufferedRecords(n), kgo.ProducerLinger(time.Second))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	random := rand.New(rand.NewPCG(1, 1))
	published := map[string][]byte{}
	for i := range n {
		key := fmt.Sprint("key", i)
		published[key] = fmt.Appendf(nil, "not JSON: %0*x", 20+random.IntN(300), random.Uint64())
		client.Produce(t.Context(), &kgo.Record{
			Key: []byte(key), Value: published[key], Headers: []kgo.RecordHeader{{Key: "of", Value: []byte(key)}},
		}, func(_ *kgo.Record, err error) {
			if err != nil {
				t.Error(err)
			}
		})
	}
	if err := client.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	return published
}
