package consumer

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"

	"github.com/clientevents/clientevents/consumer/group"
	"github.com/clientevents/clientevents/consumer/kafkalog"
	"github.com/clientevents/clientevents/consumer/partition"
	"github.com/clientevents/clientevents/event"
	"github.com/clientevents/clientevents/test/kafkatest"
)

// stateWorld is a state topic, and a consumer that reads it.
type stateWorld struct {
	tb  testing.TB
	c   *Consumer
	log *kafkalog.Client
}

func newStateWorld(tb testing.TB, cluster *kafkatest.Cluster, partitions int) *stateWorld {
	topic := kafkatest.Name(tb, "reported")
	cluster.CreateTopic(tb, topic, partitions, nil)
	transport := cluster.Transport(tb)
	c := New(Config{
		Brokers: cluster.Brokers, Topic: "events", StateTopic: topic,
		Version: event.V3,
		Rules:   Rules{Window: 24 * time.Hour}, Transport: transport,
		MaxInFlightBytes: 1 << 20,
	}, nil)
	return &stateWorld{tb, c, kafkalog.NewClient(kafka.TCP(cluster.Brokers...), transport)}
}

func (w *stateWorld) write(partition int, records ...kafkalog.Record) {
	w.tb.Helper()
	var err error
	kafkatest.WaitFor(w.tb, 30*time.Second, "a leader", func() bool {
		_, err = w.log.Append(w.tb.Context(), w.c.cfg.StateTopic, int32(partition), records)
		return err == nil || !kafkalog.Retriable(err)
	})
	if err != nil {
		w.tb.Fatal(err)
	}
}

func (w *stateWorld) owner(partition int) *owner {
	return newOwner(w.c, int32(partition), w.c.cfg.Rules, group.Position{}, kept{})
}

// reportedRecord is the state record of a numbered event.
func reportedRecord(n int, at time.Time) kafkalog.Record {
	e := partition.Entry{Content: uint64(n), Created: at, Type: event.View, Reported: at}
	return kafkalog.Record{Key: appendStateKey(nil, partition.KeyOf(fmt.Sprint("event-", n))), Value: appendEntry(nil, &e), Time: at}
}

// TestRestoreAhead: the state is read whole, in many fetches, and its memory is returned,
// also where it ends with an error.
func TestRestoreAhead(t *testing.T) {
	const batches, each = 20, 500 // 40 times what a fetch takes
	w := newStateWorld(t, kafkatest.Embedded(t), 1)
	now := time.Now()
	for i := range batches {
		var records []kafkalog.Record
		for j := range each {
			records = append(records, reportedRecord(i*each+j, now))
		}
		w.write(0, records...)
	}
	for _, test := range []struct {
		name string
		last kafkalog.Record
		want string
	}{
		{"all is valid", reportedRecord(0, now), ""},
		{"the last record is not", kafkalog.Record{Key: []byte{stateReported}, Value: []byte{stateFormat}}, "offset 10001: a key of 1 bytes"},
		{"another one follows", kafkalog.Record{Key: []byte{stateReported}, Value: []byte{stateFormat, 1}}, "offset 10001: a key of 1 bytes"},
	} {
		w.write(0, test.last)
		o := w.owner(0)
		switch err := o.readState(t.Context()); {
		case test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)):
			t.Errorf("%s: %v, want %q", test.name, err, test.want)
		case test.want == "" && (err != nil || o.partition.Stats().Known != batches*each || o.remaining.Load() != 0):
			t.Errorf("%s: %v; %d ids are known, %d records are left", test.name, err, o.partition.Stats().Known, o.remaining.Load())
		}
		if held := o.account.bytes.Load(); held != 0 || len(w.c.budget.restores) != 0 {
			t.Fatalf("%s: %d bytes are accounted and %d turns taken", test.name, held, len(w.c.budget.restores))
		}
	}
}

// TestRestoreTurns: partitions read their state after one another, and one without a
// state does not wait.
func TestRestoreTurns(t *testing.T) {
	w := newStateWorld(t, kafkatest.Embedded(t), 2)
	w.write(0, reportedRecord(1, time.Now()))
	for range cap(w.c.budget.restores) {
		w.c.budget.restores <- struct{}{}
	}
	o, done := w.owner(0), make(chan error, 1)
	ctx, cancel := context.WithCancel(t.Context())
	go func() { done <- o.readState(ctx) }()
	kafkatest.WaitFor(t, 10*time.Second, "a state to read", func() bool { return o.remaining.Load() == 1 })
	if err := w.owner(1).readState(t.Context()); err != nil {
		t.Errorf("nothing to read: %v", err)
	}
	select {
	case err := <-done:
		t.Fatalf("it was read without a turn: %v", err)
	default:
	}
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("it ended with %v", err)
	}
	<-w.c.budget.restores
	if err := o.readState(t.Context()); err != nil || o.partition.Stats().Known != 1 {
		t.Errorf("with a turn: %v, and %d ids are known", err, o.partition.Stats().Known)
	}
}

// BenchmarkRestore reads the state of partitions from a broker in this process, and from
// a real one: what a replica does before it takes the partitions' events. At -benchtime=5000000x it
// restores five million ids, which were reported in the course of a day.
func BenchmarkRestore(b *testing.B) {
	for _, partitions := range []int{1, 6} {
		b.Run(fmt.Sprintf("partitions=%d", partitions), func(b *testing.B) { benchmarkRestore(b, kafkatest.Embedded(b), partitions) })
		b.Run(fmt.Sprintf("kafka/partitions=%d", partitions), func(b *testing.B) { benchmarkRestore(b, kafkatest.Real(b), partitions) })
	}
}

func benchmarkRestore(b *testing.B, cluster *kafkatest.Cluster, partitions int) {
	w := newStateWorld(b, cluster, partitions)
	w.c.budget.limits.bytes = budgetOf(0)
	now, window := time.Now(), w.c.cfg.Rules.Window
	var records []kafkalog.Record
	to := 0
	for i := range b.N {
		records = append(records, reportedRecord(i, now.Add(-time.Duration(float64(window)*float64(b.N-i)/float64(b.N)))))
		if len(records) == maxStateRecords || i == b.N-1 {
			w.write(to, records...)
			records, to = records[:0], (to+1)%partitions
		}
	}
	owners := make([]*owner, partitions)
	for i := range owners {
		owners[i] = w.owner(i)
		kafkatest.WaitFor(b, 30*time.Second, "a leader", func() bool {
			_, _, err := w.c.kafka.Offsets(b.Context(), w.c.cfg.StateTopic, int32(i))
			return err == nil
		})
	}
	runtime.GC()
	b.ResetTimer()
	var reading sync.WaitGroup
	took := make([]time.Duration, partitions)
	for i, o := range owners {
		reading.Go(func() {
			if err := o.readState(b.Context()); err != nil {
				b.Error(err)
			}
			took[i] = b.Elapsed()
		})
	}
	reading.Wait()
	b.StopTimer()
	known, bytes := 0, 0
	for _, o := range owners {
		known += o.partition.Stats().Known
		bytes += o.partition.Revoke().Index.Bytes()
	}
	if known != b.N {
		b.Fatalf("%d ids are known: want %d", known, b.N)
	}
	b.ReportMetric(float64(bytes)/float64(b.N), "B/id")
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "ids/s")
	b.ReportMetric(slices.Min(took).Seconds()/b.Elapsed().Seconds(), "first/all")
}
