// Command mutants puts bugs back into the program, one at a time, and requires
// that the test which is there against each turns red: a test that was never seen
// to fail proves nothing. Nothing is written into the source tree.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"sync"
	"time"
)

func main() {
	only := flag.String("only", "", "a regular expression: only the bugs whose description it matches")
	flag.Parse()
	pattern, err := regexp.Compile(*only)
	if err != nil {
		fmt.Fprintf(os.Stderr, "mutants: -only: %v\n", err)
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	failed := run(ctx, pattern)
	stop()
	if failed > 0 {
		fmt.Printf("mutants: %d were not noticed\n", failed)
		os.Exit(1)
	}
}

// run tries the bugs, as many at a time as there are processors.
func run(ctx context.Context, pattern *regexp.Regexp) (failed int) {
	var mu sync.Mutex
	var all sync.WaitGroup
	free := make(chan struct{}, runtime.GOMAXPROCS(0))
	for i := range bugs {
		b := &bugs[i]
		if !pattern.MatchString(b.what) {
			continue
		}
		free <- struct{}{}
		all.Go(func() {
			defer func() { <-free }()
			began := time.Now()
			by, err := b.try(ctx)
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				failed++
				fmt.Printf("NOT NOTICED  %s\n             %v\n", b.what, err)
				return
			}
			fmt.Printf("red %5.1f s  %s: %s\n", time.Since(began).Seconds(), b.what, by)
		})
	}
	all.Wait()
	return failed
}

// try runs the test against the bug, and returns which test failed.
func (b *bug) try(ctx context.Context) (by string, err error) {
	dir, err := os.MkdirTemp("", "mutant")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(dir)
	overlay, err := b.overlay(dir)
	if err != nil {
		return "", err
	}
	args := append([]string{"test", "-count=1", "-vet=off", "-timeout=3m", "-overlay=" + overlay, "-run=" + b.run, b.pkg}, b.args...)
	out, err := exec.CommandContext(ctx, "go", args...).CombinedOutput()
	switch output := string(out); {
	case ctx.Err() != nil:
		return "", ctx.Err()
	case err == nil:
		return "", fmt.Errorf("go %s: passes with it", strings.Join(args, " "))
	case strings.Contains(output, "[build failed]") || strings.Contains(output, "[setup failed]"):
		return "", fmt.Errorf("it does not compile:\n%s", output)
	default:
		if m := failure.FindStringSubmatch(output); m != nil {
			return strings.Join(m[1:], ""), nil
		}
		return "", fmt.Errorf("no test failed, but: %.2000s", output)
	}
}

var failure = regexp.MustCompile(`(?m)^--- FAIL: (\S+)|^(panic: (?:runtime error|assignment).*)`)

// overlay writes the file with the bug in it, and what tells go to use it.
func (b *bug) overlay(dir string) (string, error) {
	source, err := os.ReadFile(b.file)
	if err != nil {
		return "", err
	}
	if n := strings.Count(string(source), b.old); n != 1 {
		return "", fmt.Errorf("%s has %d places like %q: want 1, so adapt test/mutants", b.file, n, b.old)
	}
	mutant := filepath.Join(dir, filepath.Base(b.file))
	if err := os.WriteFile(mutant, []byte(strings.Replace(string(source), b.old, b.with, 1)), 0o600); err != nil {
		return "", err
	}
	original, err := filepath.Abs(b.file)
	if err != nil {
		return "", err
	}
	text, err := json.Marshal(map[string]any{"Replace": map[string]string{original: mutant}})
	if err != nil {
		return "", err
	}
	overlay := filepath.Join(dir, "overlay.json")
	return overlay, os.WriteFile(overlay, text, 0o600)
}
