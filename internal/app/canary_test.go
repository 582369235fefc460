package app_test

import (
	"bytes"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
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

	"github.com/clientevents/clientevents/consumer"
	"github.com/clientevents/clientevents/emulator"
	"github.com/clientevents/clientevents/internal/app"
	"github.com/clientevents/clientevents/internal/check"
	"github.com/clientevents/clientevents/internal/connect"
	"github.com/clientevents/clientevents/internal/deadletter"
	"github.com/clientevents/clientevents/internal/googleauth"
	"github.com/clientevents/clientevents/internal/googleauth/tokenserver"
	"github.com/clientevents/clientevents/internal/publish"
	"github.com/clientevents/clientevents/test/kafkatest"
	"github.com/clientevents/clientevents/test/pipenet"
)

// Every secret and everything personal in this test has this word in it.
const canary = "canary"

const (
	canaryPassword   = "sasl-password-canary/+=Zz9_~\"\\Q7"
	canaryAdminToken = "admin-token-canary-0123456789"
)

// canaryEvent has its canaries where people's data is. What it is about is no
// secret: ids and jobs may be shown.
func canaryEvent(id, more string) []byte {
	return fmt.Appendf(nil, `{"eventId":%q,"requestId":"r","createTime":"2026-01-02T03:04:05Z",`+
		`"jobEvent":{"type":"IMPRESSION","jobs":["projects/demo/jobs/1"]},"extraInfo":{"user":"jane-canary@example.com","a\"b":"quoted \"canary\" \\ ü"}%s}`, id, more)
}

// shown is what the program says to anybody.
type shown struct {
	mu    sync.Mutex
	parts []string
	log   bytes.Buffer
}

func (s *shown) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.log.Write(p)
}

func (s *shown) logged(text string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return strings.Contains(s.log.String(), text)
}

func (s *shown) add(what, text string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.parts = append(s.parts, what+": "+text)
}

// echo is the answer of a server that repeats what it was sent, as some proxies'
// error pages do.
func echo(status int, r *emulator.Request) *emulator.Fault {
	text := fmt.Sprintf("did not understand %v %s %s", r.Header, r.Body, r.Path)
	return &emulator.Fault{Status: status, Body: []byte(text)}
}

