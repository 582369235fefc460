package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"

	"github.com/clientevents/clientevents/consumer"
	"github.com/clientevents/clientevents/emulator"
	"github.com/clientevents/clientevents/internal/shape"
	"github.com/clientevents/clientevents/test/kafkatest"
)

// station is a broker, an emulator and a configuration file that leads from the
// one to the other.
type station struct {
	*kafkatest.Cluster
	topic, file, admin string
	api                *emulator.Emulator
}

func newStation(t *testing.T, c *kafkatest.Cluster, more string) *station {
	t.Helper()
	api := emulator.New(emulator.Options{KeepAll: true})
	server := httptest.NewServer(api)
	t.Cleanup(server.Close)
	topic := c.NewTopic(t, "cli", 3)
	c.DeleteAfter(t, topic+".dead-letter", topic+".reported")
	s := &station{Cluster: c, topic: topic, file: filepath.Join(t.TempDir(), "clientevents.yaml"), admin: freeAddress(t), api: api}
	text := fmt.Sprintf("kafka: {brokers: [%s], topic: %s, group: %s}\napi: {endpoint: %q, version: v3, parent: projects/p, credentials: none}\n"+
		"parents: {wait: 500ms}\nadmin: {listen: %q}\n%s", strings.Join(c.Brokers, ","), topic, topic, server.URL, s.admin, more)
	if err := os.WriteFile(s.file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return s
}

// freeAddress is a port that nobody listens at, for a program to do so: none that was
// given away before, and none that the system gives to connections and to port 0.
func freeAddress(t *testing.T) string {
	t.Helper()
	for range 1000 {
		address := fmt.Sprintf("127.0.0.1:%d", 20_000+rand.IntN(12_000))
		l, err := net.Listen("tcp", address)
		if err != nil {
			continue
		}
		l.Close()
		if _, given := givenAddresses.LoadOrStore(address, true); !given {
			return address
		}
	}
	t.Fatal("of a thousand ports none is free")
	return ""
}

var givenAddresses sync.Map

// command runs a command to its end.
func command(t *testing.T, in string, args ...string) (code int, out, errs string) {
	t.Helper()
	var stdout, stderr bytes.Buffer
	code = Main(t.Context(), args, Streams{In: strings.NewReader(in), Out: &stdout, Err: &stderr})
	return code, stdout.String(), stderr.String()
}

// background runs a command until stop.
func background(t *testing.T, args ...string) (stop func() int) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context())) // it ends in a cleanup
	ended := make(chan int, 1)
	go func() { ended <- Main(ctx, args, Streams{In: strings.NewReader(""), Out: t.Output(), Err: t.Output()}) }()
	code, stopped := 0, false
	stop = func() int {
		if !stopped {
			stopped = true
			cancel()
			code = <-ended
		}
		return code
	}
	t.Cleanup(func() { stop() })
	return stop
}

func (s *station) get(t *testing.T, path string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+s.admin+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	client := &http.Client{Timeout: 5 * time.Second}
	resp, err := client.Do(req)
	if err != nil {
		return 0, err.Error()
	}
	defer resp.Body.Close()
	body, _ := io.ReadAll(resp.Body)
	return resp.StatusCode, string(body)
}

const goodEvent = `{"eventId":"%s","requestId":"r-%s","createTime":"2026-01-02T03:04:05Z","jobEvent":{"type":"IMPRESSION","jobs":["projects/p/jobs/1"]}}`

