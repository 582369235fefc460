package scrub

import (
	"context"
	"fmt"
	"log/slog"
)

// Handler returns a handler that removes the secrets from messages and attributes
// before next gets them.
func (s *Scrubber) Handler(next slog.Handler) slog.Handler { return &handler{next, s} }

type handler struct {
	slog.Handler
	scrubber *Scrubber
}

// Handle scrubs a record.
func (h *handler) Handle(ctx context.Context, r slog.Record) error {
	clean := slog.NewRecord(r.Time, r.Level, h.scrubber.Text(r.Message), r.PC)
	r.Attrs(func(a slog.Attr) bool {
		clean.AddAttrs(h.attr(a))
		return true
	})
	return h.Handler.Handle(ctx, clean)
}

// WithAttrs scrubs attributes that all records have.
func (h *handler) WithAttrs(attrs []slog.Attr) slog.Handler {
	clean := make([]slog.Attr, len(attrs))
	for i, a := range attrs {
		clean[i] = h.attr(a)
	}
	return &handler{h.Handler.WithAttrs(clean), h.scrubber}
}

// WithGroup opens a group.
func (h *handler) WithGroup(name string) slog.Handler {
	return &handler{h.Handler.WithGroup(name), h.scrubber}
}

// attr scrubs what may hold text; numbers and times stay as they are.
func (h *handler) attr(a slog.Attr) slog.Attr {
	value := a.Value.Resolve()
	switch value.Kind() {
	case slog.KindString:
		return slog.String(a.Key, h.scrubber.Text(value.String()))
	case slog.KindAny:
		text := fmt.Sprint(value.Any())
		if clean := h.scrubber.Text(text); clean != text {
			return slog.String(a.Key, clean)
		}
	case slog.KindGroup:
		group := value.Group()
		clean := make([]slog.Attr, len(group))
		for i := range group {
			clean[i] = h.attr(group[i])
		}
		return slog.Attr{Key: a.Key, Value: slog.GroupValue(clean...)}
	default:
	}
	return slog.Attr{Key: a.Key, Value: value}
}
