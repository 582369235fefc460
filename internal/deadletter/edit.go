package deadletter

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/segmentio/kafka-go"

	"github.com/clientevents/clientevents/consumer"
	"github.com/clientevents/clientevents/consumer/kafkalog"
	"github.com/clientevents/clientevents/internal/config"
	"github.com/clientevents/clientevents/internal/connect"
	"github.com/clientevents/clientevents/internal/ndjson"
)

// Edit is a dead letter in a file: a line of a list in JSON, whose key or value may have
// been edited.
type Edit struct {
	// Line is the number of the line, from 1.
	Line      int    `json:"-"`
	Partition *int32 `json:"partition"`
	Offset    *int64 `json:"offset"`
	// Key and Value replace the record's, unless they are nil. The fields in base64 take
	// precedence.
	Key         *string `json:"key"`
	KeyBase64   []byte  `json:"key_base64"`
	Value       *string `json:"value"`
	ValueBase64 []byte  `json:"value_base64"`
}

// ReadEdits reads a file of edits, sorted by partition and offset. The errors begin with
// the number of the line.
func ReadEdits(file io.Reader) (edits []Edit, err error) {
	for line, err := range ndjson.Lines(file) {
		switch {
		case err != nil:
			return nil, fmt.Errorf("%d: %w", line.Number, err)
		case line.TooLong:
			return nil, fmt.Errorf("%d: longer than %d bytes", line.Number, ndjson.MaxLine)
		case len(bytes.TrimSpace(line.Data)) == 0:
			continue
		}
		e := Edit{Line: line.Number}
		if err := json.Unmarshal(line.Data, &e); err != nil {
			return nil, fmt.Errorf("%d: expected a line of 'dead-letters list --json --values': %w", line.Number, err)
		}
		if e.Partition == nil || e.Offset == nil {
			return nil, fmt.Errorf("%d: expected partition and offset of the dead letter", line.Number)
		}
		edits = append(edits, e)
	}
	slices.SortStableFunc(edits, func(a, b Edit) int {
		return cmp.Or(cmp.Compare(*a.Partition, *b.Partition), cmp.Compare(*a.Offset, *b.Offset))
	})
	for i := 1; i < len(edits); i++ {
		if a, b := edits[i-1], edits[i]; *a.Partition == *b.Partition && *a.Offset == *b.Offset {
			return nil, fmt.Errorf("%d: the same dead letter as in line %d", b.Line, a.Line)
		}
	}
	return edits, nil
}

// Content returns the key and the value that the edit gives to a letter's record. Parts
// that were not edited are the record's own, whether they are text or not.
func (e *Edit) Content(l *Letter) (key, value []byte) {
	return edited(l.Record.Key, e.Key, e.KeyBase64), edited(l.Record.Value, e.Value, e.ValueBase64)
}

func edited(original []byte, text *string, binary []byte) []byte {
	switch {
	case binary != nil:
		return binary
	case text == nil || *text == string(original):
		return original
	}
	return []byte(*text)
}

// EachEdited calls each with every edit and its dead letter. The edits are those of
// [ReadEdits].
func EachEdited(ctx context.Context, k *connect.Kafka, c *config.Config, edits []Edit, each func(*Edit, Letter) error) error {
	topic := c.Kafka.DeadLetterTopic
	partitions, err := consumer.PartitionCount(ctx, k.Client(), topic)
	if errors.Is(err, kafka.UnknownTopicOrPartition) {
		return fmt.Errorf("%w: correct kafka.dead_letter_topic", err)
	}
	if err != nil {
		return err
	}
	log := kafkalog.NewClient(k.Addr, k.Transport)
	for i := range edits {
		e := &edits[i]
		l, err := letterAt(ctx, log, topic, partitions, *e.Partition, *e.Offset)
		if err == nil {
			err = each(e, l)
		}
		if err != nil {
			return fmt.Errorf("line %d: %w", e.Line, err)
		}
	}
	return nil
}

// letterAt reads the dead letter at a position.
func letterAt(ctx context.Context, log *kafkalog.Client, topic string, partitions int, p int32, offset int64) (found Letter, err error) {
	missing := fmt.Errorf("topic %s has no dead letter at partition %d, offset %d", topic, p, offset)
	if p < 0 || int(p) >= partitions {
		return found, missing
	}
	first, end, err := log.Offsets(ctx, topic, p)
	if err != nil {
		return found, err
	}
	if offset < first || offset >= end {
		return found, missing
	}
	err = eachRecord(ctx, log, topic, p, offset, offset+1, func(r *kafkalog.Record) error {
		if r.Offset != offset {
			return nil
		}
		found = Letter{p, *r}
		return errEnough
	})
	if err == nil {
		return found, missing
	}
	if errors.Is(err, errEnough) {
		return found, nil
	}
	return found, err
}
