package partition

import (
	"iter"
	"time"

	"github.com/clientevents/clientevents/event"
)

// Record is one record of the source topic, from its admission to its outcome.
// The caller fills in the exported fields, calls SetTimestamp, then Add for each
// event or Invalidate, and passes the record to [Partition.Admit]. A record without
// events is skipped.
type Record struct {
	// Offset is the record's offset in its partition.
	Offset int64
	// Origin belongs to the caller; this package does not use it.
	Origin any

	ticket ticket
	// fault is the first fault of an event, and status the API's for it. A
	// record with a fault becomes a dead letter.
	fault  *event.Fault
	status int32
	// open counts the events that are not done.
	open int32
	// outcome is the highest outcome of the events that are done, and finally
	// the record's.
	outcome Outcome
	parked  bool
	resumed bool    // it was parked, and an event of it was sent afterwards
	listed  bool    // by Partition.unfinished
	next    *Record // in Effects.finished
	// first is the only event of nearly every record; it needs no memory of its
	// own. Its Event is nil if there is none.
	first item
}

// item is one event of a record.
type item struct {
	event.Delivery
	record   *Record
	sibling  *item // the record's next event
	key      Key
	content  uint64
	wait     *wait    // nil if the event does not wait for its parent
	children *family  // those that wait for this one to be reported; nil for none
	copies   *[]*item // those that wait for the outcome of this one; nil for none
	rank     uint8    // the delivery's, as far as the partition knows
	sent     bool     // its outcome is not known yet
}

// SetTimestamp sets the record's own timestamp.
func (r *Record) SetTimestamp(t time.Time) { r.first.Timestamp = t } // where it needs no memory of its own

// Timestamp returns the record's own timestamp.
func (r *Record) Timestamp() time.Time { return r.first.Timestamp }

// Add adds an event and returns its delivery. The caller sets the delivery's
// Done and Span; Admit sets the other fields.
func (r *Record) Add(e *event.Event) *event.Delivery {
	it := &r.first
	for it.Event != nil {
		if it.sibling == nil {
			it.sibling = new(item)
		}
		it = it.sibling
	}
	it.Event, it.record, it.key, it.content = e, r, KeyOf(e.ID), e.Content()
	return &it.Delivery
}

// Value returns the JSON of the record's first event, see [event.Event.Value].
func (r *Record) Value() string { return r.first.Value() }

// Invalidate makes the whole record a dead letter: none of its events is sent.
func (r *Record) Invalidate(fault *event.Fault) { r.fault = fault }

// Repeat makes a record without events a duplicate: it had its outcome before.
func (r *Record) Repeat() { r.outcome = Duplicate }

// Fault returns the fault for which a record becomes a dead letter; nil if it
// does not.
func (r *Record) Fault() *event.Fault { return r.fault }

// Resumed reports whether a record that was parked is sent; see [Effects.Resumed].
func (r *Record) Resumed() bool { return r.resumed }

// Outcome returns the outcome of a finished record.
func (r *Record) Outcome() Outcome { return r.outcome }

func (r *Record) items() iter.Seq[*item] {
	return func(yield func(*item) bool) {
		for it := &r.first; it != nil && it.Event != nil; it = it.sibling {
			if !yield(it) {
				return
			}
		}
	}
}

// Outcome is the outcome of a record. Of a record with several events, it is
// the highest of theirs.
type Outcome uint8

// The outcomes of a record.
const (
	// Skipped: the record has no event.
	Skipped Outcome = iota
	// Duplicate: the events were reported before, or the record is a dead letter already.
	Duplicate
	// Reported: the API has the events, and the state topic says so.
	Reported
	// DeadLettered: the record is in the dead-letter topic.
	DeadLettered
)

// OutcomeCount is the number of outcomes.
const OutcomeCount = 4

var outcomeNames = [OutcomeCount]string{"skipped", "duplicate", "reported", "dead_letter"}

// String returns the outcome's name, a value of the metric label outcome.
func (o Outcome) String() string { return outcomeNames[o] }

// Outcomes lists all outcomes of a record.
func Outcomes() []Outcome { return []Outcome{Skipped, Duplicate, Reported, DeadLettered} }

// Accepted is an event that the API accepted and whose state record is to be
// written.
type Accepted struct {
	item  *item
	entry Entry
}

// Key identifies the event in the state topic.
func (a *Accepted) Key() Key { return a.item.key }

// Record is the event's record.
func (a *Accepted) Record() *Record { return a.item.record }

// Entry is what to remember of the event.
func (a *Accepted) Entry() *Entry { return &a.entry }

// Delivery is the event's delivery.
func (a *Accepted) Delivery() *event.Delivery { return &a.item.Delivery }

// DeadLetter is a record that is to be written to the dead-letter topic.
type DeadLetter struct {
	Record *Record
	Fault  event.Fault
	// HTTPStatus is the API's status for an event that it rejected, otherwise 0.
	HTTPStatus int
}

// Parents returns the parents of the record's events.
func (l *DeadLetter) Parents() (ids []string) {
	for it := range l.Record.items() {
		if it.ParentID != "" {
			ids = append(ids, it.ParentID)
		}
	}
	return ids
}

// Effects is what the caller has to do after a call. The partition's mutex is
// free by then.
type Effects struct {
	// Ready are the deliveries to send, in order.
	Ready []*event.Delivery
	// Parked are records that may wait for long. The caller may copy a record to
	// free the memory that it shares with its neighbors; the record may be
	// finished by then.
	Parked []*Record
	// Resumed counts the parked records whose wait is over: their events are sent.
	Resumed int
	// Suspicions are the suspicious events found.
	Suspicions []Suspicion
	// Accepted and DeadLetters count what TakeAccepted and TakeDeadLetters will
	// return in addition.
	Accepted, DeadLetters int

	finished finished
}

// Finished yields the records that have their final outcome. The partition
// does not use them any more.
func (e *Effects) Finished() iter.Seq[*Record] {
	return func(yield func(*Record) bool) {
		for r := e.finished.first; r != nil; {
			next := r.next // yield may reuse the record
			if !yield(r) {
				return
			}
			r = next
		}
	}
}

// finished is a list of records in the order in which they were finished. Its
// links are in the records, so that it needs no memory.
type finished struct{ first, last *Record }

func (f *finished) push(r *Record) {
	if f.last == nil {
		f.first, f.last = r, r
		return
	}
	f.last.next, f.last = r, r
}

// Raise is a delivery that was sent and has a better rank now, since a more
// valuable event waits for it.
type Raise struct {
	Delivery *event.Delivery
	Rank     uint8
}