// TestByHand does by hand, command by command, what the demo does in one.
func TestByHand(t *testing.T) {
	t.Parallel()
	kafkatest.Each(t, func(t *testing.T, c *kafkatest.Cluster) {
		s := newStation(t, c, "")
		code, out, _ := command(t, "", "check", "--config", s.file)
		if code != exitDone || strings.Contains(out, "FAIL") {
			t.Fatalf("check: exit code %d\n%s", code, out)
		}
		events := fmt.Sprintf(goodEvent, "a", "a") + "\n" + fmt.Sprintf(goodEvent, "b", "b") + "\nnonsense\n"
		code, out, errs := command(t, events, "publish", "--config", s.file)
		if code != exitFailed || !strings.HasPrefix(out, "<stdin>:3: malformed: ") || !strings.Contains(errs, "2 published to ") {
			t.Fatalf("publish: exit code %d\n%s%s", code, out, errs)
		}
		orphan := strings.Replace(fmt.Sprintf(goodEvent, "c", "a"), `"requestId"`, `"parentEventId":"a","requestId"`, 1)
		s.Produce(t, s.topic, kafka.Message{Partition: 1, Key: []byte("k"), Value: []byte(orphan), Headers: []kafka.Header{
			{Key: "mine", Value: []byte("kept")},
			{Key: "dlq-http-status", Value: []byte("999")},
			{Key: consumer.OriginalPrefix + "x", Value: []byte("y")},
			{Key: "clientevents-replays", Value: []byte("99999999999999999999999")},
		}})

		stop := background(t, "run", "--config", s.file)
		kafkatest.WaitFor(t, time.Minute, "lag 0", func() bool { return s.Lag(t, s.topic, s.topic) == 0 && s.api.Stats().Accepted >= 2 })
		kafkatest.WaitFor(t, time.Minute, "the empty partitions to be read, too", func() bool { code, _ := s.get(t, "/readyz"); return code == http.StatusOK })
		s.checkAdmin(t)
		letters := s.ReadAll(t, s.topic+".dead-letter")
		if len(letters) != 1 || string(letters[0].Value) != orphan {
			t.Fatalf("%d dead letters: want the orphan", len(letters))
		}
		reason := "" // parent_mismatch, or parent_not_found where the two are in different partitions
		for _, h := range letters[0].Headers {
			switch h.Key {
			case consumer.HeaderReason:
				reason = string(h.Value)
			case consumer.HeaderHTTPStatus:
				t.Errorf("the producer's own %s stands for ours", h.Key)
			}
		}
		code, out, _ = command(t, "", "dead-letters", "list", "--config", s.file, "--reason", reason)
		if code != exitDone || strings.Count(out, "\n") != 1 || !strings.Contains(out, reason+"\t") || !strings.Contains(out, "\tk\tc\t") {
			t.Errorf("list: exit code %d\n%s", code, out)
		}
		if _, out, _ = command(t, "", "dead-letters", "list", "--config", s.file, "--reason", "rejected"); out != "" {
			t.Errorf("list of another reason: %s", out)
		}
		before := s.EndOffsets(t, s.topic)
		if _, out, _ = command(t, "", "dead-letters", "replay", "--config", s.file, "--dry-run"); !strings.HasPrefix(out, "1 records would be replayed") {
			t.Errorf("replay --dry-run: %s", out)
		}
		if after := s.EndOffsets(t, s.topic); fmt.Sprint(before) != fmt.Sprint(after) {
			t.Errorf("--dry-run published something: %v, %v", before, after)
		}
		if code, out, _ = command(t, "", "dead-letters", "replay", "--config", s.file); code != exitDone || !strings.HasPrefix(out, "1 records replayed") {
			t.Errorf("replay: exit code %d\n%s", code, out)
		}
		s.checkReplayed(t, orphan)
		if code := stop(); code != exitDone {
			t.Errorf("run: exit code %d", code)
		}
		if _, out, _ = command(t, "", "dead-letters", "replay", "--config", s.file, "--dry-run"); !strings.Contains(out, "1 dead letters were replayed already") {
			t.Errorf("replay of what was replayed: %s", out)
		}
		if _, out, _ = command(t, "", "dead-letters", "replay", "--config", s.file, "--dry-run", "--again"); !strings.HasPrefix(out, "1 records would be replayed") {
			t.Errorf("replay --again: %s", out)
		}
		if _, out, _ = command(t, "", "dead-letters", "list", "--config", s.file, "--newest", "--limit", "1", "--values", "--json"); !strings.Contains(out, `"event_id":"c"`) || !strings.Contains(out, `"value":"{`) || strings.Count(out, "\n") != 1 {
			t.Errorf("list --newest --values --json: %s", out)
		}
	})
}

// checkReplayed wants the record again as it was, with the count of replays.
func (s *station) checkReplayed(t *testing.T, value string) {
	t.Helper()
	var last kafka.Message
	for _, m := range s.ReadAll(t, s.topic) {
		if string(m.Value) == value {
			last = m
		}
	}
	got := map[string]string{}
	for _, h := range last.Headers {
		got[h.Key] = string(h.Value)
	}
	if string(last.Key) != "k" || len(got) != 4 || got["mine"] != "kept" || got["dlq-http-status"] != "999" || got[consumer.OriginalPrefix+"x"] != "y" || got["clientevents-replays"] != "1" {
		t.Errorf("replayed with key %q and headers %v", last.Key, got)
	}
}

