// Package rehearse applies a configuration to the end of the source topic and reports
// what 'run' would do. It uses the decoder and the partitions of 'run' itself; instead
// of the API, it accepts every event. It joins no group and writes nothing.
package rehearse

import (
	"context"
	"fmt"
	"runtime"
	"sync"
	"time"

	"github.com/clientevents/clientevents/consumer"
	"github.com/clientevents/clientevents/consumer/kafkalog"
	"github.com/clientevents/clientevents/consumer/partition"
	"github.com/clientevents/clientevents/event"
	"github.com/clientevents/clientevents/input"
	"github.com/clientevents/clientevents/internal/config"
	"github.com/clientevents/clientevents/internal/connect"
	"github.com/clientevents/clientevents/internal/pipeline"
)

// Options say what is read.
type Options struct {
	// Last is how many records are read, of all partitions; 0 reads those since Since.
	Last  int64
	Since time.Time
	// Samples is how many examples of each reason the report holds.
	Samples int
	// Dial replaces the network to the schema registry; nil uses it.
	Dial connect.DialFunc
	// Progress is called now and then with the records read and to read; nil: never.
	Progress func(done, all int64)
	// Reported is called with each event that 'run' would report, one at a time, and must
	// not keep it; nil: never.
	Reported func(*event.Event)
}

// Run rehearses.
func Run(ctx context.Context, k *connect.Kafka, c *config.Config, o Options) (*Report, error) {
	decoding := c.Decoding()
	decoding.Dial = o.Dial
	decoder, err := input.New(decoding)
	if err != nil {
		return nil, err
	}
	n, err := consumer.PartitionCount(ctx, k.Client(), c.Kafka.Topic)
	if err != nil {
		return nil, err
	}
	r := &rehearsal{
		log: kafkalog.NewClient(k.Addr, k.Transport), c: c, o: o, decoder: decoder,
		now: time.Now(), found: newFindings(c, o),
	}
	spans, err := r.spans(ctx, n)
	if err != nil {
		return nil, err
	}
	if err := r.rekey(ctx, k); err != nil {
		return nil, err
	}
	if err := r.each(ctx, spans); err != nil {
		return nil, err
	}
	for _, w := range r.byRequest {
		w.end()
	}
	return r.found.report(), nil
}

type rehearsal struct {
	log     *kafkalog.Client
	c       *config.Config
	o       Options
	decoder *input.Decoder
	now     time.Time
	found   *findings
	all     int64 // records to read
	// byRequest are the partitions of the internal topic, with input.rekey, and numbers
	// their numbers.
	byRequest []*worker
	numbers   []int
}

// span is what is read of a partition.
type span struct {
	partition int32
	first     int64 // the first offset that the topic has
	from, to  int64
}

// spans finds what to read of each partition.
func (r *rehearsal) spans(ctx context.Context, n int) ([]span, error) {
	spans := make([]span, n)
	for i := range spans {
		s := &spans[i]
		s.partition = int32(i)
		var err error
		if s.first, s.to, err = r.log.Offsets(ctx, r.c.Kafka.Topic, s.partition); err != nil {
			return nil, err
		}
		s.from = s.first
		if r.o.Last > 0 {
			continue
		}
		at, err := r.log.OffsetAt(ctx, r.c.Kafka.Topic, s.partition, r.o.Since)
		if err != nil {
			return nil, err
		}
		s.from = max(s.from, min(at, s.to))
	}
	if r.o.Last > 0 {
		share(spans, r.o.Last)
	}
	for _, s := range spans {
		r.all += s.to - s.from
		r.found.older = r.found.older || s.from > s.first
	}
	return spans, nil
}

// share leaves the last records of each partition, as many of each as possible, and
// last in all.
func share(spans []span, last int64) {
	left := make([]int, len(spans))
	for i := range left {
		left[i] = i
	}
	for len(left) > 0 {
		each := last / int64(len(left))
		var more []int
		for _, i := range left {
			if size := spans[i].to - spans[i].from; size <= each {
				last -= size
			} else {
				more = append(more, i)
			}
		}
		if len(more) == len(left) {
			for n, i := range left {
				take := each
				if int64(n) < last%int64(len(left)) {
					take++
				}
				spans[i].from = spans[i].to - take
			}
			return
		}
		left = more
	}
}

// each reads the partitions, some at a time. It ends with the first error.
func (r *rehearsal) each(ctx context.Context, spans []span) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	next := make(chan span)
	var workers sync.WaitGroup
	for range min(len(spans), 2*runtime.GOMAXPROCS(0)) {
		workers.Go(func() {
			for s := range next {
				if err := r.partition(ctx, s); err != nil {
					cancel(err)
				}
			}
		})
	}
	for _, s := range spans {
		next <- s
	}
	close(next)
	workers.Wait()
	return context.Cause(ctx)
}

// fetchBytes is how much is asked for at a time, for each partition that is read.
const fetchBytes = 1 << 20

