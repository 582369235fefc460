package consumer

import (
	"context"

	"github.com/segmentio/kafka-go"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"github.com/clientevents/clientevents/event"
)

// released is the outcome in the span of a record that the partition's next
// owner reads again.
const released = "released"

// startSpan starts the item's span, as a child of the one that the record's
// traceparent names (www.w3.org/TR/trace-context). An item that is not sampled
// has no span, and costs nothing afterwards.
//
// The attributes have OpenTelemetry's names for messaging. They do not tell
// what a job seeker did.
func (o *owner) startSpan(it *item, r *record, events []*event.Event) {
	ctx := propagation.TraceContext{}.Extract(context.Background(), headerCarrier(r.Headers))
	_, span := o.c.cfg.Tracer.Start(ctx, "report event", trace.WithSpanKind(trace.SpanKindConsumer))
	if !span.IsRecording() {
		return
	}
	span.SetAttributes(
		attribute.String("messaging.system", "kafka"),
		attribute.String("messaging.operation.type", "process"),
		attribute.String("messaging.destination.name", o.c.cfg.Topic),
		attribute.String("messaging.destination.partition.id", partitionLabel(o.partition.ID())),
		attribute.String("messaging.consumer.group.name", o.c.cfg.Group),
		attribute.Int64("messaging.kafka.offset", r.Offset),
	)
	if len(events) == 1 {
		span.SetAttributes(
			attribute.String("clientevents.event.id", events[0].ID),
			attribute.String("clientevents.event.type", events[0].Type.String()),
		)
	}
	it.span = span
}

// traceFault sets the reason for which the item became a dead letter.
func (it *item) traceFault(fault *event.Fault) {
	if it.span != nil {
		it.span.SetAttributes(attribute.String("clientevents.reason", string(fault.Reason)))
		it.span.SetStatus(codes.Error, string(fault.Reason))
	}
}

// endSpan ends the item's span with its outcome.
func (it *item) endSpan(outcome string) {
	if it.span != nil {
		it.span.SetAttributes(attribute.String("clientevents.outcome", outcome))
		it.span.End()
	}
}

// headerCarrier lets trace contexts be read from a record's headers.
type headerCarrier []kafka.Header

func (c headerCarrier) Get(name string) string {
	for _, h := range c {
		if h.Key == name {
			return string(h.Value)
		}
	}
	return ""
}

// Set is not used: records are not changed.
func (headerCarrier) Set(string, string) {}

func (c headerCarrier) Keys() []string {
	names := make([]string, 0, len(c))
	for _, h := range c {
		names = append(names, h.Key)
	}
	return names
}
