package reporter

import (
	"sync"
	"time"
)

// stopwatch adds up the time in which events had to wait for one reason.
type stopwatch struct {
	mu    sync.Mutex
	sum   time.Duration
	since time.Time // zero while it does not run
	until time.Time // when it stops by itself; zero for never
}

// run starts the watch at now, or keeps it running.
func (s *stopwatch) run(now, until time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.add(now)
	s.since, s.until = now, until
}

func (s *stopwatch) stop(now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.add(now)
	s.since = time.Time{}
}

// read returns the time added up until now.
func (s *stopwatch) read(now time.Time) time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.add(now)
	return s.sum
}

// add adds the time since the last call. The caller holds mu.
func (s *stopwatch) add(now time.Time) {
	if s.since.IsZero() {
		return
	}
	to := now
	if !s.until.IsZero() && s.until.Before(now) {
		to = s.until
	}
	if to.After(s.since) { // a caller that waited for the lock may have an older time
		s.sum += to.Sub(s.since)
		s.since = to
	}
}
