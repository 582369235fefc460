package main

import (
	"context"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/clientevents/clientevents/test/kafkatest"
)

// page runs the shell commands of a document, in the root of the repository.
type page struct {
	env []string
	// addresses replaces addresses that the document prints by free ones.
	addresses *strings.Replacer
	// ready waits until a command in the background has started.
	ready func(t *testing.T, command string)
	out   map[string]string // of the commands that have ended
	stops []func() error
}

// inBackground are the commands that a reader runs in a terminal of their own.
var inBackground = regexp.MustCompile(`^(make kafka|clientevents emulator|clientevents run) `)

// commandsIn returns the lines of a document's shell blocks.
func commandsIn(t *testing.T, file string) (commands []string) {
	t.Helper()
	for _, block := range regexp.MustCompile("(?s)\n```sh\n(.*?)\n```").FindAllStringSubmatch(readFile(t, file), -1) {
		commands = append(commands, strings.Split(block[1], "\n")...)
	}
	return commands
}

func (p *page) run(t *testing.T, line string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "bash", "-e", "-c", p.addresses.Replace(line))
	cmd.Dir, cmd.Env = "../..", append(os.Environ(), p.env...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if !inBackground.MatchString(line) {
		out, err := cmd.CombinedOutput()
		p.out[line] = string(out)
		if err != nil {
			t.Fatalf("%s: %v\n%s", line, err, out)
		}
		return
	}
	cmd.Stdout, cmd.Stderr = t.Output(), t.Output()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	p.stops = append(p.stops, func() error {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGINT) // as Ctrl-C does
		return <-ended
	})
	p.ready(t, line)
}

// stop ends the commands in the background, the last one first.
func (p *page) stop(t *testing.T) {
	t.Helper()
	for len(p.stops) > 0 {
		last := p.stops[len(p.stops)-1]
		p.stops = p.stops[:len(p.stops)-1]
		if err := last(); err != nil {
			t.Logf("a command in the background ended with %v", err)
		}
	}
}

// TestFirstTopic runs the commands of docs/first-topic.md as they are printed. With
// FIRST_TOPIC=kafka it builds the program and starts Apache Kafka as the page says;
// otherwise this test binary is the program, and the broker an embedded one.
func TestFirstTopic(t *testing.T) {
	t.Parallel()
	p := &page{addresses: strings.NewReplacer(), out: map[string]string{}}
	api := "localhost:8080"
	skip := regexp.MustCompile(`^docker `) // deploy/check checks the compose file
	if os.Getenv("FIRST_TOPIC") == "kafka" {
		bin, err := filepath.Abs("../../bin")
		if err != nil {
			t.Fatal(err)
		}
		p.env = []string{"PATH=" + bin + ":" + os.Getenv("PATH")} // the page's export, for every command
	} else {
		api = freeAddress(t)
		admin := freeAddress(t)
		p.addresses = strings.NewReplacer("localhost:8080", api, "localhost:9090", admin)
		p.env = embeddedEnv(t, api, admin)
		skip = regexp.MustCompile(`^(docker|make|export) `)
	}
	p.ready = func(t *testing.T, line string) { p.started(t, line, api) }
	defer p.stop(t)

	commands := commandsIn(t, "../../docs/first-topic.md")
	if len(commands) < 12 {
		t.Fatalf("docs/first-topic.md has %d commands", len(commands))
	}
	for _, line := range commands {
		if !skip.MatchString(line) {
			p.run(t, line)
		}
	}
	p.wantOutput(t)
	p.makeMistakes(t)
}

// programFolder returns a folder in which this test binary is the program.
func programFolder(t *testing.T) string {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	folder := t.TempDir()
	script := "#!/bin/sh\nBE_THE_PROGRAM=1 exec " + self + " \"$@\"\n"
	if err := os.WriteFile(filepath.Join(folder, "clientevents"), []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
	return folder
}

// embeddedEnv makes this test binary the program, and points its configuration to an
// embedded broker.
func embeddedEnv(t *testing.T, api, admin string) []string {
	t.Helper()
	return []string{
		"PATH=" + programFolder(t) + ":" + os.Getenv("PATH"),
		"CLIENTEVENTS_PARENTS_WAIT=2s",
		"CLIENTEVENTS_KAFKA_BROKERS=" + strings.Join(kafkatest.Embedded(t).Brokers, ","),
		"CLIENTEVENTS_API_ENDPOINT=http://" + api,
		"CLIENTEVENTS_ADMIN_LISTEN=" + admin,
	}
}

// started waits until a background command does what the page expects of it.
func (p *page) started(t *testing.T, line, api string) {
	t.Helper()
	switch {
	case strings.HasPrefix(line, "make kafka"):
		kafkatest.WaitFor(t, 2*time.Minute, "a broker at the printed address", func() bool { return listens("localhost:9092") })
	case strings.HasPrefix(line, "clientevents emulator"):
		kafkatest.WaitFor(t, time.Minute, "the emulator at the printed address", func() bool { return listens(api) })
	default:
		kafkatest.WaitFor(t, time.Minute, "four events at the emulator", func() bool { return accepted(t.Context(), api) == 4 })
		const list = "clientevents dead-letters list --config docs/first-topic/clientevents.yaml"
		kafkatest.WaitFor(t, time.Minute, "the dead letter", func() bool {
			p.run(t, list)
			return strings.Contains(p.out[list], "parent_mismatch")
		})
	}
}

func listens(address string) bool {
	conn, err := net.DialTimeout("tcp", address, time.Second)
	if err == nil {
		conn.Close()
	}
	return err == nil
}

// accepted counts the events that an emulator has.
func accepted(ctx context.Context, api string) (n int) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+api+"/emulator/events", nil)
	if err != nil {
		return 0
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0
	}
	defer resp.Body.Close()
	body, _ := io.ReadAll(resp.Body)
	return strings.Count(string(body), `"eventId"`)
}

// wantOutput compares the commands' output with what the page says about it.
func (p *page) wantOutput(t *testing.T) {
	t.Helper()
	for prefix, want := range map[string]string{
		"clientevents publish":           "5 published to job-actions, 0 invalid",
		"clientevents rehearse":          "parent_mismatch",
		"clientevents check":             "ok",
		"clientevents admin status":      "",
		"clientevents dead-letters list": "parent_mismatch",
		"clientevents find":              "VIEW",
	} {
		found := false
		for line, out := range p.out {
			if strings.HasPrefix(line, prefix) {
				found = true
				if !strings.Contains(out, want) {
					t.Errorf("%s: want %q in\n%s", line, want, out)
				}
			}
		}
		if !found {
			t.Errorf("the page has no %s", prefix)
		}
	}
}
