// Package topics creates the topics of a configuration.
package topics

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/segmentio/kafka-go"

	"github.com/clientevents/clientevents/consumer"
	"github.com/clientevents/clientevents/internal/check"
	"github.com/clientevents/clientevents/internal/config"
	"github.com/clientevents/clientevents/internal/connect"
)

// Options change how topics are created. The zero value is complete.
type Options struct {
	// Partitions is the number of partitions of the source topic; 0 means
	// [DefaultPartitions]. The other topics have the partitions of the source topic.
	Partitions int
	// Replication is the replication factor of the created topics; 0 means that of the
	// configuration, else 3 or the number of brokers if fewer.
	Replication int
}

const (
	// DefaultPartitions is the default of [Options.Partitions].
	DefaultPartitions = 12
	// usualReplication is the replication factor where there are enough brokers.
	usualReplication = 3
	// limit bounds the requests for one topic.
	limit = 30 * time.Second
)

// Create creates the topics that do not exist, with settings that uphold the
// guarantees, and calls created with the role of each. Existing topics are left as they
// are.
func Create(ctx context.Context, k *connect.Kafka, c *config.Config, o Options, created func(check.Role)) error {
	m, err := newMaker(ctx, k.Client(), c, o)
	if err != nil {
		return err
	}
	source, err := m.ensure(ctx, consumer.SourceSpec(c.Kafka.Topic, m.o.Partitions, m.o.Replication), check.SourceTopic, created)
	if err != nil {
		return err
	}
	settings := consumer.SourceSettings(ctx, m.client, c.Kafka.Topic)
	events := source
	if c.Input.Rekey {
		spec := consumer.ByRequestSpec(c.Kafka.ByRequestTopic(), source, m.o.Replication, settings)
		if events, err = m.ensure(ctx, spec, check.ByRequestTopic, created); err != nil {
			return err
		}
	}
	letters := consumer.LettersSpec(c.Kafka.DeadLetterTopic, source, m.o.Replication, settings)
	if _, err := m.ensure(ctx, letters, check.DeadLetterTopic, created); err != nil {
		return err
	}
	state := consumer.StateSpec(c.Kafka.StateTopic, events, m.o.Replication, c.Dedupe.Window)
	_, err = m.ensure(ctx, state, check.StateTopic, created)
	return err
}

// maker creates topics.
type maker struct {
	client  *kafka.Client
	o       Options
	brokers int
}

func newMaker(ctx context.Context, client *kafka.Client, c *config.Config, o Options) (*maker, error) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	answer, err := client.Metadata(ctx, &kafka.MetadataRequest{Topics: []string{c.Kafka.Topic}})
	if err != nil {
		return nil, err
	}
	m := &maker{client: client, o: o, brokers: len(answer.Brokers)}
	if m.o.Partitions == 0 {
		m.o.Partitions = DefaultPartitions
	}
	if m.o.Replication == 0 {
		m.o.Replication = c.Kafka.StateReplication
	}
	if m.o.Replication == 0 {
		m.o.Replication = max(1, min(usualReplication, m.brokers))
	}
	return m, nil
}

// ensure creates a topic that does not exist, waits until the brokers know it, and
// returns the number of its partitions.
func (m *maker) ensure(ctx context.Context, s consumer.TopicSpec, role check.Role, created func(check.Role)) (partitions int, err error) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	partitions, err = consumer.PartitionCount(ctx, m.client, s.Name)
	if !errors.Is(err, kafka.UnknownTopicOrPartition) {
		return partitions, err
	}
	switch err := consumer.CreateTopic(ctx, m.client, s); {
	case errors.Is(err, kafka.InvalidReplicationFactor):
		return 0, fmt.Errorf("%w: the cluster has %d brokers: set --replication-factor to at most that", err, m.brokers)
	case errors.Is(err, kafka.TopicAlreadyExists):
	case err != nil:
		return 0, err
	default:
		created(role)
	}
	return m.await(ctx, s.Name)
}

// await waits until a new topic is in the metadata.
func (m *maker) await(ctx context.Context, name string) (int, error) {
	for {
		n, err := consumer.PartitionCount(ctx, m.client, name)
		if err == nil || ctx.Err() != nil {
			return n, err
		}
		select {
		case <-ctx.Done():
			return 0, err
		case <-time.After(100 * time.Millisecond):
		}
	}
}
