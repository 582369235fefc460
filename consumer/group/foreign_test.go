package group

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/clientevents/clientevents/test/kafkatest"
	"github.com/clientevents/clientevents/test/kafkatest/clients"
)

// mixed is a group of a real broker whose members are of several libraries.
type mixed struct {
	t          *testing.T
	c          *kafkatest.Cluster
	topic      string
	partitions int
	name       string
}

func newMixed(t *testing.T, partitions int) *mixed {
	c := kafkatest.Real(t)
	return &mixed{t, c, c.NewTopic(t, "source", partitions), partitions, kafkatest.Name(t, "group")}
}

// ours starts a member of this package.
func (x *mixed) ours() (m *Member, stop func()) {
	transport := &kafka.Transport{ClientID: "ours", MetadataTTL: time.Second, MetadataTopics: []string{x.topic}, Dial: x.c.DialContext}
	x.t.Cleanup(transport.CloseIdleConnections)
	m = New(Config{
		Brokers: x.c.Brokers, Transport: transport, Group: x.name, Topic: x.topic,
		SessionTimeout: 6 * time.Second, HeartbeatInterval: 200 * time.Millisecond, CheckInterval: 500 * time.Millisecond,
		Logger: slog.New(slog.NewTextHandler(x.t.Output(), nil)),
	})
	ctx, cancel := context.WithCancel(context.WithoutCancel(x.t.Context()))
	ended := make(chan error, 1)
	go func() {
		err := m.Run(ctx, &holder{m, x.t})
		leaving, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer cancel()
		_ = m.Leave(leaving)
		ended <- err
	}()
	return m, func() {
		x.t.Helper()
		cancel()
		if err := <-ended; err != nil {
			x.t.Error(err)
		}
	}
}

// java starts a member with Java's consumer.
func (x *mixed) java(topic string, config ...string) *clients.Program {
	x.t.Helper()
	return clients.JavaMember(x.t, topic, append([]string{"bootstrap.servers=" + strings.Join(x.c.Brokers, ","), "group.id=" + x.name, "client.id=java"}, config...)...)
}

// rdkafka starts a member with librdkafka.
func (x *mixed) rdkafka(topic string, config ...string) *clients.Program {
	x.t.Helper()
	return clients.RdkafkaMember(x.t, topic, append([]string{
		"bootstrap.servers=" + strings.Join(x.c.Brokers, ","), "group.id=" + x.name, "client.id=rdkafka",
		"session.timeout.ms=6000", "heartbeat.interval.ms=200", "allow.auto.create.topics=false",
	}, config...)...)
}

// shared waits until each partition has one owner, and each member its share.
func (x *mixed) shared(m *Member, others ...*clients.Program) {
	x.t.Helper()
	share := x.partitions / (len(others) + 1)
	kafkatest.WaitFor(x.t, 40*time.Second, fmt.Sprintf("a share of %d partitions for each of %d members", share, len(others)+1), func() bool {
		all := [][]int32{}
		if m != nil {
			all = append(all, m.Status().Partitions)
		}
		for _, p := range others {
			if err := p.Err(); err != nil {
				x.t.Fatal(err)
			}
			all = append(all, p.Partitions())
		}
		for _, partitions := range all {
			if m != nil && len(partitions) != share {
				return false
			}
		}
		flat := slices.Sorted(slices.Values(slices.Concat(all...)))
		return len(flat) == x.partitions && len(slices.Compact(flat)) == x.partitions
	})
}

// TestCooperativeMembersOfOtherLibraries: Java's and librdkafka's members share the
// partitions with ours, whichever of the three leads. Ours names them.
func TestCooperativeMembersOfOtherLibraries(t *testing.T) {
	t.Parallel()
	x := newMixed(t, 6)
	cooperative := []string{"session.timeout.ms=6000", "heartbeat.interval.ms=200", "partition.assignment.strategy=org.apache.kafka.clients.consumer.CooperativeStickyAssignor"}
	java := x.java(x.topic, cooperative...)
	x.shared(nil, java)
	m, stop := x.ours() // Java's leads
	rdkafka := x.rdkafka(x.topic, "partition.assignment.strategy=cooperative-sticky")
	x.shared(m, java, rdkafka)
	kafkatest.WaitFor(t, 20*time.Second, "both to be named", func() bool {
		s := m.Status()
		return strings.Contains(s.Fault, `client "java" on host 127.0.0.1`) && strings.Contains(s.Fault, `client "rdkafka" on host 127.0.0.1`) && s.Unread && !s.Covered &&
			!slices.ContainsFunc(s.Peers, func(p Peer) bool { return p.Foreign != (p.ClientID != "ours") || len(p.Partitions) != 2 })
	})
	if s := m.Status(); s.Protocol != "cooperative-sticky" || s.Leader {
		t.Errorf("the protocol is %q, and this member leads: %t", s.Protocol, s.Leader)
	}
	java.End(t)
	x.shared(m, rdkafka)
	stop()
	x.shared(nil, rdkafka)
	m, stop = x.ours() // librdkafka's leads
	x.shared(m, rdkafka)
	rdkafka.End(t)
	x.shared(m)
	if s := m.Status(); !s.Leader {
		t.Errorf("the only member does not lead: %+v", s)
	}
	java, rdkafka = x.java(x.topic, cooperative...), x.rdkafka(x.topic, "partition.assignment.strategy=cooperative-sticky")
	x.shared(m, java, rdkafka) // ours leads
	java.End(t)
	rdkafka.End(t)
	x.shared(m)
	kafkatest.WaitFor(t, 20*time.Second, "the fault to end", func() bool { s := m.Status(); return s.Fault == "" && s.Covered && !s.Unread })
	stop()
}

