package group

import (
	"time"

	"github.com/clientevents/clientevents/internal/ownership"
)

// lease is how long this member can be sure that its partitions are its own:
// until the session timeout after the last request that the coordinator is known
// to have received from it as a member. Each time is that of sending the request,
// since when it arrived is not known.
//
// All methods need the member's lock.
type lease struct {
	session   time.Duration
	rebalance time.Duration

	granted bool // there are partitions
	// sign is the last sign of life that the coordinator accepted. stable is the
	// last one accepted outside a rebalance: when the rebalance timeout has passed
	// since, the coordinator may have finished the rebalance without this member.
	sign, stable time.Time
	published    *ownership.Ownership
}

// grant makes the signs of life count.
func (l *lease) grant() {
	l.granted = true
	l.set()
}

// end ends the lease, until it is granted again.
func (l *lease) end() {
	l.granted = false
	l.published.End()
}

// extend records a sign of life that was sent at the given time.
func (l *lease) extend(sent time.Time, rebalancing bool) {
	if sent.After(l.sign) {
		l.sign = sent
	}
	if !rebalancing && sent.After(l.stable) {
		l.stable = sent
	}
	l.set()
}

func (l *lease) set() {
	if !l.granted {
		return
	}
	until := l.sign.Add(l.session)
	if limit := l.stable.Add(l.rebalance); limit.Before(until) {
		until = limit
	}
	l.published.Extend(until)
}
