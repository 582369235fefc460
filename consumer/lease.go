package consumer

import (
	"sync/atomic"
	"time"
)

// lease is how long this replica may be sure that its partitions are its own:
// until the session timeout after the last request that the group's coordinator
// is known to have had from it.
//
// The library's heartbeats end a generation when one is answered with an error,
// but not when the process itself was stopped (a frozen container, SIGSTOP):
// then nobody looks. The lease is looked at before each request to the API.
type lease struct {
	until atomic.Pointer[time.Time]
}

func (l *lease) extend(until time.Time) { l.until.Store(&until) }

func (l *lease) end() { l.until.Store(nil) }

func (l *lease) valid(now time.Time) bool {
	until := l.until.Load()
	return until != nil && now.Before(*until)
}
