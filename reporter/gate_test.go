package reporter

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/clientevents/clientevents/reporter/talent"
)

// TestSinceBelongsToTheReason: an outage whose reason changes says since when the
// present reason holds, and still counts as one outage.
func TestSinceBelongsToTheReason(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		g := &gate{wake: make(wake, 1), wait: func(int) time.Duration { return time.Second }}
		fail := func(reason talent.Reason) {
			t.Helper()
			p, _, open := g.check(time.Now())
			if !open {
				t.Fatalf("no probe may go for %s", reason)
			}
			g.enter(p)
			g.fail(p, &talent.Error{Reason: reason, Err: errors.New("as the API says")}, false, time.Now())
		}
		fail(talent.Unavailable)
		time.Sleep(20 * time.Second)
		fail(talent.Unavailable)
		if s := g.status(); !s.Since.Equal(began) {
			t.Errorf("since %v, want the beginning", s.Since.Sub(began))
		}
		time.Sleep(20 * time.Second)
		fail(talent.Network)
		if s := g.status(); s.Since.Sub(began) != 40*time.Second || s.Reason != talent.Network {
			t.Errorf("%s since %v, want network since 40s", s.Reason, s.Since.Sub(began))
		}
		if !g.paused(time.Now(), talent.Network) {
			t.Error("an outage of 40 s is no pause, since its reason has just changed")
		}
	})
}

// TestLongBlockIsProbedRarely: a quota by the day that is used up is not asked each minute
// until its end.
func TestLongBlockIsProbedRarely(t *testing.T) {
	g := &gate{wake: newWake(), wait: apiBackoff.After}
	began := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	now, probes := began, 0
	for now.Sub(began) < 20*time.Hour {
		p, wait, open := g.check(now)
		if !open {
			now = now.Add(wait)
			continue
		}
		g.enter(p)
		g.fail(p, &talent.Error{Reason: talent.Throttled, Err: errThrottled, Status: 429}, false, now)
		probes++
	}
	if late := now.Sub(began) - 20*time.Hour; probes > 400 || late > mostBlocked {
		t.Errorf("%d probes in 20 h, the last one %v after that: want 400 and %v at most", probes, late, mostBlocked)
	}
}
