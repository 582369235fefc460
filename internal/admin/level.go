package admin

import (
	"log/slog"
	"strings"
	"sync"
)

// Level is the log level: the configured one, or an operator's in its place.
type Level struct {
	mu         sync.Mutex
	level      *slog.LevelVar // nil where it can't be changed
	usual      slog.Level
	overridden bool
}

// NewLevel returns the level that controls v; nil for a logger whose level is fixed.
func NewLevel(v *slog.LevelVar, usual slog.Level) *Level { return &Level{level: v, usual: usual} }

// SetUsual changes the configured level. An override stays in force.
func (l *Level) SetUsual(usual slog.Level) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.usual = usual; l.level != nil && !l.overridden {
		l.level.Set(usual)
	}
}

// override puts a level in the place of the configured one.
func (l *Level) override(level slog.Level) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.overridden = true
	l.level.Set(level)
}

// restore ends an override.
func (l *Level) restore() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.overridden = false
	l.level.Set(l.usual)
}

// fixed reports whether the level can't be changed.
func (l *Level) fixed() bool { return l.level == nil }

// String returns the level in force, in lower case; "" where it can't be changed.
func (l *Level) String() string {
	if l.fixed() {
		return ""
	}
	return strings.ToLower(l.level.Level().String())
}
