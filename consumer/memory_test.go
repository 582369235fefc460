package consumer

import (
	"context"
	"fmt"
	"math/rand/v2"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/clientevents/clientevents/event"
	"github.com/clientevents/clientevents/test/kafkatest"
)

// hangingSink takes everything and answers nothing, as an API that hangs.
type hangingSink struct {
	mu   sync.Mutex
	held []*event.Delivery
}

func (s *hangingSink) Accept(ds []*event.Delivery) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.held = append(s.held, ds...)
}
func (s *hangingSink) Raise(*event.Delivery, uint8)              {}
func (s *hangingSink) Drain(context.Context, []*event.Term) bool { return true }
func (s *hangingSink) Abort(context.Context, []*event.Term)      {}

// TestWhatIsHeldIsBooked: behind an API that hangs, a backlog takes no more
// memory than the budget says, however it is compressed, and what the budget
// books is what the heap holds.
func TestWhatIsHeldIsBooked(t *testing.T) {
	const mebi = 1 << 20
	for _, codec := range []struct {
		name   string
		codec  kgo.CompressionCodec
		larger int
	}{
		{"none", kgo.NoCompression(), 0},
		{"lz4", kgo.Lz4Compression(), 0},
		{"zstd", kgo.ZstdCompression(), 0},
		// Most of what they hold is their bytes: of small ones, most is what surrounds them.
		{"large records, zstd", kgo.ZstdCompression(), 400},
	} {
		for _, limit := range []struct {
			name           string
			bytes, records int64
		}{{"bytes", 8 * mebi, 1 << 30}, {"records", 1 << 30, 5000}} {
			t.Run(codec.name+" by "+limit.name, func(t *testing.T) {
				if testing.Short() && codec.name != "zstd" {
					t.Skip("not run with -short, which has zstd alone")
				}
				synctest.Test(t, func(t *testing.T) {
					cluster := kafkatest.Bubble(t)
					cluster.CreateTopic(t, "events", 4, nil)
					backlog(t, cluster, codec.codec, 40_000, codec.larger)
					time.Sleep(time.Minute) // what served the producer goes
					before := heap()
					sink := &hangingSink{}
					c := New(Config{
						Brokers: cluster.Brokers, Topic: "events", Group: "group",
						DeadLetterTopic: "events.dead-letter", StateTopic: "events.reported",
						Version:          event.V3,
						Rules:            Rules{Window: time.Hour, ParentsRequired: true, ParentsWait: time.Minute},
						MaxInFlightBytes: limit.bytes, MaxInFlightRecords: limit.records,
						Transport: cluster.Transport(t),
					}, sink)
					ctx, stop := context.WithCancel(t.Context())
					ended := make(chan error, 1)
					go func() { ended <- c.Run(ctx) }()
					time.Sleep(10 * time.Second)
					synctest.Wait()
					held, records := c.budget.held(), len(sink.held)
					grown := heap() - before
					t.Logf("%d records: %d KiB booked, the heap has grown by %d KiB", records, held>>10, grown>>10)
					if most := limit.bytes*3/2 + 4*6*mebi; held > most {
						t.Errorf("%d bytes are held: want at most half more than %d, and a large batch of each partition", held, limit.bytes)
					}
					if most := int(limit.records*3/2) + 4*4000; records > most {
						t.Errorf("%d records are held: want at most half more than %d, and a batch of each partition", records, limit.records)
					}
					if grown > held*6/5+2*mebi {
						t.Errorf("the heap has grown by %d bytes, and %d are booked: want what is held to be booked", grown, held)
					}
					if grown < held/2 {
						t.Errorf("the heap has grown by %d bytes only, and %d are booked: the budget lets less in than it could", grown, held)
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
}

// heap is how many bytes of the heap are in use.
func heap() int64 {
	var m runtime.MemStats
	for range 3 { // pools give up their memory at the second
		runtime.GC()
	}
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// backlog publishes n events that are larger than usual by so many bytes, in batches as
// large as a broker takes by default.
func backlog(t *testing.T, cluster *kafkatest.Cluster, codec kgo.CompressionCodec, n, larger int) {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(cluster.Brokers...), kgo.Dialer(cluster.DialContext),
		kgo.DefaultProduceTopic("events"), kgo.ProducerBatchCompression(codec), kgo.MaxBufferedRecords(n), kgo.ProducerLinger(time.Second))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	random := rand.New(rand.NewPCG(1, 1))
	for i := range n {
		client.Produce(t.Context(), &kgo.Record{
			Key: fmt.Append(nil, i),
			Value: fmt.Appendf(nil, `{"eventId":"e%d","requestId":"%016x","createTime":"2026-01-02T03:04:05Z",`+
				`"jobEvent":{"type":"IMPRESSION","jobs":["projects/p/jobs/%d","projects/p/jobs/%d"]},"extraInfo":{"page":"%d","query":"engineer%s"}}`,
				i, random.Uint64(), random.IntN(1000), random.IntN(1000), random.IntN(10), strings.Repeat("x", larger)),
			Headers: []kgo.RecordHeader{{Key: "source", Value: []byte("web")}},
		}, func(_ *kgo.Record, err error) {
			if err != nil {
				t.Error(err)
			}
		})
	}
	if err := client.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
}
