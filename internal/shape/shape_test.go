package shape_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/sr/srfake"

	"github.com/clientevents/clientevents/event"
	"github.com/clientevents/clientevents/input"
	"github.com/clientevents/clientevents/internal/journey"
	"github.com/clientevents/clientevents/internal/shape"
)

const parent = "projects/demo/tenants/demo"

// opened returns a shape that is registered with a registry of its own, and the decoder of
// its records.
func opened(t *testing.T, name string) (*shape.Shape, *input.Decoder) {
	t.Helper()
	s, err := shape.New(name)
	if err != nil {
		t.Fatal(err)
	}
	c := input.Config{Version: event.V4, Mapping: s.Mapping(parent)}
	if name == "cloudevents" || s.UsesRegistry() {
		c.Format = input.Format(name)
	}
	if s.UsesRegistry() {
		registry := httptest.NewServer(srfake.NewRegistry().Handler())
		t.Cleanup(registry.Close)
		if err := s.Register(t.Context(), registry.Client(), registry.URL, "topic"); err != nil {
			t.Fatal(err)
		}
		c.Registry.URL = registry.URL
	}
	d, err := input.New(c)
	if err != nil {
		t.Fatal(err)
	}
	return s, d
}

// TestMappingsReturnTheEvents: in each shape, an event keeps its type, time, request and
// jobs, and a fault has the outcome that is expected of it.
func TestMappingsReturnTheEvents(t *testing.T) {
	n := 4000
	if testing.Short() {
		n = 2000
	}
	for _, name := range shape.Names() {
		t.Run(name, func(t *testing.T) {
			s, d := opened(t, name)
			types, faults := map[event.Type]int{}, 0
			mix := journey.Mix{Duplicates: 0.02, Faults: 0.05, Late: 0.005, Tombstones: true}
			for r := range journey.New(journey.Options{Seed: 3, Version: event.V4, Parent: parent, Start: time.Now()}).Mixed(mix, n) {
				original := r
				m, err := s.Record(&r)
				if err != nil {
					t.Fatal(err)
				}
				if len(m.Value) == 0 {
					continue
				}
				events, fault, err := d.Decode(t.Context(), &input.Record{Value: m.Value, Key: m.Key, Headers: m.Headers, Timestamp: time.Now()}, nil)
				if err != nil {
					t.Fatal(err)
				}
				if original.Expect != "dead_letter" {
					check(t, original.Event, events, fault)
					types[original.Event.Type]++
					continue
				}
				faults++
				checkFault(t, &original, &r, events, fault)
			}
			if len(types) != 15 || faults < n/40 {
				t.Errorf("%d types and %d faults occur", len(types), faults)
			}
		})
	}
}

func check(t *testing.T, want *event.Event, events []*event.Event, fault *event.Fault) {
	t.Helper()
	if fault != nil || len(events) != 1 {
		t.Fatalf("%s %s: %d events, %v", want.Type, want.ID, len(events), fault)
	}
	got := events[0]
	if got.Type != want.Type || !got.Time.Equal(want.Time) || got.RequestID != want.RequestID ||
		strings.Join(got.Jobs, " ") != strings.Join(want.Jobs, " ") || (got.ParentID == "") != (want.ParentID == "") {
		t.Fatalf("got  %+v\nwant %+v", got, want)
	}
}

// checkFault compares a fault. Faults together with other events are none of the decoder.
func checkFault(t *testing.T, original, r *journey.Record, events []*event.Event, fault *event.Fault) {
	t.Helper()
	got := event.Reason("")
	if fault != nil {
		got = fault.Reason
	}
	switch original.Reason {
	case event.ReasonParentNotFound, event.ReasonParentMismatch, event.ReasonIDConflict:
		if fault != nil || r.Reason != original.Reason {
			t.Errorf("%s is %s, %v", original.Reason, r.Reason, fault)
		}
	default:
		if got != r.Reason || (r.Expect == "skipped") != (fault == nil && len(events) == 0) {
			t.Errorf("%s: expected %s %q, got %q and %d events", original.Reason, r.Expect, r.Reason, got, len(events))
		}
	}
}

func TestUnknownShape(t *testing.T) {
	_, err := shape.New("round")
	if want := `"round" is not a shape: expected one of flat, nested, segment, cloudevents, avro, protobuf`; err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}

func TestRegistryThatFails(t *testing.T) {
	registry := httptest.NewServer(http.NotFoundHandler())
	defer registry.Close()
	s, err := shape.New("avro")
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Register(t.Context(), registry.Client(), registry.URL, "views"); err == nil || !strings.Contains(err.Error(), "register the schema of views-value at "+registry.URL) {
		t.Errorf("got %v", err)
	}
	r := journey.Record{Value: []byte(`{}`)}
	if _, err := s.Record(&r); err == nil || !strings.Contains(err.Error(), "the schema is not registered") {
		t.Errorf("a record of an unregistered schema: %v", err)
	}
}
