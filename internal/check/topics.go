package check

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol"
	"github.com/segmentio/kafka-go/protocol/metadata"

	"github.com/clientevents/clientevents/consumer"
	"github.com/clientevents/clientevents/internal/connect"
)

// Operations in the bits of what a client may do (org.apache.kafka.common.acl.AclOperation).
const (
	opRead            = 3
	opWrite           = 4
	opDescribe        = 8
	opDescribeConfigs = 10
)

var operationNames = map[int]string{opRead: "Read", opWrite: "Write", opDescribe: "Describe", opDescribeConfigs: "DescribeConfigs"}

// lacking names the operations that are not among those allowed.
func lacking(allowed int32, want ...int) string {
	const unknown = -1 << 31 // the broker does not say
	var names []string
	for _, op := range want {
		if allowed != unknown && allowed&(1<<op) == 0 {
			names = append(names, operationNames[op])
		}
	}
	return strings.Join(names, ", ")
}

// checkedTopic is a topic and its purpose.
type checkedTopic struct {
	role      Role
	name, key string
	// made reports whether run creates the topic if it does not exist.
	made bool
	ops  []int
}

func (t *checkedTopic) String() string { return t.role.String() + " " + t.name }

// checkedTopics lists the topics of the configuration.
func (ch *check) checkedTopics() []checkedTopic {
	c := ch.c.Kafka
	topics := []checkedTopic{{SourceTopic, c.Topic, "kafka.topic", false, []int{opRead, opDescribe}}}
	if ch.c.Input.Rekey {
		topics = append(topics, checkedTopic{ByRequestTopic, c.ByRequestTopic(), "input.rekey", true, []int{opRead, opWrite, opDescribe}})
	}
	return append(topics,
		checkedTopic{DeadLetterTopic, c.DeadLetterTopic, "kafka.dead_letter_topic", true, []int{opWrite, opDescribe}},
		checkedTopic{StateTopic, c.StateTopic, "kafka.state_topic", true, []int{opRead, opWrite, opDescribe, opDescribeConfigs}})
}

// topics checks the topics and describes those that the brokers know.
func (ch *check) topics(ctx context.Context, k *connect.Kafka, w *wire) (described []Topic) {
	topics := ch.checkedTopics()
	var names []string
	for _, t := range topics {
		names = append(names, t.name)
	}
	const withOperations = 8
	answer, err := w.call(withOperations, &metadata.Request{TopicNames: names, IncludeTopicAuthorizedOperations: true})
	if err != nil {
		ch.fail("topics", err.Error(), "check the brokers' logs")
		return nil
	}
	known := w.versions[int16(protocol.Metadata)] >= withOperations
	found := map[string]metadata.ResponseTopic{}
	for _, t := range answer.(*metadata.Response).Topics {
		if !known {
			t.TopicAuthorizedOperations = -1 << 31
		}
		found[t.Name] = t
	}
	ch.replicas = ch.countMembers(ctx, k)
	events := len(found[ch.c.EventTopic()].Partitions)
	// The limit of the source topic is compared with that of the dead-letter topic.
	sourceSettings, _ := ch.topicSettings(ctx, k, ch.c.Kafka.Topic)
	for _, t := range topics {
		described = append(described, ch.topic(ctx, k, t, found[t.name], events, sourceSettings))
	}
	return described
}

// topic checks a topic. events is the number of partitions of the topic in which events
// are deduplicated.
func (ch *check) topic(ctx context.Context, k *connect.Kafka, t checkedTopic, m metadata.ResponseTopic, events int, sourceSettings map[string]string) Topic {
	d := Topic{Role: t.role, Name: t.name, Exists: m.ErrorCode == 0, Partitions: len(m.Partitions)}
	if t.made && kafka.Error(m.ErrorCode) == kafka.UnknownTopicOrPartition {
		ch.missing(ctx, k, t, events, sourceSettings)
		return d
	}
	if !ch.usable(t, m) {
		return d
	}
	d.Replication, _, _ = replication(m)
	settings, err := ch.topicSettings(ctx, k, t.name)
	if err != nil {
		// A login that may not ask can still carry events.
		ch.note(t.String(), "its settings can't be read: "+err.Error(), "grant DescribeConfigs on it")
	}
	d.Settings = settings
	if t.role == StateTopic && err == nil && !ch.stateTopic(t, d.Partitions, events, settings) {
		return d
	}
	if t.role != StateTopic && t.made && isCompacted(settings) {
		ch.fail(t.String(), "it is compacted: of "+t.role.content()+" with equal keys only the last would stay", "set its cleanup.policy to delete")
		return d
	}
	if unfit, ok := errors.AsType[*consumer.UnfitTopicError](lettersFault(t, settings, ch.c.Kafka.Topic, sourceSettings)); ok {
		ch.fail(t.String(), unfit.Reason, "raise max.message.bytes of the topic")
		return d
	}
	ch.durability(t, m, settings)
	return d
}

// usable reports whether the topic exists, and this login may use it.
func (ch *check) usable(t checkedTopic, m metadata.ResponseTopic) bool {
	what := t.String()
	switch err := kafka.Error(m.ErrorCode); {
	case err == kafka.UnknownTopicOrPartition:
		ch.fail(what, "does not exist", "create it with 'clientevents topics create' or correct "+t.key)
		return false
	case err == kafka.TopicAuthorizationFailed:
		ch.fail(what, "this login is not authorized to describe it", "grant "+operations(t.ops)+" on it; see ACLs in docs/operations.md")
		return false
	case m.ErrorCode != 0:
		ch.fail(what, err.Error(), "check the brokers' logs")
		return false
	}
	if missing := lacking(m.TopicAuthorizedOperations, t.ops...); missing != "" {
		ch.fail(what, "this login lacks "+missing, "grant it; see ACLs in docs/operations.md")
		return false
	}
	if fault := leaderless(m); fault != "" {
		ch.fail(what, fault, "restart the brokers that have it")
		return false
	}
	return true
}

