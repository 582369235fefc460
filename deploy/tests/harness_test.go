package tests

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/clientevents/clientevents/emulator"
	"github.com/clientevents/clientevents/event"
	"github.com/clientevents/clientevents/internal/app"
	"github.com/clientevents/clientevents/internal/config"
	"github.com/clientevents/clientevents/internal/connect"
	"github.com/clientevents/clientevents/internal/googleauth/tokenserver"
	"github.com/clientevents/clientevents/internal/journey"
	"github.com/clientevents/clientevents/internal/publish"
	"github.com/clientevents/clientevents/test/kafkatest"
	"github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"go.yaml.in/yaml/v4"
)

// plant is all that a replica needs: a broker with topics, the API, a token
// server, and traffic.
type plant struct {
	*kafkatest.Cluster
	api    *emulator.Emulator
	tokens *tokenserver.Server
	config *config.Config
	// address is where the last replica's admin server listens, and stop ends it.
	address string
	stop    func()
}

const partitions = 6

// newPlant makes tokens that live for so long.
func newPlant(t *testing.T, name string, lifetime time.Duration) *plant {
	t.Helper()
	p := &plant{
		Cluster: kafkatest.Embedded(t),
		api:     emulator.New(emulator.Options{Seed: 1}),
		tokens:  &tokenserver.Server{Lifetime: lifetime},
	}
	api, tokens := httptest.NewServer(p.api), httptest.NewServer(p.tokens)
	t.Cleanup(api.Close)
	t.Cleanup(tokens.Close)
	p.tokens.URL = tokens.URL
	topic := p.NewTopic(t, "events", partitions)
	var err error
	p.config, err = config.Load("", []string{
		"CLIENTEVENTS_KAFKA_BROKERS=" + strings.Join(p.Brokers, ","),
		"CLIENTEVENTS_KAFKA_TOPIC=" + topic,
		"CLIENTEVENTS_KAFKA_GROUP=" + name,
		"CLIENTEVENTS_API_ENDPOINT=" + api.URL,
		"CLIENTEVENTS_API_VERSION=v4",
		"CLIENTEVENTS_API_PARENT=projects/demo/tenants/demo",
		"CLIENTEVENTS_API_CREDENTIALS=" + p.tokens.KeyFile(t, filepath.Join(t.TempDir(), "key.json")),
		"CLIENTEVENTS_PARENTS_WAIT=2s",
		"CLIENTEVENTS_ADMIN_LISTEN=127.0.0.1:0",
	})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// run runs a replica until the test ends, and returns its admin server's
// host:port.
func (p *plant) run(t *testing.T) string {
	t.Helper()
	return p.runAt(t, "127.0.0.1:0")
}

// runAt is run with an address for the admin server.
func (p *plant) runAt(t *testing.T, address string) string {
	t.Helper()
	c := *p.config
	c.Admin.Listen = address
	ctx, cancel := context.WithCancel(t.Context())
	listens, ended := make(chan string, 1), make(chan error, 1)
	go func() {
		ended <- app.Run(ctx, app.Options{
			Config:   &c,
			Logger:   slog.New(slog.DiscardHandler),
			OnListen: func(a net.Addr) { listens <- a.String() },
		})
	}()
	select {
	case err := <-ended:
		cancel()
		t.Fatalf("it did not start: %v", err)
		return ""
	case p.address = <-listens:
		p.stop = sync.OnceFunc(func() {
			cancel()
			if err := <-ended; err != nil {
				t.Errorf("stop: %v", err)
			}
		})
		t.Cleanup(p.stop)
		return p.address
	}
}

// traffic publishes believable records, a few hundred a second, until the test
// ends.
func (p *plant) traffic(t *testing.T, perSecond int) {
	t.Helper()
	k, err := connect.NewKafka(p.config, connect.Options{})
	if err != nil {
		t.Fatal(err)
	}
	to := publish.New(k, p.config.Kafka.Topic)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTicker(100 * time.Millisecond)
		defer tick.Stop()
		n := 0
		for r := range journey.New(journey.Options{Seed: 1, Version: event.V4, Parent: "projects/demo/tenants/demo", Start: time.Now(), Gap: 10 * time.Millisecond}).Mixed(journey.DemoMix, 0) {
			_ = to.Add(ctx, kafka.Message{Key: r.Key, Value: r.Value}) // a broker that fails is part of the test
			if n++; n%max(1, perSecond/10) != 0 {
				continue
			}
			_ = to.Flush(ctx)
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
		}
	}()
	t.Cleanup(func() {
		cancel()
		<-done
		k.Close()
	})
}

