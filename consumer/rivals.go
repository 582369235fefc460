package consumer

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/segmentio/kafka-go"

	"github.com/clientevents/clientevents/consumer/kafkalog"
)

// Two groups that start at the same moment with one state topic find no session of each
// other when they read it. So an owner reads what precedes its own first session and was
// written since it read the state. A session of another group there was first: the owner
// waits until that group has ended, and writes that session again, so that the last session
// of the partition is that of the group which uses it. The order of the log decides, so one
// of two groups always continues.
//
// While it runs, an owner reads what others write, to find a group whose release does not
// wait, or which may not describe this one. It continues, since it was first, and the status
// says so. It knows the offsets of its own records, so it reads nothing as long as there are
// no others.

// errOtherFirst is returned if the session of another group precedes the owner's.
var errOtherFirst = errors.New("the session of another group is the first")

// appended are the offsets in the partition's state that the owner has written, or has read.
type appended struct {
	mu      sync.Mutex
	known   int64     // the owner knows what is before
	offsets offsetSet // behind known
	moved   bool      // something was added since the last look
}

// maxSpans bounds the memory of appended.
const maxSpans = 1000

// reset makes the offsets before end known, and forgets the others.
func (a *appended) reset(end int64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.known, a.offsets = end, nil
}

// add adds offsets that the owner has written.
func (a *appended) add(from int64, records int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.moved = true
	a.offsets.add(offsetSpan{from, from + int64(records)})
	if len(a.offsets) > maxSpans {
		a.known = a.offsets[0].from
	}
	a.settle()
}

// pass makes the offsets before end known.
func (a *appended) pass(end int64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.known = max(a.known, end)
	a.settle()
}

func (a *appended) settle() {
	for len(a.offsets) > 0 && a.offsets[0].from <= a.known {
		a.known = max(a.known, a.offsets[0].to)
		a.offsets = slices.Delete(a.offsets, 0, 1)
	}
}

// gap returns the first offsets before end, or before one of the owner's, that it does not
// know.
func (a *appended) gap(end int64) (gap offsetSpan, ok bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.offsets) > 0 {
		end = a.offsets[0].from
	}
	return offsetSpan{a.known, end}, a.known < end
}

// hasMoved reports whether the owner has written something since the last call.
func (a *appended) hasMoved() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	moved := a.moved
	a.moved = false
	return moved
}

// sessionRecord is a session with its record.
type sessionRecord struct {
	session
	record kafkalog.Record
}

// sessionsIn returns the first and the last session of some offsets; nil if there is none.
func (o *owner) sessionsIn(ctx context.Context, in offsetSpan) (first, last *sessionRecord, err error) {
	account := &account{budget: o.c.budget}
	defer account.close()
	request := kafkalog.FetchRequest{Topic: o.c.cfg.StateTopic, Partition: o.partition.ID(), Offset: in.from, MaxWait: fetchWait}
	records := kafkalog.Span{Log: o.c.kafka, End: in.to, Request: o.c.budget.request(request, account)}
	key := o.sessionKey()
	err = account.readAhead(ctx, &records, func(batch *kafkalog.Batch) error {
		for i := range batch.Records {
			r := &batch.Records[i]
			if r.Offset >= in.to || r.Value == nil || !bytes.Equal(r.Key, key) {
				continue
			}
			s, err := parseSession(r.Value)
			if err != nil {
				continue // of a newer release, which stops the next owner
			}
			s.group = sessionGroup(r.Headers)
			last = &sessionRecord{s, kafkalog.Record{Key: key, Value: bytes.Clone(r.Value), Headers: cloneHeaders(r.Headers)}}
			if first == nil {
				first = last
			}
		}
		return nil
	})
	return first, last, err
}

func cloneHeaders(headers []kafka.Header) []kafka.Header {
	cloned := make([]kafka.Header, len(headers))
	for i, h := range headers {
		cloned[i] = kafka.Header{Key: h.Key, Value: bytes.Clone(h.Value)}
	}
	return cloned
}

// claim looks for a session of another group before the owner's first one, until it knows.
// It fails with errOtherFirst, or when ctx ends.
func (o *owner) claim(ctx context.Context) error {
	for attempt := 0; ; attempt++ {
		err := o.tryClaim(ctx)
		if err == nil || errors.Is(err, errOtherFirst) || ctx.Err() != nil {
			return err
		}
		o.log.Debug("could not read what precedes the session; trying again", "topic", o.c.cfg.StateTopic, "error", err)
		if err := pause(ctx, attempt); err != nil {
			return err
		}
	}
}

