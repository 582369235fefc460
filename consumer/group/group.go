// Package group makes this replica a member of a consumer group, by Kafka's
// classic group protocol.
//
// [Member.Run] finds the group's coordinator, joins, and tells its [Handler]
// which partitions are assigned, revoked or lost. Heartbeats have a goroutine of
// their own, so that a long drain or restore never costs the membership. Requests
// go over kafka-go's Transport, which connects and logs in; the messages' versions
// are chosen here.
//
// # Cooperative rebalances
//
// The preferred protocol is cooperative-sticky, in the wire format of Java and
// librdkafka. A rebalance affects the partitions that move and no others: when the
// group rebalances, a member joins at once and keeps all its partitions. A
// partition that is to move is assigned to no member at first. Its owner drains it,
// commits, gives it up and joins again; only that second rebalance assigns it to
// its new owner.
//
// # Upgrades from the eager protocol
//
// Earlier releases know range and roundrobin only, by kafka-go's ConsumerGroup. A
// member therefore offers cooperative-sticky and range, and the coordinator chooses
// one that all members offer: range for as long as an earlier release is in the
// group.
//
//   - While the protocol in force is range, a member gives up all its partitions
//     before it joins, as the others do. The rebalance that follows the departure of
//     the last earlier release chooses cooperative-sticky, and no member holds a
//     partition at that time.
//   - An earlier release that joins a cooperative group (a rollback) turns it to range
//     while members hold partitions. The metadata for range says so in its user data,
//     which kafka-go passes over. A leader that reads it assigns no held partition to
//     another member; each holder gives up its partitions and joins again. The leader
//     is such a member, since the coordinator keeps the leader it has. Only if the
//     leader is lost at the same moment, an earlier release may lead and assign
//     partitions that are still held; therefore a holder starts no further request
//     once it knows that range is in force, and events in flight at that moment may be
//     reported twice.
//   - kafka-go as a leader reads the metadata for range, which has version 0: it
//     rejects any byte after the user data.
package group

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol"
	"github.com/segmentio/kafka-go/protocol/joingroup"
	"github.com/segmentio/kafka-go/protocol/syncgroup"

	"github.com/clientevents/clientevents/internal/ownership"
)

// Config configures a member. Fields without a default are required.
type Config struct {
	Brokers   []string
	Transport *kafka.Transport
	Group     string
	Topic     string
	// InstanceID makes the membership static: a member that returns within the
	// session timeout under the same id gets its partitions back without a
	// rebalance. It needs Kafka 2.3. "" is for a dynamic member. Each replica needs
	// its own: the coordinator gives a second member with the same id the partitions
	// of the first at once, which then ends with an error.
	InstanceID string
	// ConfigHash names the configuration of the replica, in 8 hexadecimal digits, for
	// the others to compare; "" states none. See [Member.SetConfigHash].
	ConfigHash string

	// SessionTimeout is how long the coordinator waits for a sign of life before
	// it assigns this member's partitions to others; default 8 s.
	SessionTimeout time.Duration
	// RebalanceTimeout is how long the coordinator waits in a rebalance for this
	// member to join again; default twice the session timeout. A drain has to be
	// shorter.
	RebalanceTimeout time.Duration
	// HeartbeatInterval is how soon a member learns of a rebalance; default a
	// sixteenth of the session timeout. After a rebalance it is a tenth of that for a
	// while.
	HeartbeatInterval time.Duration
	// RequestTimeout limits the wait for an answer that the broker does not delay
	// on purpose; default a third of the session timeout.
	RequestTimeout time.Duration
	// CheckInterval is how often the member looks for added partitions and at the
	// other members; default 15 s.
	CheckInterval time.Duration

	// Ownership is where the member publishes the lease of its partitions; nil for
	// its own.
	Ownership *ownership.Ownership
	Logger    *slog.Logger
}

// Handler is told of the partitions of this member. Its methods are called one at
// a time, and heartbeats continue during the calls.
type Handler interface {
	// Assigned starts partitions at their committed positions. It returns without
	// waiting for them.
	Assigned(positions map[int32]Position)
	// Revoked returns when the partitions are drained, committed and closed. When
	// ctx ends, they are lost.
	Revoked(ctx context.Context, partitions []int32)
	// Lost closes partitions that may already be another member's.
	Lost(partitions []int32)
	// Grown prepares for partitions that were added to the topic. They are
	// assigned when it returns nil; otherwise it is called again after a while.
	Grown(ctx context.Context, partitions int) error
}

// Position is what the group has committed for a partition.
type Position struct {
	// Offset is negative where none is committed.
	Offset int64
	// Metadata is what the committing member added, see [Member.Commit].
	Metadata string
}

// identity is a member's, as the coordinator knows it.
type identity struct {
	coordinator int32 // negative while it is not known
	member      string
	generation  int32 // none while the member has not joined
}

