package emulator

import (
	"net/http"
	"slices"
	"strconv"

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
	return mux
}

// listEvents answers {"events": [...]}, the newest first.
func (e *Emulator) listEvents(w http.ResponseWriter, r *http.Request) {
	query := r.URL.Query()
	limit := -1
	if s := query.Get("limit"); s != "" {
		var err error
		if limit, err = strconv.Atoi(s); err != nil || limit < 0 {
			bad := errorf(http.StatusBadRequest, "limit=%s: want a number, 0 or more", protojson.Clip(s))
			send(w, bad.reply(false))
			return
		}
	}
	requestID, some := query.Get("requestId"), query.Has("requestId")
	list := []Accepted{}
	for _, a := range slices.Backward(e.Events()) {
		if len(list) == limit {
			break
		}
		if !some || a.Event.RequestID == requestID {
			list = append(list, a)
		}
	}
	writeJSON(w, map[string][]Accepted{"events": list})
}

func writeJSON(w http.ResponseWriter, v any) {
	body, err := json.Marshal(v, json.Deterministic(true), jsontext.WithIndent("  "))
	if err != nil {
		send(w, errorf(http.StatusInternalServerError, "The answer could not be written: %v", err).reply(false))
		return
	}
	send(w, reply{status: http.StatusOK, body: append(body, '\n')})
}
