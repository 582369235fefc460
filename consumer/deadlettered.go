package consumer

import (
	"encoding/binary"
	"slices"
	"sync"
	"time"

	"github.com/segmentio/kafka-go"
)

// deadLettered are the records that became dead letters while an earlier record of the
// partition waits, for its parent or for the API. The committed offset is before them, so
// the next owner reads them again. The session names them, and it passes over them:
// otherwise each restart would write their dead letters again.
type deadLettered struct {
	mu      sync.Mutex
	offsets offsetSet
	changed bool // since they were last recorded
}

// deadLetteredInterval is how often new dead letters are recorded. A kill repeats those since.
const deadLetteredInterval = 5 * time.Second

// add notes dead letters that are durable.
func (l *deadLettered) add(offsets ...int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, offset := range offsets {
		l.offsets.add(offsetSpan{offset, offset + 1})
	}
	l.changed = true
}

// has reports whether the record at an offset is a dead letter.
func (l *deadLettered) has(offset int64) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.offsets.has(offset)
}

// take returns those from the watermark on, to be recorded.
func (l *deadLettered) take(watermark int64) offsetSet {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.offsets.forget(watermark)
	l.changed = false
	return slices.Clone(l.offsets[:min(len(l.offsets), mostDeadLettered)])
}

// unrecorded reports whether there are new ones from the watermark on.
func (l *deadLettered) unrecorded(watermark int64) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.offsets.forget(watermark)
	return l.changed && len(l.offsets) > 0
}

// set replaces them.
func (l *deadLettered) set(offsets offsetSet) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.offsets = offsets
}

// joinDeadLettered takes over what the previous owner's session says of the log up to its end,
// if session and position are this group's own in the same log. Another group may have other
// rules, and if another client has set the offset back, it wants the records to be read.
func (o *owner) joinDeadLettered(end int64) {
	log := o.source.Load().String()
	_, ours := o.c.configured()
	if o.previous == nil || o.previous.group != ours || o.finished.topic != log || o.found.Offset >= 0 && committedTopic(o.found.Metadata) != log {
		return
	}
	offsets := slices.Clone(o.previous.deadLettered)
	offsets.forgetFrom(end)
	o.deadLettered.set(offsets)
}

// headerDeadLetters is a session's header with the offsets of dead letters behind the
// watermark: for each span its distance from the end of the one before, and its length, as
// unsigned varints. It is a header because versions that do not know it pass over it, and
// only write these dead letters again.
const headerDeadLetters = "dead-letters"

// mostDeadLettered bounds the spans in a session. Dead letters beyond them may be written again.
const mostDeadLettered = 4096

func (s offsetSet) headers() []kafka.Header {
	if len(s) == 0 {
		return nil
	}
	var b []byte
	end := int64(0)
	for _, span := range s {
		b = binary.AppendUvarint(b, uint64(span.from-end))
		b = binary.AppendUvarint(b, uint64(span.to-span.from))
		end = span.to
	}
	return []kafka.Header{{Key: headerDeadLetters, Value: b}}
}

// parseDeadLettered reads the header. What can't be read counts as none.
func parseDeadLettered(headers []kafka.Header) (s offsetSet) {
	i := slices.IndexFunc(headers, func(h kafka.Header) bool { return h.Key == headerDeadLetters })
	if i < 0 {
		return nil
	}
	end := int64(0)
	for b := headers[i].Value; len(b) > 0; {
		var numbers [2]int64
		for j := range numbers {
			v, n := binary.Uvarint(b)
			if n <= 0 || v > 1<<62 {
				return nil
			}
			numbers[j], b = int64(v), b[n:]
		}
		span := offsetSpan{end + numbers[0], end + numbers[0] + numbers[1]}
		if span.from < end || span.to <= span.from {
			return nil
		}
		s, end = append(s, span), span.to
	}
	return s
}
