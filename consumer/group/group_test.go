package group

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kfake"

	"github.com/clientevents/clientevents/test/kafkatest"
)

const (
	topic   = "events"
	name    = "group"
	session = 6 * time.Second
)

// world is a cluster and the members of one group, in a bubble.
type world struct {
	t       *testing.T
	cluster *kafkatest.Cluster
	began   time.Time

	mu      sync.Mutex
	holders map[int32]*replica
	// unsure allows a partition to be assigned while another member holds it
	// without a lease; twins allows it at all, since two members have the same
	// instance id.
	unsure, twins bool
	journal       []string
	log           bytes.Buffer
}

// bubble runs a test with the given number of partitions in a bubble.
func bubble(t *testing.T, partitions int, test func(t *testing.T, w *world), opts ...kfake.Opt) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := &world{t: t, cluster: kafkatest.Bubble(t, opts...), began: time.Now(), holders: map[int32]*replica{}}
		w.cluster.CreateTopic(t, topic, partitions, nil)
		test(t, w)
		if t.Failed() || testing.Verbose() {
			w.mu.Lock()
			defer w.mu.Unlock()
			t.Logf("events:\n%s\nlog:\n%s", strings.Join(w.journal, "\n"), w.log.String())
		}
	})
}

// Write takes the log of all members.
func (w *world) Write(b []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.log.Write(b)
}

func (w *world) record(r *replica, event string, partitions []int32) {
	w.journal = append(w.journal, fmt.Sprintf("%7.3f %s %s %v", time.Since(w.began).Seconds(), r.name, event, partitions))
}

// events are the calls of the members' handlers, without the times.
func (w *world) events() (all []string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, e := range w.journal {
		all = append(all, strings.TrimSpace(e[7:]))
	}
	return all
}

func (w *world) clear() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.journal = nil
}

// replica is a member and its handler.
type replica struct {
	w         *world
	name      string
	m         *Member
	transport *kafka.Transport
	cancel    context.CancelFunc
	ended     chan error

	before atomic.Pointer[Status] // the first call of Assigned
	drain  atomic.Int64           // how many nanoseconds a drain takes

	mu        sync.Mutex
	conns     []net.Conn
	isolated  bool
	rejected  bool  // each login
	committed error // of the last drain
	growth    int
}

// add makes a member without running it.
func (w *world) add(name string, change ...func(*Config)) *replica {
	r := &replica{w: w, name: name, ended: make(chan error, 1)}
	r.transport = &kafka.Transport{ClientID: name, MetadataTTL: time.Second, MetadataTopics: []string{topic}, Dial: r.dial}
	w.t.Cleanup(r.transport.CloseIdleConnections)
	cfg := Config{
		Brokers: w.cluster.Brokers, Transport: r.transport, Group: "group", Topic: topic, SessionTimeout: session,
		Logger: slog.New(slog.NewTextHandler(w, nil)).With("replica", name),
	}
	for _, c := range change {
		c(&cfg)
	}
	r.m = New(cfg)
	return r
}

func (w *world) start(name string, change ...func(*Config)) *replica {
	r := w.add(name, change...)
	r.run()
	return r
}

func (r *replica) run() {
	ctx, cancel := context.WithCancel(context.WithoutCancel(r.w.t.Context()))
	r.cancel = cancel
	go func() {
		err := r.m.Run(ctx, r)
		leaving, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
		defer cancel()
		_ = r.m.Leave(leaving)
		r.ended <- err
	}()
	r.w.t.Cleanup(func() {
		cancel()
		select {
		case <-r.ended:
		case <-time.After(time.Minute):
			r.w.t.Errorf("%s does not end", r.name)
		}
	})
}

// stop stops the member in order.
func (r *replica) stop() {
	r.w.t.Helper()
	r.cancel()
	if err := r.wait(); err != nil {
		r.w.t.Errorf("%s ended: %v", r.name, err)
	}
}

func (r *replica) wait() error {
	err := <-r.ended
	r.ended <- nil
	return err
}

