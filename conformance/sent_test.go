package conformance

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/clientevents/clientevents/batcher"
	"github.com/clientevents/clientevents/emulator"
	"github.com/clientevents/clientevents/event"
	"github.com/clientevents/clientevents/internal/journey"
	"github.com/clientevents/clientevents/reporter"
)

// TestWhatIsSent sends events of every type in every version, one by one and in
// batches, and parses them by Google's definitions.
func TestWhatIsSent(t *testing.T) {
	for _, v := range event.Versions() {
		for _, size := range []int{1, 100} {
			t.Run(fmt.Sprintf("%v/batches of %d", v, size), func(t *testing.T) {
				events := eventsOf(t, v)
				sent := send(t, v, size, events)
				if len(sent) != len(events) {
					t.Fatalf("%d events were sent, want %d", len(sent), len(events))
				}
				for _, definition := range definitions(t, v) {
					for _, r := range sent {
						if r.method != http.MethodPost {
							t.Errorf("%s: method %s", definition.name, r.method)
						}
						if err := definition.path(r.path); err != nil {
							t.Errorf("%s: %v", definition.name, err)
						}
						if err := definition.body(r.body); err != nil {
							t.Errorf("%s: %v\n%s", definition.name, err, r.body)
						}
					}
				}
			})
		}
	}
}

// TestDefinitionsAreStrict checks that the definitions refuse invalid requests, so that
// TestWhatIsSent can fail.
func TestDefinitionsAreStrict(t *testing.T) {
	wrap := func(v event.Version, e string) string {
		if v == event.V4 {
			return e
		}
		return `{"clientEvent":` + e + `}`
	}
	const good = `{"eventId":"e","requestId":"r","createTime":"2026-01-02T03:04:05Z","jobEvent":{"type":"VIEW","jobs":["j"]}}`
	faults := map[string]func(string) string{
		"unknown field":     replacing(`"eventId"`, `"eventID"`),
		"unknown type":      replacing(`VIEW`, `LOOKED`),
		"type is a list":    replacing(`"VIEW"`, `["VIEW"]`),
		"no event id":       replacing(`"eventId":"e",`, ``),
		"no create time":    replacing(`"createTime":"2026-01-02T03:04:05Z",`, ``),
		"not a time":        replacing(`2026-01-02T03:04:05Z`, `yesterday`),
		"too exact a time":  replacing(`05Z`, `05.1234567890Z`),
		"no type":           replacing(`"type":"VIEW",`, ``),
		"trailing data":     func(s string) string { return s + `{}` },
		"an event too much": func(s string) string { return `{"clientEvent":` + s + `}` },
	}
	for _, v := range event.Versions() {
		for _, d := range definitions(t, v) {
			if err := d.body([]byte(wrap(v, good))); err != nil {
				t.Errorf("%s: %v", d.name, err)
			}
			for name, spoil := range faults {
				if d.body([]byte(wrap(v, spoil(good)))) == nil {
					t.Errorf("%s: %s is not refused", d.name, name)
				}
			}
			if d.path("/"+v.String()+"/projects/p/jobs") == nil {
				t.Errorf("%s: a wrong path is not refused", d.name)
			}
		}
	}
}

func replacing(old, with string) func(string) string {
	return func(s string) string { return strings.Replace(s, old, with, 1) }
}

func parentOf(v event.Version) string {
	if v == event.V3 {
		return "projects/p"
	}
	return "projects/p/tenants/t"
}

// eventsOf are, of each type, the smallest event and one with everything that
// the version knows; and a job board's traffic.
func eventsOf(t *testing.T, v event.Version) []*event.Event {
	t.Helper()
	var events []*event.Event
	for _, kind := range v.Types() {
		record := func(rest string) string {
			return fmt.Sprintf(`{"eventId":"%d-%v","requestId":"8d2b:AP/OoC+5AA==","createTime":"2026-01-02T03:04:05.678901234+05:30",`+
				`"jobEvent":{"type":%q,"jobs":["%s/jobs/1","%[4]s/jobs/2"]}%s}`, len(events), kind, kind, parentOf(v), rest)
		}
		more := `,"parentEventId":"p\"\\\u0001","extraInfo":{"a&b":"<ü\n>","":""}`
		if v != event.V3 {
			more += `,"eventNotes":"called back \ud83d\ude00"`
		}
		for _, rest := range []string{"", more} {
			e, fault := event.Decode([]byte(record(rest)), v)
			if fault != nil {
				t.Fatalf("%s: %v", record(rest), fault)
			}
			events = append(events, e)
		}
	}
	const traffic = 500
	for e := range journey.New(journey.Options{Version: v, Parent: parentOf(v), Start: time.Unix(1.8e9, 0)}).Events() {
		if events = append(events, e); len(events) >= traffic {
			break
		}
	}
	return events
}

