package kafkalog

import (
	"errors"
	"io"
	"testing"

	"github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/kversion"

	"github.com/clientevents/clientevents/test/kafkatest"
)

// TestFetchFromAnotherTopic: a fetch that names the ID of a topic that is gone gets no
// record of another topic of its name, unless the broker is too old to tell them apart.
func TestFetchFromAnotherTopic(t *testing.T) {
	test := func(t *testing.T, c cluster, tells bool) {
		topic, client := c.NewTopic(t, "log", 1), c.client(t)
		if _, err := client.Append(t.Context(), topic, 0, []Record{{Value: []byte("a")}}); err != nil {
			t.Fatal(err)
		}
		found, err := client.Topics(t.Context(), topic)
		if err != nil {
			t.Fatal(err)
		}
		req := FetchRequest{Topic: topic, TopicID: found[0].ID}
		if batch, err := client.Fetch(t.Context(), req); err != nil || len(batch.Records) != 1 || batch.HighWatermark != 1 {
			t.Errorf("by the ID %v: got %+v, %v", req.TopicID, batch, err)
		}
		req.TopicID = TopicID{1, 2, 3}
		batch, err := client.Fetch(t.Context(), req)
		if tells {
			wantError(t, err, kafka.UnknownTopicID)
		} else if err != nil || len(batch.Records) != 1 {
			t.Errorf("from an old broker: got %+v, %v", batch, err)
		}
	}
	t.Run("kafka", func(t *testing.T) { test(t, cluster{kafkatest.Real(t)}, true) })
	for version, versions := range map[string]*kversion.Versions{
		"0.11": kversion.V0_11_0(), "2.3": kversion.V2_3_0(), "3.0": kversion.V3_0_0(), "3.1": kversion.V3_1_0(), "newest": kversion.Tip(),
	} {
		t.Run(version, func(t *testing.T) {
			newest, _ := versions.LookupMaxKeyVersion(kmsg.Fetch.Int16())
			test(t, embedded(t, kfake.MaxVersions(versions)), newest >= fetchIDs)
		})
	}
}

// TestBrokersAreAskedAgain: a broker may be an older release after a restart. It closes the
// connection at a version that it does not know.
func TestBrokersAreAskedAgain(t *testing.T) {
	var asked int
	newest := &newestVersions{}
	ask := func() (int16, error) { asked++; return fetchIDs, nil }
	for range 2 {
		if version, err := newest.ask(1, ask); version != fetchIDs || err != nil || asked != 1 {
			t.Fatalf("got %d, %v, asked %d times", version, err, asked)
		}
	}
	m := &fetchMessage{ctx: t.Context(), req: FetchRequest{TopicID: TopicID{1}}, version: fetchMax, broker: 1, newest: newest, loan: &loan{account: unlimited{}}}
	if _, err := m.RawExchange(closed{}); !errors.Is(err, io.ErrClosedPipe) || m.version != fetchIDs {
		t.Fatalf("got %v with version %d", err, m.version)
	}
	if _, err := newest.ask(1, ask); err != nil || asked != 2 {
		t.Errorf("asked %d times after the connection was closed, %v", asked, err)
	}
}

// closed is a connection that the other side has closed.
type closed struct{}

func (closed) Read([]byte) (int, error)  { return 0, io.ErrClosedPipe }
func (closed) Write([]byte) (int, error) { return 0, io.ErrClosedPipe }
