package kafkalog

import (
	"bytes"
	"context"
	"encoding/binary"
	"hash/crc32"
	"time"

	"github.com/segmentio/kafka-go/compress"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// rawBatch is a batch of records as a log holds it, with whatever is to be wrong
// with it.
type rawBatch struct {
	base       int64
	lastDelta  int32 // where 0, that of the last record
	deltas     []int64
	attributes uint16
	producer   int64
	control    int // 1: a commit marker; 2: an abort marker
	values     []string
	body       []byte // instead of all of these
	count      int32  // where 0, as many as there are values
	compress   compress.Compression
	spoil      func([]byte) []byte // after everything
}

func (r rawBatch) bytes() []byte {
	records := make([]byte, 0, 100)
	for i, v := range r.values {
		rec := Record{Key: []byte("k"), Value: []byte(v)}
		delta := int64(i)
		if r.deltas != nil {
			delta = r.deltas[i]
		}
		r.lastDelta = max(r.lastDelta, int32(delta))
		records = appendRecord(records, &rec, int64(i), delta)
	}
	count := int32(len(r.values))
	if r.control > 0 {
		key := []byte{0, 0, 0, byte(2 - r.control)}
		records, count = appendRecord(records, &Record{Key: key, Value: make([]byte, 6)}, 0, 0), 1
		r.attributes |= controlBit | transactionalBit
	}
	if r.body != nil {
		records = r.body
	}
	if r.count != 0 {
		count = r.count
	}
	if r.compress != compress.None {
		records = pack(records, r.compress)
		r.attributes |= uint16(r.compress)
	}
	b := make([]byte, batchHeaderSize)
	be := binary.BigEndian
	be.PutUint64(b, uint64(r.base))
	be.PutUint32(b[batchLengthAt:], uint32(len(b)+len(records)-beforeLength))
	b[batchMagicAt] = batchMagic
	be.PutUint16(b[batchAttributesAt:], r.attributes)
	be.PutUint32(b[batchLastDeltaAt:], uint32(r.lastDelta))
	be.PutUint64(b[batchFirstTimeAt:], 1000)
	be.PutUint64(b[batchMaxTimeAt:], 5000)
	be.PutUint64(b[batchProducerAt:], uint64(r.producer))
	be.PutUint32(b[batchCountAt:], uint32(count))
	b = seal(append(b, records...))
	if r.spoil != nil {
		b = r.spoil(b)
	}
	return b
}

// seal sets a batch's checksum.
func seal(b []byte) []byte {
	binary.BigEndian.PutUint32(b[batchCRCAt:], crc32.Checksum(b[batchAttributesAt:], castagnoli))
	return b
}

func pack(b []byte, codec compress.Compression) []byte {
	var out bytes.Buffer
	w := codec.Codec().NewWriter(&out)
	if _, err := w.Write(b); err != nil {
		panic(err)
	}
	if err := w.Close(); err != nil {
		panic(err)
	}
	return out.Bytes()
}

func log(batches ...rawBatch) []byte {
	var all []byte
	for _, b := range batches {
		all = append(all, b.bytes()...)
	}
	return all
}

// answerWith is an answer to a fetch of t/0.
func answerWith(records []byte, aborted ...abortedTxn) *fetchAnswer {
	return answerOf(fetchMax, records, aborted...)
}

// answerOf is an answer of a version; one that names no topic is for the topic whose ID is
// zero.
func answerOf(version int16, records []byte, aborted ...abortedTxn) *fetchAnswer {
	p := kmsg.NewFetchResponseTopicPartition()
	p.RecordBatches, p.HighWatermark, p.LastStableOffset, p.LogStartOffset = records, 1000, 900, 1
	for _, a := range aborted {
		p.AbortedTransactions = append(p.AbortedTransactions,
			kmsg.FetchResponseTopicPartitionAbortedTransaction{ProducerID: a.producer, FirstOffset: a.first})
	}
	topic := kmsg.NewFetchResponseTopic()
	topic.Topic, topic.Partitions = "t", append(topic.Partitions, p)
	response := kmsg.NewPtrFetchResponse()
	response.Version, response.Topics = version, append(response.Topics, topic)
	var head []byte
	if version >= fetchFlexible {
		head = []byte{noTags}
	}
	return &fetchAnswer{version: version, body: response.AppendTo(head)}
}

// readFrom decodes an answer as Fetch does, with limit as MaxMemory.
func readFrom(offset int64, committed bool, limit int, a *fetchAnswer) (*Batch, error) {
	return readRequest(FetchRequest{Topic: "t", Offset: offset, ReadCommitted: committed, MaxMemory: limit}, a)
}

func readRequest(req FetchRequest, a *fetchAnswer) (*Batch, error) {
	req.setDefaults()
	batch := req.Reuse.renew(req.MaxMemory)
	m := &fetchMessage{ctx: context.Background(), req: req, reused: batch.Memory, loan: &loan{account: req.Account}}
	if err := m.reserve(len(a.body)); err != nil {
		return batch, err
	}
	d := decoder{ctx: m.ctx, batch: batch, unpack: testUnpacker, loan: m.loan, turn: newTurn()}
	err := batch.read(a, req, &d)
	if err != nil {
		m.loan.end()
	}
	return batch, err
}

// plenty is enough memory for all batches that are not meant to be too large.
const plenty = 64 << 20

var testUnpacker = newUnpacker()

func body(records ...Record) []byte {
	var b []byte
	for i := range records {
		b = appendRecord(b, &records[i], 0, int64(i))
	}
	return b
}

func withTime(records []Record, at time.Time) []Record {
	for i := range records {
		records[i].Time = at
	}
	return records
}

func nilIfEmpty(records []Record) []Record {
	if len(records) == 0 {
		return nil
	}
	return records
}
