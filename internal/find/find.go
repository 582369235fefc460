// Package find tells what happened to events: it searches the source topic, the
// dead-letter topic and the state topic. It joins no group and writes nothing.
package find

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"runtime"
	"slices"
	"sync"
	"time"

	"github.com/segmentio/kafka-go"

	"github.com/clientevents/clientevents/consumer"
	"github.com/clientevents/clientevents/consumer/kafkalog"
	"github.com/clientevents/clientevents/consumer/partition"
	"github.com/clientevents/clientevents/event"
	"github.com/clientevents/clientevents/input"
	"github.com/clientevents/clientevents/internal/config"
	"github.com/clientevents/clientevents/internal/connect"
)

// Query says what is searched: one of EventID and RequestID.
type Query struct {
	EventID, RequestID string
	// Partition is the only partition of the source topic that is read, and without
	// input.rekey of the state topic; -1 reads all.
	Partition int32
	// Key is that of the records in the source topic, nil for any. It replaces Partition
	// by the partition of murmur2, the default of Java's clients; records and dead letters
	// with another key are passed over. With input.rekey, the state topic is read in the
	// partitions of the request IDs that were found.
	Key []byte
	// Dial replaces the network to the schema registry; nil uses it.
	Dial connect.DialFunc
}

// Event is what is known of an event.
type Event struct {
	EventID    string `json:"event_id"`
	RequestID  string `json:"request_id,omitempty"`
	ParentID   string `json:"parent_event_id,omitempty"`
	Type       string `json:"type,omitempty"`
	CreateTime string `json:"create_time,omitempty"`
	// Outcome is "reported", "dead_letter" or "unknown": not yet, or not any more.
	Outcome string `json:"outcome"`
	// Reported is when the API accepted the event.
	Reported time.Time `json:"reported,omitzero"`
	// ParentOutcome is the outcome of the parent, if there is one.
	ParentOutcome string `json:"parent_outcome,omitempty"`
	// Records are those of the source topic that hold the event.
	Records     []Record     `json:"records,omitempty"`
	DeadLetters []DeadLetter `json:"dead_letters,omitempty"`
}

// Record is a record of the source topic.
type Record struct {
	Partition int32     `json:"partition"`
	Offset    int64     `json:"offset"`
	Key       string    `json:"key,omitempty"`
	Published time.Time `json:"time,omitzero"` // when it was published
}

// DeadLetter is a record of the dead-letter topic.
type DeadLetter struct {
	Partition int32     `json:"partition"`
	Offset    int64     `json:"offset"`
	Reason    string    `json:"reason"`
	Detail    string    `json:"detail"`
	Written   time.Time `json:"time,omitzero"`
	// SourcePartition and SourceOffset are of the source topic, as the dead letter has them.
	SourcePartition string `json:"source_partition"`
	SourceOffset    string `json:"source_offset"`
}

// The outcomes of an event.
const (
	Reported          = "reported"
	DeadLetterOutcome = "dead_letter"
	Unknown           = "unknown"
)

// Run searches. It returns the events in the order of their create times; none if
// nothing is known.
func Run(ctx context.Context, k *connect.Kafka, c *config.Config, q Query) ([]*Event, error) {
	decoding := c.Decoding()
	decoding.Dial = q.Dial
	decoder, err := input.New(decoding)
	if err != nil {
		return nil, err
	}
	s := &search{
		q: q, c: c, client: k.Client(), log: kafkalog.NewClient(k.Addr, k.Transport), decoder: decoder,
		events: map[string]*Event{}, states: map[partition.Key]consumer.ReportedEvent{},
	}
	if q.EventID != "" {
		s.event(q.EventID)
	}
	in := partitions(nil)
	if q.Partition >= 0 {
		in = partitions{q.Partition: true}
	}
	if q.Key != nil {
		n, err := consumer.PartitionCount(ctx, s.client, c.Kafka.Topic)
		if err != nil {
			return nil, err
		}
		in = partitions{partitionOf(q.Key, n): true}
	}
	if err := s.scan(ctx, c.Kafka.Topic, in, s.source); err != nil {
		return nil, err
	}
	if err := s.scan(ctx, c.Kafka.DeadLetterTopic, nil, s.deadLetter); err != nil && !isMissing(err) {
		return nil, err
	}
	if c.Input.Rekey {
		if in, err = s.rekeyed(ctx); err != nil {
			return nil, err
		}
	}
	if err := s.scan(ctx, c.Kafka.StateTopic, in, s.state); err != nil && !isMissing(err) {
		return nil, err
	}
	return s.result(), nil
}

