// Package validate checks newline-delimited JSON events against the rules: each
// by itself, and against the others of the same input.
package validate

import (
	"context"
	"fmt"
	"io"
	"iter"
	"slices"
	"time"

	"github.com/clientevents/clientevents/event"
	"github.com/clientevents/clientevents/internal/ndjson"
	"github.com/clientevents/clientevents/internal/terminal"
)

// DefaultRemember is how many events are compared with each other where the
// options say nothing: about 100 MB.
const DefaultRemember = 1 << 20

// Options say what is checked.
type Options struct {
	Version event.Version
	// Decode gives the events of a line, or what is wrong with it; nil takes the line as
	// one event.
	Decode func(ndjson.Line) ([]*event.Event, *event.Fault)
	// Complete says that the input holds whole journeys: a parent that is not
	// in it is a fault.
	Complete bool
	// Remember is how many of the last events are compared with each other, at
	// most, and at least half as many; 0 means DefaultRemember. It is what
	// bounds the memory.
	Remember int
}

// Source is one input.
type Source struct {
	// Name stands before the line in a fault.
	Name string
	io.Reader
}

// Finding is what is wrong with an event. A line that is not an event counts as one.
type Finding struct {
	// File is the name of the source, and Line the number of the line, from 1.
	File   string       `json:"file"`
	Line   int          `json:"line"`
	Reason event.Reason `json:"reason"`
	Detail string       `json:"detail"`
}

// String returns the finding in one line: FILE:LINE: reason: detail.
func (f Finding) String() string {
	return fmt.Sprintf("%s:%d: %s: %s", terminal.Printable(f.File), f.Line, f.Reason, terminal.Printable(f.Detail))
}

// Result counts what was found.
type Result struct {
	Events, Faults int
	// Elsewhere counts the faults that other versions of the API would not find.
	Elsewhere ndjson.Elsewhere
	// Forgot says that there were more events than could be compared with each
	// other.
	Forgot bool
	// Printed are the sources with an invalid line that opens a value of several lines.
	Printed []string
}

// Validate checks the events of the sources, one after the other, and calls found with
// each invalid one at once: the input may be a stream that someone watches. A fault that
// takes two events is at the line of the child, or of the second event with one ID, and a
// line has one fault at most. The error is one of the sources, of found, or ctx's; the
// result then counts what was read before.
func Validate(ctx context.Context, sources iter.Seq2[Source, error], o Options, found func(Finding) error) (Result, error) {
	v := newValidator(o, found)
	for source, err := range sources {
		if err == nil {
			err = v.source(ctx, source)
		}
		if err != nil {
			return v.result, err
		}
	}
	v.children.forget()
	v.children.forget()
	return v.result, v.err
}

// validator is one run of Validate.
type validator struct {
	Options
	found  func(Finding) error
	names  []string // of the sources
	result Result
	err    error // the first of found

	events   *recent[known]
	children *recent[[]child] // that came before their parents, by the parents' ids
	hash     hasher
}

// place is where an event stands.
type place struct{ source, line int }

// known is what later events are compared with.
type known struct {
	place
	content uint64
	summary
}

// summary is as much of an event as [event.Event.CheckParent] looks at. It holds
// no pointer, since there are many.
type summary struct {
	seconds     int64
	nanoseconds int32
	typ         event.Type
}

func summarize(e *event.Event) summary {
	return summary{e.Time.Unix(), int32(e.Time.Nanosecond()), e.Type}
}

func (s summary) time() time.Time { return time.Unix(s.seconds, int64(s.nanoseconds)) }

// follows says what is wrong with parent as the parent of s.
func (s summary) follows(parent summary) *event.Fault {
	return (&event.Event{Type: s.typ, Time: s.time()}).CheckParent(parent.typ, parent.time())
}

// child waits for its parent.
type child struct {
	place
	summary
}

