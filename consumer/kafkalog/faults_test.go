package kafkalog

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/clientevents/clientevents/test/kafkatest"
)

func TestUnknownTopicsAndPartitions(t *testing.T) {
	each(t, func(t *testing.T, c cluster) {
		client, topic := c.client(t), c.topic(t)
		for _, test := range []struct {
			topic     string
			partition int32
		}{{topic + "-not", 0}, {topic, 1}, {topic, -1}} {
			_, err := client.Fetch(t.Context(), FetchRequest{Topic: test.topic, Partition: test.partition})
			wantError(t, err, kafka.UnknownTopicOrPartition)
			_, err = client.Append(t.Context(), test.topic, test.partition, []Record{{}})
			wantError(t, err, kafka.UnknownTopicOrPartition)
			_, _, err = client.Offsets(t.Context(), test.topic, test.partition)
			wantError(t, err, kafka.UnknownTopicOrPartition)
			if err != nil && !strings.Contains(err.Error(), test.topic) {
				t.Errorf("%v does not name the topic", err)
			}
		}
	})
}

func TestAppendWithoutRecords(t *testing.T) {
	if _, err := embedded(t).client(t).Append(t.Context(), "any", 0, nil); err == nil || Retriable(err) {
		t.Errorf("got %v, want an error that is not retriable", err)
	}
}

func TestAppendTooLarge(t *testing.T) {
	each(t, func(t *testing.T, c cluster) {
		client, topic := c.client(t), kafkatest.Name(t, "small")
		c.CreateTopic(t, topic, 1, map[string]string{"max.message.bytes": "1000"})
		_, err := client.Append(t.Context(), topic, 0, []Record{{Value: make([]byte, 2000)}})
		wantError(t, err, kafka.MessageSizeTooLarge)
		if Retriable(err) {
			t.Errorf("%v is retriable", err)
		}
		if _, err := client.Append(t.Context(), topic, 0, []Record{{Value: make([]byte, 500)}}); err != nil {
			t.Error(err)
		}
	})
}

func TestAppendErrors(t *testing.T) {
	c := embedded(t)
	client, topic := c.client(t), c.topic(t)
	for _, test := range []struct {
		fault     *kerr.Error
		want      kafka.Error
		retriable bool
	}{
		{kerr.TopicAuthorizationFailed, kafka.TopicAuthorizationFailed, false},
		{kerr.InvalidRecord, kafka.InvalidRecord, false},
		{kerr.NotEnoughReplicas, kafka.NotEnoughReplicas, true},
		{kerr.NotEnoughReplicasAfterAppend, kafka.NotEnoughReplicasAfterAppend, true},
		{kerr.RequestTimedOut, kafka.RequestTimedOut, true},
		{kerr.KafkaStorageError, kafka.KafkaStorageError, true},
	} {
		c.Fake.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Err: test.fault})
		_, err := client.Append(t.Context(), topic, 0, []Record{{Value: []byte("v")}})
		wantError(t, err, test.want)
		if Retriable(err) != test.retriable {
			t.Errorf("Retriable(%v) is %v", err, !test.retriable)
		}
		if err != nil && test.fault.Description != "" && !strings.Contains(err.Error(), topic+"/0") {
			t.Errorf("%v does not name the partition", err)
		}
	}
}

// drop closes the connection of the next such request.
func drop(c cluster, key kmsg.Key) {
	c.Fake.ControlKey(key.Int16(), func(kmsg.Request) (kmsg.Response, error, bool) {
		return nil, errors.New("dropped"), true
	})
}

func TestAConnectionThatBreaks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := bubble(t)
		client, topic := c.client(t), c.topic(t)
		for range 3 {
			drop(c, kmsg.Produce)
			if _, err := client.Append(t.Context(), topic, 0, []Record{{}}); err == nil || !Retriable(err) {
				t.Errorf("append: got %v, want a retriable error", err)
			}
			if _, err := client.Append(t.Context(), topic, 0, []Record{{}}); err != nil {
				t.Errorf("append again: %v", err)
			}
			drop(c, kmsg.Fetch)
			if _, err := client.Fetch(t.Context(), FetchRequest{Topic: topic}); err == nil || !Retriable(err) {
				t.Errorf("fetch: got %v, want a retriable error", err)
			}
			if _, err := client.Fetch(t.Context(), FetchRequest{Topic: topic}); err != nil {
				t.Errorf("fetch again: %v", err)
			}
			drop(c, kmsg.ListOffsets)
			if _, _, err := client.Offsets(t.Context(), topic, 0); err == nil || !Retriable(err) {
				t.Errorf("offsets: got %v, want a retriable error", err)
			}
		}
	})
}

