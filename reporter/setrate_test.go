package reporter

import (
	"testing"
	"time"

	"github.com/clientevents/clientevents/internal/ownership"
)

// TestConfigureRate changes the configured rate; an override stays in force.
func TestConfigureRate(t *testing.T) {
	l := newLimiter(100, 0, (*ownership.Ownership)(nil).Share)
	l.configure(10_000)
	if n, _ := l.take(1000, time.Now().Add(time.Minute)); n != 100 || l.ceiling() != 10_000 {
		t.Errorf("%d events at once at a rate of %v, expected 100 at 10,000", n, l.ceiling())
	}
	l.overrule(5)
	l.configure(20_000)
	if limit, _ := l.rates(); limit != 5 || l.ceiling() != 20_000 {
		t.Errorf("limit %v with an override of 5, configured %v, expected 20,000", limit, l.ceiling())
	}
	l.overrule(0)
	l.configure(0)
	if limit, _ := l.rates(); limit != 0 {
		t.Errorf("limit %v, expected none", limit)
	}
}
