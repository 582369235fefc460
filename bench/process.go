package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// process is a contender that runs.
type process struct {
	cmd  *exec.Cmd
	out  bytes.Buffer
	log  *os.File
	done chan error
}

// replicas are the processes of one contender.
type replicas []*process

func (all replicas) cpu() (sum time.Duration) {
	for _, p := range all {
		sum += p.cpu()
	}
	return sum
}

func (all replicas) peak() (most int64) {
	for _, p := range all {
		most = max(most, p.peak())
	}
	return most
}

// ended is an error if a process ended by itself.
func (all replicas) ended() error {
	for _, p := range all {
		select {
		case err := <-p.done:
			p.done <- err
			return fmt.Errorf("it ended by itself: %w", err)
		default:
		}
	}
	return nil
}

func (all replicas) stop(ctx context.Context) (cpu time.Duration, err error) {
	for _, p := range all {
		cpu += p.stop(ctx)
	}
	return cpu, ctx.Err()
}

func (all replicas) kill() {
	for _, p := range all {
		_ = p.cmd.Process.Kill()
	}
}

func (w *world) start(c contender, s setup) (*process, error) {
	cmd, err := c.command(w, s)
	if err != nil {
		return nil, err
	}
	p := &process{cmd: cmd, done: make(chan error, 1)}
	if p.log, err = os.CreateTemp(w.dir, s.run+"-*.log"); err != nil {
		return nil, err
	}
	if cmd.Env == nil {
		cmd.Env = append(os.Environ(), "SSL_CERT_FILE="+w.certificate)
	}
	cmd.Stderr, cmd.Stdout = p.log, p.log
	if c.ends {
		cmd.Stdout = &p.out
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", c.name, err)
	}
	go func() { p.done <- cmd.Wait() }()
	return p, nil
}

// peak is the process's largest resident memory so far, in bytes. It is the
// kernel's high-water mark, and not rusage's, which begins with its parent's.
func (p *process) peak() int64 {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(data)) {
		if fields := strings.Fields(line); len(fields) > 1 && fields[0] == "VmHWM:" {
			kib, _ := strconv.ParseInt(fields[1], 10, 64)
			return kib << 10
		}
	}
	return 0
}

// cpu is what the process has used so far.
func (p *process) cpu() time.Duration { return cpuOf(p.cmd.Process.Pid) }

// cpuOf reads the CPU clock of another process, see clock_getcpuclockid(3). The kernel's
// ticks in /proc are too coarse for a few events.
func cpuOf(pid int) time.Duration {
	const scheduled = 2 // CPUCLOCK_SCHED of the whole process
	var t unix.Timespec
	if err := unix.ClockGettime(int32(^pid<<3|scheduled), &t); err != nil {
		return 0
	}
	return time.Duration(t.Nano())
}

// own waits for a process that ends by itself, and reads the CPU time that it
// prints.
func (p *process) own() (time.Duration, error) {
	defer p.log.Close()
	if err := <-p.done; err != nil {
		p.done <- err
		return 0, err
	}
	nanos, err := strconv.ParseInt(strings.TrimSpace(p.out.String()), 10, 64)
	return time.Duration(nanos), err
}

// stop ends the process in order and returns the CPU time of its whole life.
func (p *process) stop(ctx context.Context) time.Duration {
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	kill := context.AfterFunc(ctx, func() { _ = p.cmd.Process.Kill() })
	defer kill()
	p.done <- <-p.done // the result no longer matters
	defer p.log.Close()
	state := p.cmd.ProcessState
	return state.UserTime() + state.SystemTime()
}
