package group

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"

	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol"
)

// ErrNoNewGroup means that no group of the consumer group protocol (KIP-848) has the
// name.
var ErrNoNewGroup = errors.New("no group of the consumer group protocol")

// DescribeNew asks the coordinator for the members of a group of the consumer group
// protocol (KIP-848), which DescribeGroups shows as dead. Brokers let members of the
// classic protocol, such as this program's, join it beside others. The fault names the
// members that are not replicas of this program; "" for none.
func DescribeNew(ctx context.Context, transport *kafka.Transport, addr net.Addr, coordinator int32, group, topic string) (peers []Peer, fault string, err error) {
	m := &describeNew{broker: coordinator, clientID: transport.ClientID, group: group, topic: topic}
	if _, err := transport.RoundTrip(ctx, addr, m); err != nil {
		return nil, "", fmt.Errorf("ConsumerGroupDescribe of group %s: %w", group, err)
	}
	return sorted(m.peers), foreigners(m.peers, topic), nil
}

// describeNew is a ConsumerGroupDescribe request. kafka-go does not know it, and its
// table of requests ends before its key.
type describeNew struct {
	broker          int32
	clientID, group string
	topic           string // whose partitions are of interest

	peers []Peer // the answer
}

var (
	_ protocol.RawExchanger  = (*describeNew)(nil)
	_ protocol.BrokerMessage = (*describeNew)(nil)
)

// consumerGroupDescribe is the key of the request. Version 1 (Kafka 4.0) adds each
// member's protocol.
const (
	consumerGroupDescribe    = 69
	consumerGroupDescribeMax = 1
)

// ApiKey is named so by protocol.Message.
func (m *describeNew) ApiKey() protocol.ApiKey { return consumerGroupDescribe } //nolint:revive // the interface's name

// Broker is the group's coordinator.
func (m *describeNew) Broker(protocol.Cluster) (protocol.Broker, error) {
	return protocol.Broker{ID: m.broker}, nil
}

// Required takes the exchange over from kafka-go.
func (m *describeNew) Required(map[protocol.ApiKey]int16) bool { return true }

// RawExchange asks the broker for its newest version first, which kafka-go does not
// report.
func (m *describeNew) RawExchange(rw io.ReadWriter) (protocol.Message, error) {
	version, err := m.newestVersion(rw)
	if err != nil {
		return nil, err
	}
	if version < 0 {
		return nil, ErrNoNewGroup
	}
	version = min(version, consumerGroupDescribeMax)
	const noTags, one, noOperations = 0, 1, 0
	b := append(requestHead(consumerGroupDescribe, version, m.clientID), noTags)
	b = binary.AppendUvarint(b, one+1)
	b = binary.AppendUvarint(b, uint64(len(m.group))+1)
	b = append(append(b, m.group...), noOperations, noTags)
	answer, err := exchangeRaw(rw, b, m.ApiKey())
	if err != nil {
		return nil, err
	}
	return m, m.read(&compactReader{reader{b: answer}}, version)
}

// newestVersion returns the newest version of the request that the broker supports;
// a negative one if it does not support it.
func (m *describeNew) newestVersion(rw io.ReadWriter) (int16, error) {
	answer, err := exchangeRaw(rw, requestHead(protocol.ApiVersions, 0, m.clientID), protocol.ApiVersions)
	if err != nil {
		return 0, err
	}
	r := &reader{b: answer}
	if code := r.int16(); code != 0 {
		return 0, kafka.Error(code)
	}
	newest := int16(-1)
	for range r.count(6) {
		if key, _, highest := r.int16(), r.int16(), r.int16(); key == consumerGroupDescribe {
			newest = highest
		}
	}
	if r.bad {
		return 0, fmt.Errorf("%w to ApiVersions: it ends too early", errInvalid)
	}
	return newest, nil
}

// read reads the answer.
func (m *describeNew) read(r *compactReader, version int16) error {
	r.tags()  // of the response's header
	r.int32() // throttle_time_ms: the question is asked rarely
	if n := r.length(); n != 1 && !r.bad {
		return fmt.Errorf("%w: it is for %d groups", errInvalid, n)
	}
	code := kafka.Error(r.int16())
	r.text() // error message
	r.text() // group ID
	r.text() // state
	r.int32()
	r.int32() // epochs of the group and of the assignment
	r.text()  // assignor
	for range r.length() {
		m.peers = append(m.peers, m.member(r, version))
		if r.bad {
			break
		}
	}
	switch {
	case r.bad:
		return fmt.Errorf("%w: it ends too early", errInvalid)
	case code == kafka.GroupIdNotFound:
		return ErrNoNewGroup
	case code != 0:
		return code
	}
	return nil
}

// member reads a member. Before version 1, members of both protocols look alike.
func (m *describeNew) member(r *compactReader, version int16) Peer {
	p := Peer{MemberID: r.text(), InstanceID: r.text()}
	r.text()  // rack
	r.int32() // epoch
	p.ClientID, p.Host = r.text(), hostOf(r.text())
	for range r.length() {
		p.Topics = append(p.Topics, r.text())
	}
	r.text() // regular expression of topics
	p.Partitions = slices.Sorted(slices.Values(r.assignment(m.topic)))
	r.assignment("") // the one that the member is to have
	if version >= 1 {
		const classic = 0
		p.NewProtocol = r.int8() != classic
	}
	r.tags()
	p.Foreign = p.NewProtocol || !slices.Contains(p.Topics, m.topic) || p.ClientID != m.clientID
	return p
}

// compactReader reads the flexible encoding of the protocol (KIP-482).
type compactReader struct{ reader }

func (r *compactReader) uvarint() uint64 {
	v, n := binary.Uvarint(r.b)
	if n <= 0 {
		r.b, r.bad = nil, true
		return 0
	}
	r.b = r.b[n:]
	return v
}

// length reads a length; 0 for null. It is never more than the bytes that are left.
func (r *compactReader) length() int {
	v := r.uvarint()
	if v > uint64(len(r.b))+1 {
		r.b, r.bad = nil, true
	}
	if r.bad || v == 0 {
		return 0
	}
	return int(v - 1)
}

// text reads a string; "" for null.
func (r *compactReader) text() string { return string(r.bytes(r.length())) }

func (r *compactReader) int8() int8 {
	if b := r.bytes(1); len(b) == 1 {
		return int8(b[0])
	}
	return 0
}

// tags passes over tagged fields.
func (r *compactReader) tags() {
	for range r.uvarint() {
		r.uvarint() // tag
		if size := r.uvarint(); size <= uint64(len(r.b)) {
			r.bytes(int(size))
		} else {
			r.b, r.bad = nil, true
		}
		if r.bad {
			return
		}
	}
}

// assignment reads the partitions of all topics, and returns those of one.
func (r *compactReader) assignment(topic string) (partitions []int32) {
	for range r.length() {
		r.bytes(16) // topic ID
		ours := r.text() == topic
		for range r.length() {
			if p := r.int32(); ours {
				partitions = append(partitions, p)
			}
		}
		if r.tags(); r.bad {
			break
		}
	}
	r.tags()
	return partitions
}
