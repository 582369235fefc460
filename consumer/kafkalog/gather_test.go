package kafkalog

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// watchProduce notes how many partitions each produce request is for.
func watchProduce(c cluster) (requests func() []int) {
	var mu sync.Mutex
	var seen []int
	known := map[kmsg.Request]bool{} // it is asked about each partition
	c.Fake.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Count: -1, When: func(req kmsg.Request) bool {
		mu.Lock()
		defer mu.Unlock()
		if known[req] {
			return false
		}
		known[req] = true
		partitions := 0
		for _, topic := range req.(*kmsg.ProduceRequest).Topics {
			partitions += len(topic.Partitions)
		}
		seen = append(seen, partitions)
		return false
	}})
	return func() []int {
		mu.Lock()
		defer mu.Unlock()
		return slices.Clone(seen)
	}
}

// hold keeps the next n produce requests waiting.
func hold(c cluster, n int, d time.Duration) {
	c.Fake.ControlKey(kmsg.Produce.Int16(), func(kmsg.Request) (kmsg.Response, error, bool) {
		if n--; n >= 0 {
			c.Fake.SleepControl(func() { time.Sleep(d) })
		}
		return nil, nil, false
	})
}

// appendAll appends a record to each partition at once, and returns the results of
// it and how long each took.
func appendAll(ctx context.Context, client *Client, topic string, partitions []int32) (errs []error, took []time.Duration) {
	errs, took = make([]error, len(partitions)), make([]time.Duration, len(partitions))
	began := time.Now()
	var all sync.WaitGroup
	for i, p := range partitions {
		all.Go(func() {
			_, errs[i] = client.Append(ctx, topic, p, []Record{{Value: fmt.Append(nil, p)}})
			took[i] = time.Since(began)
		})
	}
	all.Wait()
	return errs, took
}

func upTo(n int32) (all []int32) {
	for p := range n {
		all = append(all, p)
	}
	return all
}

func wantNone(t *testing.T, errs []error) {
	t.Helper()
	if err := errors.Join(errs...); err != nil {
		t.Error(err)
	}
}

// wantEach reads each partition, which holds its number so often.
func wantEach(t *testing.T, client *Client, topic string, partitions []int32, times int) {
	t.Helper()
	for _, p := range partitions {
		want := slices.Repeat([]string{fmt.Sprint(p)}, times)
		if got := values(readAll(t, client, FetchRequest{Topic: topic, Partition: p})); !slices.Equal(got, want) {
			t.Errorf("partition %d holds %q, want %q", p, got, want)
		}
	}
}

// Appends that are made at the same time, or arrive during a request, share one to each
// leader.
func TestAppendsGoTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := bubble(t)
		const n = 20
		client, topic := c.client(t), c.NewTopic(t, "log", n)
		leaders := map[int32]int{}
		for p := range int32(n) {
			leaders[c.Fake.LeaderFor(topic, p)]++
		}
		if len(leaders) != 2 {
			t.Fatalf("the partitions have the leaders %v: want two", leaders)
		}
		requests := watchProduce(c)
		hold(c, 1000, time.Millisecond)
		for round := range 3 {
			errs, _ := appendAll(t.Context(), client, topic, upTo(n))
			wantNone(t, errs)
			wantEach(t, client, topic, upTo(n), round+1)
		}
		// Each round is a request to each leader, and another for the appends that were
		// too late for it.
		if got := requests(); len(got) > 3*2*len(leaders) {
			t.Errorf("%d appends took %d requests, of %v partitions: want at most 12", 3*n, len(got), got)
		}
	})
}

// TestAppendsJoinARequest: until a request is sent, appends join it.
func TestAppendsJoinARequest(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1)) // it is sent when this goroutine waits
	synctest.Test(t, func(t *testing.T) {
		c := bubble(t)
		const n = 5
		client, topic := c.client(t), c.NewTopic(t, "log", n)
		requests := watchProduce(c)
		var all []*appending
		for p := range int32(n) {
			batch, _, err := client.encodeBatch([]Record{{Value: fmt.Append(nil, p)}}, len(topic), Uncompressed)
			wantNone(t, []error{err})
			all = append(all, &appending{topic: topic, partition: p, batch: batch, done: make(chan struct{})})
		}
		for _, a := range all {
			client.gatherer.add(a)
		}
		for _, a := range all {
			<-a.done
			wantNone(t, []error{a.err})
		}
		sum := 0
		for _, partitions := range requests() {
			sum += partitions
		}
		if got := requests(); len(got) > 2 || sum != n {
			t.Errorf("%d appends took requests of %v partitions: want one to each of two leaders", n, got)
		}
	})
}

