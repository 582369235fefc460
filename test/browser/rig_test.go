package browsertest

import (
	"cmp"
	"context"
	"log/slog"
	"net"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/clientevents/clientevents/emulator"
	"github.com/clientevents/clientevents/event"
	"github.com/clientevents/clientevents/internal/app"
	"github.com/clientevents/clientevents/internal/config"
	"github.com/clientevents/clientevents/internal/journey"
	"github.com/clientevents/clientevents/test/kafkatest"
	"github.com/segmentio/kafka-go"
)

func sortBy[T any, K cmp.Ordered](s []T, key func(T) K) {
	slices.SortFunc(s, func(a, b T) int { return cmp.Compare(key(a), key(b)) })
}

const token = "a token of many characters"

// rig is a whole pipeline: broker, replica and emulator.
type rig struct {
	*kafkatest.Cluster
	api    *emulator.Emulator
	apiURL string
	topic  string
	status string // the status page's address
	stop   func()
}

func newRig(t *testing.T, partitions int) *rig {
	t.Helper()
	r := &rig{Cluster: kafkatest.Embedded(t), api: emulator.New(emulator.Options{Faults: emulator.Faults{Latency: 5 * time.Millisecond}})}
	server := httptest.NewServer(r.api)
	t.Cleanup(server.Close)
	r.apiURL = server.URL
	r.topic = r.NewTopic(t, "events", partitions)
	tokenFile := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(tokenFile, []byte(token), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg, err := config.Load("", []string{
		"CLIENTEVENTS_KAFKA_BROKERS=" + strings.Join(r.Brokers, ","),
		"CLIENTEVENTS_KAFKA_TOPIC=" + r.topic,
		"CLIENTEVENTS_KAFKA_GROUP=clientevents",
		"CLIENTEVENTS_API_ENDPOINT=" + server.URL,
		"CLIENTEVENTS_API_VERSION=v4",
		"CLIENTEVENTS_API_PARENT=projects/demo/tenants/demo",
		"CLIENTEVENTS_API_CREDENTIALS=none",
		"CLIENTEVENTS_PARENTS_WAIT=2s",
		"CLIENTEVENTS_ADMIN_LISTEN=127.0.0.1:0",
		"CLIENTEVENTS_ADMIN_TOKEN_FILE=" + tokenFile,
	})
	if err != nil {
		t.Fatal(err)
	}
	r.run(t, cfg)
	return r
}

func (r *rig) run(t *testing.T, cfg *config.Config) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	listens, ended := make(chan string, 1), make(chan error, 1)
	go func() {
		ended <- app.Run(ctx, app.Options{
			Config:   cfg,
			Level:    new(slog.LevelVar),
			Logger:   slog.New(slog.DiscardHandler),
			OnListen: func(a net.Addr) { listens <- "http://" + a.String() },
		})
	}()
	stopped := false
	r.stop = func() {
		if !stopped {
			stopped = true
			cancel()
			if err := <-ended; err != nil {
				t.Errorf("stop: %v", err)
			}
		}
	}
	t.Cleanup(r.stop)
	select {
	case r.status = <-listens:
	case err := <-ended:
		stopped = true
		t.Fatalf("the pipeline did not start: %v", err)
	}
}

// traffic publishes believable events until the test ends or stop is called.
func (r *rig) traffic(t *testing.T) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	stop = func() {
		cancel()
		<-done
	}
	t.Cleanup(stop)
	go func() {
		defer close(done)
		g := journey.New(journey.Options{Seed: 5, Version: event.V4, Parent: "projects/demo/tenants/demo", Start: time.Now(), Gap: 20 * time.Millisecond})
		mix := journey.DemoMix
		mix.Tombstones = true
		tick := time.NewTicker(100 * time.Millisecond)
		defer tick.Stop()
		var batch []kafka.Message
		for rec := range g.Mixed(mix, 0) {
			batch = append(batch, kafka.Message{Key: rec.Key, Value: rec.Value})
			if len(batch) < 40 {
				continue
			}
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
				r.ProduceByKey(t, r.topic, batch...)
				batch = batch[:0]
			}
		}
	}()
	return stop
}
