// Package kafkatest provides tests with a Kafka and with helpers that verify its content.
//
// [Embedded] and [Bubble] start a broker inside the test process, the second
// one on a network that works in a testing/synctest bubble; [Real] uses the
// brokers named in KAFKA_BROKERS and skips the test where there are none;
// [Each] runs one test against both kinds.
//
// The helpers that look into the cluster ([Cluster.ReadAll],
// [Cluster.CommittedOffsets], …) use franz-go and not kafka-go, the library of the
// program: a fault of one library can then not hide itself, and franz-go understands
// transactions, control records and compacted logs.
package kafkatest

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
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/kversion"
)

// callLimit bounds one helper's requests. It is generous, since its only purpose is to
// end a test that would otherwise hang.
const callLimit = 60 * time.Second

// Cluster is a Kafka cluster that a test may use. Its methods fail the test
// they are given instead of returning errors, so they must be called from that
// test's own goroutine.
type Cluster struct {
	// Brokers are the addresses (host:port) to bootstrap from.
	Brokers []string
	// Fake is the cluster behind [Embedded] and [Bubble], for its fault hooks
	// (ControlKey, MoveTopicPartition, …). It is nil for a real one.
	Fake *kfake.Cluster

	// InMemory reports whether the cluster was made by [Bubble].
	InMemory bool

	dial func(ctx context.Context, network, address string) (net.Conn, error)
	cl   *kgo.Client
	adm  *kadm.Client
}

// Embedded starts a one-broker cluster in this process on a free loopback port,
// and stops it when t ends. Unknown topics are not created on demand, and
// session timeouts from 100 ms are allowed. Options add to or override that:
// kfake.NumBrokers, kfake.EnableSASL, kfake.TLS, …. With -short and KAFKA_BROKERS it
// skips t, which does not need a real broker.
//
// A cluster with SASL or TLS serves the code under test alone: the helpers of
// this package speak plaintext.
func Embedded(t testing.TB, opts ...kfake.Opt) *Cluster {
	t.Helper()
	skipBesideReal(t)
	return start(t, new(net.Dialer).DialContext, opts)
}

// Bubble is [Embedded] on a network in memory, for use inside a testing/synctest
// bubble, where a goroutine that waits on a real socket would keep the fake
// clock from advancing. More brokers are had with kfake.Ports(9092, 9093, …);
// kfake.NumBrokers does not work here.
//
// Everything under test must dial through [Cluster.DialContext] (which
// [Cluster.Dialer] and [Cluster.Transport] do), and must be closed before the
// bubble ends. Like [Embedded] it may skip t.
func Bubble(t testing.TB, opts ...kfake.Opt) *Cluster {
	t.Helper()
	skipBesideReal(t)
	network := new(kfake.VirtualNetwork)
	opts = append([]kfake.Opt{kfake.Ports(9092), kfake.ListenFn(network.Listen)}, opts...)
	c := start(t, network.DialContext, opts)
	c.InMemory = true
	return c
}

func skipBesideReal(t testing.TB) {
	t.Helper()
	if testing.Short() && os.Getenv("KAFKA_BROKERS") != "" {
		t.Skip("not run with -short and KAFKA_BROKERS: it needs no real broker")
	}
}

// Parallel is t.Parallel where there is a real broker, at which tests mostly wait. Those
// that measure memory with an embedded one run one at a time.
func Parallel(t *testing.T) {
	t.Helper()
	if os.Getenv("KAFKA_BROKERS") != "" {
		t.Parallel()
	}
}

type dialFunc = func(ctx context.Context, network, address string) (net.Conn, error)

func start(t testing.TB, dial dialFunc, opts []kfake.Opt) *Cluster {
	t.Helper()
	defaults := []kfake.Opt{kfake.NumBrokers(1), kfake.GroupMinSessionTimeout(100 * time.Millisecond)}
	fake, err := kfake.NewCluster(append(defaults, opts...)...)
	if err != nil {
		t.Fatalf("start the embedded Kafka broker: %v", err)
	}
	t.Cleanup(fake.Close)
	endRebalances(t, fake)
	return newCluster(t, &Cluster{Brokers: fake.ListenAddrs(), Fake: fake, dial: dial})
}