// A request that takes its time holds others up for a moment only.
func TestASlowAppendHoldsNobodyUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := bubble(t)
		const n = 6
		client, topic := c.client(t), c.NewTopic(t, "log", n)
		errs, _ := appendAll(t.Context(), client, topic, upTo(n)) // so that leaders are known
		wantNone(t, errs)
		hold(c, 1, 8*time.Second)
		var slow sync.WaitGroup
		slow.Go(func() {
			errs, _ := appendAll(t.Context(), client, topic, []int32{0})
			wantNone(t, errs)
		})
		synctest.Wait() // it is sent
		errs, took := appendAll(t.Context(), client, topic, upTo(n)[1:])
		wantNone(t, errs)
		if longest := slices.Max(took); longest > gatherFor {
			t.Errorf("an append took %v while another was slow: want at most %v", longest, gatherFor)
		}
		slow.Wait()
	})
}

// A broker keeps only one of two batches for one partition in a request.
func TestAppendsToOnePartition(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := bubble(t)
		client, topic := c.client(t), c.topic(t)
		const n = 10
		errs, _ := appendAll(t.Context(), client, topic, make([]int32, n))
		wantNone(t, errs)
		wantEach(t, client, topic, []int32{0}, n)
	})
}

// A fault of one partition does not affect the others.
func TestAppendsFailByThemselves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := bubble(t)
		const n = 8
		client, topic := c.client(t), c.NewTopic(t, "log", n)
		c.Fake.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Topic: topic, Partitions: []int32{3}, Err: kerr.NotEnoughReplicas, Count: -1})
		partitions := append(upTo(n), 99) // which there is not
		for range 3 {
			errs, _ := appendAll(t.Context(), client, topic, partitions)
			for i, err := range errs {
				switch partitions[i] {
				case 3:
					wantError(t, err, kafka.NotEnoughReplicas)
				case 99:
					wantError(t, err, kafka.UnknownTopicOrPartition)
				default:
					wantNone(t, []error{err})
				}
			}
		}
		wantEach(t, client, topic, []int32{0, 1, 2, 4, 5, 6, 7}, 3)
	})
}

// An append that is cancelled before it was sent is not written.
func TestAppendIsWithdrawn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := bubble(t)
		client, topic := c.client(t), c.topic(t)
		errs, _ := appendAll(t.Context(), client, topic, []int32{0})
		wantNone(t, errs)
		hold(c, 1, time.Second)
		var first sync.WaitGroup
		first.Go(func() {
			errs, _ := appendAll(t.Context(), client, topic, []int32{0})
			wantNone(t, errs)
		})
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), gatherFor/2)
		defer cancel()
		_, err := client.Append(ctx, topic, 0, []Record{{Value: []byte("withdrawn")}})
		wantError(t, err, context.DeadlineExceeded)
		ctx, cancel = context.WithCancel(t.Context())
		time.AfterFunc(gatherFor/4, cancel)
		_, err = client.Append(ctx, topic, 0, []Record{{Value: []byte("withdrawn")}})
		wantError(t, err, context.Canceled)
		first.Wait()
		wantEach(t, client, topic, []int32{0}, 2)
	})
}

// A request ends with the last of its callers, so that its client can be closed:
// kafka-go would open a connection for a later request.
func TestAppendsAreGivenUpTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := bubble(t)
		const n = 6
		client, topic := c.client(t), c.NewTopic(t, "log", n)
		errs, _ := appendAll(t.Context(), client, topic, upTo(n))
		wantNone(t, errs)
		hold(c, 100, time.Minute)
		began := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		errs, _ = appendAll(ctx, client, topic, upTo(n))
		for _, err := range errs {
			wantError(t, err, context.DeadlineExceeded)
		}
		if took := time.Since(began); took != time.Second {
			t.Errorf("appends with a second took %v", took)
		}
		client.gatherer.mu.Lock()
		defer client.gatherer.mu.Unlock()
		for name, q := range client.gatherer.queues {
			if q.flying > 0 || len(q.waiting) > 0 {
				t.Errorf("after %v there are %d requests to %d, and %d appends wait", time.Since(began), q.flying, name.leader, len(q.waiting))
			}
		}
		time.Sleep(time.Hour) // for the broker
	})
}
