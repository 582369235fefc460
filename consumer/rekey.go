package consumer

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/segmentio/kafka-go"

	"github.com/clientevents/clientevents/consumer/kafkalog"
	"github.com/clientevents/clientevents/event"
	"github.com/clientevents/clientevents/internal/ownership"
)

// A source topic that is not keyed by journey is rekeyed: a Consumer with
// Config.ByRequest has two halves, each with a membership of its own.
//
// The first half is a consumer of the source topic. It decodes records and writes
// dead letters like any other, but it decides nothing about valid events: it writes
// each to the internal topic, keyed by its request ID (rekeywrite.go). Its offsets
// are those of the configured group.
//
// The second half is a consumer of the internal topic in a group of its own
// ([RekeyedGroup]). It does the rest: deduplication, parents, reporting. It refers to
// the original records: in dead letters, in the time from end to end, in traces.
//
// A crash between a write and the commit of the source offset writes events again,
// which the second half recognizes as duplicates.

// RekeyedGroup returns the consumer group of the second half.
func RekeyedGroup(group string) string { return group + ".by-request" }

// source is what the second half knows of the first.
type source struct{ topic, group string }

// split turns the configuration of a rekeying consumer into those of its halves.
func (c Config) split() (first, second Config) {
	first, second = c, c
	first.Rules.Forward = true
	first.Ownership = &ownership.Ownership{} // its writes need no lease: repeating them is harmless
	first.Tracer = nil                       // the second half traces the original records
	first.Registerer = nil
	first.Logger = c.Logger.With("topic", c.Topic)

	second.Topic, second.Group = c.ByRequest, RekeyedGroup(c.Group)
	second.StartLatest = false // events that were written there are to be reported
	second.Decoder = JSON(c.Version)
	second.Rules.Settle = true
	second.Logger = c.Logger.With("topic", c.ByRequest)
	return first, second
}

// noSink is the sink of the first half, whose events go to the internal topic.
type noSink struct{}

func (noSink) Accept([]*event.Delivery)                  {}
func (noSink) Raise(*event.Delivery, uint8)              {}
func (noSink) Drain(context.Context, []*event.Term) bool { return true }
func (noSink) Abort(context.Context, []*event.Term)      {}

// The headers that a record of the internal topic has before those of the original
// record, in this order. The last two are absent if the original record is too large
// to be carried.
const (
	headerSourceTopic     = "clientevents-source-topic"
	headerSourcePartition = "clientevents-source-partition"
	headerSourceOffset    = "clientevents-source-offset"
	headerSourceTime      = "clientevents-source-timestamp" // Unix milliseconds
	headerSourceKey       = "clientevents-source-key"       // null for none
	headerSourceValue     = "clientevents-source-value"     // null if it is the event as written
)

var (
	positionHeaders = []string{headerSourceTopic, headerSourcePartition, headerSourceOffset, headerSourceTime}
	contentHeaders  = []string{headerSourceKey, headerSourceValue}
)

// maxCarried is the size of the largest original record that is carried with its
// events. The dead letter of an event from a larger one has the event itself as its
// value. A record with a thousand events is carried a thousand times.
const maxCarried = 1 << 20

// original is a record as it stood in the source topic.
type original struct {
	topic     string
	partition int32
	record    record // Offset, Time, Key, Value, Headers, Encoded
}

// envelope returns the record of the internal topic for an event of a record.
func (src *original) envelope(e *event.Event, now time.Time) kafkalog.Record {
	r := &src.record
	value := e.AppendRecord(nil)
	headers := []kafka.Header{
		header(headerSourceTopic, src.topic),
		header(headerSourcePartition, strconv.Itoa(int(src.partition))),
		header(headerSourceOffset, strconv.FormatInt(r.Offset, 10)),
		header(headerSourceTime, strconv.FormatInt(r.Time.UnixMilli(), 10)),
	}
	if sizeOf(r) <= maxCarried {
		carried := kafka.Header{Key: headerSourceValue}
		if !bytes.Equal(r.Value, value) {
			carried.Value = r.Value
		}
		headers = append(headers, kafka.Header{Key: headerSourceKey, Value: r.Key}, carried)
		headers = append(headers, r.Headers...)
	}
	return kafkalog.Record{Key: []byte(e.RequestID), Value: value, Headers: headers, Time: now}
}

