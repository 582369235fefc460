package kafkalog

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"runtime"
	"sync"

	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol"
)

// Questions for offsets to one broker share a request, as a partition that is assigned
// asks several: those that arrive during a request go with the next. kafka-go would send
// a request for each, over a connection of its own where many partitions ask at once.

// asker combines questions for offsets.
type asker struct {
	client *Client

	mu     sync.Mutex
	queues map[int32]*askQueue // by broker
}

// askQueue holds the questions to one broker. At most one request is in progress.
type askQueue struct {
	waiting []*asking
	running bool
}

// asking is a question for an offset.
type asking struct {
	name      partitionName
	timestamp int64
	done      chan struct{} // closed when there is an answer
	answered  bool
	offset    int64
	err       error
	flight    *askMessage // the request of which it is a part
}

func (a *asking) answer(offset int64, err error) {
	if !a.answered {
		a.answered, a.offset, a.err = true, offset, err
		close(a.done)
	}
}

// ask returns the offset of a partition's time.
func (k *asker) ask(ctx context.Context, name partitionName, timestamp int64) (int64, error) {
	probe := &leaderProbe{topic: name.topic, partition: name.partition}
	if _, err := k.client.roundTrip(ctx, probe); !errors.Is(err, errProbed) {
		return 0, err
	}
	a := &asking{name: name, timestamp: timestamp, done: make(chan struct{})}
	k.add(probe.broker.ID, a)
	select {
	case <-a.done:
		return a.offset, a.err
	case <-ctx.Done():
	}
	k.leave(probe.broker.ID, a)
	if errors.Is(ctx.Err(), context.Canceled) {
		return 0, ctx.Err()
	}
	return 0, errNotInTime
}

func (k *asker) add(broker int32, a *asking) {
	k.mu.Lock()
	defer k.mu.Unlock()
	q := k.queues[broker]
	if q == nil {
		if k.queues == nil {
			k.queues = map[int32]*askQueue{}
		}
		q = &askQueue{}
		k.queues[broker] = q
	}
	q.waiting = append(q.waiting, a)
	if !q.running {
		q.running = true
		go k.run(broker, q)
	}
}

// leave ends the wait for an answer. When nobody waits for a request any more, it ends
// too.
func (k *asker) leave(broker int32, a *asking) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if f := a.flight; f != nil {
		if f.live--; f.live == 0 {
			f.cancel()
		}
		return
	}
	q := k.queues[broker]
	for i := range q.waiting {
		if q.waiting[i] == a {
			q.waiting = append(q.waiting[:i:i], q.waiting[i+1:]...)
			return
		}
	}
}

func (k *asker) run(broker int32, q *askQueue) {
	runtime.Gosched() // partitions that are about to ask share the request
	for {
		f := k.depart(broker, q)
		if f == nil {
			return
		}
		answer, err := k.client.roundTrip(f.ctx, f)
		f.cancel()
		if a, ok := answer.(*askAnswer); err == nil && ok {
			k.note(f, a)
			err = a.read(f.parts)
		}
		for _, a := range f.parts {
			a.answer(0, err)
		}
	}
}

// depart takes the questions of a request: a broker refuses two about the same partition.
func (k *asker) depart(broker int32, q *askQueue) *askMessage {
	k.mu.Lock()
	defer k.mu.Unlock()
	if len(q.waiting) == 0 {
		q.running = false
		return nil
	}
	f := &askMessage{client: k.client, broker: broker}
	named := make(map[partitionName]bool, len(q.waiting))
	var rest []*asking
	for _, a := range q.waiting {
		if named[a.name] {
			rest = append(rest, a)
			continue
		}
		named[a.name], a.flight = true, f
		f.parts = append(f.parts, a)
	}
	q.waiting, f.live = rest, len(f.parts)
	f.ctx, f.cancel = context.WithTimeout(context.Background(), requestTimeout)
	return f
}

func (k *asker) note(f *askMessage, answer *askAnswer) {
	held := make([]throttled, len(f.parts))
	for i, a := range f.parts {
		held[i] = throttled{"ListOffsets", a.name.topic, a.name.partition}
	}
	k.client.throttle.note(answer.throttleMS(), held...)
}

// askMessage is a ListOffsets request. Its parts are of one broker.
type askMessage struct {
	client  *Client
	broker  int32
	ctx     context.Context
	cancel  context.CancelFunc
	live    int // callers that still wait; guarded by asker.mu
	parts   []*asking
	version int16
}

var (
	_ protocol.RawExchanger  = (*askMessage)(nil)
	_ protocol.BrokerMessage = (*askMessage)(nil)
)

// ApiKey is named so by protocol.Message.
func (f *askMessage) ApiKey() protocol.ApiKey { return protocol.ListOffsets } //nolint:revive // the interface's name

