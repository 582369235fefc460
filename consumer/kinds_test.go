package consumer

import (
	"context"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/segmentio/kafka-go"

	"github.com/clientevents/clientevents/consumer/kafkalog"
	"github.com/clientevents/clientevents/event"
	"github.com/clientevents/clientevents/test/kafkatest"
)

// kind is a kind of records.
type kind struct {
	name   string
	codec  kafkalog.Codec
	batch  int // records in a batch
	record func(i int) kafkalog.Record
}

func eventWith(i int, more string) []byte {
	return fmt.Appendf(nil, `{"eventId":"e%d","requestId":"r%d","createTime":"2026-01-02T03:04:05Z",`+
		`"jobEvent":{"type":"IMPRESSION","jobs":["projects/p/jobs/%d"]}%s}`, i, i, i%1000, more)
}

func kinds() []kind {
	record := func(value []byte, headers []kafka.Header) kafkalog.Record {
		return kafkalog.Record{Value: value, Headers: headers, Time: time.UnixMilli(1_700_000_000_000)}
	}
	return []kind{
		{"small", kafkalog.Uncompressed, 1000, func(i int) kafkalog.Record { return record(eventWith(i, ""), nil) }},
		{"small and compressed", kafkalog.Zstd, 1000, func(i int) kafkalog.Record { return record(eventWith(i, ""), nil) }},
		{"spaces", kafkalog.Zstd, 20, func(i int) kafkalog.Record {
			return record(append(eventWith(i, ""), strings.Repeat(" ", 1_000_000)...), nil)
		}},
		{"spaces in LZ4", kafkalog.LZ4, 20, func(i int) kafkalog.Record {
			return record(append(eventWith(i, ""), strings.Repeat(" ", 1_000_000)...), nil)
		}},
		{"large event", kafkalog.Zstd, 20, func(i int) kafkalog.Record {
			return record(eventWith(i, `,"parentEventId":"`+strings.Repeat("p", 500_000)+`"`), nil)
		}},
		{"many headers", kafkalog.Zstd, 10, func(i int) kafkalog.Record { return record(eventWith(i, ""), make([]kafka.Header, 4000)) }},
		{"children", kafkalog.Zstd, 1000, func(i int) kafkalog.Record {
			return record(eventWith(i, `,"parentEventId":"p"`), nil)
		}},
		{"children with headers", kafkalog.Zstd, 10, func(i int) kafkalog.Record {
			return record(eventWith(i, `,"parentEventId":"p"`), make([]kafka.Header, 4000))
		}},
	}
}

// TestBookedIsHeld checks for each kind of record that the memory that is accounted is
// the memory that the heap holds.
func TestBookedIsHeld(t *testing.T) {
	const mebi = 1 << 20
	for _, k := range kinds() {
		t.Run(k.name, func(t *testing.T) {
			if testing.Short() && k.name != "children with headers" {
				t.Skip("not run with -short, which has children with headers alone")
			}
			synctest.Test(t, func(t *testing.T) {
				cluster := kafkatest.Bubble(t)
				cluster.CreateTopic(t, "events", 1, nil)
				for i, total := 0, int64(0); total < 30*mebi && i < 60_000; {
					records := make([]kafkalog.Record, k.batch)
					for j := range records {
						records[j] = k.record(i)
						total += sizeOf(&records[j])
						i++
					}
					write(t, cluster, "events", 0, k.codec, records...)
				}
				time.Sleep(time.Minute)
				before := heap()
				sink := &hangingSink{}
				c := New(Config{
					Brokers: cluster.Brokers, Topic: "events", Group: "group",
					DeadLetterTopic: "events.dead-letter", StateTopic: "events.reported",
					Version:          event.V3,
					Rules:            Rules{Window: time.Hour, ParentsRequired: true, ParentsWait: 10 * time.Minute},
					MaxInFlightBytes: 16 * mebi, MaxInFlightRecords: 1 << 30,
					Transport: cluster.Transport(t),
				}, sink)
				ctx, stop := context.WithCancel(t.Context())
				ended := make(chan error, 1)
				go func() { ended <- c.Run(ctx) }()
				time.Sleep(30 * time.Second)
				synctest.Wait()
				held := c.budget.held()
				grown := heap() - before
				t.Logf("%d KiB booked, the heap has grown by %d KiB", held>>10, grown>>10)
				const beside = mebi // of connections, metrics and pools
				if held < 8*mebi || grown > held*3/2+beside || held > (grown+beside)*3/2 {
					t.Errorf("%d bytes are booked, and the heap has grown by %d: expected a factor of at most 1.5", held, grown)
				}
				runtime.KeepAlive(sink)
				stop()
				if err := <-ended; err != nil {
					t.Error(err)
				}
			})
		})
	}
}
