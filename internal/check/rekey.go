package check

import (
	"context"
	"errors"
	"fmt"

	"github.com/segmentio/kafka-go"

	"github.com/clientevents/clientevents/consumer/kafkalog"
	"github.com/clientevents/clientevents/internal/connect"
)

// abandoned notes if input.rekey was switched off while its internal topic still had
// events for the group: no replica reads them. It says nothing if the topic does not
// exist or can't be read, since a configuration without input.rekey needs no right to it.
func (ch *check) abandoned(ctx context.Context, k *connect.Kafka, of checkedGroup) {
	ctx, cancel := context.WithTimeout(ctx, ch.limits.each)
	defer cancel()
	lag, err := groupLag(ctx, k, of)
	if err != nil || lag == 0 {
		return
	}
	ch.note("by-request topic "+of.topic, fmt.Sprintf("input.rekey is off, and %d records in it have no outcome yet in group %s: they are not reported", lag, of.name),
		"set input.rekey: true until that lag is 0; see docs/delivery.md")
}

// groupLag returns how many records of a topic a group has not committed. It is 0 for a
// group that never committed an offset of the topic, which another group may use.
func groupLag(ctx context.Context, k *connect.Kafka, of checkedGroup) (lag int64, err error) {
	log := kafkalog.NewClient(k.Addr, k.Transport)
	topics, err := log.Topics(ctx, of.topic)
	if err == nil {
		err = topics[0].Err
	}
	if err != nil {
		return 0, err
	}
	var partitions []int
	for _, p := range topics[0].Partitions {
		partitions = append(partitions, int(p.ID))
	}
	answer, err := k.Client().OffsetFetch(ctx, &kafka.OffsetFetchRequest{GroupID: of.name, Topics: map[string][]int{of.topic: partitions}})
	if err == nil {
		err = answer.Error
	}
	if err != nil {
		return 0, err
	}
	committed := false
	for _, p := range answer.Topics[of.topic] {
		first, end, err := log.Offsets(ctx, of.topic, int32(p.Partition))
		if err = errors.Join(p.Error, err); err != nil {
			return 0, err
		}
		committed = committed || p.CommittedOffset >= 0
		lag += max(0, end-max(first, p.CommittedOffset))
	}
	if !committed {
		return 0, nil
	}
	return lag, nil
}
