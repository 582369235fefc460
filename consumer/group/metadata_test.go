package group

import (
	"bytes"
	"encoding/hex"
	"reflect"
	"testing"

	"github.com/segmentio/kafka-go/protocol"
	"github.com/segmentio/kafka-go/protocol/consumer"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// TestSubscriptionIsReadByOthers: franz-go reads the metadata for
// cooperative-sticky. kafka-go's leader reads those for range, which it does only
// if nothing follows the user data.
func TestSubscriptionIsReadByOthers(t *testing.T) {
	s := subscription{topics: []string{"events"}, owned: map[string][]int32{"events": {1, 3}}, generation: 7, config: "0123abcd"}
	var theirs kmsg.ConsumerMemberMetadata
	if err := theirs.ReadFrom(encodeSubscription(cooperative, s, 0)); err != nil {
		t.Fatal(err)
	}
	if theirs.Generation != 7 || len(theirs.OwnedPartitions) != 1 || !reflect.DeepEqual(theirs.OwnedPartitions[0].Partitions, []int32{1, 3}) {
		t.Errorf("franz-go reads %+v", theirs)
	}
	sent := encodeSubscription(eager, s, 0)
	var old consumer.Subscription
	if err := protocol.Unmarshal(sent, 0, &old); err != nil {
		t.Fatal(err)
	}
	if again, err := protocol.Marshal(0, old); err != nil || !bytes.Equal(again, sent) {
		t.Errorf("kafka-go makes %x of %x: %v", again, sent, err)
	}
}

// TestConfigInSubscription: replicas learn each other's configuration, unless one does not
// state it.
func TestConfigInSubscription(t *testing.T) {
	for _, config := range []string{"0123abcd", ""} {
		for _, name := range []string{cooperative, eager} {
			s := subscription{topics: []string{"events"}, owned: map[string][]int32{"events": {1}}, generation: 7, config: config}
			got, err := decodeSubscription(name, encodeSubscription(name, s, 3))
			if s.marked = true; err != nil || !reflect.DeepEqual(got, s) {
				t.Errorf("%s: got %+v, %v, expected %+v", name, got, err, s)
			}
		}
	}
}

// TestDecodeSubscription reads the metadata of other libraries; the bytes of version 1
// to 3 are those of Java's ConsumerProtocol.
func TestDecodeSubscription(t *testing.T) {
	const events = "00000001" + "0006" + "6576656e7473"
	owned := map[string][]int32{"events": {0, 2}}
	for name, test := range map[string]struct {
		protocol, hex string
		want          subscription
		bad           bool
	}{
		"version 0":           {cooperative, "0000" + events + "ffffffff", subscription{topics: []string{"events"}, generation: none}, false},
		"kafka-go":            {eager, "0001" + events + "ffffffff", subscription{topics: []string{"events"}, generation: none, earlier: true}, false},
		"range of Java":       {eager, "0000" + events + "00000000", subscription{topics: []string{"events"}, generation: none}, false},
		"other user data":     {eager, "0000" + events + "00000003" + "616263", subscription{topics: []string{"events"}, generation: none}, false},
		"version 1":           {cooperative, "0001" + events + "00000004" + "00000005" + "00000001" + "0006" + "6576656e7473" + "00000002" + "00000000" + "00000002", subscription{topics: []string{"events"}, owned: owned, generation: 5}, false},
		"version 2":           {cooperative, "0002" + events + "ffffffff" + "00000001" + "0006" + "6576656e7473" + "00000002" + "00000000" + "00000002" + "00000006", subscription{topics: []string{"events"}, owned: owned, generation: 6}, false},
		"version 3":           {cooperative, "0003" + events + "ffffffff" + "00000001" + "0006" + "6576656e7473" + "00000002" + "00000000" + "00000002" + "00000006" + "0001" + "72", subscription{topics: []string{"events"}, owned: owned, generation: 6}, false},
		"version 9":           {cooperative, "0009" + events + "ffffffff" + "00000000" + "00000006" + "0001" + "72" + "cafe", subscription{topics: []string{"events"}, generation: 6}, false},
		"nothing":             {cooperative, "", subscription{}, true},
		"cut off":             {cooperative, "0001" + events + "ffffffff" + "00000001" + "0006" + "6576", subscription{}, true},
		"more than there are": {cooperative, "0001" + "7fffffff" + "0001", subscription{}, true},
		"negative version":    {cooperative, "ffff" + events + "ffffffff", subscription{}, true},
	} {
		t.Run(name, func(t *testing.T) {
			b, err := hex.DecodeString(test.hex)
			if err != nil {
				t.Fatal(err)
			}
			got, err := decodeSubscription(test.protocol, b)
			if (err != nil) != test.bad {
				t.Fatalf("error %v, want one: %v", err, test.bad)
			}
			if len(got.owned) == 0 {
				got.owned = nil
			}
			if !test.bad && !reflect.DeepEqual(got, test.want) {
				t.Errorf("got %+v, want %+v", got, test.want)
			}
		})
	}
}

// TestRangeTellsOwnership: a leader of ours sees by the metadata for range that a
// member still holds partitions.
func TestRangeTellsOwnership(t *testing.T) {
	s := subscription{topics: []string{"events"}, owned: map[string][]int32{"events": {1, 3}}, generation: 7}
	sent := encodeSubscription(eager, s, 9)
	s.marked = true
	if got, err := decodeSubscription(eager, sent); err != nil || !reflect.DeepEqual(got, s) {
		t.Errorf("got %+v, %v; want %+v", got, err, s)
	}
}

// FuzzMetadata: bytes of other members never make this one fail, nor take more
// memory than they have.
func FuzzMetadata(f *testing.F) {
	s := subscription{topics: []string{"events"}, owned: map[string][]int32{"events": {1, 3}}, generation: 7}
	f.Add(encodeSubscription(cooperative, s, 1))
	f.Add(encodeSubscription(eager, s, 1))
	f.Add(encodeAssignment(s.owned, map[string]int32{"events": 4}))
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, name := range []string{cooperative, eager} {
			got, err := decodeSubscription(name, b)
			if err != nil {
				continue
			}
			again, err := decodeSubscription(name, encodeSubscription(name, got, 0))
			if len(got.owned) == 0 && name == eager {
				continue // version 1 has none there
			}
			got.marked, got.earlier = true, false // as this release writes it
			if err != nil || !reflect.DeepEqual(again, got) {
				t.Errorf("%x reads as %+v, and after writing as %+v: %v", b, got, again, err)
			}
		}
		_, _, _ = decodeAssignment(b)
	})
}
