package consumer

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/clientevents/clientevents/test/kafkatest"
)

// TestGrowthInRebalance: a rebalance that assigns added partitions before a replica has
// noticed them leaves none of them without state.
func TestGrowthInRebalance(t *testing.T) {
	everywhere(t, func(t *testing.T, c *kafkatest.Cluster) {
		r := newReading(t, c)
		r.publish("old", 2)
		stop := r.run()
		defer stop()
		r.wait(2)
		r.resize(r.topic, 3)
		member, err := kgo.NewClient(kgo.SeedBrokers(c.Brokers...), kgo.Dialer(c.DialContext), kgo.ConsumerGroup(r.group), kgo.ConsumeTopics(r.topic),
			kgo.SessionTimeout(6*time.Second), kgo.DisableAutoCommit())
		if err != nil {
			t.Fatal(err)
		}
		kafkatest.WaitFor(t, 30*time.Second, "a rebalance", func() bool { return len(r.c.member.Status().Partitions) > 1 })
		member.Close()
		r.restored(3)
	})
}

// TestStateTopicLosesPartitions: where the state topic is recreated with fewer partitions,
// the missing ones are named and added while the replica runs.
func TestStateTopicLosesPartitions(t *testing.T) {
	everywhere(t, func(t *testing.T, c *kafkatest.Cluster) {
		r := newReading(t, c)
		r.resize(r.topic, 3)
		stop := r.run()
		defer stop()
		r.restored(3)
		r.log.take() // a broker that had not heard of the new size made it grow at the start
		r.deleteTopic(r.state)
		c.CreateTopic(t, r.state, 1, nil)
		for p := range 3 {
			c.Produce(t, r.topic, kafka.Message{Partition: p, Value: eventWith(p, "")})
		}
		r.wait(3)
		r.committed(1, 1, 1)
		if log := r.log.take(); strings.Count(log, "partitions added to the state topic") != 1 {
			t.Errorf("log: want one line about the added partitions:\n%s", log)
		}
	})
}

// TestRecreatedWithFewerPartitions: the replica reads the new topic, gives up the
// partitions that no longer exist, and is ready.
func TestRecreatedWithFewerPartitions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newReading(t, kafkatest.Bubble(t))
		r.resize(r.topic, 3)
		r.publish("old", 20)
		stop := r.run()
		defer stop()
		r.wait(20)
		r.restored(3)
		r.recreate(time.Second)
		r.publish("new", 5)
		r.wait(25)
		kafkatest.WaitFor(t, 10*time.Second, "the missing partitions to be named", func() bool {
			return slices.ContainsFunc(r.c.Partitions(), func(p PartitionStatus) bool {
				return p.Trouble == TroubleFetch && strings.Contains(p.Detail, "the topic has 1 partition")
			})
		})
		r.restored(1)
		kafkatest.WaitFor(t, time.Minute, "the replica to be ready", func() bool { return r.c.Readiness().State == Ready })
		r.committed(5)
	})
}

// TestRecordsDeletedUnread: what the brokers deleted before it was read is known, and
// reading continues behind it.
func TestRecordsDeletedUnread(t *testing.T) {
	everywhere(t, func(t *testing.T, c *kafkatest.Cluster) {
		r := newReading(t, c)
		stop := r.begin()
		stop()
		if loss := r.c.Loss(); loss != (Loss{}) {
			t.Errorf("lost are %+v, want nothing", loss)
		}
		r.publish("new", 10)
		c.DeleteRecords(t, r.topic, 26)
		stop = r.run()
		r.wait(24)
		stop()
		loss := r.c.Loss()
		if loss.First.IsZero() || loss.First != loss.Last {
			t.Errorf("lost from %v to %v, want one time", loss.First, loss.Last)
		}
		loss.First, loss.Last = time.Time{}, time.Time{}
		if want := (Loss{Offsets: 6, From: 20, To: 26}); loss != want {
			t.Errorf("lost are %+v, want %+v", loss, want)
		}
	})
}

// TestOffsetsSetByOthers: where a client of another kind has set the group's offset, the
// log names both positions.
func TestOffsetsSetByOthers(t *testing.T) {
	everywhere(t, func(t *testing.T, c *kafkatest.Cluster) {
		r := newReading(t, c)
		stop := r.begin()
		stop()
		r.publish("new", 10)
		for _, test := range []struct {
			to, events int
			want       string
		}{
			{25, 25, `set the group's offset ahead; .* finished=20 offset=25`},
			{5, 30, `set the group's offset back; .* finished=30 offset=5`},
		} {
			r.log.take()
			r.setOffset(test.to)
			stop = r.run()
			r.wait(test.events)
			r.committed(30)
			stop()
			if log := r.log.take(); !regexp.MustCompile(test.want).MatchString(log) {
				t.Errorf("log: want %q:\n%s", test.want, log)
			}
		}
		r.log.take()
		r.run()()
		if log := r.log.take(); strings.Contains(log, "another client") {
			t.Errorf("the offset is ours:\n%s", log)
		}
		r.once()
	})
}

// setOffset sets the group's offset as another client does.
func (r *reading) setOffset(to int) {
	r.t.Helper()
	answer, err := r.cluster.Client(r.t).OffsetCommit(r.t.Context(), &kafka.OffsetCommitRequest{
		GroupID: r.group, GenerationID: -1, Topics: map[string][]kafka.OffsetCommit{r.topic: {{Offset: int64(to)}}},
	})
	if err != nil || answer.Topics[r.topic][0].Error != nil {
		r.t.Fatal(err, answer)
	}
}

