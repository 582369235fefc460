package kafkalog

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/kversion"

	"github.com/clientevents/clientevents/test/kafkatest"
)

func TestTopics(t *testing.T) {
	each(t, func(t *testing.T, c cluster) {
		client, topic := c.client(t), c.NewTopic(t, "log", 3)
		none := kafkatest.Name(t, "none")
		got, err := client.Topics(t.Context(), none, topic)
		if err != nil || len(got) != 2 {
			t.Fatalf("got %v, %v", got, err)
		}
		if got[0].Name != none || !errors.Is(got[0].Err, kafka.UnknownTopicOrPartition) {
			t.Errorf("got %+v of a topic that does not exist", got[0])
		}
		want, err := kadm.NewClient(c.franz(t)).Metadata(t.Context(), topic)
		if err != nil {
			t.Fatal(err)
		}
		found := got[1]
		if found.Name != topic || found.Err != nil || found.ID.IsZero() || found.ID != TopicID(want.Topics[topic].ID) {
			t.Errorf("got %+v, want ID %v", found, want.Topics[topic].ID)
		}
		var ids []int32
		for _, p := range found.Partitions {
			ids = append(ids, p.ID)
			if p.Err != nil || p.Leader != want.Topics[topic].Partitions[p.ID].Leader || p.Replicas != 1 || p.InSync != 1 {
				t.Errorf("got %+v", p)
			}
		}
		if slices.Sort(ids); !slices.Equal(ids, []int32{0, 1, 2}) {
			t.Errorf("got partitions %v", ids)
		}
	})
}

func TestTopicID(t *testing.T) {
	id := TopicID{0xF5, 0x55, 0x41, 0xB6, 0x81, 0xF8, 0x78, 0x27, 0x5B, 0xC9, 0x3E, 0x93, 0x83, 0x4D, 0xC4, 0xFF}
	if got, want := id.String(), "9VVBtoH4eCdbyT6Tg03E_w"; got != want || id.IsZero() || !(TopicID{}).IsZero() {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestATopicThatIsCreatedAgainHasAnotherID(t *testing.T) {
	each(t, func(t *testing.T, c cluster) {
		client, topic := c.client(t), c.topic(t)
		before, err := client.Topics(t.Context(), topic)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := kadm.NewClient(c.franz(t)).DeleteTopics(t.Context(), topic); err != nil {
			t.Fatal(err)
		}
		kafkatest.WaitFor(t, time.Minute, "the deletion", func() bool {
			got, err := client.Topics(t.Context(), topic)
			return err == nil && got[0].Err != nil
		})
		c.CreateTopic(t, topic, 1, nil)
		after, err := client.Topics(t.Context(), topic)
		if err != nil || after[0].ID.IsZero() || after[0].ID == before[0].ID {
			t.Errorf("ID %v, then %+v, %v", before[0].ID, after, err)
		}
	})
}

func TestTopicsOfOlderBrokers(t *testing.T) {
	for version, versions := range map[string]*kversion.Versions{
		"0.11": kversion.V0_11_0(), "1.0": kversion.V1_0_0(), "2.1": kversion.V2_1_0(), "2.3": kversion.V2_3_0(),
		"2.4": kversion.V2_4_0(), "2.7": kversion.V2_7_0(), "2.8": kversion.V2_8_0(), "4.0": kversion.V4_0_0(),
	} {
		t.Run(version, func(t *testing.T) {
			c := embedded(t, kfake.MaxVersions(versions), kfake.SeedTopics(2, "topic"))
			got, err := c.client(t).Topics(t.Context(), "topic")
			if err != nil || got[0].Err != nil || len(got[0].Partitions) != 2 {
				t.Fatalf("got %+v, %v", got, err)
			}
			if newest, _ := versions.LookupMaxKeyVersion(kmsg.Metadata.Int16()); got[0].ID.IsZero() != (newest < metadataIDs) {
				t.Errorf("Metadata goes up to %d, and the ID is %v", newest, got[0].ID)
			}
		})
	}
}

// No request of ours creates a topic, and none of the transport's either, where the
// broker would.
func TestNoRequestCreatesATopic(t *testing.T) {
	test := func(t *testing.T, c cluster) {
		none, transport := kafkatest.Name(t, "none"), c.Transport(t)
		transport.MetadataTopics = []string{none} // as the program names its topics
		client := NewClient(c.Addr(), transport)
		if got, err := client.Topics(t.Context(), none); err != nil || !errors.Is(got[0].Err, kafka.UnknownTopicOrPartition) {
			t.Errorf("got %+v, %v", got, err)
		}
		_, err := client.Fetch(t.Context(), FetchRequest{Topic: none})
		wantError(t, err, kafka.UnknownTopicOrPartition)
		_, err = client.Append(t.Context(), none, 0, []Record{{}})
		wantError(t, err, kafka.UnknownTopicOrPartition)
		_, _, err = client.Offsets(t.Context(), none, 0)
		wantError(t, err, kafka.UnknownTopicOrPartition)
		topics, err := kadm.NewClient(c.franz(t)).ListTopics(t.Context())
		if err != nil || topics.Has(none) {
			t.Errorf("the topic was created (%v)", err)
		}
	}
	t.Run("kafka", func(t *testing.T) { test(t, cluster{kafkatest.Real(t)}) })
	for version, versions := range map[string]*kversion.Versions{"0.11": kversion.V0_11_0(), "newest": kversion.Tip()} {
		t.Run(version, func(t *testing.T) {
			test(t, embedded(t, kfake.MaxVersions(versions), kfake.AllowAutoTopicCreation()))
		})
	}
}

func TestMetadataRequestsNeverAllowCreation(t *testing.T) {
	for version := int16(metadataMin); version <= metadataIDs; version++ {
		if version == metadataFlexible {
			continue
		}
		b := (&metadataMessage{names: []string{"a", "b"}, clientID: "c"}).encode(version)
		req := kmsg.NewPtrMetadataRequest()
		req.Version, req.AllowAutoTopicCreation = version, true
		head := 4 + 2 + 2 + 4 + 2 + len("c") // length, key, version, correlation, client ID
		if version >= metadataFlexible {
			head++
		}
		if err := req.ReadFrom(b[head:]); err != nil || len(req.Topics) != 2 || *req.Topics[1].Topic != "b" {
			t.Fatalf("version %d: %v, %+v", version, err, req)
		}
		if req.AllowAutoTopicCreation {
			t.Errorf("version %d allows topics to be created", version)
		}
	}
}

func TestABrokerWithoutAUsableMetadataVersion(t *testing.T) {
	answer := binary.BigEndian.AppendUint32(nil, 4+2+4+6)
	answer = binary.BigEndian.AppendUint32(answer, 7)
	answer = appendInt32s(appendInt16s(answer, 0), 1)
	answer = appendInt16s(answer, int16(protocol.Metadata), 0, metadataMin-1)
	rw := struct {
		io.Reader
		io.Writer
	}{bytes.NewReader(answer), io.Discard}
	_, err := (&metadataMessage{correlation: 7}).RawExchange(rw)
	wantError(t, err, kafka.UnsupportedVersion)
}

// The transport would look again in an hour only.
func TestALeaderThatMovesIsFoundAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := bubble(t)
		topic := c.topic(t)
		transport := c.Transport(t)
		transport.MetadataTTL = time.Hour
		client := NewClient(c.Addr(), transport)
		var want []string
		move := func() {
			if err := c.Fake.MoveTopicPartition(topic, 0, 1-c.Fake.LeaderFor(topic, 0)); err != nil {
				t.Fatal(err)
			}
		}
		for _, value := range []string{"first", "second", "third"} {
			if _, err := client.Append(t.Context(), topic, 0, []Record{{Value: []byte(value)}}); err != nil {
				t.Fatal(err)
			}
			want = append(want, value)
			move()
			batch, err := client.Fetch(t.Context(), FetchRequest{Topic: topic})
			if err != nil {
				t.Fatal(err)
			}
			if got := values(batch.Records); !slices.Equal(got, want) {
				t.Errorf("got %q, want %q", got, want)
			}
			move()
			if _, end, err := client.Offsets(t.Context(), topic, 0); err != nil || end != int64(len(want)) {
				t.Errorf("the end is %d, %v, want %d", end, err, len(want))
			}
			move()
		}
	})
}

func TestATopicThatIsCreatedIsFoundAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := bubble(t)
		transport := c.Transport(t)
		transport.MetadataTTL = time.Hour
		client := NewClient(c.Addr(), transport)
		_, err := client.Fetch(t.Context(), FetchRequest{Topic: "new"})
		wantError(t, err, kafka.UnknownTopicOrPartition)
		c.CreateTopic(t, "new", 1, nil)
		if _, err := client.Fetch(t.Context(), FetchRequest{Topic: "new"}); err != nil {
			t.Error(err)
		}
	})
}

func TestAnOpenTransactionIsDescribed(t *testing.T) {
	each(t, func(t *testing.T, c cluster) {
		client, topic := c.client(t), c.topic(t)
		produce(t, c.franz(t), topic, "plain")
		cl := c.transaction(t, kafkatest.Name(t, "txn"))
		began := time.UnixMilli(time.Now().UnixMilli())
		produce(t, cl, topic, "open")
		produce(t, c.franz(t), topic, "behind")
		var batch *Batch
		kafkatest.WaitFor(t, time.Minute, "the records", func() (ok bool) {
			var err error
			if batch, err = client.Fetch(t.Context(), FetchRequest{Topic: topic, ReadCommitted: true}); err != nil {
				t.Fatal(err)
			}
			return batch.HighWatermark == 3
		})
		open, err := client.OpenTransaction(t.Context(), topic, 0, batch.LastStableOffset, nil)
		if err != nil || open == nil || open.Offset != 1 || open.Since.Before(began) || time.Since(open.Since) < 0 {
			t.Fatalf("got %+v, %v, want the transaction at 1, since %v", open, err, began)
		}
		end(t, cl, true)
		waitStable(t, client, topic)
		if open, err := client.OpenTransaction(t.Context(), topic, 0, 1, nil); err != nil || open != nil {
			t.Errorf("got %+v, %v after it has ended", open, err)
		}
	})
}

