package reporter

import (
	"context"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	"github.com/clientevents/clientevents/event"
	"github.com/clientevents/clientevents/reporter/talent"
)

// startSpan starts the span of a request: a child of its first traced event's span,
// with links to those of the others. It returns nil if no event is traced.
func (w *worker) startSpan(batch []*event.Delivery) trace.Span {
	if w.r.cfg.Tracer == nil {
		return nil
	}
	var request trace.Span
	for _, d := range batch {
		switch {
		case d.Span == nil:
			continue
		case request == nil:
			_, request = w.r.cfg.Tracer.Start(trace.ContextWithSpan(context.Background(), d.Span), "create client events",
				trace.WithSpanKind(trace.SpanKindClient), trace.WithAttributes(
					attribute.String("http.request.method", "POST"),
					attribute.String("server.address", w.r.client.URL().Hostname()),
					attribute.Int("messaging.batch.message_count", len(batch)),
				))
		default:
			request.AddLink(trace.Link{SpanContext: d.Span.SpanContext()})
			d.Span.AddLink(trace.Link{SpanContext: request.SpanContext()})
		}
		d.Span.AddEvent("attempt", trace.WithAttributes(attribute.Int("clientevents.attempt", int(d.Attempts))))
	}
	return request
}

// endSpan ends the span of a request; status 0 means that there was no answer.
func endSpan(span trace.Span, status int, failure *talent.Error) {
	if span == nil {
		return
	}
	if status != 0 {
		span.SetAttributes(attribute.Int("http.response.status_code", status))
	}
	if failure != nil {
		span.SetAttributes(attribute.String("error.type", string(failure.Reason)))
		span.SetStatus(codes.Error, string(failure.Reason))
	}
	span.End()
}
