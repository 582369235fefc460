package rehearse

import (
	"context"
	"encoding/base64"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"time"
	"unicode/utf8"

	"go.yaml.in/yaml/v4"

	"github.com/clientevents/clientevents/consumer/kafkalog"
	"github.com/clientevents/clientevents/internal/connect"
)

// WriteSamples writes the examples of each reason to a file of the folder, in the form
// of 'clientevents test', as a starting point for tests. Values may be personal: the
// files are readable by their owner alone. redact returns a value without the data that
// must not be in files, and false for a value that must not be in one at all; leftOut
// counts those.
func (r *Report) WriteSamples(ctx context.Context, k *connect.Kafka, folder string, redact func([]byte) ([]byte, bool)) (leftOut int, err error) {
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return 0, err
	}
	log := kafkalog.NewClient(k.Addr, k.Transport)
	for _, reason := range slices.Sorted(maps.Keys(r.Examples)) {
		var tests []map[string]any
		for _, x := range r.Examples[reason] {
			record, err := r.sample(ctx, log, x, redact)
			if err != nil {
				return leftOut, err
			}
			if record == nil {
				leftOut++
				continue
			}
			tests = append(tests, map[string]any{
				"name":   fmt.Sprintf("partition %d, offset %d", x.Partition, x.Offset),
				"record": record,
				"expect": map[string]any{"reason": reason},
			})
		}
		if len(tests) == 0 {
			continue
		}
		text, err := yaml.Marshal(map[string]any{"tests": tests})
		if err != nil {
			return leftOut, err
		}
		if err := os.WriteFile(filepath.Join(folder, reason+".yaml"), text, 0o600); err != nil {
			return leftOut, err
		}
	}
	return leftOut, nil
}

// sample reads an example's record again: nothing of it was kept. It returns nil for a
// record whose value must not be in a file.
func (r *Report) sample(ctx context.Context, log *kafkalog.Client, x Example, redact func([]byte) ([]byte, bool)) (map[string]any, error) {
	batch, err := log.Fetch(ctx, kafkalog.FetchRequest{
		Topic: r.Topic, Partition: x.Partition, Offset: x.Offset, MaxBytes: fetchBytes, MaxRecords: 1, MaxWait: time.Second, ReadCommitted: true,
	})
	if err != nil {
		return nil, err
	}
	if len(batch.Records) == 0 || batch.Records[0].Offset != x.Offset {
		return nil, fmt.Errorf("partition %d, offset %d: the record is not there any more", x.Partition, x.Offset)
	}
	in := &batch.Records[0]
	value, ok := redact(in.Value)
	if !ok {
		return nil, nil
	}
	out := map[string]any{"topic": r.Topic, "partition": x.Partition, "offset": x.Offset}
	if !in.Time.IsZero() {
		out["timestamp"] = in.Time.UTC().Format(time.RFC3339Nano)
	}
	if utf8.Valid(value) {
		out["text"] = string(value)
	} else {
		out["base64"] = base64.StdEncoding.EncodeToString(value)
	}
	if in.Key != nil && utf8.Valid(in.Key) {
		out["key"] = string(in.Key)
	}
	headers := map[string]string{}
	for _, h := range in.Headers {
		if utf8.Valid(h.Value) {
			headers[h.Key] = string(h.Value)
		}
	}
	if len(headers) > 0 {
		out["headers"] = headers
	}
	return out, nil
}
