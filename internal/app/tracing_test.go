package app_test

import (
	"bytes"
	"compress/gzip"
	"encoding/hex"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"
	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	otlp "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"github.com/clientevents/clientevents/emulator"
	"github.com/clientevents/clientevents/internal/app"
	"github.com/clientevents/clientevents/test/kafkatest"
)

// traces is an OpenTelemetry collector.
type traces struct {
	t     *testing.T
	mu    sync.Mutex
	spans []*otlp.Span
}

func (c *traces) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body := io.Reader(r.Body)
	if r.Header.Get("Content-Encoding") == "gzip" {
		zipped, err := gzip.NewReader(r.Body)
		if err != nil {
			c.t.Error(err)
			return
		}
		body = zipped
	}
	data, err := io.ReadAll(body)
	var request collector.ExportTraceServiceRequest
	if err == nil {
		err = proto.Unmarshal(data, &request)
	}
	if err != nil || r.URL.Path != "/v1/traces" {
		c.t.Errorf("%s: %v", r.URL, err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, of := range request.GetResourceSpans() {
		for _, scope := range of.GetScopeSpans() {
			c.spans = append(c.spans, scope.GetSpans()...)
		}
	}
	w.Header().Set("Content-Type", "application/x-protobuf")
}

// in is what is in a trace, by the spans' names.
func (c *traces) in(trace string) map[string][]*otlp.Span {
	c.mu.Lock()
	defer c.mu.Unlock()
	found := map[string][]*otlp.Span{}
	for _, s := range c.spans {
		if hex.EncodeToString(s.GetTraceId()) == trace {
			found[s.GetName()] = append(found[s.GetName()], s)
		}
	}
	return found
}

func attributeOf(s *otlp.Span, name string) string {
	for _, a := range s.GetAttributes() {
		if a.GetKey() == name {
			return a.GetValue().GetStringValue()
		}
	}
	return ""
}

// TestTraces: an event's span is a child of the one that its record names, and
// has its outcome; the request's is a child of the event's; the histograms have
// the trace as an example. What nobody wanted traced is not.
func TestTraces(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := kafkatest.Bubble(t)
		r := newRig(t, c, 1, emulator.Options{})
		spans := &traces{t: t}
		r.config.Tracing.Endpoint, r.config.Tracing.SampleRatio = r.serve(t, spans), 0

		const producer = "00f067aa0ba902b7"
		traceOf := func(i int) string { return fmt.Sprintf("4bf92f3577b34da6a3ce929d0e0e473%x", i) }
		record := func(i int, id, sampled string) kafka.Message {
			value := fmt.Sprintf(`{"eventId":%q,"requestId":"r","createTime":"2026-01-02T03:04:05Z","jobEvent":{"type":"IMPRESSION","jobs":["projects/demo/jobs/1"]}}`, id)
			return kafka.Message{Key: []byte("r"), Value: []byte(value), Headers: []kafka.Header{
				{Key: "traceparent", Value: []byte("00-" + traceOf(i) + "-" + producer + "-" + sampled)},
			}}
		}
		c.Produce(t, r.config.Kafka.Topic, record(1, "a", "01"), record(2, "a", "01"), record(3, "", "01"), record(4, "b", "00"),
			kafka.Message{Key: []byte("r"), Value: record(5, "c", "").Value})

		listening := make(chan net.Addr, 1)
		running := r.run(t, func(o *app.Options) { o.OnListen = func(a net.Addr) { listening <- a } })
		kafkatest.WaitFor(t, 30*time.Second, "five outcomes", func() bool { return running.finished() == 5 })
		metrics := openMetrics(t, r.client, (<-listening).String())
		if err := running.stop(); err != nil { // the last spans are sent before it has ended
			t.Fatal(err)
		}

		for i, want := range []string{1: "reported", 2: "duplicate", 3: "dead_letter"} {
			if want == "" {
				continue
			}
			got := spans.in(traceOf(i))["report event"]
			if len(got) != 1 || hex.EncodeToString(got[0].GetParentSpanId()) != producer || attributeOf(got[0], "clientevents.outcome") != want {
				t.Errorf("trace %d: %v, want a child of the producer's with the outcome %s", i, got, want)
			}
		}
		if got := attributeOf(spans.in(traceOf(3))["report event"][0], "clientevents.reason"); got != "missing_event_id" {
			t.Errorf("the dead letter's reason is %q", got)
		}
		event, request := spans.in(traceOf(1))["report event"][0], spans.in(traceOf(1))["create client events"]
		if len(request) != 1 || !bytes.Equal(request[0].GetParentSpanId(), event.GetSpanId()) {
			t.Errorf("the request's span is %v, want a child of %v", request, event)
		}
		if got := spans.in(traceOf(4)); len(got) != 0 {
			t.Errorf("an event that its producer does not want traced has %v", got)
		}
		spans.mu.Lock()
		if len(spans.spans) != 4 {
			t.Errorf("%d spans, want 4", len(spans.spans))
		}
		spans.mu.Unlock()
		for _, name := range []string{"clientevents_end_to_end_seconds_bucket", "clientevents_api_request_duration_seconds_bucket"} {
			if !hasExemplar(metrics, name, traceOf(1)) {
				t.Errorf("%s has no example of the trace", name)
			}
		}
	})
}

func openMetrics(t *testing.T, client *http.Client, addr string) string {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+addr+"/metrics", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Accept", "application/openmetrics-text;version=1.0.0")
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func hasExemplar(metrics, name, trace string) bool {
	for line := range strings.Lines(metrics) {
		if strings.HasPrefix(line, name) && strings.Contains(line, `trace_id="`+trace+`"`) {
			return true
		}
	}
	return false
}
