package group

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol"
)

// ErrNotOwned is returned for a commit of partitions that are not, or no longer,
// this member's.
var ErrNotOwned = errors.New("partition not owned")

// errBackwards marks a generation that is older than one this member was in: the
// coordinator has lost its state.
var errBackwards = errors.New("generation decreased")

// try asks the coordinator until it gets an answer that is not to be repeated. It
// reports whether the answer is a success; otherwise there is a verdict, or ctx
// has ended. Another goroutine's verdict ends it, too.
func (m *Member) try(ctx context.Context, key protocol.ApiKey, ask func(context.Context, identity) error) bool {
	for attempt := 0; ctx.Err() == nil && !m.doomed(key); attempt++ {
		request := key
		id, err := m.locate(ctx)
		if err != nil {
			request = protocol.FindCoordinator
		} else {
			err = ask(ctx, id)
		}
		if ctx.Err() != nil {
			break
		}
		r := m.react(request, err)
		m.trouble.note(m.log, err, r)
		switch {
		case errors.Is(err, errBackwards):
			m.decide(renew, err)
			return false
		case r == done:
			return true
		case r == adopt:
			attempt = -1
			continue
		case r == find:
			m.mistrust(id)
		case r != again:
			m.decide(r, err)
			return false
		}
		_ = sleep(ctx, backoff(attempt))
	}
	return false
}

// backoff is 50 ms after the first failure, and 2 s at most.
func backoff(attempt int) time.Duration {
	return min(2*time.Second, 50*time.Millisecond<<min(attempt, 6))
}

// locate returns the member's identity, with the coordinator.
func (m *Member) locate(ctx context.Context) (identity, error) {
	m.mu.Lock()
	id := m.id
	m.mu.Unlock()
	if id.coordinator >= 0 {
		return id, nil
	}
	coordinator, err := m.askCoordinator(ctx)
	if err != nil {
		return id, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.id.coordinator = coordinator
	return m.id, nil
}

// mistrust forgets a coordinator that did not answer, or not as one.
func (m *Member) mistrust(id identity) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.id.coordinator == id.coordinator {
		m.id.coordinator = none
	}
}

// decide gives the goroutine that runs the member something to do. Of two
// verdicts, the worse counts.
func (m *Member) decide(r reaction, cause error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.decideLocked(r, cause)
}

func (m *Member) decideLocked(r reaction, cause error) {
	if r <= m.verdict {
		return
	}
	m.verdict, m.cause = r, cause
	if r >= lose {
		m.lease.end()
		if m.abandon != nil {
			m.abandon()
		}
	}
	select {
	case m.wake <- struct{}{}:
	default:
	}
}

// doomed reports whether a request is pointless because of another's verdict.
func (m *Member) doomed(key protocol.ApiKey) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return key != protocol.LeaveGroup && m.verdict != done
}

func (m *Member) takeVerdict() (reaction, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	verdict := m.verdict
	m.verdict = done
	m.drainWake()
	return verdict, m.cause
}

// drainWake makes wake empty, as it is without a verdict.
func (m *Member) drainWake() {
	select {
	case <-m.wake:
	default:
	}
}

// beginJoin makes verdicts about the generation that ends irrelevant. It reports
// whether there is no worse one.
func (m *Member) beginJoin() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.verdict > rejoin {
		return false
	}
	m.joining, m.verdict = true, done
	m.drainWake()
	return true
}

// forget makes the next join that of a member without partitions, and of a new
// member where the coordinator does not know it any more.
func (m *Member) forget(member bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.id.generation, m.claimed, m.assigned = none, none, false
	if member {
		m.id.member = ""
	}
}

