package emulator

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/clientevents/clientevents/emulator/internal/protojson"
)

// inspectPath is where the emulator's own pages are.
const inspectPath = "/emulator/"

// inspector serves what was accepted. Faults do not apply to it.
func (e *Emulator) inspector() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+inspectPath+"events", e.listEvents)
	mux.HandleFunc("DELETE "+inspectPath+"events", func(w http.ResponseWriter, _ *http.Request) {
		e.Reset()
		if err := e.catalog.Sync(); err != nil {
			send(w, errorf(http.StatusServiceUnavailable, "%v", err).reply(false))
			return
		}
		writeJSON(w, struct{}{})
	})
	mux.HandleFunc("GET "+inspectPath+"jobs", func(w http.ResponseWriter, _ *http.Request) {
		writeJSON(w, map[string][]Job{"jobs": e.Jobs()})
	})
	mux.HandleFunc("GET "+inspectPath+"companies", func(w http.ResponseWriter, _ *http.Request) {
		writeJSON(w, map[string][]Company{"companies": e.Companies()})
	})
	mux.HandleFunc("GET "+inspectPath+"stats", func(w http.ResponseWriter, _ *http.Request) {
		writeJSON(w, e.Stats())
	})
	servePage(mux)
	return mux
}

// maxWait is how long a listing waits for new events at most.
const maxWait = time.Minute

// listEvents answers {"events": [...], "latest": N}: the newest first; with
// after=N those with a larger number, the oldest first. With wait=30s it waits
// as long for there to be one.
func (e *Emulator) listEvents(w http.ResponseWriter, r *http.Request) {
	query := r.URL.Query()
	limit, err := countParam(query, "limit", -1)
	after, err2 := countParam(query, "after", -1)
	wait, err3 := waitParam(query)
	if err := errors.Join(err, err2, err3); err != nil {
		send(w, errorf(http.StatusBadRequest, "%v", err).reply(false))
		return
	}
	ctx, cancel := e.untilClosed(r.Context(), wait)
	defer cancel()
	var events []Accepted
	var latest int64
	if wait > 0 {
		events, latest, _ = e.AwaitEventsAfter(ctx, max(after, 0)) // none in time is no error
	} else {
		events, latest = e.EventsAfter(max(after, 0))
	}
	if after < 0 {
		slices.Reverse(events)
	}
	writeJSON(w, struct {
		Events []Accepted `json:"events"`
		Latest int64      `json:"latest"`
	}{selected(events, query, limit), latest})
}

// untilClosed ends after the wait, or when the emulator is closed.
func (e *Emulator) untilClosed(ctx context.Context, wait time.Duration) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithTimeout(ctx, wait)
	if wait > 0 {
		go func() {
			select {
			case <-e.closed:
				cancel()
			case <-ctx.Done():
			}
		}()
	}
	return ctx, cancel
}

// selected are the events of the request id that is asked for, at most limit.
func selected(events []Accepted, query url.Values, limit int64) []Accepted {
	requestID, some := query.Get("requestId"), query.Has("requestId")
	list := []Accepted{}
	for _, a := range events {
		if int64(len(list)) == limit {
			break
		}
		if !some || a.Event.RequestID == requestID {
			list = append(list, a)
		}
	}
	return list
}

func countParam(query url.Values, name string, otherwise int64) (int64, error) {
	s := query.Get(name)
	if s == "" {
		return otherwise, nil
	}
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil || n < 0 {
		return 0, fmt.Errorf("%s=%s: want a number, 0 or more", name, protojson.Clip(s))
	}
	return n, nil
}

func waitParam(query url.Values) (time.Duration, error) {
	s := query.Get("wait")
	if s == "" {
		return 0, nil
	}
	d, err := time.ParseDuration(s)
	if err != nil || d < 0 || d > maxWait {
		return 0, fmt.Errorf("wait=%s: want a duration up to %v, such as 30s", protojson.Clip(s), maxWait)
	}
	return d, nil
}

func writeJSON(w http.ResponseWriter, v any) {
	body, err := json.Marshal(v, json.Deterministic(true), jsontext.WithIndent("  "))
	if err != nil {
		send(w, errorf(http.StatusInternalServerError, "The answer could not be written: %v", err).reply(false))
		return
	}
	send(w, reply{status: http.StatusOK, body: append(body, '\n')})
}