// checkAdmin wants every fixed metric, and truthful health.
func (s *station) checkAdmin(t *testing.T) {
	t.Helper()
	for _, path := range []string{"/livez", "/readyz", "/status", "/"} {
		if status, body := s.get(t, path); status != http.StatusOK {
			t.Errorf("%s: %d %s", path, status, body)
		}
	}
	_, metrics := s.get(t, "/metrics")
	for _, want := range []string{
		`clientevents_records_total{outcome="reported"}`, `clientevents_records_total{outcome="duplicate"}`,
		`clientevents_records_total{outcome="dead_letter"}`, `clientevents_records_total{outcome="skipped"}`,
		`clientevents_dead_letters_total{reason="rejected"}`, `clientevents_dead_letters_total{reason="malformed"}`,
		`clientevents_api_requests_total{code="200"}`, `clientevents_api_request_duration_seconds_bucket`,
		`clientevents_end_to_end_seconds_bucket`, `clientevents_consumer_lag{partition="0"}`, `clientevents_in_flight`,
		`clientevents_retries_total{reason=`, `clientevents_throttled_seconds_total`, `clientevents_paused{reason="rejections"} 0`,
		`clientevents_oldest_unfinished_timestamp_seconds`, `clientevents_dedupe_entries`,
	} {
		if !strings.Contains(metrics, want) {
			t.Errorf("/metrics has no %s", want)
		}
	}
}

// TestNotReady wants health to tell why, while the topic is not there yet, and
// a prompt end nevertheless.
func TestNotReady(t *testing.T) {
	t.Parallel()
	s := newStation(t, kafkatest.Embedded(t), "")
	text, err := os.ReadFile(s.file)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(s.file, bytes.ReplaceAll(text, []byte("topic: "+s.topic), []byte("topic: absent")), 0o600); err != nil {
		t.Fatal(err)
	}
	stop := background(t, "run", "--config", s.file)
	kafkatest.WaitFor(t, 20*time.Second, "the admin server", func() bool {
		status, body := s.get(t, "/readyz")
		return status == http.StatusServiceUnavailable &&
			strings.Contains(body, "not a member of the consumer group: topic absent does not exist: create it with 'clientevents topics create' or correct kafka.topic")
	})
	if _, body := s.get(t, "/status"); !strings.Contains(body, `"said": "topic absent does not exist: create it with 'clientevents topics create' or correct kafka.topic"`) ||
		!strings.Contains(body, `"partitions": []`) {
		t.Errorf("/status: %s", body)
	}
	if status, _ := s.get(t, "/livez"); status != http.StatusOK {
		t.Errorf("/livez: %d: a missing topic is no reason to be restarted", status)
	}
	if code := stop(); code != exitDone {
		t.Errorf("run: exit code %d", code)
	}
	code, out, _ := command(t, "", "check", "--config", s.file)
	if code != exitFailed || !strings.Contains(out, "FAIL  topic absent: ") {
		t.Errorf("check: exit code %d\n%s", code, out)
	}
}

// TestBrokersThatCannotBeUsed wants the commands to say what is wrong with the
// brokers, or the topic, and what to do about it.
func TestBrokersThatCannotBeUsed(t *testing.T) {
	t.Parallel()
	s := newStation(t, kafkatest.Embedded(t), "")
	nobody, rude := freeAddress(t), hangsUp(t)
	for _, test := range []struct{ variable, want, publish, letters string }{
		{"KAFKA_BROKERS=" + nobody, "broker " + nobody + ": connection refused: no server listens there: check that the server runs and that kafka.brokers is correct", "", ""},
		{"KAFKA_BROKERS=" + rude, "broker " + rude + ": it closes the connection: it may require TLS or not be a Kafka broker: if it is a TLS port, set kafka.tls.enabled to true", "", ""},
		{"KAFKA_TOPIC=absent", "", "publish to topic absent: it does not exist: create it with 'clientevents topics create' or correct kafka.topic", "topic absent.dead-letter does not exist: 'run' creates it when it starts; is kafka.dead_letter_topic right?"},
	} {
		environ := []string{"CLIENTEVENTS_" + test.variable}
		for _, args := range [][]string{{"publish"}, {"dead-letters", "list"}} {
			want := test.want
			if want == "" {
				want = map[string]string{"publish": test.publish, "dead-letters": test.letters}[args[0]]
			}
			var stdout, stderr bytes.Buffer
			code := Main(t.Context(), append(args, "--config", s.file),
				Streams{In: strings.NewReader(fmt.Sprintf(goodEvent, "a", "a")), Out: &stdout, Err: &stderr, Environ: environ})
			if errs := stderr.String(); code != exitFailed || !strings.Contains(errs, want) || strings.Count(errs, "\n") != 1 {
				t.Errorf("%s, %s: exit code %d, %s\nwant %s", test.variable, args[0], code, errs, want)
			}
		}
	}
	// An input that can't be read is no matter of the topic's.
	code, _, errs := command(t, "", "publish", "--config", s.file, "no-such-file.ndjson")
	if want := "clientevents: stat no-such-file.ndjson: no such file or directory (0 published before)\n"; code != exitFailed || errs != want {
		t.Errorf("no input: exit code %d, %s", code, errs)
	}
}

