package emulator

import (
	"encoding/json"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/go-json-experiment/json/jsontext"
)

func appendExtraInfo(b []byte, info map[string]string) []byte {
	for i, key := range slices.Sorted(maps.Keys(info)) {
		if i > 0 {
			b = append(b, ',')
		}
		b, _ = jsontext.AppendQuote(b, key)
		b = append(b, ':')
		b, _ = jsontext.AppendQuote(b, info[key])
	}
	return b
}

// Accepted is an event that was created.
type Accepted struct {
	Version       string    `json:"version"`
	Parent        string    `json:"parent"`
	EventID       string    `json:"eventId"`
	RequestID     string    `json:"requestId,omitempty"`
	ParentEventID string    `json:"parentEventId,omitempty"`
	Type          string    `json:"type"`
	Jobs          []string  `json:"jobs"`
	Arrived       time.Time `json:"arrived"`
	// Duplicate says that an event of this id was created before. The real
	// service is not known to notice.
	Duplicate bool `json:"duplicate,omitempty"`
	// Event is the event as it was answered.
	Event json.RawMessage `json:"event"`
}

// Stats counts what came.
type Stats struct {
	// Requests are HTTP requests; Batches those of them that were batches, with
	// Parts in all of them.
	Requests int64 `json:"requests"`
	Batches  int64 `json:"batches"`
	Parts    int64 `json:"parts"`
	// Accepted are events that were created, Duplicates those of them whose id
	// had been created before.
	Accepted   int64 `json:"accepted"`
	Duplicates int64 `json:"duplicates"`
	// Refused are calls that were answered with an error, by status.
	Refused map[int]int64    `json:"refused"`
	ByType  map[string]int64 `json:"by_type"`
}

// store remembers what was accepted.
type store struct {
	keep int

	mu     sync.Mutex
	events []Accepted // a ring, unless all are kept
	next   int
	ids    map[string]struct{}
	stats  Stats
}

func (s *store) reset() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.events, s.next, s.ids = nil, 0, map[string]struct{}{}
	s.stats = Stats{Refused: map[int]int64{}, ByType: map[string]int64{}}
}

func (s *store) request() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stats.Requests++
}

func (s *store) batch(parts int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stats.Batches++
	s.stats.Parts += int64(parts)
}

func (s *store) refused(code int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stats.Refused[code]++
}

func (s *store) accept(a Accepted) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stats.Accepted++
	s.stats.ByType[a.Type]++
	if _, before := s.ids[a.EventID]; before {
		s.stats.Duplicates++
		a.Duplicate = true
	}
	s.ids[a.EventID] = struct{}{}
	if s.keep < 0 || len(s.events) < s.keep {
		s.events = append(s.events, a)
		return
	}
	s.events[s.next] = a
	s.next = (s.next + 1) % s.keep
}

// Events returns the events that are remembered, oldest first.
func (e *Emulator) Events() []Accepted {
	s := &e.store
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Concat(s.events[s.next:], s.events[:s.next])
}

// Stats returns what was counted so far.
func (e *Emulator) Stats() Stats {
	s := &e.store
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.stats
	c.Refused, c.ByType = maps.Clone(c.Refused), maps.Clone(c.ByType)
	return c
}

// Reset forgets what came.
func (e *Emulator) Reset() { e.store.reset() }

// serveOwn answers what is not of the API: what the emulator has seen.
func (e *Emulator) serveOwn(w http.ResponseWriter, r *http.Request) {
	switch {
	case r.URL.Path == "/emulator/events" && r.Method == http.MethodGet:
		e.serveEvents(w, r)
	case r.URL.Path == "/emulator/events" && r.Method == http.MethodDelete:
		e.Reset()
		w.WriteHeader(http.StatusNoContent)
	case r.URL.Path == "/emulator/stats" && r.Method == http.MethodGet:
		writeJSON(w, e.Stats())
	default:
		write(w, errorf(http.StatusNotFound, "Want GET /emulator/events, DELETE /emulator/events or GET /emulator/stats.").reply(false))
	}
}

func (e *Emulator) serveEvents(w http.ResponseWriter, r *http.Request) {
	limit := -1
	if s := r.URL.Query().Get("limit"); s != "" {
		var err error
		if limit, err = strconv.Atoi(s); err != nil || limit < 0 {
			write(w, badParam("limit: want a whole number, 0 or more").reply(false))
			return
		}
	}
	requestID := r.URL.Query().Get("requestId")
	newest := e.Events()
	slices.Reverse(newest)
	chosen := []Accepted{}
	for _, a := range newest {
		if limit >= 0 && len(chosen) == limit {
			break
		}
		if requestID == "" || a.RequestID == requestID {
			chosen = append(chosen, a)
		}
	}
	writeJSON(w, map[string]any{"events": chosen})
}

func writeJSON(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json; charset=UTF-8")
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	_ = enc.Encode(v)
}
