// Package shape publishes the traffic of package journey in the shapes of other teams'
// topics: flat or nested JSON, Segment, CloudEvents, Avro and Protobuf. The mappings are
// those of docs/mapping.
package shape

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/segmentio/kafka-go"
	"go.yaml.in/yaml/v4"

	"github.com/clientevents/clientevents/docs/mapping"
	"github.com/clientevents/clientevents/event"
	"github.com/clientevents/clientevents/internal/journey"
)

// skipped is the outcome of records that a mapping leaves out. It is no reason.
const skipped event.Reason = "skipped"

// carried is the outcome of a fault that a shape has no place for.
const carried event.Reason = ""

// Shape turns records of package journey into those of another team. It is for one
// goroutine.
type Shape struct {
	// Name is the shape's name, and that of its folder in docs/mapping.
	Name    string
	format  string
	program string
	parent  string // of the program's job names

	encoder encoder
	// faults are the outcomes of faults that differ from those of events: another
	// reason, skipped or carried.
	faults map[event.Reason]event.Reason
	last   facts // of the last event that was in order
}

// encoder writes an event's facts in one shape.
type encoder interface {
	// encode returns a record's value.
	encode(f *facts) ([]byte, error)
	// broken makes a value that can't be decoded of one that can.
	broken(value []byte) []byte
	// describe shows a value to people.
	describe(f *facts, value []byte) string
}

// Names returns the names of all shapes, in the order of the documentation.
func Names() []string {
	names := make([]string, len(shapes))
	for i, s := range shapes {
		names[i] = s.name
	}
	return names
}

// Known reports whether there is a shape of this name.
func Known(name string) bool { return slices.Contains(Names(), name) }

// New returns the shape of a name, with its mapping.
func New(name string) (*Shape, error) {
	i := slices.Index(Names(), name)
	if i < 0 {
		return nil, fmt.Errorf("%q is not a shape: expected one of %s", name, strings.Join(Names(), ", "))
	}
	s := &Shape{Name: name, faults: shapes[i].faults}
	if err := s.readMapping(); err != nil {
		return nil, fmt.Errorf("%s: %w", s.File(), err)
	}
	var err error
	if s.encoder, err = shapes[i].encoder(); err != nil {
		return nil, fmt.Errorf("shape %s: %w", name, err)
	}
	return s, nil
}

// File is the path of the mapping in the repository.
func (s *Shape) File() string { return "docs/mapping/" + s.Name + "/clientevents.yaml" }

func (s *Shape) readMapping() error {
	text, err := mapping.Files.ReadFile(s.Name + "/clientevents.yaml")
	if err != nil {
		return err
	}
	var c struct {
		API   struct{ Parent string }
		Input struct{ Format, Mapping string }
	}
	if err := yaml.Unmarshal(text, &c); err != nil {
		return err
	}
	s.format, s.program, s.parent = c.Input.Format, c.Input.Mapping, c.API.Parent
	return nil
}

// Mapping is the mapping's program, with the job names of parent instead of the file's.
func (s *Shape) Mapping(parent string) string {
	return strings.ReplaceAll(s.program, s.parent+"/jobs/", parent+"/jobs/")
}

// Section is the configuration's input section in YAML. registry is ignored by shapes
// that use none.
func (s *Shape) Section(parent, registry string) string {
	var b strings.Builder
	b.WriteString("input:\n")
	if s.format != "" {
		fmt.Fprintf(&b, "  format: %s\n", s.format)
	}
	if s.UsesRegistry() {
		fmt.Fprintf(&b, "  registry: {url: %q}\n", registry)
	}
	b.WriteString("  mapping: |\n")
	for line := range strings.Lines(s.Mapping(parent)) {
		b.WriteString("    " + line)
	}
	return b.String()
}

// UsesRegistry reports whether records name a schema. Such a shape must be registered
// before it makes records.
func (s *Shape) UsesRegistry() bool {
	_, ok := s.encoder.(*registered)
	return ok
}

// Register registers the shape's schema as that of a topic's values.
func (s *Shape) Register(ctx context.Context, client *http.Client, registry, topic string) error {
	if r, ok := s.encoder.(*registered); ok {
		return r.register(ctx, client, registry, topic+"-value")
	}
	return nil
}

// Record writes a record in this shape, and corrects its expected outcome.
func (s *Shape) Record(r *journey.Record) (kafka.Message, error) {
	m := kafka.Message{Key: r.Key}
	if s.format == "cloudevents" {
		m.Headers = []kafka.Header{{Key: "content-type", Value: []byte("application/cloudevents+json")}}
	}
	if len(r.Value) == 0 {
		return m, nil // a tombstone is one in every shape
	}
	f := s.last
	if r.Reason != event.ReasonMalformed {
		var err error
		if f, err = factsOf(r.Value); err != nil {
			return m, err
		}
	}
	value, err := s.encoder.encode(&f)
	if err != nil {
		return m, fmt.Errorf("shape %s: %w", s.Name, err)
	}
	m.Value = value
	switch {
	case r.Reason == event.ReasonMalformed:
		m.Value = s.encoder.broken(value)
		r.Reason = event.ReasonUndecodable
	case r.Reason == "":
		s.last = f
	default:
		s.expect(r)
	}
	return m, nil
}

// expect corrects the outcome of a record at fault.
func (s *Shape) expect(r *journey.Record) {
	outcome, other := s.faults[r.Reason]
	switch {
	case !other:
	case outcome == carried:
		r.Expect, r.Reason = "reported", ""
	case outcome == skipped:
		r.Expect, r.Reason = "skipped", ""
	default:
		r.Reason = outcome
	}
}

// Example describes a record with an event, for people.
func (s *Shape) Example(e *event.Event) (string, error) {
	f, err := factsOf(e.AppendRecord(nil))
	if err != nil {
		return "", err
	}
	value, err := s.encoder.encode(&f)
	if err != nil {
		return "", err
	}
	return s.encoder.describe(&f, value), nil
}
