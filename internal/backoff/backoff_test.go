package backoff_test

import (
	"context"
	"errors"
	"math"
	"testing"
	"testing/synctest"
	"time"

	"github.com/clientevents/clientevents/internal/backoff"
)

var policy = backoff.Policy{First: 500 * time.Millisecond, Max: time.Minute}

func TestWaitsDouble(t *testing.T) {
	for failures, want := range map[int]time.Duration{
		0: 500 * time.Millisecond, 1: 500 * time.Millisecond, 2: time.Second, 3: 2 * time.Second, 7: 32 * time.Second,
		8: time.Minute, 1000: time.Minute, math.MaxInt: time.Minute,
	} {
		if got := policy.Exact(failures); got != want {
			t.Errorf("after %d failures: %v, want %v", failures, got, want)
		}
		least, most := policy.Max, time.Duration(0)
		for range 1000 {
			got := policy.After(failures)
			least, most = min(least, got), max(most, got)
		}
		if least < want/2 || least > want*6/10 || most > min(policy.Max, want*3/2+1) || most < min(policy.Max, want*14/10) {
			t.Errorf("after %d failures: between %v and %v, want half to one and a half of %v, at most %v", failures, least, most, want, policy.Max)
		}
	}
}

func TestSleep(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		if err := policy.Sleep(t.Context(), 1); err != nil || time.Since(began) < policy.First/2 || time.Since(began) > policy.First*2 {
			t.Errorf("slept %v, error %v", time.Since(began), err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		began = time.Now()
		if err := policy.Sleep(ctx, 100); !errors.Is(err, context.DeadlineExceeded) || time.Since(began) != time.Millisecond {
			t.Errorf("slept %v, error %v, want the end of the context", time.Since(began), err)
		}
	})
}
