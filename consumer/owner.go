package consumer

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/segmentio/kafka-go"

	"github.com/clientevents/clientevents/consumer/kafkalog"
	"github.com/clientevents/clientevents/event"
	"github.com/clientevents/clientevents/internal/exemplar"
)

// owner does the work of one partition in one generation: it reads the state,
// fetches, and writes state records and dead letters.
type owner struct {
	*Consumer
	log       *slog.Logger
	partition *partition
	account   *account

	intake     context.Context // ends when no more records may be taken
	stopIntake context.CancelFunc
	writing    context.Context // ends when nothing may be written any more
	stopWrites context.CancelFunc

	writers sync.WaitGroup

	previous *session // what the state topic says of the owner before
	poison   []int64  // offsets of records that must not be touched

	fetchedMuch bool // the last fetch brought about as much as it might

	restored     atomic.Bool
	remaining    atomic.Int64
	beat         atomic.Int64 // when the owner last moved, Unix nanoseconds
	failing      atomic.Bool  // the last fetch failed
	blocked      atomic.Bool  // the budget is used up
	pausedSince  atomic.Int64 // Unix milliseconds; 0 while the partition is not paused
	standing     atomic.Bool  // it is paused, and nothing is fetched any more
	pauseChanged signal
	noting       sync.Mutex // held by who writes a pause

	noState   atomic.Bool // the last write to the state topic failed
	noLetters atomic.Bool // the last write to the dead-letter topic failed
	position  atomic.Int64
	end       atomic.Int64
	committed atomic.Int64
}

func newOwner(c *Consumer, id int32, committed int64) *owner {
	o := &owner{
		Consumer: c,
		log:      c.log.With("partition", id),
		account:  &account{budget: c.budget},

		pauseChanged: newSignal(),
	}
	o.partition = newPartition(id, c.cfg.Rules, c.metrics, o.account, committed)
	o.position.Store(committed)
	o.committed.Store(committed)
	o.moves()
	o.intake, o.stopIntake = context.WithCancel(context.Background())
	o.writing, o.stopWrites = context.WithCancel(context.Background())
	return o
}

// run takes records until the intake is stopped; an error is one that no
// waiting mends. The writers go on until close.
func (o *owner) run() error {
	o.writers.Go(func() { o.writeState(o.writing) })
	o.writers.Go(func() { o.renew(o.writing) })
	o.writers.Go(func() { o.writeLetters(o.writing) })
	err := o.consume()
	if o.intake.Err() != nil {
		return nil
	}
	return err
}

func (o *owner) consume() error {
	position, err := o.start()
	if err != nil {
		return err
	}
	if err := o.restore(o.intake); err != nil {
		return err
	}
	if err := o.examine(o.intake, position); err != nil {
		return err
	}
	o.restored.Store(true)
	return o.fetch(position)
}

// start finds where to begin, and lets that be committed: a group that has no
// offset would otherwise begin anew at every restart, and with "latest" pass
// over what came in between.
func (o *owner) start() (int64, error) {
	first, last, err := o.offsets(o.intake)
	if err != nil {
		return 0, err
	}
	o.end.Store(last)
	position := o.position.Load()
	if position < 0 {
		position = first
		if o.cfg.StartLatest {
			position = last
		}
	}
	o.partition.startAt(position)
	o.position.Store(position)
	_, records := o.budget.fetch()
	o.account.last = max(0, min(last-position, int64(records))) // the first fetch brings that
	return position, nil
}

// offsets finds the partition's first and last offset, however long it takes.
func (o *owner) offsets(ctx context.Context) (first, last int64, err error) {
	for attempt := 0; ; attempt++ {
		first, last, err = o.kafka.Offsets(ctx, o.cfg.Topic, o.partition.id)
		if err == nil || ctx.Err() != nil {
			return first, last, err
		}
		if attempt == 0 {
			o.log.Warn("could not find the partition's offsets; trying again", "error", err)
		}
		if err := pause(ctx, attempt); err != nil {
			return 0, 0, err
		}
	}
}