// Member is a member of a consumer group. It is safe for concurrent use.
type Member struct {
	cfg      Config
	addr     net.Addr
	log      *slog.Logger
	throttle throttle
	lease    lease
	wake     chan struct{} // a verdict is there
	synced   chan struct{} // a rebalance has ended
	// loggedIn reports whether a broker has answered: a login that fails later may be
	// that of a password that is being replaced.
	loggedIn atomic.Bool

	mu       sync.Mutex
	id       identity
	joining  bool   // from the decision to join again to the answer
	protocol string // in force; "" before the first join
	leader   bool
	owned    map[int32]int // partitions, and which assignment brought each
	started  int           // assignments so far
	claimed  int32         // the generation of the last assignment
	assigned bool          // the handler knows the assignment
	// partitions is how many the topic had for the last assignment, or 0; size is
	// how many it had when this member asked for a rebalance because of that.
	partitions, size int32
	// verdict is the worst reaction to the requests of all goroutines, for the one
	// that runs the member; cause is the error.
	verdict reaction
	cause   error
	// interrupt ends the wait for an answer to JoinGroup; abandon ends a drain.
	interrupt, abandon context.CancelFunc

	trouble  trouble
	check    check
	config   string // hash of the configuration in force
	mistaken string // the fault of the last assignment; "" for none
}

// New makes a member, which joins when it is run.
func New(cfg Config) *Member {
	setDefault(&cfg.SessionTimeout, 8*time.Second)
	setDefault(&cfg.RebalanceTimeout, 2*cfg.SessionTimeout)
	setDefault(&cfg.HeartbeatInterval, cfg.SessionTimeout/16)
	setDefault(&cfg.RequestTimeout, cfg.SessionTimeout/3)
	setDefault(&cfg.CheckInterval, 15*time.Second)
	setDefault(&cfg.Ownership, &ownership.Ownership{})
	setDefault(&cfg.Logger, slog.New(slog.DiscardHandler))
	return &Member{
		cfg: cfg, addr: kafka.TCP(cfg.Brokers...), log: cfg.Logger.With("group", cfg.Group),
		lease: lease{session: cfg.SessionTimeout, rebalance: cfg.RebalanceTimeout, published: cfg.Ownership},
		wake:  make(chan struct{}, 1), synced: make(chan struct{}, 1),
		id: identity{coordinator: none, generation: none}, claimed: none, owned: map[int32]int{}, config: cfg.ConfigHash,
	}
}

func setDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

// Run is a member of the group until ctx ends. It then has the handler drain all
// partitions; Leave is to follow. It returns an error only for a condition that
// waiting does not change. Run is called once.
func (m *Member) Run(ctx context.Context, h Handler) error {
	beating, stop := context.WithCancel(context.WithoutCancel(ctx))
	watching, unwatch := context.WithCancel(ctx)
	var aside sync.WaitGroup
	aside.Go(func() { m.beat(beating) })
	aside.Go(func() { m.watch(watching, h) })
	err := m.participate(ctx, h)
	unwatch()
	if errors.Is(err, kafka.FencedInstanceID) {
		m.lost(h)
	}
	m.revoke(ctx, h, m.holds())
	stop()
	aside.Wait()
	return err
}

// participate takes part in one rebalance after the other.
func (m *Member) participate(ctx context.Context, h Handler) error {
	for {
		verdict, cause := m.takeVerdict()
		if verdict == fatal && errors.Is(cause, kafka.FencedInstanceID) && m.cfg.InstanceID == "" {
			verdict = renew // a mistake of the broker's
		}
		switch verdict {
		case fatal:
			return m.explain(cause)
		case lose, renew:
			m.log.Warn("membership lost: the group continued without this member; joining again", "error", cause)
			m.lost(h)
			m.forget(verdict == renew)
		}
		if ctx.Err() != nil {
			return nil
		}
		m.rebalance(ctx, h)
	}
}

// rebalance joins the group, takes its partitions, and waits for the next
// rebalance. Where something else ends it, there is a verdict.
func (m *Member) rebalance(ctx context.Context, h Handler) {
	if m.eager() {
		m.revoke(ctx, h, m.holds())
	}
	joined, ok := m.join(ctx)
	if !ok {
		return
	}
	held := m.holds()
	assigned, ok := m.sync(ctx, joined)
	if !ok {
		return
	}
	if m.eager() && len(held) > 0 {
		// The group has just become an eager one, see the package comment.
		m.revoke(ctx, h, held)
		return
	}
	added, moving := without(assigned, held), without(held, assigned)
	m.start(ctx, h, added)
	if len(moving) > 0 {
		m.revoke(ctx, h, moving)
		return // joins again, so that their new owners get them
	}
	select {
	case <-ctx.Done():
	case <-m.wake:
	}
}

// join joins the group and waits until all members have.
func (m *Member) join(ctx context.Context) (joined joingroup.Response, ok bool) {
	if !m.beginJoin() {
		return joined, false
	}
	ok = m.try(ctx, protocol.JoinGroup, func(ctx context.Context, id identity) (err error) {
		ctx, interrupt := context.WithCancel(ctx)
		defer interrupt()
		m.mu.Lock()
		m.interrupt = interrupt
		protocols := m.protocols()
		m.mu.Unlock()
		joined, err = m.askJoin(ctx, id, protocols)
		err = m.explainRefusal(ctx, id.coordinator, err)
		if err == nil || errors.Is(err, kafka.MemberIDRequired) {
			if invalid := m.admitted(id, &joined, err == nil); invalid != nil {
				return invalid
			}
		}
		return err
	})
	return joined, ok
}

