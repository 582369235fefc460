// Package event is the domain: what a client event is, the rules it keeps,
// and how it is written for each version of the API.
//
// Everything else in the program knows events; this package knows nothing else.
package event

import "time"

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
	ExtraInfo Info
	// Notes is eventNotes; known to v4beta1 and v4 alone.
	Notes string
	// Profile is jobEvent.profile; known to v4beta1 alone.
	Profile string

	value string
}

// Value returns the JSON that the event was decoded from if the event's texts are parts
// of it, so that it needs no memory of its own; otherwise "".
func (e *Event) Value() string { return e.value }
