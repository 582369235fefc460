package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"syscall"
	"time"

	"github.com/clientevents/clientevents/internal/journey"
)

// The misfortunes, to tell when an event was repeated.
const (
	duringPlanned  = "planned changes alone"
	duringChange   = "a planned change"
	duringKill     = "a kill"
	duringFreeze   = "a freeze"
	duringRestart  = "a restart of a broker"
	duringBroker   = "a crash or freeze of a broker"
	duringCut      = "a cut of the network"
	duringSettling = "the rest"
	duringAgain    = "publishing again"
)

// results are what was seen of the promises.
type results struct {
	records, again                                    int
	planned, alone, kills, freezes, restarts, outages int
	brokerKills, brokerFreezes, moves, cuts           int
	stops, takeovers                                  []time.Duration
	failedStops, uncovered                            int
	findings
}

// misfortune is the whole run: a phase with planned changes alone, one with
// everything, and one in which what was reported is published again.
func (w *world) misfortune(ctx context.Context) error {
	fmt.Printf("chaos: seed %d, on %s: %d records, %d planned changes, %d kills, %d freezes, %d cuts, %d restarts, %d kills and %d freezes of brokers, %d outages of the API\n",
		w.seed, w.broker.name(), w.records, w.rebalances, w.kills, w.freezes, w.cuts, w.restarts, w.brokerKills, w.brokerFreezes, w.outages)
	first, second := traffic(2*w.seed, w.records/4), traffic(2*w.seed+1, w.records-w.records/4)
	alone := (w.rebalances + 1) / 2
	if err := w.phase(ctx, first, alone, w.plannedAlone); err != nil {
		return err
	}
	w.result.alone = w.result.planned
	fmt.Printf("chaos: %d planned changes: %d repeated\n", w.result.planned, w.seen.repeats())
	if err := w.phase(ctx, second, len(w.accidents()), w.everything); err != nil {
		return err
	}
	if err := w.publishAgain(ctx, second); err != nil {
		return err
	}
	for _, r := range w.living() {
		w.stop(r)
	}
	if err := w.judge(ctx, slices.Concat(first, second)); err != nil {
		return err
	}
	return w.verdict()
}

// phase publishes records while something is done in so many steps, and waits
// until all have their outcome.
func (w *world) phase(ctx context.Context, records []journey.Record, steps int, do func(context.Context) error) error {
	w.pace = newPace(steps)
	published := make(chan error, 1)
	go func() { published <- w.publish(ctx, records, w.pace, rand.New(rand.NewPCG(w.seed, 2))) }()
	w.result.records += len(records)
	err := do(ctx)
	w.pace.end()
	if err := errors.Join(err, <-published); err != nil {
		return err
	}
	w.failing.Wait()
	if len(w.living()) == 0 {
		if _, err := w.start(ctx); err != nil {
			return err
		}
	}
	return w.settle(ctx)
}

func (w *world) plannedAlone(ctx context.Context) error {
	w.seen.now(duringPlanned)
	if _, err := w.start(ctx); err != nil {
		return err
	}
	for range w.pace.total {
		if err := w.plannedChange(ctx); err != nil {
			return err
		}
		w.pace.next()
	}
	return ctx.Err()
}

// plannedChange stops or starts a replica in order.
func (w *world) plannedChange(ctx context.Context) error {
	w.covered(ctx, 30*time.Second)
	w.pause(ctx, 1500*time.Millisecond)
	w.result.planned++
	if living := w.living(); len(living) > 3 || (len(living) > 1 && w.rng.IntN(2) == 0) {
		w.stop(w.any())
		return ctx.Err()
	}
	_, err := w.start(ctx)
	return err
}

// pause waits for up to a time.
func (w *world) pause(ctx context.Context, most time.Duration) {
	select {
	case <-time.After(time.Duration(w.rng.Int64N(int64(most)))):
	case <-ctx.Done():
	}
}

// accident is one step of what may happen.
type accident struct {
	during string
	do     func(context.Context) error
}

func (w *world) accidents() (all []accident) {
	for _, kind := range []struct {
		n int
		accident
	}{
		{w.kills, accident{duringKill, w.kill}},
		{w.freezes, accident{duringFreeze, w.freeze}},
		{w.restarts, accident{duringRestart, w.restartBroker}},
		{w.brokerKills, accident{duringBroker, w.killBroker}},
		{w.brokerFreezes, accident{duringBroker, w.freezeBroker}},
		{w.cuts, accident{duringCut, w.cutNetwork}},
		{w.outages, accident{duringSettling, w.breakAPI}},
		{w.rebalances - w.result.planned, accident{duringChange, w.plannedChange}},
	} {
		all = append(all, slices.Repeat([]accident{kind.accident}, max(0, kind.n))...)
	}
	return all
}

