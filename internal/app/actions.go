package app

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/clientevents/clientevents/consumer"
)

// AdminStatus is what /status says of admin actions.
type AdminStatus struct {
	// Actions says whether they are on; OffBecause why not.
	Actions    bool   `json:"actions"`
	OffBecause string `json:"off_because,omitempty"`
	// Paused: this replica fetches and sends nothing. Drained: it has left its
	// group. Both are said once they are true.
	Paused  bool `json:"paused"`
	Drained bool `json:"drained"`

	LogLevel      string    `json:"log_level,omitempty"`
	LogLevelUntil time.Time `json:"log_level_until,omitzero"`
	// Rate is the override of the rate, in events a second; 0 for none.
	Rate      float64   `json:"rate_override,omitempty"`
	RateUntil time.Time `json:"rate_override_until,omitzero"`

	// Latest are the actions that have become true, the latest first.
	Latest []Action `json:"latest"`
}

// Action is something that an operator asked for and got.
type Action struct {
	// Time is when it became true.
	Time time.Time `json:"time"`
	// What was asked for, such as "pause partition 3".
	What string `json:"what"`
	// By is the address that asked.
	By string `json:"by"`
}

const (
	// keptActions is how many actions /status shows.
	keptActions = 20
	// actionWait is how long an answer waits for its action to become true.
	actionWait = 5 * time.Second
	// leastToken is how many characters a token has at least: with fewer it
	// could be guessed.
	leastToken = 16
	// longestOverride is how long an override may hold: what is to stay belongs
	// into the configuration.
	longestOverride = 24 * time.Hour
)

// actions does what operators ask for.
type actions struct {
	pipeline  *Pipeline
	level     *slog.LevelVar // nil where it can't be changed
	usual     slog.Level
	tokenFile string
	log       *slog.Logger

	mu      sync.Mutex
	pending []pendingAction
	latest  []Action // the latest last
	rate    override
	verbose override
}

// pendingAction was asked for and has not become true yet.
type pendingAction struct {
	Action
	// target is what a later action on the same overrides.
	target string
	isTrue func() bool
}

// override is a setting that ends by itself.
type override struct {
	value float64
	until time.Time
	timer *time.Timer
}

func newActions(p *Pipeline, o Options) *actions {
	return &actions{
		pipeline: p, level: o.Level, usual: o.Config.Log.Level, tokenFile: o.Config.Admin.TokenFile, log: o.Logger,
	}
}

// refusal is why an action was not done, with the HTTP status that says so.
type refusal struct {
	code int
	err  error
}

func refuse(code int, format string, args ...any) *refusal {
	return &refusal{code, fmt.Errorf(format, args...)}
}

// serve answers POST /admin/….
func (a *actions) serve(mux *http.ServeMux) {
	// No other site's page may ask for anything, even if it knew the token.
	sameOrigin := http.NewCrossOriginProtection()
	for _, act := range []action{
		{"pause", []string{"partition"}, a.pause},
		{"resume", []string{"partition"}, a.resume},
		{"drain", nil, a.drain},
		{"rate", []string{"events_per_second", "for"}, a.setRate},
		{"log-level", []string{"level", "for"}, a.setLevel},
	} {
		mux.Handle("POST /admin/"+act.name, sameOrigin.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			a.answer(w, r, act)
		})))
	}
}

// action is one thing that can be asked for.
type action struct {
	name   string
	params []string
	// do begins it and says when it has become true.
	do func(ctx context.Context, params url.Values) (pendingAction, *refusal)
}

// ActionAnswer is the answer to an action.
type ActionAnswer struct {
	// Done: it has become true. Otherwise it will, and /status says when.
	Done bool `json:"done"`
	// What was asked for.
	What string `json:"what,omitempty"`
	// Error is why it was not done.
	Error string `json:"error,omitempty"`
}

