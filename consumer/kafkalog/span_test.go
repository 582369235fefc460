package kafkalog

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// TestSpan checks that a span has the records from its first offset to before its end,
// which is within a batch, and that it ends before an open transaction.
func TestSpan(t *testing.T) {
	each(t, func(t *testing.T, c cluster) {
		topic, client := c.topic(t), c.client(t)
		producer := c.franz(t)
		for batch := range 3 {
			var records []*kgo.Record
			for i := range 3 {
				records = append(records, &kgo.Record{Topic: topic, Value: fmt.Append(nil, 3*batch+i)})
			}
			produceBatch(t, producer, records...)
		}
		open := c.transaction(t, topic)
		produceBatch(t, open, &kgo.Record{Topic: topic, Value: []byte("open")})
		for _, test := range []struct{ from, end, last int64 }{{0, 9, 8}, {2, 7, 6}, {4, 4, -1}, {7, 10, 8}} {
			s := Span{Log: client, End: test.end, Request: FetchRequest{
				Topic: topic, Offset: test.from, MaxBytes: 1 << 20, MaxWait: 100 * time.Millisecond, ReadCommitted: true,
			}}
			var got, want []int64
			reached := test.from
			err := s.Each(t.Context(), func(records []Record, next int64) error {
				for _, r := range records {
					got = append(got, r.Offset)
				}
				reached = next
				return nil
			})
			for offset := test.from; offset <= test.last; offset++ {
				want = append(want, offset)
			}
			if err != nil || !slices.Equal(got, want) || reached != max(test.from, test.last+1) {
				t.Errorf("from %d to before %d: %v up to %d, %v; want %v", test.from, test.end, got, reached, err, want)
			}
		}
		end(t, open, kgo.TryAbort)
	})
}
