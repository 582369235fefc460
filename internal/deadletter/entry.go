package deadletter

import (
	"context"
	"encoding/json"
	"slices"
	"time"
	"unicode/utf8"

	"github.com/clientevents/clientevents/consumer"
	"github.com/clientevents/clientevents/internal/config"
	"github.com/clientevents/clientevents/internal/connect"
)

// Entry is a dead letter in a list.
type Entry struct {
	// Partition and Offset are of the dead-letter topic.
	Partition int32     `json:"partition"`
	Offset    int64     `json:"offset"`
	Time      time.Time `json:"time"`
	Reason    string    `json:"reason"`
	Detail    string    `json:"detail"`
	// HTTPStatus is what the API answered; "" where it was not asked.
	HTTPStatus string `json:"http_status,omitempty"`
	// The source is the position of the record that became the dead letter.
	SourceTopic     string `json:"source_topic"`
	SourcePartition string `json:"source_partition"`
	SourceOffset    string `json:"source_offset"`
	Replays         int    `json:"replays"`
	Key             string `json:"key"`
	// KeyBase64 is the key if it is not UTF-8, which Key can't hold.
	KeyBase64 []byte `json:"key_base64,omitempty"`
	// EventID is the ID that the value shows; "" if it shows none.
	EventID string `json:"event_id"`
	// Value is nil unless it is wanted. ValueBase64 is the value if it is not UTF-8.
	Value       *string `json:"value,omitempty"`
	ValueBase64 []byte  `json:"value_base64,omitempty"`
}

// Entry describes a letter.
func (l *Letter) Entry(values bool) Entry {
	e := Entry{
		Partition: l.Partition, Offset: l.Record.Offset, Time: l.Record.Time.UTC(),
		Reason: l.Header(consumer.HeaderReason), Detail: l.Header(consumer.HeaderDetail), HTTPStatus: l.Header(consumer.HeaderHTTPStatus),
		SourceTopic: l.Header(consumer.HeaderTopic), SourcePartition: l.Header(consumer.HeaderPartition), SourceOffset: l.Header(consumer.HeaderOffset),
		Replays: l.Replays(), Key: string(l.Record.Key), EventID: eventIDOf(l.Record.Value),
	}
	if !utf8.Valid(l.Record.Key) {
		e.KeyBase64 = l.Record.Key
	}
	if values {
		e.Value = new(string(l.Record.Value))
		if !utf8.Valid(l.Record.Value) {
			e.ValueBase64 = l.Record.Value
		}
	}
	return e
}

// eventIDOf reads the ID of an event in JSON, valid or not; "" if there is none.
func eventIDOf(value []byte) string {
	var fields map[string]json.RawMessage
	if json.Unmarshal(value, &fields) != nil {
		return ""
	}
	for _, name := range []string{"eventId", "event_id"} {
		var id string
		if json.Unmarshal(fields[name], &id) == nil && id != "" {
			return id
		}
	}
	return ""
}

// newestByDefault is how many letters ReadNewest keeps where the filter has no limit.
const newestByDefault = 100

// ReadNewest reads dead letters as [Read] does, and calls each with the newest, the
// newest first: as many as the filter's limit, or 100.
func ReadNewest(ctx context.Context, k *connect.Kafka, c *config.Config, f Filter, each func(Letter) error) error {
	limit := f.Limit
	if limit == 0 {
		limit = newestByDefault
	}
	f.Limit = 0
	var kept []Letter
	trim := func() {
		slices.SortStableFunc(kept, func(a, b Letter) int { return b.Record.Time.Compare(a.Record.Time) })
		kept = kept[:min(limit, len(kept))]
	}
	err := Read(ctx, k, c, f, func(l Letter) error {
		if kept = append(kept, l); len(kept) >= 2*limit {
			trim()
		}
		return nil
	})
	if err != nil {
		return err
	}
	trim()
	for _, l := range kept {
		if err := each(l); err != nil {
			return err
		}
	}
	return nil
}
