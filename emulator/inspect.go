package emulator

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/clientevents/clientevents/emulator/internal/protojson"
)

// inspectPath is the prefix of the emulator's own paths.
const inspectPath = "/emulator/"

// inspector serves the emulator's own paths. Faults do not apply to it.
func (e *Emulator) inspector() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+inspectPath+"events", e.listEvents)
	mux.HandleFunc("DELETE "+inspectPath+"events", func(w http.ResponseWriter, _ *http.Request) {
		e.Reset()
		if err := e.catalog.Sync(); err != nil {
			send(w, errorf(http.StatusServiceUnavailable, "%v", err).reply(params{}))
			return
		}
		writeJSON(w, struct{}{})
	})
	mux.HandleFunc("POST "+inspectPath+"reset", func(w http.ResponseWriter, _ *http.Request) {
		if err := errors.Join(e.Restart(), e.catalog.Sync()); err != nil {
			send(w, errorf(http.StatusServiceUnavailable, "%v", err).reply(params{}))
			return
		}
		writeJSON(w, struct{}{})
	})
	mux.HandleFunc("GET "+inspectPath+"report", func(w http.ResponseWriter, _ *http.Request) {
		writeJSON(w, e.Report())
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

// maxWait bounds the time that a listing waits for new events.
const maxWait = time.Minute

// listEvents answers {"events": [...], "latest": N}: the newest first; with
// after=N those with a larger number, the oldest first. request_id selects those
// of one search. With wait=30s it waits up to that long until there is an event,
// or with count=N until there are as many.
func (e *Emulator) listEvents(w http.ResponseWriter, r *http.Request) {
	query := r.URL.Query()
	limit, err := countParam(query, "limit", -1)
	after, err2 := countParam(query, "after", -1)
	count, err3 := countParam(query, "count", 1)
	wait, err4 := waitParam(query)
	if err := errors.Join(err, err2, err3, err4, knownParams(query)); err != nil {
		send(w, errorf(http.StatusBadRequest, "%v", err).reply(params{}))
		return
	}
	ctx, cancel := e.untilClosed(r.Context(), wait)
	defer cancel()
	match := matching(query)
	var events []Accepted
	var latest int64
	if wait > 0 {
		events, latest, _ = e.store.awaitAfter(ctx, max(after, 0), match, int(count)) // fewer in time is no error
	} else {
		events, latest = e.store.after(max(after, 0), match)
	}
	if after < 0 {
		slices.Reverse(events)
	}
	if limit >= 0 && int64(len(events)) > limit {
		events = events[:limit]
	}
	writeJSON(w, struct {
		Events []Accepted `json:"events"`
		Latest int64      `json:"latest"`
	}{append([]Accepted{}, events...), latest})
}

// eventParams are the parameters of listEvents.
var eventParams = []string{"limit", "after", "count", "wait", "request_id", "requestId"}

func knownParams(query url.Values) error {
	for name := range query {
		if !slices.Contains(eventParams, name) {
			return fmt.Errorf("%s is not a parameter, expected one of %s", protojson.Clip(name), strings.Join(eventParams, ", "))
		}
	}
	return nil
}

// matching selects the events of the request ID that is asked for, in either
// spelling; nil is all events.
func matching(query url.Values) func(*Accepted) bool {
	for _, name := range []string{"request_id", "requestId"} {
		if query.Has(name) {
			id := query.Get(name)
			return func(a *Accepted) bool { return a.Event.RequestID == id }
		}
	}
	return nil
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

func countParam(query url.Values, name string, otherwise int64) (int64, error) {
	s := query.Get(name)
	if s == "" {
		return otherwise, nil
	}
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil || n < 0 {
		return 0, fmt.Errorf("%s=%s: expected a number, 0 or more", name, protojson.Clip(s))
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
		return 0, fmt.Errorf("wait=%s: expected a duration up to %v, such as 30s", protojson.Clip(s), maxWait)
	}
	return d, nil
}

func writeJSON(w http.ResponseWriter, v any) {
	body, err := json.Marshal(v, json.Deterministic(true), jsontext.WithIndent("  "))
	if err != nil {
		send(w, errorf(http.StatusInternalServerError, "The answer could not be written: %v", err).reply(params{}))
		return
	}
	send(w, reply{status: http.StatusOK, body: append(body, '\n')})
}
