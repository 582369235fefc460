package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"
)

// replica is one process of the pipeline.
type replica struct {
	name  string
	admin string
	host  *host // nil for loopback
	cmd   *exec.Cmd
	ended chan struct{}
	// dead: it was told to end, or is. frozen: it was stopped and will continue.
	dead   atomic.Bool
	frozen bool
}

func (w *world) start(ctx context.Context) (*replica, error) { return w.startAs(ctx, "") }

// startAs starts a replica; one with an instance is a static member of the group.
func (w *world) startAs(ctx context.Context, instance string) (*replica, error) {
	w.started++
	r := &replica{name: fmt.Sprintf("replica-%d", w.started), ended: make(chan struct{})}
	command, err := r.place(ctx, w)
	if err != nil {
		return nil, err
	}
	log, err := os.Create(filepath.Join(w.dir, r.name+".log"))
	if err != nil {
		return nil, err
	}
	r.cmd = exec.Command(command[0], command[1:]...) //nolint:noctx // it is ended in ways that a context can't
	r.cmd.Env = append(os.Environ(),
		"CLIENTEVENTS_KAFKA_BROKERS="+w.broker.addresses(),
		"CLIENTEVENTS_KAFKA_TOPIC="+topic,
		"CLIENTEVENTS_KAFKA_GROUP="+group,
		"CLIENTEVENTS_API_ENDPOINT=http://"+w.api.addr,
		"CLIENTEVENTS_API_VERSION=v3",
		"CLIENTEVENTS_API_PARENT=projects/demo",
		"CLIENTEVENTS_API_CREDENTIALS=none",
		"CLIENTEVENTS_ADMIN_LISTEN="+r.admin,
	)
	if instance != "" {
		r.cmd.Env = append(r.cmd.Env, "CLIENTEVENTS_KAFKA_INSTANCE_ID="+instance)
	}
	r.cmd.Stdout, r.cmd.Stderr = log, log
	// A group of its own: Ctrl-C is for the chaos run, which then ends it.
	r.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := r.cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		err := r.cmd.Wait()
		if !r.dead.Swap(true) {
			w.crashed.Add(1)
			fmt.Printf("chaos: BROKEN: %s ended by itself: %v\n", r.name, err)
		}
		_ = log.Close()
		close(r.ended)
	}()
	w.replicas = append(w.replicas, r)
	return r, nil
}

// place finds the replica an address, and the command that runs it there.
func (r *replica) place(ctx context.Context, w *world) (command []string, err error) {
	if w.network != nil {
		if r.host, err = w.network.addHost(ctx); err != nil {
			return nil, err
		}
		r.admin = r.host.ip + ":9090"
		return []string{"ip", "netns", "exec", r.host.namespace, w.binary, "run"}, nil
	}
	port, err := freePort(ctx)
	r.admin = fmt.Sprintf("127.0.0.1:%d", port)
	return []string{w.binary, "run"}, err
}

func (w *world) living() (all []*replica) {
	for _, r := range w.replicas {
		if !r.dead.Load() {
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
	r.dead.Store(true)
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

// stop stops a replica in order.
func (w *world) stop(r *replica) {
	took, err := r.stop()
	w.result.stops = append(w.result.stops, took)
	if err != nil || took > 10*time.Second {
		w.result.failedStops++
		fmt.Printf("chaos: BROKEN: a stop took %s: %v\n", took, err)
	}
}

// stop asks the replica to end, and says how long it took and how it ended.
func (r *replica) stop() (time.Duration, error) {
	r.dead.Store(true)
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

// get asks a replica's admin server.
func (r *replica) get(ctx context.Context, path string, read func(io.Reader) error) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+r.admin+path, nil)
	if err != nil {
		return err
	}
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	return read(resp.Body)
}

// partitions is how many a replica owns and has read the state of.
func (r *replica) partitions(ctx context.Context) (n int) {
	var status struct{ Partitions []struct{ Restored bool } }
	if r.get(ctx, "/status", func(body io.Reader) error { return json.NewDecoder(body).Decode(&status) }) != nil {
		return 0 // it is only starting
	}
	for _, p := range status.Partitions {
		if p.Restored {
			n++
		}
	}
	return n
}

// metric is the value of a metric without labels.
func (r *replica) metric(ctx context.Context, name string) (value float64, err error) {
	err = r.get(ctx, "/metrics", func(body io.Reader) error {
		for lines := bufio.NewScanner(body); lines.Scan(); {
			if text, ok := strings.CutPrefix(lines.Text(), name+" "); ok {
				value, err = strconv.ParseFloat(text, 64)
				return err
			}
		}
		return fmt.Errorf("no metric %s", name)
	})
	return value, err
}

// balanced waits until the living replicas own all partitions, each its share, and have
// read their state. It reports false when that takes longer than the limit.
func (w *world) balanced(ctx context.Context, limit time.Duration) bool {
	for began := time.Now(); time.Since(began) < limit && ctx.Err() == nil; time.Sleep(50 * time.Millisecond) {
		n, least, most := 0, partitions, 0
		for _, r := range w.living() {
			own := r.partitions(ctx)
			n, least, most = n+own, min(least, own), max(most, own)
		}
		if n == partitions && most-least <= 1 {
			return true
		}
	}
	return false
}

// covered waits until the living replicas own all partitions, and have read
// their state.
func (w *world) covered(ctx context.Context, limit time.Duration) (time.Duration, bool) {
	began := time.Now()
	for time.Since(began) < limit && ctx.Err() == nil {
		n := 0
		for _, r := range w.living() {
			if !r.frozen {
				n += r.partitions(ctx)
			}
		}
		if n == partitions {
			return time.Since(began), true
		}
		time.Sleep(100 * time.Millisecond)
	}
	return time.Since(began), false
}

// memory is one of the kernel's figures for the process, in MiB: VmRSS is its
// resident memory now, VmHWM at its highest.
func (r *replica) memory(figure string) int {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", r.cmd.Process.Pid))
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(data)) {
		if fields := strings.Fields(line); len(fields) > 1 && fields[0] == figure+":" {
			kib, _ := strconv.Atoi(fields[1])
			return kib >> 10
		}
	}
	return 0
}
