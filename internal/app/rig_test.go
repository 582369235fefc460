package app_test

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/clientevents/clientevents/emulator"
	"github.com/clientevents/clientevents/internal/app"
	"github.com/clientevents/clientevents/internal/config"
	"github.com/clientevents/clientevents/internal/pipeline"
	"github.com/clientevents/clientevents/test/kafkatest"
	"github.com/clientevents/clientevents/test/pipenet"
)

// bubble runs test on a fake clock. Everything in it connects in memory.
func bubble(t *testing.T, test func(t *testing.T)) {
	t.Helper()
	if testing.Short() && os.Getenv("KAFKA_BROKERS") != "" {
		t.Skip("not run with -short and KAFKA_BROKERS: it needs no real broker")
	}
	t.Parallel()
	synctest.Test(t, test)
}

// each runs test in a bubble with an embedded broker, and against a real one.
func each(t *testing.T, test func(t *testing.T, c *kafkatest.Cluster)) {
	t.Helper()
	kafkatest.Parallel(t)
	t.Run("embedded", func(t *testing.T) {
		bubble(t, func(t *testing.T) { test(t, kafkatest.Bubble(t)) })
	})
	t.Run("kafka", func(t *testing.T) { test(t, kafkatest.Real(t)) })
}

// rig is a broker with topics, an emulator, and the configuration that connects
// them.
type rig struct {
	*kafkatest.Cluster
	api    *emulator.Emulator
	config *config.Config
	client *http.Client
	net    *pipenet.Network // in a bubble; else nil
}

func newRig(t *testing.T, c *kafkatest.Cluster, partitions int, o emulator.Options) *rig {
	t.Helper()
	o.KeepAll = true
	r := &rig{Cluster: c, api: emulator.New(o), client: &http.Client{}}
	if c.InMemory {
		r.net = new(pipenet.Network)
		r.client.Transport = &http.Transport{DialContext: r.net.DialContext, DisableKeepAlives: true}
	}
	topic := c.NewTopic(t, "events", partitions)
	r.configure(t,
		"KAFKA_TOPIC="+topic, "KAFKA_GROUP="+topic, "API_ENDPOINT="+r.serve(t, r.api),
		"API_VERSION=v3", "API_PARENT=projects/demo", "API_CREDENTIALS=none", "PARENTS_WAIT=5s")
	c.DeleteAfter(t, r.config.Kafka.DeadLetterTopic, r.config.Kafka.StateTopic)
	return r
}

// configure reads the configuration from environment variables, whose prefix it
// adds.
func (r *rig) configure(t *testing.T, environ ...string) {
	t.Helper()
	environ = append(environ, "KAFKA_BROKERS="+strings.Join(r.Brokers, ","), "ADMIN_LISTEN=127.0.0.1:0")
	for i := range environ {
		environ[i] = "CLIENTEVENTS_" + environ[i]
	}
	var err error
	if r.config, err = config.Load("", environ); err != nil {
		t.Fatal(err)
	}
}

// ports numbers what listens in memory.
var ports atomic.Int32

// serve serves h until the test ends, and returns its URL.
func (r *rig) serve(t *testing.T, h http.Handler) string {
	t.Helper()
	if r.net == nil {
		server := httptest.NewServer(h)
		t.Cleanup(server.Close)
		return server.URL
	}
	addr := fmt.Sprint("127.0.0.1:", ports.Add(1))
	r.net.Serve(t, addr, h)
	return "http://" + addr
}

// options are those of a run over the rig's network.
func (r *rig) options(t *testing.T) app.Options {
	o := app.Options{
		Config: r.config,
		Logger: slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelWarn})),
	}
	if r.net != nil {
		o.DialKafka, o.DialAPI = r.DialContext, r.net.DialContext
		o.Listen = func(context.Context, string, string) (net.Listener, error) {
			return r.net.Listen(fmt.Sprint("127.0.0.1:", ports.Add(1))), nil
		}
	}
	return o
}

// replica is a program that runs.
type replica struct {
	*pipeline.Pipeline
	stop func() error // as SIGTERM does
}

// run starts a replica and waits for its pipeline.
func (r *rig) run(t *testing.T, change func(*app.Options)) *replica {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	started, ended := make(chan *pipeline.Pipeline, 1), make(chan error, 1)
	o := r.options(t)
	o.OnPipeline = func(p *pipeline.Pipeline) { started <- p }
	if change != nil {
		change(&o)
	}
	go func() { ended <- app.Run(ctx, o) }()
	stopped := false
	stop := func() error {
		if stopped {
			return nil
		}
		stopped = true
		cancel()
		return <-ended
	}
	t.Cleanup(func() { _ = stop() })
	select {
	case p := <-started:
		return &replica{p, stop}
	case err := <-ended:
		stopped = true
		t.Fatalf("the pipeline did not start: %v", err)
		return nil
	}
}

// finished counts the records with an outcome.
func (r *replica) finished() (n uint64) {
	outcomes, _ := r.Consumer().Counts()
	for _, count := range outcomes {
		n += count
	}
	return n
}
