package kafkalog

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/compress"
	"github.com/twmb/franz-go/pkg/kfake"
)

// eventRecords resemble the source topic's: 400 bytes of JSON.
func eventRecords(n int) []Record {
	random := rand.New(rand.NewPCG(1, 2))
	records := make([]Record, n)
	for i := range records {
		id := fmt.Sprintf("%016x%016x", random.Uint64(), random.Uint64())
		records[i] = Record{
			Time: time.UnixMilli(1_700_000_000_000 + int64(i)), Key: []byte(id[:20]),
			Value: fmt.Appendf(nil, `{"requestId":"%s","eventId":"%s-%d","createTime":"2026-11-24T00:00:%02d.%03dZ","jobEvent":{"type":"IMPRESSION",`+
				`"jobs":["projects/example-project/tenants/5fe1/jobs/%d","projects/example-project/tenants/5fe1/jobs/%d"]},`+
				`"profile":"%x","eventNotes":"position %d"}`, id, id, i, i%60, i%1000, random.Uint64(), random.Uint64(), random.Uint64(), i%20),
			Headers: []kafka.Header{{Key: "trace", Value: []byte(id)}},
		}
	}
	return records
}

// stateRecords resemble the state topic's.
func stateRecords(n int) []Record {
	records := make([]Record, n)
	for i := range records {
		records[i] = Record{Time: time.UnixMilli(1_700_000_000_000), Key: make([]byte, 17), Value: make([]byte, 24)}
	}
	return records
}

// perRecord reports the time for one of n records.
func perRecord(b *testing.B, n int) {
	b.Helper()
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*n), "ns/record")
}

func BenchmarkDecode(b *testing.B) {
	const batches, each = 20, 100
	for _, codec := range []compress.Compression{compress.None, compress.Snappy, compress.Lz4, compress.Zstd, compress.Gzip} {
		var data []byte
		for i := range int64(batches) {
			batch := appendBatch(nil, eventRecords(each), time.Time{})
			raw := rawBatch{base: i * each, body: batch[batchHeaderSize:], count: each, lastDelta: each - 1, compress: codec}
			data = append(data, raw.bytes()...)
		}
		answer := answerWith(data)
		for _, reuse := range []bool{false, true} {
			b.Run(fmt.Sprintf("%v/reuse=%v", codec, reuse), func(b *testing.B) {
				b.ReportAllocs()
				req := FetchRequest{Topic: "t"}
				for b.Loop() {
					batch, err := readRequest(req, answer)
					if err != nil || len(batch.Records) != batches*each {
						b.Fatal(len(batch.Records), err)
					}
					if reuse {
						batch.body, req.Reuse = nil, batch
					}
				}
				perRecord(b, batches*each)
			})
		}
	}
}

func BenchmarkEncode(b *testing.B) {
	records := stateRecords(2000)
	client := NewClient(kafka.TCP("localhost:1"), nil)
	b.ReportAllocs()
	for b.Loop() {
		batch, _, err := client.encodeBatch(records, len("state"), Uncompressed)
		if err != nil {
			b.Fatal(err)
		}
		m := &produceMessage{client: client, parts: []*appending{{topic: "state", batch: batch}}}
		client.giveRequest(m.encode())
	}
	perRecord(b, len(records))
}

// The broker is in the same process and uses most of the time; it stores nothing.
func BenchmarkAppend(b *testing.B) {
	c := embedded(b, kfake.BlackholeProduce())
	client, topic := c.client(b), c.topic(b)
	for _, n := range []int{1, 100, 1000, 4000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			records := stateRecords(n)
			b.ReportAllocs()
			for b.Loop() {
				if _, err := client.Append(b.Context(), topic, 0, records); err != nil {
					b.Fatal(err)
				}
			}
			perRecord(b, n)
		})
	}
}

func BenchmarkFetch(b *testing.B) {
	c := embedded(b)
	client, topic := c.client(b), c.topic(b)
	records := 0
	for range 20 {
		if _, err := client.Append(b.Context(), topic, 0, eventRecords(100)); err != nil {
			b.Fatal(err)
		}
		records += 100
	}
	for _, reuse := range []bool{false, true} {
		b.Run(fmt.Sprintf("reuse=%v", reuse), func(b *testing.B) {
			b.ReportAllocs()
			var batch *Batch
			var err error
			for b.Loop() {
				req := FetchRequest{Topic: topic}
				if reuse {
					req.Reuse = batch
				}
				if batch, err = client.Fetch(b.Context(), req); err != nil || len(batch.Records) != records {
					b.Fatal(len(batch.Records), err)
				}
			}
			perRecord(b, records)
		})
	}
}
