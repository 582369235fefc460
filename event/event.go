// Package event is the domain: what a client event is, the rules it keeps,
// and how it is written for each version of the API.
//
// Everything else in the program knows events; this package knows nothing else.
package event

import (
	"time"

	"go.opentelemetry.io/otel/trace"
)

// Event is one decoded and valid client event.
type Event struct {
	// ID is the eventId: the identity that deduplication and parent links use.
	ID string
	// RequestID is metadata.requestId of the search the event stems from.
	RequestID string
	// ParentID is the eventId of the event that led to this one, or "".
	ParentID string
	// CreateTime is the producer's own spelling of Time; it is sent as it came.
	CreateTime string
	// Time is when the event happened.
	Time time.Time
	// Type says what happened.
	Type Type
	// Jobs are the resource names of the jobs concerned, at least one.
	Jobs []string
	// ExtraInfo is free text by key; known to v3 alone, see [Event.AppendRequest].
	ExtraInfo map[string]string
	// Notes is eventNotes; known to v4beta1 and v4 alone.
	Notes string
}

// Delivery is an event on its way to the API, together with where its outcome
// must be told. It is handed from the consumer to the batcher to the reporter.
type Delivery struct {
	*Event
	// Partition of the source topic that the event was read from.
	Partition int32
	// Rank is the event's precedence while not all can go, 0 before 1, at most
	// [Ranks]-1. The consumer sets it before it hands the delivery over; from then
	// on it is the batcher's.
	Rank uint8
	// Place is where the batcher keeps the delivery; nobody else looks at it.
	Place int64
	// Timestamp is the Kafka record's, for the end-to-end latency.
	Timestamp time.Time
	// Attempts counts the attempts already made; the reporter keeps it.
	Attempts int
	// Span follows the event from its record to its outcome; nil where it is
	// not traced. The consumer ends it.
	Span trace.Span
	// Origin is what the consumer keeps of the delivery; nobody else looks at it.
	Origin any
	// Done is told the outcome, exactly once, by whoever holds the delivery
	// last. It may be called from any goroutine, and does not block.
	Done func(*Delivery, Outcome)
}

// Outcome is what became of a delivery.
type Outcome struct {
	// Kind says which of the few things that can happen did.
	Kind OutcomeKind
	// HTTPStatus is the answer's status for Rejected, otherwise 0.
	HTTPStatus int
	// Detail is one line for a person; empty for Accepted.
	Detail string
}

// OutcomeKind is one of the few things that can become of a delivery.
type OutcomeKind uint8

const (
	// Accepted: the API has the event.
	Accepted OutcomeKind = iota
	// Rejected: the API refused the event for good; it becomes a dead letter.
	Rejected
	// TooLarge: the event alone exceeds what one request may hold.
	TooLarge
	// Released: given back without an outcome, because its partition is given
	// away or the program stops. The record stays uncommitted.
	Released
)