// Broker finds the broker that leads the partitions.
func (f *askMessage) Broker(cluster protocol.Cluster) (protocol.Broker, error) {
	return brokerOf(cluster, f.broker)
}

// The versions of the ListOffsets request that this package uses: single offsets exist
// since 1, and 6 has another encoding.
const (
	askMin = 1
	askMax = 5
)

// Required takes the exchange over from kafka-go.
func (f *askMessage) Required(versions map[protocol.ApiKey]int16) bool {
	f.version = min(askMax, versions[protocol.ListOffsets])
	return true
}

// RawExchange sends the request and reads the answer whole.
func (f *askMessage) RawExchange(rw io.ReadWriter) (protocol.Message, error) {
	if f.version < askMin {
		return nil, tooOld("ListOffsets", f.version, askMin, "0.10.1")
	}
	const usualAnswer = 64 << 10
	body, err := exchange(rw, f.encode(), usualAnswer)
	if err != nil {
		return nil, err
	}
	answer := &askAnswer{version: f.version, body: body}
	return unlessMuted(answer, answer.throttleMS())
}

func (f *askMessage) encode() []byte {
	b := make([]byte, 0, 128+20*len(f.parts))
	b = appendHead(b, protocol.ListOffsets, f.version, f.client.correlation.Add(1), f.client.clientID)
	b = appendInt32s(b, -1) // no replica
	if f.version >= 2 {
		b = append(b, 0) // uncommitted: the end is the high watermark
	}
	byTopic := map[string][]*asking{}
	for _, a := range f.parts {
		byTopic[a.name.topic] = append(byTopic[a.name.topic], a)
	}
	b = appendInt32s(b, int32(len(byTopic)))
	for topic, parts := range byTopic {
		b = appendInt32s(appendString(b, topic), int32(len(parts)))
		for _, a := range parts {
			b = appendInt32s(b, a.name.partition)
			if f.version >= 4 {
				b = appendInt32s(b, -1) // leader epoch not known
			}
			b = binary.BigEndian.AppendUint64(b, uint64(a.timestamp))
		}
	}
	setLength(b)
	return b
}

// askAnswer is an answer as it arrived.
type askAnswer struct {
	version int16
	body    []byte
}

// ApiKey is named so by protocol.Message.
func (a *askAnswer) ApiKey() protocol.ApiKey { return protocol.ListOffsets } //nolint:revive // the interface's name

func (a *askAnswer) throttleMS() int32 {
	if a.version < 2 {
		return 0
	}
	r := reader{b: a.body}
	return r.int32()
}

// read answers the questions. It returns an error for those that the answer does not
// name.
func (a *askAnswer) read(parts []*asking) error {
	asked := make(map[partitionName]*asking, len(parts))
	for _, p := range parts {
		asked[p.name] = p
	}
	r := &reader{b: a.body}
	if a.version >= 2 {
		r.skip(4)
	}
	for range max(0, r.int32()) {
		topic := r.string()
		for range max(0, r.int32()) {
			name, code := partitionName{topic, r.int32()}, r.int16()
			r.skip(8) // the time
			offset := r.int64()
			if a.version >= 4 {
				r.skip(4) // leader epoch
			}
			p := asked[name]
			switch {
			case r.bad:
				return fmt.Errorf("%w: it ends too early", errAnswer)
			case p == nil:
			case code != 0:
				p.answer(0, kafka.Error(code))
			default:
				p.answer(offset, nil)
			}
		}
	}
	return fmt.Errorf("%w: it does not name the partition", errAnswer)
}

func brokerOf(cluster protocol.Cluster, id int32) (protocol.Broker, error) {
	broker, ok := cluster.Brokers[id]
	if !ok {
		return protocol.Broker{ID: -1}, fmt.Errorf("broker %d is gone: %w", id, kafka.LeaderNotAvailable)
	}
	return broker, nil
}

// leaderProbe finds a partition's leader in the transport's metadata, and sends nothing.
type leaderProbe struct {
	topic     string
	partition int32
	broker    protocol.Broker
}

var _ protocol.BrokerMessage = (*leaderProbe)(nil)

var errProbed = errors.New("the leader is known")

// ApiKey is named so by protocol.Message.
func (p *leaderProbe) ApiKey() protocol.ApiKey { return protocol.Fetch } //nolint:revive // the interface's name

// Broker finds the leader, and fails in any case.
func (p *leaderProbe) Broker(cluster protocol.Cluster) (protocol.Broker, error) {
	var err error
	if p.broker, err = leaderOf(cluster, p.topic, p.partition); err == nil {
		err = errProbed
	}
	return protocol.Broker{ID: -1}, err
}
