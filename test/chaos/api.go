package main

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/clientevents/clientevents/emulator"
)

var healthy = emulator.Faults{Latency: 5 * time.Millisecond, Jitter: 20 * time.Millisecond}

// api is the emulator behind a listener that can be closed for a while.
type api struct {
	*emulator.Emulator
	addr string
	halt context.CancelFunc
	done chan struct{}
}

func startAPI(ctx context.Context, host string, accepted func(emulator.Accepted)) (*api, error) {
	port, err := freePort(ctx)
	if err != nil {
		return nil, err
	}
	a := &api{
		Emulator: emulator.New(emulator.Options{Keep: 1, Faults: healthy, OnAccept: accepted}),
		addr:     fmt.Sprintf("%s:%d", host, port),
	}
	if err := a.listen(ctx); err != nil {
		return nil, err
	}
	return a, nil
}

func (a *api) listen(ctx context.Context) error {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", a.addr)
	if err != nil {
		return err
	}
	ctx, a.halt = context.WithCancel(context.WithoutCancel(ctx))
	a.done = make(chan struct{})
	go func() {
		defer close(a.done)
		_ = a.Serve(ctx, l)
	}()
	return nil
}

func (a *api) stop() {
	a.halt()
	<-a.done
}

// outages are the ways in which the API fails. None of them leaves a doubt
// whether an event was taken, so that none excuses a repetition.
var outages = []func(hang <-chan struct{}) emulator.Faults{
	func(<-chan struct{}) emulator.Faults { return with(emulator.Outage()) },
	func(<-chan struct{}) emulator.Faults {
		return with(&emulator.Fault{Status: http.StatusTooManyRequests, RetryAfter: 2 * time.Second})
	},
	func(<-chan struct{}) emulator.Faults { return with(&emulator.Fault{Cut: emulator.CutConnection}) },
	func(<-chan struct{}) emulator.Faults { return with(&emulator.Fault{Cut: emulator.CutBody}) },
	func(hang <-chan struct{}) emulator.Faults { return with(&emulator.Fault{Hang: hang}) },
	func(<-chan struct{}) emulator.Faults {
		f := healthy
		f.Quota = emulator.Quota{Limit: 200, Window: time.Second}
		return f
	},
	func(<-chan struct{}) emulator.Faults {
		f := healthy
		f.ErrorShares = map[int]float64{500: 0.1, 503: 0.1, 429: 0.1}
		return f
	},
}

func with(fault *emulator.Fault) emulator.Faults {
	f := healthy
	f.All = fault
	return f
}

// fail lets the API fail in one way for some time; the way after the last one
// of outages is that nobody listens.
func (a *api) fail(ctx context.Context, way int, d time.Duration) {
	wait := func() {
		select {
		case <-time.After(d):
		case <-ctx.Done():
		}
	}
	if way == len(outages) {
		a.stop()
		wait()
		// The port was free a moment ago; somebody may have taken it for one.
		for a.listen(ctx) != nil && ctx.Err() == nil {
			time.Sleep(100 * time.Millisecond)
		}
		return
	}
	hang := make(chan struct{})
	a.SetFaults(outages[way](hang))
	wait()
	a.SetFaults(healthy)
	close(hang)
}

// seen is what the API accepted: the order in which events came first, and what
// was happening when one came again.
type seen struct {
	mu     sync.Mutex
	events map[string]acceptance
	n      int32
	// crashed counts the crashes that have begun, and settled those after which
	// nothing of before is on its way to the API any more.
	crashed, settled int32
	during           string
	repeated         map[string]int
	// unexcused counts what came again though there was no crash in between.
	unexcused int
}

// acceptance is when an event came: first, in the order of all, and last,
// counted in crashes.
type acceptance struct{ first, crash int32 }

func newSeen() *seen { return &seen{events: map[string]acceptance{}, repeated: map[string]int{}} }

func (s *seen) accept(a emulator.Accepted) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.n++
	at, before := s.events[a.Event.EventID]
	switch {
	case !before:
		at.first = s.n
	case at.crash == s.crashed:
		s.unexcused++
		fallthrough
	default:
		s.repeated[s.during]++
	}
	at.crash = s.settled
	s.events[a.Event.EventID] = at
}

// onTheWay is how long what a replica sent before it crashed may take to be
// accepted.
const onTheWay = time.Second

// crash says that a replica is about to be killed or frozen, or to thaw. What
// was accepted until then, or was on its way, may come again without a broken
// promise; what comes later may not.
func (s *seen) crash() {
	this := s.cut()
	time.AfterFunc(onTheWay, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.settled = max(s.settled, this)
	})
}

// cut says that a replica is about to lose a connection, until the next crash. What
// the API accepts in between may come again, too: the replica may be unable to record
// it, and lose its partitions meanwhile. The bound on all repetitions still holds.
func (s *seen) cut() (number int32) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.crashed++
	return s.crashed
}

// unexcusedRepeats counts what came again with no crash in between.
func (s *seen) unexcusedRepeats() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.unexcused
}

// at says in which order an event came, from 1; 0 when it did not.
func (s *seen) at(id string) int32 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.events[id].first
}

func (s *seen) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return int(s.n)
}

// now sets the misfortune from here on.
func (s *seen) now(during string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.during = during
}

// repeats counts what came again during any of these; all, if none is
// named.
func (s *seen) repeats(during ...string) (n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(during) == 0 {
		for _, one := range s.repeated {
			n += one
		}
	}
	for _, d := range during {
		n += s.repeated[d]
	}
	return n
}
