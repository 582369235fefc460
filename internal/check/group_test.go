package check_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/clientevents/clientevents/consumer/group"
	"github.com/clientevents/clientevents/test/kafkatest"
)

// joinStranger makes a client that is no replica a member of a group.
func joinStranger(t *testing.T, c *kafkatest.Cluster, group, topic string) {
	t.Helper()
	stranger, err := kgo.NewClient(kgo.SeedBrokers(c.Brokers...), kgo.ClientID("stranger"), kgo.ConsumerGroup(group), kgo.ConsumeTopics(topic))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(stranger.Close)
	kafkatest.WaitFor(t, 10*time.Second, "the member", func() bool {
		_, generation := stranger.GroupMetadata()
		return generation > 0
	})
}

// TestCheckOfForeignMembers: members that do not read the topic are named.
func TestCheckOfForeignMembers(t *testing.T) {
	c := kafkatest.Embedded(t)
	c.CreateTopic(t, "plain", 1, nil)
	c.CreateTopic(t, "other", 1, nil)
	joinStranger(t, c, "group", "other")
	lines, _ := checkWith(t, "KAFKA_BROKERS="+c.Brokers[0], "KAFKA_TOPIC=plain")
	wantLine(t, lines, "FAIL  group group", `client "stranger" on host`, `"other"`)
}

// TestCheckOfTransactions: an open transaction in the source topic is shown with its age
// and the number of records that it holds back.
func TestCheckOfTransactions(t *testing.T) {
	kafkatest.Each(t, func(t *testing.T, c *kafkatest.Cluster) {
		topic := c.NewTopic(t, "events", 2)
		settings := []string{"KAFKA_BROKERS=" + strings.Join(c.Brokers, ","), "KAFKA_TOPIC=" + topic, "KAFKA_GROUP=" + topic}
		what := "partition 1 of topic " + topic
		for _, test := range []struct {
			age    time.Duration
			result string
		}{{time.Minute, "note  "}, {time.Hour, "FAIL  "}} {
			txn := c.Begin(t)
			txn.Produce(t, topic, kafka.Message{Partition: 1, Value: []byte("x"), Time: time.Now().Add(-test.age)})
			c.Produce(t, topic, kafka.Message{Partition: 1, Value: []byte("y")})
			lines, _ := checkWith(t, settings...)
			wantLine(t, lines, test.result+what, "has been open for "+test.age.String(), "2 records from there on", "An open transaction")
			txn.Commit(t)
		}
		lines, _ := checkWith(t, settings...)
		if text := strings.Join(lines, "\n"); strings.Contains(text, what) {
			t.Errorf("the transactions have ended:\n%s", text)
		}
	})
}

// TestCheckOfCoverage: partitions that the members of the group leave out are a fault,
// and foreign members are named though they read the topic.
func TestCheckOfCoverage(t *testing.T) {
	c := kafkatest.Embedded(t)
	c.CreateTopic(t, "plain", 2, nil)
	settings := []string{"KAFKA_BROKERS=" + c.Brokers[0], "KAFKA_TOPIC=plain"}
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	m := group.New(group.Config{Brokers: c.Brokers, Transport: c.Transport(t), Group: "group", Topic: "plain"})
	ended := make(chan error, 1)
	go func() { ended <- m.Run(ctx, idle{}) }()
	defer func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}()
	kafkatest.WaitFor(t, 10*time.Second, "the replica", func() bool { return len(m.Status().Partitions) == 2 })
	lines, _ := checkWith(t, settings...)
	wantLine(t, lines, "ok    group group", "1 replica is in it; all partitions of topic plain are read")
	answer, err := c.Client(t).CreatePartitions(t.Context(), &kafka.CreatePartitionsRequest{Topics: []kafka.TopicPartitionsConfig{{Name: "plain", Count: 4}}})
	if err != nil || answer.Errors["plain"] != nil {
		t.Fatal(err, answer)
	}
	lines, _ = checkWith(t, settings...) // the replica looks for added partitions every 15 s
	wantLine(t, lines, "FAIL  group group", "no replica reads partitions [2 3] of topic plain")

	joinStranger(t, c, "group", "plain")
	lines, _ = checkWith(t, settings...)
	wantLine(t, lines, "FAIL  group group", `client "stranger" on host`, `"plain"`)
}

// TestCheckInRebalance: brokers leave the metadata of members out while a group
// rebalances, which makes none of them foreign.
func TestCheckInRebalance(t *testing.T) {
	c := kafkatest.Embedded(t)
	c.CreateTopic(t, "plain", 2, nil)
	c.Fake.ControlKey(int16(kmsg.DescribeGroups), func(req kmsg.Request) (kmsg.Response, error, bool) {
		c.Fake.KeepControl()
		answer := req.ResponseKind().(*kmsg.DescribeGroupsResponse)
		g := kmsg.NewDescribeGroupsResponseGroup()
		g.Group, g.State, g.ProtocolType = "group", "PreparingRebalance", "consumer"
		m := kmsg.NewDescribeGroupsResponseGroupMember()
		m.MemberID, m.ClientID, m.ClientHost = "m", "clientevents", "/127.0.0.1"
		g.Members = append(g.Members, m)
		answer.Groups = append(answer.Groups, g)
		return answer, nil, true
	})
	lines, _ := checkWith(t, "KAFKA_BROKERS="+c.Brokers[0], "KAFKA_TOPIC=plain")
	wantLine(t, lines, "note  group group", "it rebalances (PreparingRebalance), with 1 member")
}

// idle is a member's handler that does nothing with its partitions.
type idle struct{}

func (idle) Assigned(map[int32]group.Position) {}
func (idle) Revoked(context.Context, []int32)  {}
func (idle) Lost([]int32)                      {}
func (idle) Grown(context.Context, int) error  { return nil }
