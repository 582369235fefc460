package consumer

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/clientevents/clientevents/consumer/group"
	"github.com/clientevents/clientevents/consumer/kafkalog"
	"github.com/clientevents/clientevents/consumer/partition"
	"github.com/clientevents/clientevents/event"
	"github.com/clientevents/clientevents/internal/exemplar"
)

// owner does the work of one partition from its assignment to its revocation. It
// reads the partition's state, fetches records, lets the partition decide, acts
// on the effects, and writes state records and dead letters.
type owner struct {
	c         *Consumer
	log       *slog.Logger
	partition *partition.Partition
	account   *account
	term      *event.Term

	intake     context.Context // ends when no more records may be admitted
	stopIntake context.CancelFunc
	writing    context.Context // ends when nothing may be written any more
	stopWrites context.CancelFunc

	running     sync.WaitGroup // run
	writers     sync.WaitGroup
	accepted    signal // there are accepted events to record
	deadLetters signal // there are dead letters to write
	written     signal // something became durable

	// found is the committed position. source is the ID of the log that is read,
	// nil until the owner has found where to start.
	found        group.Position
	source       atomic.Pointer[kafkalog.TopicID]
	previous     *session // the previous owner's, as the state topic says
	finished     finished // how far previous owners were, as the state topic says
	poison       []int64  // offsets of records that must not be decoded
	deadLettered deadLettered
	input        Input          // the decoder's
	events       []*event.Event // the decoder's buffer

	fetchedMuch bool // the last fetch brought about as much as it might
	stability   stability

	restored     atomic.Bool
	remaining    atomic.Int64
	lastBeat     atomic.Int64 // when the owner last made progress, Unix nanoseconds
	failing      atomic.Bool  // the last fetch failed
	undecoded    atomic.Bool  // a record can't be decoded now
	blocked      atomic.Bool  // the budget is used up
	unrestored   atomic.Bool  // the last read of the state failed
	causes       causes       // of the troubles
	pausedSince  atomic.Int64 // Unix milliseconds; 0 while the partition is not paused
	idle         atomic.Bool  // it is paused, and no fetch is under way
	pauseChanged signal
	pausing      sync.Mutex // held while the pause is written

	// stateEnd is an offset in the state topic before which the partition's index
	// has all records; 0 before the state was read.
	stateEnd          atomic.Int64
	sessions          chan struct{} // full while a session is written
	rewriting         rewriting
	appended          appended
	claimed           atomic.Bool                     // no other group's session precedes the owner's
	rival             atomic.Pointer[rival]           // nil for none
	renewNow          signal                          // the session is to be repeated
	closed            bool                            // the session was closed
	stateFailing      atomic.Bool                     // the last write to the state topic failed
	deadLetterFailing atomic.Bool                     // the last write to the dead-letter topic failed
	byRequestFailing  atomic.Bool                     // the last write to the internal topic failed
	lettersFault      atomic.Pointer[LettersFault]    // dead letters that do not fit; nil if all do
	toSettle          atomic.Pointer[target]          // see settled; nil if nothing is to settle
	transaction       atomic.Pointer[OpenTransaction] // it holds the partition up; nil for none
	position          atomic.Int64
	end               atomic.Int64
	committed         atomic.Int64
}

// newOwner returns an owner of a partition with the state that this replica has
// kept, if any.
func newOwner(c *Consumer, id int32, rules Rules, found group.Position, k kept) *owner {
	o := &owner{
		c:            c,
		log:          c.log.With("partition", id),
		partition:    partition.New(partition.Config{ID: id, Rules: rules, Start: found.Offset, Index: k.index}),
		account:      &account{budget: c.budget},
		found:        found,
		term:         event.NewTerm(),
		accepted:     newSignal(),
		deadLetters:  newSignal(),
		written:      newSignal(),
		pauseChanged: newSignal(),
		sessions:     make(chan struct{}, 1),
		renewNow:     newSignal(),
		rewriting:    rewriting{wake: newSignal()},
	}
	o.position.Store(found.Offset)
	o.committed.Store(found.Offset)
	if k.index != nil {
		o.previous, o.finished = &k.previous, k.finished
		o.pausedSince.Store(k.paused)
		o.stateEnd.Store(k.state)
	}
	o.beat()
	o.intake, o.stopIntake = context.WithCancel(context.Background())
	o.writing, o.stopWrites = context.WithCancel(context.Background())
	return o
}

// run admits records until the intake is stopped. It returns only errors that
// waiting does not fix. The writers run until close.
func (o *owner) run() error {
	if o.c.forwards() {
		o.writers.Go(func() { o.rekey(o.writing) })
	} else {
		o.writers.Go(func() { o.recordAccepted(o.writing) })
	}
	o.startRewriting()
	o.writers.Go(func() { o.renew(o.writing) })
	o.writers.Go(func() { o.writeDeadLetters(o.writing) })
	err := o.consume()
	if o.intake.Err() != nil {
		return nil
	}
	return err
}

