package rehearse

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/clientevents/clientevents/consumer/kafkalog"
	"github.com/clientevents/clientevents/consumer/partition"
	"github.com/clientevents/clientevents/event"
	"github.com/clientevents/clientevents/internal/config"
)

// Report is what 'run' would do with the records.
type Report struct {
	rekeyed bool // input.rekey is set

	Topic   string `json:"topic"`
	Records int64  `json:"records"`
	// Outcomes counts records by outcome, DeadLetters by reason, Events reported events
	// by type, and Suspicious events by rule.
	Outcomes    map[string]int64 `json:"outcomes"`
	DeadLetters map[string]int64 `json:"dead_letters"`
	Events      map[string]int64 `json:"events"`
	Suspicious  map[string]int64 `json:"suspicious"`
	// Examples are some dead letters of each reason.
	Examples map[string][]Example `json:"examples"`
	// WithoutKey counts records without a key.
	WithoutKey int64 `json:"records_without_key"`
	// Spread counts journeys whose events are in more than one partition, of Journeys
	// in all, and ElsewhereParents children whose parent is in another partition. All
	// three are of the first million IDs that were seen.
	Journeys         int64 `json:"journeys"`
	Spread           int64 `json:"journeys_in_several_partitions"`
	ElsewhereParents int64 `json:"children_with_parent_in_another_partition"`
	// UnreadParents counts children that are parent_not_found and whose parent is not among
	// the IDs that were seen. It may be older than the records.
	UnreadParents int64 `json:"children_with_parent_not_read"`
	// PerMinute and PeakPerMinute are reported events in a minute, on average and at
	// most, by the records' timestamps: the quota that is needed.
	PerMinute     float64 `json:"events_per_minute"`
	PeakPerMinute int64   `json:"peak_events_per_minute"`
	// From and To are the first and the last timestamp.
	From time.Time `json:"from,omitzero"`
	To   time.Time `json:"to,omitzero"`
	// Hints say what to do, or what to know of the numbers.
	Hints []string `json:"hints,omitempty"`
}

// Example is a record of a reason.
type Example struct {
	Partition int32  `json:"partition"`
	Offset    int64  `json:"offset"`
	EventID   string `json:"event_id,omitempty"`
	Detail    string `json:"detail"`
}

const (
	// maxIDs is how many IDs are remembered to find journeys that are spread.
	maxIDs = 1_000_000
	// maxMinutes is how many minutes are counted.
	maxMinutes = 100_000
)

// findings gathers the report of several partitions.
type findings struct {
	o Options

	mu       sync.Mutex
	r        Report
	done     int64
	told     time.Time
	journeys map[partition.Key]int32 // the partition; -1 for several
	ids      map[partition.Key]int32
	orphans  []orphan
	minutes  map[int64]int64
	older    bool // the topic has records before those that are read
}

type orphan struct {
	parent    partition.Key
	partition int32
}

// origin is what is kept of a record until its outcome.
type origin struct {
	partition int32
	offset    int64
	id        string          // the first event's
	parents   []partition.Key // of its events
}

func newFindings(c *config.Config, o Options) *findings {
	return &findings{
		o: o,
		r: Report{
			Topic: c.Kafka.Topic, rekeyed: c.Input.Rekey,
			Outcomes: map[string]int64{}, DeadLetters: map[string]int64{}, Events: map[string]int64{},
			Suspicious: map[string]int64{}, Examples: map[string][]Example{},
		},
		journeys: map[partition.Key]int32{}, ids: map[partition.Key]int32{}, minutes: map[int64]int64{},
	}
}

// origin notes a record that was decoded.
func (f *findings) origin(p int32, in *kafkalog.Record, events []*event.Event) *origin {
	f.mu.Lock()
	defer f.mu.Unlock()
	o := &origin{partition: p, offset: in.Offset}
	f.r.Records++
	if len(in.Key) == 0 && len(in.Value) > 0 {
		f.r.WithoutKey++
	}
	if !in.Time.IsZero() {
		if f.r.From.IsZero() || in.Time.Before(f.r.From) {
			f.r.From = in.Time
		}
		if in.Time.After(f.r.To) {
			f.r.To = in.Time
		}
	}
	for _, e := range events {
		f.seen(p, e)
		if e.ParentID != "" {
			o.parents = append(o.parents, partition.KeyOf(e.ParentID))
		}
	}
	if len(events) > 0 {
		o.id = events[0].ID
	}
	return o
}

// seen notes the IDs of an event. The caller holds mu.
func (f *findings) seen(p int32, e *event.Event) {
	journey := partition.KeyOf(e.RequestID)
	if before, ok := f.journeys[journey]; ok {
		if before != p {
			f.journeys[journey] = -1
		}
	} else if len(f.journeys) < maxIDs {
		f.journeys[journey] = p
	}
	if id := partition.KeyOf(e.ID); len(f.ids) < maxIDs {
		f.ids[id] = p
	}
}

