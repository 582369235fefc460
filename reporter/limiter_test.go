package reporter

import (
	"math"
	"testing"
	"time"

	"github.com/clientevents/clientevents/internal/ownership"
)

// TestLimiterMakesGoodForLateness: on a busy machine waiters come late, which
// must not cost a part of the rate.
func TestLimiterMakesGoodForLateness(t *testing.T) {
	for _, late := range []time.Duration{0, time.Millisecond, 8 * time.Millisecond, 40 * time.Millisecond} {
		for _, perSecond := range []float64{4.75, 125, 5000} {
			l := newLimiter(perSecond, 0, (*ownership.Ownership)(nil).Share)
			began := time.Now()
			now, went := began, 0
			for now.Sub(began) < 10*time.Second {
				n, wait := l.take(100, now)
				went += n
				if n == 0 {
					now = now.Add(wait + late)
				}
			}
			share := float64(went) / (perSecond * 10)
			if share < 0.97 || float64(went) > perSecond*10+ordinary(perSecond)+math.Ceil(perSecond*catchUp.Seconds()) {
				t.Errorf("%v a second, %v late each time: %.3f of the rate was used", perSecond, late, share)
			}
		}
	}
}

// TestLimiterOwesNothingToTheIdle: what nobody wanted is not made good, nor more than
// a little for waiters that come very late.
func TestLimiterOwesNothingToTheIdle(t *testing.T) {
	const perSecond = 1000
	atOnce := func(l *limiter, now time.Time) (n int) {
		for {
			went, _ := l.take(100, now)
			if went == 0 {
				return n
			}
			n += went
		}
	}
	l := newLimiter(perSecond, 0, (*ownership.Ownership)(nil).Share)
	now := time.Now().Add(time.Minute)
	if n := atOnce(l, now); n != 10 {
		t.Errorf("%d go at once at first: want 10", n)
	}
	if n := atOnce(l, now.Add(300*time.Millisecond)); n != 60 {
		t.Errorf("%d go for one that waited, and came very late: want 60", n)
	}
	now = now.Add(time.Minute)
	if n := atOnce(l, now); n != 10 {
		t.Errorf("%d go at once after a minute of nothing: want 10", n)
	}
	now = now.Add(20 * time.Millisecond)
	if n, _ := l.take(20, now); n != 20 { // somebody waited
		t.Errorf("%d go for one that came late: want 20", n)
	}
	if n := atOnce(l, now.Add(40*time.Millisecond)); n != 10 {
		t.Errorf("%d go at once after a pause in which nobody waited: want 10", n)
	}
}