// TestNoSecretIsShown runs the whole pipeline with secrets in every place that
// has any, through everything that goes wrong and is told about, and looks for
// them in all that it says, with all details switched on.
func TestNoSecretIsShown(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := kafkatest.Bubble(t, kfake.EnableSASL(), kfake.Superuser("PLAIN", "user", canaryPassword),
			kfake.SeedTopics(2, "events"))
		tokens := &tokenserver.Server{Lifetime: 2 * time.Second}
		r := &rig{Cluster: c, net: new(pipenet.Network)}
		r.client = &http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{DialContext: r.net.DialContext, DisableKeepAlives: true}}
		tokens.URL = r.serve(t, tokens)
		key := tokens.KeyFile(t, filepath.Join(t.TempDir(), "key.json"))
		var refusing atomic.Int32 // a status that all requests are answered with
		api := emulator.New(emulator.Options{Faults: emulator.Faults{Hook: func(r *emulator.Request) *emulator.Fault {
			whole := httptest.NewRequest(http.MethodPost, "/", nil)
			whole.Header = r.Header
			switch status := int(refusing.Load()); {
			case status != 0:
				return echo(status, r)
			case tokens.Check(whole, googleauth.JobsScope) != nil:
				return echo(http.StatusUnauthorized, r)
			case r.Path != "/batch" && bytes.Contains(r.Body, []byte("refuse-me")):
				return echo(http.StatusBadRequest, r)
			case r.Path != "/batch" && bytes.Contains(r.Body, []byte("google-refuses")):
				return emulator.Refuse(http.StatusBadRequest, `Invalid value at 'client_event.extra_info[0].value': "jane-canary@example.com"`)
			}
			return nil
		}}})
		r.configure(t, "KAFKA_TOPIC=events", "KAFKA_GROUP=group",
			"KAFKA_SASL_MECHANISM=plain", "KAFKA_SASL_USERNAME=user", "KAFKA_SASL_PASSWORD="+canaryPassword,
			"API_ENDPOINT="+r.serve(t, api), "API_VERSION=v3", "API_PARENT=projects/demo",
			"ADMIN_TOKEN_FILE="+adminToken(t), "API_CREDENTIALS="+key, "PARENTS_WAIT=100ms")
		cfg := r.config
		s := &shown{}
		s.add("configuration", fmt.Sprintf("%v %+v %#v", cfg, cfg, *cfg))
		var admin string
		replica := r.run(t, func(o *app.Options) {
			o.Logger = slog.New(slog.NewTextHandler(s, &slog.HandlerOptions{Level: slog.LevelDebug}))
			o.OnListen = func(a net.Addr) { admin = a.String() }
		})
		look := func() {
			for _, path := range []string{"/metrics", "/status", "/", "/readyz", "/livez"} {
				s.add(path, get(t, r.client, "http://"+admin+path))
			}
		}
		k, err := connect.NewKafka(cfg, connect.Options{Dial: c.DialContext})
		if err != nil {
			t.Fatal(err)
		}
		defer k.Close()
		publisher := publish.New(k, "events")
		published := uint64(0)
		publish := func(values ...[]byte) {
			t.Helper()
			for _, v := range values {
				if err := publisher.Add(t.Context(), kafka.Message{Key: []byte("k"), Value: v}); err != nil {
					t.Fatal(err)
				}
			}
			if err := publisher.Flush(t.Context()); err != nil {
				t.Fatal(err)
			}
			published += uint64(len(values))
		}
		finished := func(what string) {
			t.Helper()
			kafkatest.WaitFor(t, time.Minute, what, func() bool { return replica.finished() == published })
			look()
		}

		publish(canaryEvent("a", ""))
		finished("an event that is in order")
		publish(
			[]byte(`{"eventId":"canary`), []byte(`"canary"`), []byte("\xff canary"),
			canaryEvent("b", `,"jobEvent":{"type":"canary"}`), canaryEvent("c", `,"eventNotes":"canary"`),
			bytes.Replace(canaryEvent("d", ""), []byte(`"2026-01-02T03:04:05Z"`), []byte(`{"canary":1}`), 1),
			canaryEvent("e", `,"parentEventId":"nobody"`),
			bytes.ReplaceAll(canaryEvent("f", ""), []byte("jane-canary"), bytes.Repeat([]byte("canary"), 400)),
			bytes.Replace(canaryEvent("a", ""), []byte("jane"), []byte("john"), 1),
			canaryEvent("refuse-me", ""), canaryEvent("google-refuses", ""),
		)
		kafkatest.WaitFor(t, time.Minute, "two held events", func() bool { return replica.finished() == published-2 })
		publish(canaryEvent("evidence", ""))
		finished("events that are not in order")
		for _, status := range []int{400, 401, 403, 302} {
			refusing.Store(int32(status))
			for i := range 25 { // enough for a pause
				publish(canaryEvent(fmt.Sprint("refused-", status, "-", i), ""))
			}
			before := api.Stats().Requests
			kafkatest.WaitFor(t, time.Minute, "an answer", func() bool { return api.Stats().Requests > before })
			look()
			refusing.Store(0)
			finished(fmt.Sprint("an end of ", status))
		}
		tokens.RevokeAll()
		tokens.Misbehave(func(w http.ResponseWriter, r *http.Request) {
			body, _ := io.ReadAll(r.Body)
			http.Error(w, fmt.Sprintf("did not understand %s %v", body, r.Header), http.StatusInternalServerError)
		})
		publish(canaryEvent("z", ""))
		kafkatest.WaitFor(t, time.Minute, "a token that does not come", func() bool { return s.logged("could not get an access token") })
		look()
		tokens.Misbehave(nil)
		finished("the last event")

		check.Run(t.Context(), cfg, check.Options{DialKafka: c.DialContext, DialAPI: r.net.DialContext}, func(f check.Finding) { s.add("check", f.String()) })
		reasons := map[string]int{}
		err = deadletter.Read(t.Context(), k, cfg, deadletter.Filter{}, func(l deadletter.Letter) error {
			for _, h := range l.Record.Headers {
				s.add("header of a dead letter", h.Key+"="+string(h.Value))
			}
			reasons[l.Header(consumer.HeaderReason)]++
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		if err := replica.stop(); err != nil {
			t.Error(err)
		}
		if reasons["rejected"] < 2 || reasons["malformed"] < 3 || len(reasons) < 5 {
			t.Errorf("dead letters are %v, want all kinds", reasons)
		}
		text, err := os.ReadFile(key)
		if err != nil {
			t.Fatal(err)
		}
		_, private, _ := strings.Cut(string(text), `PRIVATE KEY-----\n`)
		s.parts = append(s.parts, "log: "+s.log.String())
		for _, part := range s.parts {
			for _, secret := range []string{canary, "eyJ", "PRIVATE KEY", private[:40]} {
				for line := range strings.Lines(part) {
					if i := strings.Index(line, secret); i >= 0 {
						where, _, _ := strings.Cut(part, ": ")
						t.Errorf("%s shows %q: …%s…", where, secret, line[max(0, i-200):min(len(line), i+60)])
					}
				}
			}
		}
		if !slices.ContainsFunc(s.parts, func(p string) bool { return strings.Contains(p, "could not get an access token") }) {
			t.Error("the log was not looked at")
		}
	})
}

// adminToken is a file with the token for admin actions.
func adminToken(t *testing.T) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(file, []byte(canaryAdminToken), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func get(t *testing.T, client *http.Client, url string) string {
	t.Helper()
	resp, err := client.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}
