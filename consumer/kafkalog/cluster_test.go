package kafkalog

import (
	"context"
	"crypto/rand"
	"errors"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// cluster is a Kafka that a test talks to: with the client under test, and with
// franz-go as the other side.
type cluster struct {
	brokers []string
	fake    *kfake.Cluster // nil for a real one
	dial    func(ctx context.Context, network, address string) (net.Conn, error)
}

func embedded(t testing.TB, opts ...kfake.Opt) *cluster {
	return start(t, new(net.Dialer).DialContext, append([]kfake.Opt{kfake.NumBrokers(1)}, opts...))
}

// bubble is embedded on a network that a testing/synctest bubble understands,
// with two brokers.
func bubble(t testing.TB) *cluster {
	network := new(kfake.VirtualNetwork)
	return start(t, network.DialContext, []kfake.Opt{kfake.Ports(9092, 9093), kfake.ListenFn(network.Listen)})
}

func start(t testing.TB, dial func(context.Context, string, string) (net.Conn, error), opts []kfake.Opt) *cluster {
	t.Helper()
	fake, err := kfake.NewCluster(opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(fake.Close)
	return &cluster{brokers: fake.ListenAddrs(), fake: fake, dial: dial}
}

// each runs a test against an embedded broker, and against the real ones that
// KAFKA_BROKERS names.
func each(t *testing.T, test func(*testing.T, *cluster)) {
	t.Run("embedded", func(t *testing.T) { test(t, embedded(t)) })
	t.Run("kafka", func(t *testing.T) {
		brokers := os.Getenv("KAFKA_BROKERS")
		if brokers == "" {
			t.Skip("KAFKA_BROKERS is unset: set it to the host:port of plaintext brokers")
		}
		test(t, &cluster{brokers: strings.Split(brokers, ","), dial: new(net.Dialer).DialContext})
	})
}

func (c *cluster) client(t testing.TB) *Client {
	transport := &kafka.Transport{Dial: c.dial, MetadataTTL: time.Second, ClientID: "kafkalog-test"}
	t.Cleanup(transport.CloseIdleConnections)
	return NewClient(kafka.TCP(c.brokers...), transport)
}

func (c *cluster) franz(t testing.TB, opts ...kgo.Opt) *kgo.Client {
	t.Helper()
	cl, err := kgo.NewClient(append([]kgo.Opt{
		kgo.SeedBrokers(c.brokers...), kgo.Dialer(c.dial), kgo.RecordPartitioner(kgo.ManualPartitioner()),
	}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cl.Close)
	return cl
}

// topic makes a topic of one partition that no other test uses, and waits until
// it has a leader.
func (c *cluster) topic(t testing.TB, configs ...string) string {
	t.Helper()
	name := "kafkalog-" + strings.ToLower(rand.Text())
	topic := kmsg.NewCreateTopicsRequestTopic()
	topic.Topic, topic.NumPartitions, topic.ReplicationFactor = name, 1, 1
	for i := 0; i < len(configs); i += 2 {
		config := kmsg.NewCreateTopicsRequestTopicConfig()
		config.Name, config.Value = configs[i], &configs[i+1]
		topic.Configs = append(topic.Configs, config)
	}
	req := kmsg.NewPtrCreateTopicsRequest()
	req.Topics, req.TimeoutMillis = append(req.Topics, topic), 10_000
	cl := c.franz(t)
	answer, err := req.RequestWith(t.Context(), cl)
	if err == nil {
		err = kerr.ErrorForCode(answer.Topics[0].ErrorCode)
	}
	if err != nil {
		t.Fatalf("create topic %s: %v", name, err)
	}
	t.Cleanup(func() { c.delete(t, name) })
	waitUsable(t, c.client(t), name)
	return name
}

func (c *cluster) delete(t testing.TB, topic string) {
	if c.fake != nil {
		return
	}
	req := kmsg.NewPtrDeleteTopicsRequest()
	req.TopicNames, req.TimeoutMillis = []string{topic}, 10_000
	if _, err := req.RequestWith(context.WithoutCancel(t.Context()), c.franz(t)); err != nil {
		t.Logf("delete topic %s: %v", topic, err)
	}
}

// waitUsable waits until a request for a topic does not fail for want of a
// leader.
func waitUsable(t testing.TB, client *Client, topic string) {
	t.Helper()
	retry(t, func(ctx context.Context) error {
		_, _, err := client.Offsets(ctx, topic, 0)
		return err
	})
}

// retry does something until it succeeds, as long as its failure is retriable.
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

// produce writes records with franz-go, as one batch.
func produce(t testing.TB, cl *kgo.Client, topic string, values ...string) {
	t.Helper()
	records := make([]*kgo.Record, len(values))
	for i, v := range values {
		records[i] = &kgo.Record{Topic: topic, Value: []byte(v)}
	}
	if err := cl.ProduceSync(t.Context(), records...).FirstErr(); err != nil {
		t.Fatal(err)
	}
}

// readAll fetches from an offset until the end, and checks on the way what has
// to hold for every batch.
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
			t.Fatalf("the fetch at %d did not go on, and the partition ends at %d", req.Offset, end)
		}
		req.Offset = batch.NextOffset
	}
}

// checkBatch checks that offsets grow, and lie where they should.
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