// stateTopic reports whether the topic keeps the reported events for the window.
func (ch *check) stateTopic(t checkedTopic, partitions, events int, settings map[string]string) bool {
	if partitions < events {
		ch.note(t.String(), fmt.Sprintf("it has %d partitions and the %s has %d", partitions, ch.eventTopic(), events),
			"nothing: run adds them with the permission Alter")
		partitions = events
	}
	err := consumer.CheckStateTopic(t.name, ch.c.EventTopic(), partitions, events, settings, ch.c.Dedupe.Window)
	if err == nil {
		return true
	}
	if unfit, ok := errors.AsType[*consumer.UnfitTopicError](err); ok {
		err = errors.New(unfit.Reason)
	}
	ch.fail(t.String(), err.Error(), "change it, or set kafka.state_topic to another topic")
	return false
}

// eventTopic names the topic in whose partitions events are deduplicated.
func (ch *check) eventTopic() string {
	if ch.c.Input.Rekey {
		return "topic " + ch.c.EventTopic()
	}
	return "source topic " + ch.c.EventTopic()
}

func isCompacted(settings map[string]string) bool {
	return slices.Contains(strings.Split(settings["cleanup.policy"], ","), "compact")
}

// lettersFault compares the limits of the dead-letter topic with those of the source.
func lettersFault(t checkedTopic, settings map[string]string, source string, sourceSettings map[string]string) error {
	if t.role != DeadLetterTopic {
		return nil
	}
	return consumer.CheckLettersTopic(t.name, source, settings, sourceSettings)
}

func operations(ops []int) string {
	var names []string
	for _, op := range ops {
		names = append(names, operationNames[op])
	}
	return strings.Join(names, ", ")
}

func leaderless(m metadata.ResponseTopic) string {
	for _, p := range m.Partitions {
		if p.LeaderID < 0 {
			return fmt.Sprintf("partition %d has no leader: no broker with a replica is up", p.PartitionIndex)
		}
	}
	return ""
}

func (ch *check) topicSettings(ctx context.Context, k *connect.Kafka, topic string) (map[string]string, error) {
	ctx, cancel := context.WithTimeout(ctx, ch.limits.each)
	defer cancel()
	return consumer.TopicConfig(ctx, k.Client(), topic, shownSettings...)
}

// replication returns the fewest replicas of a partition, the fewest that are in sync,
// and the partition that has the latter.
func replication(m metadata.ResponseTopic) (replicas, inSync int, behind int32) {
	replicas, inSync = math.MaxInt, math.MaxInt
	for _, p := range m.Partitions {
		replicas = min(replicas, len(p.ReplicaNodes))
		if n := len(p.IsrNodes); n < inSync {
			inSync, behind = n, p.PartitionIndex
		}
	}
	return replicas, inSync, behind
}

// durability checks whether a topic keeps acknowledged records when a broker fails.
func (ch *check) durability(t checkedTopic, m metadata.ResponseTopic, settings map[string]string) {
	what := t.String()
	replicas, inSync, behind := replication(m)
	least, err := strconv.Atoi(settings["min.insync.replicas"])
	switch {
	case err != nil:
		least = 0
	case t.made && least > replicas:
		ch.fail(what, fmt.Sprintf("min.insync.replicas is %d and it has %s: nothing can be written to it", least, number(replicas, "replica")),
			"add replicas, or lower min.insync.replicas")
		return
	case t.made && least > inSync:
		ch.fail(what, fmt.Sprintf("partition %d has %d replicas in sync, and min.insync.replicas is %d: writes are refused", behind, inSync, least),
			"restart the brokers that have the other replicas")
		return
	}
	ch.ok(what, "%s, %s%s", number(len(m.Partitions), "partition"), number(replicas, "replica"), described(settings))
	lost := map[bool]string{true: "its records", false: "published events"}[t.made]
	switch {
	case replicas == 1:
		ch.note(what, "one replica: "+lost+" can be lost when one broker fails", "use a replication factor of 3, except for a trial")
	case least == 1:
		ch.note(what, "min.insync.replicas is 1: "+lost+" can be lost when one broker fails", "set it to 2; see docs/delivery.md")
	case least == replicas:
		ch.note(what, fmt.Sprintf("min.insync.replicas is %d of %s: no writes while one broker is down", least, number(replicas, "replica")), "lower it by one, or add a replica")
	}
	if settings["unclean.leader.election.enable"] == "true" {
		ch.note(what, "unclean.leader.election.enable is true: "+lost+" can be lost when brokers fail", "set it to false")
	}
	if !t.made && isCompacted(settings) {
		ch.note(what, "it is compacted: it keeps only the last event per key, and a replica that lags misses the others", "set its cleanup.policy to delete")
	}
}

func described(settings map[string]string) string {
	var parts []string
	for _, name := range []string{"min.insync.replicas", "cleanup.policy"} {
		if value := settings[name]; value != "" {
			parts = append(parts, ", "+name+" "+value)
		}
	}
	return strings.Join(parts, "")
}