// beat sends heartbeats until ctx ends.
//
// A rebalance in which partitions move is followed by a second one, which begins when
// their owners have drained them. Their records wait until all members have joined
// that, so members ask for it often after a rebalance.
func (m *Member) beat(ctx context.Context) {
	for often := (time.Time{}); ; {
		select {
		case <-ctx.Done():
			return
		case <-m.synced:
			often = time.Now().Add(followUp * m.cfg.HeartbeatInterval)
			continue
		case <-time.After(m.interval(often)):
		}
		m.mu.Lock()
		joined := m.id.generation >= 0
		m.mu.Unlock()
		if !joined {
			continue
		}
		sent, request := time.Now(), protocol.Heartbeat
		id, err := m.locate(ctx)
		if err != nil {
			request = protocol.FindCoordinator
		} else {
			err = m.askHeartbeat(ctx, id)
		}
		m.heard(request, id, sent, err)
	}
}

// interval is the time to the next heartbeat; they are sent often until the given time.
func (m *Member) interval(often time.Time) time.Duration {
	if time.Now().Before(often) {
		return m.cfg.HeartbeatInterval / oftener
	}
	return m.cfg.HeartbeatInterval
}

const (
	// followUp is how many heartbeat intervals after a rebalance a second one may
	// begin; a drain rarely takes longer.
	followUp = 3
	// oftener is how many heartbeats are sent for one in that time.
	oftener = 10
)

// heard takes in the answer to a heartbeat or a commit that was sent at the given
// time, and returns the reaction to it.
func (m *Member) heard(key protocol.ApiKey, asked identity, sent time.Time, err error) reaction {
	r := m.react(key, err)
	m.mu.Lock()
	defer m.mu.Unlock()
	if asked.member != m.id.member {
		return lose // the answer is for a membership that has ended
	}
	if errors.Is(err, context.Canceled) {
		return again // its caller has no interest any more
	}
	switch {
	case err == nil:
		m.lease.extend(sent, key != protocol.Heartbeat)
	case key == protocol.Heartbeat && errors.Is(err, kafka.RebalanceInProgress):
		m.lease.extend(sent, true)
	case r == find:
		if m.id.coordinator == asked.coordinator {
			m.id.coordinator = none
		}
		if m.joining && m.interrupt != nil && key == protocol.Heartbeat {
			m.interrupt() // the join waits at the same broker
		}
	}
	if r > adopt && (m.joining || asked.generation != m.id.generation) {
		return again // the answer to JoinGroup tells whether it still is a member
	}
	m.trouble.note(m.log, err, r)
	if r > adopt {
		m.decideLocked(r, err)
	}
	return r
}

// Commit commits offsets of partitions that are this member's, as the member that
// it is. It repeats the request until it is answered or ctx ends. After
// ErrNotOwned, another attempt is pointless. The coordinator keeps metadata with
// each offset.
func (m *Member) Commit(ctx context.Context, offsets map[int32]int64, metadata string) error {
	// A partition may be lost and come back between two attempts. By then another
	// member may have committed more.
	held := m.terms(offsets)
	for attempt := 0; len(offsets) > 0; attempt++ {
		sent, request := time.Now(), protocol.OffsetCommit
		id, err := m.locate(ctx)
		if now := m.terms(offsets); len(now) < len(offsets) || !maps.Equal(now, held) || id.generation < 0 {
			return fmt.Errorf("commit of topic %s: %w", m.cfg.Topic, ErrNotOwned)
		}
		if err != nil {
			request = protocol.FindCoordinator
		} else {
			err = m.askCommit(ctx, id, offsets, metadata)
		}
		switch m.heard(request, id, sent, err) {
		case done:
			return nil
		case again, find:
		default:
			return fmt.Errorf("%w: %w", ErrNotOwned, err)
		}
		if failed := sleep(ctx, backoff(attempt)); failed != nil {
			return fmt.Errorf("commit to group %s: %w", m.cfg.Group, errors.Join(err, failed))
		}
	}
	return nil
}

// terms returns which assignments brought the partitions, for those that this
// member holds.
func (m *Member) terms(offsets map[int32]int64) map[int32]int {
	m.mu.Lock()
	defer m.mu.Unlock()
	held := map[int32]int{}
	for p := range offsets {
		if term, ok := m.owned[p]; ok {
			held[p] = term
		}
	}
	return held
}

// Leased reports whether this member can be sure at now that its partitions are
// its own.
func (m *Member) Leased(now time.Time) bool { return m.cfg.Ownership.Leased(now) }