// fetchWait is how long the broker may hold a fetch that finds nothing. It
// answers at once when something comes.
const fetchWait = 2 * time.Second

// fetch takes records from position on until the intake is stopped.
func (o *owner) fetch(position int64) error {
	failures, ask := 0, firstAsk
	for o.intake.Err() == nil {
		o.moves()
		o.standStill()
		if err := o.room(); err != nil {
			return nil
		}
		if !o.mayFetch() {
			continue
		}
		most, records := o.budget.fetch()
		ask = min(ask, most)
		batch, err := o.fetchOnce(kafkalog.FetchRequest{
			Topic: o.cfg.Topic, Partition: o.partition.id, Offset: position,
			MaxBytes: ask, MaxMemory: most, MaxRecords: records, MaxWait: fetchWait, ReadCommitted: true,
		})
		if o.intake.Err() != nil {
			return nil
		}
		if err != nil {
			if position, err = o.recover(position, err, failures); err != nil {
				return err
			}
			failures++
			continue
		}
		failures, ask = 0, nextAsk(ask, records, batch)
		o.failing.Store(false)
		if !o.mayFetch() {
			continue // paused meanwhile: what came is fetched again
		}
		o.end.Store(batch.HighWatermark)
		position = batch.NextOffset
		o.take(batch) // from here on the batch is its records'
		o.position.Store(position)
	}
	return nil
}

// aheadPatience is how long a partition waits while enough is read ahead.
const aheadPatience = time.Second

// fetchOnce fetches when it is the partition's turn. While there is much to fetch,
// it takes the memory of batches that are finished; the little that comes otherwise
// should not hold so much.
func (o *owner) fetchOnce(req kafkalog.FetchRequest) (*kafkalog.Batch, error) {
	o.account.turn(o.intake, aheadPatience)
	if o.fetchedMuch {
		req.Reuse = o.budget.spares.take()
	}
	batch, err := o.kafka.Fetch(o.intake, req)
	if err != nil {
		o.account.came(0, false)
		return nil, err
	}
	o.fetchedMuch = batch.Cut || batch.Wire >= req.MaxBytes/2
	o.account.came(len(batch.Records), batch.NextOffset < batch.LastStableOffset)
	return batch, nil
}

// firstAsk is how many bytes to ask for before it is known how large records are.
const firstAsk = 128 << 10

// nextAsk says how many bytes to ask for after a batch that came for ask, where
// records are wanted. More than is taken comes for nothing: it is fetched once
// more, and until then in memory. What compressed bytes become shows only when
// they are here.
func nextAsk(ask, records int, batch *kafkalog.Batch) int {
	n := len(batch.Records)
	switch {
	case n == 0:
		return ask
	case batch.Cut:
		return batch.Wire
	}
	return min(2*ask, max(ask/2, firstAsk/8, batch.Wire*records/n))
}

// moves notes that the owner is not stuck, and moved says when that was.
func (o *owner) moves() { o.beat.Store(time.Now().UnixNano()) }

func (o *owner) moved() time.Time { return time.Unix(0, o.beat.Load()) }

// room waits until the budget lets the partition fetch. Meanwhile it looks now
// and then where the partition ends, since no fetch tells.
func (o *owner) room() error {
	if !o.account.isFull() && !o.partition.spread() {
		return nil
	}
	o.blocked.Store(true)
	defer o.blocked.Store(false)
	for o.partition.spread() && o.mayFetch() {
		o.moves()
		if err := pause(o.intake, 2); err != nil {
			return err
		}
	}
	for o.mayFetch() {
		o.moves()
		ctx, cancel := context.WithTimeout(o.intake, lookEvery)
		err := o.account.room(ctx)
		cancel()
		if err == nil || o.intake.Err() != nil {
			return err
		}
		o.look()
	}
	return nil
}