// TestPublishOfAnotherVersion wants a hint where it is not the events' fault.
func TestPublishOfAnotherVersion(t *testing.T) {
	s := newStation(t, kafkatest.Embedded(t), "")
	var stderr bytes.Buffer
	code := Main(t.Context(), []string{"publish", "--config", s.file}, Streams{
		In: strings.NewReader(fmt.Sprintf(goodEvent, "a", "a")), Out: io.Discard, Err: &stderr,
		Environ: []string{"CLIENTEVENTS_API_VERSION=v4", "CLIENTEVENTS_API_PARENT=projects/p/tenants/t"},
	})
	want := "0 published to " + s.topic + ", 1 invalid\n1 of them would be valid in v3 or v4beta1: is api.version (v4) correct?\n"
	if code != exitFailed || stderr.String() != want {
		t.Errorf("exit code %d, %s\nwant %s", code, stderr.String(), want)
	}
}

// TestPublishThroughMapping publishes records in a team's own format: valid ones
// unchanged, keyed by the request ID of their event.
func TestPublishThroughMapping(t *testing.T) {
	t.Parallel()
	s := newStation(t, kafkatest.Embedded(t), `input:
  mapping: |
    select(.what == "open") |
    {eventId: .id, requestId: .search, createTime: "2026-01-02T03:04:05Z", jobEvent: {type: "VIEW", jobs: ["projects/p/jobs/1"]}}
`)
	const record = `{"what": "open", "id": "a", "search": "s-1"}`
	lines := record + "\n" + `{"what": "close"}` + "\n" + `{"what": "open", "id": "b"}` + "\n"
	code, out, errs := command(t, lines, "publish", "--config", s.file)
	if code != exitFailed || !strings.HasPrefix(out, "<stdin>:3: missing_request_id: ") || strings.Count(out, "\n") != 1 {
		t.Errorf("exit code %d, %s", code, out)
	}
	if want := "1 published to " + s.topic + ", 1 invalid\n1 not published: the mapping returns no event for them\n"; errs != want {
		t.Errorf("got %s\nwant %s", errs, want)
	}
	records := s.ReadAll(t, s.topic)
	if len(records) != 1 || string(records[0].Key) != "s-1" || string(records[0].Value) != record {
		t.Errorf("published: %v", records)
	}
	if err := os.WriteFile(s.file, []byte(strings.ReplaceAll(readFile(t, s.file), "input:\n", "input:\n  format: avro\n  registry: {url: http://127.0.0.1:1}\n")), 0o600); err != nil {
		t.Fatal(err)
	}
	if code, _, errs := command(t, lines, "publish", "--config", s.file); code != exitFailed || !strings.Contains(errs, "input.format: avro: publish writes json and cloudevents only") {
		t.Errorf("avro: exit code %d, %s", code, errs)
	}
}

func readFile(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// hangsUp is the address of something that ends each connection at once.
func hangsUp(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			conn.Close()
		}
	}()
	return l.Addr().String()
}

