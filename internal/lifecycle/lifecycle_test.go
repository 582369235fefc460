package lifecycle

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// TestStepsShareOneBudget wants each step to end at its own time, counted from
// the begin of the stop, and the log to name those that used it up.
func TestStepsShareOneBudget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log strings.Builder
		b := NewBudget(Total, slog.New(slog.NewTextHandler(&log, nil)))
		time.Sleep(time.Hour) // not begun: it costs nothing
		b.Begin()
		began := time.Now()
		hang := func(ctx context.Context) error { <-ctx.Done(); return nil }
		for _, s := range Steps() {
			before := time.Since(began)
			if err := b.Step(t.Context(), s, hang); err != nil {
				t.Error(err)
			}
			if got := time.Since(began); got != Total*time.Duration(s.by)/100 || got <= before {
				t.Errorf("%s ended %v after the stop began, and began at %v: want an end at %d %% of %v", s.Name, got, before, s.by, Total)
			}
			if !strings.Contains(log.String(), `step="`+s.Name+`"`) {
				t.Errorf("the log does not name %q:\n%s", s.Name, log.String())
			}
		}
		if got := time.Since(began); got != Total {
			t.Errorf("the stop took %v: want %v", got, Total)
		}
	})
}

func TestStepThatEndsEarly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log strings.Builder
		b := NewBudget(Total, slog.New(slog.NewTextHandler(&log, nil)))
		ended, cancel := context.WithCancel(t.Context())
		cancel()
		for _, s := range Steps() {
			_ = b.Step(ended, s, func(ctx context.Context) error { return ctx.Err() })
		}
		if log.Len() > 0 {
			t.Errorf("the log says %s: want nothing", log.String())
		}
		if left := b.Left(FinishRequests); left != 7500*time.Millisecond {
			t.Errorf("%v are left: want %v", left, 7500*time.Millisecond)
		}
		time.Sleep(time.Second)
		if left := b.Left(FinishRequests); left != 7500*time.Millisecond-time.Second {
			t.Errorf("%v are left after a second: want %v", left, 7500*time.Millisecond-time.Second)
		}
		if b.Restart(); b.Left(FinishRequests) != 7500*time.Millisecond {
			t.Errorf("%v are left after a restart: want %v", b.Left(FinishRequests), 7500*time.Millisecond)
		}
	})
}

func TestStackStopsTheLastFirst(t *testing.T) {
	b := NewBudget(Total, nil)
	s := NewStack(b)
	var stopped []string
	for _, step := range []Step{Disconnect, SendTraces, StopAdmin} {
		s.Add(step, func(context.Context) error {
			stopped = append(stopped, step.Name)
			if step == StopAdmin {
				return errors.New("in use")
			}
			return nil
		})
	}
	if err := s.Stop(t.Context()); err == nil || err.Error() != "stop the admin server: in use" {
		t.Errorf("the error is %v", err)
	}
	if want := []string{StopAdmin.Name, SendTraces.Name, Disconnect.Name}; !slices.Equal(stopped, want) {
		t.Errorf("stopped %v: want %v", stopped, want)
	}
	if err := s.Stop(t.Context()); err != nil || len(stopped) != 3 {
		t.Errorf("a second stop: %v, %v", err, stopped)
	}
}

func TestWithinLeavesBehindWhatHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log strings.Builder
		b := NewBudget(Total, slog.New(slog.NewTextHandler(&log, nil)))
		release := make(chan struct{})
		defer close(release)
		began := time.Now()
		if err := b.Step(t.Context(), Disconnect, Within(func() { <-release })); err != nil {
			t.Error(err)
		}
		if got := time.Since(began); got != Total || !strings.Contains(log.String(), Disconnect.Name) {
			t.Errorf("it took %v: want %v; the log is %s", got, Total, log.String())
		}
	})
}
