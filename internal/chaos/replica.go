package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// replica is one process of the pipeline.
type replica struct {
	name  string
	admin string
	cmd   *exec.Cmd
	ended chan struct{}
	dead  bool
}

func (w *world) start(ctx context.Context) (*replica, error) {
	port, err := freePort(ctx)
	if err != nil {
		return nil, err
	}
	w.started++
	r := &replica{name: fmt.Sprintf("replica-%d", w.started), admin: fmt.Sprintf("127.0.0.1:%d", port), ended: make(chan struct{})}
	log, err := os.Create(filepath.Join(w.dir, r.name+".log"))
	if err != nil {
		return nil, err
	}
	r.cmd = exec.Command(w.binary, "run") //nolint:noctx // it is ended in ways that a context can't
	r.cmd.Env = append(os.Environ(),
		"CLIENTEVENTS_KAFKA_BROKERS="+w.address,
		"CLIENTEVENTS_KAFKA_TOPIC="+topic,
		"CLIENTEVENTS_KAFKA_GROUP=chaos",
		"CLIENTEVENTS_API_ENDPOINT=http://"+w.apiAddr,
		"CLIENTEVENTS_API_VERSION=v3",
		"CLIENTEVENTS_API_PARENT=projects/demo",
		"CLIENTEVENTS_API_CREDENTIALS=none",
		"CLIENTEVENTS_ADMIN_LISTEN="+r.admin,
	)
	r.cmd.Stdout, r.cmd.Stderr = log, log
	if err := r.cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		_ = r.cmd.Wait()
		_ = log.Close()
		close(r.ended)
	}()
	w.replicas = append(w.replicas, r)
	return r, nil
}

func (w *world) living() (all []*replica) {
	for _, r := range w.replicas {
		if !r.dead {
			all = append(all, r)
		}
	}
	return all
}

func (w *world) any() *replica {
	living := w.living()
	if len(living) == 0 {
		return nil
	}
	return living[w.rng.IntN(len(living))]
}

func (r *replica) kill() {
	r.dead = true
	_ = r.cmd.Process.Kill()
	<-r.ended
}

// end makes sure that nothing is left behind.
func (r *replica) end() {
	select {
	case <-r.ended:
	default:
		_ = r.cmd.Process.Signal(syscall.SIGCONT)
		r.kill()
	}
}

// stop asks the replica to end, and says how long it took and how it ended.
func (r *replica) stop() (time.Duration, error) {
	r.dead = true
	began := time.Now()
	_ = r.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-r.ended:
	case <-time.After(30 * time.Second):
		r.kill()
		return time.Since(began), fmt.Errorf("%s did not end within 30 s of SIGTERM", r.name)
	}
	if code := r.cmd.ProcessState.ExitCode(); code != 0 {
		return time.Since(began), fmt.Errorf("%s ended with exit code %d", r.name, code)
	}
	return time.Since(began), nil
}

var client = &http.Client{Timeout: 2 * time.Second}

// partitions asks a replica what it owns.
func (r *replica) partitions(ctx context.Context) int {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+r.admin+"/status", nil)
	if err != nil {
		return 0
	}
	resp, err := client.Do(req)
	if err != nil {
		return 0
	}
	defer resp.Body.Close()
	var status struct{ Partitions []struct{ Restored bool } }
	if json.NewDecoder(resp.Body).Decode(&status) != nil {
		return 0
	}
	n := 0
	for _, p := range status.Partitions {
		if p.Restored {
			n++
		}
	}
	return n
}

// covered waits until the living replicas own all partitions, and have read
// their state.
func (w *world) covered(ctx context.Context, limit time.Duration) (time.Duration, bool) {
	began := time.Now()
	for time.Since(began) < limit && ctx.Err() == nil {
		n := 0
		for _, r := range w.living() {
			n += r.partitions(ctx)
		}
		if n == partitions {
			return time.Since(began), true
		}
		time.Sleep(100 * time.Millisecond)
	}
	return time.Since(began), false
}

// peakMemory is the highest resident memory of the process so far, in MiB.
func (r *replica) peakMemory() int {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", r.cmd.Process.Pid))
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(data)) {
		if fields := strings.Fields(line); len(fields) > 1 && fields[0] == "VmHWM:" {
			kib, _ := strconv.Atoi(fields[1])
			return kib >> 10
		}
	}
	return 0
}
