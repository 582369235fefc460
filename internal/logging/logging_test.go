package logging

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"strings"
	"testing"
	"time"
)

func TestFormats(t *testing.T) {
	for format, isJSON := range map[string]bool{"json": true, "text": false, "": true} {
		var b bytes.Buffer
		New(&b, format, slog.LevelInfo).Info("started", "topic", "events")
		if json.Valid(b.Bytes()) != isJSON || !strings.Contains(b.String(), "started") || !strings.Contains(b.String(), "events") {
			t.Errorf("%q: %s", format, b.String())
		}
	}
}

func TestDurationsAreReadable(t *testing.T) {
	for _, format := range []string{"json", "text"} {
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