// throttleNext makes the broker answer the next request of a kind as one that used
// up its quota.
func throttleNext(c cluster, key kmsg.Key, answer func(kmsg.Request) kmsg.Response) {
	c.Fake.ControlKey(key.Int16(), func(req kmsg.Request) (kmsg.Response, error, bool) {
		return answer(req), nil, true
	})
}

func TestThrottledRequestsWait(t *testing.T) {
	const pause = 3 * time.Second
	empty := func(req kmsg.Request) kmsg.Response {
		answer := req.ResponseKind()
		answer.(kmsg.SetThrottleResponse).SetThrottle(int32(pause.Milliseconds()))
		return answer
	}
	synctest.Test(t, func(t *testing.T) {
		c := bubble(t)
		client, topic := c.client(t), c.topic(t)
		if _, err := client.Append(t.Context(), topic, 0, []Record{{Value: []byte("v")}}); err != nil {
			t.Fatal(err)
		}
		throttleNext(c, kmsg.Fetch, empty)
		batch, err := client.Fetch(t.Context(), FetchRequest{Topic: topic, Offset: 0})
		if err != nil || len(batch.Records) > 0 || batch.NextOffset != 0 || batch.Throttled != pause {
			t.Fatalf("got %+v, %v, want an empty throttled batch", batch, err)
		}
		if total, until := client.Throttled(); total != pause || time.Until(until) != pause {
			t.Errorf("throttled for %v, until in %v, want %v", total, time.Until(until), pause)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		_, err = client.Fetch(ctx, FetchRequest{Topic: topic})
		cancel()
		wantError(t, err, context.DeadlineExceeded)
		began := time.Now()
		batch, err = client.Fetch(t.Context(), FetchRequest{Topic: topic})
		if err != nil || len(batch.Records) != 1 || time.Since(began) != pause-time.Second {
			t.Errorf("got %+v, %v after %v", batch, err, time.Since(began))
		}
		if _, until := client.Throttled(); time.Until(until) > 0 {
			t.Errorf("still throttled until %v", until)
		}
	})
}

func TestEveryAnswerMayThrottle(t *testing.T) {
	const pause = 2 * time.Second
	for name, test := range map[string]struct {
		key kmsg.Key
		do  func(context.Context, *Client, string) error
	}{
		"append": {kmsg.Produce, func(ctx context.Context, client *Client, topic string) error {
			_, err := client.Append(ctx, topic, 0, []Record{{}})
			return err
		}},
		"offsets": {kmsg.ListOffsets, func(ctx context.Context, client *Client, topic string) error {
			_, err := client.OffsetAt(ctx, topic, 0, time.UnixMilli(0))
			return err
		}},
		"metadata": {kmsg.Metadata, func(ctx context.Context, client *Client, topic string) error {
			_, err := client.Topics(ctx, topic)
			return err
		}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := bubble(t)
				transport := c.Transport(t)
				transport.MetadataTTL = time.Hour
				client, topic := NewClient(c.Addr(), transport), c.topic(t)
				if err := test.do(t.Context(), client, topic); err != nil {
					t.Fatal(err)
				}
				throttleNext(c, test.key, func(req kmsg.Request) kmsg.Response { return okThrottled(req, pause) })
				began := time.Now()
				if err := test.do(t.Context(), client, topic); err != nil || time.Since(began) > 0 {
					t.Fatalf("%v after %v, want an answer at once", err, time.Since(began))
				}
				if err := test.do(t.Context(), client, topic); err != nil || time.Since(began) != pause {
					t.Errorf("%v after %v, want %v", err, time.Since(began), pause)
				}
				if total, _ := client.Throttled(); total != pause {
					t.Errorf("throttled for %v, want %v", total, pause)
				}
			})
		})
	}
}

// okThrottled is a successful answer about the first topic and partition of a
// request.
func okThrottled(req kmsg.Request, pause time.Duration) kmsg.Response {
	answer := req.ResponseKind()
	switch r := answer.(type) {
	case *kmsg.ProduceResponse:
		topic := kmsg.NewProduceResponseTopic()
		topic.Topic = req.(*kmsg.ProduceRequest).Topics[0].Topic
		topic.Partitions = append(topic.Partitions, kmsg.NewProduceResponseTopicPartition())
		r.Topics = append(r.Topics, topic)
	case *kmsg.ListOffsetsResponse:
		topic := kmsg.NewListOffsetsResponseTopic()
		topic.Topic = req.(*kmsg.ListOffsetsRequest).Topics[0].Topic
		p := kmsg.NewListOffsetsResponseTopicPartition()
		p.Offset = 0 // the default means that there is none
		topic.Partitions = append(topic.Partitions, p)
		r.Topics = append(r.Topics, topic)
	}
	answer.(kmsg.SetThrottleResponse).SetThrottle(int32(pause.Milliseconds()))
	return answer
}
