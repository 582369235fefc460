package partition

import "time"

// Watermark returns the offset that may be committed: all records before it
// have their outcome. It is -1 while the partition's start is unknown.
func (p *Partition) Watermark() int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.tracker.watermark()
}

// Stats describes a partition at one moment.
type Stats struct {
	Watermark int64
	// Unfinished counts the records without an outcome.
	Unfinished int
	// Spread counts the records from the oldest unfinished one on.
	Spread int
	// Waiting counts the events that wait for their parent.
	Waiting int
	// InFlight counts the events that were sent and the dead letters, as long as
	// they are not durable in a topic. Unwritten counts those of them that only
	// wait for a topic.
	InFlight, Unwritten int
	// Known counts the event IDs that are remembered.
	Known int
	// Oldest is the timestamp of the unfinished record with the lowest offset;
	// zero if there is none.
	Oldest time.Time
}

// Stats returns the partition's current numbers.
func (p *Partition) Stats() Stats {
	p.mu.Lock()
	defer p.mu.Unlock()
	return Stats{
		Watermark:  p.tracker.watermark(),
		Unfinished: p.tracker.unfinished(),
		Spread:     p.tracker.count,
		Waiting:    p.parents.waiting,
		InFlight:   p.inFlight,
		Unwritten:  p.unwritten,
		Known:      p.index.Len(),
		Oldest:     p.tracker.oldest(),
	}
}
