package simulation

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/clientevents/clientevents/internal/journey"
)

// TestPartitionsAdded: partitions are added to the source topic while replicas
// run, and at first the state topic can't be given as many. They wait for it,
// and then are read like the others, of which nothing is lost or repeated.
func TestPartitionsAdded(t *testing.T) {
	t.Parallel()
	for _, fault := range []*kerr.Error{nil, kerr.NotController, kerr.RequestTimedOut, kerr.InvalidPartitions, kerr.ThrottlingQuotaExceeded, kerr.UnknownServerError} {
		name := "no error"
		if fault != nil {
			name = fault.Message
		}
		t.Run(name, func(t *testing.T) {
			seldom(t, fault == kerr.NotController || fault == kerr.ThrottlingQuotaExceeded || fault == kerr.UnknownServerError)
			if testing.Short() && fault != kerr.RequestTimedOut {
				t.Skip("not run with -short, which has one error")
			}
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				// A journey that is split by the change may be given up, so there are
				// no children; and an id that comes again may come elsewhere.
				w := newWorld(t, 11, journey.Mix{Tombstones: true})
				w.records = withoutChildren(w.records)
				client := w.kafka.Client(t)
				w.start()
				w.start()
				before := len(w.kafka.EndOffsets(t, topic))
				after := before + 3
				portion := 0
				var handle *kfake.FaultHandle
				w.publish(func() {
					if portion++; portion != 4 {
						return
					}
					time.Sleep(5 * time.Second)
					answer, err := client.CreatePartitions(t.Context(), &kafka.CreatePartitionsRequest{
						Topics: []kafka.TopicPartitionsConfig{{Name: topic, Count: int32(after)}},
					})
					if err != nil || answer.Errors[topic] != nil {
						t.Fatal(err, answer)
					}
					if fault != nil {
						handle = w.kafka.Fake.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.CreatePartitions}, Topic: topic + ".reported", Err: fault, Count: 3})
					}
					time.Sleep(6 * time.Minute) // until the test's producer knows of them, too
				})
				time.Sleep(2 * time.Minute)
				if !w.finished() {
					t.Errorf("not all has its outcome: committed %v of %v", w.kafka.CommittedOffsets(t, group, topic), w.kafka.EndOffsets(t, topic))
				}
				if handle != nil && handle.Hits() == 0 {
					t.Error("the fault befell nothing")
				}
				if got := len(w.kafka.EndOffsets(t, topic+".reported")); got != after {
					t.Errorf("the state topic has %d partitions, want %d", got, after)
				}
				used := 0
				for _, end := range w.kafka.EndOffsets(t, topic)[before:] {
					used += int(end)
				}
				if used == 0 {
					t.Error("nothing was published to the new partitions")
				}
				w.settle()
				w.judge(0)
			})
		})
	}
}

func withoutChildren(records []journey.Record) (kept []journey.Record) {
	for _, r := range records {
		if r.Event != nil && r.Event.ParentID == "" {
			kept = append(kept, r)
		}
	}
	return kept
}
