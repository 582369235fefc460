package consumer

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/segmentio/kafka-go"

	"github.com/clientevents/clientevents/event"
	"github.com/clientevents/clientevents/test/kafkatest"
)

// linesDecoder makes an event of each word of a value: its ID. A word that begins
// with "!" is a fault.
type linesDecoder struct {
	mu      sync.Mutex
	away    bool // records with the word "away" can't be decoded
	refused int  // how often that happened
	inputs  map[int64]Input
}

func (d *linesDecoder) Decode(_ context.Context, in *Input, dst []*event.Event) ([]*event.Event, *event.Fault, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.inputs[in.Offset] = *in
	for word := range strings.FieldsSeq(string(in.Value)) {
		switch {
		case word == "away" && d.away:
			d.refused++
			return nil, nil, errors.New("the registry is unreachable")
		case word == "panic":
			panic("a bug")
		case word == "nothing":
			continue
		case strings.HasPrefix(word, "!"):
			return nil, &event.Fault{Reason: event.ReasonMalformed, Detail: word}, nil
		}
		dst = append(dst, &event.Event{ID: word, RequestID: "r", Type: event.Impression, Time: time.Now(), Jobs: []string{"projects/p/jobs/1"}})
	}
	return dst, nil, nil
}

// decoding runs a consumer with a decoder over records with these values. stop
// ends it.
func decoding(t *testing.T, d *linesDecoder, values ...string) (c *Consumer, sink *acceptingSink, cluster *kafkatest.Cluster, stop func()) {
	t.Helper()
	cluster = kafkatest.Bubble(t)
	cluster.CreateTopic(t, "events", 1, nil)
	var messages []kafka.Message
	for _, value := range values {
		messages = append(messages, kafka.Message{Key: []byte("key"), Value: []byte(value), Headers: []kafka.Header{{Key: "h", Value: []byte("v")}}})
	}
	cluster.Produce(t, "events", messages...)
	d.inputs = map[int64]Input{}
	sink = &acceptingSink{}
	c = New(Config{
		Brokers: cluster.Brokers, Topic: "events", Group: "group",
		DeadLetterTopic: "events.dead-letter", StateTopic: "events.reported",
		Version: event.V3, Decoder: d,
		Rules:     Rules{Window: time.Hour, ParentsRequired: true, ParentsWait: time.Second},
		Transport: cluster.Transport(t),
	}, sink)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- c.Run(ctx) }()
	return c, sink, cluster, func() {
		t.Helper()
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
}

// TestDecoderResults: a record has no events, one or several, or a fault, and is
// finished when all its events are.
func TestDecoderResults(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &linesDecoder{}
		c, sink, cluster, stop := decoding(t, d, "a", "b c d", "nothing", "e !f g", "panic", "", "a c", "h")
		defer stop()
		kafkatest.WaitFor(t, time.Minute, "all records", func() bool { return watermark(c) == 8 })
		if got, want := sink.accepted(), []string{"a", "b", "c", "d", "h"}; !slices.Equal(got, want) {
			t.Errorf("sent %v, want %v", got, want)
		}
		outcomes, letters := c.Counts()
		if want := map[string]uint64{"reported": 3, "duplicate": 1, "skipped": 2, "dead_letter": 2}; !maps.Equal(outcomes, want) {
			t.Errorf("outcomes %v, want %v", outcomes, want)
		}
		if letters["malformed"] != 1 || letters["poison"] != 1 {
			t.Errorf("dead letters %v, want one for malformed and one for poison", letters)
		}
		if all := cluster.ReadAll(t, "events.dead-letter"); len(all) != 2 || string(all[0].Value) != "e !f g" || string(all[1].Value) != "panic" {
			t.Errorf("dead letters %v, want the original values", all)
		}
		d.mu.Lock()
		defer d.mu.Unlock()
		in := d.inputs[1]
		if in.Topic != "events" || in.Partition != 0 || in.Offset != 1 || in.Timestamp.IsZero() || len(in.Headers) != 1 || in.Headers[0].Key != "h" {
			t.Errorf("the decoder received %+v", in)
		}
		if _, ok := d.inputs[5]; ok {
			t.Error("the decoder received an empty value")
		}
	})
}

// TestRecordWaitsForItsDecoder: a record that can't be decoded now waits, and
// with it those behind it, but not those before it. It never becomes a dead
// letter, and children do not give up meanwhile.
func TestRecordWaitsForItsDecoder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &linesDecoder{away: true}
		c, sink, cluster, stop := decoding(t, d, "a", "b away", "c")
		defer stop()
		time.Sleep(10 * time.Minute)
		if got := sink.accepted(); !slices.Equal(got, []string{"a"}) || watermark(c) != 1 {
			t.Errorf("sent %v, the watermark is %d: want the record before the one that waits", got, watermark(c))
		}
		if s, _ := c.Partition(0); s.Trouble != TroubleDecode {
			t.Errorf("trouble %q, want %q", s.Trouble, TroubleDecode)
		}
		if o := c.ownerOf(0); o.reading() {
			t.Error("the partition counts as being read, so children give up")
		}
		d.mu.Lock()
		refused := d.refused
		d.away = false
		d.mu.Unlock()
		if refused < 10 || refused > 1000 {
			t.Errorf("decoded %d times in ten minutes, want backoff", refused)
		}
		kafkatest.WaitFor(t, time.Minute, "all records", func() bool { return watermark(c) == 3 })
		if got, want := sink.accepted(), []string{"a", "b", "away", "c"}; !slices.Equal(got, want) {
			t.Errorf("sent %v, want %v", got, want)
		}
		if s, _ := c.Partition(0); s.Trouble != TroubleNone {
			t.Errorf("trouble %q, want none", s.Trouble)
		}
		if letters := cluster.ReadAll(t, "events.dead-letter"); len(letters) > 0 {
			t.Errorf("%d dead letters, want none", len(letters))
		}
	})
}

// TestStopWhileARecordWaitsForItsDecoder: a stop does not wait for the decoder,
// and the next owner reads the record again.
func TestStopWhileARecordWaitsForItsDecoder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &linesDecoder{away: true}
		c, _, cluster, stop := decoding(t, d, "a", "away")
		kafkatest.WaitFor(t, time.Minute, "the first record", func() bool { return watermark(c) == 1 })
		stop()
		if got := cluster.CommittedOffsets(t, "group", "events")[0]; got != 1 {
			t.Errorf("committed %d: want 1, the record that waits", got)
		}
	})
}

func watermark(c *Consumer) int64 {
	s, _ := c.Partition(0)
	return s.Watermark
}

// Every trouble of a partition is listed, and has a name of its own.
func TestTroubles(t *testing.T) {
	o := &owner{}
	seen := map[Trouble]bool{o.trouble(): true}
	o.transaction.Store(&OpenTransaction{})
	seen[o.trouble()] = true
	for _, flag := range []interface{ Store(bool) }{&o.undecoded, &o.failing, &o.byRequestFailing, &o.deadLetterFailing, &o.unrestored, &o.stateFailing} {
		flag.Store(true) // more severe than those before
		seen[o.trouble()] = true
	}
	if len(seen) != len(Troubles())+1 || !seen[TroubleNone] {
		t.Errorf("troubles %v, listed %v", seen, Troubles())
	}
	for _, trouble := range Troubles() {
		if !seen[trouble] {
			t.Errorf("%q is listed and never happens", trouble)
		}
	}
}
