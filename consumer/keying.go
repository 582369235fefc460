package consumer

import (
	"fmt"
	"sync/atomic"

	"github.com/clientevents/clientevents/consumer/kafkalog"
	"github.com/clientevents/clientevents/consumer/partition"
	"github.com/clientevents/clientevents/event"
)

// Keying is what a replica has seen of a source topic that is not keyed by journey. It
// knows its own partitions only: a parent that another replica reported is not found.
type Keying struct {
	// WithoutKey counts records without a key.
	WithoutKey uint64 `json:"records_without_key"`
	// Misplaced counts dead letters of children whose parent was reported from another
	// partition of this replica.
	Misplaced uint64 `json:"children_with_parent_elsewhere"`
	// RekeyNeeded reports whether input.rekey would help.
	RekeyNeeded bool `json:"rekey_needed"`
}

// keying counts for Keying.
type keying struct{ withoutKey, misplaced atomic.Uint64 }

// Keying returns what this replica has seen since its start.
func (c *Consumer) Keying() Keying {
	k := Keying{WithoutKey: c.keying.withoutKey.Load(), Misplaced: c.keying.misplaced.Load()}
	k.RekeyNeeded = c.first == nil && (k.WithoutKey > 0 || k.Misplaced > 0)
	return k
}

// countKeys counts records of the source topic without a key.
func (o *owner) countKeys(records []kafkalog.Record) {
	if o.c.from != nil || o.c.forwards() {
		return // with rekeying, keys don't matter
	}
	for i := range records {
		if len(records[i].Key) == 0 && len(records[i].Value) > 0 {
			o.c.keying.withoutKey.Add(1)
			o.c.metrics.withoutKey.Inc()
		}
	}
}

// explainOrphan adds to a dead letter whose parent was not found where it is, if another
// partition of this replica has reported it.
func (o *owner) explainOrphan(l *partition.DeadLetter) {
	if l.Fault.Reason != event.ReasonParentNotFound {
		return
	}
	for _, other := range o.c.owners() {
		if other == o || !other.partition.Reported(l.Parents()) {
			continue
		}
		remedy := "give all events of a journey one key, or set input.rekey: true"
		if o.c.from != nil {
			remedy = "a child and its parent need the same requestId"
		} else {
			o.c.keying.misplaced.Add(1)
			o.c.metrics.misplaced.Inc()
		}
		l.Fault.Detail += fmt.Sprintf("; its parent is in partition %d: %s", other.partition.ID(), remedy)
		return
	}
}
