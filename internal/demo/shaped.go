package demo

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/sr/srfake"

	"github.com/clientevents/clientevents/event"
	"github.com/clientevents/clientevents/internal/journey"
	"github.com/clientevents/clientevents/internal/shape"
)

// shaped publishes the traffic in a shape other than that of events. A nil shaped
// publishes events.
type shaped struct {
	shape   *shape.Shape
	example string // a record, for people
	// url and server are those of the schema registry, if the shape uses one.
	url    string
	server *http.Server
}

// openShaped returns the shape of a name, nil for "". It starts a schema registry if the
// shape uses one.
func openShaped(ctx context.Context, name string) (*shaped, error) {
	if name == "" {
		return nil, nil
	}
	s := &shaped{}
	var err error
	if s.shape, err = shape.New(name); err != nil {
		return nil, err
	}
	if s.shape.UsesRegistry() {
		if err := s.serveRegistry(ctx); err != nil {
			return nil, fmt.Errorf("start the schema registry: %w", err)
		}
	}
	if s.example, err = s.makeExample(); err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

// serveRegistry starts franz-go's registry, which keeps schemas in memory.
func (s *shaped) serveRegistry(ctx context.Context) error {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	s.url = "http://" + l.Addr().String()
	s.server = &http.Server{Handler: srfake.NewRegistry().Handler(), ReadHeaderTimeout: searchTimeout}
	go func() { _ = s.server.Serve(l) }()
	if err := s.shape.Register(ctx, &http.Client{Timeout: searchTimeout}, s.url, topic); err != nil {
		s.close()
		return err
	}
	return nil
}

func (s *shaped) close() {
	if s != nil && s.server != nil {
		s.server.Close()
	}
}

// makeExample describes the view of a made-up journey.
func (s *shaped) makeExample() (string, error) {
	g := journey.New(journey.Options{Version: event.V4, Parent: parent, Start: time.Now()})
	for e := range g.Events() {
		if e.Type == event.View {
			return s.shape.Example(e)
		}
	}
	return "", nil
}

// section is the input section of the demo's configuration.
func (s *shaped) section() string {
	if s == nil {
		return ""
	}
	return s.shape.Section(parent, s.url)
}

// record returns a record in the form in which it is published.
func (s *shaped) record(r *journey.Record) (kafka.Message, error) {
	if s == nil {
		return kafka.Message{Key: r.Key, Value: r.Value}, nil
	}
	return s.shape.Record(r)
}

// introduction shows a record, its mapping and commands for the configuration.
func (s *shaped) introduction(config string) string {
	if s == nil {
		return fmt.Sprintf("  clientevents generate --events 100 | clientevents publish --config %s\n", config)
	}
	text := fmt.Sprintf("  clientevents rehearse --last 100000 --config %s\n\nThe records have the shape %q. A view, for example:\n\n%s\n\n", config, s.shape.Name, s.example)
	text += fmt.Sprintf("%s maps it to an event of the API (input.mapping):\n\n%s", s.shape.File(), s.shape.Mapping(parent))
	if s.url != "" {
		text += fmt.Sprintf("\nSchema registry %s\n", s.url)
	}
	return text
}