func (a *actions) answer(w http.ResponseWriter, r *http.Request, act action) {
	by := remote(r)
	p, no := a.begin(w, r, act, by)
	if no != nil {
		a.log.Warn("admin action refused", "action", act.name, "by", by, "status", no.code, "error", no.err)
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

func (a *actions) begin(w http.ResponseWriter, r *http.Request, act action, by string) (pendingAction, *refusal) {
	if no := a.authorize(r); no != nil {
		return pendingAction{}, no
	}
	r.Body = http.MaxBytesReader(w, r.Body, 4<<10)
	if err := r.ParseForm(); err != nil {
		return pendingAction{}, refuse(http.StatusBadRequest, "the parameters can't be read: %w", err)
	}
	for name := range r.Form {
		if !slices.Contains(act.params, name) {
			return pendingAction{}, unknownParam(name, act)
		}
	}
	ctx, cancel := context.WithTimeout(r.Context(), actionWait)
	defer cancel()
	p, no := act.do(ctx, r.Form)
	p.By = by
	return p, no
}

func unknownParam(name string, act action) *refusal {
	if len(act.params) == 0 {
		return refuse(http.StatusBadRequest, "%s: %s takes no parameters", name, act.name)
	}
	return refuse(http.StatusBadRequest, "%s: %s knows %s", name, act.name, strings.Join(act.params, " and "))
}

func remote(r *http.Request) string {
	if host, _, err := net.SplitHostPort(r.RemoteAddr); err == nil {
		return host
	}
	return r.RemoteAddr
}

// authorize compares the request's token with that of the file, which is read
// each time, so that a token can be replaced. Hashes are compared, so that the
// time it takes says nothing of either's length.
func (a *actions) authorize(r *http.Request) *refusal {
	want, err := a.token()
	if err != nil {
		return &refusal{http.StatusForbidden, err}
	}
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return refuse(http.StatusUnauthorized, "want a header 'Authorization: Bearer TOKEN' with the token of admin.token_file")
	}
	given, right := sha256.Sum256([]byte(strings.TrimSpace(token))), sha256.Sum256([]byte(want))
	if subtle.ConstantTimeCompare(given[:], right[:]) != 1 {
		return refuse(http.StatusUnauthorized, "the token is not that of admin.token_file")
	}
	return nil
}

// token reads the token file; an error says why actions are off.
func (a *actions) token() (string, error) {
	if a.tokenFile == "" {
		return "", errors.New("admin actions are off: admin.token_file is not set")
	}
	text, err := os.ReadFile(a.tokenFile)
	if err != nil {
		return "", errors.New("admin actions are off: the file that admin.token_file names can't be read")
	}
	token := strings.TrimSpace(string(text))
	if len(token) < leastToken {
		return "", fmt.Errorf("admin actions are off: the token in admin.token_file has fewer than %d characters", leastToken)
	}
	return token, nil
}

func (a *actions) pause(ctx context.Context, params url.Values) (pendingAction, *refusal) {
	return a.setPaused(ctx, params, true)
}

func (a *actions) resume(ctx context.Context, params url.Values) (pendingAction, *refusal) {
	return a.setPaused(ctx, params, false)
}

func (a *actions) setPaused(ctx context.Context, params url.Values, paused bool) (pendingAction, *refusal) {
	verb := map[bool]string{true: "pause", false: "resume"}[paused]
	if !params.Has("partition") {
		a.pipeline.Pause(paused)
		return pendingAction{Action: Action{What: verb + " all"}, target: "all", isTrue: func() bool {
			return a.pipeline.Paused() == paused
		}}, nil
	}
	id, err := strconv.ParseInt(params.Get("partition"), 10, 32)
	if err != nil || id < 0 {
		return pendingAction{}, refuse(http.StatusBadRequest, "partition: %q: want the number of a partition", params.Get("partition"))
	}
	c := a.pipeline.consumer
	switch err := c.PausePartition(ctx, int32(id), paused); {
	case errors.Is(err, consumer.ErrNotOwned), errors.Is(err, consumer.ErrNotRestored):
		return pendingAction{}, refuse(http.StatusConflict, "partition %d: %w", id, err)
	case err != nil:
		return pendingAction{}, refuse(http.StatusServiceUnavailable, "partition %d: %w", id, err)
	}
	target := fmt.Sprintf("partition %d", id)
	return pendingAction{Action: Action{What: verb + " " + target}, target: target, isTrue: func() bool {
		s, ok := c.Partition(int32(id))
		if !paused { // while all are paused it still stands, but not for its own sake
			return !ok || s.PausedSince.IsZero()
		}
		return ok && s.Paused
	}}, nil
}

func (a *actions) drain(context.Context, url.Values) (pendingAction, *refusal) {
	a.pipeline.Drain()
	return pendingAction{Action: Action{What: "drain"}, target: "drain", isTrue: a.pipeline.Drained}, nil
}

// usualWord ends an override.
const usualWord = "default"

func (a *actions) setRate(_ context.Context, params url.Values) (pendingAction, *refusal) {
	word := params.Get("events_per_second")
	if word == usualWord {
		a.overrideRate(0, 0)
		return pendingAction{Action: Action{What: "rate as configured"}, target: "rate", isTrue: always}, nil
	}
	rate, err := strconv.ParseFloat(word, 64)
	if err != nil || !(rate > 0 && rate <= 1e6) { // so that NaN is refused, too
		return pendingAction{}, refuse(http.StatusBadRequest,
			"events_per_second: %q: want a number above 0 (pause sends nothing), or %s for what is configured", word, usualWord)
	}
	d, no := overrideTime(params)
	if no != nil {
		return pendingAction{}, no
	}
	a.overrideRate(rate, d)
	return pendingAction{Action: Action{What: fmt.Sprintf("rate %v/s for %s", rate, d)}, target: "rate", isTrue: always}, nil
}

func always() bool { return true }

func overrideTime(params url.Values) (time.Duration, *refusal) {
	d, err := time.ParseDuration(params.Get("for"))
	if err != nil || d < time.Second || d > longestOverride {
		return 0, refuse(http.StatusBadRequest, "for: %q: want a duration from 1s to %s, such as 15m: what is to stay longer belongs into the configuration",
			params.Get("for"), longestOverride)
	}
	return d, nil
}

func (a *actions) overrideRate(rate float64, d time.Duration) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.pipeline.reporter.OverrideRate(rate)
	a.rate.set(rate, d, func() {
		a.pipeline.reporter.OverrideRate(0)
		a.log.Info("the override of the rate has ended")
	}, &a.mu)
}

