// Package prediction tests that rehearse predicts, event by event, what run does with
// topics of other teams' shapes.
package prediction

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/sr/srfake"

	"github.com/clientevents/clientevents/emulator"
	"github.com/clientevents/clientevents/event"
	"github.com/clientevents/clientevents/internal/app"
	"github.com/clientevents/clientevents/internal/config"
	"github.com/clientevents/clientevents/internal/connect"
	"github.com/clientevents/clientevents/internal/journey"
	"github.com/clientevents/clientevents/internal/pipeline"
	"github.com/clientevents/clientevents/internal/rehearse"
	"github.com/clientevents/clientevents/internal/shape"
	"github.com/clientevents/clientevents/test/kafkatest"
	"github.com/clientevents/clientevents/test/pipenet"
)

const (
	parent     = "projects/demo/tenants/demo"
	partitions = 6
	// limit is how long a run may take. In a bubble it passes at once.
	limit = 10 * time.Minute
)

// Check publishes records of a shape, rehearses, runs, and compares: events that were
// reported, dead letters with their reasons and details, and outcomes. registry is the
// schema registry's address; "" starts one, for shapes that use it.
func Check(t *testing.T, c *kafkatest.Cluster, name, registry string, records int) {
	t.Helper()
	r := newRig(t, c, name, registry)
	want := r.publish(t, records)
	predicted := r.rehearse(t, records)
	if n := len(r.api.Events()); n != 0 {
		t.Errorf("the API received %d events of the rehearsal", n)
	}
	done := r.run(t, records)
	for pair, tallies := range map[string][2]tally{
		"the journeys and the run":      {want, done.tally},
		"the rehearsal and the run":     {predicted.tally, done.tally},
		"the journeys and a prediction": {want, predicted.tally},
	} {
		if !maps.Equal(tallies[0], tallies[1]) {
			t.Errorf("%s differ: %v, %v", pair, tallies[0], tallies[1])
		}
	}
	compare(t, "event", predicted.events, done.events)
	compare(t, "dead letter", predicted.letters, done.letters)
}

// tally counts records by outcome, and dead letters by "dead_letter REASON".
type tally map[string]int64

// results are what became, or would become, of the records.
type results struct {
	tally tally
	// events are those that were reported, by ID, and letters the reasons and details by
	// the records' positions.
	events, letters map[string]string
}

func (r *results) count(outcomes, letters map[string]int64) {
	r.tally = tally(maps.Clone(outcomes))
	for reason, n := range letters {
		r.tally["dead_letter "+reason] = n
	}
	maps.DeleteFunc(r.tally, func(_ string, n int64) bool { return n == 0 })
}

// compare reports the first differences of two results.
func compare(t *testing.T, kind string, predicted, done map[string]string) {
	t.Helper()
	shown := 0
	for _, id := range slices.Sorted(maps.Keys(union(predicted, done))) {
		if predicted[id] != done[id] && shown < 5 {
			shown++
			t.Errorf("%s %s:\nrehearse %s\nrun      %s", kind, id, predicted[id], done[id])
		}
	}
	if len(done) == 0 {
		t.Errorf("no %s to compare", kind)
	}
}

func union(a, b map[string]string) map[string]string {
	all := maps.Clone(a)
	maps.Copy(all, b)
	return all
}

// rig is a broker, an API, a registry and the configuration that connects them.
type rig struct {
	*kafkatest.Cluster
	api    *emulator.Emulator
	net    *pipenet.Network // in a bubble; else nil
	shape  *shape.Shape
	config *config.Config
}