// A broker that takes requests and never answers must not hold a caller for
// longer than the deadline that there always is.
func TestABrokerThatFallsSilent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := bubble(t)
		client, topic := c.client(t), c.topic(t)
		for name, request := range map[string]struct {
			key  kmsg.Key
			want time.Duration
			do   func(context.Context) error
		}{
			"fetch": {kmsg.Fetch, requestTimeout + 3*time.Second, func(ctx context.Context) error {
				_, err := client.Fetch(ctx, FetchRequest{Topic: topic, MaxWait: 3 * time.Second})
				return err
			}},
			"append": {kmsg.Produce, requestTimeout, func(ctx context.Context) error {
				_, err := client.Append(ctx, topic, 0, []Record{{}})
				return err
			}},
			"offsets": {kmsg.ListOffsets, requestTimeout, func(ctx context.Context) error {
				_, _, err := client.Offsets(ctx, topic, 0)
				return err
			}},
		} {
			for _, deadline := range []time.Duration{0, time.Second, time.Minute} {
				c.Fake.ControlKey(request.key.Int16(), func(kmsg.Request) (kmsg.Response, error, bool) { return nil, nil, true })
				ctx, cancel, want := t.Context(), context.CancelFunc(func() {}), request.want
				if deadline > 0 {
					ctx, cancel = context.WithTimeout(ctx, deadline)
					want = deadline
				}
				late := time.Duration(0)
				if name != "fetch" { // its request may be for others too
					want, late = min(want, requestTimeout), gatherFor
				}
				began := time.Now()
				err := request.do(ctx)
				cancel()
				wantError(t, err, context.DeadlineExceeded)
				if !Retriable(err) {
					t.Errorf("%s: %v is not retriable", name, err)
				}
				if took := time.Since(began); took < want || took > want+late {
					t.Errorf("%s with a deadline of %v: took %v, want %v", name, deadline, took, want)
				}
			}
		}
		time.Sleep(time.Minute) // the connections' own deadlines
	})
}

func TestTheBrokerWaitsNoLongerThanTheCaller(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := bubble(t)
		client, topic := c.client(t), c.topic(t)
		ctx, cancel := context.WithTimeout(t.Context(), 4*time.Second)
		defer cancel()
		batch, err := client.Fetch(ctx, FetchRequest{Topic: topic, MaxWait: time.Minute})
		if err != nil || len(batch.Records) > 0 || batch.NextOffset != 0 {
			t.Errorf("got %+v, %v, want an empty batch before the deadline", batch, err)
		}
	})
}

// The memory of a fetch whose caller gave up is not the next one's: the answer
// may still arrive.
func TestACancelledFetchKeepsItsMemory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := bubble(t)
		client, topic := c.client(t), c.topic(t)
		one, other := strings.Repeat("1", 10_000), strings.Repeat("2", 10_000)
		produce(t, c.franz(t), topic, one)
		produce(t, c.franz(t), topic, other)
		batch, err := client.Fetch(t.Context(), FetchRequest{Topic: topic, MaxBytes: 1})
		if err != nil {
			t.Fatal(err)
		}
		c.Fake.ControlKey(kmsg.Fetch.Int16(), func(kmsg.Request) (kmsg.Response, error, bool) {
			c.Fake.SleepControl(func() { time.Sleep(2 * time.Second) })
			return nil, nil, false
		})
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Second, cancel)
		_, err = client.Fetch(ctx, FetchRequest{Topic: topic, Offset: 1, MaxBytes: 1, Reuse: batch})
		wantError(t, err, context.Canceled)
		if Retriable(err) {
			t.Errorf("%v is retriable", err)
		}
		batch, err = client.Fetch(t.Context(), FetchRequest{Topic: topic, MaxBytes: 1, Reuse: batch})
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute) // until the late answer
		if got := values(batch.Records); len(got) != 1 || got[0] != one {
			t.Errorf("the fetched records were overwritten")
		}
	})
}

func TestAnOldBroker(t *testing.T) {
	var sent bytes.Buffer
	rw := struct {
		io.Reader
		io.Writer
	}{strings.NewReader(""), &sent}
	client := NewClient(kafka.TCP("localhost:1"), nil)
	fetch := &fetchMessage{req: FetchRequest{Topic: "t"}}
	fetch.Required(nil)
	_, err := fetch.RawExchange(rw)
	wantError(t, err, kafka.UnsupportedVersion)
	produce := &produceMessage{client: client}
	produce.Required(nil)
	_, err = produce.RawExchange(rw)
	wantError(t, err, kafka.UnsupportedVersion)
	if sent.Len() > 0 {
		t.Errorf("%d bytes were sent", sent.Len())
	}
}
