package discoverycli

import (
	"math"
	"testing"
)

var eventFields = []string{"client-event", "create-time", "event-id", "extra-info", "job-event", "jobs", "parent-event-id", "request-id", "type"}

func TestNearest(t *testing.T) {
	params := []string{"$-xgafv", "access-token", "alt", "callback", "fields", "key", "oauth-token", "pretty-print", "quota-user", "upload-type", "upload-protocol"}
	tests := []struct {
		typed      string
		candidates []string
		want       string
		similarity float64
	}{
		{"eventId", eventFields, "event-id", .9345},
		{"event_id", eventFields, "event-id", .9583},
		{"client_event", eventFields, "client-event", .9778},
		{"job", eventFields, "jobs", .9417},
		{"parent", eventFields, "parent-event-id", .92},
		{"request", eventFields, "request-id", .97},
		{"foo", eventFields, "", 0},
		{"name", eventFields, "", 0},
		{"prettyPrint", params, "pretty-print", .9657},
		{"$.xgafv", params, "$-xgafv", .9143},
		{"", eventFields, "", 0},
	}
	for _, tt := range tests {
		if got := nearest(tt.typed, tt.candidates); got != tt.want {
			t.Errorf("nearest(%q) = %q, want %q", tt.typed, got, tt.want)
		}
		if tt.want == "" {
			continue
		}
		if got := similarity(tt.typed, tt.want); math.Abs(got-tt.similarity) > .00005 {
			t.Errorf("similarity(%q, %q) = %.4f, want %.4f", tt.typed, tt.want, got, tt.similarity)
		}
	}
}

func TestSimilarityBounds(t *testing.T) {
	tests := []struct {
		a, b string
		want float64
	}{
		{"", "", 1},
		{"", "a", 0},
		{"a", "", 0},
		{"a", "a", 1},
		{"a", "b", 0},
		{"type", "type", 1},
		{"averyveryverylongname", "averyveryverylongnamf", 1}, // the bonus would exceed 1
	}
	for _, tt := range tests {
		if got := similarity(tt.a, tt.b); math.Abs(got-tt.want) > 1e-9 {
			t.Errorf("similarity(%q, %q) = %v, want %v", tt.a, tt.b, got, tt.want)
		}
	}
}

func TestNearestPath(t *testing.T) {
	tests := []struct{ path, want string }{
		{"client_event.eventId", "client-event.event-id"},
		{".client_event.job_event", ".client-event.job-event"},
		{"..eventId", "..event-id"},
		{"client-event.event-id", ""},
		{"foo.bar", ""},
		{"foo.eventId", "foo.event-id"},
		{"", ""},
		{"..", ""},
	}
	for _, tt := range tests {
		if got := nearestPath(tt.path, eventFields); got != tt.want {
			t.Errorf("nearestPath(%q) = %q, want %q", tt.path, got, tt.want)
		}
	}
}