func (r *replica) dial(ctx context.Context, network, address string) (net.Conn, error) {
	r.mu.Lock()
	isolated, rejected := r.isolated, r.rejected
	r.mu.Unlock()
	switch {
	case isolated:
		return nil, fmt.Errorf("dial %s: unreachable", address)
	case rejected:
		return nil, fmt.Errorf("log in to %s: %w", address, kafka.SASLAuthenticationFailed)
	}
	conn, err := r.w.cluster.DialContext(ctx, network, address)
	if err == nil {
		r.mu.Lock()
		r.conns = append(r.conns, conn)
		r.mu.Unlock()
	}
	return conn, err
}

// reject has the brokers reject the member's login, and end its connections.
func (r *replica) reject(rejected bool) {
	r.isolate(rejected)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.isolated, r.rejected = false, rejected
}

// isolate cuts the member off from the brokers.
func (r *replica) isolate(isolated bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.isolated = isolated
	if isolated {
		for _, conn := range r.conns {
			conn.Close()
		}
		r.conns = nil
	}
}

// Assigned checks that no other member holds the partitions.
func (r *replica) Assigned(positions map[int32]Position) {
	r.before.CompareAndSwap(nil, new(r.m.Status()))
	r.w.mu.Lock()
	defer r.w.mu.Unlock()
	var all []int32
	for p := range positions {
		all = append(all, p)
		if other := r.w.holders[p]; other != nil && !r.w.twins && (!r.w.unsure || other.m.Leased(time.Now())) {
			r.w.t.Errorf("partition %d is assigned to %s while %s holds it", p, r.name, other.name)
		}
		r.w.holders[p] = r
	}
	slices.Sort(all)
	r.w.record(r, "assigned", all)
}

func (r *replica) Revoked(ctx context.Context, partitions []int32) {
	offsets := map[int32]int64{}
	for _, p := range partitions {
		offsets[p] = 7
	}
	_ = sleep(ctx, time.Duration(r.drain.Load()))
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	err := r.m.Commit(ctx, offsets, "")
	r.mu.Lock()
	r.committed = err
	r.mu.Unlock()
	r.release("revoked", partitions)
}

// leaseEnd returns when the lease ends unless it is extended.
func (r *replica) leaseEnd() time.Time {
	r.m.mu.Lock()
	defer r.m.mu.Unlock()
	return r.m.lease.sign.Add(session)
}

func (r *replica) lastCommit() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.committed
}

func (r *replica) toldOf() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.growth
}

func (r *replica) Lost(partitions []int32) { r.release("lost", partitions) }

func (r *replica) Grown(_ context.Context, partitions int) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.growth = partitions
	return nil
}

func (r *replica) release(event string, partitions []int32) {
	r.w.mu.Lock()
	defer r.w.mu.Unlock()
	for _, p := range partitions {
		if r.w.holders[p] == r {
			r.w.holders[p] = nil
		}
	}
	r.w.record(r, event, partitions)
}

// settled waits until the members hold all partitions evenly.
func (w *world) settled(partitions int, members ...*replica) {
	w.t.Helper()
	kafkatest.WaitFor(w.t, time.Minute, fmt.Sprintf("%d members to share %d partitions", len(members), partitions), func() bool {
		total := 0
		for _, r := range members {
			s := r.m.Status()
			if n := len(s.Partitions); n < partitions/len(members) || n > (partitions+len(members)-1)/len(members) || n > 0 && !r.m.Leased(time.Now()) {
				return false
			}
			total += len(s.Partitions)
		}
		return total == partitions
	})
}

func (w *world) want(events ...string) {
	w.t.Helper()
	if got := w.events(); !slices.Equal(got, events) {
		w.t.Errorf("events:\n\t%s\nwant:\n\t%s", strings.Join(got, "\n\t"), strings.Join(events, "\n\t"))
	}
}

