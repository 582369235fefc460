package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/spf13/cobra"

	"github.com/clientevents/clientevents/event"
	"github.com/clientevents/clientevents/internal/scrub"
	"github.com/clientevents/clientevents/test/kafkatest"
)

// TestMain lets the test binary be the program, for tests of the process.
func TestMain(m *testing.M) {
	if os.Getenv("BE_THE_PROGRAM") != "" {
		main()
		return
	}
	// These tests wait for processes and brokers more than they compute.
	flag.Parse()
	if err := flag.Set("test.parallel", "16"); err != nil {
		panic(err)
	}
	os.Exit(m.Run())
}

func TestWrongUsage(t *testing.T) {
	tests := []struct{ args, want string }{
		{"rnu", `clientevents: unknown command "rnu": did you mean run? See 'clientevents --help'`},
		{"hlep", `clientevents: unknown command "hlep": did you mean help? See 'clientevents --help'`},
		{"help nope", `clientevents: unknown command "nope": did you mean top? See 'clientevents --help'`},
		{"help run it", `clientevents: unknown command "it": 'clientevents run' has none of its own`},
		{"completion", `clientevents: expected one of 'clientevents completion bash', 'clientevents completion fish', 'clientevents completion powershell', 'clientevents completion zsh'`},
		{"completion fsh", `clientevents: unknown command "fsh": did you mean fish? See 'clientevents completion --help'`},
		{"completion bash x", `clientevents: clientevents completion bash takes no arguments, but got "x": see 'clientevents completion bash --help'`},
		{"dead-letters", `clientevents: expected one of 'clientevents dead-letters list', 'clientevents dead-letters replay', 'clientevents dead-letters summary'`},
		{"dead-letters lst", `clientevents: unknown command "lst": did you mean list? See 'clientevents dead-letters --help'`},
		{"dead-letters list --reason malfromed", `clientevents: --reason: "malfromed" is not a reason: did you mean malformed?`},
		{"version now", `clientevents: clientevents version takes no arguments, but got "now": see 'clientevents version --help'`},
		{"run --confg x", `clientevents run: unknown flag: --confg: did you mean --config?`},
		{"run --config", `clientevents run: flag needs an argument: --config`},
		{"-x", `clientevents: unknown shorthand flag: 'x' in -x`},
		{"generate", `clientevents: --events is required: a number of events, 1 or more`},
		{"generate --events x", `clientevents generate: --events: "x": expected a whole number`},
		{"generate --events 0", `clientevents: --events: 0: expected a number of events, 1 or more`},
		{"generate --events 1 --seed -1", `clientevents generate: --seed: "-1": expected a whole number, 0 or more`},
		{"generate --events 1 --start today", `clientevents: --start: "today": expected an RFC 3339 time, such as 2026-01-02T15:04:05Z`},
		{"generate --events 1 --api-version v2", `clientevents: --api-version: "v2" is not a version of the API: expected v3, v4beta1 or v4`},
		{"generate --events 1 --api-version v4 --parent projects/p", `clientevents: --parent: "projects/p" is not a parent for v4: expected projects/PROJECT/tenants/TENANT`},
		{"demo --events -1", `clientevents: --events: -1: expected a number of events, 1 or more`},
		{"demo --events 0", `clientevents: --events: 0: expected a number of events, 1 or more`},
		{"demo --rate 0", `clientevents: --rate: 0: expected events per second, more than 0`},
		{"demo --rate NaN", `clientevents: --rate: NaN: expected events per second, more than 0`},
		{"demo --rate Inf", `clientevents: --rate: +Inf: expected events per second, more than 0`},
		{"demo --kafka-port 99999", `clientevents: --kafka-port: 99999: expected a port from 0 to 65535; 0 is any that is free`},
		{"demo --api-port -1", `clientevents: --api-port: -1: expected a port from 0 to 65535; 0 is any that is free`},
		{"demo --admin here", `clientevents: --admin: "here": expected host:port or :port, such as :9090`},
		{"demo --rate fast", `clientevents demo: --rate: "fast": expected a number`},
		{"demo --verbose=maybe", `clientevents demo: --verbose: "maybe": expected true or false`},
		{"emulator --keep -1", `clientevents: --keep: -1: expected 0 or more`},
		{"emulator --latency -1s", `clientevents: --latency: -1s: expected 0 or more`},
		{"emulator --jitter -1s", `clientevents: --jitter: -1s: expected 0 or more`},
		{"emulator --listen 8080", `clientevents: --listen: "8080": expected host:port or :port, such as :9090`},
		{"emulator --listen :99999", `clientevents: --listen: ":99999": expected host:port with a port from 0 to 65535; 0 is any that is free`},
		{"emulator --latency 5", `clientevents emulator: --latency: "5": expected a duration, such as 500ms, 30s or 24h`},
		{"run --config nowhere.yaml", `can't read the configuration: there is no such file (nowhere.yaml)`},
	}
	for _, test := range tests {
		t.Run(test.args, func(t *testing.T) {
			got := callMain(t.Context(), strings.NewReader(""), strings.Fields(test.args)...)
			if want := (outcome{exitUsage, "", test.want + "\n"}); got != want {
				t.Errorf("got  %+v\nwant %+v", got, want)
			}
		})
	}
}

