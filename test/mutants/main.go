// Command mutants puts bugs back into the program, one at a time, and requires
// that the test which is there against each turns red: a test that was never seen
// to fail proves nothing. Nothing is written into the source tree. One build holds
// all bugs that can be switched on in it, see [joint].
package main

import (
	"context"
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

// run tries the bugs that the pattern matches, as many at a time as there are
// processors. Before, it runs the same tests without any: what fails then proves nothing.
func run(ctx context.Context, pattern *regexp.Regexp) (failed int) {
	dir, err := os.MkdirTemp("", "mutants")
	if err != nil {
		fmt.Println(err)
		return 1
	}
	defer os.RemoveAll(dir)
	var all []*bug
	for i := range bugs {
		if pattern.MatchString(bugs[i].what) {
			all = append(all, &bugs[i])
		}
	}
	began := time.Now()
	j, err := newJoint(dir, all)
	if err == nil {
		err = j.build(ctx)
	}
	if err != nil {
		fmt.Println(err)
		return 1
	}
	fmt.Printf("built %d bugs into the tests of %d packages in %.1f s\n", len(j.names), len(j.packages), time.Since(began).Seconds())

	var mu sync.Mutex
	var running sync.WaitGroup
	free := make(chan struct{}, runtime.GOMAXPROCS(0))
	start := func(try func() (string, error)) {
		free <- struct{}{}
		running.Go(func() {
			defer func() { <-free }()
			began := time.Now()
			said, err := try()
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				failed++
				fmt.Println(err)
				return
			}
			fmt.Printf("%5.1f s  %s\n", time.Since(began).Seconds(), said)
		})
	}
	tested := map[string]bool{}
	for _, b := range all {
		if test := b.test(); j.names[b] != "" && !tested[test] {
			tested[test] = true
			start(func() (string, error) { return "passes without a bug: " + test, j.control(ctx, b) })
		}
		start(func() (string, error) { return b.try(ctx, j) })
	}
	running.Wait()
	return failed
}

// test names the test that must notice the bug.
func (b *bug) test() string { return strings.Join(append([]string{b.pkg, b.run}, b.args...), " ") }

// control runs the test of a bug without it.
func (j *joint) control(ctx context.Context, b *bug) error {
	if out, err := j.test(ctx, b, ""); err != nil {
		return fmt.Errorf("FAILS WITHOUT A BUG  %s: %w\n%.2000s", b.test(), err, out)
	}
	return nil
}

// test runs the test of a bug in the joint build, with the bug of that name.
func (j *joint) test(ctx context.Context, b *bug, name string) (output string, err error) {
	args := append([]string{"-test.paniconexit0", "-test.timeout=3m", "-test.run=" + b.run}, b.args...)
	cmd := exec.CommandContext(ctx, j.program(b.pkg), args...)
	cmd.Dir, cmd.Env = b.pkg, append(os.Environ(), chosen+"="+name)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// try runs the test against the bug, and says which test failed.
func (b *bug) try(ctx context.Context, j *joint) (by string, err error) {
	var output string
	if name := j.names[b]; name != "" {
		output, err = j.test(ctx, b, name)
	} else {
		output, err = b.testAlone(ctx)
	}
	notNoticed := func(format string, args ...any) error {
		return fmt.Errorf("NOT NOTICED  %s\n             "+format, append([]any{b.what}, args...)...)
	}
	switch {
	case ctx.Err() != nil:
		return "", ctx.Err()
	case err == nil:
		return "", notNoticed("%s passes with it", b.test())
	case strings.Contains(output, "[build failed]") || strings.Contains(output, "[setup failed]"):
		return "", notNoticed("it does not compile:\n%s", output)
	}
	if m := failure.FindStringSubmatch(output); m != nil {
		return "red  " + b.what + ": " + strings.Join(m[1:], ""), nil
	}
	return "", notNoticed("no test failed, but: %v\n%.2000s", err, output)
}

var failure = regexp.MustCompile(`(?m)^--- FAIL: (\S+)|^(panic: (?:runtime error|assignment).*)`)

// testAlone runs the test of a bug in a build of its own.
func (b *bug) testAlone(ctx context.Context) (output string, err error) {
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
	return string(out), err
}

// overlay writes the file with the bug in it, and what tells go to use it.
func (b *bug) overlay(dir string) (string, error) {
	source, err := b.source()
	if err != nil {
		return "", err
	}
	mutant := filepath.Join(dir, filepath.Base(b.file))
	if err := os.WriteFile(mutant, []byte(strings.Replace(source, b.old, b.with, 1)), 0o600); err != nil {
		return "", err
	}
	original, err := filepath.Abs(b.file)
	if err != nil {
		return "", err
	}
	return writeOverlay(dir, map[string]string{original: mutant})
}

// source returns the file that the bug is put into.
func (b *bug) source() (string, error) {
	source, err := os.ReadFile(b.file)
	if err != nil {
		return "", err
	}
	if n := strings.Count(string(source), b.old); n != 1 {
		return "", fmt.Errorf("%s has %d places like %q: want 1, so adapt test/mutants", b.file, n, b.old)
	}
	return string(source), nil
}
