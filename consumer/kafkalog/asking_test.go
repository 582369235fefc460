package kafkalog

import (
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/clientevents/clientevents/test/kafkatest"
)

// TestQuestionsShareRequests: partitions that are assigned at once ask for their offsets and
// their topic with a few requests, and each gets its own answer.
func TestQuestionsShareRequests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const partitions = 50
		c := kafkatest.Bubble(t)
		c.CreateTopic(t, "events", partitions, nil)
		l := NewClient(c.Addr(), c.Transport(t))
		for p := range int32(partitions) {
			if _, err := l.Append(t.Context(), "events", p, make([]Record, p+1)); err != nil {
				t.Fatal(err)
			}
		}
		var offsets, topics atomic.Int32
		count := func(key kmsg.Key, n *atomic.Int32) {
			c.Fake.ControlKey(key.Int16(), func(kmsg.Request) (kmsg.Response, error, bool) {
				c.Fake.KeepControl()
				n.Add(1)
				// Fake time passes when all have asked.
				c.Fake.SleepControl(func() { time.Sleep(10 * time.Millisecond) })
				return nil, nil, false
			})
		}
		count(kmsg.ListOffsets, &offsets)
		count(kmsg.Metadata, &topics)
		failed := make(chan error, partitions)
		for p := range int32(partitions) {
			go func() {
				found, err := l.Topics(t.Context(), "events")
				if err == nil && len(found[0].Partitions) != partitions {
					err = errors.New("the topic has other partitions")
				}
				_, end, err2 := l.Offsets(t.Context(), "events", p)
				if err2 == nil && end != int64(p)+1 {
					err2 = errors.New("the end is another partition's")
				}
				failed <- errors.Join(err, err2)
			}()
		}
		for range partitions {
			if err := <-failed; err != nil {
				t.Error(err)
			}
		}
		if n := offsets.Load(); n > partitions/4 {
			t.Errorf("%d requests for offsets of %d partitions", n, partitions)
		}
		if n := topics.Load(); n > partitions/4 {
			t.Errorf("%d requests for the topic of %d partitions", n, partitions)
		}
	})
}
