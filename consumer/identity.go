package consumer

import (
	"context"
	"errors"
	"strings"
	"sync"

	"github.com/segmentio/kafka-go"

	"github.com/clientevents/clientevents/consumer/group"
	"github.com/clientevents/clientevents/consumer/kafkalog"
)

// An offset is a position in one log. A topic that is deleted and recreated is
// another log under the same name, so each position is kept together with the
// topic's ID: in the metadata of commits, and in the headers of state records.

// topicPrefix marks the metadata of a commit that holds the topic's ID.
const topicPrefix = "topic-id:"

// commitMetadata returns the metadata of a commit; "" where the broker gives topics
// no ID.
func commitMetadata(id kafkalog.TopicID) string {
	if id.IsZero() {
		return ""
	}
	return topicPrefix + id.String()
}

// committedTopic returns the topic's ID from the metadata of a commit, as text; ""
// if it has none.
func committedTopic(metadata string) string {
	id, ok := strings.CutPrefix(metadata, topicPrefix)
	if !ok {
		return ""
	}
	return id
}

// isOther reports whether the known ID of a topic, as text, is of another log than
// current. IDs that are not known are never of another.
func isOther(known string, current kafkalog.TopicID) bool {
	return known != "" && !current.IsZero() && known != current.String()
}

// topicID returns the source topic's ID; zero where the broker gives topics none.
func (c *Consumer) topicID(ctx context.Context) (kafkalog.TopicID, error) {
	topics, err := c.kafka.Topics(ctx, c.cfg.Topic)
	switch {
	case err != nil:
		return kafkalog.TopicID{}, err
	case errors.Is(topics[0].Err, kafka.UnknownTopicOrPartition):
		return kafkalog.TopicID{}, missingTopicError{c.cfg.Topic}
	}
	return topics[0].ID, topics[0].Err
}

// topicLog is what an assignment knows of the logs that a topic was.
type topicLog struct {
	mu      sync.Mutex
	current kafkalog.TopicID
	// former are the logs before the current one. Brokers may show them for a
	// moment after the topic was recreated.
	former  map[kafkalog.TopicID]bool
	missing bool             // the topic does not exist
	told    kafkalog.TopicID // the log whose recreation was logged
}

// see notes the ID that a broker gave. It returns false if the ID is out of date.
func (l *topicLog) see(id kafkalog.TopicID) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.missing = false
	if id.IsZero() {
		return true
	}
	if l.former[id] {
		return false
	}
	if l.current != id && !l.current.IsZero() {
		if l.former == nil {
			l.former = map[kafkalog.TopicID]bool{}
		}
		l.former[l.current] = true
	}
	l.current = id
	return true
}

// id returns the ID of the current log; zero if it is not known.
func (l *topicLog) id() kafkalog.TopicID {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.current
}

// miss notes that the topic does not exist. It returns true the first time.
func (l *topicLog) miss() (first bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	first = !l.missing
	l.missing = true
	return first
}

// firstOf reports whether the recreation that led to a log was not logged yet.
func (l *topicLog) firstOf(id kafkalog.TopicID) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	first := l.told != id
	l.told = id
	return first
}

// sourceID asks for the source topic's ID until it has one or ctx ends. If the topic
// does not exist, it waits or fails.
func (a *assignment) sourceID(ctx context.Context, wait bool) (kafkalog.TopicID, error) {
	for attempt := 0; ; attempt++ {
		id, err := a.c.topicID(ctx)
		missing := errors.Is(err, kafka.UnknownTopicOrPartition)
		switch {
		case err == nil && a.log.see(id):
			return id, nil
		case missing && a.log.miss():
			a.c.log.Error("a topic to read is missing; waiting until it is created", "error", err)
		case err != nil && !missing && attempt == 0 && ctx.Err() == nil:
			a.c.log.Warn("could not ask for the source topic's ID; trying again", "error", err)
		}
		if missing && !wait {
			return id, err
		}
		if failed := pause(ctx, attempt); failed != nil {
			return id, errors.Join(err, failed)
		}
	}
}

