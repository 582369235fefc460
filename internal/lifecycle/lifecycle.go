// Package lifecycle stops the program in order and in time: one budget for all
// steps of a stop, and a stack of the parts to stop.
package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"
)

// Step is one step of a stop.
type Step struct {
	// Name says what the step does, for the log.
	Name string
	// by is the share of the budget, in percent, at which the step is over. A step
	// that ends early leaves the rest of its time to the next.
	by int
}

// The steps of a stop, in their order. Brokers and the API may each be silent, so
// every step has time left when the one before used up its own.
var (
	FinishRequests = Step{"finish requests in flight", 75}
	AbortRequests  = Step{"abort requests", 80}
	WriteOutcomes  = Step{"write state and dead letters", 85}
	CloseSessions  = Step{"record that partitions were released in order", 88}
	CommitOffsets  = Step{"commit offsets", 92}
	LeaveGroup     = Step{"leave the consumer group", 95}
	StopWorkers    = Step{"stop workers", 96}
	StopAdmin      = Step{"stop the admin server", 97}
	SendTraces     = Step{"send traces", 99}
	Disconnect     = Step{"close connections", 100}
)

// Total is the time in which the program stops.
const Total = 10 * time.Second

// Steps lists the steps in their order.
func Steps() []Step {
	return []Step{
		FinishRequests, AbortRequests, WriteOutcomes, CloseSessions, CommitOffsets, LeaveGroup,
		StopWorkers, StopAdmin, SendTraces, Disconnect,
	}
}

// errUsedUp is the cause of a context whose step used up its time.
var errUsedUp = errors.New("the stop's time for this step is used up")

// Budget is the time of one stop. It is safe for concurrent use.
type Budget struct {
	total time.Duration
	log   *slog.Logger

	mu    sync.Mutex
	began time.Time // zero until Begin
}

// NewBudget returns a budget that has not begun. log receives a warning for each
// step that used up its time; nil discards it.
func NewBudget(total time.Duration, log *slog.Logger) *Budget {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return &Budget{total: total, log: log}
}

// Fresh returns a budget like b that has not begun.
func (b *Budget) Fresh() *Budget { return NewBudget(b.total, b.log) }

// Begin starts the budget. Only the first call has an effect.
func (b *Budget) Begin() { b.start() }

func (b *Budget) start() time.Time {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.began.IsZero() {
		b.began = time.Now()
	}
	return b.began
}

// Restart starts the budget again, with all of its time.
func (b *Budget) Restart() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.began = time.Now()
}

// Left returns the time until the step is over; it begins the budget.
func (b *Budget) Left(s Step) time.Duration { return time.Until(b.end(s)) }

// end returns when the step is over; it begins the budget.
func (b *Budget) end(s Step) time.Time {
	return b.start().Add(b.total * time.Duration(s.by) / 100)
}

// Step runs do, and begins the budget. do's context ends with the step's time,
// and not with ctx, which the stop may have ended already; it keeps ctx's values.
func (b *Budget) Step(ctx context.Context, s Step, do func(context.Context) error) error {
	ctx, cancel := context.WithDeadlineCause(context.WithoutCancel(ctx), b.end(s), errUsedUp)
	defer cancel()
	err := do(ctx)
	if errors.Is(context.Cause(ctx), errUsedUp) {
		b.UsedUp(s)
	}
	return err
}

// UsedUp logs that a step used up its time.
func (b *Budget) UsedUp(s Step) {
	b.log.Warn("stop step used up its time", "step", s.Name, "ended_after", time.Since(b.start()).Round(time.Millisecond))
}

// Stack holds the parts of the program that run, in the order of their start.
type Stack struct {
	budget *Budget
	parts  []part
}

type part struct {
	step Step
	stop func(context.Context) error
}

// NewStack returns an empty stack whose parts stop within budget.
func NewStack(budget *Budget) *Stack { return &Stack{budget: budget} }

// Add puts a started part on top. stop must return soon after its context ended.
func (s *Stack) Add(step Step, stop func(context.Context) error) {
	s.parts = append(s.parts, part{step, stop})
}

// Stop stops every part, the last started first, whatever errors others return,
// and joins the errors under their steps' names.
func (s *Stack) Stop(ctx context.Context) (err error) {
	for len(s.parts) > 0 {
		p := s.parts[len(s.parts)-1]
		s.parts = s.parts[:len(s.parts)-1]
		if e := s.budget.Step(ctx, p.step, p.stop); e != nil {
			err = errors.Join(err, fmt.Errorf("%s: %w", p.step.Name, e))
		}
	}
	return err
}

// Within makes a stop for [Stack.Add] of a function that takes no context. If it
// is not over in time, for example because a file system hangs, it is left behind.
func Within(do func()) func(context.Context) error {
	return func(ctx context.Context) error {
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			do()
		}()
		select {
		case <-ended:
		case <-ctx.Done():
		}
		return nil
	}
}
