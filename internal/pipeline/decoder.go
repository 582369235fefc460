package pipeline

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/clientevents/clientevents/consumer"
	"github.com/clientevents/clientevents/event"
	"github.com/clientevents/clientevents/input"
	"github.com/clientevents/clientevents/internal/config"
	"github.com/clientevents/clientevents/internal/metric"
)

// schemaWait is how long a record waits for a schema that the registry does not have. Its
// servers agree within a second or two.
const schemaWait = 10 * time.Second

// Decoder is the consumer's decoder, as package input has it.
type Decoder struct {
	*input.Decoder
	skipped prometheus.Counter
}

// newDecoder returns the decoder that a configuration describes.
func newDecoder(c *config.Config, e Environment) (*Decoder, error) {
	decoding := c.Decoding()
	decoding.Dial, decoding.Files, decoding.Certificates, decoding.Memory = e.DialAPI, e.Files, e.Certificates, e.Memory
	decoding.SchemaWait = schemaWait
	in, err := input.New(decoding)
	if err != nil {
		return nil, err
	}
	metrics := metric.Set{Registerer: e.Registerer}
	if in.UsesRegistry() {
		metrics.GaugeFunc("clientevents_schema_registry_available", "Whether the schema registry is available (1) or records wait for it (0).", func() float64 {
			if in.Unavailable() != "" {
				return 0
			}
			return 1
		})
	}
	return &Decoder{Decoder: in, skipped: metrics.Counter("clientevents_mapping_skipped_records_total", // a reload may set a mapping
		"Records skipped because input.mapping returned no event for them.")}, nil
}

// Decode implements [consumer.Decoder].
func (d *Decoder) Decode(ctx context.Context, in *consumer.Input, dst []*event.Event) ([]*event.Event, *event.Fault, error) {
	events, fault, err := d.Decoder.Decode(ctx, (*input.Record)(in), dst)
	if err == nil && fault == nil && len(events) == len(dst) {
		d.skipped.Inc()
	}
	return events, fault, err
}
