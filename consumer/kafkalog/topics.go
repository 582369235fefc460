package kafkalog

import (
	"context"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"io"

	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol"
)

// TopicID identifies a topic for as long as it exists: a topic that is deleted and
// created again has another ID. It is zero where the broker is older than Kafka 2.8.
type TopicID [16]byte

// IsZero reports whether the ID is unknown.
func (id TopicID) IsZero() bool { return id == TopicID{} }

// String returns the ID as Kafka's own tools print it.
func (id TopicID) String() string { return base64.RawURLEncoding.EncodeToString(id[:]) }

// Topic describes a topic, as one broker knows it.
type Topic struct {
	Name       string
	ID         TopicID
	Partitions []Partition // in the broker's order
	// Err is nil or a kafka.Error, such as UnknownTopicOrPartition.
	Err error
}

// Partition describes a partition of a Topic.
type Partition struct {
	ID int32
	// Leader is the broker that leads the partition, or -1.
	Leader int32
	// Replicas and InSync count brokers.
	Replicas, InSync int
	// Err is nil or a kafka.Error, such as LeaderNotAvailable.
	Err error
}

// Topics describes topics, in the order of names. It never creates a topic, even
// where the cluster creates topics on demand.
func (c *Client) Topics(ctx context.Context, names ...string) ([]Topic, error) {
	ctx, cancel := withDeadline(ctx, requestTimeout)
	defer cancel()
	var topics []Topic
	var err error
	if len(names) == 1 {
		topics = make([]Topic, 1)
		topics[0], err = c.describer.ask(ctx, names[0], func() (Topic, error) {
			found, err := c.topics(ctx, names)
			if err != nil {
				return Topic{}, err
			}
			return found[0], nil
		})
	} else {
		topics, err = c.topics(ctx, names)
	}
	if err != nil {
		return nil, fmt.Errorf("ask for the metadata of %q: %w", names, err)
	}
	return topics, nil
}

func (c *Client) topics(ctx context.Context, names []string) ([]Topic, error) {
	of := throttled{request: "Metadata"}
	if err := c.throttle.wait(ctx, of); err != nil {
		return nil, err
	}
	m := &metadataMessage{names: names, clientID: c.clientID, correlation: c.correlation.Add(1)}
	message, err := c.roundTrip(ctx, m)
	if err != nil {
		return nil, err
	}
	answer, ok := message.(*metadataAnswer)
	if !ok {
		return nil, fmt.Errorf("%w: it is a %T", errAnswer, message)
	}
	ms, found, err := answer.read()
	if err != nil {
		return nil, err
	}
	c.throttle.note(ms, of)
	topics := make([]Topic, len(names))
	for i, name := range names {
		topics[i] = Topic{Name: name, Err: kafka.UnknownTopicOrPartition}
		for _, t := range found {
			if t.Name == name {
				topics[i] = t
			}
		}
	}
	return topics, nil
}

// The versions of the Metadata request that this package uses: topics are not
// created on demand from 4 (Kafka 0.11) on, 9 changes the encoding, and topic IDs
// come with 10 (Kafka 2.8).
const (
	metadataMin      = 4
	metadataFlexible = 9
	metadataIDs      = 10
)

// metadataMessage is a Metadata request that encodes itself. kafka-go's ends at
// version 8.
type metadataMessage struct {
	names       []string
	clientID    string
	correlation int32
}

var _ protocol.RawExchanger = (*metadataMessage)(nil)

// ApiKey is named so by protocol.Message.
func (m *metadataMessage) ApiKey() protocol.ApiKey { return protocol.Metadata } //nolint:revive // the interface's name

// Required takes the exchange over from kafka-go.
func (m *metadataMessage) Required(map[protocol.ApiKey]int16) bool { return true }

// RawExchange asks the broker for its newest version first: kafka-go reports none
// that it does not use itself.
func (m *metadataMessage) RawExchange(rw io.ReadWriter) (protocol.Message, error) {
	newest, err := askNewest(rw, protocol.Metadata, m.correlation, m.clientID)
	if err != nil {
		return nil, err
	}
	version := min(newest, metadataIDs)
	if version == metadataFlexible {
		version--
	}
	if version < metadataMin {
		return nil, tooOld("Metadata", newest, metadataMin, "0.11")
	}
	const usual = 64 << 10
	body, err := exchange(rw, m.encode(version), usual)
	if err != nil {
		return nil, err
	}
	return &metadataAnswer{version: version, body: body}, nil
}

func (m *metadataMessage) encode(version int16) []byte {
	b := appendHead(nil, protocol.Metadata, version, m.correlation, m.clientID)
	const createTopics, includeOperations = 0, 0
	if version < metadataFlexible {
		b = appendInt32s(b, int32(len(m.names)))
		for _, name := range m.names {
			b = appendString(b, name)
		}
		b = append(b, createTopics)
		if version >= 8 {
			b = append(b, includeOperations, includeOperations)
		}
		setLength(b)
		return b
	}
	b = append(b, noTags) // of the request's header
	b = binary.AppendUvarint(b, uint64(len(m.names))+1)
	for _, name := range m.names {
		b = append(b, make([]byte, 16)...) // no topic ID: by name
		b = binary.AppendUvarint(b, uint64(len(name))+1)
		b = append(append(b, name...), noTags)
	}
	b = append(b, createTopics, includeOperations, includeOperations, noTags)
	setLength(b)
	return b
}

// metadataAnswer is an answer as it arrived.
type metadataAnswer struct {
	version int16
	body    []byte
}

// ApiKey is named so by protocol.Message.
func (a *metadataAnswer) ApiKey() protocol.ApiKey { return protocol.Metadata } //nolint:revive // the interface's name

func (a *metadataAnswer) read() (throttleMS int32, topics []Topic, err error) {
	r := &flexReader{reader: reader{b: a.body}, flexible: a.version >= metadataFlexible}
	r.tags() // of the response's header
	throttleMS = r.int32()
	for range r.length() {
		r.skip(4) // node ID
		r.text()  // host
		r.skip(4) // port
		r.text()  // rack
		r.tags()
	}
	r.text()  // cluster ID
	r.skip(4) // controller
	for range r.length() {
		topics = append(topics, a.topic(r))
		if r.bad {
			break
		}
	}
	if r.bad {
		return 0, nil, fmt.Errorf("%w: it ends too early", errAnswer)
	}
	return throttleMS, topics, nil
}

func (a *metadataAnswer) topic(r *flexReader) Topic {
	t := Topic{Err: codeError(r.int16()), Name: r.text()}
	if a.version >= metadataIDs {
		copy(t.ID[:], r.bytes(int64(len(t.ID))))
	}
	r.skip(1) // internal
	for range r.length() {
		p := Partition{Err: codeError(r.int16()), ID: r.int32(), Leader: r.int32()}
		if a.version >= 7 {
			r.skip(4) // leader epoch
		}
		p.Replicas, p.InSync = r.int32s(), r.int32s()
		if a.version >= 5 {
			r.int32s() // replicas that are offline
		}
		r.tags()
		if r.bad {
			break
		}
		t.Partitions = append(t.Partitions, p)
	}
	if a.version >= 8 {
		r.skip(4) // authorized operations
	}
	r.tags()
	return t
}

func codeError(code int16) error {
	if code == 0 {
		return nil
	}
	return kafka.Error(code)
}
