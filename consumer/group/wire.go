package group

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"maps"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol"
	"github.com/segmentio/kafka-go/protocol/describegroups"
	"github.com/segmentio/kafka-go/protocol/findcoordinator"
	"github.com/segmentio/kafka-go/protocol/heartbeat"
	"github.com/segmentio/kafka-go/protocol/joingroup"
	"github.com/segmentio/kafka-go/protocol/leavegroup"
	"github.com/segmentio/kafka-go/protocol/metadata"
	"github.com/segmentio/kafka-go/protocol/offsetcommit"
	"github.com/segmentio/kafka-go/protocol/offsetfetch"
	"github.com/segmentio/kafka-go/protocol/syncgroup"
)

// anyBroker is for requests that each broker answers.
const anyBroker = -1

// message is a request that chooses its own version and broker, and reads its
// own answer. kafka-go would choose the latest version that it knows of; for
// some requests it can't encode that one (Heartbeat 4, SyncGroup 5) or decodes
// the answer's fields in the wrong order (Heartbeat, LeaveGroup).
//
// All versions are those before the compact encoding.
type message struct {
	key      protocol.ApiKey
	least    int16 // the oldest version that serves
	most     int16
	broker   int32
	clientID string
	request  any
	answer   any // a pointer

	version int16
}

var (
	_ protocol.RawExchanger  = (*message)(nil)
	_ protocol.BrokerMessage = (*message)(nil)
)

// ApiKey is named so by protocol.Message.
func (m *message) ApiKey() protocol.ApiKey { return m.key } //nolint:revive // the interface's name

// Broker is the broker that the request is for.
func (m *message) Broker(protocol.Cluster) (protocol.Broker, error) {
	return protocol.Broker{ID: m.broker}, nil
}

// Required takes the exchange over from kafka-go.
func (m *message) Required(versions map[protocol.ApiKey]int16) bool {
	m.version = min(m.most, versions[m.key])
	return true
}

// maxAnswer bounds an answer in bytes: that to a leader has the metadata of all
// members.
const maxAnswer = 64 << 20

// correlation is the id of each request: a connection has one at a time.
const correlation = 1

// RawExchange sends the request and reads the answer.
func (m *message) RawExchange(rw io.ReadWriter) (protocol.Message, error) {
	if m.version < m.least {
		return nil, fmt.Errorf("%w: the broker supports %s up to version %d; expected at least %d", kafka.UnsupportedVersion, m.key, m.version, m.least)
	}
	body, err := protocol.Marshal(m.version, m.request)
	if err != nil {
		return nil, err
	}
	answer, err := exchangeRaw(rw, append(requestHead(m.key, m.version, m.clientID), body...), m.key)
	if err != nil {
		return nil, err
	}
	if err := protocol.Unmarshal(answer, m.version, m.answer); err != nil {
		return nil, fmt.Errorf("unreadable answer to %s: %w", m.key, err)
	}
	if m.throttled() >= mutedFrom {
		return nil, errMuted
	}
	return m, nil
}

// errMuted means that there is an answer, with which the broker throttles the
// connection: it reads no further request from it for that time. The transport closes a
// connection whose exchange fails, so that no other request gets it.
var errMuted = errors.New("the broker throttles the connection")

// mutedFrom is the throttle time from which a new connection is worth its cost.
const mutedFrom = 250 * time.Millisecond

// throttled returns throttle_time_ms of the answer; 0 in versions without it.
func (m *message) throttled() time.Duration {
	field := reflect.ValueOf(m.answer).Elem().FieldByNameFunc(func(name string) bool { return strings.EqualFold(name, "ThrottleTimeMS") })
	if !field.IsValid() {
		return 0
	}
	return time.Duration(field.Int()) * time.Millisecond
}

// requestHead begins a request, with room for its length.
func requestHead(key protocol.ApiKey, version int16, clientID string) []byte {
	b := binary.BigEndian.AppendUint16(make([]byte, 4, 128), uint16(key))
	b = binary.BigEndian.AppendUint16(b, uint16(version))
	return appendString(appendInt32(b, correlation), clientID)
}