// TestRunRefuses checks that an error which waiting does not fix ends the program with a clear line.
func TestRunRefuses(t *testing.T) {
	t.Parallel()
	c := kafkatest.Embedded(t)
	s := newStation(t, c, "")
	c.CreateTopic(t, s.topic+".reported", 5, map[string]string{"cleanup.policy": "delete"})
	code, _, errs := command(t, "", "run", "--config", s.file)
	if code != exitFailed || !strings.Contains(errs, "its cleanup.policy is") {
		t.Errorf("an unfit state topic: exit code %d\n%s", code, errs)
	}
	var stderr bytes.Buffer
	code = Main(t.Context(), []string{"run", "--config", s.file}, Streams{Out: io.Discard, Err: &stderr, Environ: []string{"CLIENTEVENTS_API_CREDENTIALS=" + s.file}})
	if errs := stderr.String(); code != exitUsage || !strings.HasPrefix(errs, "api.credentials: ") || !strings.Contains(errs, "is not a credentials file") {
		t.Errorf("credentials that are none: exit code %d\n%s", code, errs)
	}
	code, _, errs = command(t, "", "run", "--config", "no-such-file.yaml")
	if code != exitUsage || !strings.Contains(errs, "no-such-file.yaml") {
		t.Errorf("no configuration: exit code %d\n%s", code, errs)
	}
}

// TestDemo wants the demo to end by itself and to add up.
func TestDemo(t *testing.T) {
	t.Parallel()
	code, out, errs := command(t, "", "demo", "--events", "2000", "--rate", "2000")
	if code != exitDone || !strings.Contains(out, "published         2000") || !strings.Contains(out, "The counts add up") {
		t.Errorf("exit code %d\n%s\n%s", code, out, errs)
	}
}

// TestDemoShapes wants the demo to add up with records of each shape.
func TestDemoShapes(t *testing.T) {
	t.Parallel()
	for _, name := range shape.Names() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			code, out, errs := command(t, "", "demo", "--events", "200", "--rate", "2000", "--shape", name)
			if code != exitDone || !strings.Contains(out, "published          200") || !strings.Contains(out, "The counts add up") {
				t.Errorf("exit code %d\n%s\n%s", code, out, errs)
			}
			if file := "docs/mapping/" + name + "/clientevents.yaml maps it"; !strings.Contains(out, file) || !strings.Contains(out, "/jobs/") {
				t.Errorf("the introduction has no %q\n%s", file, out)
			}
		})
	}
	code, _, errs := command(t, "", "demo", "--shape", "round")
	if code != exitUsage || !strings.Contains(errs, "flat, nested, segment, cloudevents, avro, protobuf") {
		t.Errorf("an unknown shape: exit code %d\n%s", code, errs)
	}
}

// TestDemoCutShort wants a demo that is told to stop amid its traffic to add up
// all the same.
func TestDemoCutShort(t *testing.T) {
	t.Parallel()
	address := freeAddress(t)
	_, port, _ := strings.Cut(address, ":")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var out bytes.Buffer
	ended := make(chan int, 1)
	go func() {
		ended <- Main(ctx, []string{"demo", "--rate", "2000", "--kafka-port", port}, Streams{In: strings.NewReader(""), Out: &out, Err: t.Output()})
	}()
	// Before the API throttles, however slow the machine is.
	kafkatest.WaitFor(t, 30*time.Second, "some traffic", func() bool { return published(ctx, address) > 300 })
	cancel()
	if code := <-ended; code != exitDone || !strings.Contains(out.String(), "The counts add up") {
		t.Errorf("exit code %d\n%s", code, out.String())
	}
}

// published counts the records of the demo's topic.
func published(ctx context.Context, broker string) (sum int64) {
	ask := map[string][]kafka.OffsetRequest{}
	for p := range 6 {
		ask["client-events"] = append(ask["client-events"], kafka.LastOffsetOf(p))
	}
	transport := &kafka.Transport{}
	defer transport.CloseIdleConnections()
	client := &kafka.Client{Addr: kafka.TCP(broker), Transport: transport}
	answer, err := client.ListOffsets(ctx, &kafka.ListOffsetsRequest{Topics: ask})
	if err != nil {
		return 0
	}
	for _, p := range answer.Topics["client-events"] {
		sum += p.LastOffset
	}
	return sum
}

// TestCheckOfWhatIsNotKafka wants an answer about a port where nobody speaks.
func TestCheckOfWhatIsNotKafka(t *testing.T) {
	t.Parallel()
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	s := newStation(t, kafkatest.Embedded(t), "")
	s.through(t, []string{silent.Addr().String()}, "start: earliest")
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	var out bytes.Buffer
	code := Main(ctx, []string{"check", "--config", s.file}, Streams{In: strings.NewReader(""), Out: &out, Err: t.Output()})
	if code != exitFailed || !strings.Contains(out.String(), "FAIL  broker "+silent.Addr().String()) {
		t.Errorf("exit code %d\n%s", code, out.String())
	}
}