// partitions are those of a topic that are read; nil reads all.
type partitions map[int32]bool

// partitionOf returns the partition of a key in a topic of n partitions.
func partitionOf(key []byte, n int) int32 {
	all := make([]int, n)
	for i := range all {
		all[i] = i
	}
	return consumer.PartitionOf(key, all)
}

// rekeyed returns the partitions of the internal topic of input.rekey, and so of the state
// topic, that hold what is searched. Without a key and a request ID, the ID may have been
// reported in any.
func (s *search) rekeyed(ctx context.Context) (partitions, error) {
	if s.q.Key == nil && s.q.RequestID == "" {
		return nil, nil
	}
	n, err := consumer.PartitionCount(ctx, s.client, s.c.Kafka.ByRequestTopic())
	if isMissing(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return s.homes(n), nil
}

// homes returns the partitions of the request IDs that were found, of n; nil if the
// request ID of an event is not known.
func (s *search) homes(n int) partitions {
	in := partitions{}
	for _, e := range s.events {
		if e.RequestID == "" {
			return nil
		}
		in[partitionOf([]byte(e.RequestID), n)] = true
	}
	return in
}

// isMissing reports whether a topic does not exist: then nothing is in it.
func isMissing(err error) bool { return errors.Is(err, kafka.UnknownTopicOrPartition) }

type search struct {
	q       Query
	c       *config.Config
	client  *kafka.Client
	log     *kafkalog.Client
	decoder *input.Decoder

	mu     sync.Mutex
	events map[string]*Event
	wanted map[partition.Key]bool
	states map[partition.Key]consumer.ReportedEvent
}

// scan reads partitions of a topic at the same time, and calls visit with each record
// under the mutex's protection only where visit takes it.
func (s *search) scan(ctx context.Context, topic string, in partitions, visit func(context.Context, int32, *kafkalog.Record) error) error {
	n, err := consumer.PartitionCount(ctx, s.client, topic)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	next := make(chan int32)
	var workers sync.WaitGroup
	for range min(n, 2*runtime.GOMAXPROCS(0)) {
		workers.Go(func() {
			for p := range next {
				if err := s.read(ctx, topic, p, visit); err != nil {
					cancel(err)
				}
			}
		})
	}
	for p := range int32(n) {
		if in == nil || in[p] {
			next <- p
		}
	}
	close(next)
	workers.Wait()
	return context.Cause(ctx)
}

func (s *search) read(ctx context.Context, topic string, p int32, visit func(context.Context, int32, *kafkalog.Record) error) error {
	at, end, err := s.log.Offsets(ctx, topic, p)
	if err != nil {
		return err
	}
	found := kafkalog.Span{Log: s.log, End: end, Request: kafkalog.FetchRequest{
		Topic: topic, Partition: p, Offset: at, MaxBytes: 1 << 20, MaxMemory: 8 << 20, MaxWait: time.Second, ReadCommitted: true,
	}}
	return found.Each(ctx, func(records []kafkalog.Record, _ int64) error {
		for i := range records {
			if err := visit(ctx, p, &records[i]); err != nil {
				return err
			}
		}
		return nil
	})
}

// event finds what is known of an ID, or begins it. The caller holds mu, or is alone.
func (s *search) event(id string) *Event {
	e := s.events[id]
	if e == nil {
		e = &Event{EventID: id, Outcome: Unknown}
		s.events[id] = e
	}
	return e
}

func (s *search) matches(e *event.Event) bool {
	return e.ID == s.q.EventID || s.q.RequestID != "" && e.RequestID == s.q.RequestID
}

// otherKey reports whether a record has another key than that of the query.
func (s *search) otherKey(r *kafkalog.Record) bool {
	return s.q.Key != nil && !bytes.Equal(s.q.Key, r.Key)
}

func (s *search) source(ctx context.Context, p int32, r *kafkalog.Record) error {
	if len(r.Value) == 0 || s.otherKey(r) {
		return nil
	}
	events, _, err := s.decoder.Decode(ctx, &input.Record{
		Topic: s.c.Kafka.Topic, Partition: p, Offset: r.Offset, Timestamp: r.Time, Key: r.Key, Value: r.Value, Headers: r.Headers,
	}, nil)
	if err != nil {
		return err
	}
	for _, e := range events {
		if !s.matches(e) {
			continue
		}
		s.mu.Lock()
		found := s.event(e.ID)
		found.describe(e)
		found.Records = append(found.Records, Record{p, r.Offset, string(r.Key), r.Time})
		s.mu.Unlock()
	}
	return nil
}

func (f *Event) describe(e *event.Event) {
	f.RequestID, f.ParentID, f.Type, f.CreateTime = e.RequestID, e.ParentID, e.Type.String(), e.CreateTime
}

// deadLetter matches a dead letter by its events; one that is no event, by the ID as a
// part of its value.
func (s *search) deadLetter(ctx context.Context, p int32, r *kafkalog.Record) error {
	if s.otherKey(r) {
		return nil
	}
	h := map[string]string{}
	for _, header := range r.Headers {
		h[header.Key] = string(header.Value)
	}
	events, _, err := s.decoder.Decode(ctx, &input.Record{
		Topic: s.c.Kafka.Topic, Offset: r.Offset, Timestamp: r.Time, Key: r.Key, Value: r.Value, Headers: r.Headers,
	}, nil)
	if err != nil {
		return err
	}
	letter := DeadLetter{
		p, r.Offset, h[consumer.HeaderReason], h[consumer.HeaderDetail], r.Time,
		h[consumer.HeaderPartition], h[consumer.HeaderOffset],
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, e := range events {
		if s.matches(e) {
			found := s.event(e.ID)
			found.describe(e)
			found.DeadLetters = append(found.DeadLetters, letter)
		}
	}
	if id := s.q.EventID; len(events) == 0 && id != "" && names(r.Value, id) {
		found := s.event(id)
		found.DeadLetters = append(found.DeadLetters, letter)
	}
	return nil
}

// names reports whether a value that gives no event has an event's ID: as its eventId
// if it has one, and otherwise anywhere.
func names(value []byte, id string) bool {
	var members struct {
		EventID *string `json:"eventId"`
		Snake   *string `json:"event_id"`
	}
	if json.Unmarshal(value, &members) == nil {
		for _, found := range []*string{members.EventID, members.Snake} {
			if found != nil {
				return *found == id
			}
		}
	}
	return bytes.Contains(value, []byte(id))
}

func (s *search) state(_ context.Context, _ int32, r *kafkalog.Record) error {
	key, e, ok, err := consumer.ParseReported(r.Key, r.Value, r.Time)
	if err != nil || !ok {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.wanted == nil {
		s.wanted = map[partition.Key]bool{}
		for id, e := range s.events {
			s.wanted[partition.KeyOf(id)] = true
			s.wanted[partition.KeyOf(e.ParentID)] = true
		}
	}
	if s.wanted[key] {
		s.states[key] = e
	}
	return nil
}

// result completes the events.
func (s *search) result() []*Event {
	var all []*Event
	for _, e := range s.events {
		e.Outcome, e.Reported = s.outcome(e.EventID)
		if e.ParentID != "" {
			e.ParentOutcome, _ = s.outcome(e.ParentID)
		}
		if state, ok := s.states[partition.KeyOf(e.EventID)]; ok && e.Type == "" {
			e.Type, e.CreateTime = state.Type.String(), state.Created.UTC().Format(time.RFC3339Nano)
		}
		slices.SortFunc(e.Records, func(a, b Record) int { return a.Published.Compare(b.Published) })
		if e.Outcome != Unknown || len(e.Records) > 0 {
			all = append(all, e)
		}
	}
	slices.SortFunc(all, func(a, b *Event) int {
		if a.CreateTime != b.CreateTime {
			return compare(a.CreateTime, b.CreateTime)
		}
		return compare(a.EventID, b.EventID)
	})
	return all
}

func compare(a, b string) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

// outcome is the outcome of an ID. An event that was reported in the end counts as
// reported, whatever became of it before.
func (s *search) outcome(id string) (string, time.Time) {
	if state, ok := s.states[partition.KeyOf(id)]; ok {
		return Reported, state.Reported
	}
	if e := s.events[id]; e != nil && len(e.DeadLetters) > 0 {
		return DeadLetterOutcome, time.Time{}
	}
	return Unknown, time.Time{}
}
