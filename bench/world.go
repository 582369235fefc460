package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// world is what all contenders share.
type world struct {
	options options
	commit  string // when it began: the tables that it writes are changes too
	dir     string
	ends    []func()

	brokers, brokerName string
	client, prompt      *kgo.Client
	admin               *kadm.Client
	topics, runs        int
	prefix              string // of topics and runs
	services            []*service

	plain, secure, control, certificate string

	product contender
	trusted *sync.Mutex // around Java's trust store
}

func newWorld(ctx context.Context, o options) (_ *world, err error) {
	w := &world{options: o, commit: commit(), trusted: &sync.Mutex{}}
	defer func() {
		if err != nil {
			w.close()
		}
	}()
	if w.dir, err = os.MkdirTemp("", "clientevents-bench-"); err != nil {
		return nil, err
	}
	w.ends = append(w.ends, func() { os.RemoveAll(w.dir) })
	binary := o.product
	if binary == "" {
		if binary, err = w.build(ctx, "product", o.quick); err != nil {
			return nil, err
		}
	}
	w.product = product("clientevents", binary)
	if err := w.startBroker(ctx); err != nil {
		return nil, err
	}
	if err := w.startSink(filepath.Join(w.dir, "sink.pem")); err != nil {
		return nil, err
	}
	return w, nil
}

// startSink starts the substitute of the API, and lets it write its certificate.
func (w *world) startSink(certificate string) error {
	s, err := startService("sink", certificate)
	if err != nil {
		return err
	}
	w.certificate = certificate
	w.services = append(w.services, s)
	w.ends = append(w.ends, s.stop)
	if _, err := fmt.Sscan(s.where, &w.plain, &w.secure, &w.control); err != nil {
		return err
	}
	w.plain, w.secure = "http://"+w.plain, "https://"+w.secure
	return nil
}

func (w *world) close() {
	for _, end := range slices.Backward(w.ends) {
		end()
	}
}

// build builds the program as a release is, or quicker.
func (w *world) build(ctx context.Context, name string, quick bool) (string, error) {
	binary := filepath.Join(w.dir, name)
	args := []string{"build", "-trimpath", "-o", binary}
	if !quick {
		args = append(args, "-pgo", "cmd/clientevents/release.pgo")
	}
	cmd := exec.CommandContext(ctx, "go", append(args, "./cmd/clientevents")...)
	cmd.Dir, cmd.Env = "..", append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build the program (run this in the folder bench): %w: %s", err, lastLine(out))
	}
	return binary, nil
}

// freeAddress is one on this machine where nothing listens.
func freeAddress() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // it takes no time
	if err != nil {
		return "", err
	}
	defer l.Close()
	return l.Addr().String(), nil
}

// reset makes the sink count from zero the events with numbers below n.
func (w *world) reset(ctx context.Context, n int, delay time.Duration) error {
	return w.ask(ctx, http.MethodPost, "/reset?"+url.Values{"n": {strconv.Itoa(n)}, "delay": {delay.String()}}.Encode(), nil)
}

// seen asks the sink what it has seen.
func (w *world) seen(ctx context.Context, quantiles string) (s seen, err error) {
	return s, w.ask(ctx, http.MethodGet, "/seen?quantiles="+quantiles, &s)
}

var asker = &http.Client{Timeout: 10 * time.Second}

func (w *world) ask(ctx context.Context, method, path string, into any) error {
	req, err := http.NewRequestWithContext(ctx, method, "http://"+w.control+path, nil)
	if err != nil {
		return err
	}
	resp, err := asker.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if into == nil {
		return nil
	}
	return json.NewDecoder(resp.Body).Decode(into)
}

// result is what one run showed.
type result struct {
	perSecond float64
	cpu       time.Duration // for one event, the process's start and end included
	steady    time.Duration // for one event, without the process's start; see drain
	until     time.Duration // from the start to the first arrival
	peak      int64         // bytes, of the largest process
	around    time.Duration // CPU for one event of broker and sink
	p50, p99  time.Duration
	lost      int
	repeated  int
}

// patience is how long a contender may make no progress before what is missing counts
// as lost, and startPatience how long it has for the first event: it may have a
// large state to read.
const (
	patience      = 20 * time.Second
	startPatience = 2 * time.Minute
)

