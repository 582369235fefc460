package simulation

import (
	"bytes"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/segmentio/kafka-go"

	"github.com/clientevents/clientevents/consumer"
	"github.com/clientevents/clientevents/emulator"
	"github.com/clientevents/clientevents/internal/journey"
)

// TestRefusals: the API rejects a few events permanently, and for a while all of
// them, as it does where the parent is wrong. The few become dead letters with
// everything that is needed to act on them; a fault of the destination makes none.
func TestRefusals(t *testing.T) {
	t.Parallel()
	for name, stop := range map[string]bool{"the replica stays": false, "the partitions are given back meanwhile": true} {
		t.Run(name, func(t *testing.T) {
			some(t, journey.Mix{}, func(w *world) {
				t := w.t
				bad := leaves(w.records, 5)
				var wrongParent atomic.Bool
				w.api.SetFaults(emulator.Faults{Latency: 5 * time.Millisecond, Hook: func(r *emulator.Request) *emulator.Fault {
					switch {
					case !strings.HasSuffix(r.Path, "/clientEvents"): // a batch, whose parts come after it
					case wrongParent.Load():
						return &emulator.Fault{Status: http.StatusNotFound}
					default:
						for id := range bad {
							if bytes.Contains(r.Body, []byte(strconv.Quote(id))) {
								return &emulator.Fault{Status: http.StatusBadRequest, Message: "this job does not exist"}
							}
						}
					}
					return nil
				}})
				r := w.start()
				half := len(w.records) / 2
				w.publishWithHeaders(w.records[:half])
				time.Sleep(time.Minute)
				wrongParent.Store(true)
				w.publishWithHeaders(w.records[half:])
				time.Sleep(10 * time.Minute)
				for _, l := range w.kafka.ReadAll(t, topic+".dead-letter") {
					if header(l, consumer.HeaderHTTPStatus) != "400" {
						t.Errorf("while everything is refused, there is a dead letter for %s", header(l, consumer.HeaderHTTPStatus))
					}
				}
				if stop {
					r.stop()
				}
				wrongParent.Store(false)
				if stop {
					w.start()
				}
				w.awaitEnd()
				w.judgeRefusals(bad)
			})
		})
	}
}

// leaves are the ids of some events that have no children.
func leaves(records []journey.Record, n int) map[string]bool {
	parents := map[string]bool{}
	for _, r := range records {
		parents[r.Event.ParentID] = true
	}
	found := map[string]bool{}
	for _, r := range records {
		if !parents[r.Event.ID] && len(found) < n {
			found[r.Event.ID] = true
		}
	}
	return found
}

func (w *world) publishWithHeaders(records []journey.Record) {
	var messages []kafka.Message
	for _, r := range records {
		messages = append(messages, kafka.Message{Key: r.Key, Value: r.Value, Headers: []kafka.Header{{Key: "of", Value: []byte(r.Event.ID)}}})
	}
	w.kafka.ProduceByKey(w.t, topic, messages...)
}

// awaitEnd waits until all is committed, and ends everything.
func (w *world) awaitEnd() {
	for limit := time.Now().Add(30 * time.Minute); !w.finished() && time.Now().Before(limit); {
		time.Sleep(time.Second)
	}
	if !w.finished() {
		w.t.Error("not finished")
	}
	for _, r := range w.living() {
		r.stop()
	}
	for _, r := range w.replicas {
		<-r.done
	}
}

func header(m kafka.Message, name string) (value string) {
	for _, h := range m.Headers {
		if h.Key == name {
			value = string(h.Value)
		}
	}
	return value
}

