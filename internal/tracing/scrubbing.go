package tracing

import (
	"context"
	"slices"

	"go.opentelemetry.io/otel/attribute"
	sdk "go.opentelemetry.io/otel/sdk/trace"

	"github.com/clientevents/clientevents/internal/scrub"
)

// scrubbing removes the secrets from spans before they are exported.
type scrubbing struct {
	sdk.SpanExporter
	secrets *scrub.Scrubber
}

// ExportSpans exports spans without secrets.
func (s *scrubbing) ExportSpans(ctx context.Context, spans []sdk.ReadOnlySpan) error {
	clean := make([]sdk.ReadOnlySpan, len(spans))
	for i, span := range spans {
		clean[i] = cleanSpan{span, s.secrets}
	}
	return s.SpanExporter.ExportSpans(ctx, clean)
}

// cleanSpan is a span whose texts have no secrets.
type cleanSpan struct {
	sdk.ReadOnlySpan
	secrets *scrub.Scrubber
}

func (s cleanSpan) Name() string { return s.secrets.Text(s.ReadOnlySpan.Name()) }

func (s cleanSpan) Status() sdk.Status {
	status := s.ReadOnlySpan.Status()
	status.Description = s.secrets.Text(status.Description)
	return status
}

func (s cleanSpan) Attributes() []attribute.KeyValue {
	return s.attributes(s.ReadOnlySpan.Attributes())
}

func (s cleanSpan) Events() []sdk.Event {
	events := slices.Clone(s.ReadOnlySpan.Events())
	for i := range events {
		events[i].Attributes = s.attributes(events[i].Attributes)
	}
	return events
}

func (s cleanSpan) attributes(all []attribute.KeyValue) []attribute.KeyValue {
	all = slices.Clone(all)
	for i, a := range all {
		if a.Value.Type() == attribute.STRING {
			all[i].Value = attribute.StringValue(s.secrets.Text(a.Value.AsString()))
		}
	}
	return all
}
