package event

import (
	"context"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/trace"
)

// Delivery is an event on its way to the API and the function that receives its
// outcome. The consumer hands it to the batcher, the batcher to the reporter.
//
// A delivery knows whether it is in flight: Depart counts it, Land gives the
// place back. Every end of its way lands it, and landing twice changes nothing,
// so the count in [Flights] is right whichever end comes first.
type Delivery struct {
	*Event
	// Partition of the source topic that the event was read from.
	Partition int32
	// Attempts counts the attempts already made; the reporter keeps it.
	Attempts int32
	// Term is the time of ownership in which the event was read; nil where the
	// partition is never given up.
	Term *Term
	// Place is where the batcher keeps the delivery; only the batcher uses it.
	Place int64
	// Timestamp is the Kafka record's, for the end-to-end latency.
	Timestamp time.Time
	// Rejection is the number of its first permanent rejection, 0 where there is
	// none; the reporter keeps it.
	Rejection uint64
	// Span follows the event from its record to its outcome; nil where it is
	// not traced. The consumer ends it.
	Span trace.Span
	// Origin is the consumer's own data about the delivery.
	Origin any

	receive  func(*Delivery, Outcome) (keep bool)
	inFlight atomic.Pointer[Flights]
	done     atomic.Bool
	entered  bool
	// Rank is the event's precedence while not all events can be sent, 0 before
	// 1, at most [Ranks]-1. The consumer sets it before it hands the delivery
	// over; from then on it is the batcher's.
	Rank uint8
}

// OnDone sets the function that receives the outcome; it is called before the
// delivery is handed over. receive runs in any goroutine and must not block. It
// reports whether it keeps the delivery in flight, in which case it lands the
// delivery later: when the event is durably known as reported, or never will be.
func (d *Delivery) OnDone(receive func(d *Delivery, o Outcome) (keep bool)) { d.receive = receive }

// Done ends the delivery's way with its outcome. The last holder of the delivery
// calls it exactly once; a second call panics, since it would be an outcome that
// the record's state does not expect.
//
// The delivery lands after its outcome was received, so that no drain is over
// while an outcome is missing.
func (d *Delivery) Done(o Outcome) {
	if d.done.Swap(true) {
		panic("event: a delivery has two outcomes")
	}
	if !d.receive(d, o) {
		d.Land()
	}
	if d.entered {
		d.Term.leave()
	}
}

// Enter counts the delivery in its term, until its outcome. The caller makes sure
// that no other goroutine has the delivery.
func (d *Delivery) Enter() {
	if d.Term != nil && !d.entered {
		d.entered = true
		d.Term.open.Add(1)
	}
}

// Depart counts the delivery as in flight, until Land. A delivery that is in
// flight already is not counted twice.
func (d *Delivery) Depart(f *Flights) {
	f.count.Add(1)
	if before := d.inFlight.Swap(f); before != nil {
		before.land()
	}
}

// Land gives the delivery's place in flight back; it does nothing where the
// delivery has none. It takes no lock and may be called under any.
func (d *Delivery) Land() {
	if f := d.inFlight.Swap(nil); f != nil {
		f.land()
	}
}

// Term is the time during which this replica owns a partition. All deliveries of
// that time share it, so that a drain of one partition is distinguished from the
// others, and a late delivery from those of the partition's next term. It is safe
// for concurrent use; a nil Term has no effect.
type Term struct {
	over  atomic.Bool
	open  atomic.Int64
	empty chan struct{} // has a value when the last delivery has its outcome
}

// NewTerm returns a term that has begun.
func NewTerm() *Term { return &Term{empty: make(chan struct{}, 1)} }

// End begins the end of the term: deliveries that can't be sent at once are to be
// released.
func (t *Term) End() { t.over.Store(true) }

// Over reports whether the term's end has begun.
func (t *Term) Over() bool { return t != nil && t.over.Load() }

func (t *Term) leave() {
	if t.open.Add(-1) > 0 {
		return
	}
	select {
	case t.empty <- struct{}{}:
	default:
	}
}

// Wait returns when all deliveries have their outcome, or with an error when ctx
// ends.
func (t *Term) Wait(ctx context.Context) error {
	for t.open.Load() > 0 {
		select {
		case <-t.empty:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// Flights counts the deliveries in flight: sent, and their outcome not yet
// durable. It is safe for concurrent use.
type Flights struct {
	count atomic.Int64
	// limit is one more than the count that is awaited; 0 for none.
	limit atomic.Int64
	fell  chan struct{}
}

// NewFlights returns a Flights without deliveries.
func NewFlights() *Flights { return &Flights{fell: make(chan struct{}, 1)} }

// Count returns the number of deliveries in flight.
func (f *Flights) Count() int { return int(f.count.Load()) }

// Await asks for a value in Fell when at most n deliveries are in flight, at once
// where that is so. Of several calls the highest n counts, until there was a
// value; then those who still wait call it again.
func (f *Flights) Await(n int) {
	limit := int64(n) + 1
	for {
		before := f.limit.Load()
		if before >= limit || f.limit.CompareAndSwap(before, limit) {
			break
		}
	}
	// A delivery that landed before limit was set did not see it.
	f.signal(f.count.Load())
}

// Fell has a value when the number of deliveries fell as far as Await asked.
func (f *Flights) Fell() <-chan struct{} { return f.fell }

// land is a single addition unless its count is awaited.
func (f *Flights) land() { f.signal(f.count.Add(-1)) }

func (f *Flights) signal(count int64) {
	limit := f.limit.Load()
	if count >= limit || !f.limit.CompareAndSwap(limit, 0) {
		return
	}
	select {
	case f.fell <- struct{}{}:
	default: // the value before was not read yet, and tells the same
	}
}

// Outcome is the end of a delivery's way.
type Outcome struct {
	Kind OutcomeKind
	// HTTPStatus is the answer's status for Rejected and for TooLarge from the API,
	// otherwise 0.
	HTTPStatus int
	// Detail is one line for a person; empty for Accepted.
	Detail string
}

// OutcomeKind is one of the few ends of a delivery's way.
type OutcomeKind uint8

const (
	// Accepted: the API has the event.
	Accepted OutcomeKind = iota
	// Rejected: the API rejected the event permanently; it becomes a dead letter.
	Rejected
	// TooLarge: the event alone exceeds the limit of one request.
	TooLarge
	// Released: given back without an outcome, because its partition is revoked
	// or the program stops. The record stays uncommitted.
	Released
)