// Every command of the program that reads a configuration refuses one that is
// at fault in the same way.
func TestFaultsOfTheConfiguration(t *testing.T) {
	t.Chdir(t.TempDir())
	if err := os.WriteFile("c.yaml", []byte("kafka:\n  brokers: [a:1]\n  topic: t\n  group: g\napi:\n  version: v3\n  parent: projects/p\nreport:\n  rate: abc\n  bathc_size: 5\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	const want = "report.rate: \"abc\": expected a number of events per second, 0 or more (c.yaml:9:9)\n" +
		"report.bathc_size: unknown key: did you mean report.batch_size? (c.yaml:10:3)\n"
	for _, command := range []string{"run", "check", "publish", "dead-letters list", "dead-letters replay"} {
		got := callMain(t.Context(), strings.NewReader(""), append(strings.Fields(command), "--config", "c.yaml")...)
		if want := (outcome{exitUsage, "", want}); got != want {
			t.Errorf("%s: got %+v, want %+v", command, got, want)
		}
	}
}

func TestHelp(t *testing.T) {
	bare := callMain(t.Context(), nil)
	if asked := callMain(t.Context(), nil, "--help"); bare != asked || asked != callMain(t.Context(), nil, "help") {
		t.Error("help differs with the way of asking")
	}
	if bare.code != exitDone || bare.err != "" {
		t.Errorf("got %+v", bare)
	}
	var check func(cmd *cobra.Command)
	check = func(cmd *cobra.Command) {
		if cmd.Short == "" {
			t.Errorf("%s says nothing of itself", cmd.CommandPath())
		}
		path := strings.Fields(cmd.CommandPath())[1:]
		got := callMain(t.Context(), nil, append(path, "--help")...)
		if got.code != exitDone || got.err != "" || !strings.Contains(got.out, "Usage:") {
			t.Errorf("%s --help: %+v", cmd.CommandPath(), got)
		}
		for _, c := range cmd.Commands() {
			check(c)
		}
	}
	for _, c := range newRoot(Streams{}).Commands() {
		check(c)
		if !strings.Contains(bare.out, "\n  "+c.Name()+" ") {
			t.Errorf("%s is not in the help", c.Name())
		}
	}
}

func TestVersion(t *testing.T) {
	got := callMain(t.Context(), nil, "version")
	lines := strings.Split(got.out, "\n")
	if got.code != exitDone || len(lines) != 4 || !strings.HasPrefix(lines[0], "clientevents ") || !strings.HasPrefix(lines[1], "commit ") || lines[2] != runtime.Version() {
		t.Errorf("got %+v", got)
	}
	if short := callMain(t.Context(), nil, "--version"); short.out != lines[0]+"\n" {
		t.Errorf("--version: %+v", short)
	}
}

func TestCompletion(t *testing.T) {
	for _, shell := range []string{"bash", "fish", "powershell", "zsh"} {
		if got := callMain(t.Context(), nil, "completion", shell); got.code != exitDone || !strings.Contains(got.out, "clientevents") {
			t.Errorf("%s: %d %s", shell, got.code, got.err)
		}
	}
	if got := callMain(t.Context(), nil, "__complete", "dead"); !strings.HasPrefix(got.out, "dead-letters\t") {
		t.Errorf("got %+v", got)
	}
}

func TestGenerate(t *testing.T) {
	for _, v := range event.Versions() {
		args := []string{"generate", "--events", "500", "--api-version", v.String(), "--seed", "3", "--start", "2026-01-02T15:04:05Z"}
		got := callMain(t.Context(), nil, args...)
		if got.code != exitDone || got.err != "" || strings.Count(got.out, "\n") != 500 {
			t.Fatalf("%s: code %d, %d lines, %s", v, got.code, strings.Count(got.out, "\n"), got.err)
		}
		if again := callMain(t.Context(), nil, args...); again != got {
			t.Errorf("%s: the same seed and start gave other bytes", v)
		}
		checked := callMain(t.Context(), strings.NewReader(got.out), "validate", "--complete", "--api-version", v.String())
		if checked.code != exitDone {
			t.Errorf("%s: %s", v, checked.out)
		}
	}
	before := time.Now()
	got := callMain(t.Context(), nil, "generate", "--events", "1", "--parent", "projects/my-board/tenants/main")
	e, fault := event.Decode([]byte(got.out), event.V4)
	if fault != nil {
		t.Fatal(fault)
	}
	if !strings.HasPrefix(e.Jobs[0], "projects/my-board/tenants/main/jobs/") || e.Time.Before(before.Add(-time.Millisecond)) || e.Time.After(time.Now()) {
		t.Errorf("got %s", got.out)
	}
}

// broken fails, or worse, when it is written to.
type broken struct{ panics bool }

func (b broken) Write([]byte) (int, error) {
	if b.panics {
		panic("out of order")
	}
	return 0, errors.New("no space left")
}

func TestOutputThatCannotBeWritten(t *testing.T) {
	for _, test := range []struct {
		out  io.Writer
		want string
	}{
		{broken{}, "clientevents: no space left\n"},
		{broken{panics: true}, "clientevents: this is a fault of the program: out of order\n"},
	} {
		var stderr bytes.Buffer
		code := Main(t.Context(), []string{"generate", "--events", "10"}, Streams{Out: test.out, Err: &stderr})
		if code != exitFailed || stderr.String() != test.want {
			t.Errorf("got %d %q, want %q", code, stderr.String(), test.want)
		}
	}
}

// Who reads only the beginning of what the demo says leaves nothing behind.
func TestDemoIntoAClosedPipe(t *testing.T) {
	t.Parallel()
	cmd := exec.CommandContext(t.Context(), os.Args[0], "demo", "--events", "500", "--rate", "1000")
	temp := t.TempDir()
	cmd.Env = append(os.Environ(), "BE_THE_PROGRAM=1", "TMPDIR="+temp)
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := stdout.Read(make([]byte, 1)); err != nil {
		t.Error(err)
	}
	stdout.Close()
	_ = cmd.Wait() // with whatever code
	left, err := os.ReadDir(temp)
	if err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

// program starts the program as a process of its own, and returns the address in
// the first line that it writes.
func program(t *testing.T, args ...string) (cmd *exec.Cmd, url string, stderr *bytes.Buffer) {
	t.Helper()
	cmd, stderr = exec.CommandContext(t.Context(), os.Args[0], args...), new(bytes.Buffer)
	cmd.Env = append(os.Environ(), "BE_THE_PROGRAM=1")
	cmd.Stderr = stderr
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(stdout).ReadString('\n')
	_, url, found := strings.Cut(strings.TrimSpace(line), "http://")
	if err != nil || !found {
		t.Fatalf("it says %q: %v", line, err)
	}
	return cmd, "http://" + url, stderr
}

func TestSignalsEndTheProcessInOrder(t *testing.T) {
	t.Parallel()
	for _, signal := range []os.Signal{syscall.SIGTERM, os.Interrupt} {
		cmd, _, stderr := program(t, "emulator", "--listen", "127.0.0.1:0")
		if err := cmd.Process.Signal(signal); err != nil {
			t.Fatal(err)
		}
		if err := cmd.Wait(); err != nil || stderr.Len() > 0 {
			t.Errorf("%s: %v, %s", signal, err, stderr.String())
		}
	}
}

// busy starts an emulator and has it at work on a request, whose end answered
// tells.
func busy(t *testing.T, args ...string) (cmd *exec.Cmd, url string, answered <-chan error) {
	t.Helper()
	cmd, url, _ = program(t, append([]string{"emulator", "--listen", "127.0.0.1:0"}, args...)...)
	done := make(chan error, 1)
	go func() {
		resp, err := http.Post(url+"/v3/projects/p/clientEvents", "application/json", strings.NewReader("{}"))
		if err == nil {
			resp.Body.Close()
		}
		done <- err
	}()
	kafkatest.WaitFor(t, 20*time.Second, "the request", func() bool {
		resp, err := http.Get(url + "/emulator/stats")
		if err != nil {
			return false
		}
		defer resp.Body.Close()
		var stats struct{ Requests int }
		return json.NewDecoder(resp.Body).Decode(&stats) == nil && stats.Requests > 0
	})
	return cmd, url, done
}

// timeout(1) sends the signal to the process and then to its group. That is one
// wish to stop, and what is under way is finished.
func TestSignalThatComesTwice(t *testing.T) {
	t.Parallel()
	cmd, url, answered := busy(t, "--latency", "500ms")
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	kafkatest.WaitFor(t, 20*time.Second, "it stops listening", func() bool {
		conn, err := net.Dial("tcp", strings.TrimPrefix(url, "http://"))
		if err == nil {
			conn.Close()
		}
		return err != nil
	})
	_ = cmd.Process.Signal(syscall.SIGTERM) // it may have ended on a slow machine
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
	if err := <-answered; err != nil {
		t.Errorf("the request that was under way: %v", err)
	}
}

func TestSignalThatComesLaterEndsTheProcess(t *testing.T) {
	t.Parallel()
	cmd, _, _ := busy(t, "--outage", "hang")
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	kafkatest.WaitFor(t, 20*time.Second, "the process ends", func() bool {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		return len(ended) > 0
	})
	if err := <-ended; err == nil || !strings.Contains(err.Error(), "signal: terminated") {
		t.Errorf("it ended with %v", err)
	}
}

// TestSecretsOfTheEnvironment requires that no command prints a proxy's password.
func TestSecretsOfTheEnvironment(t *testing.T) {
	var out, errs bytes.Buffer
	code := Main(t.Context(), []string{"version", "--json", "http://u:opensesame@proxy"}, Streams{
		Out: &out, Err: &errs, Environ: []string{"HTTPS_PROXY=http://u:opensesame@proxy"},
	})
	if text := out.String() + errs.String(); code != exitUsage || strings.Contains(text, "opensesame") || strings.Count(text, scrub.Hidden) != 2 {
		t.Errorf("exit %d, %s", code, text)
	}
}
