package app_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kfake"

	"github.com/clientevents/clientevents/emulator"
	"github.com/clientevents/clientevents/internal/app"
	"github.com/clientevents/clientevents/internal/check"
	"github.com/clientevents/clientevents/internal/connect"
	"github.com/clientevents/clientevents/internal/deadletter"
	"github.com/clientevents/clientevents/internal/googleauth/tokenserver"
	"github.com/clientevents/clientevents/internal/publish"
	"github.com/clientevents/clientevents/test/kafkatest"
	"github.com/clientevents/clientevents/test/pipenet"
)

// spellings are the forms in which a server may repeat a secret.
var spellings = map[string]func(secret string) string{
	"whole":      func(s string) string { return s },
	"cut":        func(s string) string { return s[:len(s)*2/3] },
	"lower case": strings.ToLower,
	"upper case": strings.ToUpper,
	"query":      url.QueryEscape,
	"percent": func(s string) string {
		return strings.ToUpper(strings.ReplaceAll(fmt.Sprintf("% x", " "+s), " ", "%"))[2:]
	},
	"base64":      func(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) },
	"base64 of 1": func(s string) string { return base64.StdEncoding.EncodeToString([]byte(":" + s + ":")) },
	"base64 of 2": func(s string) string { return base64.URLEncoding.EncodeToString([]byte("u:" + s)) },
	"JSON": func(s string) string {
		text, _ := json.Marshal(s)
		return string(text[1 : len(text)-1])
	},
}

// shortest is the length of the runs that no output may have in common with a
// spelling of a secret.
const shortest = 12

// runsOf returns all runs of the shortest length that the spellings of a secret have,
// in lower case. The ends of base64 also depend on the neighbours.
func runsOf(secret string) map[string]string {
	runs := map[string]string{}
	for name, spell := range spellings {
		form := strings.ToLower(spell(secret))
		if strings.HasPrefix(name, "base64") {
			form = form[4 : len(form)-6]
		}
		for i := range len(form) - shortest + 1 {
			runs[form[i:i+shortest]] = name
		}
	}
	return runs
}

// quoting is a world that repeats secrets in every answer.
type quoting struct {
	*rig
	tokens *tokenserver.Server
	api    *emulator.Emulator
	keyPEM string

	mu     sync.Mutex
	known  map[string]bool // access tokens
	token  string          // the latest
	spell  func(string) string
	status atomic.Int32 // of all requests; 0 for the emulator's own
	broken atomic.Bool  // whether no broker can be reached
}

// quote is a text of a server that has the secrets in the present spelling.
func (q *quoting) quote() string {
	q.mu.Lock()
	defer q.mu.Unlock()
	return "no " + q.spell(q.token) + " no " + q.spell(canaryPassword) + " no " + q.spell(q.keyPEM)
}

// answer is the API's fault for a request.
func (q *quoting) answer(r *emulator.Request) *emulator.Fault {
	if _, token, ok := strings.Cut(r.Header.Get("Authorization"), " "); ok {
		q.mu.Lock()
		q.token, q.known[token] = token, true
		q.mu.Unlock()
	}
	status := int(q.status.Load())
	switch {
	case status == http.StatusFound:
		return &emulator.Fault{Status: status, Header: http.Header{"Location": {"https://login.example.com/" + url.PathEscape(q.quote())}}, Body: []byte{}}
	case status != 0:
		return &emulator.Fault{Status: status, Body: []byte(q.quote())}
	case r.Path != "/batch" && strings.Contains(string(r.Body), "refuse-me"):
		return emulator.Refuse(http.StatusBadRequest, q.quote())
	}
	return nil
}

// dial reaches the brokers, unless they are broken; then the error quotes.
func (q *quoting) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	if q.broken.Load() {
		return nil, errors.New(q.quote())
	}
	return q.DialContext(ctx, network, addr)
}

func newQuoting(t *testing.T, collector http.Handler) *quoting {
	t.Helper()
	q := &quoting{known: map[string]bool{}, token: "token-canary-0-not-yet-any", spell: spellings["whole"]}
	c := kafkatest.Bubble(t, kfake.EnableSASL(), kfake.Superuser("PLAIN", "user", canaryPassword), kfake.SeedTopics(2, "events"))
	q.rig = &rig{Cluster: c, net: new(pipenet.Network)}
	q.client = &http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{DialContext: q.net.DialContext, DisableKeepAlives: true}}
	q.tokens = &tokenserver.Server{}
	q.tokens.URL = q.serve(t, q.tokens)
	q.api = emulator.New(emulator.Options{Faults: emulator.Faults{Hook: q.answer}})
	key := q.tokens.KeyFile(t, filepath.Join(t.TempDir(), "key.json"))
	q.configure(t, "KAFKA_TOPIC=events", "KAFKA_GROUP=group",
		"KAFKA_SASL_MECHANISM=plain", "KAFKA_SASL_USERNAME=user", "KAFKA_SASL_PASSWORD="+canaryPassword,
		"API_ENDPOINT="+q.serve(t, q.api), "API_VERSION=v3", "API_PARENT=projects/demo",
		"ADMIN_TOKEN_FILE="+adminToken(t), "API_CREDENTIALS="+key,
		"TRACING_ENDPOINT="+q.serve(t, collector), "TRACING_SAMPLE_RATIO=1")
	text, err := os.ReadFile(key)
	if err != nil {
		t.Fatal(err)
	}
	_, private, _ := strings.Cut(string(text), `PRIVATE KEY-----\n`)
	q.keyPEM = private[:40]
	return q
}