// look finds where the partition ends, for when no fetch tells.
func (o *owner) look() {
	ctx, cancel := context.WithTimeout(o.intake, 5*time.Second)
	defer cancel()
	if _, last, err := o.kafka.Offsets(ctx, o.cfg.Topic, o.partition.id); err == nil {
		o.end.Store(last)
	}
}

// reading says whether records can be read as fast as they are taken: not while
// the broker can't be reached or the partition is paused, nor while the budget is used up by events that
// are still moving. (Where they are not, everything waits for parents that the
// budget keeps from being read, and only the end of their patience helps.)
func (o *owner) reading() bool {
	return o.restored.Load() && !o.failing.Load() && o.mayFetch() && (!o.blocked.Load() || !o.partition.busy())
}

// recover deals with a failed fetch and says where to go on.
func (o *owner) recover(position int64, cause error, failures int) (int64, error) {
	o.failing.Store(true)
	o.metrics.fetchFailures.Inc()
	if errors.Is(cause, kafka.OffsetOutOfRange) {
		if next, err := o.outOfRange(position); err == nil {
			return next, nil
		}
	}
	if errors.Is(cause, kafkalog.ErrCorrupt) {
		o.log.Error("a record can't be read; the partition stops here, since to pass over it would lose events",
			"offset", position, "error", cause)
	} else if failures == 0 || failures%20 == 0 {
		o.log.Warn("could not fetch; trying again", "error", cause)
	}
	o.look() // so that the lag is told although nothing can be read
	return position, pause(o.intake, failures)
}

// outOfRange goes on at the first offset that the broker still has, and says
// what was lost: it was deleted before it was read.
func (o *owner) outOfRange(position int64) (int64, error) {
	first, last, err := o.kafka.Offsets(o.intake, o.cfg.Topic, o.partition.id)
	if err != nil {
		return 0, err
	}
	switch {
	case position < first:
		o.metrics.skippedOffsets.Add(float64(first - position))
		o.log.Error("the broker deleted records before they were read: the topic's retention is shorter than the lag",
			"from", position, "to", first, "offsets", first-position)
		o.partition.skipTo(first)
		return first, nil
	case position > last:
		// A topic that was made anew, or a broker that lost its tail: what is
		// there now was not read.
		o.log.Error("the partition ends before the committed offset: was the topic made anew? Going on at its beginning",
			"committed", position, "end", last, "beginning", first)
		o.partition.startAt(first)
		return first, nil
	}
	return position, nil
}

// take decodes what was fetched and lets the partition decide.
func (o *owner) take(batch *kafkalog.Batch) {
	o.metrics.fetched.Add(float64(len(batch.Records)))
	if len(batch.Records) == 0 {
		o.partition.skipTo(batch.NextOffset)
		o.budget.spares.give(batch)
		return
	}
	items := make([]*item, 0, len(batch.Records))
	faults := make([]*event.Fault, 0, len(batch.Records))
	for i := range batch.Records {
		it, fault := o.read(&batch.Records[i])
		items, faults = append(items, it), append(faults, fault)
	}
	chunk := o.account.take(batch.Memory, len(items), batch)
	for _, it := range items {
		it.chunk = chunk
	}
	o.hand(o.partition.admit(items, faults, batch.NextOffset, time.Now()))
}

// read makes an item of a record, unless the record is known to be poison.
func (o *owner) read(r *record) (*item, *event.Fault) {
	if slices.Contains(o.poison, r.Offset) {
		return newItem(r, o.partition.id, o.done), poisonFault()
	}
	if o.beforeDecode != nil {
		o.beforeDecode(r)
	}
	it, fault := decode(r, o.cfg.Rules.Version, o.partition.id, o.done)
	if o.cfg.Tracer != nil && len(r.Value) > 0 {
		o.startSpan(it)
	}
	return it, fault
}

