package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/segmentio/kafka-go"

	"github.com/clientevents/clientevents/consumer/kafkalog"
)

var codecs = []kafkalog.Codec{kafkalog.Zstd, kafkalog.Gzip, kafkalog.LZ4, kafkalog.Snappy}

// kind is a kind of records, which are published as one batch.
type kind struct {
	name    string
	records int
	// valid means that the events are to be reported; the outcome of others may be a
	// dead letter.
	valid  bool
	record func(id string) kafkalog.Record
}

func event(id, more string) string {
	return fmt.Sprintf(`{"eventId":%q,"requestId":"r","createTime":%q,"jobEvent":{"type":"IMPRESSION","jobs":["projects/demo/jobs/1"]}%s}`,
		id, time.Now().UTC().Format(time.RFC3339), more)
}

func kinds() []kind {
	value := func(s string) kafkalog.Record { return kafkalog.Record{Value: []byte(s)} }
	spaces := strings.Repeat(" ", 1_000_000)
	orphan := `,"parentEventId":"absent"`
	return []kind{
		{"ordinary events", 200, true, func(id string) kafkalog.Record { return value(event(id, "")) }},
		{"events before a megabyte of spaces", 120, true, func(id string) kafkalog.Record { return value(event(id, "") + spaces) }},
		{"children with 100,000 headers", 60, false, func(id string) kafkalog.Record {
			r := value(event(id, orphan))
			r.Headers = make([]kafka.Header, 100_000)
			return r
		}},
		{"records of a megabyte", 140, true, func(id string) kafkalog.Record { return value(spaces + event(id, "")) }},
		{"records of a byte", 2000, false, func(string) kafkalog.Record { return value("x") }},
		{"an event with a request ID of 3 million characters", 1, false, func(id string) kafkalog.Record {
			return value(strings.Replace(event(id, ""), `"r"`, `"`+strings.Repeat("r", 3_000_000)+`"`, 1))
		}},
		{"children of one parent", 3000, false, func(id string) kafkalog.Record { return value(event(id, orphan)) }},
		{"ordinary events behind", 200, true, func(id string) kafkalog.Record { return value(event(id, "")) }},
	}
}

// published counts the records, and the events that are to be reported.
type published struct{ records, valid int }

type publisher struct {
	client *kafkalog.Client
	published
}

// publish writes a batch of one kind.
func (p *publisher) publish(ctx context.Context, partition int32, codec kafkalog.Codec, k kind) error {
	records := make([]kafkalog.Record, k.records)
	for i := range records {
		records[i] = k.record(fmt.Sprintf("e%d", p.records+i))
	}
	write := func() error {
		return p.client.Write(ctx, kafkalog.WriteRequest{Topic: topic, Partition: partition, Codec: codec, Records: records})
	}
	err := write()
	for range 20 {
		if err == nil || !errors.Is(err, kafka.NotLeaderForPartition) && !errors.Is(err, kafka.UnknownTopicOrPartition) {
			break
		}
		time.Sleep(100 * time.Millisecond) // a new topic
		err = write()
	}
	if err != nil {
		return fmt.Errorf("publish %s (%v): %w", k.name, codec, err)
	}
	p.records += k.records
	if k.valid {
		p.valid += k.records
	}
	return nil
}
