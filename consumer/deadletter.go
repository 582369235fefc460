package consumer

import (
	"context"
	"slices"
	"strconv"
	"time"

	"github.com/segmentio/kafka-go"

	"github.com/clientevents/clientevents/consumer/kafkalog"
)

// The headers that a dead letter has beside its own.
const (
	HeaderReason     = "dlq-reason"
	HeaderDetail     = "dlq-detail"
	HeaderTopic      = "dlq-topic"
	HeaderPartition  = "dlq-partition"
	HeaderOffset     = "dlq-offset"
	HeaderTimestamp  = "dlq-timestamp"
	HeaderHTTPStatus = "dlq-http-status"
	// HeaderPrefix begins all of them; none of the producer's own headers
	// should begin so.
	HeaderPrefix = "dlq-"
)

// maxLetterBytes is how much one write to the dead-letter topic holds, unless a
// single record is larger.
const maxLetterBytes = 256 << 10

// writeLetters writes dead letters until ctx ends.
func (o *owner) writeLetters(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-o.partition.letterSignal:
		}
		for letters := o.partition.takeLetters(); len(letters) > 0; {
			n := lettersThatFit(letters)
			if o.writeLettersOnce(ctx, letters[:n]) != nil {
				return
			}
			letters = letters[n:]
		}
	}
}

func lettersThatFit(letters []letter) int {
	bytes := int64(0)
	for i, l := range letters {
		if bytes += sizeOf(l.item.record); bytes > maxLetterBytes && i > 0 {
			return i
		}
	}
	return len(letters)
}

func (o *owner) writeLettersOnce(ctx context.Context, letters []letter) error {
	now := time.Now()
	records := make([]kafkalog.Record, len(letters))
	for i, l := range letters {
		records[i] = o.letterRecord(l, now)
	}
	// A partition's dead letters stay together and in order.
	to := o.partition.id % int32(o.deadLetterPartitions.Load())
	if err := o.write(ctx, topicDeadLetter, o.cfg.DeadLetterTopic, to, records); err != nil {
		return err
	}
	o.recent.add(o.partition.id, letters)
	o.partition.buried(letters) // with which their records are gone
	return nil
}

func (o *owner) letterRecord(l letter, now time.Time) kafkalog.Record {
	r := l.item.record
	headers := append(slices.Clip(slices.Clone(r.Headers)),
		header(HeaderReason, string(l.fault.Reason)),
		header(HeaderDetail, l.fault.Detail),
		header(HeaderTopic, o.cfg.Topic),
		header(HeaderPartition, strconv.Itoa(int(o.partition.id))),
		header(HeaderOffset, strconv.FormatInt(r.Offset, 10)),
		header(HeaderTimestamp, now.UTC().Format(time.RFC3339Nano)),
	)
	if l.status != 0 {
		headers = append(headers, header(HeaderHTTPStatus, strconv.Itoa(l.status)))
	}
	return kafkalog.Record{Key: r.Key, Value: r.Value, Headers: headers, Time: now}
}

func header(key, value string) kafka.Header { return kafka.Header{Key: key, Value: []byte(value)} }
