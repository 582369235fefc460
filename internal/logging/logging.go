// Package logging makes the program's logger.
package logging

import (
	"io"
	"log/slog"
	"os"

	"golang.org/x/term"

	"github.com/clientevents/clientevents/internal/config"
)

// New returns a logger that writes lines of level or above to w.
func New(w io.Writer, format config.LogFormat, level slog.Leveler) *slog.Logger {
	if isJSON(format, IsTerminal(w)) {
		return slog.New(slog.NewJSONHandler(w, options(level)))
	}
	return slog.New(slog.NewTextHandler(w, options(level)))
}

func isJSON(format config.LogFormat, terminal bool) bool {
	return format == config.FormatJSON || format == config.FormatAuto && !terminal
}

func options(level slog.Leveler) *slog.HandlerOptions {
	return &slog.HandlerOptions{Level: level, ReplaceAttr: inWords}
}

// inWords writes durations as 1.5s in JSON too, which has nanoseconds by default.
func inWords(_ []string, a slog.Attr) slog.Attr {
	if a.Value.Kind() == slog.KindDuration {
		a.Value = slog.StringValue(a.Value.Duration().String())
	}
	return a
}

// IsTerminal reports whether w is a terminal.
func IsTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// The size of terminals that do not tell theirs.
const (
	usualWidth  = 80
	usualHeight = 24
)

// Size returns the number of columns and rows of the terminal behind w.
func Size(w io.Writer) (columns, rows int) {
	if f, ok := w.(*os.File); ok {
		if columns, rows, err := term.GetSize(int(f.Fd())); err == nil && columns > 0 && rows > 0 {
			return columns, rows
		}
	}
	return usualWidth, usualHeight
}