// request is one call of the API: an HTTP request, or a part of a batch.
type request struct {
	method, path string
	body         []byte
}

// send reports the events to an emulator, and returns what was on the wire.
func send(t *testing.T, v event.Version, batchSize int, events []*event.Event) []request {
	t.Helper()
	api := emulator.New(emulator.Options{})
	var mu sync.Mutex
	var sent []request
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		calls, err := callsIn(r, body)
		if err != nil {
			t.Error(err)
		}
		mu.Lock()
		sent = append(sent, calls...)
		mu.Unlock()
		r.Body = io.NopCloser(bytes.NewReader(body))
		api.ServeHTTP(w, r)
	}))
	defer server.Close()
	report(t, server.URL, v, batchSize, events)
	if stats := api.Stats(); int(stats.Accepted) != len(events) || stats.Duplicates != 0 {
		t.Errorf("the emulator has %+v, want %d events accepted", stats, len(events))
	}
	return sent
}

// report sends the events and waits until all are accepted.
func report(t *testing.T, endpoint string, v event.Version, batchSize int, events []*event.Event) {
	t.Helper()
	queue := batcher.New(batcher.Config{Size: batchSize, Bytes: 4 << 20, Linger: time.Millisecond, Concurrency: 4})
	r, err := reporter.New(reporter.Config{Endpoint: endpoint, Version: v, Parent: parentOf(v), Concurrency: 4, UserAgent: "conformance/1"}, queue)
	if err != nil {
		t.Fatal(err)
	}
	var left sync.WaitGroup
	var deliveries []*event.Delivery
	for _, e := range events {
		left.Add(1)
		d := &event.Delivery{Event: e}
		d.OnDone(func(d *event.Delivery, o event.Outcome) (keep bool) {
			if o.Kind != event.Accepted {
				t.Errorf("%s: %+v", d.ID, o)
			}
			left.Done()
			return false
		})
		deliveries = append(deliveries, d)
	}
	ctx, stop := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { r.Run(ctx) })
	queue.Accept(deliveries)
	left.Wait()
	stop()
	running.Wait()
}

// callsIn takes a batch apart, with the standard library's readers and not with
// the project's.
func callsIn(r *http.Request, body []byte) ([]request, error) {
	kind, params, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil {
		return nil, err
	}
	if r.URL.Path != "/batch" {
		if kind != "application/json" {
			return nil, fmt.Errorf("content type %q", kind)
		}
		return []request{{r.Method, r.URL.EscapedPath(), body}}, nil
	}
	if kind != "multipart/mixed" {
		return nil, fmt.Errorf("content type %q", kind)
	}
	var calls []request
	parts := multipart.NewReader(bytes.NewReader(body), params["boundary"])
	for {
		part, err := parts.NextRawPart()
		if errors.Is(err, io.EOF) {
			return calls, nil
		}
		if err != nil {
			return nil, err
		}
		call, err := callIn(part)
		if err != nil {
			return nil, err
		}
		calls = append(calls, call)
	}
}

func callIn(part *multipart.Part) (request, error) {
	if kind := part.Header.Get("Content-Type"); kind != "application/http" {
		return request{}, fmt.Errorf("a part's content type is %q", kind)
	}
	if id := part.Header.Get("Content-ID"); !strings.HasPrefix(id, "<") || !strings.HasSuffix(id, ">") {
		return request{}, fmt.Errorf("a part's Content-ID is %q", id)
	}
	inner, err := http.ReadRequest(bufio.NewReader(part))
	if err != nil {
		return request{}, err
	}
	if inner.URL.IsAbs() {
		return request{}, fmt.Errorf("a part's request has an absolute URL: %s", inner.URL)
	}
	body, err := io.ReadAll(inner.Body)
	return request{inner.Method, inner.URL.EscapedPath(), body}, err
}