// stranger is another program's member of the group.
func (p *plant) stranger(t *testing.T) *kgo.Client {
	t.Helper()
	cl, err := kgo.NewClient(kgo.SeedBrokers(p.Brokers...), kgo.ClientID("stranger"), kgo.ConsumerGroup(p.config.Kafka.Group),
		kgo.ConsumeTopics(p.NewTopic(t, "other", 1)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cl.Close)
	return cl
}

// garbage publishes records that are no events.
func (p *plant) garbage(t *testing.T, n int) {
	t.Helper()
	messages := make([]kafka.Message, n)
	for i := range messages {
		messages[i].Value = []byte("not an event")
	}
	p.ProduceByKey(t, p.config.Kafka.Topic, messages...)
}

// throttle answers fetches as a broker does whose quota the replica has used up.
func (p *plant) throttle() (repair func()) {
	var over atomic.Bool
	p.Fake.ControlKey(kmsg.Fetch.Int16(), func(req kmsg.Request) (kmsg.Response, error, bool) {
		if over.Load() {
			return nil, nil, false
		}
		p.Fake.KeepControl()
		answer := req.ResponseKind()
		answer.(kmsg.SetThrottleResponse).SetThrottle(1000)
		return answer, nil, true
	})
	return func() { over.Store(true) }
}

// prometheus is a real one.
type prometheus struct{ base string }

// target is a replica and the name of its job.
type target struct{ job, address string }

// startPrometheus runs Prometheus with some rules, looking each second.
func startPrometheus(t *testing.T, rules string, targets ...target) *prometheus {
	t.Helper()
	program := tool(t, "prometheus")
	dir := t.TempDir()
	var scrapes []map[string]any
	for _, to := range targets {
		scrapes = append(scrapes, map[string]any{
			"job_name":       to.job,
			"static_configs": []any{map[string]any{"targets": strings.Split(to.address, ","), "labels": map[string]string{"namespace": "jobs"}}},
		})
	}
	settings, err := yaml.Marshal(map[string]any{
		"global":         map[string]any{"scrape_interval": "1s", "evaluation_interval": "1s"},
		"rule_files":     []string{rules},
		"scrape_configs": scrapes,
	})
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "prometheus.yml")
	if err := os.WriteFile(file, settings, 0o600); err != nil {
		t.Fatal(err)
	}
	address := freeAddress(t)
	cmd := exec.CommandContext(t.Context(), program, "--config.file="+file, "--storage.tsdb.path="+filepath.Join(dir, "data"),
		"--web.listen-address="+address, "--log.level=warn")
	cmd.Stderr = t.Output()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait() // it says that it was killed
	})
	p := &prometheus{"http://" + address}
	kafkatest.WaitFor(t, 30*time.Second, "Prometheus to be ready", func() bool {
		resp, err := http.Get(p.base + "/-/ready")
		if err != nil {
			return false
		}
		_ = resp.Body.Close()
		return resp.StatusCode == http.StatusOK
	})
	return p
}

func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// get asks Prometheus's API.
func (p *prometheus) get(path string, query url.Values, into any) error {
	var answer struct {
		Status, Error string
		Data          json.RawMessage
	}
	if err := getJSON(p.base+path+"?"+query.Encode(), &answer); err != nil {
		return err
	}
	if answer.Status != "success" {
		return fmt.Errorf("%s: %s", answer.Status, answer.Error)
	}
	return json.Unmarshal(answer.Data, into)
}

func getJSON(address string, into any) error {
	resp, err := http.Get(address)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	return json.Unmarshal(data, into)
}

// line is an answer's line.
type line struct {
	Metric map[string]string
	Values []sample
}

// sample is a time in Unix seconds, and a number as a text.
type sample [2]any

// between asks for an expression's values over a time, each second.
func (p *prometheus) between(expr string, from, to time.Time) ([]line, error) {
	var answer struct{ Result []line }
	err := p.get("/api/v1/query_range", url.Values{
		"query": {expr}, "step": {"1"},
		"start": {fmt.Sprint(from.Unix())}, "end": {fmt.Sprint(to.Unix())},
	}, &answer)
	return answer.Result, err
}

// seen counts the replicas whose metrics are there.
func (p *prometheus) seen(t *testing.T) int {
	t.Helper()
	var answer struct{ Result []any }
	if err := p.get("/api/v1/query", url.Values{"query": {"clientevents_build_info"}}, &answer); err != nil {
		t.Fatal(err)
	}
	return len(answer.Result)
}

// alert is one that is pending or fires.
type alert struct {
	State       string
	Labels      map[string]string
	Annotations map[string]string
}

func (p *prometheus) alerts() ([]alert, error) {
	var answer struct{ Alerts []alert }
	err := p.get("/api/v1/alerts", nil, &answer)
	return answer.Alerts, err
}