// opened returns the original of a record of the internal topic. It shares the
// record's memory. A record without the headers is its own original.
func opened(topic string, partition int32, r *record) original {
	src := original{topic: topic, partition: partition, record: *r}
	if !begins(r.Headers, positionHeaders) {
		return src
	}
	src.topic = string(r.Headers[0].Value)
	if n, err := strconv.ParseInt(string(r.Headers[1].Value), 10, 32); err == nil {
		src.partition = int32(n)
	}
	if n, err := strconv.ParseInt(string(r.Headers[2].Value), 10, 64); err == nil {
		src.record.Offset = n
	}
	src.record.Time = timeOf(r)
	rest := r.Headers[len(positionHeaders):]
	if !begins(rest, contentHeaders) {
		src.record.Headers = rest
		return src
	}
	src.record.Key = rest[0].Value
	if rest[1].Value != nil {
		src.record.Value = rest[1].Value
	}
	src.record.Headers = rest[len(contentHeaders):]
	return src
}

// timeOf returns the timestamp of the original of a record of the internal topic.
func timeOf(r *record) time.Time {
	if begins(r.Headers, positionHeaders) {
		if ms, err := strconv.ParseInt(string(r.Headers[3].Value), 10, 64); err == nil {
			return time.UnixMilli(ms)
		}
	}
	return r.Time
}

func begins(headers []kafka.Header, names []string) bool {
	return len(headers) >= len(names) && slices.EqualFunc(headers[:len(names)], names,
		func(h kafka.Header, name string) bool { return h.Key == name })
}

// original returns a record as it stood in the source topic.
func (o *owner) original(r *record) original {
	if o.c.from == nil {
		return original{topic: o.c.cfg.Topic, partition: o.partition.ID(), record: *r}
	}
	return opened(o.c.cfg.Topic, o.partition.ID(), r)
}

// published returns the timestamp of a record in the source topic.
func (o *owner) published(r *record) time.Time {
	if o.c.from == nil {
		return r.Time
	}
	return timeOf(r)
}

// forwards reports whether the consumer is the first half of one that rekeys.
func (c *Consumer) forwards() bool { return c.cfg.Rules.Forward }

// First returns the first half of a consumer that rekeys, which reads the source topic;
// nil for any other.
func (c *Consumer) First() *Consumer { return c.first }

// Topic returns the topic that the consumer reads, and the group in which it does.
func (c *Consumer) Topic() (topic, group string) { return c.cfg.Topic, c.cfg.Group }

// halves returns the consumer and, if it rekeys, its first half.
func (c *Consumer) halves() []*Consumer {
	if c.first == nil {
		return []*Consumer{c}
	}
	return []*Consumer{c, c.first}
}

// prepareByRequest creates the internal topic if it does not exist, with as many
// partitions as the source topic, and returns their number. It fails if the topic can't
// uphold the guarantee.
func (c *Consumer) prepareByRequest(ctx context.Context, source string, partitions int) (int, error) {
	n, err := c.partitionCount(ctx, c.cfg.ByRequest)
	if errors.Is(err, kafka.UnknownTopicOrPartition) {
		settings := SourceSettings(ctx, c.client, source)
		err = c.createTopic(ctx, ByRequestSpec(c.cfg.ByRequest, partitions, c.cfg.StateReplication, settings))
		c.rekeyPartitions.Store(int64(partitions))
		return partitions, err
	}
	if err != nil {
		return 0, err
	}
	c.rekeyPartitions.Store(int64(n))
	settings, err := c.topicConfig(ctx, c.cfg.ByRequest, "cleanup.policy")
	if err != nil {
		return 0, err
	}
	return n, CheckByRequestTopic(c.cfg.ByRequest, settings)
}

// CheckByRequestTopic checks that the internal topic of input.rekey keeps every event
// until it is read. It returns an [UnfitTopicError] if not.
func CheckByRequestTopic(topic string, settings map[string]string) error {
	if strings.Contains(settings["cleanup.policy"], "compact") {
		return &UnfitTopicError{topic, fmt.Sprintf("its cleanup.policy is %q: of the events of a request only the last would stay. Set it to delete",
			settings["cleanup.policy"])}
	}
	return nil
}
