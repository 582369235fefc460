// Package ownership holds the facts that a replica knows about its partitions:
// until when they are certainly its own, and which share of all partitions it
// has. The consumer writes them, and the reporter reads them before each request.
package ownership

import (
	"math"
	"sync/atomic"
	"time"
)

// Ownership is of the partitions of one replica. It is safe for concurrent use. A
// nil Ownership is that of a replica that owns all partitions for ever.
type Ownership struct {
	// until is the end of the lease: the session timeout after the last request
	// that the group's coordinator is known to have received from this replica.
	//
	// The library's heartbeats end a generation when one is answered with an
	// error, but not when the process itself was stopped (a frozen container,
	// SIGSTOP): then none is sent. The lease ends by itself.
	until atomic.Pointer[time.Time]
	share atomic.Uint64 // the bits of a float64; 0 while unknown

	unproven Unproven
}

// Extend extends the lease.
func (o *Ownership) Extend(until time.Time) { o.until.Store(&until) }

// End ends the lease.
func (o *Ownership) End() { o.until.Store(nil) }

// Leased reports whether the partitions are certainly this replica's at now.
func (o *Ownership) Leased(now time.Time) bool {
	if o == nil {
		return true
	}
	until := o.until.Load()
	return until != nil && now.Before(*until)
}

// SetShare sets the share to owned partitions of all. A replica without partitions
// counts as one with one, so that its share of a rate is never 0.
func (o *Ownership) SetShare(owned, all int) {
	o.share.Store(math.Float64bits(float64(max(1, owned)) / float64(max(1, owned, all))))
}

// Share returns the share of all partitions that this replica owns, above 0 and at
// most 1; 1 while it is unknown.
func (o *Ownership) Share() float64 {
	if o == nil {
		return 1
	}
	if bits := o.share.Load(); bits != 0 {
		return math.Float64frombits(bits)
	}
	return 1
}

// Unproven returns the counts of the dead letters without evidence.
func (o *Ownership) Unproven() *Unproven {
	if o == nil {
		return &Unproven{}
	}
	return &o.unproven
}
