package consumer

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/segmentio/kafka-go"
)

// prepareTopics waits for the source topic, creates the other two where they
// are absent, and refuses to start with a state topic that can't keep the
// promise. What may get better by itself is waited for.
func (c *Consumer) prepareTopics(ctx context.Context) error {
	said := ""
	for attempt := 0; ; attempt++ {
		err := c.tryTopics(ctx)
		if err == nil || ctx.Err() != nil {
			return ctx.Err()
		}
		if _, unfit := errors.AsType[*UnfitTopicError](err); unfit {
			return err
		}
		explained := c.cfg.Explain(ctx, err)
		if hopeless(err) != nil || distrusted(err) {
			return explained
		}
		c.hold(explained)
		// A topic that another replica has just created shows at the next look.
		text, created := explained.Error(), errors.Is(err, kafka.TopicAlreadyExists)
		if text != said && !created || attempt%10 == 9 {
			c.log.Warn("the topics are not usable yet; trying again", "error", explained)
			said = text
		}
		if err := pause(ctx, attempt); err != nil {
			return err
		}
	}
}

// distrusted says whether the broker's certificate is not trusted. At the start
// that is a wrong kafka.tls.ca_file, which no waiting mends.
func distrusted(err error) bool {
	_, ok := errors.AsType[*tls.CertificateVerificationError](err)
	return ok
}

func (c *Consumer) tryTopics(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	partitions, err := c.partitionCount(ctx, c.cfg.Topic)
	if errors.Is(err, kafka.UnknownTopicOrPartition) {
		return fmt.Errorf("%w: create it, or mend kafka.topic", err)
	}
	if err != nil {
		return err
	}
	letters, err := c.partitionCount(ctx, c.cfg.DeadLetterTopic)
	if errors.Is(err, kafka.UnknownTopicOrPartition) {
		letters = partitions
		err = c.createTopic(ctx, c.cfg.DeadLetterTopic, partitions, c.deadLetterConfig(ctx))
	}
	if err != nil {
		return err
	}
	c.deadLetterPartitions.Store(int64(letters))
	return c.prepareStateTopic(ctx, partitions)
}

// letterRoom is how much larger a dead letter may be than its record: the
// headers that say why.
const letterRoom = 64 << 10

// deadLetterConfig makes room for a dead letter of the largest record that the
// source topic takes.
func (c *Consumer) deadLetterConfig(ctx context.Context) []kafka.ConfigEntry {
	const brokerDefault = 1048588
	most := brokerDefault
	if entries, err := c.topicConfig(ctx, c.cfg.Topic, "max.message.bytes"); err == nil {
		if n, err := strconv.Atoi(entries["max.message.bytes"]); err == nil {
			most = n
		}
	}
	return []kafka.ConfigEntry{{ConfigName: "max.message.bytes", ConfigValue: strconv.Itoa(most + letterRoom)}}
}

func (c *Consumer) prepareStateTopic(ctx context.Context, partitions int) error {
	got, err := c.partitionCount(ctx, c.cfg.StateTopic)
	if errors.Is(err, kafka.UnknownTopicOrPartition) {
		return c.createTopic(ctx, c.cfg.StateTopic, partitions, stateConfig(c.cfg.Rules.Window))
	}
	if err != nil {
		return err
	}
	config, err := c.topicConfig(ctx, c.cfg.StateTopic, "cleanup.policy", "retention.ms")
	if err != nil {
		return err
	}
	return CheckStateTopic(c.cfg.StateTopic, c.cfg.Topic, got, partitions, config, c.cfg.Rules.Window)
}

// UnfitTopicError is a topic that exists and can't serve its purpose.
type UnfitTopicError struct {
	Topic  string
	Reason string
}

func (e *UnfitTopicError) Error() string { return fmt.Sprintf("topic %s: %s", e.Topic, e.Reason) }

// CheckStateTopic says whether a state topic can keep what was reported for the
// window: as many partitions as the source topic, compacted, and where it also
// deletes, not before the window is over.
func CheckStateTopic(state, source string, partitions, sourcePartitions int, config map[string]string, window time.Duration) error {
	unfit := func(format string, args ...any) error {
		return &UnfitTopicError{state, fmt.Sprintf(format, args...)}
	}
	if partitions != sourcePartitions {
		return unfit("it has %d partitions and the source topic %s has %d: what was reported is kept in the partition "+
			"of the same number, so give it as many (kafka-topics.sh --alter --topic %s --partitions %d, or delete it and let it be created)",
			partitions, source, sourcePartitions, state, sourcePartitions)
	}
	policy := strings.Split(config["cleanup.policy"], ",")
	for i := range policy {
		policy[i] = strings.TrimSpace(policy[i])
	}
	if !slices.Contains(policy, "compact") {
		return unfit("its cleanup.policy is %q: want compact, or compact,delete with a retention.ms of at least dedupe.window (%s)",
			config["cleanup.policy"], window)
	}
	if slices.Contains(policy, "delete") {
		if ms, err := strconv.ParseInt(config["retention.ms"], 10, 64); err == nil && ms >= 0 && ms < window.Milliseconds() {
			return unfit("it deletes after %s (retention.ms=%d), but ids are remembered for dedupe.window = %s: raise retention.ms to %d or more",
				time.Duration(ms)*time.Millisecond, ms, window, window.Milliseconds())
		}
	}
	return nil
}

