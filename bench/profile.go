package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime/pprof"
	"strings"
	"syscall"

	"github.com/clientevents/clientevents/internal/app"
	"github.com/clientevents/clientevents/internal/config"
	"github.com/clientevents/clientevents/internal/logging"
	"github.com/clientevents/clientevents/internal/proc"
	"github.com/google/pprof/profile"
)

// serveProfiled is this program under the profiler, which writes what it sees to
// the file of the argument.
func serveProfiled(args []string) error {
	if len(args) != 1 {
		return errors.New("expected a file for the profile")
	}
	c, err := config.Load("", os.Environ())
	if err != nil {
		return err
	}
	proc.TuneMemory(os.Getenv)
	file, err := os.Create(args[0])
	if err != nil {
		return err
	}
	defer file.Close()
	if err := pprof.StartCPUProfile(file); err != nil {
		return err
	}
	defer pprof.StopCPUProfile()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	return app.Run(ctx, app.Options{Config: c, Logger: logging.New(os.Stderr, config.FormatText, c.Log.Level)})
}

// takeProfile profiles the program with single POSTs and with batches, over
// HTTP/1.1 and over TLS with HTTP/2, and merges the profiles, for
// profile-guided optimisation and for people.
func takeProfile(ctx context.Context, w *world) (string, error) {
	const n = 200_000
	topic, err := w.topicOf(ctx, n, partitions)
	if err != nil {
		return "", err
	}
	var profiles []*profile.Profile
	for _, url := range []string{w.plain, w.secure} {
		for _, batch := range []int{1, 100} {
			file := filepath.Join(w.dir, fmt.Sprintf("cpu-%d", len(profiles)))
			profiled := w.product
			profiled.command = func(w *world, s setup) (*exec.Cmd, error) {
				cmd, err := w.product.command(w, s)
				if err != nil {
					return nil, err
				}
				if cmd.Path, err = os.Executable(); err != nil {
					return nil, err
				}
				cmd.Args = []string{cmd.Path, "profiled", file}
				return cmd, nil
			}
			s := setup{topic: topic, n: n, url: url, batch: batch, linger: -1}
			got, err := w.drain(ctx, profiled, s, expected(n), 0)
			if err != nil {
				return "", err
			}
			fmt.Fprintf(os.Stderr, "profiled batch %3d %s %.2f µs\n", batch, strings.SplitN(url, ":", 2)[0], micros(got.cpu))
			p, err := readProfile(file)
			if err != nil {
				return "", err
			}
			profiles = append(profiles, p)
		}
	}
	merged, err := profile.Merge(profiles)
	if err != nil {
		return "", err
	}
	if err := writeProfile(w.options.profile, merged); err != nil {
		return "", err
	}
	if !w.options.keep {
		return "", nil
	}
	for i, p := range profiles {
		if err := writeProfile(fmt.Sprintf("%s.%d", w.options.profile, i), p); err != nil {
			return "", err
		}
	}
	return "", nil
}

func readProfile(name string) (*profile.Profile, error) {
	file, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	return profile.Parse(file)
}

func writeProfile(name string, p *profile.Profile) error {
	file, err := os.Create(name)
	if err != nil {
		return err
	}
	if err := p.Write(file); err != nil {
		file.Close()
		return err
	}
	return file.Close()
}

// measureVersus compares two builds of the program.
func measureVersus(ctx context.Context, w *world) (string, error) {
	if w.options.baseline == "" {
		return "", errors.New("expected another binary with -baseline")
	}
	return w.compare(ctx, []int{1, 100}, product("baseline", w.options.baseline), w.product)
}

// measureSingle compares the program, and the other builds of it that -baseline lists,
// with the bare loop where each event is a request.
func measureSingle(ctx context.Context, w *world) (string, error) {
	return w.compare(ctx, []int{1}, append([]contender{floor}, w.builds()...)...)
}

// builds returns the program after the other builds of it that -baseline lists.
func (w *world) builds() (all []contender) {
	for binary := range strings.SplitSeq(w.options.baseline, ",") {
		if binary != "" {
			all = append(all, product(filepath.Base(binary), binary))
		}
	}
	return append(all, w.product)
}

// compare drains a backlog with each contender in turn, over both protocols, and
// writes their costs beside those of the first.
func (w *world) compare(ctx context.Context, batches []int, all ...contender) (string, error) {
	const n = 100_000
	topic, err := w.topicOf(ctx, n, partitions)
	if err != nil {
		return "", err
	}
	var rows []*row
	for _, url := range []string{w.plain, w.secure} {
		for _, batch := range batches {
			for _, c := range all {
				s := setup{topic: topic, n: n, url: url, batch: batch, linger: -1}
				rows = append(rows, &row{of: c, events: expected(n), setup: s})
			}
		}
	}
	if err := w.turns(ctx, rows); err != nil {
		return "", err
	}
	var b strings.Builder
	fmt.Fprintf(&b, "| | | CPU µs an event | × %[1]s | events/s | × %[1]s | peak MB |\n|---|---|--:|--:|--:|--:|--:|\n", all[0].name)
	for i, r := range rows {
		first, got := rows[i-i%len(all)].median(), r.median()
		fmt.Fprintf(&b, "| %s, batches of %d | %s | %.2f | %.2f | %s | %.2f | %d |\n", strings.SplitN(r.setup.url, ":", 2)[0], r.setup.batch, r.of.name,
			micros(got.cpu), float64(got.cpu)/float64(first.cpu), thousands(got.perSecond), got.perSecond/first.perSecond, got.peak>>20)
	}
	return b.String(), nil
}