// recreated logs and counts that the source topic is another log than the one that
// the group has read before.
func (a *assignment) recreated(before string, id kafkalog.TopicID) {
	switch first := a.log.firstOf(id); {
	case first && a.c.from != nil:
		a.c.metrics.recreated.Inc()
		a.c.log.Error("the internal topic was deleted and recreated; events in it that had no outcome are lost, unless the source topic is read again: "+
			"to report them, stop all replicas and set the offsets of the group back",
			"topic", a.c.cfg.Topic, "group", a.c.from.group, "id", id.String(), "id_before", before)
	case first:
		a.c.metrics.recreated.Inc()
		a.c.log.Error("the source topic was deleted and recreated; reading it from its beginning",
			"topic", a.c.cfg.Topic, "id", id.String(), "id_before", before)
	}
}

// commit commits the watermarks of owners. It commits even if no watermark has
// moved: brokers before Kafka 2.1 forget offsets that are not repeated.
//
// It asks for the topic's ID first, and leaves out owners that read a log that no longer
// exists, and those that may have to wait for another group. If the topic is recreated
// between the question and the commit, the metadata tells the next owner.
func (a *assignment) commit(ctx context.Context, owners func() []*owner) error {
	select {
	case a.committing <- struct{}{}:
		defer func() { <-a.committing }()
	case <-ctx.Done():
		return ctx.Err()
	}
	if len(owners()) == 0 {
		return nil
	}
	id, err := a.sourceID(ctx, false)
	if err != nil {
		return a.commitFailed(err)
	}
	committed, offsets := owners(), map[int32]int64{}
	for _, o := range committed {
		if !o.reads(id) || !o.claimed.Load() {
			continue
		}
		if w := o.partition.Watermark(); w >= 0 {
			offsets[o.partition.ID()] = w
		}
	}
	err = a.c.member.Commit(ctx, offsets, commitMetadata(id))
	if err != nil {
		return a.commitFailed(err) // the member logs it
	}
	a.uncommitted.Store(nil)
	for _, o := range committed {
		if offset, ok := offsets[o.partition.ID()]; ok {
			o.committed.Store(offset)
		}
	}
	return nil
}

// commitFailed notes why a commit failed, and returns it. A partition that was given away
// is no trouble. There is one commit at a time.
func (a *assignment) commitFailed(err error) error {
	a.c.metrics.commitFailures.Inc()
	if !errors.Is(err, group.ErrNotOwned) && !errors.Is(err, context.Canceled) {
		var before Cause
		if last := a.uncommitted.Load(); last != nil {
			before = *last
		}
		a.uncommitted.Store(new(before.after(err)))
	}
	return err
}

// followTopic closes the partitions whose log no longer exists, and starts them
// again. They find that their position is in another log.
func (a *assignment) followTopic() {
	current := a.log.id()
	stale := func() (partitions []int32) {
		for _, o := range a.all() {
			if id := o.source.Load(); id != nil && isOther(id.String(), current) {
				partitions = append(partitions, o.partition.ID())
			}
		}
		return partitions
	}
	if len(stale()) == 0 {
		return
	}
	a.calls.Lock()
	defer a.calls.Unlock()
	partitions := stale() // the member may have taken some meanwhile
	if len(partitions) == 0 || a.stopping.Err() != nil {
		return
	}
	positions := map[int32]group.Position{}
	for _, o := range a.of(partitions) {
		positions[o.partition.ID()] = group.Position{Offset: o.position.Load(), Metadata: commitMetadata(*o.source.Load())}
	}
	a.revoke(context.Background(), partitions)
	a.start(positions)
}

// reads reports whether the owner reads the log with an ID. It does not before it
// has found where to start.
func (o *owner) reads(id kafkalog.TopicID) bool {
	source := o.source.Load()
	return source != nil && *source == id
}
