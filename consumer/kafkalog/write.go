package kafkalog

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/segmentio/kafka-go"
)

// WriteRequest describes records to write to the end of a partition.
type WriteRequest struct {
	Topic     string
	Partition int32
	Records   []Record
	// Codec compresses the records. A topic's max.message.bytes applies to the
	// compressed size. Gzip replaces Zstd where the broker does not know it.
	Codec Codec
	// Appended is called with the offset and the number of the records of each batch that
	// was written; nil is not called.
	Appended func(first int64, records int)
}

// Write writes records like Append, in as many batches as necessary: where the
// broker finds a batch too large, its halves are written one after the other.
//
// The error is a *WriteError, which names the records that were not written, unless
// none was sent.
func (c *Client) Write(ctx context.Context, req WriteRequest) error {
	w := writing{client: c, req: req}
	w.write(ctx, 0, len(req.Records))
	if len(w.failed) == 0 {
		return nil
	}
	return &WriteError{Topic: req.Topic, Partition: req.Partition, Records: len(req.Records), Failed: w.failed}
}

// WriteError names the records that Write did not write. As with Append, a record
// whose error is not a RecordTooLargeError may have been written all the same.
type WriteError struct {
	Topic     string
	Partition int32
	// Records is the number of records of the request, and Failed is not empty.
	Records int
	Failed  []FailedRecord // in the order of the records
}

// FailedRecord is a record that was not written.
type FailedRecord struct {
	Index int
	Err   error
}

// Error names the first failure that is not a RecordTooLargeError, or else the first.
func (e *WriteError) Error() string {
	return fmt.Sprintf("write to %s/%d: %d of %d records failed: %v", e.Topic, e.Partition, len(e.Failed), e.Records, e.Unwrap())
}

// Unwrap returns the error that Error names.
func (e *WriteError) Unwrap() error {
	i := slices.IndexFunc(e.Failed, func(f FailedRecord) bool { return !isRecordTooLarge(f.Err) })
	return e.Failed[max(0, i)].Err
}

// Unwritten returns those of the request's records that failed.
func (e *WriteError) Unwritten(records []Record) []Record {
	failed := make([]Record, len(e.Failed))
	for i, f := range e.Failed {
		failed[i] = records[f.Index]
	}
	return failed
}

// RecordTooLargeError is the failure of a record that is larger, in a batch of its
// own, than the topic (max.message.bytes) or the broker (message.max.bytes) accepts.
type RecordTooLargeError struct {
	// Size is the size of the batch as it was sent, and Plain its size before it was
	// compressed, in bytes.
	Size, Plain int
	Err         error // the broker's
}

func (e *RecordTooLargeError) Error() string {
	if e.Size == e.Plain {
		return fmt.Sprintf("the record has %d bytes, more than max.message.bytes of the topic: %v", e.Size, e.Err)
	}
	return fmt.Sprintf("the record has %d bytes, compressed %d, more than max.message.bytes of the topic: %v", e.Plain, e.Size, e.Err)
}

func (e *RecordTooLargeError) Unwrap() error { return e.Err }

func isRecordTooLarge(err error) bool {
	_, ok := errors.AsType[*RecordTooLargeError](err)
	return ok
}

// writing is a call of Write.
type writing struct {
	client *Client
	req    WriteRequest
	failed []FailedRecord
	// stopped is the error after which no further batch is tried.
	stopped error
}

// write writes the records from begin to before end.
func (w *writing) write(ctx context.Context, begin, end int) {
	if begin == end {
		return
	}
	if w.stopped != nil {
		w.fail(begin, end, w.stopped)
		return
	}
	sizes, err := w.append(ctx, w.req.Records[begin:end])
	switch {
	case err == nil:
	case w.req.Codec == Zstd && errors.Is(err, kafka.UnsupportedCompressionType):
		w.req.Codec = Gzip // which every broker knows
		w.write(ctx, begin, end)
	case !isBatchTooLarge(err):
		w.stopped = err
		w.fail(begin, end, err)
	case end-begin == 1:
		w.fail(begin, end, &RecordTooLargeError{Size: sizes.size, Plain: sizes.plain, Err: err})
	default:
		middle := (begin + end) / 2
		w.write(ctx, begin, middle)
		w.write(ctx, middle, end)
	}
}

func (w *writing) fail(begin, end int, err error) {
	for i := begin; i < end; i++ {
		w.failed = append(w.failed, FailedRecord{i, err})
	}
}

func (w *writing) append(ctx context.Context, records []Record) (sizes batchSizes, err error) {
	ctx, cancel := withDeadline(ctx, requestTimeout)
	defer cancel()
	var first int64
	err = w.client.withLeader(ctx, func() error {
		first, sizes, err = w.client.append(ctx, w.req.Topic, w.req.Partition, records, w.req.Codec)
		return err
	})
	if err == nil && w.req.Appended != nil {
		w.req.Appended(first, len(records))
	}
	return sizes, err
}

func isBatchTooLarge(err error) bool {
	return errors.Is(err, kafka.MessageSizeTooLarge) || errors.Is(err, kafka.RecordListTooLarge)
}
