package conformance

import (
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/clientevents/clientevents/emulator"
	emulatorgrpc "github.com/clientevents/clientevents/emulator/grpc"
)

// require skips a test whose requirement is missing. With CONFORMANCE=all it fails the
// test instead, so that CI can't pass without running it.
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

// runClient runs a program that exits with 0 if the client's results are correct.
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

// In TestNodeClientsLeadAJobsLife and TestPythonClientLeadsAJobsLife, each client's
// event has the request ID of its own search.
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

// wantKept expects n events, none of which the service would discard.
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

// documents writes the discovery documents of v3 and v4 to files.
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

// The examples of tests of an application, in each language with its usual test runner,
// over gRPC and REST. docs/emulator.md prints how they open their clients.

func TestApplicationInPython(t *testing.T) {
	checkApplication(t, 4, func(string) {
		runPython(t, "-m", "pytest", "-q", "-p", "no:cacheprovider", "python/test_application.py")
	})
}

func TestApplicationInNode(t *testing.T) {
	checkApplication(t, 2, func(string) { runNode(t, "--test", "node/application.test.mjs") }) // over REST it repeats nothing
}

// Maven downloads the client and JUnit. The test is not run without Maven.
func TestApplicationInJava(t *testing.T) {
	maven, err := exec.LookPath("mvn")
	if err != nil {
		t.Skip("NOT RUN: Maven is not installed")
	}
	checkApplication(t, 4, func(string) {
		runClient(t, maven, "--quiet", "--batch-mode", "--file", "java/pom.xml", "-DbuildDirectory="+t.TempDir(), "test")
	})
}

// checkApplication runs an application's tests, and checks how often they read the job
// that fails at first: twice over each transport where the client repeats reads.
func checkApplication(t *testing.T, want int64, run func(addr string)) {
	t.Helper()
	addr, reads := serveBothTransports(t)
	t.Setenv("EMULATOR", addr)
	run(addr)
	if n := reads.Load(); n != want {
		t.Errorf("jobs/1 was read %d times, want %d", n, want)
	}
}

// serveBothTransports serves an emulator over HTTP and gRPC, with the company and
// the job that docs/emulator.md has as an example. Each first read of the job
// fails, and a read of jobs/slow gets no answer. It counts the reads of the job.
func serveBothTransports(t *testing.T) (addr string, reads *atomic.Int64) {
	t.Helper()
	text, err := os.ReadFile("../docs/emulator.md")
	if err != nil {
		t.Fatal(err)
	}
	_, seed, _ := strings.Cut(string(text), "```json\n")
	seed, _, _ = strings.Cut(seed, "```")
	file := filepath.Join(t.TempDir(), "seed.json")
	if err := os.WriteFile(file, []byte(seed), 0o600); err != nil {
		t.Fatal(err)
	}
	reads = new(atomic.Int64)
	api := emulator.New(emulator.Options{SeedFile: file, Faults: emulator.Faults{Hook: func(r *emulator.Request) *emulator.Fault {
		switch {
		case r.Method != http.MethodGet:
		case strings.HasSuffix(r.Path, "/jobs/1") && reads.Add(1)%2 == 1:
			return emulator.Refuse(http.StatusServiceUnavailable, "")
		case strings.HasSuffix(r.Path, "/jobs/slow"):
			return &emulator.Fault{Hang: make(chan struct{})}
		}
		return nil
	}}})
	server := httptest.NewUnstartedServer(emulatorgrpc.Handler(api))
	server.Config.Protocols = emulatorgrpc.Protocols()
	server.Start()
	t.Cleanup(func() {
		api.Close()
		server.Close()
	})
	return server.Listener.Addr().String(), reads
}

// TestPythonClientSendsBatches runs the only client of Google's that sends HTTP
// batches, google-api-python-client. It ends lines with single line feeds, and finds
// the answers by their Content-IDs.
func TestPythonClientSendsBatches(t *testing.T) {
	api, url := serveEmulator(t, emulator.Options{KeepAll: true})
	runPython(t, append([]string{"python/events.py", url}, documents(t)...)...)
	if stats := api.Stats(); stats.Accepted != 2*(1+90) || stats.Batches != 2 || stats.Parts != 200 || stats.Duplicates != 0 {
		t.Errorf("the emulator counts %+v", stats)
	}
}