// partition does with the records of one partition what its owner would do.
func (r *rehearsal) partition(ctx context.Context, s span) error {
	w := r.worker(s.partition, s.from)
	at := s.from
	records := kafkalog.Span{Log: r.log, End: s.to, Request: kafkalog.FetchRequest{
		Topic: r.c.Kafka.Topic, Partition: s.partition, Offset: at,
		MaxBytes: fetchBytes, MaxMemory: 8 * fetchBytes, MaxWait: time.Second, ReadCommitted: true,
	}}
	// It ends before an open transaction: 'run' would wait for its end.
	err := records.Each(ctx, func(records []kafkalog.Record, next int64) error {
		if err := context.Cause(ctx); err != nil {
			return err
		}
		if err := w.admit(ctx, records, next); err != nil {
			return err
		}
		r.found.read(next-at, r.all, r.o.Progress)
		at = next
		return nil
	})
	if err != nil {
		return err
	}
	w.end()
	return nil
}

// worker returns the worker of a partition that begins at an offset.
func (r *rehearsal) worker(id int32, from int64) *worker {
	return &worker{
		rehearsal: r, id: id,
		partition: partition.New(partition.Config{ID: id, Rules: pipeline.Rules(r.c), Start: from}),
	}
}

// end ends the wait of the children: no more is read. The copy of a child waits in its
// turn, when the wait of the child has ended.
func (w *worker) end() {
	w.act(w.partition.Tick(w.now, true))
	for at, left := w.now, -1; left != w.partition.Stats().Unfinished; {
		left = w.partition.Stats().Unfinished
		at = at.Add(w.c.Parents.Wait + time.Second)
		w.act(w.partition.Tick(at, true))
	}
}

// worker drives one partition.
type worker struct {
	*rehearsal
	id        int32
	partition *partition.Partition
	events    []*event.Event
	accepted  []partition.Accepted

	// mu guards a partition of the internal topic, and next, its next offset.
	mu   sync.Mutex
	next int64
}

func (w *worker) admit(ctx context.Context, fetched []kafkalog.Record, next int64) error {
	records := make([]*partition.Record, 0, len(fetched))
	for i := range fetched {
		in := &fetched[i]
		r := &partition.Record{Offset: in.Offset}
		r.SetTimestamp(in.Time)
		events, fault, err := w.decode(ctx, in)
		if err != nil {
			return err
		}
		o := w.found.origin(w.id, in, events)
		r.Origin = o
		if w.byRequest != nil && fault == nil && len(events) > 0 {
			w.route(events, o, in.Time)
			continue
		}
		for _, e := range events {
			d := r.Add(e)
			d.OnDone(func(*event.Delivery, event.Outcome) bool { return false })
		}
		if fault != nil {
			r.Invalidate(fault)
		}
		records = append(records, r)
	}
	w.act(w.partition.Admit(records, next, w.now))
	return nil
}

// patience is how often a registry that can't be used is asked.
const patience = 5

func (w *worker) decode(ctx context.Context, in *kafkalog.Record) (events []*event.Event, fault *event.Fault, err error) {
	if len(in.Value) == 0 {
		return nil, nil, nil
	}
	if fault := consumer.HeadersFault(in); fault != nil {
		return nil, fault, nil
	}
	r := input.Record{
		Topic: w.c.Kafka.Topic, Partition: w.id, Offset: in.Offset, Timestamp: in.Time,
		Key: in.Key, Value: in.Value, Headers: in.Headers,
	}
	for attempt := range patience {
		events, fault, err = w.decoder.Decode(ctx, &r, w.events[:0])
		if err == nil {
			break
		}
		select {
		case <-ctx.Done():
			return nil, nil, context.Cause(ctx)
		case <-time.After(time.Second << min(attempt, 2)):
		}
	}
	if err != nil {
		return nil, nil, fmt.Errorf("partition %d, offset %d: %w", w.id, in.Offset, err)
	}
	if events != nil {
		w.events = events
	}
	return events, fault, nil
}

// act accepts what is ready, as the API would, until nothing more comes of it.
func (w *worker) act(e partition.Effects) {
	pending := []partition.Effects{e}
	for len(pending) > 0 {
		e := pending[len(pending)-1]
		pending = pending[:len(pending)-1]
		for _, s := range e.Suspicions {
			w.found.suspicious(string(s.Rule))
		}
		for _, d := range e.Ready {
			next, _ := w.partition.Outcome(d, event.Outcome{Kind: event.Accepted}, w.now)
			pending = append(pending, next)
		}
		for r := range e.Finished() {
			w.found.finished(r)
		}
		if letters := w.partition.TakeDeadLetters(); len(letters) > 0 {
			for i := range letters {
				w.found.deadLetter(&letters[i])
			}
			pending = append(pending, w.partition.DeadLettered(letters))
		}
		if w.accepted = w.partition.TakeAccepted(w.accepted); len(w.accepted) > 0 {
			for i := range w.accepted {
				w.found.reported(w.accepted[i].Delivery())
			}
			next, _ := w.partition.Recorded(w.accepted)
			pending = append(pending, next)
		}
	}
}
