package find

import (
	"fmt"
	"io"
	"strings"
	"time"
)

// Write writes events for a person: each below its parent, where that is among them.
func Write(out io.Writer, events []*Event) {
	known := map[string]bool{}
	children := map[string][]*Event{}
	for _, e := range events {
		known[e.EventID] = true
	}
	for _, e := range events {
		if known[e.ParentID] && e.ParentID != e.EventID {
			children[e.ParentID] = append(children[e.ParentID], e)
		}
	}
	w := &writer{out: out, children: children, done: map[string]bool{}}
	for _, e := range events {
		if !known[e.ParentID] || e.ParentID == e.EventID {
			w.event(e, 0)
		}
	}
	for _, e := range events { // links may go in a circle
		w.event(e, 0)
	}
}

type writer struct {
	out      io.Writer
	children map[string][]*Event
	done     map[string]bool
}

func (w *writer) event(e *Event, depth int) {
	if w.done[e.EventID] {
		return
	}
	w.done[e.EventID] = true
	indent := strings.Repeat("  ", depth)
	fmt.Fprintf(w.out, "%s%s %s: %s", indent, e.Type, quote(e.EventID), strings.ReplaceAll(e.Outcome, "_", " "))
	if !e.Reported.IsZero() {
		fmt.Fprintf(w.out, " at %s", e.Reported.UTC().Format(time.RFC3339))
	}
	fmt.Fprintln(w.out)
	if e.CreateTime != "" {
		fmt.Fprintf(w.out, "%s  created %s, request %s\n", indent, quote(e.CreateTime), quote(e.RequestID))
	}
	if e.ParentID != "" {
		fmt.Fprintf(w.out, "%s  parent %s: %s\n", indent, quote(e.ParentID), strings.ReplaceAll(e.ParentOutcome, "_", " "))
	}
	for _, r := range e.Records {
		fmt.Fprintf(w.out, "%s  record: partition %d, offset %d, key %s, published %s\n", indent, r.Partition, r.Offset, quote(r.Key), r.Published.UTC().Format(time.RFC3339))
	}
	for _, l := range e.DeadLetters {
		fmt.Fprintf(w.out, "%s  dead letter: partition %d, offset %d, of record %s: %s: %s\n", indent, l.Partition, l.Offset, quote(l.SourcePartition+"/"+l.SourceOffset), quote(l.Reason), quote(l.Detail))
	}
	for _, child := range w.children[e.EventID] {
		w.event(child, depth+1)
	}
}

// quote shows a record's text as it is where it is plain, and quoted where a terminal may
// obey it.
func quote(s string) string {
	if q := fmt.Sprintf("%+q", s); s == "" || q[1:len(q)-1] != s {
		return fmt.Sprintf("%q", s)
	}
	return s
}
