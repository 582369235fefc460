package group

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"
)

// Status describes a member and its group.
type Status struct {
	MemberID   string
	Generation int32 // negative while it has not joined
	Protocol   string
	Leader     bool
	Partitions []int32
	// Assigned reports whether this membership has brought an assignment, and the
	// handler was told of it.
	Assigned bool
	// Err is why the last request to the coordinator failed; nil after one that
	// succeeded.
	Err error
	// Throttled is for how long the brokers still ask for no further request.
	Throttled time.Duration
	// Peers are all members, this one among them, as of the last check.
	Peers []Peer
	// Fault is a misconfiguration of the group, in words; "" for none. Unread
	// reports whether partitions of the topic are unread because of it.
	Fault  string
	Unread bool
	// Covered reports whether the last check found each partition of the topic
	// assigned to a member that reads it.
	Covered bool
	// ConfigDiffers reports whether the last two checks found a replica with another
	// configuration.
	ConfigDiffers bool
}

// Status returns a snapshot.
func (m *Member) Status() Status {
	m.mu.Lock()
	defer m.mu.Unlock()
	s := Status{
		MemberID: m.id.member, Generation: m.id.generation, Protocol: m.protocol, Leader: m.leader, Assigned: m.assigned,
		Partitions: slices.Sorted(maps.Keys(m.owned)), Err: m.trouble.get(), Throttled: m.throttle.longest(),
		Peers: m.check.peers, Fault: m.check.fault, Unread: m.check.lasting,
		Covered:       len(m.check.peers) > 0 && len(m.check.unread) == 0,
		ConfigDiffers: m.check.drift == lastingDrift,
	}
	if m.mistaken != "" {
		s.Covered = false
		s.Fault, s.Unread = "the group's leader sent an invalid assignment: "+m.mistaken, true
	}
	return s
}

func (m *Member) eager() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.protocol != "" && m.protocol != cooperative
}

func (m *Member) holds() []int32 {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Sorted(maps.Keys(m.owned))
}

// check is the result of a look at the group and the topic.
type check struct {
	peers  []Peer
	unread []int32 // partitions that belong to no member
	// lasting reports whether one of them belonged to no member before.
	lasting bool
	fault   string
	drift   drift
}

// watch looks at the number of partitions and at the other members until ctx ends.
func (m *Member) watch(ctx context.Context, h Handler) {
	fewer := int32(0) // partitions that the last look found, if that is too few
	for wait := m.cfg.CheckInterval; sleep(ctx, wait) == nil; {
		wait = m.cfg.CheckInterval
		m.mu.Lock()
		settled := m.id.generation >= 0 && !m.joining
		id, assigned := m.id, m.partitions
		m.mu.Unlock()
		if !settled || id.coordinator < 0 {
			continue
		}
		counts, err := m.askPartitions(ctx, []string{m.cfg.Topic})
		if err != nil {
			m.trouble.note(m.log, err, again)
			continue
		}
		n := counts[m.cfg.Topic]
		switch {
		case n > assigned:
			m.grow(ctx, h, assigned, n)
		case n == 0 || n == assigned:
		case n == fewer:
			m.resized(assigned, n) // the topic was recreated
		default: // the broker may be the only one that does not know all yet
			fewer, wait = n, m.cfg.CheckInterval/5
			continue
		}
		fewer = 0
		if err := m.inspect(ctx, id.coordinator, n); err != nil {
			m.trouble.note(m.log, err, again)
		}
	}
}

// grow asks for a rebalance that assigns partitions which were added.
func (m *Member) grow(ctx context.Context, h Handler, before, n int32) {
	if err := h.Grown(ctx, int(n)); err != nil {
		m.log.Warn("partitions were added to the topic, and can't be read yet; trying again", "topic", m.cfg.Topic, "before", before, "now", n, "error", err)
		return
	}
	m.resized(before, n)
}

// resized asks for a rebalance that assigns another number of partitions. The changed
// metadata make the coordinator start one, also for a member that does not lead.
func (m *Member) resized(before, n int32) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.joining || m.partitions != before {
		return // a rebalance began meanwhile
	}
	m.log.Info("the topic has another number of partitions; the group assigns them again", "topic", m.cfg.Topic, "before", before, "now", n)
	m.size = n
	m.decideLocked(rejoin, fmt.Errorf("topic %s has %d partitions instead of %d", m.cfg.Topic, n, before))
}

// inspect asks for the group's members. n is how many partitions the topic has.
func (m *Member) inspect(ctx context.Context, coordinator, n int32) error {
	g, err := m.askGroup(ctx, coordinator)
	if err != nil {
		return err
	}
	client := m.cfg.Transport.ClientID
	switch g.GroupState {
	case "Stable":
		peers, fault := Describe(g, m.cfg.Topic, client)
		m.inspected(peers, fault, n)
	case "Dead": // this is a member of it, so it is a group that DescribeGroups does not know
		ctx, cancel := context.WithTimeout(ctx, m.cfg.RequestTimeout)
		defer cancel()
		peers, fault, err := DescribeNew(ctx, m.cfg.Transport, m.addr, coordinator, m.cfg.Group, m.cfg.Topic)
		if errors.Is(err, ErrNoNewGroup) {
			return nil // the coordinator has just lost it
		}
		if err != nil {
			return err
		}
		m.inspected(peers, fault, n)
	}
	return nil // otherwise nothing is assigned at the moment
}

// inspected takes in the members of the group, and their fault. n is how many
// partitions the topic has.
func (m *Member) inspected(peers []Peer, fault string, n int32) {
	unread := Unread(peers, n)
	m.mu.Lock()
	defer m.mu.Unlock()
	// A partition that moves belongs to no member for the time of its drain: only
	// one that is found twice is forgotten.
	lasting := without(unread, without(unread, m.check.unread))
	if len(lasting) > 0 {
		fault = strings.TrimPrefix(fault+"; "+UnreadText(lasting, m.cfg.Topic), "; ")
	}
	if fault != "" && fault != m.check.fault {
		m.log.Error("the consumer group is not as it should be", "fault", fault)
	}
	m.check = check{peers, unread, len(lasting) > 0, fault, m.compare(peers)}
}

// trouble is why the last request failed. It is logged when the reason changes,
// and once a minute while it stays the same.
type trouble struct {
	mu   sync.Mutex
	last error // nil after a success

	said   string // the cause, whichever request it was that failed
	logged time.Time
}

const reminder = time.Minute

func (t *trouble) note(log *slog.Logger, err error, r reaction) {
	if r == adopt || r == rejoin {
		err = nil // a step of the protocol
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.last = err
	if err == nil {
		return
	}
	cause := err
	for inner := errors.Unwrap(cause); inner != nil; inner = errors.Unwrap(cause) {
		cause = inner
	}
	if cause.Error() == t.said && time.Since(t.logged) < reminder {
		return
	}
	t.said, t.logged = cause.Error(), time.Now()
	log.Warn("request to the group's coordinator failed", "error", err)
}

func (t *trouble) get() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.last
}
