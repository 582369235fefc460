package logging

import (
	"context"
	"io"
	"log/slog"
	"sync"
	"sync/atomic"

	"github.com/clientevents/clientevents/internal/config"
)

// Output writes log lines in a format and from a level that can change while loggers
// use it.
type Output struct {
	// Level is the lowest level that is written.
	Level    slog.LevelVar
	terminal bool
	json     atomic.Bool
	w        lockedWriter
}

// NewOutput returns an output that writes to w as configured.
func NewOutput(w io.Writer, c config.Log) *Output {
	o := &Output{terminal: IsTerminal(w), w: lockedWriter{w: w}}
	o.Level.Set(c.Level)
	o.SetFormat(c.Format)
	return o
}

// SetFormat changes the format of the lines that follow.
func (o *Output) SetFormat(format config.LogFormat) { o.json.Store(isJSON(format, o.terminal)) }

// Logger returns a logger that writes to the output.
func (o *Output) Logger() *slog.Logger {
	options := options(&o.Level)
	return slog.New(&handler{o, slog.NewTextHandler(&o.w, options), slog.NewJSONHandler(&o.w, options)})
}

// handler passes records to the handler of the format in force.
type handler struct {
	output     *Output
	text, json slog.Handler
}

func (h *handler) current() slog.Handler {
	if h.output.json.Load() {
		return h.json
	}
	return h.text
}

// Enabled implements [slog.Handler].
func (h *handler) Enabled(ctx context.Context, level slog.Level) bool {
	return h.current().Enabled(ctx, level)
}

// Handle implements [slog.Handler].
func (h *handler) Handle(ctx context.Context, r slog.Record) error { return h.current().Handle(ctx, r) }

// WithAttrs implements [slog.Handler].
func (h *handler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return &handler{h.output, h.text.WithAttrs(attrs), h.json.WithAttrs(attrs)}
}

// WithGroup implements [slog.Handler].
func (h *handler) WithGroup(name string) slog.Handler {
	return &handler{h.output, h.text.WithGroup(name), h.json.WithGroup(name)}
}

// lockedWriter keeps the lines of the two handlers apart; each has a lock of its own.
type lockedWriter struct {
	mu sync.Mutex
	w  io.Writer
}

func (w *lockedWriter) Write(line []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.w.Write(line)
}
