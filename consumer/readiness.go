package consumer

import (
	"strconv"
	"strings"
)

// ReadyState is a replica's progress towards reading all of its partitions.
type ReadyState int

// The states of a replica. Only a replica that is Ready is ready.
const (
	// Joining means that the replica has not joined the consumer group yet.
	Joining ReadyState = iota
	// Unread means that the group does not read all partitions of the topic.
	Unread
	// Restoring means that the replica reads the state of some of its partitions.
	Restoring
	// Ready means that the replica processes its partitions.
	Ready
	// Draining means that the replica finishes its events and leaves the group.
	Draining
	// Drained means that an operator drained the replica.
	Drained
)

// ReadyStates returns all states.
func ReadyStates() []ReadyState {
	return []ReadyState{Joining, Unread, Restoring, Ready, Draining, Drained}
}

// Readiness reports whether a replica does its work, and if not, the reason.
type Readiness struct {
	State ReadyState
	// Cause is why a replica that is Joining could not join yet, or why partitions are
	// Unread; "" if unknown.
	Cause string
	// Err is the error that Cause describes; nil if there is none.
	Err error
	// Partitions are the partitions whose state is being read, of one that is Restoring.
	Partitions []int32
}

// Ready reports whether the replica does its work.
func (r Readiness) Ready() bool { return r.State == Ready }

// String returns the reason for which the replica is not ready; "" if it is.
func (r Readiness) String() string {
	switch r.State {
	case Joining:
		if r.Cause == "" {
			return "not a member of the consumer group"
		}
		return "not a member of the consumer group: " + r.Cause
	case Unread:
		return r.Cause
	case Restoring:
		ids := make([]string, len(r.Partitions))
		for i, id := range r.Partitions {
			ids[i] = partitionLabel(id)
		}
		return "reading the state of partitions " + strings.Join(ids, ", ")
	case Ready:
		return ""
	case Draining:
		return "draining"
	case Drained:
		return "drained"
	}
	return "unknown state " + strconv.Itoa(int(r.State))
}

// Readiness reports whether the replica has joined the group, has read the state of
// its partitions and is not draining, and whether the group reads all partitions of
// the topic.
func (c *Consumer) Readiness() Readiness {
	var r Readiness
	for _, half := range c.halves() {
		if r = half.readinessOfHalf(); !r.Ready() {
			break
		}
	}
	return r
}

func (c *Consumer) readinessOfHalf() Readiness {
	c.mu.Lock()
	held := c.held
	c.mu.Unlock()
	s := c.member.Status()
	if held == nil {
		held = s.Err
	}
	switch {
	case c.draining.Load():
		return Readiness{State: Draining}
	case s.Generation < 0 && held != nil:
		return Readiness{State: Joining, Cause: held.Error(), Err: held}
	case s.Generation < 0 || !s.Assigned:
		return Readiness{State: Joining}
	case s.Unread:
		return Readiness{State: Unread, Cause: s.Fault}
	}
	return c.assignment.readiness()
}