// Real returns the cluster whose plaintext brokers KAFKA_BROKERS names
// (host:port, separated by commas), and skips t where it names none.
// Topics that [Cluster.CreateTopic] made are deleted when their test ends.
func Real(t testing.TB) *Cluster {
	t.Helper()
	brokers := os.Getenv("KAFKA_BROKERS")
	if brokers == "" {
		t.Skip("not run against Apache Kafka, since KAFKA_BROKERS is unset: `make kafka-test` starts a broker and runs this test against it")
	}
	return At(t, strings.Split(brokers, ",")...)
}

// At is [Real] with the plaintext brokers at these addresses.
func At(t testing.TB, brokers ...string) *Cluster {
	t.Helper()
	return newCluster(t, &Cluster{Brokers: brokers, dial: new(net.Dialer).DialContext})
}

// Each runs test twice: as subtest "embedded" against [Embedded] and as subtest
// "kafka" against [Real].
func Each(t *testing.T, test func(t *testing.T, c *Cluster)) {
	t.Helper()
	t.Run("embedded", func(t *testing.T) { test(t, Embedded(t)) })
	t.Run("kafka", func(t *testing.T) { test(t, Real(t)) })
}

func newCluster(t testing.TB, c *Cluster) *Cluster {
	t.Helper()
	c.cl = c.franz(t)
	c.adm = kadm.NewClient(c.cl)
	return c
}

// franz makes a franz-go client that is closed when t ends.
func (c *Cluster) franz(t testing.TB, opts ...kgo.Opt) *kgo.Client {
	t.Helper()
	// From version 13 on, fetch requests name topics by id; by name is simpler
	// here, and every broker still knows version 12.
	versions := kversion.Stable()
	versions.SetMaxKeyVersion(1, 12)
	defaults := []kgo.Opt{
		kgo.SeedBrokers(c.Brokers...),
		kgo.Dialer(c.dial),
		kgo.MaxVersions(versions),
		kgo.RecordPartitioner(kgo.ManualPartitioner()),
		kgo.MetadataMinAge(50 * time.Millisecond),
	}
	cl, err := kgo.NewClient(append(defaults, opts...)...)
	if err != nil {
		t.Fatalf("make a Kafka client for %v: %v", c.Brokers, err)
	}
	t.Cleanup(cl.Close)
	return cl
}

// DialContext opens a connection to one of the cluster's brokers.
func (c *Cluster) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	return c.dial(ctx, network, address)
}

// Addr returns the brokers in the form of kafka-go's Client and Writer.
func (c *Cluster) Addr() net.Addr { return kafka.TCP(c.Brokers...) }

// Dialer returns a dialer for kafka-go's ConsumerGroup and Conn.
func (c *Cluster) Dialer() *kafka.Dialer {
	return &kafka.Dialer{DialFunc: c.dial, Timeout: 10 * time.Second}
}

// Transport returns a transport for kafka-go's Client and Writer, whose idle
// connections are closed when t ends.
func (c *Cluster) Transport(t testing.TB) *kafka.Transport {
	transport := &kafka.Transport{Dial: c.dial, MetadataTTL: time.Second}
	t.Cleanup(transport.CloseIdleConnections)
	return transport
}

// Client returns a kafka-go client of the cluster, see [Cluster.Transport].
func (c *Cluster) Client(t testing.TB) *kafka.Client {
	return &kafka.Client{Addr: c.Addr(), Transport: c.Transport(t)}
}

// Name returns a topic or group name that no other test uses: t's name, a purpose, and
// a random part.
func Name(t testing.TB, purpose string) string {
	legal := func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '.' || r == '-' {
			return r
		}
		return '-'
	}
	test := strings.Map(legal, t.Name())
	return test[:min(len(test), 150)] + "." + strings.Map(legal, purpose) + "." + strings.ToLower(rand.Text()[:8])
}

// CreateTopic creates a topic and waits until every partition has a leader.
// Configs are topic configurations such as cleanup.policy; nil means none.
func (c *Cluster) CreateTopic(t testing.TB, topic string, partitions int, configs map[string]string) {
	t.Helper()
	values := make(map[string]*string, len(configs))
	for name, value := range configs {
		values[name] = &value
	}
	ctx, cancel := context.WithTimeout(t.Context(), callLimit)
	defer cancel()
	if _, err := c.adm.CreateTopic(ctx, int32(partitions), 1, values, topic); err != nil {
		t.Fatalf("create topic %s: %v", topic, err)
	}
	c.DeleteAfter(t, topic)
	WaitFor(t, callLimit, "leaders for every partition of "+topic, func() bool {
		return len(c.leaders(ctx, topic)) == partitions
	})
}

