package main

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
)

// TestMain lets the test binary be the program, for tests of the process.
func TestMain(m *testing.M) {
	if os.Getenv("JOBS3_BE_THE_PROGRAM") != "" {
		os.Exit(run())
	}
	os.Exit(m.Run())
}

func command(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), self, args...)
	cmd.Env = []string{"JOBS3_BE_THE_PROGRAM=1", "HOME=" + t.TempDir()}
	return cmd
}

func TestProcess(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.Copy(w, r.Body)
	}))
	t.Cleanup(server.Close)
	cmd := command(t, append([]string{"--endpoint", server.URL, "projects", "client-events-create", "projects/p"},
		strings.Fields("-r .client-event create-time=et event-id=magna extra-info=key=no job-event jobs=ipsum type=voluptua. .. parent-event-id=at request-id=sanctus")...)...)
	var errs bytes.Buffer
	cmd.Stderr = &errs
	got, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v: %s", err, &errs)
	}
	const want = `{
  "clientEvent": {
    "createTime": "et",
    "eventId": "magna",
    "extraInfo": {
      "key": "no"
    },
    "jobEvent": {
      "jobs": [
        "ipsum"
      ],
      "type": "voluptua."
    },
    "parentEventId": "at",
    "requestId": "sanctus"
  }
}`
	if string(got) != want {
		t.Errorf("got %s\nwant %s", got, want)
	}
}

func TestProcessExitCode(t *testing.T) {
	for code, args := range map[int][]string{
		0: {"--version"},
		1: {"projects"},
		3: {"--config-dir", "/dev/null", "projects", "jobs-get", "projects/p/jobs/j"},
		4: {"--credentials", "/nowhere/at/all", "projects", "jobs-get", "projects/p/jobs/j"},
	} {
		cmd := command(t, args...)
		if err := cmd.Run(); cmd.ProcessState.ExitCode() != code {
			t.Errorf("%q: %v, want exit code %d", args, err, code)
		}
	}
}

func TestProcessIsInterrupted(t *testing.T) {
	arrived := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		close(arrived)
		<-r.Context().Done() // until the client is gone
	}))
	t.Cleanup(server.Close)
	cmd := command(t, "--endpoint", server.URL, "projects", "jobs-get", "projects/p/jobs/j")
	var errs bytes.Buffer
	cmd.Stderr = &errs
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	<-arrived
	if err := cmd.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	err := cmd.Wait()
	exit, ok := errors.AsType[*exec.ExitError](err)
	if !ok || exit.ExitCode() != 1 || errs.String() != "Interrupted\n" {
		t.Errorf("%v: %q", err, &errs)
	}
}