// judgeRefusals wants each event reported once or a dead letter once, and dead
// letters that say what is needed.
func (w *world) judgeRefusals(bad map[string]bool) {
	t := w.t
	reported := map[string]int{}
	for _, a := range w.api.Events() {
		reported[a.Event.EventID]++
	}
	type place struct{ partition, offset string }
	source := map[place]kafka.Message{}
	for _, m := range w.kafka.ReadAll(t, topic) {
		source[place{strconv.Itoa(m.Partition), strconv.FormatInt(m.Offset, 10)}] = m
	}
	refused, orphans := map[string]bool{}, map[string]bool{}
	for _, l := range w.kafka.ReadAll(t, topic+".dead-letter") {
		id, status := header(l, "of"), header(l, consumer.HeaderHTTPStatus)
		m, ok := source[place{header(l, consumer.HeaderPartition), header(l, consumer.HeaderOffset)}]
		if !ok || header(m, "of") != id || !bytes.Equal(m.Key, l.Key) || !bytes.Equal(m.Value, l.Value) {
			t.Errorf("the dead letter of %s is not the record that it names", id)
		}
		if at, err := time.Parse(time.RFC3339, header(l, consumer.HeaderTimestamp)); err != nil || time.Since(at) > 3*time.Hour || at.After(time.Now()) {
			t.Errorf("the dead letter of %s is of %q: %v", id, header(l, consumer.HeaderTimestamp), err)
		}
		reason := header(l, consumer.HeaderReason)
		if from := header(l, consumer.HeaderTopic); from != topic {
			t.Errorf("the dead letter of %s is from %s", id, from)
		}
		switch {
		case refused[id]:
			t.Errorf("%s is a dead letter twice", id)
		case reason == "parent_not_found" && status == "":
			orphans[id] = true
		case reason != "rejected":
			t.Errorf("%s is a dead letter for %s", id, reason)
		case status == "400" && bad[id] && strings.Contains(header(l, consumer.HeaderDetail), "this job does not exist"):
		default:
			t.Errorf("%s is a dead letter for %s: %s", id, status, header(l, consumer.HeaderDetail))
		}
		refused[id] = true
	}
	lost := 0
	for _, r := range w.records {
		if orphans[r.Event.ID] && !refused[r.Event.ParentID] {
			t.Errorf("%s was given up, but its parent was not", r.Event.ID)
		}
		switch n := reported[r.Event.ID]; {
		case n > 1:
			t.Errorf("%s was reported %d times", r.Event.ID, n)
		case n == 0 && !refused[r.Event.ID]:
			lost++
			t.Errorf("LOST: %s of type %s", r.Event.ID, r.Event.Type)
		case n == 1 && refused[r.Event.ID]:
			t.Errorf("%s was reported and is a dead letter", r.Event.ID)
		}
	}
	t.Logf("%d records, %d dead letters", len(w.records), len(refused))
	totals.add(len(w.records), lost, 0, w.kills, w.stops)
}

// TestDestinationThatRejectsAll: whatever the status and the pace, and with restarts
// in between, a destination that rejects all events makes no dead letters, except
// two on an idle board. Everything else is reported once it works. Three replicas that
// share an event a minute have no idle board either.
func TestDestinationThatRejectsAll(t *testing.T) {
	t.Parallel()
	paces := []struct {
		every                  time.Duration
		replicas, events, most int
		often                  int // the status with which it is run without -all, too
	}{
		{time.Millisecond, 1, 60, 0, http.StatusNotFound},
		{time.Second, 1, 60, 0, http.StatusRequestEntityTooLarge},
		{time.Minute, 1, 60, 0, http.StatusRequestEntityTooLarge},
		{11 * time.Minute, 1, 8, 2, http.StatusBadRequest},
		{time.Millisecond, 3, 60, 0, 0},
		{time.Second, 3, 60, 0, http.StatusNotFound},
		{time.Minute, 3, 60, 0, 0},
	}
	for i, status := range []int{http.StatusBadRequest, http.StatusNotFound, http.StatusRequestEntityTooLarge} {
		for _, pace := range paces {
			if pace.replicas > 1 && status != http.StatusNotFound {
				continue // the status makes no difference to the others
			}
			t.Run(fmt.Sprintf("%d each %v, %d replicas", status, pace.every, pace.replicas), func(t *testing.T) {
				seldom(t, status != pace.often || testing.Short() && pace.replicas == 1)
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					w := newWorld(t, *first+uint64(i), journey.Mix{})
					w.records = slices.DeleteFunc(w.records, func(r journey.Record) bool { return r.Event.ParentID != "" })[:pace.events]
					w.rejectAll(status, pace.every, pace.replicas)
					if n := len(w.kafka.ReadAll(t, topic+".dead-letter")); n > pace.most {
						t.Errorf("%d dead letters, want at most %d", n, pace.most)
					}
					w.api.SetFaults(emulator.Faults{})
					time.Sleep(2 * time.Minute) // for the next trial
					w.awaitEnd()
					w.wantEachOnce(pace.most)
				})
			})
		}
	}
}

// rejectAll publishes the records while the API answers status to all requests. One of the
// replicas is restarted twice.
func (w *world) rejectAll(status int, every time.Duration, replicas int) {
	w.api.SetFaults(emulator.Faults{Hook: func(*emulator.Request) *emulator.Fault { return &emulator.Fault{Status: status} }})
	for range replicas - 1 {
		w.start()
	}
	r := w.start()
	for i := range w.records {
		if i%(len(w.records)/3) == 1 && i > 1 {
			r.stop()
			r = w.start()
		}
		w.publishWithHeaders(w.records[i : i+1])
		time.Sleep(every)
	}
	time.Sleep(25 * time.Minute) // twice the time that rejected events are held on an idle board
}

// wantEachOnce wants each event reported once, or a dead letter once.
func (w *world) wantEachOnce(letters int) {
	times := map[string]int{}
	for _, a := range w.api.Events() {
		times[a.Event.EventID]++
	}
	dead := w.kafka.ReadAll(w.t, topic+".dead-letter")
	for _, l := range dead {
		times[header(l, "of")]++
	}
	if len(dead) > letters {
		w.t.Errorf("%d dead letters, want at most %d", len(dead), letters)
	}
	for _, r := range w.records {
		if n := times[r.Event.ID]; n != 1 {
			w.t.Errorf("%s was reported or is a dead letter %d times, want 1", r.Event.ID, n)
		}
	}
}