// stateConfig keeps a state topic as small as the promise allows: ids are
// unique, so compaction alone would keep every one for ever.
func stateConfig(window time.Duration) []kafka.ConfigEntry {
	return []kafka.ConfigEntry{
		{ConfigName: "cleanup.policy", ConfigValue: "compact,delete"},
		{ConfigName: "retention.ms", ConfigValue: strconv.FormatInt((window + window/2 + time.Hour).Milliseconds(), 10)},
		{ConfigName: "segment.ms", ConfigValue: strconv.FormatInt(max(time.Hour, window/8).Milliseconds(), 10)},
	}
}

func (c *Consumer) partitionCount(ctx context.Context, topic string) (int, error) {
	return PartitionCount(ctx, c.client, topic)
}

// missingTopicError is kafka.UnknownTopicOrPartition in fewer words.
type missingTopicError struct{ topic string }

func (e missingTopicError) Error() string   { return "topic " + e.topic + " does not exist" }
func (missingTopicError) Is(err error) bool { return err == kafka.UnknownTopicOrPartition }

// PartitionCount asks how many partitions a topic has. For a topic that does
// not exist the error is kafka.UnknownTopicOrPartition.
func PartitionCount(ctx context.Context, client *kafka.Client, topic string) (int, error) {
	answer, err := client.Metadata(ctx, &kafka.MetadataRequest{Topics: []string{topic}})
	if err != nil {
		return 0, fmt.Errorf("ask for topic %s: %w", topic, withoutCall(err))
	}
	for _, t := range answer.Topics {
		switch {
		case t.Name != topic:
		case errors.Is(t.Error, kafka.UnknownTopicOrPartition):
			return 0, missingTopicError{topic}
		case t.Error != nil:
			return 0, fmt.Errorf("topic %s: %w", topic, t.Error)
		case len(t.Partitions) > 0:
			return len(t.Partitions), nil
		}
	}
	return 0, missingTopicError{topic}
}

// createTopic creates a topic. Where somebody was quicker it fails with
// kafka.TopicAlreadyExists: what they created has to be looked at.
func (c *Consumer) createTopic(ctx context.Context, topic string, partitions int, config []kafka.ConfigEntry) error {
	replication := c.cfg.StateReplication
	if replication == 0 {
		replication = -1 // the broker's own default, since Kafka 2.4
	}
	answer, err := c.client.CreateTopics(ctx, &kafka.CreateTopicsRequest{Topics: []kafka.TopicConfig{{
		Topic: topic, NumPartitions: partitions, ReplicationFactor: replication, ConfigEntries: config,
	}}})
	if err == nil {
		err = answer.Errors[topic]
	}
	if err != nil {
		return fmt.Errorf("create topic %s: %w", topic, withoutCall(err))
	}
	c.log.Info("topic created", "topic", topic, "partitions", partitions)
	return nil
}

func (c *Consumer) growStateTopic(ctx context.Context, partitions int) error {
	have, err := c.partitionCount(ctx, c.cfg.StateTopic)
	if err != nil || have >= partitions {
		return err
	}
	answer, err := c.client.CreatePartitions(ctx, &kafka.CreatePartitionsRequest{Topics: []kafka.TopicPartitionsConfig{
		{Name: c.cfg.StateTopic, Count: int32(partitions)},
	}})
	if err != nil {
		return withoutCall(err)
	}
	return answer.Errors[c.cfg.StateTopic]
}

// withoutCall takes off what kafka-go puts before its errors, such as
// "kafka.(*Client).Metadata: ": it says nothing to who reads the message.
func withoutCall(err error) error {
	if inner := errors.Unwrap(err); inner != nil && strings.HasPrefix(err.Error(), "kafka.(*") {
		return inner
	}
	return err
}

func (c *Consumer) topicConfig(ctx context.Context, topic string, names ...string) (map[string]string, error) {
	return TopicConfig(ctx, c.client, topic, names...)
}

// TopicConfig asks for some settings of a topic.
func TopicConfig(ctx context.Context, client *kafka.Client, topic string, names ...string) (map[string]string, error) {
	answer, err := client.DescribeConfigs(ctx, &kafka.DescribeConfigsRequest{Resources: []kafka.DescribeConfigRequestResource{
		{ResourceType: kafka.ResourceTypeTopic, ResourceName: topic, ConfigNames: names},
	}})
	if err != nil {
		return nil, fmt.Errorf("ask for the configuration of topic %s: %w", topic, withoutCall(err))
	}
	config := map[string]string{}
	for _, r := range answer.Resources {
		if r.Error != nil {
			return nil, fmt.Errorf("configuration of topic %s: %w", topic, r.Error)
		}
		for _, e := range r.ConfigEntries {
			config[e.ConfigName] = e.ConfigValue
		}
	}
	return config, nil
}

// sourceRetention is for how many seconds the source topic keeps records; +Inf
// for ever. (It may also delete by size, which says nothing of time.)
func (c *Consumer) sourceRetention(ctx context.Context) (seconds float64, err error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	settings, err := c.topicConfig(ctx, c.cfg.Topic, "cleanup.policy", "retention.ms")
	if err != nil {
		return 0, err
	}
	ms, err := strconv.ParseInt(settings["retention.ms"], 10, 64)
	if err != nil {
		return 0, fmt.Errorf("topic %s: retention.ms: %w", c.cfg.Topic, err)
	}
	if ms < 0 || !strings.Contains(settings["cleanup.policy"], "delete") {
		return math.Inf(1), nil
	}
	return float64(ms) / 1000, nil
}
