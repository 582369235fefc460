package consumer

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/segmentio/kafka-go"

	"github.com/clientevents/clientevents/consumer/kafkalog"
	"github.com/clientevents/clientevents/consumer/partition"
)

// The headers that a dead letter has in addition to its own.
const (
	HeaderReason     = "dlq-reason"
	HeaderDetail     = "dlq-detail"
	HeaderTopic      = "dlq-topic"
	HeaderPartition  = "dlq-partition"
	HeaderOffset     = "dlq-offset"
	HeaderTimestamp  = "dlq-timestamp"
	HeaderHTTPStatus = "dlq-http-status"
	// HeaderRedacted is one of the Redacted values; only redacted dead letters have it.
	HeaderRedacted = "dlq-redacted"
	// HeaderPrefix is the prefix of all of them.
	HeaderPrefix = "dlq-"
	// OriginalPrefix is put before the names of a producer's own headers that begin
	// with HeaderPrefix, or with OriginalPrefix itself.
	OriginalPrefix = "clientevents-original-"
)

// The values of HeaderRedacted.
const (
	// RedactedValue: the value is without personal data, and can be replayed.
	RedactedValue = "value"
	// RedactedAll: the value is empty, because its personal data can't be told apart.
	RedactedAll = "all"
)

// maxLetterBytes bounds one write to the dead-letter topic, unless a single
// record is larger.
const maxLetterBytes = 256 << 10

// letterWriter writes the dead letters of a partition.
type letterWriter struct {
	o *owner
	// large are the dead letters that do not fit in the topic. They are tried again
	// from time to time, and hold up no others.
	large []largeLetter
}

// largeLetter is a dead letter that the broker found too large.
type largeLetter struct {
	letter   partition.DeadLetter
	failures int
	next     time.Time // when to try again
	size     int       // of its batch as it was sent, in bytes
}

// writeDeadLetters writes dead letters until ctx ends.
func (o *owner) writeDeadLetters(ctx context.Context) {
	w := letterWriter{o: o}
	for {
		timer := time.NewTimer(w.wait(time.Now()))
		select {
		case <-ctx.Done():
		case <-o.deadLetters:
		case <-timer.C:
		}
		timer.Stop()
		if ctx.Err() != nil || o.recordUnproven(ctx) != nil ||
			w.write(ctx, o.partition.TakeDeadLetters()) != nil || w.retry(ctx) != nil {
			return
		}
	}
}

// write writes dead letters in batches. It fails only when ctx ends.
func (w *letterWriter) write(ctx context.Context, letters []partition.DeadLetter) error {
	before := len(w.large)
	for i := range letters {
		w.o.explainOrphan(&letters[i])
	}
	for len(letters) > 0 {
		records, bytes := w.batch(letters)
		if err := w.o.writeBatch(ctx, letters[:len(records)], records, bytes, w.hold); err != nil {
			return err
		}
		letters = letters[len(records):]
	}
	if len(w.large) != before {
		w.report(ctx)
	}
	return nil
}

// batch returns the records of the next dead letters, as many as fit in one write, and
// their size.
func (w *letterWriter) batch(letters []partition.DeadLetter) ([]kafkalog.Record, int) {
	now := time.Now()
	var records []kafkalog.Record
	var size kafkalog.BatchSize
	for i := range letters {
		r := w.o.deadLetterRecord(&letters[i], now)
		if i > 0 && size.With(&r) > maxLetterBytes {
			break
		}
		size.Add(&r)
		records = append(records, r)
	}
	return records, size.Bytes()
}

// hold keeps a dead letter that does not fit for later.
func (w *letterWriter) hold(l partition.DeadLetter, fault *kafkalog.RecordTooLargeError) {
	w.large = append(w.large, largeLetter{letter: l, failures: 1, next: time.Now().Add(largeBackoff.After(1)), size: fault.Size})
}

// wait returns the time until a large dead letter is to be tried again.
func (w *letterWriter) wait(now time.Time) time.Duration {
	wait := time.Hour
	for i := range w.large {
		wait = min(wait, w.large[i].next.Sub(now))
	}
	return max(0, wait)
}

