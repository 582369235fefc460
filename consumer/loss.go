package consumer

import "time"

// Loss describes the records that the brokers deleted before this replica read them.
type Loss struct {
	// Offsets is how many since the start, as far as offsets tell.
	Offsets int64
	// First and Last are when the first and the last loss were noticed.
	First, Last time.Time
	// The last loss was in this partition, from the offset From to before To.
	Partition int32
	From, To  int64
}

// noteLoss notes that the offsets from one to before another were deleted unread.
func (o *owner) noteLoss(from, to int64) {
	o.c.metrics.skippedOffsets.Add(float64(to - from))
	o.log.Error("the broker deleted records before they were read: the topic's retention is shorter than the lag",
		"from", from, "to", to, "offsets", to-from)
	o.c.mu.Lock()
	defer o.c.mu.Unlock()
	l, now := &o.c.loss, time.Now()
	if l.First.IsZero() {
		l.First = now
	}
	l.Offsets += to - from
	l.Last, l.Partition, l.From, l.To = now, o.partition.ID(), from, to
}

// Loss returns what was lost since the start. With input.rekey that is what was lost last,
// of the source topic or of the internal one.
func (c *Consumer) Loss() (last Loss) {
	for _, half := range c.halves() {
		half.mu.Lock()
		if half.loss.Last.After(last.Last) {
			last = half.loss
		}
		half.mu.Unlock()
	}
	return last
}
