package app_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"

	"github.com/clientevents/clientevents/emulator"
	"github.com/clientevents/clientevents/test/kafkatest"
)

// TestFaultsOfTheDestination: what is wrong with the destination as a whole makes
// no dead letters while it lasts. Reporting pauses, says why, and resumes by
// itself.
func TestFaultsOfTheDestination(t *testing.T) {
	refuse := func(status int) func(http.Handler) http.Handler {
		return func(http.Handler) http.Handler {
			return emulator.New(emulator.Options{Faults: emulator.Faults{All: emulator.Refuse(status, "")}})
		}
	}
	for name, test := range map[string]struct {
		broken func(http.Handler) http.Handler
		paused string
	}{
		"no permission":    {refuse(http.StatusForbidden), "forbidden"},
		"wrong parent":     {refuse(http.StatusNotFound), "rejections"},
		"version not kept": {moved("/v3/projects/demo/", "/v2/projects/demo/"), "rejections"},
		// A v4 API has no wrapper around the event.
		"wrong wrapper": {moved("/v3/projects/demo/", "/v4/projects/demo/tenants/default/"), "rejections"},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				c := kafkatest.Bubble(t)
				r := newRig(t, c, 1, emulator.Options{Faults: emulator.Faults{NoBatch: true}})
				var repaired atomic.Bool
				broken := test.broken(r.api)
				url := r.serve(t, http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
					if repaired.Load() {
						r.api.ServeHTTP(w, req)
						return
					}
					broken.ServeHTTP(w, req)
				}))
				r.config.API.Endpoint, r.config.Report.BatchSize, r.config.Report.Concurrency = url, 1, 4
				const n = 100
				var messages []kafka.Message
				for i := range n {
					messages = append(messages, kafka.Message{Key: []byte("r"), Value: fmt.Appendf(nil,
						`{"eventId":"%d","requestId":"r","createTime":"2026-01-02T03:04:05Z","jobEvent":{"type":"IMPRESSION","jobs":["projects/demo/jobs/1"]}}`, i)})
				}
				c.Produce(t, r.config.Kafka.Topic, messages...)
				p := r.run(t, nil)
				kafkatest.WaitFor(t, time.Minute, "a pause for "+test.paused, func() bool {
					return slices.Contains(p.Reporter().Status().Paused, test.paused)
				})
				if done := p.finished(); done != 0 {
					t.Errorf("%d records have an outcome while the destination is at fault", done)
				}
				repaired.Store(true)
				kafkatest.WaitFor(t, time.Minute, "all outcomes", func() bool { return p.finished() == n })
				reported, letters := r.api.Stats().Accepted, len(c.ReadAll(t, r.config.Kafka.DeadLetterTopic))
				// What was refused for good before the pause is known to be a fault of
				// the destination only then, and stays refused.
				most := 20 + r.config.Report.Concurrency
				if test.paused != "rejections" {
					most = 0
				}
				if int(reported)+letters != n || letters > most {
					t.Errorf("%d reported and %d dead letters, want %d together and at most %d dead letters", reported, letters, n, most)
				}
				if err := p.stop(); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

// moved sends requests to another path of the same API.
func moved(from, to string) func(http.Handler) http.Handler {
	return func(api http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			r.URL.Path = strings.Replace(r.URL.Path, from, to, 1)
			r.URL.RawPath = ""
			api.ServeHTTP(w, r)
		})
	}
}
