package input

import (
	"context"
	"time"
)

// heavy is held by the one run that may be heavy.
var heavy = make(chan struct{}, 1)

// closed is the channel of a context that has ended.
var closed = func() chan struct{} {
	c := make(chan struct{})
	close(c)
	return c
}()

// run is one run of a program, and the context that the interpreter looks at
// before each step: that is where steps and time are counted. It has no goroutine
// and no timer.
type run struct {
	context.Context

	began  time.Time
	limit  int // of steps
	steps  int
	memory int
	heavy  bool
	err    error // the limit that was exceeded
	// at is the number of the part of the program that is being run, where the
	// program keeps it.
	at int
}

func newRun(limit int) *run {
	return &run{Context: context.Background(), began: time.Now(), limit: limit, at: -1}
}

// end gives other heavy runs their turn.
func (r *run) end() {
	if r.heavy {
		r.heavy = false
		<-heavy
	}
}

// Done is called by the interpreter before each step.
func (r *run) Done() <-chan struct{} {
	r.steps++
	switch {
	case r.err != nil:
		return closed
	case r.steps > r.limit:
		r.err = errSteps
		return closed
	case r.steps == heavySteps:
		r.takeTurn()
	case r.steps%256 == 0 && time.Since(r.began) > maxTime:
		r.err = errTime
		return closed
	}
	return nil
}

// Err is why the run ended.
func (r *run) Err() error { return r.err }

// takeTurn waits for other heavy runs. The wait is no time of the program's.
func (r *run) takeTurn() {
	if r.heavy {
		return
	}
	waits := time.Now()
	heavy <- struct{}{}
	r.heavy = true
	r.began = r.began.Add(time.Since(waits))
}

// charge counts memory that the program's next step makes.
func (r *run) charge(bytes int) error {
	if bytes > maxMemory || r.memory+bytes > maxMemory {
		return errMemory
	}
	r.memory += bytes
	if r.memory > heavyMemory {
		r.takeTurn()
	}
	if time.Since(r.began) > maxTime {
		return errTime
	}
	return nil
}
