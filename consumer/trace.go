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

// outcomeReleased ends the span of an event whose outcome will be another
// replica's to find out.
const outcomeReleased = "released"

// startSpan begins the item's span, as a child of the one that the record's
// traceparent names (www.w3.org/TR/trace-context). An item that is not sampled
// has none, and costs nothing further on.
//
// The names of the attributes are OpenTelemetry's for messaging. What a job
// seeker did is not among them.
func (o *owner) startSpan(it *item) {
	ctx := propagation.TraceContext{}.Extract(context.Background(), headerCarrier(it.record.Headers))
	_, span := o.cfg.Tracer.Start(ctx, "report event", trace.WithSpanKind(trace.SpanKindConsumer))
	if !span.IsRecording() {
		return
	}
	span.SetAttributes(
		attribute.String("messaging.system", "kafka"),
		attribute.String("messaging.operation.type", "process"),
		attribute.String("messaging.destination.name", o.cfg.Topic),
		attribute.String("messaging.destination.partition.id", partitionLabel(o.partition.id)),
		attribute.String("messaging.consumer.group.name", o.cfg.Group),
		attribute.Int64("messaging.kafka.offset", it.record.Offset),
	)
	if it.Event != nil {
		span.SetAttributes(
			attribute.String("clientevents.event.id", it.ID),
			attribute.String("clientevents.event.type", it.Type.String()),
		)
	}
	it.Span = span
}

// traceFault notes why the item becomes a dead letter.
func (it *item) traceFault(fault event.Fault) {
	if it.Span != nil {
		it.Span.SetAttributes(attribute.String("clientevents.reason", string(fault.Reason)))
		it.Span.SetStatus(codes.Error, string(fault.Reason))
	}
}

// endSpan ends the item's span with its outcome.
func (it *item) endSpan(outcome string) {
	if it.Span != nil {
		it.Span.SetAttributes(attribute.String("clientevents.outcome", outcome))
		it.Span.End()
	}
}

// endSpans ends the spans of what has no outcome. The caller holds mu.
func (p *partition) endSpans() {
	for _, c := range p.claims {
		c.item.endSpan(outcomeReleased)
		for _, second := range c.copies {
			second.endSpan(outcomeReleased)
		}
	}
	for _, m := range p.marks {
		m.item.endSpan(outcomeReleased)
	}
	for _, l := range p.letters {
		l.item.endSpan(outcomeReleased)
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