// TestLettersTopicLosesPartitions: where the dead-letter topic is recreated with fewer
// partitions, the dead letters of all partitions go to those that it has.
func TestLettersTopicLosesPartitions(t *testing.T) {
	everywhere(t, func(t *testing.T, c *kafkatest.Cluster) {
		r := newReading(t, c)
		r.resize(r.topic, 3)
		stop := r.run()
		defer stop()
		r.restored(3)
		r.deleteTopic(r.letters)
		c.CreateTopic(t, r.letters, 1, nil)
		for p := range 3 {
			c.Produce(t, r.topic, kafka.Message{Partition: p, Value: []byte("x")})
		}
		r.committed(1, 1, 1)
		if ends := c.EndOffsets(t, r.letters); !slices.Equal(ends, []int64{3}) {
			t.Errorf("the dead-letter topic ends at %v: want 3 dead letters in one partition", ends)
		}
	})
}

// TestTwoGroupsOneStateTopic: a replica waits while those of another group use its state
// topic, and continues their work when they have ended.
func TestTwoGroupsOneStateTopic(t *testing.T) {
	everywhere(t, func(t *testing.T, c *kafkatest.Cluster) {
		r := newReading(t, c)
		stop := r.begin()
		defer func() { stop() }()
		other := newReading(t, c)
		other.topic, other.state, other.letters = r.topic, r.state, r.letters
		stopOther := other.run()
		defer stopOther()
		kafkatest.WaitFor(t, time.Minute, "the other group to wait", func() bool {
			return slices.ContainsFunc(other.c.Partitions(), func(p PartitionStatus) bool {
				shared, ok := errors.AsType[*SharedStateError](p.Err)
				return ok && shared.Other == r.group && p.Trouble == TroubleRestore
			})
		})
		r.publish("new", 5)
		r.wait(25)
		r.committed(25)
		stop()
		r.publish("newer", 5)
		other.wait(5)
		if other.sink.first("newer") != 5 {
			t.Errorf("the other group reported %v: want only what was published after the first had ended", other.sink.n)
		}
		stopOther()
		stop = r.run()
		r.committed(30)
		r.publish("newest", 5)
		r.wait(30)
	})
}

// TestStateTopicBecomesUnfit: a running replica notices settings of the state topic by
// which it forgets IDs too soon, continues to report, and notices their correction.
func TestStateTopicBecomesUnfit(t *testing.T) {
	everywhere(t, func(t *testing.T, c *kafkatest.Cluster) {
		r := newReading(t, c)
		defer r.begin()()
		reported := 20
		for _, test := range []struct {
			settings map[string]string
			want     string // "" if the topic is fit
		}{
			{map[string]string{"cleanup.policy": "delete"}, `its cleanup.policy is "delete": expected compact`},
			{map[string]string{"cleanup.policy": "compact,delete", "retention.ms": "1800000"}, "it deletes after 30m0s"},
			{map[string]string{"retention.ms": "3600000"}, ""},
			{map[string]string{"retention.ms": "-1"}, ""},
			{map[string]string{"cleanup.policy": "delete"}, `its cleanup.policy is "delete"`},
			{map[string]string{"cleanup.policy": "compact"}, ""},
		} {
			r.configure(r.state, test.settings)
			kafkatest.WaitFor(t, time.Minute, fmt.Sprintf("the settings %v to be noticed", test.settings), func() bool {
				unfit := r.c.StateTopic().Unfit
				return (unfit != nil) == (test.want != "") && (unfit == nil || strings.Contains(unfit.Err.Error(), test.want))
			})
			r.publish("new", reported-20+5)
			reported += 5
			r.wait(reported)
			if state := r.c.Readiness().State; state != Ready {
				t.Errorf("the replica is in state %d: want %d", state, Ready)
			}
		}
		r.once()
	})
}

// configure changes settings of a topic.
func (r *reading) configure(topic string, settings map[string]string) {
	r.t.Helper()
	var entries []kafka.IncrementalAlterConfigsRequestConfig
	for name, value := range settings {
		entries = append(entries, kafka.IncrementalAlterConfigsRequestConfig{Name: name, Value: value, ConfigOperation: kafka.ConfigOperationSet})
	}
	answer, err := r.cluster.Client(r.t).IncrementalAlterConfigs(r.t.Context(), &kafka.IncrementalAlterConfigsRequest{
		Resources: []kafka.IncrementalAlterConfigsRequestResource{{ResourceType: kafka.ResourceTypeTopic, ResourceName: topic, Configs: entries}},
	})
	if err != nil || answer.Resources[0].Error != nil {
		r.t.Fatal(err, answer)
	}
}

func (r *reading) deleteTopic(topic string) {
	r.t.Helper()
	answer, err := r.cluster.Client(r.t).DeleteTopics(r.t.Context(), &kafka.DeleteTopicsRequest{Topics: []string{topic}})
	if err != nil || answer.Errors[topic] != nil {
		r.t.Fatal(err, answer)
	}
}

// resize adds partitions to a topic.
func (r *reading) resize(topic string, partitions int32) {
	r.t.Helper()
	answer, err := r.cluster.Client(r.t).CreatePartitions(r.t.Context(), &kafka.CreatePartitionsRequest{Topics: []kafka.TopicPartitionsConfig{{Name: topic, Count: partitions}}})
	if err != nil || answer.Errors[topic] != nil {
		r.t.Fatal(err, answer)
	}
}

// restored waits until the replica has so many partitions and their state.
func (r *reading) restored(partitions int) {
	r.t.Helper()
	kafkatest.WaitFor(r.t, time.Minute, fmt.Sprintf("%d partitions", partitions), func() bool {
		all := r.c.Partitions()
		return len(all) == partitions && !slices.ContainsFunc(all, func(p PartitionStatus) bool { return !p.Restored })
	})
}