// set begins an override, or ends it where d is 0. The caller holds mu.
func (o *override) set(value float64, d time.Duration, end func(), mu *sync.Mutex) {
	if o.timer != nil {
		o.timer.Stop()
	}
	if *o = (override{}); d == 0 {
		return
	}
	o.value, o.until = value, time.Now().Add(d)
	var timer *time.Timer
	timer = time.AfterFunc(d, func() {
		mu.Lock()
		defer mu.Unlock()
		if o.timer == timer { // not one that was replaced while it rang
			*o = override{}
			end()
		}
	})
	o.timer = timer
}

func (a *actions) setLevel(_ context.Context, params url.Values) (pendingAction, *refusal) {
	if a.level == nil {
		return pendingAction{}, refuse(http.StatusConflict, "the log level can't be changed here")
	}
	word := params.Get("level")
	level := a.usual
	if word != usualWord {
		if !slices.Contains([]string{"debug", "info", "warn", "error"}, word) {
			return pendingAction{}, refuse(http.StatusBadRequest, "level: %q: want debug, info, warn or error, or %s for what is configured", word, usualWord)
		}
		_ = level.UnmarshalText([]byte(word)) // it is one of these
	}
	d := time.Duration(0)
	if word != usualWord {
		var no *refusal
		if d, no = overrideTime(params); no != nil {
			return pendingAction{}, no
		}
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.level.Set(level)
	a.verbose.set(0, d, func() {
		a.level.Set(a.usual)
		a.log.Info("the log level is the configured one again")
	}, &a.mu)
	what := "log level " + word
	if d > 0 {
		what += " for " + d.String()
	}
	return pendingAction{Action: Action{What: what}, target: "log level", isTrue: always}, nil
}

// add puts an action among those that are to become true; it replaces one that
// wanted something else of the same.
func (a *actions) add(p pendingAction) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.pending = slices.DeleteFunc(a.pending, func(other pendingAction) bool { return other.target == p.target })
	a.pending = append(a.pending, p)
}

// await returns whether the action becomes true while the answer may wait.
func (a *actions) await(ctx context.Context, p pendingAction) bool {
	ctx, cancel := context.WithTimeout(ctx, actionWait)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		if p.isTrue() {
			a.settle(time.Now())
			return true
		}
		select {
		case <-ctx.Done():
			return false
		case <-tick.C:
		}
	}
}

// settle looks which actions have become true.
func (a *actions) settle(now time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.pending = slices.DeleteFunc(a.pending, func(p pendingAction) bool {
		if !p.isTrue() {
			return false
		}
		p.Time = now
		if len(a.latest) == keptActions {
			a.latest = slices.Delete(a.latest, 0, 1)
		}
		a.latest = append(a.latest, p.Action)
		a.log.Info("admin action done", "action", p.What, "by", p.By)
		return true
	})
}

// status describes the actions at the moment.
func (a *actions) status(now time.Time) AdminStatus {
	a.settle(now)
	_, err := a.token()
	a.mu.Lock()
	defer a.mu.Unlock()
	s := AdminStatus{
		Actions: err == nil,
		Paused:  a.pipeline.Paused(),
		Drained: a.pipeline.Drained(),
		Rate:    a.rate.value, RateUntil: a.rate.until,
		LogLevelUntil: a.verbose.until,
		Latest:        slices.Clone(a.latest),
	}
	if err != nil {
		s.OffBecause = err.Error()
	}
	if a.level != nil {
		s.LogLevel = strings.ToLower(a.level.Level().String())
	}
	slices.Reverse(s.Latest)
	if s.Latest == nil {
		s.Latest = []Action{}
	}
	return s
}

// stop ends the overrides' timers.
func (a *actions) stop() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.rate.set(0, 0, nil, nil)
	a.verbose.set(0, 0, nil, nil)
}
