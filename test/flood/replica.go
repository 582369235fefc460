package main

import (
	"bufio"
	"context"
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

// replica is the program under test, and the emulator that it reports to.
type replica struct {
	admin    string
	log      string
	run, api *exec.Cmd
	ended    chan struct{}
	group    *cgroup // nil where none can be made
}

// startReplica starts a replica in a control group, or without one under GOMEMLIMIT.
func startReplica(ctx context.Context, binary, dir, brokers string, group *cgroup) (*replica, error) {
	var ports [2]int
	for i := range ports {
		var err error
		if ports[i], err = freePort(); err != nil {
			return nil, err
		}
	}
	api := fmt.Sprintf("127.0.0.1:%d", ports[0])
	r := &replica{admin: fmt.Sprintf("127.0.0.1:%d", ports[1]), log: filepath.Join(dir, "replica.log"), ended: make(chan struct{}), group: group}
	r.api = exec.CommandContext(ctx, binary, "emulator", "--listen", api, "--keep", "0")
	if err := r.api.Start(); err != nil {
		return nil, err
	}
	log, err := os.Create(r.log)
	if err != nil {
		return nil, err
	}
	environ := os.Environ()
	if group != nil {
		r.run = group.command(ctx, binary, "run")
	} else {
		r.run = exec.CommandContext(ctx, binary, "run")
		environ = append(environ, "GOMEMLIMIT="+goMemory)
	}
	r.run.Stdout, r.run.Stderr = log, log
	r.run.Env = append(environ,
		"CLIENTEVENTS_KAFKA_BROKERS="+brokers,
		"CLIENTEVENTS_KAFKA_TOPIC="+topic,
		"CLIENTEVENTS_KAFKA_GROUP=flood",
		"CLIENTEVENTS_API_ENDPOINT=http://"+api,
		"CLIENTEVENTS_API_VERSION=v3",
		"CLIENTEVENTS_API_PARENT=projects/demo",
		"CLIENTEVENTS_API_CREDENTIALS=none",
		"CLIENTEVENTS_PARENTS_WAIT=5s",
		"CLIENTEVENTS_ADMIN_LISTEN="+r.admin,
	)
	if err := r.run.Start(); err != nil {
		return nil, err
	}
	go func() {
		_ = r.run.Wait()
		_ = log.Close()
		close(r.ended)
	}()
	return r, nil
}

func (r *replica) alive() bool {
	select {
	case <-r.ended:
		return false
	default:
		return true
	}
}

func (r *replica) stop() {
	_ = r.run.Process.Signal(syscall.SIGTERM)
	<-r.ended
	_ = r.api.Process.Kill()
	_ = r.api.Wait()
}

// judge waits until all records have an outcome. wait bounds the time without any new
// outcome: how many there are in a minute depends on the machine.
func (r *replica) judge(ctx context.Context, p *published, wait time.Duration) error {
	began, latest := time.Now(), time.Now()
	outcomes := map[string]int{}
	used := 0
	for total := 0; total < p.records; {
		if !r.alive() {
			return fmt.Errorf("the replica ended; it used %d MiB:\n%s", used>>20, r.tail())
		}
		if time.Since(latest) > wait || ctx.Err() != nil {
			return fmt.Errorf("%d of %d records have an outcome (%v), and no other for %v; %d MiB used:\n%s",
				total, p.records, outcomes, wait, used>>20, r.tail())
		}
		time.Sleep(200 * time.Millisecond)
		if n, err := r.peak(); err == nil {
			used = n
		}
		before := total
		if outcomes, total = r.outcomes(ctx); total > before {
			latest = time.Now()
		}
	}
	fmt.Printf("flood: %d records, outcomes %v, %v after the last; peak memory %d MiB\n",
		p.records, outcomes, time.Since(began).Round(time.Second), used>>20)
	if err := r.judgeGroup(); err != nil {
		return err
	}
	if outcomes["reported"] < p.valid {
		return fmt.Errorf("%d events were reported: expected at least %d", outcomes["reported"], p.valid)
	}
	if used > peak {
		return fmt.Errorf("the replica used %d bytes: expected at most %d", used, peak)
	}
	return nil
}

// judgeGroup looks for kills, which a replica that is restarted would hide.
func (r *replica) judgeGroup() error {
	if r.group == nil {
		return nil
	}
	kills, err := r.group.kills()
	if err != nil {
		return err
	}
	if kills > 0 {
		return fmt.Errorf("the kernel killed %d processes of the group", kills)
	}
	if used, err := r.group.peak(); err == nil {
		fmt.Printf("flood: peak of the control group, with the page cache: %d MiB of %d MiB\n", used>>20, memory>>20)
	}
	return nil
}

func (r *replica) tail() string {
	data, err := os.ReadFile(r.log)
	if err != nil {
		return err.Error()
	}
	return string(data[max(0, len(data)-4000):])
}

var client = &http.Client{Timeout: 5 * time.Second}

// outcomes reads clientevents_records_total.
func (r *replica) outcomes(ctx context.Context) (outcomes map[string]int, total int) {
	outcomes = map[string]int{}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+r.admin+"/metrics", nil)
	if err != nil {
		return outcomes, 0
	}
	answer, err := client.Do(req)
	if err != nil {
		return outcomes, 0
	}
	defer answer.Body.Close()
	for lines := bufio.NewScanner(answer.Body); lines.Scan(); {
		rest, ok := strings.CutPrefix(lines.Text(), `clientevents_records_total{outcome="`)
		if name, value, found := strings.Cut(rest, `"} `); ok && found {
			n, _ := strconv.ParseFloat(value, 64)
			outcomes[name] = int(n)
			total += int(n)
		}
	}
	return outcomes, total
}

// peak returns the most memory that the replica has used, in bytes, with the pages of
// its binary.
func (r *replica) peak() (int, error) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", r.run.Process.Pid))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(data)) {
		if fields := strings.Fields(line); len(fields) == 3 && fields[0] == "VmHWM:" {
			kib, err := strconv.Atoi(fields[1])
			return kib << 10, err
		}
	}
	return 0, fmt.Errorf("process %d has no VmHWM", r.run.Process.Pid)
}