// exchangeRaw sends a request, whose length it sets, and reads the answer behind its
// correlation ID.
func exchangeRaw(rw io.ReadWriter, b []byte, key protocol.ApiKey) ([]byte, error) {
	binary.BigEndian.PutUint32(b, uint32(len(b)-4))
	if _, err := rw.Write(b); err != nil {
		return nil, err
	}
	var head [8]byte
	if _, err := io.ReadFull(rw, head[:]); err != nil {
		return nil, err
	}
	size := int64(binary.BigEndian.Uint32(head[:])) - 4
	if got := binary.BigEndian.Uint32(head[4:]); size < 0 || size > maxAnswer || got != correlation {
		return nil, fmt.Errorf("unreadable answer to %s: %d bytes for request %d; expected at most %d for %d", key, size, got, maxAnswer, correlation)
	}
	answer, err := io.ReadAll(io.LimitReader(rw, size))
	if err == nil && int64(len(answer)) < size {
		err = io.ErrUnexpectedEOF
	}
	if err != nil {
		return nil, fmt.Errorf("unreadable answer to %s: %w", key, err)
	}
	return answer, nil
}

// exchange sends a request and waits for its answer, until ctx ends or for limit
// at most. It first waits for as long as the broker asked for before.
func (m *Member) exchange(ctx context.Context, limit time.Duration, msg *message) error {
	if err := m.throttle.wait(ctx, msg.broker); err != nil {
		return err
	}
	// The request itself lasts to its answer or deadline, also when ctx is
	// canceled: it holds a connection until then.
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	msg.clientID = m.cfg.Transport.ClientID
	_, err := m.cfg.Transport.RoundTrip(ctx, m.addr, msg)
	if errors.Is(err, errMuted) {
		err = nil
	}
	if ctx.Err() != nil && err != nil {
		return fmt.Errorf("%s: no answer in time: %w", msg.key, ctx.Err())
	}
	if err != nil {
		return fmt.Errorf("%s: %w", msg.key, err)
	}
	m.loggedIn.Store(true)
	return nil
}

// answered records for how long the broker throttles us, and makes an error of
// the answer's code.
func (m *Member) answered(msg *message, throttleMillis int32, code int16) error {
	m.throttle.begin(msg.broker, time.Duration(throttleMillis)*time.Millisecond)
	if code == 0 {
		return nil
	}
	return fmt.Errorf("%s: %w", msg.key, kafka.Error(code))
}

func (m *Member) askCoordinator(ctx context.Context) (broker int32, err error) {
	var a findcoordinator.Response
	msg := &message{
		key: protocol.FindCoordinator, most: 2, broker: anyBroker,
		request: findcoordinator.Request{Key: m.cfg.Group}, answer: &a,
	}
	if err := m.exchange(ctx, m.cfg.RequestTimeout, msg); err != nil {
		return 0, err
	}
	if err := m.answered(msg, a.ThrottleTimeMs, a.ErrorCode); err != nil {
		return 0, err
	}
	if a.NodeID < 0 {
		return 0, fmt.Errorf("%s: %w: broker %d", msg.key, errInvalid, a.NodeID)
	}
	return a.NodeID, nil
}

// askJoin waits until the rebalance that it starts or takes part in has ended.
// Its answer's member id is valid with MEMBER_ID_REQUIRED, too.
func (m *Member) askJoin(ctx context.Context, id identity, protocols []joingroup.RequestProtocol) (joingroup.Response, error) {
	var a joingroup.Response // the connection may still write it after a failure
	msg := &message{
		key: protocol.JoinGroup, most: 5, broker: id.coordinator, answer: &a,
		request: joingroup.Request{
			GroupID: m.cfg.Group, MemberID: id.member, GroupInstanceID: m.cfg.InstanceID, ProtocolType: "consumer", Protocols: protocols,
			SessionTimeoutMS:   int32(m.cfg.SessionTimeout.Milliseconds()),
			RebalanceTimeoutMS: int32(m.cfg.RebalanceTimeout.Milliseconds()),
		},
	}
	if m.cfg.InstanceID != "" {
		msg.least = 5
	}
	if err := m.exchange(ctx, m.cfg.RebalanceTimeout+m.cfg.RequestTimeout, msg); err != nil {
		return joingroup.Response{}, err
	}
	return a, m.answered(msg, a.ThrottleTimeMS, a.ErrorCode)
}