// drain lets a contender drain a topic of n records that hold so many different
// events. What it is steady at counts from the first event's arrival to the end of the
// process. If the records are published late, it counts from then, and until all have
// arrived: the end of a process that has read a large state is the kernel's work to take
// its memory back.
func (w *world) drain(ctx context.Context, c contender, s setup, events int, delay time.Duration) (r result, err error) {
	w.runs++
	s.run = fmt.Sprintf("run-%d", w.runs)
	if s.late != nil {
		if s.admin, err = freeAddress(); err != nil {
			return r, err
		}
	}
	if err := w.reset(ctx, s.n, delay); err != nil {
		return r, err
	}
	if err := w.prepare(ctx, c, s); err != nil {
		return r, err
	}
	began, around := time.Now(), w.around()
	var all replicas
	for range max(1, s.replicas) {
		p, err := w.start(c, s)
		if err != nil {
			all.kill()
			return r, err
		}
		all = append(all, p)
	}
	var ready time.Duration
	if s.late != nil {
		if ready, err = w.publishLate(ctx, all, s); err != nil {
			all.kill()
			return r, fmt.Errorf("%s: %w: %s", c.name, err, all[0].tail())
		}
	}
	var cpu, before, arrived time.Duration
	if c.ends {
		cpu, err = all[0].own()
	} else if before, err = w.awaitAll(ctx, all, events); err == nil {
		r.peak, arrived = all.peak(), all.cpu()
		cpu, err = all.stop(ctx)
	}
	if err != nil {
		all.kill()
		return r, fmt.Errorf("%s: %w: %s", c.name, err, all[0].tail())
	}
	got, err := w.seen(ctx, "")
	if err != nil {
		return r, err
	}
	if got.Unique == 0 {
		return r, fmt.Errorf("%s sent nothing: %s", c.name, all[0].tail())
	}
	r.until = time.Unix(0, got.First).Sub(began)
	r.perSecond = float64(got.Unique-1) / (float64(got.Last-got.First) / 1e9)
	r.cpu, r.steady = cpu/time.Duration(got.Unique), (cpu-before)/time.Duration(got.Unique)
	if s.late != nil {
		r.steady = (arrived - ready) / time.Duration(got.Unique)
	}
	r.around = (w.around() - around) / time.Duration(got.Unique)
	r.lost, r.repeated = events-got.Unique, got.Events-got.Unique
	return r, ctx.Err()
}

// prepare makes the dead-letter topic of those that don't do that themselves.
func (w *world) prepare(ctx context.Context, c contender, s setup) error {
	if c.ends || c.name == w.product.name {
		return nil
	}
	_, err := w.admin.CreateTopic(ctx, 1, 1, nil, s.run+".dead-letter")
	return err
}

// publishLate publishes the records when the one replica says that it is ready. It
// returns the CPU time that was used until then.
func (w *world) publishLate(ctx context.Context, all replicas, s setup) (ready time.Duration, err error) {
	for began := time.Now(); !isReady(ctx, s.admin); time.Sleep(20 * time.Millisecond) {
		if err := all.ended(); err != nil {
			return 0, err
		}
		if time.Since(began) > startPatience {
			return 0, fmt.Errorf("not ready after %v", startPatience)
		}
	}
	ready = all.cpu()
	return ready, s.late(ctx)
}

func isReady(ctx context.Context, admin string) bool {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+admin+"/readyz", nil)
	if err != nil {
		return false
	}
	resp, err := asker.Do(req)
	if err != nil {
		return false
	}
	defer resp.Body.Close()
	return resp.StatusCode == http.StatusOK
}

// around is the CPU that broker and sink have used so far; an Apache Kafka's is not
// counted.
func (w *world) around() (sum time.Duration) {
	for _, s := range w.services {
		sum += cpuOf(s.cmd.Process.Pid)
	}
	return sum
}

// awaitAll waits until the sink has all events, or nothing more comes. It
// returns the CPU time that was used until the first one arrived.
func (w *world) awaitAll(ctx context.Context, all replicas, events int) (before time.Duration, err error) {
	last, moved := 0, time.Now()
	for {
		if err := all.ended(); err != nil {
			return 0, err
		}
		if last == 0 {
			before = all.cpu()
		}
		got, err := w.seen(ctx, "")
		if err != nil {
			return 0, err
		}
		if got.Unique >= events {
			return before, nil
		}
		if got.Unique != last {
			last, moved = got.Unique, time.Now()
		}
		if still := time.Since(moved); still > startPatience || (last > 0 && still > patience) {
			return before, nil
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// tail is the end of what the process said.
func (p *process) tail() string {
	data, err := os.ReadFile(p.log.Name())
	if err != nil {
		return err.Error()
	}
	return string(data[max(0, len(data)-600):])
}

// provenance says of a part what was measured, and on what.
func (w *world) provenance(part string) string {
	runs := fmt.Sprintf("medians of %d runs", w.options.rounds)
	if part == "faults" || w.options.rounds == 1 {
		runs = "one run of each"
	}
	return fmt.Sprintf("Commit `%s`, %s, %s, %d cores that all processes share, %s; %s.",
		w.commit, runtime.Version(), processor(), runtime.NumCPU(), w.brokerName, runs)
}

func commit() string {
	out, err := exec.Command("git", "describe", "--always", "--dirty", "--abbrev=10", "--exclude=*").Output() //nolint:noctx // it takes a moment
	if err != nil {
		return "unknown"
	}
	return strings.TrimSpace(string(out))
}

func processor() string {
	data, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return runtime.GOARCH
	}
	for line := range strings.Lines(string(data)) {
		if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return runtime.GOARCH
}

// updateSection rewrites a section of a Markdown file.
func updateSection(file, name, text string) error {
	data, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	begin, end := "<!-- bench:"+name+" -->", "<!-- end of bench -->"
	before, rest, ok := strings.Cut(string(data), begin)
	_, after, ok2 := strings.Cut(rest, end)
	if !ok || !ok2 {
		return errors.New(file + ": expected a section between " + begin + " and " + end)
	}
	return os.WriteFile(file, []byte(before+begin+"\n"+text+"\n"+end+after), 0o644) //nolint:gosec // a file of the repository
}
