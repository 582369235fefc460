package logging

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/clientevents/clientevents/internal/config"
)

func TestFormats(t *testing.T) {
	for format, isJSON := range map[config.LogFormat]bool{"json": true, "text": false, "": true} {
		var b bytes.Buffer
		New(&b, format, slog.LevelInfo).Info("started", "topic", "events")
		if json.Valid(b.Bytes()) != isJSON || !strings.Contains(b.String(), "started") || !strings.Contains(b.String(), "events") {
			t.Errorf("%q: %s", format, b.String())
		}
	}
}

// TestOutput changes the format and the level under a logger with attributes.
func TestOutput(t *testing.T) {
	var b bytes.Buffer
	o := NewOutput(&b, config.Log{Level: slog.LevelInfo, Format: config.FormatText})
	log := o.Logger().With("group", "g").WithGroup("at")
	line := func() string {
		b.Reset()
		log.Info("started", "offset", 7)
		return b.String()
	}
	if got := line(); !strings.Contains(got, "msg=started group=g at.offset=7") {
		t.Errorf("text: %s", got)
	}
	o.SetFormat(config.FormatJSON)
	if got := line(); !json.Valid([]byte(got)) || !strings.Contains(got, `"group":"g","at":{"offset":7}`) {
		t.Errorf("JSON: %s", got)
	}
	o.Level.Set(slog.LevelWarn)
	if got := line(); got != "" {
		t.Errorf("below the level: %s", got)
	}
}

func TestDurationsAreReadable(t *testing.T) {
	for _, format := range []config.LogFormat{config.FormatJSON, config.FormatText} {
		var b bytes.Buffer
		New(&b, format, slog.LevelInfo).Info("waits", "for", 630*time.Millisecond)
		if got := b.String(); !strings.Contains(got, "630ms") {
			t.Errorf("%s: %s", format, got)
		}
	}
}

func TestLevelCanBeChanged(t *testing.T) {
	var b bytes.Buffer
	level := new(slog.LevelVar)
	level.Set(slog.LevelWarn)
	log := New(&b, "text", level)
	log.Info("one")
	level.Set(slog.LevelDebug)
	log.Debug("two")
	if got := b.String(); strings.Contains(got, "one") || !strings.Contains(got, "two") {
		t.Errorf("got %s", got)
	}
}