// TestMemberOfTheNewProtocol: a member of the consumer group protocol (KIP-848) is
// named, and its partitions count as unread. Without it, all are read.
func TestMemberOfTheNewProtocol(t *testing.T) {
	t.Parallel()
	x := newMixed(t, 4)
	java := x.java(x.topic, "group.protocol=consumer")
	x.shared(nil, java)
	m, stop := x.ours()
	kafkatest.WaitFor(t, 20*time.Second, "it to be named", func() bool {
		s := m.Status()
		return strings.Contains(s.Fault, `client "java" on host 127.0.0.1, which subscribes to ["`+x.topic+`"] by the new group protocol (KIP-848)`) && s.Unread && !s.Covered
	})
	x.shared(m, java)
	java.End(t)
	x.shared(m)
	kafkatest.WaitFor(t, 20*time.Second, "the fault to end", func() bool { s := m.Status(); return s.Fault == "" && s.Covered && !s.Unread })
	stop()
}

// TestRefusedByOtherMembers: a member that the others' protocol keeps out tells who they
// are, and joins when they are gone.
func TestRefusedByOtherMembers(t *testing.T) {
	t.Parallel()
	x := newMixed(t, 4)
	rdkafka := x.rdkafka(x.topic, "partition.assignment.strategy=roundrobin")
	x.shared(nil, rdkafka)
	m, stop := x.ours()
	kafkatest.WaitFor(t, 20*time.Second, "the refusal", func() bool {
		err := m.Status().Err
		return err != nil && strings.Contains(err.Error(), "Inconsistent Group Protocol") && strings.Contains(err.Error(), `client "rdkafka" on host 127.0.0.1`)
	})
	rdkafka.End(t)
	x.shared(m)
	stop()
}

// TestGrowthUnderForeignLeader: partitions that are added to the topic are read though
// the group's leader consumes another topic.
func TestGrowthUnderForeignLeader(t *testing.T) {
	t.Parallel()
	x := newMixed(t, 2)
	other := x.c.NewTopic(t, "other", 1)
	rdkafka := x.rdkafka(other)
	kafkatest.WaitFor(t, 30*time.Second, "its partition", func() bool { return len(rdkafka.Partitions()) == 1 })
	m, stop := x.ours()
	x.shared(m)
	if s := m.Status(); s.Leader {
		t.Fatal("the foreign member does not lead")
	}
	answer, err := x.c.Client(t).CreatePartitions(t.Context(), &kafka.CreatePartitionsRequest{Topics: []kafka.TopicPartitionsConfig{{Name: x.topic, Count: 5}}})
	if err != nil || answer.Errors[x.topic] != nil {
		t.Fatal(err, answer)
	}
	x.partitions = 5
	x.shared(m)
	kafkatest.WaitFor(t, 20*time.Second, "the foreign member to be named", func() bool {
		s := m.Status()
		return s.Covered && !s.Unread && strings.Contains(s.Fault, `client "rdkafka"`)
	})
	if got := rdkafka.Partitions(); len(got) != 1 {
		t.Errorf("the foreign member has partitions %v: want its own topic's", got)
	}
	rdkafka.End(t)
	stop()
}

// TestRefusedJoin: the status tells why the broker keeps a member out.
func TestRefusedJoin(t *testing.T) {
	for err, want := range map[*kerr.Error]string{
		kerr.InconsistentGroupProtocol: "its members use other protocols than cooperative-sticky and range",
		kerr.GroupIDNotFound:           "group is another kind of group",
	} {
		t.Run(err.Message, func(t *testing.T) {
			bubble(t, 1, func(t *testing.T, w *world) {
				fault := w.cluster.Fake.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.JoinGroup}, Err: err, Count: -1})
				a := w.start("a")
				kafkatest.WaitFor(t, time.Minute, "the refusal", func() bool {
					err := a.m.Status().Err
					return err != nil && strings.Contains(err.Error(), want)
				})
				fault.Remove()
				w.settled(1, a)
				if err := a.m.Status().Err; err != nil {
					t.Errorf("the member has joined, and shows %v", err)
				}
			})
		})
	}
}

// TestRejectedLogin: a login that is rejected after an earlier one was accepted does not
// end the member: a password may be about to be replaced. At the start it does.
func TestRejectedLogin(t *testing.T) {
	bubble(t, 2, func(t *testing.T, w *world) {
		a := w.start("a")
		w.settled(2, a)
		a.reject(true)
		time.Sleep(time.Minute)
		if s := a.m.Status(); s.Err == nil || !strings.Contains(s.Err.Error(), "SASL Authentication Failed") {
			t.Errorf("the member shows %v", s.Err)
		}
		if a.m.Leased(time.Now()) {
			t.Error("the lease has not ended")
		}
		a.reject(false)
		w.settled(2, a)
		if err := a.m.Status().Err; err != nil {
			t.Errorf("the login is accepted, and the member shows %v", err)
		}

		b := w.add("b")
		b.reject(true)
		b.run()
		if err := b.wait(); !errors.Is(err, kafka.SASLAuthenticationFailed) {
			t.Errorf("with a login that was never accepted the member ended with %v", err)
		}
	})
}