func (o *owner) tryClaim(ctx context.Context) error {
	for {
		gap, ok := o.appended.gap(0)
		if !ok {
			o.claimed.Store(true)
			return nil
		}
		first, last, err := o.sessionsIn(ctx, gap)
		if err != nil {
			return err
		}
		if first != nil && o.isOthers(&first.session) {
			if err := o.giveWay(ctx, first, last); err != nil {
				return err
			}
		}
		o.appended.pass(gap.to)
	}
}

// giveWay fails with errOtherFirst if the group of the first session has replicas.
func (o *owner) giveWay(ctx context.Context, first, last *sessionRecord) error {
	o.previous = &first.session
	err := o.shared(ctx)
	if _, isShared := errors.AsType[*SharedStateError](err); !isShared {
		return err
	}
	if !o.isOthers(&last.session) {
		last = first
	}
	last.record.Time = time.Now()
	return errors.Join(errOtherFirst, o.write(ctx, []kafkalog.Record{last.record}))
}

// isOthers reports whether a session is open and of another group.
func (o *owner) isOthers(s *session) bool {
	_, ours := o.c.configured()
	return s.state == sessionOpen && s.group != "" && s.group != ours
}

// rival is another group that uses the state of a partition.
type rival struct {
	group string
	since time.Time
	told  bool // this owner has written its session since
}

// lookForRival reads what others have written to the partition's state since the last look.
func (o *owner) lookForRival(ctx context.Context) {
	if !o.restored.Load() {
		return
	}
	err := o.readOthers(ctx)
	if err != nil && ctx.Err() == nil {
		o.log.Debug("could not look for other groups in the state topic", "topic", o.c.cfg.StateTopic, "error", err)
	}
}

func (o *owner) readOthers(ctx context.Context) error {
	var end int64
	if !o.appended.hasMoved() { // otherwise the next write shows what is behind the last
		var err error
		if _, end, err = o.c.kafka.Offsets(ctx, o.c.cfg.StateTopic, o.partition.ID()); err != nil {
			return err
		}
	}
	for gap, ok := o.appended.gap(end); ok; gap, ok = o.appended.gap(end) {
		_, last, err := o.sessionsIn(ctx, gap)
		if err != nil {
			return err
		}
		o.appended.pass(gap.to)
		if last != nil {
			o.meet(&last.session)
		}
	}
	return nil
}

// meet notes the last session that is not this owner's.
func (o *owner) meet(s *session) {
	before := o.rival.Load()
	switch {
	case !o.isOthers(s):
		o.rival.Store(nil)
	case before != nil && before.group == s.group:
		o.rival.Store(&rival{group: s.group, since: before.since})
	default:
		o.rival.Store(&rival{group: s.group, since: time.Now()})
	}
}

// lookForRivals looks for other groups that use the state topic.
func (a *assignment) lookForRivals(ctx context.Context) {
	var looking sync.WaitGroup
	for _, o := range a.all() {
		looking.Go(func() { o.lookForRival(ctx) })
	}
	looking.Wait()
	topic, _ := a.c.configured()
	running := map[string]bool{}
	for _, o := range a.all() {
		r := o.rival.Load()
		if r == nil {
			continue
		}
		if _, asked := running[r.group]; !asked {
			has, err := a.c.hasReplicas(ctx, r.group, topic)
			running[r.group] = has || err != nil // unknown, and it has just written
		}
		switch {
		case !running[r.group]:
			o.rival.Store(nil)
		case !r.told: // so that the next owner, and theirs, finds this group's session last
			o.rival.Store(&rival{r.group, r.since, true})
			o.renewNow.set()
		}
	}
}

// Sharing describes another group that uses the state topic while this replica runs.
type Sharing struct {
	Group string
	// Partitions are those for which it writes.
	Partitions []int32
	Since      time.Time
}

// sharing returns the group that has used the state topic for the longest time; nil if none
// does.
func (a *assignment) sharing() *Sharing {
	var s *Sharing
	for _, o := range a.all() {
		r := o.rival.Load()
		if r == nil {
			continue
		}
		if s == nil || r.since.Before(s.Since) && r.group != s.Group {
			s = &Sharing{Group: r.group, Since: r.since}
		}
		if r.group == s.Group {
			s.Partitions = append(s.Partitions, o.partition.ID())
			s.Since = slices.MinFunc([]time.Time{s.Since, r.since}, time.Time.Compare)
		}
	}
	return s
}
