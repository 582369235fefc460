// Package logging makes the program's logger.
package logging

import (
	"io"
	"log/slog"
	"os"

	"golang.org/x/term"
)

// New makes a logger that writes to w at level. format is "text", "json" or "",
// which is text where w is a terminal and json elsewhere.
func New(w io.Writer, format string, level slog.Leveler) *slog.Logger {
	options := &slog.HandlerOptions{Level: level, ReplaceAttr: inWords}
	if format == "json" || (format == "" && !IsTerminal(w)) {
		return slog.New(slog.NewJSONHandler(w, options))
	}
	return slog.New(slog.NewTextHandler(w, options))
}

// inWords writes durations as 1.5s in JSON too, which makes them nanoseconds.
func inWords(_ []string, a slog.Attr) slog.Attr {
	if a.Value.Kind() == slog.KindDuration {
		a.Value = slog.StringValue(a.Value.Duration().String())
	}
	return a
}

// IsTerminal says whether a person may be looking at what is written to w.
func IsTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// usualWidth is for terminals that don't tell theirs.
const usualWidth = 80

// Width is how many characters fit into a line of the terminal behind w.
func Width(w io.Writer) int {
	if f, ok := w.(*os.File); ok {
		if width, _, err := term.GetSize(int(f.Fd())); err == nil && width > 0 {
			return width
		}
	}
	return usualWidth
}
