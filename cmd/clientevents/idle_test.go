package main

import (
	"bytes"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/clientevents/clientevents/test/kafkatest"
)

// TestIdle runs the program as it is shipped, with nothing to do: it is ready
// soon, and costs next to nothing. The bounds are what is promised, but for the
// time, which a loaded machine may double; how much of a core it takes is only
// told, since that can't be judged beside other tests.
func TestIdle(t *testing.T) {
	t.Parallel()
	if runtime.GOOS != "linux" {
		t.Skip("not run: what a process takes is read from /proc")
	}
	if testing.Short() {
		t.Skip("not run with -short: it watches the program for a while")
	}
	const (
		mostMemory = 64 << 20
		readyIn    = 10 * time.Second
		watched    = 2 * time.Second
	)
	program := filepath.Join(t.TempDir(), "clientevents")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", program, ".").CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	c := kafkatest.Embedded(t)
	topic := c.NewTopic(t, "events", 12)
	admin := freeAddress(t)
	cmd := exec.CommandContext(t.Context(), program, "run")
	cmd.Env = append(os.Environ(),
		"CLIENTEVENTS_KAFKA_BROKERS="+strings.Join(c.Brokers, ","), "CLIENTEVENTS_KAFKA_TOPIC="+topic, "CLIENTEVENTS_KAFKA_GROUP=idle",
		"CLIENTEVENTS_API_ENDPOINT=http://127.0.0.1:1", "CLIENTEVENTS_API_VERSION=v4", "CLIENTEVENTS_API_PARENT=projects/p/tenants/t",
		"CLIENTEVENTS_API_CREDENTIALS=none", "CLIENTEVENTS_ADMIN_LISTEN="+admin)
	var log bytes.Buffer
	cmd.Stderr = &log
	began := time.Now()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		if err := cmd.Wait(); err != nil {
			t.Errorf("it ended with %v:\n%s", err, &log)
		}
	}()
	kafkatest.WaitFor(t, readyIn, "/readyz to say ok", func() bool {
		resp, err := http.Get("http://" + admin + "/readyz")
		if err != nil {
			return false
		}
		_ = resp.Body.Close()
		return resp.StatusCode == http.StatusOK
	})
	ready := time.Since(began)
	before := gauge(t, admin, "process_cpu_seconds_total")
	from := time.Now()
	<-time.After(watched) // it is what a while costs that is measured
	core := (gauge(t, admin, "process_cpu_seconds_total") - before) / time.Since(from).Seconds()
	memory := gauge(t, admin, "process_resident_memory_bytes")
	t.Logf("ready after %s; idle with 12 partitions: %.0f MiB resident, %.2f %% of a core", ready.Round(10*time.Millisecond), memory/(1<<20), 100*core)
	if memory > mostMemory {
		t.Errorf("it has %.0f MiB resident: want %d at most", memory/(1<<20), mostMemory>>20)
	}
}

// gauge reads a series without labels.
func gauge(t *testing.T, admin, name string) float64 {
	t.Helper()
	resp, err := http.Get("http://" + admin + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile(`(?m)^` + name + ` (\S+)$`).FindSubmatch(text)
	if m == nil {
		t.Fatalf("/metrics has no %s", name)
	}
	value, err := strconv.ParseFloat(string(m[1]), 64)
	if err != nil {
		t.Fatal(err)
	}
	return value
}
