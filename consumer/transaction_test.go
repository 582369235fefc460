package consumer

import (
	"strings"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"

	"github.com/clientevents/clientevents/test/kafkatest"
)

// TestOpenTransaction: a transaction that holds a partition up is shown with its age
// and logged once, and no longer shown when it has ended. Short ones are not reported.
func TestOpenTransaction(t *testing.T) {
	everywhere(t, func(t *testing.T, c *kafkatest.Cluster) {
		r := newReading(t, c)
		r.patience = time.Second
		stop := r.run()
		defer func() { stop() }()
		r.publish("before", 3)
		r.wait(3)
		short := c.Begin(t)
		short.Produce(t, r.topic, kafka.Message{Value: []byte("nonsense")})
		short.Commit(t)
		r.committed(5) // the transaction's record and its marker
		if log := r.log.take(); strings.Contains(log, "transaction") {
			t.Errorf("log: want nothing about a short transaction:\n%s", log)
		}

		began := time.Now().Add(-time.Second)
		long := c.Begin(t)
		long.Produce(t, r.topic, kafka.Message{Value: []byte("nonsense")})
		r.publish("behind", 20)
		const metric = "clientevents_open_transaction_timestamp_seconds"
		kafkatest.WaitFor(t, 30*time.Second, "the open transaction", func() bool {
			s, _ := r.c.Partition(0)
			return s.Trouble == TroubleTransaction && r.gauge(metric) > 0
		})
		s, _ := r.c.Partition(0)
		if s.Transaction.Offset != 5 || s.Transaction.Since.Before(began) || s.Transaction.Since.After(time.Now()) {
			t.Errorf("the status shows %+v: want the transaction at 5, since %v", s.Transaction, began)
		}
		if s.Lag != 21 || !strings.HasPrefix(s.Detail, "a transaction that begins at offset 5 has been open since ") {
			t.Errorf("the status shows lag %d and %q", s.Lag, s.Detail)
		}
		if n := r.sink.count(); n != 3 {
			t.Errorf("%d events are reported: want 3, since the others are behind the transaction", n)
		}
		time.Sleep(3 * fetchWait / 2) // another fetch ends there
		long.Commit(t)
		r.wait(23)
		kafkatest.WaitFor(t, 30*time.Second, "an end of the trouble", func() bool {
			s, _ := r.c.Partition(0)
			return s.Transaction == nil && r.gauge(metric) == 0
		})
		stop()
		log := r.log.take()
		for _, line := range []string{"an open transaction holds the partition up", "the open transaction has ended"} {
			if strings.Count(log, line) != 1 {
				t.Errorf("log: want %q once:\n%s", line, log)
			}
		}
	})
}

// gauge returns the value of a gauge for the only partition; -1 without a series.
func (r *reading) gauge(metric string) float64 {
	r.t.Helper()
	families, err := r.registry.Gather()
	if err != nil {
		r.t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == metric {
			return f.GetMetric()[0].GetGauge().GetValue()
		}
	}
	return -1
}
