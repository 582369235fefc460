// Package exemplar puts traces beside the figures that they are examples of.
package exemplar

import (
	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/trace"
)

// Observe adds a value to a histogram, with the span's trace as its example
// where there is a span.
func Observe(h prometheus.Histogram, value float64, span trace.Span) {
	if span == nil {
		h.Observe(value)
		return
	}
	h.(prometheus.ExemplarObserver).ObserveWithExemplar(value, prometheus.Labels{"trace_id": span.SpanContext().TraceID().String()})
}
