package kafkalog

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"time"
)

// Appends to partitions that have the same leader share a request: one with ten small
// batches costs broker and client little more than one with a single batch. Appends
// that arrive during a request wait for the next, though not for long: a replica of one
// partition may delay the request.

// gatherFor is the longest time that an append waits for another's answer.
const gatherFor = 5 * time.Millisecond

// maxGathered bounds a request of several appends, in bytes.
const maxGathered = 1 << 20

// appending is an append in progress.
type appending struct {
	topic     string
	partition int32
	batch     *[]byte // until it is part of a request
	flight    *flight // nil until then

	done     chan struct{} // closed when there is an answer
	answered bool
	base     int64
	err      error
}

func (a *appending) answer(base int64, err error) {
	if !a.answered {
		a.answered, a.base, a.err = true, base, err
		close(a.done)
	}
}

// flight is the request of some appends. It lasts for as long as the caller of one of
// them waits.
type flight struct {
	ctx     context.Context
	cancel  context.CancelFunc
	waiting int
	over    chan struct{}
}

// gatherer combines appends.
type gatherer struct {
	client *Client

	mu      sync.Mutex
	leaders map[partitionName]int32 // as of the last request
	queues  map[queueName]*queue
}

type partitionName struct {
	topic     string
	partition int32
}

type queueName struct {
	topic  string
	leader int32 // -1 where it is not known yet
}

// queue holds the appends to partitions of one topic that have one leader.
type queue struct {
	waiting []*appending
	flying  int  // requests in progress
	open    bool // a request of those in progress has yet to take the waiting appends
	timer   *time.Timer
}

// add sends an append, or makes it wait for others.
func (g *gatherer) add(a *appending) {
	g.mu.Lock()
	defer g.mu.Unlock()
	q := g.queueOf(a)
	q.waiting = append(q.waiting, a)
	switch {
	case q.open:
	case q.flying == 0:
		g.send(q)
	case q.timer == nil:
		q.timer = time.AfterFunc(gatherFor, func() {
			g.mu.Lock()
			defer g.mu.Unlock()
			g.send(q)
		})
	}
}

func (g *gatherer) queueOf(a *appending) *queue {
	leader, ok := g.leaders[partitionName{a.topic, a.partition}]
	if !ok {
		leader = -1
	}
	if g.queues == nil {
		g.queues, g.leaders = map[queueName]*queue{}, map[partitionName]int32{}
	}
	name := queueName{a.topic, leader}
	q := g.queues[name]
	if q == nil {
		q = &queue{}
		g.queues[name] = q
	}
	return q
}

// leave ends the wait for an append, and takes the append back if it was not sent yet.
// When the last caller leaves a request, the request has ended before leave returns:
// after that, its client may be closed.
func (g *gatherer) leave(a *appending) {
	g.mu.Lock()
	f := a.flight
	if f == nil {
		g.withdraw(a)
		g.mu.Unlock()
		return
	}
	f.waiting--
	last := f.waiting == 0
	g.mu.Unlock()
	if last {
		f.cancel()
		<-f.over
	}
}

func (g *gatherer) withdraw(a *appending) {
	for _, q := range g.queues {
		if i := slices.Index(q.waiting, a); i >= 0 {
			q.waiting = slices.Delete(q.waiting, i, i+1)
			g.client.giveRequest(a.batch)
			return
		}
	}
}

// send starts a request of the waiting appends. The caller holds mu.
func (g *gatherer) send(q *queue) {
	if q.timer != nil {
		q.timer.Stop()
		q.timer = nil
	}
	if len(q.waiting) == 0 || q.open {
		return
	}
	q.flying++
	q.open = true
	go g.fly(q)
}

// fly sends a request of the waiting appends, as far as they fit in one, and then
// another of those that arrived meanwhile.
func (g *gatherer) fly(q *queue) {
	runtime.Gosched() // partitions that are about to append share the request
	f := &flight{over: make(chan struct{})}
	f.ctx, f.cancel = context.WithTimeout(context.Background(), requestTimeout)
	defer f.cancel()
	defer close(f.over)
	if parts := g.depart(q, f); len(parts) > 0 { // otherwise they were withdrawn
		g.request(f.ctx, parts)
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	q.flying--
	g.send(q)
}

// depart takes the appends of a request.
func (g *gatherer) depart(q *queue, f *flight) []*appending {
	g.mu.Lock()
	defer g.mu.Unlock()
	q.open = false
	parts := q.take()
	f.waiting = len(parts)
	for _, a := range parts {
		a.flight = f
	}
	return parts
}

// take removes the appends that fit in one request: a broker would drop one of two
// batches for the same partition.
func (q *queue) take() []*appending {
	var parts, rest []*appending
	size := 0
	for _, a := range q.waiting {
		same := func(b *appending) bool { return b.partition == a.partition }
		if size += len(*a.batch); len(parts) > 0 && (size > maxGathered || slices.ContainsFunc(parts, same)) {
			rest = append(rest, a)
			continue
		}
		parts = append(parts, a)
	}
	q.waiting = rest
	return parts
}

// request sends appends in one request, or in one for each leader.
func (g *gatherer) request(ctx context.Context, parts []*appending) {
	m := &produceMessage{client: g.client, parts: parts}
	err := g.roundTrip(ctx, m)
	g.note(m)
	if err == errLeadersDiffer { //nolint:errorlint // it is ours, and as it was
		g.split(ctx, m)
		return
	}
	for _, a := range parts {
		a.answer(0, err)
	}
}

// roundTrip sends a request and delivers the answers in it.
func (g *gatherer) roundTrip(ctx context.Context, m *produceMessage) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	answer, err := g.client.roundTrip(ctx, m)
	if err != nil {
		return err
	}
	a, ok := answer.(*produceAnswer)
	if !ok {
		return fmt.Errorf("%w: it is a %T", errAnswer, answer)
	}
	held := make([]throttled, len(m.parts))
	for i, part := range m.parts {
		held[i] = throttled{"Produce", part.topic, part.partition}
	}
	g.client.throttle.note(a.throttleMS(), held...)
	return a.read(m.parts)
}

// note stores the leaders that a request has found.
func (g *gatherer) note(m *produceMessage) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for i, l := range m.leaders {
		name := partitionName{m.parts[i].topic, m.parts[i].partition}
		if l.err != nil {
			delete(g.leaders, name)
			continue
		}
		g.leaders[name] = l.id
	}
}

// split sends a request's parts to the leader of each.
func (g *gatherer) split(ctx context.Context, m *produceMessage) {
	byLeader := map[int32][]*appending{}
	for i, a := range m.parts {
		if err := m.leaders[i].err; err != nil {
			a.answer(0, err)
			continue
		}
		byLeader[m.leaders[i].id] = append(byLeader[m.leaders[i].id], a)
	}
	var requests sync.WaitGroup
	for _, parts := range byLeader {
		requests.Go(func() { g.request(ctx, parts) })
	}
	requests.Wait()
}
