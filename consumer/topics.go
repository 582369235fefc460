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

	"github.com/clientevents/clientevents/consumer/kafkalog"
)

// prepareTopics waits for the source topic and creates the other two if they do
// not exist. It fails if the state topic can't uphold the guarantee. It retries
// faults that may be temporary.
func (c *Consumer) prepareTopics(ctx context.Context) error {
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
		// A topic that another replica has just created appears in the next attempt.
		if !errors.Is(err, kafka.TopicAlreadyExists) {
			c.hold(explained)
		}
		c.log.Debug("the topics are not usable yet; trying again", "error", explained)
		if err := pause(ctx, attempt); err != nil {
			return err
		}
	}
}

// distrusted reports whether the broker's certificate is not trusted. At the start
// that means a wrong kafka.tls.ca_file, which waiting does not fix.
func distrusted(err error) bool {
	_, ok := errors.AsType[*tls.CertificateVerificationError](err)
	return ok
}

func (c *Consumer) tryTopics(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	source := c.cfg.Topic
	if c.from != nil {
		source = c.from.topic
	}
	partitions, err := c.partitionCount(ctx, source)
	if errors.Is(err, kafka.UnknownTopicOrPartition) {
		return fmt.Errorf("%w: create it with 'clientevents topics create' or correct kafka.topic", err)
	}
	if err != nil {
		return err
	}
	state := partitions
	if c.cfg.ByRequest != "" {
		rekeyed, err := c.prepareByRequest(ctx, source, partitions)
		if err != nil {
			return err
		}
		state = max(partitions, rekeyed) // both halves write to it
	}
	letters, err := c.partitionCount(ctx, c.cfg.DeadLetterTopic)
	if errors.Is(err, kafka.UnknownTopicOrPartition) {
		letters = partitions
		err = c.createLetters(ctx, source, partitions)
	}
	if err != nil {
		return err
	}
	c.deadLetterPartitions.Store(int64(letters))
	return c.prepareStateTopic(ctx, state)
}

// createLetters creates the dead-letter topic.
func (c *Consumer) createLetters(ctx context.Context, source string, partitions int) error {
	settings := SourceSettings(ctx, c.client, source)
	return c.createTopic(ctx, LettersSpec(c.cfg.DeadLetterTopic, partitions, c.cfg.StateReplication, settings))
}

// CheckLettersTopic compares max.message.bytes of the dead-letter topic with that of the
// source topic, where both are known. It returns an [UnfitTopicError] if records of the
// source topic may not fit.
func CheckLettersTopic(letters, source string, config, sourceConfig map[string]string) error {
	const setting = "max.message.bytes"
	has, err := strconv.Atoi(config[setting])
	accepts, sourceErr := strconv.Atoi(sourceConfig[setting])
	if err != nil || sourceErr != nil || has >= accepts {
		return nil
	}
	return &UnfitTopicError{letters, fmt.Sprintf("its %s is %d and that of the source topic %s is %d: dead letters of large records do not fit. "+
		"Set it to %d or more", setting, has, source, accepts, max(accepts, maxRecordBytes)+letterRoom)}
}

func (c *Consumer) prepareStateTopic(ctx context.Context, partitions int) error {
	got, err := c.partitionCount(ctx, c.cfg.StateTopic)
	if errors.Is(err, kafka.UnknownTopicOrPartition) {
		return c.createTopic(ctx, StateSpec(c.cfg.StateTopic, partitions, c.cfg.StateReplication, c.cfg.Rules.Window))
	}
	if err != nil {
		return err
	}
	if got < partitions {
		// Partitions were added to the source topic while no replica ran.
		if err := c.growStateTopic(ctx, partitions); err != nil {
			return fmt.Errorf("topic %s needs %d partitions, too: %w", c.cfg.StateTopic, partitions, err)
		}
		got = partitions
	}
	config, err := c.topicConfig(ctx, c.cfg.StateTopic, stateSettings...)
	if err != nil {
		return err
	}
	return CheckStateTopic(c.cfg.StateTopic, c.cfg.Topic, got, partitions, config, c.cfg.Rules.Window)
}

// stateSettings are the settings of the state topic that decide for how long it keeps IDs.
var stateSettings = []string{"cleanup.policy", "retention.ms"}

