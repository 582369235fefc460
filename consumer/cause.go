package consumer

import (
	"errors"
	"sync"
	"time"
)

// Cause is the error behind a partition's trouble.
type Cause struct {
	Err error
	// Since is when the trouble began, or when its error became another one.
	Since time.Time
}

// after returns the cause after another failure. Its time of beginning stays that of the
// first of several failures with the same root cause.
func (c Cause) after(err error) Cause {
	if c.Err == nil || root(c.Err).Error() != root(err).Error() {
		c.Since = time.Now()
	}
	c.Err = err
	return c
}

// causes holds the cause of each trouble of a partition.
type causes struct {
	mu  sync.Mutex
	now map[Trouble]Cause
}

// note records a failure.
func (c *causes) note(t Trouble, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.now == nil {
		c.now = map[Trouble]Cause{}
	}
	c.now[t] = c.now[t].after(err)
}

// clear records that the trouble is over.
func (c *causes) clear(t Trouble) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.now, t)
}

func (c *causes) of(t Trouble) (Cause, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	cause, ok := c.now[t]
	return cause, ok
}

// root returns the innermost error, whose text has no port or number of an attempt.
func root(err error) error {
	for inner := errors.Unwrap(err); inner != nil; inner = errors.Unwrap(err) {
		err = inner
	}
	return err
}
