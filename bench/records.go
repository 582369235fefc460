package main

import (
	"context"
	"fmt"
	"hash/fnv"
	"strconv"
	"strings"
	"time"

	"github.com/clientevents/clientevents/event"
	"github.com/clientevents/clientevents/internal/journey"
	"github.com/twmb/franz-go/pkg/kgo"
)

// Every event's id is idPrefix and its number, by which the sink counts it, and
// its request id begins with when it was published, in Unix nanoseconds.
const (
	idPrefix = `"eventId":"e`
	idDigits = 9
	atPrefix = `"requestId":"t`
	atDigits = 19
)

// kind is what a record is, by its number.
type kind int

const (
	good     kind = iota
	repeated      // the event of an earlier record
	notJSON
	badSchema
)

// kindOf mixes in 2 % repeats, 0.2 % that are not JSON and 0.3 % with a bad
// schema.
func kindOf(i int) kind {
	switch {
	case i >= 200 && i%50 == 49:
		return repeated
	case i%1000 == 510 || i%1000 == 20:
		return notJSON
	case i%1000 == 130 || i%1000 == 330 || i%1000 == 730:
		return badSchema
	}
	return good
}

// expected says how many different events n records hold.
func expected(n int) (events int) {
	for i := range n {
		if kindOf(i) == good {
			events++
		}
	}
	return events
}

// appendRecord makes the value of record i, published at a time: about 370
// bytes, which a VIEW has.
func appendRecord(dst []byte, i int, at time.Time) []byte {
	switch kindOf(i) {
	case repeated:
		i -= 105 // which is a good one, and not always of the same partition's last fetch
	case notJSON:
		return fmt.Appendf(dst, `{"eventId":"x%0*d", broken`, idDigits, i)
	case badSchema:
		return fmt.Appendf(dst, `{"eventId":"x%0*d","requestId":"r","createTime":"yesterday","jobEvent":{"type":"VIEW","jobs":["j"]}}`, idDigits, i)
	}
	dst = append(dst, '{')
	dst = append(dst, idPrefix...)
	dst = appendPadded(dst, int64(i), idDigits)
	dst = append(dst, `-6a5b-4f0e-9d0e-0c8f2e6b7a11",`...)
	dst = append(dst, atPrefix...)
	dst = appendPadded(dst, at.UnixNano(), atDigits)
	dst = append(dst, `:APAb7ISd4Sc5faibw2V5hTU/OoC2WAW5AA==","createTime":"2026-01-02T03:04:05.678Z",`...)
	dst = append(dst, `"jobEvent":{"type":"VIEW","jobs":["projects/acme-careers/tenants/5f0c7f0e/jobs/115822893641089734"]},`...)
	return append(dst, `"eventNotes":"page=1;sort=relevance;device=mobile;experiment=blue-button"}`...)
}

func appendPadded(dst []byte, n int64, digits int) []byte {
	s := strconv.FormatInt(n, 10)
	for range digits - len(s) {
		dst = append(dst, '0')
	}
	return append(dst, s...)
}

// partitionOf spreads records; a repeat lands where its first copy did, as with
// any key that the two have in common.
func partitionOf(i, partitions int) int32 {
	if kindOf(i) == repeated {
		i -= 105
	}
	return int32(i / 5 % partitions)
}

// load publishes n records at once.
func (w *world) load(ctx context.Context, topic string, n, partitions int) error {
	at := time.Now()
	return w.publish(ctx, topic, n, func(i int) *kgo.Record {
		return &kgo.Record{Partition: partitionOf(i, partitions), Value: appendRecord(make([]byte, 0, 400), i, at)}
	})
}

// publish publishes n records and waits for the broker to have them.
func (w *world) publish(ctx context.Context, topic string, n int, record func(i int) *kgo.Record) error {
	const together = 50_000
	for from := 0; from < n; from += together {
		records := make([]*kgo.Record, 0, together)
		for i := from; i < min(n, from+together); i++ {
			r := record(i)
			r.Topic = topic
			records = append(records, r)
		}
		if err := w.client.ProduceSync(ctx, records...).FirstErr(); err != nil {
			return fmt.Errorf("publish to %s: %w", topic, err)
		}
	}
	return nil
}

// pace publishes good records evenly, perSecond of them for a time, and returns
// how many. Their numbers begin with first.
func (w *world) pace(ctx context.Context, topic string, perSecond, partitions int, d time.Duration, first int) (n int, err error) {
	began := time.Now()
	total := int(float64(perSecond) * d.Seconds())
	gap := time.Second / time.Duration(perSecond)
	var failed error
	for n < total {
		now := time.Now()
		for ; n < total && !began.Add(time.Duration(n)*gap).After(now); n++ {
			r := &kgo.Record{Topic: topic, Partition: int32(n % partitions), Value: appendGood(make([]byte, 0, 400), first+n, time.Now())}
			w.prompt.Produce(ctx, r, func(_ *kgo.Record, err error) {
				if err != nil {
					failed = err
				}
			})
		}
		if n < total {
			sleepUntil(began.Add(time.Duration(n) * gap))
		}
	}
	if err := w.prompt.Flush(ctx); err != nil {
		return n, err
	}
	return n, failed
}

// appendGood makes a good record whatever its number.
func appendGood(dst []byte, i int, at time.Time) []byte {
	dst = appendRecord(dst, 0, at)
	head := append([]byte("{"), idPrefix...)
	copy(dst[len(head):], appendPadded(nil, int64(i), idDigits))
	return dst
}

func sleepUntil(t time.Time) {
	if d := time.Until(t); d > 0 {
		time.Sleep(d)
	}
}

// loadJourneys publishes n events of whole journeys, in which most name the one
// that led to them if links is set.
func (w *world) loadJourneys(ctx context.Context, topic string, n, partitions int, links bool) error {
	g := journey.New(journey.Options{Seed: 1, Version: event.V3, Start: time.Now()})
	ids := map[string]int{}
	number := func(id string) string {
		if id == "" {
			return ""
		}
		i, ok := ids[id]
		if !ok {
			i = len(ids)
			ids[id] = i
		}
		return fmt.Sprintf("e%0*d", idDigits, i)
	}
	var records []*kgo.Record
	at := time.Now().UnixNano()
	for e := range g.Events() {
		hash := fnv.New32a()
		_, _ = hash.Write([]byte(e.RequestID))
		e.RequestID = fmt.Sprintf("t%0*d:%s", atDigits, at, strings.TrimSpace(e.RequestID))
		e.ID, e.ParentID = number(e.ID), number(e.ParentID)
		if !links {
			e.ParentID = ""
		}
		records = append(records, &kgo.Record{Topic: topic, Partition: int32(hash.Sum32() % uint32(partitions)), Value: e.AppendRecord(nil)})
		if len(records) == n {
			break
		}
	}
	return w.publish(ctx, topic, n, func(i int) *kgo.Record { return records[i] })
}