// UnfitTopicError is a topic that exists but can't serve its purpose.
type UnfitTopicError struct {
	Topic  string
	Reason string
}

func (e *UnfitTopicError) Error() string { return fmt.Sprintf("topic %s: %s", e.Topic, e.Reason) }

// CheckStateTopic checks whether a state topic keeps the reported events for the
// window: it has at least as many partitions as the source topic, is compacted, and
// if it also deletes records, not before the window is over.
func CheckStateTopic(state, source string, partitions, sourcePartitions int, config map[string]string, window time.Duration) error {
	unfit := func(format string, args ...any) error {
		return &UnfitTopicError{state, fmt.Sprintf(format, args...)}
	}
	if partitions < sourcePartitions {
		return unfit("it has %d partitions and the source topic %s has %d: each partition needs one of the same number; "+
			"run adds them, or kafka-topics.sh --alter --topic %s --partitions %d",
			partitions, source, sourcePartitions, state, sourcePartitions)
	}
	return checkStateRetention(state, config, window)
}

// checkStateRetention checks whether a state topic keeps each ID for the window.
func checkStateRetention(state string, config map[string]string, window time.Duration) error {
	unfit := func(format string, args ...any) error {
		return &UnfitTopicError{state, fmt.Sprintf(format, args...)}
	}
	policy := strings.Split(config["cleanup.policy"], ",")
	for i := range policy {
		policy[i] = strings.TrimSpace(policy[i])
	}
	if !slices.Contains(policy, "compact") {
		return unfit("its cleanup.policy is %q: expected compact, or compact,delete with a retention.ms of at least dedupe.window (%s)",
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

func (c *Consumer) partitionCount(ctx context.Context, topic string) (int, error) {
	return PartitionCount(ctx, c.client, topic)
}

// missingTopicError is kafka.UnknownTopicOrPartition in fewer words.
type missingTopicError struct{ topic string }

func (e missingTopicError) Error() string   { return "topic " + e.topic + " does not exist" }
func (missingTopicError) Is(err error) bool { return err == kafka.UnknownTopicOrPartition }

// PartitionCount returns the number of partitions of a topic. If the topic does
// not exist, the error is kafka.UnknownTopicOrPartition.
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

// createTopic creates a topic, as [CreateTopic] does, and logs it.
func (c *Consumer) createTopic(ctx context.Context, s TopicSpec) error {
	if err := CreateTopic(ctx, c.client, s); err != nil {
		return err
	}
	c.log.Info("topic created", "topic", s.Name, "partitions", s.Partitions)
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
	if err := answer.Errors[c.cfg.StateTopic]; err != nil {
		return err
	}
	c.log.Info("partitions added to the state topic", "topic", c.cfg.StateTopic, "before", have, "now", partitions)
	return nil
}

// isLacking reports whether a request failed because its topic has fewer partitions than
// this replica knew of.
func isLacking(err error) bool {
	_, lacking := errors.AsType[*kafkalog.NoPartitionError](err)
	return lacking
}

// completeStateTopic adds the partitions that the state topic lacks, if that is why a
// request failed. It lacks some if a rebalance assigned partitions that were added to the
// source topic before this replica noticed them, or if it was recreated. The result is
// the cause, with the reason why none could be added.
func (c *Consumer) completeStateTopic(ctx context.Context, cause error) error {
	if !isLacking(cause) {
		return cause
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	partitions, err := c.partitionCount(ctx, c.cfg.Topic)
	if err == nil {
		err = c.growStateTopic(ctx, partitions)
	}
	if err != nil {
		return fmt.Errorf("%w; could not add it: %w", cause, err)
	}
	return cause
}

// withoutCall removes the prefix of kafka-go's errors, such as
// "kafka.(*Client).Metadata: ", which does not help the reader.
func withoutCall(err error) error {
	if inner := errors.Unwrap(err); inner != nil && strings.HasPrefix(err.Error(), "kafka.(*") {
		return inner
	}
	return err
}

func (c *Consumer) topicConfig(ctx context.Context, topic string, names ...string) (map[string]string, error) {
	return TopicConfig(ctx, c.client, topic, names...)
}

// TopicConfig returns some settings of a topic.
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

// sourceRetention returns how long the source topic keeps records, in seconds;
// +Inf for ever. (It may also delete by size, which does not define a time.)
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