func newValidator(o Options, found func(Finding) error) *validator {
	if o.Remember == 0 {
		o.Remember = DefaultRemember
	}
	v := &validator{Options: o, found: found, hash: newHasher()}
	v.result.Elsewhere = ndjson.Elsewhere{}
	v.events = newRecent(o.Remember, func(map[key]known) { v.result.Forgot = true })
	v.children = newRecent(o.Remember, v.orphaned)
	return v
}

func (v *validator) source(ctx context.Context, s Source) error {
	v.names = append(v.names, s.Name)
	for line, err := range ndjson.Lines(s) {
		if err == nil {
			err = context.Cause(ctx)
		}
		if err != nil {
			return fmt.Errorf("read %s, line %d: %w", s.Name, line.Number, err)
		}
		faults := v.result.Faults
		if v.line(place{len(v.names) - 1, line.Number}, line); v.err != nil {
			return v.err
		}
		if v.result.Faults > faults && line.Opens() && !slices.Contains(v.result.Printed, s.Name) {
			v.result.Printed = append(v.result.Printed, s.Name)
		}
	}
	return nil
}

func (v *validator) line(at place, line ndjson.Line) {
	if v.Decode == nil {
		v.result.Events++
		e, fault := line.Decode(v.Version)
		if fault != nil {
			v.report(at, fault)
			v.result.Elsewhere.Add(line, v.Version)
			return
		}
		v.event(at, e)
		return
	}
	events, fault := v.Decode(line)
	v.result.Events += len(events)
	if fault != nil {
		v.result.Events++
		v.report(at, fault)
	}
	for _, e := range events {
		v.event(at, e)
	}
}

// event compares an event with those before.
func (v *validator) event(at place, e *event.Event) {
	id, content := v.hash.of(e.ID), e.Content()
	if before, ok := v.events.get(id); ok {
		if before.content != content {
			v.report(at, &event.Fault{Reason: event.ReasonIDConflict, Detail: fmt.Sprintf(
				"the eventId stands at %s already, with different content", v.where(before.place))})
		}
		return
	}
	v.events.newest()[id] = known{at, content, summarize(e)}
	v.parentOf(at, e)
	for _, c := range v.childrenOf(id) {
		v.report(c.place, c.follows(summarize(e)))
	}
}

// parentOf checks an event against its parent, or has it wait for the parent to
// come.
func (v *validator) parentOf(at place, e *event.Event) {
	if e.ParentID == "" {
		return
	}
	id := v.hash.of(e.ParentID)
	if parent, ok := v.events.get(id); ok {
		v.report(at, summarize(e).follows(parent.summary))
		return
	}
	// Siblings may be in both maps, so that a parent that never comes does not
	// keep the older of them from being forgotten.
	waiting := v.children.newest()
	waiting[id] = append(waiting[id], child{at, summarize(e)})
}

// childrenOf takes the children that have waited for id.
func (v *validator) childrenOf(id key) []child {
	all := append(v.children.before[id], v.children.now[id]...)
	delete(v.children.before, id)
	delete(v.children.now, id)
	return all
}

// orphaned is told of children whose parents have not come.
func (v *validator) orphaned(children map[key][]child) {
	if !v.Complete {
		return
	}
	detail := "parentEventId names no valid event of the input"
	if v.result.Forgot {
		detail = fmt.Sprintf("parentEventId names no valid event among the %d around this one, which is as many as are compared with each other", v.Remember/2)
	}
	for _, c := range inOrder(children) {
		v.report(c.place, &event.Fault{Reason: event.ReasonParentNotFound, Detail: detail})
	}
}

// report passes a fault on, if there is one.
func (v *validator) report(at place, f *event.Fault) {
	if f == nil || v.err != nil {
		return
	}
	v.result.Faults++
	v.err = v.found(Finding{v.names[at.source], at.line, f.Reason, f.Detail})
}

func (v *validator) where(p place) string { return fmt.Sprintf("%s:%d", v.names[p.source], p.line) }