// TestHandover: retained partitions are not touched, and those that move are
// drained and committed by the old owner before the new one gets them.
func TestHandover(t *testing.T) {
	bubble(t, 4, func(t *testing.T, w *world) {
		a := w.start("a")
		w.settled(4, a)
		a.drain.Store(int64(3 * time.Second))
		b := w.start("b")
		w.settled(4, a, b)
		w.want("a assigned [0 1 2 3]", "a revoked [2 3]", "b assigned [2 3]")
		if got := w.cluster.CommittedOffsets(t, name, topic); got[2] != 7 || got[3] != 7 {
			t.Errorf("committed: %v, want 7 for the partitions that moved", got)
		}
		w.clear()
		b.stop()
		w.settled(4, a)
		w.want("b revoked [2 3]", "a assigned [2 3]")
	})
}

// TestNotReadyBeforeTheAssignment: the status does not tell of an assignment that the
// handler does not know.
func TestNotReadyBeforeTheAssignment(t *testing.T) {
	bubble(t, 2, func(t *testing.T, w *world) {
		a := w.start("a")
		w.settled(2, a)
		if before := a.before.Load(); before.Assigned || before.Generation < 0 {
			t.Errorf("before the handler was told, the status was %+v", before)
		}
		if !a.m.Status().Assigned {
			t.Error("the status does not tell of the assignment")
		}
	})
}

// TestMovesAreShort: a partition that moves has no owner for less than a third of a
// second when a member joins, and for a heartbeat interval when one leaves.
func TestMovesAreShort(t *testing.T) {
	bubble(t, 6, func(t *testing.T, w *world) {
		a, b := w.start("a"), w.start("b")
		w.settled(6, a, b)
		time.Sleep(time.Minute)
		w.clear()
		c := w.start("c")
		w.settled(6, a, b, c)
		joined := w.longestMove()
		time.Sleep(time.Minute)
		w.clear()
		c.stop()
		w.settled(6, a, b)
		if left := w.longestMove(); joined > time.Second/3 || left > session/16+time.Second/10 {
			t.Errorf("partitions were without an owner for %v when a member joined, for %v when it left", joined, left)
		}
	})
}

// longestMove is the longest time between a revocation and the assignment after it.
func (w *world) longestMove() (longest time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	var revoked float64
	for _, e := range w.journal {
		at, _ := strconv.ParseFloat(strings.TrimSpace(e[:7]), 64)
		switch {
		case strings.Contains(e, "revoked"):
			revoked = at
		case strings.Contains(e, "assigned"):
			longest = max(longest, time.Duration((at-revoked)*float64(time.Second)))
		}
	}
	return longest
}

// TestThreeMembers come and go one after the other; nothing moves without need.
func TestThreeMembers(t *testing.T) {
	bubble(t, 6, func(t *testing.T, w *world) {
		a, b := w.start("a"), w.start("b")
		w.settled(6, a, b)
		c := w.start("c")
		w.settled(6, a, b, c)
		kept := append(a.m.Status().Partitions, b.m.Status().Partitions...)
		w.clear()
		c.stop()
		w.settled(6, a, b)
		for _, e := range w.events() {
			if strings.Contains(e, "a revoked") || strings.Contains(e, "b revoked") || strings.Contains(e, "lost") {
				t.Errorf("%s, though %v could stay", e, kept)
			}
		}
	})
}

// TestDeathBetweenJoins: a member dies after it was told to give partitions up,
// and before it joined again. The others get them when its session ends.
func TestDeathBetweenJoins(t *testing.T) {
	bubble(t, 4, func(t *testing.T, w *world) {
		w.unsure = true
		a := w.start("a")
		w.settled(4, a)
		a.drain.Store(int64(time.Hour))
		b := w.start("b")
		kafkatest.WaitFor(t, time.Minute, "the drain to begin", func() bool { return strings.Contains(w.text(), "partitions revoked") })
		a.isolate(true)
		began := time.Now()
		w.settled(4, b)
		if took := time.Since(began); took > session+time.Second {
			t.Errorf("the partitions of a dead member were assigned after %s", took)
		}
		a.isolate(false)
		a.drain.Store(0)
		w.settled(4, a, b)
	})
}

