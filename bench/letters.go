package main

import (
	"context"
	"crypto/sha256"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// letters counts values, as dead letters or as the records that have to become some.
type letters map[[sha256.Size]byte]int

func (l letters) add(value []byte, n int) { l[sha256.Sum256(value)] += n }

// faulty counts those of n records that are at fault.
func faulty(n int) letters {
	l := letters{}
	for i := range n {
		if k := kindOf(i); k == notJSON || k == badSchema {
			l.add(appendRecord(nil, i, time.Time{}), 1)
		}
	}
	return l
}

// compare returns how many of the wanted dead letters are missing, and how many there are
// too many.
func (l letters) compare(want letters) (lost, repeated int) {
	for value, n := range want {
		lost += max(0, n-l[value])
	}
	for value, n := range l {
		repeated += max(0, n-want[value])
	}
	return lost, repeated
}

// letterPatience is how long the last dead letters may take to come.
const letterPatience = 10 * time.Second

// deadLetters reads a dead-letter topic until it has what is wanted, or no more comes.
func (w *world) deadLetters(ctx context.Context, topic string, want letters) (lost, repeated int, err error) {
	cl, err := kgo.NewClient(kgo.SeedBrokers(strings.Split(w.brokers, ",")...), kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	if err != nil {
		return 0, 0, err
	}
	defer cl.Close()
	got := letters{}
	for ctx.Err() == nil {
		wait := letterPatience
		if missing, _ := got.compare(want); missing == 0 {
			wait = time.Second // for what is repeated
		}
		some, stop := context.WithTimeout(ctx, wait)
		fetched := cl.PollFetches(some)
		stop()
		if fetched.NumRecords() == 0 {
			break
		}
		fetched.EachRecord(func(r *kgo.Record) { got.add(r.Value, 1) })
	}
	lost, repeated = got.compare(want)
	return lost, repeated, ctx.Err()
}