func newRig(t *testing.T, c *kafkatest.Cluster, name, registry string) *rig {
	t.Helper()
	r := &rig{Cluster: c, api: emulator.New(emulator.Options{KeepAll: true})}
	client := &http.Client{}
	if c.InMemory {
		r.net = new(pipenet.Network)
		client.Transport = &http.Transport{DialContext: r.net.DialContext, DisableKeepAlives: true}
	}
	var err error
	if r.shape, err = shape.New(name); err != nil {
		t.Fatal(err)
	}
	topic := c.NewTopic(t, "records", partitions)
	if r.shape.UsesRegistry() {
		if registry == "" {
			registry = r.serve(t, "127.0.0.1:2", srfake.NewRegistry().Handler())
		}
		if err := r.shape.Register(t.Context(), client, registry, topic); err != nil {
			t.Fatal(err)
		}
	}
	text := fmt.Sprintf("kafka: {brokers: [%q], topic: %s, group: %s}\n", strings.Join(c.Brokers, `", "`), topic, topic) +
		fmt.Sprintf("api: {endpoint: %q, version: v4, parent: %s, credentials: none}\n", r.serve(t, "127.0.0.1:1", r.api), parent) +
		"parents: {wait: 5s}\nadmin: {listen: \"127.0.0.1:0\"}\n" + r.shape.Section(parent, registry)
	path := filepath.Join(t.TempDir(), "clientevents.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if r.config, err = config.Load(path, nil); err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	c.DeleteAfter(t, r.config.Kafka.DeadLetterTopic, r.config.Kafka.StateTopic)
	return r
}

// serve serves h until the test ends, at address if in a bubble, and returns its URL.
func (r *rig) serve(t *testing.T, address string, h http.Handler) string {
	t.Helper()
	if r.net != nil {
		r.net.Serve(t, address, h)
		return "http://" + address
	}
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	return server.URL
}

// publish publishes records and returns what should become of them.
func (r *rig) publish(t *testing.T, n int) tally {
	t.Helper()
	// Each kind of fault occurs, whatever the number of records.
	mix := journey.Mix{Duplicates: 0.02, Faults: 0.03, Late: 0.005, Tombstones: true}
	g := journey.New(journey.Options{Seed: 14, Version: event.V4, Parent: parent, Start: time.Now()})
	want, batch := tally{}, []kafka.Message{}
	for record := range g.Mixed(mix, n) {
		m, err := r.shape.Record(&record)
		if err != nil {
			t.Fatal(err)
		}
		want[record.Expect]++
		if record.Reason != "" {
			want["dead_letter "+string(record.Reason)]++
		}
		if batch = append(batch, m); len(batch) == 5000 {
			r.ProduceByKey(t, r.config.Kafka.Topic, batch...)
			batch = batch[:0]
		}
	}
	if len(batch) > 0 {
		r.ProduceByKey(t, r.config.Kafka.Topic, batch...)
	}
	return want
}

// rehearse returns what rehearse predicts.
func (r *rig) rehearse(t *testing.T, n int) *results {
	t.Helper()
	o, dial := connect.Options{}, connect.DialFunc(nil)
	if r.net != nil {
		o.Dial, dial = r.DialContext, r.net.DialContext
	}
	k, err := connect.NewKafka(r.config, o)
	if err != nil {
		t.Fatal(err)
	}
	defer k.Close()
	found := &results{events: map[string]string{}, letters: map[string]string{}}
	report, err := rehearse.Run(t.Context(), k, r.config, rehearse.Options{
		Last: int64(n), Samples: n, Dial: dial,
		Reported: func(e *event.Event) {
			if found.events[e.ID] != "" {
				t.Errorf("the rehearsal reports %s twice", e.ID)
			}
			found.events[e.ID] = line(e.RequestID, e.Type.String(), e.Time, e.Jobs)
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	found.count(report.Outcomes, report.DeadLetters)
	for reason, examples := range report.Examples {
		for _, x := range examples {
			found.letters[fmt.Sprintf("%d/%d", x.Partition, x.Offset)] = reason + ": " + x.Detail
		}
	}
	return found
}

// line describes an event as the API receives it.
func line(request, kind string, at time.Time, jobs []string) string {
	return fmt.Sprint(request, " ", kind, " ", at.UTC().Format(time.RFC3339Nano), " ", jobs)
}

// run runs the program until all records have an outcome, and returns what it did.
func (r *rig) run(t *testing.T, n int) *results {
	t.Helper()
	o := app.Options{
		Config: r.config,
		Logger: slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelWarn})),
	}
	if r.net != nil {
		o.DialKafka, o.DialAPI = r.DialContext, r.net.DialContext
		o.Listen = func(context.Context, string, string) (net.Listener, error) { return r.net.Listen("127.0.0.1:3"), nil }
	}
	started, ended := make(chan *pipeline.Pipeline, 1), make(chan error, 1)
	o.OnPipeline = func(p *pipeline.Pipeline) { started <- p }
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	go func() { ended <- app.Run(ctx, o) }()
	var p *pipeline.Pipeline
	select {
	case p = <-started:
	case err := <-ended:
		t.Fatalf("the pipeline did not start: %v", err)
	}
	kafkatest.WaitFor(t, limit, "every record to have its outcome", func() bool {
		outcomes, _ := counts(p)
		return outcomes["reported"]+outcomes["duplicate"]+outcomes["dead_letter"]+outcomes["skipped"] >= int64(n)
	})
	cancel()
	if err := <-ended; err != nil {
		t.Errorf("stop: %v", err)
	}
	found := &results{events: map[string]string{}, letters: map[string]string{}}
	found.count(counts(p))
	for _, a := range r.api.Events() {
		if a.Duplicate {
			t.Errorf("%s was reported twice", a.Event.EventID)
		}
		found.events[a.Event.EventID] = line(a.Event.RequestID, a.Event.Type, a.Event.CreateTime, a.Event.Jobs)
	}
	for _, m := range r.ReadAll(t, r.config.Kafka.DeadLetterTopic) {
		h := map[string]string{}
		for _, header := range m.Headers {
			h[header.Key] = string(header.Value)
		}
		found.letters[h["dlq-partition"]+"/"+h["dlq-offset"]] = h["dlq-reason"] + ": " + h["dlq-detail"]
	}
	return found
}

func counts(p *pipeline.Pipeline) (outcomes, letters map[string]int64) {
	signed := func(of map[string]uint64) map[string]int64 {
		all := map[string]int64{}
		for name, n := range of {
			all[name] = int64(n)
		}
		return all
	}
	o, l := p.Consumer().Counts()
	return signed(o), signed(l)
}