// done takes the outcome of a delivery.
func (o *owner) done(d *event.Delivery, outcome event.Outcome) {
	now := time.Now()
	var ready []*event.Delivery
	switch outcome.Kind {
	case event.Accepted:
		exemplar.Observe(o.metrics.endToEnd, max(0, now.Sub(d.Timestamp).Seconds()), d.Span)
		var ours bool
		if ready, ours = o.partition.accepted(d, now); !ours {
			o.sink.Settle(1)
		}
	case event.Rejected:
		ready = o.partition.refused(d, event.Fault{Reason: event.ReasonRejected, Detail: outcome.Detail}, outcome.HTTPStatus, now)
	case event.TooLarge:
		ready = o.partition.refused(d, event.Fault{Reason: event.ReasonTooLarge, Detail: outcome.Detail}, 0, now)
	case event.Released:
		// The record stays unfinished: whoever owns the partition next reads it
		// again.
	}
	o.hand(ready)
}

// hand hands on what is ready, and tells what of that before is worth more now.
func (o *owner) hand(ready []*event.Delivery) {
	if len(ready) > 0 {
		o.sink.Accept(ready)
	}
	for _, r := range o.partition.takeRaised() {
		o.sink.Raise(r.delivery, r.rank)
	}
}

// flush waits until the state records and dead letters of what was finished
// are written, or ctx ends.
func (o *owner) flush(ctx context.Context) {
	for o.partition.writing() {
		select {
		case <-ctx.Done():
			return
		case <-o.partition.written:
		}
	}
}

// takeLeave writes down that the partition was given back in order, so that its
// next owner need not look for a reason.
func (o *owner) takeLeave(ctx context.Context) {
	if !o.restored.Load() {
		return
	}
	if err := o.note(ctx, session{clean: true, poison: o.poison}); err != nil {
		o.log.Warn("could not take leave; the next owner will examine the records that were in process", "error", err)
	}
}

// close ends the writers and gives back what the partition holds.
func (o *owner) close() {
	o.stopWrites()
	o.writers.Wait()
}

// release gives the partition up.
func (o *owner) release() {
	o.sink.Settle(o.partition.revoke())
	o.metrics.forget(o.partition.id)
}

func (o *owner) status() PartitionStatus {
	p := o.partition
	p.mu.Lock()
	defer p.mu.Unlock()
	s := PartitionStatus{
		Partition:  p.id,
		Restored:   o.restored.Load(),
		Remaining:  o.remaining.Load(),
		Position:   o.position.Load(),
		Committed:  o.committed.Load(),
		End:        o.end.Load(),
		Watermark:  p.tracker.watermark(),
		Unfinished: p.tracker.unfinished(),
		Waiting:    p.waiting(),
		Known:      p.index.len(),
		Trouble:    o.trouble(),
		Paused:     o.standing.Load(),
	}
	if s.Paused {
		s.PausedSince = o.pausedAt()
	}
	if oldest, ok := p.tracker.oldest(); ok {
		s.Oldest = oldest
	}
	if s.Watermark >= 0 {
		s.Lag = max(0, s.End-s.Watermark)
	}
	return s
}

// trouble says what can't be done at the brokers.
func (o *owner) trouble() string {
	switch {
	case o.noState.Load():
		return TroubleState
	case o.noLetters.Load():
		return TroubleDeadLetters
	case o.failing.Load():
		return TroubleFetch
	}
	return ""
}

// pause waits a little longer with each attempt: 50 ms to 2 s.
func pause(ctx context.Context, attempt int) error {
	wait := min(2*time.Second, 50*time.Millisecond<<min(attempt, 6))
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}

// hopeless returns err where no waiting mends it, such as a login that is
// refused.
func hopeless(err error) error {
	for _, code := range []kafka.Error{
		kafka.SASLAuthenticationFailed, kafka.UnsupportedSASLMechanism, kafka.GroupAuthorizationFailed,
		kafka.TopicAuthorizationFailed, kafka.ClusterAuthorizationFailed, kafka.InvalidSessionTimeout,
		kafka.InvalidGroupId, kafka.UnsupportedVersion,
	} {
		if errors.Is(err, code) {
			return fmt.Errorf("%w", err)
		}
	}
	return nil
}