// askSync waits until the leader has sent the assignments, which are its own
// where this member is the leader.
func (m *Member) askSync(ctx context.Context, id identity, assignments []syncgroup.RequestAssignment) ([]byte, error) {
	var a syncgroup.Response
	msg := &message{
		key: protocol.SyncGroup, most: 3, broker: id.coordinator, answer: &a,
		request: syncgroup.Request{
			GroupID: m.cfg.Group, GenerationID: id.generation, MemberID: id.member, GroupInstanceID: m.cfg.InstanceID, Assignments: assignments,
		},
	}
	if err := m.exchange(ctx, m.cfg.RebalanceTimeout+m.cfg.RequestTimeout, msg); err != nil {
		return nil, err
	}
	return a.Assignments, m.answered(msg, a.ThrottleTimeMS, a.ErrorCode)
}

// heartbeatAnswer has its fields in the protocol's order, which kafka-go's own
// type has not.
type heartbeatAnswer struct {
	ThrottleTimeMS int32 `kafka:"min=v1,max=v3"`
	ErrorCode      int16 `kafka:"min=v0,max=v3"`
}

func (m *Member) askHeartbeat(ctx context.Context, id identity) error {
	var a heartbeatAnswer
	msg := &message{
		key: protocol.Heartbeat, most: 3, broker: id.coordinator, answer: &a,
		request: heartbeat.Request{GroupID: m.cfg.Group, GenerationID: id.generation, MemberID: id.member, GroupInstanceID: m.cfg.InstanceID},
	}
	if err := m.exchange(ctx, m.cfg.RequestTimeout, msg); err != nil {
		return err
	}
	return m.answered(msg, a.ThrottleTimeMS, a.ErrorCode)
}

// leaveAnswer has its fields in the protocol's order, which kafka-go's own type
// has not.
type leaveAnswer struct {
	ThrottleTimeMS int32 `kafka:"min=v1,max=v2"`
	ErrorCode      int16 `kafka:"min=v0,max=v2"`
}

func (m *Member) askLeave(ctx context.Context, id identity) error {
	var a leaveAnswer
	msg := &message{
		key: protocol.LeaveGroup, most: 2, broker: id.coordinator, answer: &a,
		request: leavegroup.Request{GroupID: m.cfg.Group, MemberID: id.member},
	}
	if err := m.exchange(ctx, m.cfg.RequestTimeout, msg); err != nil {
		return err
	}
	return m.answered(msg, a.ThrottleTimeMS, a.ErrorCode)
}

func (m *Member) askCommit(ctx context.Context, id identity, offsets map[int32]int64, metadata string) error {
	const noTimestamp, noEpoch = -1, -1
	topic := offsetcommit.RequestTopic{Name: m.cfg.Topic}
	for _, p := range slices.Sorted(maps.Keys(offsets)) {
		topic.Partitions = append(topic.Partitions, offsetcommit.RequestPartition{
			PartitionIndex: p, CommittedOffset: offsets[p], CommitTimestamp: noTimestamp, CommittedLeaderEpoch: noEpoch,
			CommittedMetadata: metadata,
		})
	}
	var a offsetcommit.Response
	msg := &message{
		key: protocol.OffsetCommit, least: 1, most: 7, broker: id.coordinator, answer: &a,
		request: offsetcommit.Request{
			GroupID: m.cfg.Group, GenerationID: id.generation, MemberID: id.member, GroupInstanceID: m.cfg.InstanceID,
			RetentionTimeMs: -1, Topics: []offsetcommit.RequestTopic{topic},
		},
	}
	if err := m.exchange(ctx, m.cfg.RequestTimeout, msg); err != nil {
		return err
	}
	answered, err := 0, m.answered(msg, a.ThrottleTimeMs, 0)
	for _, t := range a.Topics {
		for _, p := range t.Partitions {
			if _, asked := offsets[p.PartitionIndex]; asked && t.Name == m.cfg.Topic {
				answered++
			}
			if p.ErrorCode != 0 && err == nil {
				err = fmt.Errorf("%s of %s/%d: %w", msg.key, t.Name, p.PartitionIndex, kafka.Error(p.ErrorCode))
			}
		}
	}
	if err == nil && answered != len(offsets) {
		err = fmt.Errorf("%s: %w: it is for %d partitions, expected %d", msg.key, errInvalid, answered, len(offsets))
	}
	return err
}

