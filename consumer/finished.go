package consumer

import (
	"strconv"

	"github.com/segmentio/kafka-go"

	"github.com/clientevents/clientevents/consumer/kafkalog"
)

// finished is how far a partition is finished: all records of a log before an
// offset have their outcome. The state topic keeps it, for a group whose committed
// offsets expired or were deleted.
type finished struct {
	offset int64
	topic  string // the topic's ID; "" for none known
}

// Headers of a session, and of the last record of each write of reported events.
// They are headers because versions that do not know them pass over them.
const (
	headerWatermark = "watermark"
	headerTopic     = "topic-id"
)

func (f finished) headers() []kafka.Header {
	if f.topic == "" {
		return nil
	}
	return []kafka.Header{header(headerWatermark, strconv.FormatInt(f.offset, 10)), header(headerTopic, f.topic)}
}

// parseFinished reads the headers of a state record. It returns false if the record
// does not have both.
func parseFinished(headers []kafka.Header) (f finished, ok bool) {
	f.offset = -1
	for _, h := range headers {
		switch h.Key {
		case headerWatermark:
			if n, err := strconv.ParseInt(string(h.Value), 10, 64); err == nil {
				f.offset = n
			}
		case headerTopic:
			f.topic = string(h.Value)
		}
	}
	return f, f.offset >= 0 && f.topic != ""
}

// finishedNow returns how far the partition is finished. Before the owner has found
// where to start, that is as the state topic says.
func (o *owner) finishedNow() finished {
	source := o.source.Load()
	if source == nil {
		return o.finished
	}
	if source.IsZero() {
		return finished{}
	}
	return finished{offset: o.partition.Watermark(), topic: source.String()}
}

// tellMoved logs that another client has set the group's offset, such as a consumer of
// another kind that was in the group, or kafka-consumer-groups.sh. Its commits do not name
// the log, as ours do; committed is that name.
func (o *owner) tellMoved(committed string, id kafkalog.TopicID) {
	offset, done := o.found.Offset, o.finished
	if committed != "" || id.IsZero() || done.topic != id.String() {
		return
	}
	switch {
	case offset > done.offset:
		o.log.Warn("another client has set the group's offset ahead; this program did not read all records before it. "+
			"To report them, stop all replicas and set the offset back (docs/runbook.md)",
			"finished", done.offset, "offset", offset)
	case offset < done.offset:
		o.log.Warn("another client has set the group's offset back; events that were reported within dedupe.window are duplicates",
			"finished", done.offset, "offset", offset)
	}
}

// withFinished adds to the last of some state records how far the partition is
// finished.
func (o *owner) withFinished(records []kafkalog.Record) []kafkalog.Record {
	if len(records) > 0 {
		records[len(records)-1].Headers = o.finishedNow().headers()
	}
	return records
}
