package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

var errNoRevision = errors.New("not in this clone")

// previous is the revision that users come from: the last release, or else the
// commit before this one.
func previous(ctx context.Context) string {
	tag, err := exec.CommandContext(ctx, "git", "describe", "--tags", "--abbrev=0", "HEAD^").Output()
	if err != nil {
		return "HEAD^"
	}
	return strings.TrimSpace(string(tag))
}

// buildRevision builds the program as it was at a revision.
func (w *world) buildRevision(ctx context.Context, revision string) (string, error) {
	commit, err := exec.CommandContext(ctx, "git", "rev-parse", "--verify", "--quiet", revision+"^{commit}").Output()
	if err != nil {
		return "", fmt.Errorf("%s: %w", revision, errNoRevision)
	}
	source := filepath.Join(w.dir, "source")
	if err := os.Mkdir(source, 0o755); err != nil {
		return "", err
	}
	archive := filepath.Join(w.dir, "source.tar")
	binary := filepath.Join(w.dir, "clientevents-before")
	for _, step := range []struct {
		dir  string
		args []string
	}{
		{"", []string{"git", "archive", "--output", archive, strings.TrimSpace(string(commit))}},
		{source, []string{"tar", "-xf", archive}},
		{source, []string{"go", "build", "-o", binary, "./cmd/clientevents"}},
	} {
		cmd := exec.CommandContext(ctx, step.args[0], step.args[1:]...)
		cmd.Dir, cmd.Stderr = step.dir, os.Stderr
		if err := cmd.Run(); err != nil {
			return "", fmt.Errorf("%s at %s: %w", strings.Join(step.args, " "), revision, err)
		}
	}
	return binary, nil
}

// upgrade lets replicas of another revision and of this one be one group, with live
// state and under traffic: from the one to the other and back, replica by replica, as
// a Deployment does it, and then all at once. Nothing may be lost, and nothing repeated.
func (w *world) upgrade(ctx context.Context, revision string) error {
	if revision == "previous" {
		revision = previous(ctx)
	}
	after := w.binary
	before, err := w.buildRevision(ctx, revision)
	if err != nil {
		return err
	}
	fmt.Printf("chaos: seed %d, on %s: %d records, from %s to this and back\n", w.seed, w.broker.name(), w.records, revision)
	w.binary = before
	for range 2 {
		if _, err := w.start(ctx); err != nil {
			return err
		}
	}
	if _, ok := w.covered(ctx, time.Minute); !ok {
		return errors.New("the replicas did not own all partitions within a minute")
	}
	rolls := []string{after, before}
	records := traffic(w.seed, w.records)
	w.result.records = len(records)
	w.pace = newPace(2 * len(rolls))
	published := make(chan error, 1)
	go func() { published <- w.publish(ctx, records, w.pace, rand.New(rand.NewPCG(w.seed, 2))) }()
	for _, binary := range rolls {
		w.binary = binary
		if err == nil {
			err = w.roll(ctx)
		}
	}
	w.pace.end()
	if err := errors.Join(err, <-published); err != nil {
		return err
	}
	if err := w.settle(ctx); err != nil {
		return err
	}
	rolled := w.seen.repeats()
	// What the one reported, the other must know, also when all are replaced at once.
	w.binary = after
	if err := w.publishAgain(ctx, records); err != nil {
		return err
	}
	for _, r := range w.living() {
		w.stop(r)
	}
	if err := w.judge(ctx, records); err != nil {
		return err
	}
	return w.reportUpgrade(revision, rolled)
}

// reportUpgrade prints the result of an upgrade from revision, during which rolled
// events were repeated. The error says that a promise was broken.
func (w *world) reportUpgrade(revision string, rolled int) error {
	r := &w.result
	again := w.seen.repeats(duringAgain)
	fmt.Printf("\n| from %s to this, back, and to this at once | seen |\n|---|---|\n| records, replicas replaced | %d, %d |\n"+
		"| lost, early, wrong dead letters | %d, %d, %d |\n| repeated while rolling | %d |\n| published again, repeated | %d, %d |\n"+
		"| stops that failed, replicas that ended by themselves | %d, %d |\n\n",
		revision, r.records, r.planned, r.lost, r.early, r.wrongLetters, rolled, r.again, again, r.failedStops, w.crashed.Load())
	if r.lost+r.early+r.wrongLetters+rolled+again+r.failedStops+r.uncovered > 0 || w.crashed.Load() > 0 {
		return errors.New("an upgrade or its rollback breaks a promise")
	}
	return nil
}

// roll replaces the replicas one by one: first the new one is ready, then an old one
// ends.
func (w *world) roll(ctx context.Context) error {
	for _, old := range slices.Clone(w.living()) {
		w.seen.now(duringPlanned)
		r, err := w.start(ctx)
		if err != nil {
			return err
		}
		joined := func() bool { return r.partitions(ctx) > 0 }
		for limit := time.Now().Add(time.Minute); !joined() && time.Now().Before(limit) && ctx.Err() == nil; {
			time.Sleep(100 * time.Millisecond)
		}
		if _, ok := w.covered(ctx, time.Minute); !ok && ctx.Err() == nil {
			w.result.uncovered++
			fmt.Println("chaos: BROKEN: not all partitions were owned within a minute of a replica's start")
		}
		w.busy(ctx)
		w.stop(old)
		if _, ok := w.covered(ctx, time.Minute); !ok && ctx.Err() == nil {
			w.result.uncovered++
			fmt.Println("chaos: BROKEN: not all partitions were owned within a minute of a replica's end")
		}
		w.result.planned++
		w.pace.next()
	}
	return ctx.Err()
}