// askPositions asks for the committed positions of partitions. The offset is -1
// where there is none.
func (m *Member) askPositions(ctx context.Context, coordinator int32, partitions []int32) (map[int32]Position, error) {
	var a offsetfetch.Response
	msg := &message{
		key: protocol.OffsetFetch, least: 1, most: 5, broker: coordinator, answer: &a,
		request: offsetfetch.Request{GroupID: m.cfg.Group, Topics: []offsetfetch.RequestTopic{
			{Name: m.cfg.Topic, PartitionIndexes: partitions},
		}},
	}
	if err := m.exchange(ctx, m.cfg.RequestTimeout, msg); err != nil {
		return nil, err
	}
	if err := m.answered(msg, a.ThrottleTimeMs, a.ErrorCode); err != nil {
		return nil, err
	}
	positions := map[int32]Position{}
	for _, t := range a.Topics {
		for _, p := range t.Partitions {
			if p.ErrorCode != 0 {
				return nil, fmt.Errorf("%s for %s/%d: %w", msg.key, t.Name, p.PartitionIndex, kafka.Error(p.ErrorCode))
			}
			if t.Name == m.cfg.Topic && slices.Contains(partitions, p.PartitionIndex) {
				positions[p.PartitionIndex] = Position{p.CommittedOffset, p.Metadata}
			}
		}
	}
	if len(positions) != len(partitions) {
		return nil, fmt.Errorf("%s: %w: it is for %d partitions, expected %d", msg.key, errInvalid, len(positions), len(partitions))
	}
	return positions, nil
}

// askPartitions asks how many partitions topics have. A topic that does not
// exist has none, and is not created by the question.
func (m *Member) askPartitions(ctx context.Context, topics []string) (map[string]int32, error) {
	var a metadata.Response
	msg := &message{
		key: protocol.Metadata, least: 4, most: 8, broker: anyBroker, answer: &a, // 4 brought AllowAutoTopicCreation
		request: metadata.Request{TopicNames: topics, AllowAutoTopicCreation: false},
	}
	if err := m.exchange(ctx, m.cfg.RequestTimeout, msg); err != nil {
		return nil, err
	}
	err := m.answered(msg, a.ThrottleTimeMs, 0)
	counts := map[string]int32{}
	for _, t := range a.Topics {
		code := kafka.Error(t.ErrorCode)
		switch {
		case code == 0:
			counts[t.Name] = int32(len(t.Partitions))
		case code != kafka.UnknownTopicOrPartition && t.Name == m.cfg.Topic:
			err = fmt.Errorf("%s for %s: %w", msg.key, t.Name, code)
		}
	}
	return counts, err
}

func (m *Member) askGroup(ctx context.Context, coordinator int32) (g describegroups.ResponseGroup, err error) {
	var a describegroups.Response
	msg := &message{
		key: protocol.DescribeGroups, most: 4, broker: coordinator, answer: &a,
		request: describegroups.Request{Groups: []string{m.cfg.Group}},
	}
	if err := m.exchange(ctx, m.cfg.RequestTimeout, msg); err != nil {
		return g, err
	}
	if len(a.Groups) != 1 {
		return g, fmt.Errorf("%s: %w: it is for %d groups", msg.key, errInvalid, len(a.Groups))
	}
	return a.Groups[0], m.answered(msg, a.ThrottleTimeMs, a.Groups[0].ErrorCode)
}

// errInvalid marks an answer that contradicts its request or an earlier answer.
var errInvalid = errors.New("invalid answer")
