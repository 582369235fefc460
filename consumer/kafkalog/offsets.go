package kafkalog

import (
	"context"
	"fmt"
	"time"
)

// Special timestamps of the ListOffsets request.
const (
	timeLatest   = -1
	timeEarliest = -2
)

// Offsets returns the first offset of a partition and its end. The end is the high
// watermark: the offset of the next record to be written, whether or not a
// transaction is open before it.
func (c *Client) Offsets(ctx context.Context, topic string, partition int32) (first, end int64, err error) {
	if first, err = c.listOffset(ctx, topic, partition, timeEarliest); err != nil {
		return 0, 0, err
	}
	if end, err = c.listOffset(ctx, topic, partition, timeLatest); err != nil {
		return 0, 0, err
	}
	return first, end, nil
}

// OffsetAt returns the first offset whose record was written at t or later, or the
// partition's end if there is none.
func (c *Client) OffsetAt(ctx context.Context, topic string, partition int32, t time.Time) (int64, error) {
	// Rounded up: records have milliseconds, and 5.0 is not after 5.3.
	ms := t.Add(time.Millisecond - 1).UnixMilli()
	offset, err := c.listOffset(ctx, topic, partition, max(0, ms))
	if err == nil && offset < 0 {
		return c.listOffset(ctx, topic, partition, timeLatest)
	}
	return offset, err
}

func (c *Client) listOffset(ctx context.Context, topic string, partition int32, timestamp int64) (offset int64, err error) {
	ctx, cancel := withDeadline(ctx, requestTimeout)
	defer cancel()
	err = c.withLeader(ctx, func() error {
		offset, err = c.askOffset(ctx, topic, partition, timestamp)
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("ask for offsets of %s/%d: %w", topic, partition, err)
	}
	return offset, nil
}

func (c *Client) askOffset(ctx context.Context, topic string, partition int32, timestamp int64) (int64, error) {
	of := throttled{"ListOffsets", topic, partition}
	if err := c.throttle.wait(ctx, of); err != nil {
		return 0, err
	}
	return c.asker.ask(ctx, partitionName{topic, partition}, timestamp)
}

// OpenTransaction describes the transaction that keeps readers of committed records
// from reading a partition to its end.
type OpenTransaction struct {
	// Offset is the partition's last stable offset: the transaction's first record.
	Offset int64
	// Since is the timestamp of that record, which its producer chose. It is zero
	// if the record has none.
	Since time.Time
}

// OpenTransaction returns the transaction that begins at lastStable, the last
// stable offset of a fetched Batch whose high watermark is larger. It returns nil
// if the transaction has ended meanwhile. The account lends the memory of one record;
// nil means no account.
func (c *Client) OpenTransaction(ctx context.Context, topic string, partition int32, lastStable int64, account Account) (*OpenTransaction, error) {
	const little, one = 1, 1 // one batch is always sent whole, and one record returned
	batch, err := c.Fetch(ctx, FetchRequest{
		Topic: topic, Partition: partition, Offset: lastStable, MaxBytes: little, MaxRecords: one, Account: account,
	})
	if err != nil {
		return nil, err
	}
	defer batch.Release()
	if batch.LastStableOffset != lastStable || batch.HighWatermark <= lastStable {
		return nil, nil
	}
	open := &OpenTransaction{Offset: lastStable}
	if len(batch.Records) > 0 {
		open.Since = batch.Records[0].Time
	}
	return open, nil
}
