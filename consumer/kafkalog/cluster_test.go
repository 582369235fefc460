package kafkalog

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/clientevents/clientevents/test/kafkatest"
)

// cluster is a Kafka for a test, with the client under test on one side and franz-go on
// the other.
type cluster struct{ *kafkatest.Cluster }

func embedded(t testing.TB, opts ...kfake.Opt) cluster {
	return cluster{kafkatest.Embedded(t, opts...)}
}

// bubble has two brokers.
func bubble(t testing.TB) cluster { return cluster{kafkatest.Bubble(t, kfake.Ports(9092, 9093))} }

func each(t *testing.T, test func(*testing.T, cluster)) {
	kafkatest.Parallel(t)
	kafkatest.Each(t, func(t *testing.T, c *kafkatest.Cluster) { test(t, cluster{c}) })
}

func (c cluster) client(t testing.TB) *Client { return NewClient(c.Addr(), c.Transport(t)) }

// franz returns a client of franz-go that sends only when it is flushed, so that the
// content of a batch does not depend on timing.
func (c cluster) franz(t testing.TB, opts ...kgo.Opt) *kgo.Client {
	t.Helper()
	cl, err := kgo.NewClient(append([]kgo.Opt{
		kgo.SeedBrokers(c.Brokers...), kgo.Dialer(c.DialContext), kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ManualFlushing(),
	}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cl.Close)
	return cl
}

// topic creates a topic of one partition that no other test uses.
func (c cluster) topic(t testing.TB) string { return c.NewTopic(t, "log", 1) }

// retry calls do until it succeeds, as long as its failure is retriable.
func retry(t testing.TB, do func(context.Context) error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for {
		err := do(ctx)
		switch {
		case err == nil:
			return
		case ctx.Err() != nil || !Retriable(err):
			t.Fatal(err)
		}
		select {
		case <-ctx.Done():
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// produce writes values with franz-go, as one batch where it has written to the topic
// before.
func produce(t testing.TB, cl *kgo.Client, topic string, values ...string) {
	t.Helper()
	records := make([]*kgo.Record, len(values))
	for i, v := range values {
		records[i] = &kgo.Record{Topic: topic, Value: []byte(v)}
	}
	produceBatch(t, cl, records...)
}

func produceBatch(t testing.TB, cl *kgo.Client, records ...*kgo.Record) {
	t.Helper()
	for _, r := range records {
		cl.Produce(t.Context(), r, func(_ *kgo.Record, err error) {
			if err != nil {
				t.Error(err)
			}
		})
	}
	if err := cl.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// readAll fetches from an offset to the end, and checks each batch with checkBatch.
func readAll(t testing.TB, c *Client, req FetchRequest) []Record {
	t.Helper()
	var all []Record
	for fetches := 0; ; fetches++ {
		batch, err := c.Fetch(t.Context(), req)
		if err != nil {
			t.Fatal(err)
		}
		checkBatch(t, req.Offset, batch)
		all = append(all, batch.Records...)
		end := batch.HighWatermark
		if req.ReadCommitted {
			end = batch.LastStableOffset
		}
		if batch.NextOffset >= end {
			return all
		}
		if batch.NextOffset == req.Offset {
			t.Fatalf("the fetch at %d did not continue, and the partition ends at %d", req.Offset, end)
		}
		req.Offset = batch.NextOffset
	}
}

// checkBatch checks that offsets increase from the fetch's to before NextOffset.
func checkBatch(t testing.TB, from int64, batch *Batch) {
	t.Helper()
	if batch.NextOffset < from {
		t.Fatalf("NextOffset is %d after a fetch at %d", batch.NextOffset, from)
	}
	next := from
	for i := range batch.Records {
		if o := batch.Records[i].Offset; o < next || o >= batch.NextOffset {
			t.Fatalf("record %d has offset %d: want %d or more, and less than NextOffset, which is %d", i, o, next, batch.NextOffset)
		}
		next = batch.Records[i].Offset + 1
	}
}

func values(records []Record) []string {
	var vs []string
	for i := range records {
		vs = append(vs, string(records[i].Value))
	}
	return vs
}

func wantError(t testing.TB, got error, want error) {
	t.Helper()
	if !errors.Is(got, want) {
		t.Errorf("got error %v, want %v", got, want)
	}
}