// everything kills, freezes, restarts and changes, in an order that the seed
// says.
func (w *world) everything(ctx context.Context) error {
	todo := w.accidents()
	w.rng.Shuffle(len(todo), func(i, j int) { todo[i], todo[j] = todo[j], todo[i] })
	for i, a := range todo {
		for len(w.living()) < 2 {
			if _, err := w.start(ctx); err != nil {
				return err
			}
		}
		if _, ok := w.covered(ctx, time.Minute); !ok && ctx.Err() == nil {
			w.result.uncovered++
			fmt.Printf("chaos: BROKEN: not all partitions were owned within a minute, before %s\n", a.during)
		}
		w.pause(ctx, 1500*time.Millisecond)
		w.seen.now(a.during)
		if err := a.do(ctx); err != nil {
			return err
		}
		w.pace.next()
		if (i+1)%20 == 0 {
			fmt.Printf("chaos: %d of %d done, %d accepted, %d repeated\n", i+1, len(todo), w.seen.count(), w.seen.repeats())
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
	w.covered(ctx, time.Minute)
	w.seen.now(duringSettling)
	return nil
}

// busy waits, for a moment, until events are on their way.
func (w *world) busy(ctx context.Context) {
	enough := w.seen.count() + 1 + w.rng.IntN(300)
	for limit := time.Now().Add(2 * time.Second); w.seen.count() < enough && time.Now().Before(limit) && ctx.Err() == nil; {
		time.Sleep(time.Millisecond)
	}
}

// kill ends a replica while events are on their way, if any are.
func (w *world) kill(ctx context.Context) error {
	w.result.kills++
	victim := w.any()
	owned := victim.partitions(ctx)
	w.busy(ctx)
	w.seen.crash()
	victim.kill()
	w.takeover(ctx, owned)
	return nil
}

// takeover waits until what a replica owned is owned by others.
func (w *world) takeover(ctx context.Context, owned int) {
	took, ok := w.covered(ctx, time.Minute)
	switch {
	case !ok && ctx.Err() == nil:
		w.result.uncovered++
		fmt.Println("chaos: BROKEN: a lost replica's partitions were not owned again within a minute")
	case ok && owned > 0:
		w.result.takeovers = append(w.result.takeovers, took)
	}
}

// freeze stops a replica for longer than its session lasts. Others take over;
// when it thaws, it must not send what is no longer its own.
func (w *world) freeze(ctx context.Context) error {
	w.result.freezes++
	r := w.any()
	w.busy(ctx)
	r.frozen = true
	w.seen.crash()
	_ = r.cmd.Process.Signal(syscall.SIGSTOP)
	w.takeover(ctx, 0)
	select {
	case <-time.After(sessionLimit / 2):
	case <-ctx.Done():
	}
	w.seen.crash() // what it had half written is sent now
	_ = r.cmd.Process.Signal(syscall.SIGCONT)
	r.frozen = false
	return nil
}

func (w *world) restartBroker(ctx context.Context) error {
	w.result.restarts++
	w.busy(ctx)
	return w.broker.restart(ctx)
}

// breakAPI lets the API fail while other misfortunes happen.
func (w *world) breakAPI(ctx context.Context) error {
	w.failing.Wait() // one failure at a time
	way, d := (w.result.outages+int(w.seed%8))%(len(outages)+1), 3*time.Second+time.Duration(w.rng.IntN(5000))*time.Millisecond
	w.result.outages++
	w.failing.Go(func() { w.api.fail(ctx, way, d) })
	return nil
}

// publishAgain publishes what was reported before: after a clean restart, and
// once more after a kill. None of it may reach the API.
func (w *world) publishAgain(ctx context.Context, records []journey.Record) error {
	w.seen.now(duringAgain)
	var reported []journey.Record
	for _, r := range records {
		if r.Expect == "reported" && len(reported) < 5000 {
			reported = append(reported, r)
		}
	}
	for _, end := range []func(*replica){w.stop, func(r *replica) { w.seen.crash(); r.kill(); w.result.kills++ }} {
		for _, r := range w.living() {
			end(r)
		}
		if _, err := w.start(ctx); err != nil {
			return err
		}
		w.result.again += len(reported)
		if err := w.send(ctx, reported); err != nil {
			return err
		}
		if err := w.settle(ctx); err != nil {
			return err
		}
	}
	return nil
}