// retry tries the large dead letters again that are due.
func (w *letterWriter) retry(ctx context.Context) error {
	due := w.large
	w.large = nil
	tried := false
	for i, l := range due {
		if time.Now().Before(l.next) {
			w.large = append(w.large, l)
			continue
		}
		tried = true
		records, bytes := w.batch([]partition.DeadLetter{l.letter})
		err := w.o.writeBatch(ctx, []partition.DeadLetter{l.letter}, records, bytes, func(_ partition.DeadLetter, fault *kafkalog.RecordTooLargeError) {
			l.failures++
			l.next, l.size = time.Now().Add(largeBackoff.After(l.failures)), fault.Size
			w.large = append(w.large, l)
		})
		if err != nil {
			w.large = append(w.large, due[i:]...)
			return err
		}
	}
	if tried {
		w.report(ctx)
	}
	return nil
}

// LettersFault describes the dead letters of a partition that do not fit in the
// dead-letter topic.
type LettersFault struct {
	// Letters is their number, and Bytes the size of the largest.
	Letters, Bytes int
	// Limit is max.message.bytes of the topic; "" if the broker does not tell.
	Limit string
}

// Error returns the same text as String.
func (f *LettersFault) Error() string { return f.String() }

func (f *LettersFault) String() string {
	limit := ""
	if f.Limit != "" {
		limit = ", which is " + f.Limit
	}
	return fmt.Sprintf("%d dead letters of up to %d bytes are above max.message.bytes of the dead-letter topic%s", f.Letters, f.Bytes, limit)
}