// protocols are the metadata that this member joins with.
func (m *Member) protocols() []joingroup.RequestProtocol {
	s := subscription{topics: []string{m.cfg.Topic}, generation: none, config: m.config}
	if len(m.owned) > 0 {
		s.owned, s.generation = map[string][]int32{m.cfg.Topic: slices.Sorted(maps.Keys(m.owned))}, m.claimed
	}
	offered := []joingroup.RequestProtocol{}
	for _, name := range []string{cooperative, eager} {
		offered = append(offered, joingroup.RequestProtocol{Name: name, Metadata: encodeSubscription(name, s, m.size)})
	}
	return offered
}

// admitted takes over this member's identity and role from an answer to JoinGroup.
func (m *Member) admitted(asked identity, a *joingroup.Response, joined bool) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	switch {
	case a.MemberID == "":
		return fmt.Errorf("%w to JoinGroup: no member id", errInvalid)
	case joined && asked.generation > a.GenerationID:
		return fmt.Errorf("%w to JoinGroup: generation %d after %d", errBackwards, a.GenerationID, asked.generation)
	}
	m.id.member = a.MemberID
	if !joined {
		return nil
	}
	m.id.generation, m.protocol, m.leader = a.GenerationID, a.ProtocolName, a.LeaderID == a.MemberID
	m.joining = false
	if m.protocol != cooperative && len(m.owned) > 0 {
		m.lease.end()
	}
	return nil
}

// sync sends the assignments, if this member leads, and receives its own.
func (m *Member) sync(ctx context.Context, joined joingroup.Response) (assigned []int32, ok bool) {
	var plan []syncgroup.RequestAssignment
	if joined.LeaderID == joined.MemberID {
		if plan, ok = m.plan(ctx, joined); !ok {
			return nil, false
		}
	}
	var answer []byte
	ok = m.try(ctx, protocol.SyncGroup, func(ctx context.Context, id identity) (err error) {
		sent := time.Now()
		if answer, err = m.askSync(ctx, id, plan); err == nil {
			m.mu.Lock()
			m.lease.extend(sent, false)
			m.mu.Unlock()
		}
		return err
	})
	if !ok {
		return nil, false
	}
	select {
	case m.synced <- struct{}{}:
	default:
	}
	return m.readAssignment(ctx, answer), true
}

// start begins with partitions that were added.
func (m *Member) start(ctx context.Context, h Handler, added []int32) {
	var positions map[int32]Position
	if len(added) > 0 && !m.try(ctx, protocol.OffsetFetch, func(ctx context.Context, id identity) (err error) {
		positions, err = m.askPositions(ctx, id.coordinator, added)
		return err
	}) {
		return
	}
	m.mu.Lock()
	m.started++
	for _, p := range added {
		m.owned[p] = m.started
	}
	if len(m.owned) > 0 {
		m.lease.grant()
	}
	id, all := m.id, slices.Sorted(maps.Keys(m.owned))
	m.mu.Unlock()
	m.log.Info("partitions assigned", "generation", id.generation, "partitions", all, "added", added)
	if len(added) > 0 {
		h.Assigned(positions)
	}
	m.mu.Lock()
	m.assigned = true
	m.mu.Unlock()
}

// revoke has the handler drain and close partitions.
func (m *Member) revoke(ctx context.Context, h Handler, partitions []int32) {
	if len(partitions) == 0 {
		return
	}
	draining, abandon := context.WithCancel(context.WithoutCancel(ctx))
	defer abandon()
	m.mu.Lock()
	m.abandon = abandon
	if m.verdict >= lose {
		abandon()
	}
	m.mu.Unlock()
	m.log.Info("partitions revoked", "partitions", partitions)
	h.Revoked(draining, partitions)
	m.drop(partitions)
}

// lost has the handler close all partitions.
func (m *Member) lost(h Handler) {
	partitions := m.holds()
	m.mu.Lock()
	m.id.generation = none // no heartbeats meanwhile
	m.mu.Unlock()
	m.drop(partitions) // no commits either
	if len(partitions) > 0 {
		h.Lost(partitions)
	}
}

func (m *Member) drop(partitions []int32) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, p := range partitions {
		delete(m.owned, p)
	}
	if len(m.owned) == 0 {
		m.lease.end()
	}
}

// Leave tells the coordinator after Run that it need not wait for this member,
// unless the membership is static: then the member may come back. If ctx ends
// first, the coordinator notices when the session ends.
func (m *Member) Leave(ctx context.Context) error {
	m.mu.Lock()
	member := m.id.member
	m.verdict, m.id.generation = done, none
	m.mu.Unlock()
	if member == "" || m.cfg.InstanceID != "" {
		return nil
	}
	if !m.try(ctx, protocol.LeaveGroup, m.askLeave) {
		m.log.Warn("could not leave the group; the coordinator notices when the session ends", "session_timeout", m.cfg.SessionTimeout)
		return ctx.Err()
	}
	return nil
}