// NewTopic is [Cluster.CreateTopic] with a name from [Name], which it returns.
func (c *Cluster) NewTopic(t testing.TB, what string, partitions int) string {
	t.Helper()
	topic := Name(t, what)
	c.CreateTopic(t, topic, partitions, nil)
	return topic
}

// DeleteAfter deletes topics when t ends, for those that the code under test
// creates. One that does not exist by then is no fault. Embedded clusters end
// with their test and keep their topics until then.
func (c *Cluster) DeleteAfter(t testing.TB, topics ...string) {
	if c.Fake != nil {
		return
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), callLimit)
		defer cancel()
		deleted, err := c.adm.DeleteTopics(ctx, topics...)
		if err == nil {
			err = deleted.Error()
		}
		if err != nil && !errors.Is(err, kerr.UnknownTopicOrPartition) {
			t.Errorf("delete topics %v: %v", topics, err)
		}
	})
}

// leaders returns the leader's node ID by partition, for the partitions that have one.
func (c *Cluster) leaders(ctx context.Context, topic string) map[int32]int32 {
	metadata, err := c.adm.Metadata(ctx, topic)
	if err != nil {
		return nil
	}
	found := make(map[int32]int32)
	for _, p := range metadata.Topics[topic].Partitions {
		if p.Err == nil && p.Leader >= 0 {
			found[p.Partition] = p.Leader
		}
	}
	return found
}

// WaitFor checks cond every 10 ms, after a second every 100 ms, and fails t if it is not true
// within limit: a minute of a fake clock passes at once but for the checks. In a
// testing/synctest bubble both times are of the fake clock. The event completes the
// sentence "gave up waiting for …".
func WaitFor(t testing.TB, limit time.Duration, event string, cond func() bool) {
	t.Helper()
	began, pause := time.Now(), 10*time.Millisecond
	for ; !cond(); time.Sleep(pause) {
		if err := t.Context().Err(); err != nil {
			t.Fatalf("gave up waiting for %s: %v", event, err)
		}
		waited := time.Since(began)
		if waited > limit {
			t.Fatalf("gave up waiting for %s after %v", event, limit)
		}
		if waited >= time.Second {
			pause = 100 * time.Millisecond
		}
	}
}

// AllowOnly lets a user of a real cluster do only these operations, such as
// "Read", on a topic or, where that is "", on a group or, where that is "" too, on
// the cluster, until t ends.
func (c *Cluster) AllowOnly(t testing.TB, user, topic, group string, operations ...string) {
	t.Helper()
	var ops []kadm.ACLOperation
	for _, name := range operations {
		op, err := kmsg.ParseACLOperation(name)
		if err != nil {
			t.Fatal(err)
		}
		ops = append(ops, op)
	}
	acl := kadm.NewACLs().Allow("User:" + user).AllowHosts("*").Operations(ops...).ResourcePatternType(kadm.ACLPatternLiteral)
	switch {
	case topic != "":
		acl = acl.Topics(topic)
	case group != "":
		acl = acl.Groups(group)
	default:
		acl = acl.Clusters()
	}
	ctx, cancel := context.WithTimeout(t.Context(), callLimit)
	defer cancel()
	results, err := c.adm.CreateACLs(ctx, acl)
	for _, r := range results {
		err = errors.Join(err, r.Err)
	}
	if err != nil {
		t.Fatalf("allow %s only %v: %v", user, operations, err)
	}
	// Until the broker's authorizer knows them, everything is allowed.
	WaitFor(t, callLimit, "ACLs to be in force", func() bool {
		known := 0
		found, err := c.adm.DescribeACLs(ctx, acl)
		for _, r := range found {
			known += len(r.Described)
		}
		return err == nil && known >= len(ops)
	})
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), callLimit)
		defer cancel()
		if _, err := c.adm.DeleteACLs(ctx, acl); err != nil {
			t.Errorf("delete ACLs: %v", err)
		}
	})
}