func (w *world) text() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.log.String()
}

// TestCoordinatorMoves: members find the new coordinator without losing anything.
func TestCoordinatorMoves(t *testing.T) {
	bubble(t, 4, func(t *testing.T, w *world) {
		a, b := w.start("a"), w.start("b")
		w.settled(4, a, b)
		w.clear()
		for range 5 {
			w.cluster.Fake.RehashCoordinators()
			for range 2 * session / (100 * time.Millisecond) { // long enough for a lease to end
				time.Sleep(100 * time.Millisecond)
				if now := time.Now(); !a.m.Leased(now) || !b.m.Leased(now) {
					t.Error("a lease ended because the coordinator moved")
				}
			}
		}
		w.settled(4, a, b)
		w.want()
	}, kfake.Ports(9092, 9093, 9094))
}

// TestZombie: a member that was cut off for longer than its session has no lease,
// its commit is refused, and it comes back as a new member.
func TestZombie(t *testing.T) {
	bubble(t, 2, func(t *testing.T, w *world) {
		w.unsure = true
		a, b := w.start("a"), w.start("b")
		w.settled(2, a, b)
		held := a.m.Status().Partitions[0]
		before := a.m.Status().MemberID
		a.isolate(true)
		time.Sleep(session + 3*time.Second)
		if a.m.Leased(time.Now()) {
			t.Error("there is a lease after the session ended")
		}
		w.settled(2, b)
		a.isolate(false)
		if err := a.m.Commit(t.Context(), map[int32]int64{held: 1}, ""); err == nil {
			t.Error("an offset was committed for another member's partition")
		}
		w.settled(2, a, b)
		if after := a.m.Status().MemberID; after == before || after == "" {
			t.Errorf("the member came back as %q, it was %q before", after, before)
		}
		if !slices.Contains(w.events(), fmt.Sprintf("a lost [%d]", held)) {
			t.Errorf("partition %d was not lost: %v", held, w.events())
		}
	})
}

// TestLongDrain: heartbeats and commits last through a drain that is longer than
// the session.
func TestLongDrain(t *testing.T) {
	bubble(t, 2, func(t *testing.T, w *world) {
		a := w.start("a", func(c *Config) { c.RebalanceTimeout = time.Minute })
		w.settled(2, a)
		a.drain.Store(int64(3 * session))
		b := w.start("b")
		time.Sleep(2 * session)
		if !a.m.Leased(time.Now()) {
			t.Error("there is no lease during a drain")
		}
		if err := a.m.Commit(t.Context(), map[int32]int64{0: 3, 1: 3}, ""); err != nil {
			t.Errorf("commit during a drain: %v", err)
		}
		w.settled(2, a, b)
		w.want("a assigned [0 1]", "a revoked [1]", "b assigned [1]")
		if err := a.lastCommit(); err != nil {
			t.Errorf("commit at the end of the drain: %v", err)
		}
	})
}

// TestStop: a member that stops drains, commits and leaves, so that the others
// need not wait for its session to end; also while it waits in a join.
func TestStop(t *testing.T) {
	bubble(t, 2, func(t *testing.T, w *world) {
		a := w.start("a")
		w.settled(2, a)
		a.drain.Store(int64(10 * time.Second))
		b := w.start("b")
		time.Sleep(2 * time.Second) // b waits for a's drain
		began := time.Now()
		b.stop()
		if took := time.Since(began); took > time.Second {
			t.Errorf("a member that waits in a rebalance stops within %s", took)
		}
		a.drain.Store(0)
		w.settled(2, a)
		a.stop()
		if err := a.lastCommit(); err != nil {
			t.Errorf("the last commit: %v", err)
		}
		c := w.start("c")
		began = time.Now()
		w.settled(2, c)
		if took := time.Since(began); took > time.Second {
			t.Errorf("the partitions of members that left were assigned after %s", took)
		}
	})
}
