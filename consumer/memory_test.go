package consumer

import (
	"context"
	"fmt"
	"math/rand/v2"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/clientevents/clientevents/event"
	"github.com/clientevents/clientevents/internal/kafkatest"
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
func (s *hangingSink) Raise(*event.Delivery, uint8) {}
func (s *hangingSink) Settle(int)                   {}
func (s *hangingSink) Drain(context.Context)        {}
func (s *hangingSink) Resume()                      {}

// TestWhatIsHeldIsBooked: behind an API that hangs, a backlog takes no more
// memory than the budget says, however it is compressed, and what the budget
// books is what the heap holds.
func TestWhatIsHeldIsBooked(t *testing.T) {
	const mebi = 1 << 20
	for _, codec := range []struct {
		name  string
		codec kgo.CompressionCodec
	}{{"none", kgo.NoCompression()}, {"lz4", kgo.Lz4Compression()}, {"zstd", kgo.ZstdCompression()}} {
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
					backlog(t, cluster, codec.codec, 40_000)
					time.Sleep(time.Minute) // what served the producer goes
					before := heap()
					sink := &hangingSink{}
					c := New(Config{
						Brokers: cluster.Brokers, Topic: "events", Group: "group",
						DeadLetterTopic: "events.dead-letter", StateTopic: "events.reported",
						Rules:            Rules{Version: event.V3, Window: time.Hour, ParentsRequired: true, ParentsWait: time.Minute},
						MaxInFlightBytes: limit.bytes, MaxInFlightRecords: limit.records,
						Transport: cluster.Transport(t), Dialer: cluster.Dialer(),
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

// backlog publishes n events, in batches as large as a broker takes by default.
func backlog(t *testing.T, cluster *kafkatest.Cluster, codec kgo.CompressionCodec, n int) {
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
				`"jobEvent":{"type":"IMPRESSION","jobs":["projects/p/jobs/%d","projects/p/jobs/%d"]},"extraInfo":{"page":"%d","query":"engineer"}}`,
				i, random.Uint64(), random.IntN(1000), random.IntN(1000), random.IntN(10)),
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

// TestWhoWaitsNoMoreIsForgotten: a child that waited for a moment leaves nothing
// behind, though its patience would have lasted for long.
func TestWhoWaitsNoMoreIsForgotten(t *testing.T) {
	const children = 20_000
	now := time.Unix(1_800_000_000, 0)
	p := newPartition(0, Rules{Version: event.V3, Window: time.Hour, ParentsRequired: true, ParentsWait: time.Hour},
		newMetrics(nil, newBudget(1<<30, 1<<30, 1<<30), event.V3), &account{budget: newBudget(1<<30, 1<<30, 1<<30)}, 0)
	p.tick(now, true)
	admit := func(offset int64, id, parent string, typ string) []*event.Delivery {
		value := fmt.Appendf(nil, `{"eventId":%q,"requestId":"r","createTime":"2026-01-02T03:04:05Z","jobEvent":{"type":%q,"jobs":["projects/p/jobs/1"]}`, id, typ)
		if parent != "" {
			value = fmt.Appendf(value, `,"parentEventId":%q`, parent)
		}
		it, fault := decode(&record{Offset: offset, Value: append(value, '}')}, event.V3, 0, nil)
		if fault != nil {
			t.Fatal(fault)
		}
		it.chunk = p.account.take(0, 1, nil)
		return p.admit([]*item{it}, []*event.Fault{nil}, offset+1, now)
	}
	admit(0, "stays", "never", "VIEW")
	for i := range int64(children) {
		id := fmt.Sprint("parent", i)
		admit(2*i+1, fmt.Sprint("child", i), id, "VIEW")
		parent := admit(2*i+2, id, "", "IMPRESSION")
		if ready, _ := p.accepted(parent[0], now); len(ready) != 1 {
			t.Fatalf("%d children go on: want one", len(ready))
		}
	}
	p.tick(now.Add(time.Second), true)
	if len(p.patience) > 1000 || p.waiting() != 1 {
		t.Errorf("%d are remembered as waiting, and %d wait: want 1, and not many more than that remembered", len(p.patience), p.waiting())
	}
	p.tick(now.Add(2*time.Hour), true)
	if len(p.letters) != 1 || p.gone != 0 {
		t.Errorf("%d dead letters, %d gone: want the one that waited", len(p.letters), p.gone)
	}
}
