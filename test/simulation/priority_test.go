package simulation

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/segmentio/kafka-go"

	"github.com/clientevents/clientevents/emulator"
	"github.com/clientevents/clientevents/event"
	"github.com/clientevents/clientevents/internal/journey"
)

// TestPriority: for four minutes, or ten with -all, twice as much comes as the quota lets go. With
// report.priority value applications hardly wait, though their parents go before
// them; everything else does, and still moves.
func TestPriority(t *testing.T) {
	if testing.Short() {
		t.Skip("not run with -short: what is judged is the order, over a long time")
	}
	t.Parallel()
	var value, arrival waited
	t.Run("both", func(t *testing.T) {
		t.Run("by value", func(t *testing.T) {
			t.Parallel()
			value = shortQuota(t, false)
		})
		t.Run("by arrival", func(t *testing.T) {
			t.Parallel()
			arrival = shortQuota(t, true)
		})
	})
	if t.Failed() {
		return
	}
	for rank, name := range []string{"applications", "views", "impressions"} {
		v, a := value.delays[rank], arrival.delays[rank]
		t.Logf("%d %s: median %v and longest %v by value, %v and %v by arrival; moving at least every %v and %v",
			len(v), name, median(v), slices.Max(v), median(a), slices.Max(a), value.gaps[rank], arrival.gaps[rank])
	}
	if v, a := median(value.delays[0]), median(arrival.delays[0]); a < 10*v {
		t.Errorf("the median application waits %v by value, and %v by arrival: want a tenth at most", v, a)
	}
	// One in ten, at five a second.
	if gap := value.gaps[2]; gap > 10*time.Second {
		t.Errorf("for %v no impression went", gap)
	}
}

// waited is how long events waited, by their rank, and the longest time in which
// none of a rank went while there were some.
type waited struct {
	delays [event.Ranks][]time.Duration
	gaps   [event.Ranks]time.Duration
}

func median(of []time.Duration) time.Duration {
	sorted := slices.Sorted(slices.Values(of))
	return sorted[len(sorted)/2]
}

// shortQuota publishes ten a second under a quota of five.
func shortQuota(t *testing.T, byArrival bool) (of waited) {
	const perSecond = 5
	lasts := 4 * time.Minute
	if *all {
		lasts = 10 * time.Minute
	}
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 3, journey.Mix{})
		w.byArrival = byArrival
		g := journey.New(journey.Options{Seed: 3, Version: event.V3, Start: time.Now()})
		w.records = slices.Collect(g.Mixed(journey.Mix{}, 2*perSecond*int(lasts.Seconds())))
		w.api.SetFaults(emulator.Faults{Latency: 20 * time.Millisecond, Quota: emulator.Quota{Limit: perSecond, Window: time.Second}})
		w.start()
		time.Sleep(10 * time.Second)
		published := map[string]time.Time{}
		for portion := range slices.Chunk(w.records, 2*perSecond) {
			var messages []kafka.Message
			for _, r := range portion {
				messages = append(messages, kafka.Message{Key: r.Key, Value: r.Value})
				published[r.Event.ID] = time.Now()
			}
			w.kafka.ProduceByKey(t, topic, messages...)
			time.Sleep(time.Second)
		}
		end := time.Now()
		last := [event.Ranks]time.Time{}
		for _, a := range w.api.Events() {
			rank := w.typeOf(a.Event.EventID).Rank()
			if !last[rank].IsZero() {
				of.gaps[rank] = max(of.gaps[rank], a.Time.Sub(last[rank]))
			}
			last[rank] = a.Time
		}
		// What is left waits until there is quota for it.
		w.api.SetFaults(emulator.Faults{Latency: 20 * time.Millisecond, Quota: emulator.Quota{Limit: perSecond, Window: time.Second}})
		for !w.finished() && time.Since(end) < time.Hour {
			time.Sleep(time.Second)
		}
		for _, a := range w.api.Events() {
			rank := w.typeOf(a.Event.EventID).Rank()
			of.delays[rank] = append(of.delays[rank], a.Time.Sub(published[a.Event.EventID]))
		}
		w.settle()
		w.judge(0)
	})
	return of
}

func (w *world) typeOf(id string) event.Type {
	if w.types == nil {
		w.types = map[string]event.Type{}
		for _, r := range w.records {
			if r.Event != nil {
				w.types[r.Event.ID] = r.Event.Type
			}
		}
	}
	return w.types[id]
}
