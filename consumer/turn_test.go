package consumer

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/segmentio/kafka-go"

	"github.com/clientevents/clientevents/event"
	"github.com/clientevents/clientevents/test/kafkatest"
)

// Partitions that are read to their end wait for the broker, and the others do not
// wait for what that may bring.
func TestPartitionsAtTheirEndHoldNobodyUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const partitions, few, many = 6, 100, 5000
		cluster := kafkatest.Bubble(t)
		cluster.CreateTopic(t, "events", partitions, nil)
		publish := func(partition, n int) {
			messages := make([]kafka.Message, n)
			for i := range messages {
				messages[i] = kafka.Message{Partition: partition, Value: fmt.Appendf(nil, "not JSON: %d", i)}
			}
			cluster.Produce(t, "events", messages...)
		}
		for p := range partitions - 1 {
			publish(p, few)
		}
		c, stop := refusing(t, cluster, func(cfg *Config) { cfg.ReadAhead = 2 * few })
		letters := func() uint64 {
			_, letters := c.Counts()
			return letters[string(event.ReasonMalformed)]
		}
		kafkatest.WaitFor(t, time.Minute, "the few", func() bool { return letters() == (partitions-1)*few })
		began := time.Now()
		publish(partitions-1, many)
		kafkatest.WaitFor(t, time.Minute, "all dead letters", func() bool { return letters() == many+(partitions-1)*few })
		if took := time.Since(began); took >= aheadPatience/2 {
			t.Errorf("it took %v, want no wait for fetches that find nothing", took)
		}
		stop()
	})
}