func (o *owner) consume() error {
	o.updateEnd() // the status shows it during the restore
	position, err := o.takeOver()
	for errors.Is(err, errOtherFirst) {
		position, err = o.takeOver()
	}
	if err != nil {
		return err
	}
	o.restored.Store(true)
	if o.rewriting.pending() { // the state was lost during the restore
		o.rewriting.wake.set()
	}
	return o.fetch(position)
}

// takeOver prepares the partition for its first fetch, which is at the position.
func (o *owner) takeOver() (position int64, err error) {
	if err := o.restore(o.intake); err != nil {
		return 0, err
	}
	if position, err = o.start(); err != nil {
		return 0, err
	}
	o.poison = nil
	return position, o.examine(o.intake, position)
}

// start determines the first offset to read, and allows it to be committed. A
// group without an offset would otherwise start again at every restart, and
// with "latest" pass over what arrived in between.
func (o *owner) start() (int64, error) {
	id, err := o.c.assignment.sourceID(o.intake, true)
	if err != nil {
		return 0, err
	}
	first, last, err := o.offsets(o.intake)
	if err != nil {
		return 0, err
	}
	o.end.Store(last)
	position := o.firstPosition(id, first, last)
	o.partition.StartAt(position)
	o.position.Store(position)
	o.source.Store(&id)
	o.joinDeadLettered(last)
	_, records := o.c.budget.fetch()
	o.account.last = max(0, min(last-position, int64(records))) // what the first fetch brings
	return position, nil
}

// firstPosition returns where to start in the log with an ID, whose offsets are
// first to last: at the committed offset, or where previous owners were as the state
// topic says, or as configured. A log that they did not read is read from its
// beginning, since kafka.start is for groups that have read nothing.
func (o *owner) firstPosition(id kafkalog.TopicID, first, last int64) int64 {
	if o.previous != nil && isOther(o.finished.topic, id) {
		// Its offsets are those of another log.
		o.previous = &session{state: o.previous.state, unproven: o.previous.unproven}
	}
	before := committedTopic(o.found.Metadata)
	if o.found.Offset < 0 {
		before = o.finished.topic
	}
	switch {
	case isOther(before, id):
		if o.found.Offset >= 0 || o.c.from == nil { // otherwise it may be the state of before input.rekey was set
			o.c.assignment.recreated(before, id)
		}
		return first
	case o.found.Offset >= 0:
		o.tellMoved(before, id)
		return o.found.Offset
	case o.finished.topic != "" && !id.IsZero():
		o.log.Warn("the group has no committed offset; resuming where the state topic says", "offset", o.finished.offset)
		return o.finished.offset
	case o.c.cfg.StartLatest:
		return last
	}
	return first
}

// beat notes that the owner makes progress, and lastProgress returns when it
// last did.
func (o *owner) beat() { o.lastBeat.Store(time.Now().UnixNano()) }

func (o *owner) lastProgress() time.Time { return time.Unix(0, o.lastBeat.Load()) }

// admit decodes the records of a fetch and lets the partition decide about
// them. While a record can't be decoded, admit waits; the records before it are
// processed meanwhile. It fails only when the intake ends: the records that were
// not admitted are left to the partition's next owner.
func (o *owner) admit(batch *kafkalog.Batch) error {
	if o.c.from == nil {
		o.c.metrics.fetched.Add(float64(len(batch.Records)))
	}
	if len(batch.Records) == 0 {
		o.partition.SkipTo(batch.NextOffset)
		batch.Release()
		o.c.budget.spares.give(batch)
		return nil
	}
	o.countKeys(batch.Records)
	chunk := o.account.take(batch)
	records := make([]*partition.Record, 0, len(batch.Records))
	for i := range batch.Records {
		r := &batch.Records[i]
		it := newItem(r, chunk)
		it.SetTimestamp(o.published(r))
		read := func() error { return o.read(it, r) }
		if err := read(); err != nil {
			o.act(o.partition.Admit(records, r.Offset, time.Now()))
			records = records[:0]
			if err := o.retryDecoding(o.intake, r.Offset, err, read); err != nil {
				return err
			}
		}
		records = append(records, &it.Record)
	}
	o.act(o.partition.Admit(records, batch.NextOffset, time.Now()))
	return nil
}