func (f *findings) suspicious(rule string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.r.Suspicious[rule]++
}

func (f *findings) finished(r *partition.Record) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.r.Outcomes[r.Outcome().String()]++
}

func (f *findings) reported(d *event.Delivery) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.r.Events[d.Type.String()]++
	if f.o.Reported != nil {
		f.o.Reported(d.Event)
	}
	if minute := d.Timestamp.Unix() / 60; len(f.minutes) < maxMinutes {
		f.minutes[minute]++
	}
}

func (f *findings) deadLetter(l *partition.DeadLetter) {
	f.mu.Lock()
	defer f.mu.Unlock()
	o := l.Record.Origin.(*origin)
	reason := string(l.Fault.Reason)
	f.r.DeadLetters[reason]++
	if l.Fault.Reason == event.ReasonParentNotFound {
		for _, parent := range o.parents {
			f.orphans = append(f.orphans, orphan{parent, o.partition})
		}
	}
	if len(f.r.Examples[reason]) < f.o.Samples {
		f.r.Examples[reason] = append(f.r.Examples[reason], Example{o.partition, o.offset, o.id, l.Fault.Detail})
	}
}

// read notes how far the rehearsal is.
func (f *findings) read(n, all int64, progress func(done, all int64)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.done += n
	if progress != nil && time.Since(f.told) > 100*time.Millisecond {
		f.told = time.Now()
		progress(f.done, all)
	}
}

func (f *findings) report() *Report {
	r := &f.r
	r.Journeys = int64(len(f.journeys))
	for _, p := range f.journeys {
		if p < 0 {
			r.Spread++
		}
	}
	for _, o := range f.orphans {
		switch p, ok := f.ids[o.parent]; {
		case !ok:
			r.UnreadParents++
		case p != o.partition:
			r.ElsewhereParents++
		}
	}
	events := int64(0)
	for _, n := range f.minutes {
		events += n
		r.PeakPerMinute = max(r.PeakPerMinute, n)
	}
	if minutes := r.To.Sub(r.From).Minutes(); events > 0 {
		r.PerMinute = float64(events) / max(1, minutes)
	}
	for reason := range r.Examples {
		slices.SortFunc(r.Examples[reason], func(a, b Example) int {
			if a.Partition != b.Partition {
				return int(a.Partition - b.Partition)
			}
			return int(a.Offset - b.Offset)
		})
	}
	r.Hints = f.hints()
	return r
}

// hints returns what a person should know of a report that is complete otherwise.
func (f *findings) hints() (all []string) {
	r := &f.r
	if r.UnreadParents > 0 && f.older {
		all = append(all, fmt.Sprintf("%d children are parent_not_found because their parent is not among these records. "+
			"It may be older: run finds parents that were reported within dedupe.window. Read more with --last or --since.", r.UnreadParents))
	}
	if !r.rekeyed && (r.Spread > 0 || r.WithoutKey > 0) {
		all = append(all, "Key the topic by request ID, or set input.rekey: true. Deduplication and links between events work within a partition.")
	}
	return all
}

// Write writes the report for a person.
func (r *Report) Write(out io.Writer) {
	fmt.Fprintf(out, "%d records of %s", r.Records, r.Topic)
	if !r.From.IsZero() {
		fmt.Fprintf(out, ", from %s to %s", r.From.UTC().Format(time.RFC3339), r.To.UTC().Format(time.RFC3339))
	}
	fmt.Fprintln(out)
	table(out, "Outcomes", r.Outcomes)
	table(out, "Events by type", r.Events)
	table(out, "Dead letters by reason", r.DeadLetters)
	for _, reason := range slices.Sorted(maps.Keys(r.Examples)) {
		for _, x := range r.Examples[reason] {
			fmt.Fprintf(out, "    %s: partition %d, offset %d: %s\n", reason, x.Partition, x.Offset, x.Detail)
		}
	}
	table(out, "Suspicious events by rule", r.Suspicious)
	fmt.Fprintf(out, "\nRecords without a key: %d\n", r.WithoutKey)
	fmt.Fprintf(out, "Journeys in several partitions: %d of %d\n", r.Spread, r.Journeys)
	fmt.Fprintf(out, "Children with their parent in another partition: %d\n", r.ElsewhereParents)
	fmt.Fprintf(out, "Children with their parent not among these records: %d\n", r.UnreadParents)
	fmt.Fprintf(out, "Quota needed: %.1f events a minute, %d at peak\n", r.PerMinute, r.PeakPerMinute)
	for _, hint := range r.Hints {
		fmt.Fprintf(out, "\n%s\n", hint)
	}
}

func table(out io.Writer, title string, counts map[string]int64) {
	if len(counts) == 0 {
		return
	}
	fmt.Fprintf(out, "\n%s\n", title)
	for _, name := range slices.Sorted(maps.Keys(counts)) {
		fmt.Fprintf(out, "  %-28s %9d\n", strings.ToValidUTF8(name, ""), counts[name])
	}
}
