package admin

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"

	"github.com/clientevents/clientevents/consumer"
)

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
		return pendingAction{Action: Action{What: verb + " all"}, target: "all", done: func() bool {
			return a.pipeline.Paused() == paused
		}}, nil
	}
	id, err := strconv.ParseInt(params.Get("partition"), 10, 32)
	if err != nil || id < 0 {
		return pendingAction{}, refuse(http.StatusBadRequest, "partition: %q: expected the number of a partition", params.Get("partition"))
	}
	c := a.pipeline.Consumer()
	switch err := c.PausePartition(ctx, int32(id), paused); {
	case errors.Is(err, consumer.ErrNotOwned), errors.Is(err, consumer.ErrNotRestored):
		return pendingAction{}, refuse(http.StatusConflict, "partition %d: %w", id, err)
	case err != nil:
		return pendingAction{}, refuse(http.StatusServiceUnavailable, "partition %d: %w", id, err)
	}
	target := fmt.Sprintf("partition %d", id)
	return pendingAction{Action: Action{What: verb + " " + target}, target: target, done: func() bool {
		s, ok := c.Partition(int32(id))
		if !paused { // a pause of all partitions may still stop this one
			return !ok || s.PausedSince.IsZero()
		}
		return ok && s.Paused
	}}, nil
}

func (a *actions) drain(context.Context, url.Values) (pendingAction, *refusal) {
	a.pipeline.Drain()
	return pendingAction{Action: Action{What: "drain"}, target: "drain", done: a.pipeline.Drained}, nil
}

// The bounds of a rate override, in events a second. A lower rate would be a pause
// that the status does not show as one.
const (
	leastRate = 0.01
	mostRate  = 1_000_000
)

func (a *actions) setRate(_ context.Context, params url.Values) (pendingAction, *refusal) {
	word := params.Get("events_per_second")
	if word == Default {
		a.overrideRate(0, 0)
		return pendingAction{Action: Action{What: "rate as configured"}, target: "rate", done: always}, nil
	}
	rate, err := strconv.ParseFloat(word, 64)
	if err != nil || !(rate >= leastRate && rate <= mostRate) { // NaN is neither
		return pendingAction{}, refuse(http.StatusBadRequest,
			"events_per_second: %q: expected a number from %v (to send nothing, pause) to %v, or %s for the configured rate", word, leastRate, float64(mostRate), Default)
	}
	d, no := overrideTime(params)
	if no != nil {
		return pendingAction{}, no
	}
	a.overrideRate(rate, d)
	return pendingAction{Action: Action{What: fmt.Sprintf("rate %v/s for %s", rate, d)}, target: "rate", done: always}, nil
}

func always() bool { return true }

func (a *actions) overrideRate(rate float64, d time.Duration) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.pipeline.Reporter().OverrideRate(rate)
	a.rate.set(rate, d, func() {
		a.pipeline.Reporter().OverrideRate(0)
		a.log.Info("rate override ended")
	}, &a.mu)
}

func (a *actions) setLevel(_ context.Context, params url.Values) (pendingAction, *refusal) {
	if a.level.fixed() {
		return pendingAction{}, refuse(http.StatusConflict, "the log level can't be changed here")
	}
	word := params.Get("level")
	var level slog.Level
	if word != Default {
		if !slices.Contains([]string{"debug", "info", "warn", "error"}, word) {
			return pendingAction{}, refuse(http.StatusBadRequest, "level: %q: expected debug, info, warn or error, or %s for the configured level", word, Default)
		}
		_ = level.UnmarshalText([]byte(word)) // checked above
	}
	d := time.Duration(0)
	if word != Default {
		var no *refusal
		if d, no = overrideTime(params); no != nil {
			return pendingAction{}, no
		}
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if word == Default {
		a.level.restore()
	} else {
		a.level.override(level)
	}
	a.verbose.set(0, d, func() {
		a.level.restore()
		a.log.Info("log level override ended")
	}, &a.mu)
	what := "log level " + word
	if d > 0 {
		what += " for " + d.String()
	}
	return pendingAction{Action: Action{What: what}, target: "log level", done: always}, nil
}
