package conformance

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/clientevents/clientevents/emulator"
)

// require says that what a test needs is missing: the test is skipped, or with
// CONFORMANCE=all it fails, so that CI can't pass because of what is not there.
func require(t *testing.T, ok bool, what string) {
	t.Helper()
	switch {
	case ok:
	case os.Getenv("CONFORMANCE") == "all":
		t.Fatalf("%s is missing: run 'make conformance'", what)
	default:
		t.Skipf("NOT RUN: %s is missing; 'make conformance' installs it", what)
	}
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// runClient runs a program that ends with 0 where the client's view is right.
func runClient(t *testing.T, program string, args ...string) {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), program, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", filepath.Base(program), err, out)
	}
	t.Logf("%s", out)
}

func runNode(t *testing.T, args ...string) {
	t.Helper()
	_, err := exec.LookPath("node")
	require(t, err == nil && exists("node/node_modules"), "node, or what node/package.json names,")
	runClient(t, "node", args...)
}

func runPython(t *testing.T, args ...string) {
	t.Helper()
	const python = "python/.venv/bin/python"
	require(t, exists(python), "python/.venv")
	runClient(t, python, args...)
}

// TestNodeClientsCreateEvents: googleapis and @google-cloud/talent.
func TestNodeClientsCreateEvents(t *testing.T) {
	api, url := serveEmulator(t, emulator.Options{KeepAll: true})
	runNode(t, "node/events.mjs", url)
	const clients = 5
	types := jobEventTypes("v4") // the scripts know v4's
	if got, want := len(api.Events()), clients*len(types); got != want {
		t.Errorf("%d events arrived, want %d", got, want)
	}
	for _, got := range api.Events() {
		if !strings.HasSuffix(got.Event.EventID, " "+got.Event.Type) || !got.Event.CreateTime.Equal(created) || got.Event.RequestID != "r" {
			t.Errorf("the emulator understood %+v", got)
		}
	}
}

// TestNodeClientsLeadAJobsLife and TestPythonClientLeadsAJobsLife: each client's
// event comes from its own search.
func TestNodeClientsLeadAJobsLife(t *testing.T) {
	api, url := serveEmulator(t, emulator.Options{KeepAll: true})
	runNode(t, "node/life.mjs", url)
	wantKept(t, api, 4)
}

func TestPythonClientLeadsAJobsLife(t *testing.T) {
	api, url := serveEmulator(t, emulator.Options{KeepAll: true})
	runPython(t, append([]string{"python/life.py", url}, documents(t)...)...)
	wantKept(t, api, 2)
}

// wantKept wants so many events, none of which the service would discard.
func wantKept(t *testing.T, api *emulator.Emulator, n int) {
	t.Helper()
	if got := len(api.Events()); got != n {
		t.Errorf("%d events arrived, want %d", got, n)
	}
	for _, got := range api.Events() {
		if len(got.Warnings) != 0 {
			t.Errorf("the service would discard %+v: %v", got.Event, got.Warnings)
		}
	}
}

// documents are files with the discovery documents of v3 and v4.
func documents(t *testing.T) (paths []string) {
	t.Helper()
	dir := t.TempDir()
	for _, version := range []string{"v3", "v4"} {
		path := filepath.Join(dir, version+".json")
		if err := os.WriteFile(path, discoveryDocument(t, version), 0o600); err != nil {
			t.Fatal(err)
		}
		paths = append(paths, path)
	}
	return paths
}

// TestPythonClientSendsBatches: google-api-python-client is the one client of
// Google's that sends HTTP batches. It ends lines with bare line feeds, and
// finds the answers by their Content-IDs.
func TestPythonClientSendsBatches(t *testing.T) {
	api, url := serveEmulator(t, emulator.Options{KeepAll: true})
	runPython(t, append([]string{"python/events.py", url}, documents(t)...)...)
	if stats := api.Stats(); stats.Accepted != 2*(1+90) || stats.Batches != 2 || stats.Parts != 200 || stats.Duplicates != 0 {
		t.Errorf("the emulator counts %+v", stats)
	}
}
