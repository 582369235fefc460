package consumer

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/segmentio/kafka-go"
)

// TopicSpec describes a topic to create.
type TopicSpec struct {
	Name       string
	Partitions int
	// Replication is the replication factor; 0 is the brokers' default (Kafka 2.4 or
	// newer).
	Replication int
	// Settings are tried in order until the brokers' policies allow one of them. The
	// first is the best.
	Settings [][]kafka.ConfigEntry
}

// How long created topics keep their records.
const (
	eventRetention   = 7 * 24 * time.Hour
	lettersRetention = 30 * 24 * time.Hour
	forever          = -time.Millisecond // retention.ms=-1
)

// letterRoom is the size that a dead letter may have in addition to its record's:
// that of the dlq headers.
const letterRoom = 64 << 10

// SourceSpec describes a source topic that keeps a week of events.
func SourceSpec(name string, partitions, replication int) TopicSpec {
	return deleting(name, partitions, replication, eventRetention)
}

// ByRequestSpec describes the internal topic that events pass through with input.rekey.
// source has settings of the source topic: the internal topic keeps events for as long,
// but at least a week, for outages of the API. It has room for the event of the largest
// record of the source topic, and for the record that goes with it, whatever their
// compression.
func ByRequestSpec(name string, partitions, replication int, source map[string]string) TopicSpec {
	retention := eventRetention
	if ms, err := strconv.ParseInt(source["retention.ms"], 10, 64); err == nil {
		if ms < 0 || !strings.Contains(source["cleanup.policy"], "delete") {
			retention = forever
		} else {
			retention = max(retention, time.Duration(ms)*time.Millisecond)
		}
	}
	return deleting(name, partitions, replication, retention).withLimit(limitOf(source) + maxCarried)
}

// LettersSpec describes a dead-letter topic. source has settings of the source topic.
// The limits of both topics are for compressed bytes: a record may be small in a batch
// with similar ones, and large alone. So the topic has room for the dead letter of the
// largest record that is read, whatever its compression. Some brokers forbid such a
// limit. Then it has room for the largest batch of the source topic.
func LettersSpec(name string, partitions, replication int, source map[string]string) TopicSpec {
	return deleting(name, partitions, replication, lettersRetention).withLimit(limitOf(source))
}

// deleting describes a topic that keeps its records for a while.
func deleting(name string, partitions, replication int, retention time.Duration) TopicSpec {
	return newSpec(name, partitions, replication,
		[]kafka.ConfigEntry{setting("cleanup.policy", "delete")}, milliseconds("retention.ms", retention))
}

// StateSpec describes a state topic that is as small as the guarantee allows. IDs are
// unique, so compaction alone would keep every ID for ever.
func StateSpec(name string, partitions, replication int, window time.Duration) TopicSpec {
	return newSpec(name, partitions, replication,
		[]kafka.ConfigEntry{setting("cleanup.policy", "compact,delete"), milliseconds("retention.ms", window+window/2+time.Hour)},
		milliseconds("segment.ms", max(time.Hour, window/8)))
}

// newSpec adds the settings that keep acknowledged records when a broker fails. Without
// a known replication factor they are the brokers' own. Where a policy of the brokers
// forbids them or the optional setting, the topic is created without.
func newSpec(name string, partitions, replication int, required []kafka.ConfigEntry, optional kafka.ConfigEntry) TopicSpec {
	all := slices.Concat(required, []kafka.ConfigEntry{optional})
	s := TopicSpec{Name: name, Partitions: partitions, Replication: replication}
	if replication > 0 {
		inSync := setting("min.insync.replicas", strconv.Itoa(min(2, max(1, replication-1))))
		s.Settings = append(s.Settings, slices.Concat(all, []kafka.ConfigEntry{inSync, setting("unclean.leader.election.enable", "false")}))
	}
	s.Settings = append(s.Settings, all, required)
	return s
}

// withLimit adds max.message.bytes to the settings: enough for each record that is read,
// else enough for each batch that the source topic accepts.
func (s TopicSpec) withLimit(sourceLimit int) TopicSpec {
	var settings [][]kafka.ConfigEntry
	for _, limit := range []int{max(sourceLimit, maxRecordBytes) + letterRoom, sourceLimit + letterRoom} {
		for _, entries := range s.Settings {
			settings = append(settings, slices.Concat(entries, []kafka.ConfigEntry{setting("max.message.bytes", strconv.Itoa(limit))}))
		}
	}
	s.Settings = settings
	return s
}

func setting(name, value string) kafka.ConfigEntry {
	return kafka.ConfigEntry{ConfigName: name, ConfigValue: value}
}

func milliseconds(name string, d time.Duration) kafka.ConfigEntry {
	return setting(name, strconv.FormatInt(d.Milliseconds(), 10))
}

// CreateTopic creates a topic. If the topic exists, it fails with
// kafka.TopicAlreadyExists: that topic must be checked.
func CreateTopic(ctx context.Context, client *kafka.Client, s TopicSpec) error {
	return createAny(ctx, client, s, false)
}

// ValidateTopic asks the brokers whether they would create a topic. It creates nothing,
// and fails as [CreateTopic] would.
func ValidateTopic(ctx context.Context, client *kafka.Client, s TopicSpec) error {
	return createAny(ctx, client, s, true)
}

func createAny(ctx context.Context, client *kafka.Client, s TopicSpec, onlyValidate bool) error {
	var err error
	for _, entries := range s.Settings {
		err = createWith(ctx, client, s, entries, onlyValidate)
		if !errors.Is(err, kafka.PolicyViolation) && !errors.Is(err, kafka.InvalidConfiguration) {
			break
		}
	}
	if err != nil {
		return fmt.Errorf("create topic %s: %w", s.Name, withoutCall(err))
	}
	return nil
}

func createWith(ctx context.Context, client *kafka.Client, s TopicSpec, entries []kafka.ConfigEntry, onlyValidate bool) error {
	replication := s.Replication
	if replication == 0 {
		replication = -1 // the brokers' own default
	}
	answer, err := client.CreateTopics(ctx, &kafka.CreateTopicsRequest{ValidateOnly: onlyValidate, Topics: []kafka.TopicConfig{{
		Topic: s.Name, NumPartitions: s.Partitions, ReplicationFactor: replication, ConfigEntries: entries,
	}}})
	if err != nil {
		return err
	}
	return answer.Errors[s.Name]
}

// SourceSettings returns the settings of the source topic on which those of the other
// topics depend; none if they can't be read.
func SourceSettings(ctx context.Context, client *kafka.Client, source string) map[string]string {
	settings, err := TopicConfig(ctx, client, source, "cleanup.policy", "retention.ms", "max.message.bytes")
	if err != nil {
		return nil // a login may lack DescribeConfigs
	}
	return settings
}

// limitOf returns max.message.bytes of the source topic, or Kafka's default if it is not
// known.
func limitOf(source map[string]string) int {
	const kafkaDefault = 1048588
	if n, err := strconv.Atoi(source["max.message.bytes"]); err == nil {
		return n
	}
	return kafkaDefault
}
