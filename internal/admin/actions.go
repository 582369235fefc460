package admin

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/clientevents/clientevents/internal/pipeline"
)

// AdminStatus describes the admin actions in /status.
type AdminStatus struct {
	// Actions reports whether they are on; OffBecause gives the reason if not.
	Actions    bool   `json:"actions"`
	OffBecause string `json:"off_because,omitempty"`
	// Paused means that this replica fetches and sends nothing, and Drained that it
	// has left its group.
	Paused  bool `json:"paused"`
	Drained bool `json:"drained"`

	LogLevel      string    `json:"log_level,omitempty"`
	LogLevelUntil time.Time `json:"log_level_until,omitzero"`
	// Rate is the override of the rate, in events a second; 0 for none.
	Rate      float64   `json:"rate_override,omitempty"`
	RateUntil time.Time `json:"rate_override_until,omitzero"`

	// Latest are the completed actions, the latest first.
	Latest []Action `json:"latest"`
}

// Action is a completed request of an operator.
type Action struct {
	// Time is when the action was complete.
	Time time.Time `json:"time"`
	// What is the action, such as "pause partition 3".
	What string `json:"what"`
	// By is the address of the requester.
	By string `json:"by"`
}

const (
	// keptActions is how many actions /status shows.
	keptActions = 20
	// actionWait is how long an answer waits until its action is complete.
	actionWait = 5 * time.Second
)

// actions performs admin actions and tracks them until they are complete.
type actions struct {
	pipeline *pipeline.Pipeline
	level    *Level
	token    tokenFile
	log      *slog.Logger

	mu      sync.Mutex
	pending []pendingAction
	latest  []Action // the latest last
	rate    override
	verbose override
}

// pendingAction is an action that is not complete yet.
type pendingAction struct {
	Action
	// target names the thing that the action changes; a later action on the same
	// target replaces this one.
	target string
	done   func() bool
}

func newActions(p *pipeline.Pipeline, o Options) *actions {
	return &actions{
		pipeline: p, level: o.Level, log: o.Logger,
		token: tokenFile{path: o.Config.Admin.TokenFile, files: o.Files, secrets: o.Config.Secrets},
	}
}

// refusal is the reason for which an action is refused, with the HTTP status for it.
type refusal struct {
	code int
	err  error
}

func refuse(code int, format string, args ...any) *refusal {
	return &refusal{code, fmt.Errorf(format, args...)}
}

// serve answers POST /admin/….
func (a *actions) serve(mux *http.ServeMux) {
	// A page of another site may request nothing, even if it knew the token.
	sameOrigin := http.NewCrossOriginProtection()
	for _, act := range table {
		mux.Handle("POST "+act.Path(), sameOrigin.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			a.answer(w, r, act)
		})))
	}
}

// ActionAnswer is the answer to an action.
type ActionAnswer struct {
	// Done reports whether the action is complete. If not, /status shows when it is.
	Done bool `json:"done"`
	// What is the action.
	What string `json:"what,omitempty"`
	// Error is the reason of a refusal.
	Error string `json:"error,omitempty"`
}

func (a *actions) answer(w http.ResponseWriter, r *http.Request, act operation) {
	by := remote(r)
	p, no := a.begin(w, r, act, by)
	if no != nil {
		a.log.Warn("admin action refused", "action", act.Name, "by", by, "status", no.code, "error", no.err)
		if no.code == http.StatusUnauthorized {
			w.Header().Set("WWW-Authenticate", `Bearer realm="admin actions"`)
		}
		writeJSON(w, no.code, ActionAnswer{Error: no.err.Error()})
		return
	}
	a.log.Info("admin action", "action", p.What, "by", by)
	a.add(p)
	if a.await(r.Context(), p) {
		writeJSON(w, http.StatusOK, ActionAnswer{Done: true, What: p.What})
		return
	}
	writeJSON(w, http.StatusAccepted, ActionAnswer{What: p.What})
}

func (a *actions) begin(w http.ResponseWriter, r *http.Request, act operation, by string) (pendingAction, *refusal) {
	if no := a.authorize(r); no != nil {
		return pendingAction{}, no
	}
	r.Body = http.MaxBytesReader(w, r.Body, 4<<10)
	if err := r.ParseForm(); err != nil {
		return pendingAction{}, refuse(http.StatusBadRequest, "the parameters can't be read: %w", err)
	}
	for name := range r.Form {
		if !slices.ContainsFunc(act.Params, func(p Param) bool { return p.Name == name }) {
			return pendingAction{}, unknownParam(name, act)
		}
	}
	ctx, cancel := context.WithTimeout(r.Context(), actionWait)
	defer cancel()
	p, no := act.do(a, ctx, r.Form)
	p.By = by
	return p, no
}

func unknownParam(name string, act operation) *refusal {
	if len(act.Params) == 0 {
		return refuse(http.StatusBadRequest, "%s: %s takes no parameters", name, act.Name)
	}
	var known []string
	for _, p := range act.Params {
		known = append(known, p.Name)
	}
	return refuse(http.StatusBadRequest, "%s: %s takes %s", name, act.Name, strings.Join(known, " and "))
}

func remote(r *http.Request) string {
	if host, _, err := net.SplitHostPort(r.RemoteAddr); err == nil {
		return host
	}
	return r.RemoteAddr
}

// authorize compares the request's token with that of the file. It compares hashes, so
// that the time does not reveal a length.
func (a *actions) authorize(r *http.Request) *refusal {
	want, err := a.token.get()
	if err != nil {
		return &refusal{http.StatusForbidden, err}
	}
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return refuse(http.StatusUnauthorized, "expected a header 'Authorization: Bearer TOKEN' with the token of admin.token_file")
	}
	given, right := sha256.Sum256([]byte(strings.TrimSpace(token))), sha256.Sum256([]byte(want))
	if subtle.ConstantTimeCompare(given[:], right[:]) != 1 {
		return refuse(http.StatusUnauthorized, "the token is not that of admin.token_file")
	}
	return nil
}
