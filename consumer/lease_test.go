package consumer

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/clientevents/clientevents/event"
	"github.com/clientevents/clientevents/test/kafkatest"
)

// TestLeaseEndsWithTheSession: a replica that was frozen for as long as its
// session lasts has no lease when it thaws, before anybody could tell it so. One
// that runs has one, for as long as it is a member.
func TestLeaseEndsWithTheSession(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cluster := kafkatest.Bubble(t)
		cluster.CreateTopic(t, "events", 1, nil)
		c := New(Config{
			Brokers: cluster.Brokers, Topic: "events", Group: "group",
			DeadLetterTopic: "events.dead-letter", StateTopic: "events.reported",
			Version:        event.V3,
			Rules:          Rules{Window: time.Hour, ParentsRequired: true, ParentsWait: time.Second},
			SessionTimeout: 6 * time.Second, Transport: cluster.Transport(t),
		}, &acceptingSink{})
		if c.Leased(time.Now()) {
			t.Error("there is a lease before the group was joined")
		}
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- c.Run(ctx) }()
		time.Sleep(5 * time.Second)
		for range 20 {
			time.Sleep(time.Second)
			if now := time.Now(); !c.Leased(now) || c.Leased(now.Add(6*time.Second)) {
				t.Errorf("a lease now: %v, and after a session without a sign of life: %v; want the first alone", c.Leased(now), c.Leased(now.Add(6*time.Second)))
			}
		}
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		if c.Leased(time.Now()) {
			t.Error("there is a lease after the group was left")
		}
	})
}
