package main

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/clientevents/clientevents/test/kafkatest"
)

func TestParse(t *testing.T) {
	tests := []struct {
		line      string
		command   []string
		wantError string
	}{
		{line: "run -- go test ./...", command: []string{"go", "test", "./..."}},
		{line: "run -port 9092 -set a=b -set c=d=e -- env", command: []string{"env"}},
		{line: "serve -dir somewhere", command: []string{}},
		{line: "fetch", command: nil},
		{line: "serve -nodes 0", wantError: "want 1 or more"},
		{line: "run", wantError: "name the command to run"},
		{line: "run -set novalue -- env", wantError: "is not name=value"},
		{line: "serve now", wantError: `not "serve now"`},
		{line: "", wantError: "want run, serve, fetch or version"},
	}
	for _, tt := range tests {
		t.Run(tt.line, func(t *testing.T) {
			_, _, command, err := parse(strings.Fields(tt.line))
			if tt.wantError != "" {
				if err == nil || !strings.Contains(err.Error(), tt.wantError) {
					t.Errorf("error %v, want %q", err, tt.wantError)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(command, tt.command) || (command == nil) != (tt.command == nil) {
				t.Errorf("command %#v, want %#v", command, tt.command)
			}
		})
	}
}

func TestParseKeepsOptions(t *testing.T) {
	options, nodes, _, err := parse([]string{"serve", "-nodes", "3", "-port", "9092", "-heap", "1g", "-set", "a=b=c"})
	if err != nil {
		t.Fatal(err)
	}
	if nodes != 3 || options.Port != 9092 || options.Heap != "1g" || options.Properties["a"] != "b=c" {
		t.Errorf("parse gave %+v", options)
	}
}

func TestExecuteGivesTheCommandItsEnvironmentAndReturnsItsExitCode(t *testing.T) {
	environment := []string{"KAFKA_BROKERS=broker:1"}
	code, err := execute(t.Context(), []string{"sh", "-c", `test "$KAFKA_BROKERS" = broker:1 && exit 7`}, environment)
	if code != 7 || err != nil {
		t.Errorf("execute = %d, %v; want 7 and no error", code, err)
	}
	if code, err := execute(t.Context(), []string{"true"}, nil); code != 0 || err != nil {
		t.Errorf("execute(true) = %d, %v; want 0 and no error", code, err)
	}
	if code, err := execute(t.Context(), []string{"no-such-command"}, nil); code != exitFailed || err == nil {
		t.Errorf("execute(no-such-command) = %d, %v; want %d and an error", code, err, exitFailed)
	}
}

func TestExecuteAsksTheCommandToEnd(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	ready := filepath.Join(t.TempDir(), "ready")
	script := `trap 'exit 5' TERM; : > "$READY"; while :; do sleep 0.01; done`
	type result struct {
		code int
		err  error
	}
	done := make(chan result)
	go func() {
		code, err := execute(ctx, []string{"sh", "-c", script}, []string{"READY=" + ready})
		done <- result{code, err}
	}()
	waitForFile(t, ready)
	cancel(errors.New("Ctrl-C"))
	if r := <-done; r.code != 5 {
		t.Errorf("execute = %d, %v; want the 5 of the command's own end", r.code, r.err)
	}
}

func TestWithoutJavaTheExitCodeTellsThatNothingWasRun(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	if code := run(t.Context(), []string{"run", "--", "true"}); code != exitUnavailable {
		t.Errorf("run = %d, want %d", code, exitUnavailable)
	}
}

func waitForFile(t *testing.T, path string) {
	t.Helper()
	kafkatest.WaitFor(t, time.Minute, path, func() bool { _, err := os.Stat(path); return err == nil })
}