// read decodes an item's record, unless the record is known to be poison.
func (o *owner) read(it *item, r *record) error {
	if o.deadLettered.has(r.Offset) {
		it.Repeat()
		return nil
	}
	if slices.Contains(o.poison, r.Offset) {
		it.Invalidate(poisonFault())
		return nil
	}
	if fault := o.headersFault(r); fault != nil {
		it.Invalidate(fault)
		return nil
	}
	events, fault, err := o.decode(o.intake, r)
	if err != nil {
		return err
	}
	if o.c.cfg.Tracer != nil && len(r.Value) > 0 {
		o.startSpan(it, r, events)
	}
	it.shared = len(events) == 1 && events[0].Value() == string(r.Value)
	for _, e := range events {
		d := it.Add(e)
		d.OnDone(o.done)
		d.Term = o.term
		d.Span = it.span
	}
	if fault != nil {
		it.Invalidate(fault)
	}
	if it.decoded = decodedSize(events, len(r.Value)); it.decoded > 0 {
		o.account.add(it.decoded, 0, 0)
	}
	return nil
}

// done receives the outcome of a delivery. It keeps an accepted event in flight
// until its state record is durable or the partition is revoked.
func (o *owner) done(d *event.Delivery, outcome event.Outcome) (keep bool) {
	now := time.Now()
	effects, ours := o.partition.Outcome(d, outcome, now)
	if outcome.Kind == event.Accepted {
		exemplar.Observe(o.c.metrics.endToEnd, max(0, now.Sub(d.Timestamp).Seconds()), d.Span)
		keep = ours
	}
	o.act(effects)
	return keep
}

// tick advances the partition's waiting time.
func (o *owner) tick(now time.Time) {
	o.settled()
	o.act(o.partition.Tick(now, o.reading()))
}

// act carries out the effects of a call to the partition. The order matters in
// one respect: a record's memory must not be used after its release.
func (o *owner) act(effects partition.Effects) {
	for i := range effects.Suspicions {
		o.c.suspicions.add(o.partition.ID(), &effects.Suspicions[i], time.Now())
	}
	f := freed{moving: -int64(effects.Resumed)}
	for _, r := range effects.Parked {
		itemOf(r).park(&f)
	}
	if effects.Accepted > 0 {
		o.accepted.set()
	}
	if effects.DeadLetters > 0 {
		o.deadLetters.set()
	}
	if len(effects.Ready) > 0 {
		o.c.sink.Accept(effects.Ready)
	}
	for _, r := range o.partition.TakeRaised() {
		o.c.sink.Raise(r.Delivery, r.Rank)
	}
	o.finish(&effects, &f)
	o.account.giveBack(f)
}

// finish counts the finished records and frees their memory.
func (o *owner) finish(effects *partition.Effects, f *freed) {
	var counts [partition.OutcomeCount]int
	for r := range effects.Finished() {
		counts[r.Outcome()]++
		it := itemOf(r)
		if r.Outcome() == partition.DeadLettered {
			o.c.metrics.deadLetters[r.Fault().Reason].Inc()
			it.traceFault(r.Fault())
		}
		it.endSpan(r.Outcome().String())
		it.release(f)
	}
	for outcome, n := range counts {
		if n > 0 && !(o.c.forwards() && partition.Outcome(outcome) == partition.Reported) { // the second half counts those
			o.c.metrics.records[outcome].Add(float64(n))
		}
	}
}

// flush waits until the state records and dead letters of what was finished are
// durable, or ctx ends.
func (o *owner) flush(ctx context.Context) {
	for o.partition.Stats().Unwritten > 0 {
		select {
		case <-ctx.Done():
			return
		case <-o.written:
		}
	}
}

// closeSession records that the partition was revoked in order, so that its next
// owner need not examine records.
func (o *owner) closeSession(ctx context.Context) {
	if !o.restored.Load() {
		return
	}
	if err := o.writeSession(ctx, session{state: sessionClosed, poison: o.poison}); err != nil {
		o.log.Warn("could not close the session; the next owner will examine the records that were in process", "error", err)
		return
	}
	// Everything up to here is this owner's, and in the index.
	if _, end, err := o.c.kafka.Offsets(ctx, o.c.cfg.StateTopic, o.partition.ID()); err == nil {
		o.stateEnd.Store(end)
	}
}

// close stops the writers.
func (o *owner) close() {
	o.stopWrites()
	o.writers.Wait()
	o.rewriting.running.Wait()
}

// revoke gives the partition up, and returns the memory of its records. Its state
// is kept if it was read.
func (o *owner) revoke() (k kept) {
	done := o.finishedNow()
	revoked := o.partition.Revoke()
	o.account.close()
	for _, r := range revoked.Unfinished {
		itemOf(r).endSpan(released)
	}
	for _, d := range revoked.Unrecorded {
		d.Land()
	}
	unproven := o.c.cfg.Ownership.Unproven().Leave(o.partition.ID())
	o.c.metrics.forget(o.partition.ID())
	if o.restored.Load() {
		previous := session{poison: o.poison, unproven: unproven, deadLettered: o.deadLettered.take(done.offset)}
		_, previous.group = o.c.configured()
		k = kept{index: revoked.Index, state: o.stateEnd.Load(), finished: done, previous: previous, paused: o.pausedSince.Load(), at: time.Now()}
		if o.closed {
			k.previous.state = sessionClosed
		}
	}
	return k
}