// report logs and publishes how many dead letters do not fit.
func (w *letterWriter) report(ctx context.Context) {
	before := w.o.lettersFault.Load()
	if len(w.large) == 0 {
		if before != nil {
			w.o.lettersFault.Store(nil)
			w.o.log.Info("all dead letters fit in the topic now", "topic", w.o.c.cfg.DeadLetterTopic)
		}
		return
	}
	fault := &LettersFault{Letters: len(w.large)}
	for _, l := range w.large {
		fault.Bytes = max(fault.Bytes, l.size)
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	if config, err := w.o.c.topicConfig(ctx, w.o.c.cfg.DeadLetterTopic, "max.message.bytes"); err == nil {
		fault.Limit = config["max.message.bytes"]
	}
	w.o.lettersFault.Store(fault)
	if before != nil && before.Letters == fault.Letters && before.Limit == fault.Limit {
		return // the log has it, and repeats it as a problem; sizes differ with each compression
	}
	w.o.log.Error("dead letters do not fit in the topic: raise its max.message.bytes; the others are written meanwhile",
		"topic", w.o.c.cfg.DeadLetterTopic, "letters", fault.Letters, "bytes", fault.Bytes, "max_message_bytes", fault.Limit,
		"offset", w.large[0].letter.Record.Offset, "retry", w.wait(time.Now()).Round(time.Second))
}

// writeBatch writes dead letters, whose records take so many bytes. It calls tooLarge
// with those that do not fit, and tries the others again until they are written. It
// fails only when ctx ends.
func (o *owner) writeBatch(ctx context.Context, letters []partition.DeadLetter, records []kafkalog.Record, bytes int,
	tooLarge func(partition.DeadLetter, *kafkalog.RecordTooLargeError),
) error {
	release, err := o.bookLetters(ctx, bytes)
	if err != nil {
		return err
	}
	defer release()
	for attempt := 0; ; attempt++ {
		o.beat()
		err := o.c.kafka.Write(ctx, kafkalog.WriteRequest{
			// A partition's dead letters stay together and in order.
			Topic: o.c.cfg.DeadLetterTopic, Partition: o.partition.ID() % int32(o.c.deadLetterPartitions.Load()),
			// A topic's limit is for the compressed size.
			Records: records, Codec: kafkalog.Zstd,
		})
		unwritten, left := letters[:0:0], records[:0:0]
		if err != nil {
			faults := faultsOf(err, len(letters))
			done := letters[:0:0]
			for i := range letters {
				large, isLarge := errors.AsType[*kafkalog.RecordTooLargeError](faults[i])
				switch {
				case faults[i] == nil:
					done = append(done, letters[i])
				case isLarge:
					tooLarge(letters[i], large)
				default:
					unwritten, left = append(unwritten, letters[i]), append(left, records[i])
				}
			}
			letters = done
		}
		o.lettersWritten(letters)
		if letters, records = unwritten, left; len(letters) == 0 {
			o.noteWritten(topicDeadLetter, attempt)
			return nil
		}
		o.c.followLettersTopic(ctx, err)
		if err := o.writeFailed(ctx, topicDeadLetter, attempt, len(letters), err); err != nil {
			return err
		}
	}
}

// followLettersTopic counts the partitions of the dead-letter topic again, if a write
// failed because it was recreated with fewer.
func (c *Consumer) followLettersTopic(ctx context.Context, cause error) {
	if !isLacking(cause) {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	if n, err := c.partitionCount(ctx, c.cfg.DeadLetterTopic); err == nil {
		c.deadLetterPartitions.Store(int64(n))
	}
}

// faultsOf returns the fault of each of n records.
func faultsOf(err error, n int) []error {
	faults := make([]error, n)
	if failed, ok := errors.AsType[*kafkalog.WriteError](err); ok {
		for _, f := range failed.Failed {
			faults[f.Index] = f.Err
		}
		return faults
	}
	for i := range faults {
		faults[i] = err
	}
	return faults
}

// largeLetters is the size beyond which dead letters are written by one partition at a
// time.
const largeLetters = 1 << 20

// bookLetters accounts the memory of a write of so many bytes: encoded, compressed and
// as part of a request. It does not wait for memory, since the write is what frees it.
func (o *owner) bookLetters(ctx context.Context, bytes int) (release func(), err error) {
	turn := o.c.budget.letters
	if bytes > largeLetters {
		select {
		case turn <- struct{}{}:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	cost := int64(3 * bytes)
	o.account.add(cost, 0, 0)
	return func() {
		o.account.add(-cost, 0, 0)
		if bytes > largeLetters {
			<-turn
		}
	}, nil
}

func (o *owner) lettersWritten(letters []partition.DeadLetter) {
	if len(letters) == 0 {
		return
	}
	o.c.recent.add(letters, func(l *partition.DeadLetter) (int32, int64) {
		src := o.original(itemOf(l.Record).pin())
		return src.partition, src.record.Offset
	})
	for i := range letters {
		o.deadLettered.add(letters[i].Record.Offset)
	}
	o.act(o.partition.DeadLettered(letters))
	o.written.set()
}

func (o *owner) deadLetterRecord(l *partition.DeadLetter, now time.Time) kafkalog.Record {
	src := o.original(itemOf(l.Record).pin())
	r := &src.record
	headers := append(keptApart(r.Headers),
		header(HeaderReason, string(l.Fault.Reason)),
		header(HeaderDetail, o.c.cfg.Secrets.Text(l.Fault.Detail)),
		header(HeaderTopic, src.topic),
		header(HeaderPartition, strconv.Itoa(int(src.partition))),
		header(HeaderOffset, strconv.FormatInt(r.Offset, 10)),
		header(HeaderTimestamp, now.UTC().Format(time.RFC3339Nano)),
	)
	if l.HTTPStatus != 0 {
		headers = append(headers, header(HeaderHTTPStatus, strconv.Itoa(l.HTTPStatus)))
	}
	value := r.Value
	if o.c.cfg.Redact != nil && len(value) > 0 {
		redacted, ok := o.c.cfg.Redact(value)
		switch {
		case !ok:
			value, headers = []byte{}, append(headers, header(HeaderRedacted, RedactedAll))
		case !bytes.Equal(redacted, value):
			value, headers = redacted, append(headers, header(HeaderRedacted, RedactedValue))
		}
	}
	return kafkalog.Record{Key: r.Key, Value: value, Encoded: r.Encoded, Headers: headers, Time: now}
}

// keptApart returns a producer's headers with names that ours do not have. Those of a
// record with too many to be decoded stay as they are.
func keptApart(headers []kafka.Header) []kafka.Header {
	own := make([]kafka.Header, len(headers), len(headers)+7)
	for i, h := range headers {
		if strings.HasPrefix(h.Key, HeaderPrefix) || strings.HasPrefix(h.Key, OriginalPrefix) {
			h.Key = OriginalPrefix + h.Key
		}
		own[i] = h
	}
	return own
}

func header(key, value string) kafka.Header { return kafka.Header{Key: key, Value: []byte(value)} }
