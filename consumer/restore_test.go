package consumer

import (
	"fmt"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"

	"github.com/clientevents/clientevents/consumer/group"
	"github.com/clientevents/clientevents/consumer/kafkalog"
	"github.com/clientevents/clientevents/consumer/partition"
	"github.com/clientevents/clientevents/event"
	"github.com/clientevents/clientevents/test/kafkatest"
)

// BenchmarkRestore reads the state of one partition from a broker in this
// process: what a replica does before it takes the partition's events. At
// -benchtime=5000000x it restores five million ids.
func BenchmarkRestore(b *testing.B) {
	cluster := kafkatest.Embedded(b)
	cluster.CreateTopic(b, "events.reported", 1, nil)
	transport := cluster.Transport(b)
	c := New(Config{
		Brokers: cluster.Brokers, Topic: "events", StateTopic: "events.reported",
		Version: event.V3,
		Rules:   Rules{Window: 24 * time.Hour}, Transport: transport,
	}, nil)
	log := kafkalog.NewClient(kafka.TCP(cluster.Brokers...), transport)
	now := time.Now()
	var records []kafkalog.Record
	for i := range b.N {
		e := partition.Entry{Content: uint64(i), Created: now, Type: event.View, Reported: now}
		records = append(records, kafkalog.Record{Key: appendStateKey(nil, partition.KeyOf(fmt.Sprint("event-", i))), Value: appendEntry(nil, &e), Time: now})
		if len(records) == maxStateRecords || i == b.N-1 {
			if _, err := log.Append(b.Context(), "events.reported", 0, records); err != nil {
				b.Fatal(err)
			}
			records = records[:0]
		}
	}
	o := newOwner(c, 0, c.cfg.Rules, group.Position{}, kept{})
	b.ResetTimer()
	if err := o.readState(b.Context()); err != nil {
		b.Fatal(err)
	}
	b.StopTimer()
	if got := o.partition.Stats().Known; got != b.N {
		b.Fatalf("%d ids are known: want %d", got, b.N)
	}
	b.ReportMetric(float64(o.partition.Revoke().Index.Bytes())/float64(b.N), "B/id")
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "ids/s")
}
