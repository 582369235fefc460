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
	"github.com/google/pprof/profile"
)

// serveProfiled is this program under the profiler, which writes what it sees to
// the file of the argument.
func serveProfiled(args []string) error {
	if len(args) != 1 {
		return errors.New("want a file for the profile")
	}
	c, err := config.Load("", os.Environ())
	if err != nil {
		return err
	}
	app.TuneMemory(os.Getenv)
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
	return app.Run(ctx, app.Options{Config: c, Logger: logging.New(os.Stderr, "text", c.Log.Level)})
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
		return "", errors.New("want another binary with -baseline")
	}
	const n = 100_000
	topic, err := w.topicOf(ctx, n, partitions)
	if err != nil {
		return "", err
	}
	var rows []*row
	for _, url := range []string{w.plain, w.secure} {
		for _, batch := range []int{1, 100} {
			for _, c := range []contender{product("baseline", w.options.baseline), w.product} {
				rows = append(rows, &row{of: c, events: expected(n), setup: setup{topic: topic, n: n, url: url, batch: batch, linger: -1}})
			}
		}
	}
	if err := w.turns(ctx, rows); err != nil {
		return "", err
	}
	var b strings.Builder
	b.WriteString("| | baseline µs an event | this µs an event | × | baseline events/s | this events/s | MB | MB |\n|---|--:|--:|--:|--:|--:|--:|--:|\n")
	for i := 0; i < len(rows); i += 2 {
		old, now := rows[i].median(), rows[i+1].median()
		fmt.Fprintf(&b, "| %s, batches of %d | %.2f | %.2f | %.2f | %s | %s | %d | %d |\n", strings.SplitN(rows[i].setup.url, ":", 2)[0], rows[i].setup.batch,
			micros(old.cpu), micros(now.cpu), float64(now.cpu)/float64(old.cpu), thousands(old.perSecond), thousands(now.perSecond), old.peak>>20, now.peak>>20)
	}
	return b.String(), nil
}
