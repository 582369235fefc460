package simulation

import (
	"context"
	"encoding/binary"
	"io"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/clientevents/clientevents/consumer"
	"github.com/clientevents/clientevents/event"
	"github.com/clientevents/clientevents/input"
	"github.com/clientevents/clientevents/internal/journey"
)

const (
	registryAddress = "127.0.0.1:8082"
)

// registryDecoder decodes records by schemas of a registry.
type registryDecoder struct{ *input.Decoder }

func (d registryDecoder) Decode(ctx context.Context, in *consumer.Input, dst []*event.Event) ([]*event.Event, *event.Fault, error) {
	return d.Decoder.Decode(ctx, (*input.Record)(in), dst)
}

// TestRegistryAway: for up to an hour the schema registry can't be reached, fails, hangs, or
// rejects the login, while records come whose schemas nobody has seen and replicas come
// and go. Nothing is lost, given up or repeated: the records wait.
func TestRegistryAway(t *testing.T) {
	t.Parallel()
	answer := func(status int) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) }
	}
	for i, c := range []struct {
		name       string
		misbehaves http.HandlerFunc
	}{
		{"refuses connections", nil},
		{"hangs", func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }},
		{"fails", answer(http.StatusInternalServerError)},
		{"is restarted", answer(http.StatusServiceUnavailable)},
		{"rejects the login", answer(http.StatusUnauthorized)},
		{"refuses the right", answer(http.StatusForbidden)},
	} {
		t.Run(c.name, func(t *testing.T) {
			seldom(t, c.name != "hangs" && c.name != "rejects the login") // no answer, and one
			outage := time.Hour
			if !*all {
				outage = 20 * time.Minute // longer than any backoff
			}
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, *first+1+uint64(i), journey.Mix{Duplicates: 0.02})
				w.withoutRegistry(outage, c.misbehaves)
			})
		})
	}
}

// registry answers each request for a schema with one that allows everything.
func registry(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/vnd.schemaregistry.v1+json")
	_, _ = io.WriteString(w, `{"schemaType":"JSON","schema":"{}"}`)
}

func (w *world) withoutRegistry(outage time.Duration, misbehaves http.HandlerFunc) {
	for i := range w.records {
		// Each twelfth of the records, a portion, has a schema of its own.
		id := binary.BigEndian.AppendUint32([]byte{0}, uint32(1+12*i/len(w.records)))
		w.records[i].Value = append(id, w.records[i].Value...)
	}
	w.decoder = func(r *replica) consumer.Decoder {
		d, err := input.New(input.Config{
			Version: event.V3, Format: input.FormatJSONSchema, Registry: input.Registry{URL: "http://" + registryAddress},
			Dial: r.dial(apiNetwork, w.network.DialContext),
		})
		if err != nil {
			w.t.Fatal(err)
		}
		return registryDecoder{d}
	}
	var server *http.Server
	serve := func(h http.HandlerFunc) {
		l, err := w.network.Listen("tcp", registryAddress)
		if err != nil {
			w.t.Fatal(err)
		}
		server = &http.Server{Handler: h}
		go func(on *http.Server) { _ = on.Serve(l) }(server)
	}
	serve(registry)
	defer func() { server.Close() }()
	w.start()
	w.start()
	var accepted int64
	portion := 0
	w.publish(func() {
		switch portion++; portion {
		case 3:
			time.Sleep(10 * time.Second)
			accepted = w.api.Stats().Accepted
			server.Close()
			if misbehaves != nil {
				serve(misbehaves)
			}
		case 5, 7:
			w.change()
		case 9:
			time.Sleep(outage)
			if n := w.api.Stats().Accepted; n != accepted {
				w.t.Errorf("%d events were accepted though their schemas were not known", n-accepted)
			}
			if misbehaves != nil {
				server.Close()
			}
			serve(registry)
			up := time.Now()
			for w.api.Stats().Accepted == accepted && time.Since(up) < time.Hour {
				time.Sleep(100 * time.Millisecond)
			}
			if took := time.Since(up); took > 30*time.Second {
				w.t.Errorf("it took %v to resume", took)
			}
		}
	})
	w.settle()
	w.judge(0)
}