// TestNoSpellingOfASecretIsShown: whatever the API, the token server and the way to
// the brokers repeat of a secret, in whatever spelling, is in no output. A producer
// that knows a secret can't have it shown either.
func TestNoSpellingOfASecretIsShown(t *testing.T) {
	bubble(t, func(t *testing.T) {
		spans := &traces{t: t}
		q := newQuoting(t, spans)
		s := &shown{}
		var admin atomic.Value // the address, which the program tells from its own goroutine
		replica := q.run(t, func(o *app.Options) {
			o.Logger = slog.New(slog.NewTextHandler(s, &slog.HandlerOptions{Level: slog.LevelDebug}))
			o.OnListen = func(a net.Addr) { admin.Store(a.String()) }
			o.DialKafka = q.dial
		})
		look := func() {
			for _, path := range []string{"/metrics", "/status", "/", "/readyz"} {
				s.add(path, get(t, q.client, fmt.Sprint("http://", admin.Load(), path)))
			}
		}
		k, err := connect.NewKafka(q.config, connect.Options{Dial: q.DialContext})
		if err != nil {
			t.Fatal(err)
		}
		defer k.Close()
		publisher := publish.New(k, "events")
		published := uint64(0)
		say := func(format string, args ...any) {
			t.Helper()
			if err := errors.Join(publisher.Add(t.Context(), kafka.Message{Key: []byte("k"), Value: fmt.Appendf(nil, format, args...)}), publisher.Flush(t.Context())); err != nil {
				t.Fatal(err)
			}
			published++
		}
		event := func(id string) { say("%s", canaryEvent(id, "")) }
		finished := func() {
			t.Helper()
			kafkatest.WaitFor(t, time.Minute, "outcomes", func() bool { return replica.finished() == published })
			look()
		}
		checked := func() {
			check.Run(t.Context(), q.config, check.Options{DialKafka: q.dial, DialAPI: q.net.DialContext}, func(f check.Finding) { s.add("check", f.String()) })
		}
		event("first")
		finished()
		statuses := []int{400, 401, 403, 302, 500}
		for i, name := range slices.Sorted(maps.Keys(spellings)) {
			spell := spellings[name]
			q.mu.Lock()
			q.spell = spell
			q.mu.Unlock()
			// Of a producer that knows the secrets: the ID is in spans, the name in the detail.
			event(spell(canaryPassword))
			say(`{%q:1,"eventId":"x"}`, spell(canaryPassword))
			event("refuse-me-" + name)
			event("taken-" + name)
			finished()
			some := statuses[i%len(statuses):][:1] // a text takes the same way in every spelling
			if name == "whole" {
				some = statuses
			}
			for _, status := range some {
				before := q.api.Stats().Requests
				q.status.Store(int32(status))
				event(fmt.Sprint(name, status))
				kafkatest.WaitFor(t, time.Minute, "an answer", func() bool { return q.api.Stats().Requests > before })
				look()
				checked()
				q.status.Store(0)
				event(fmt.Sprint("after", name, status))
				finished()
			}
			q.tokens.Misbehave(func(w http.ResponseWriter, r *http.Request) {
				_, _ = io.Copy(io.Discard, r.Body)
				http.Error(w, q.quote(), http.StatusForbidden)
			})
			checked()
			q.tokens.Misbehave(nil)
			q.broken.Store(true)
			checked()
			q.broken.Store(false)
		}
		q.broken.Store(true) // what is open stays open, until a broker is gone
		if err := replica.stop(); err != nil {
			t.Error(err)
		}
		second := q.run(t, func(o *app.Options) {
			o.Logger = slog.New(slog.NewTextHandler(s, nil))
			o.OnListen = func(a net.Addr) { admin.Store(a.String()) }
			o.DialKafka = q.dial
		})
		time.Sleep(20 * time.Second)
		look()
		q.broken.Store(false)
		if err := second.stop(); err != nil {
			t.Error(err)
		}
		letters := 0
		err = deadletter.Read(t.Context(), k, q.config, deadletter.Filter{}, func(l deadletter.Letter) error {
			letters++
			for _, h := range l.Record.Headers {
				s.add("header of a dead letter", h.Key+"="+string(h.Value))
			}
			return nil
		})
		if err != nil || letters < 2*len(spellings) {
			t.Errorf("%d dead letters, %v", letters, err)
		}
		spans.mu.Lock()
		for _, span := range spans.spans {
			s.add("span", span.String())
		}
		if len(spans.spans) < len(spellings) {
			t.Errorf("%d spans", len(spans.spans))
		}
		spans.mu.Unlock()
		s.add("log", s.log.String())
		q.inspect(t, s)
	})
}

// inspect looks for runs of the secrets in all that was shown.
func (q *quoting) inspect(t *testing.T, s *shown) {
	t.Helper()
	runs := map[string]string{}
	secrets := []string{canaryPassword, q.keyPEM, canaryAdminToken}
	for token := range q.known {
		secrets = append(secrets, token)
	}
	for _, secret := range secrets {
		maps.Copy(runs, runsOf(secret))
	}
	reported := map[string]bool{}
	hidden := map[string]bool{}
	for _, part := range s.parts {
		where, _, _ := strings.Cut(part, ": ")
		hidden[where] = hidden[where] || strings.Contains(part, "(hidden)")
		text := strings.ToLower(part)
		for i := range len(text) - shortest + 1 {
			if name, ok := runs[text[i:i+shortest]]; ok && !reported[where+name] {
				reported[where+name] = true
				t.Errorf("%s shows %q of a secret (%s): …%s…", where, text[i:i+shortest], name, part[max(0, i-100):min(len(part), i+60)])
			}
		}
	}
	for _, where := range []string{"log", "/status", "check", "header of a dead letter", "span", "/readyz"} {
		if !hidden[where] {
			t.Errorf("%s: nothing was hidden: the test does not reach it", where)
		}
	}
}
