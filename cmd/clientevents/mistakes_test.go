package main

import (
	"bytes"
	"errors"
	"fmt"
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

const withFirstTopic = " --config docs/first-topic/clientevents.yaml"

// mistake is a command that a reader gets wrong, and what the program must answer.
type mistake struct {
	name, line string
	exit       int
	want       []string
}

// mistakes are made while the page's broker, emulator and replica run. FOLDER is a
// folder for files.
var mistakes = []mistake{
	{
		"the README's record is valid", "clientevents validate FOLDER/readme.ndjson",
		exitDone,
		[]string{"1 events, 0 at fault"},
	},
	{
		"JSON over several lines", "clientevents validate FOLDER/pretty.json",
		exitFailed,
		[]string{"pretty.json:1: malformed: ", "pretty.json: an event must be on one line", "jq -c ."},
	},
	{
		"JSON over several lines is published", "clientevents publish FOLDER/pretty.json" + withFirstTopic,
		exitFailed,
		[]string{"0 published to job-actions", "pretty.json: an event must be on one line"},
	},
	{
		"another version", "clientevents validate --api-version v3 FOLDER/readme.ndjson",
		exitFailed,
		[]string{"1 of them would be valid in v4beta1 or v4: is --api-version correct?"},
	},
	{
		"a mistyped topic", "CLIENTEVENTS_KAFKA_TOPIC=job-action clientevents check" + withFirstTopic,
		exitFailed,
		[]string{"FAIL  topic job-action: does not exist. To do: create it with 'clientevents topics create' or correct kafka.topic"},
	},
	{
		"publishing to a mistyped topic", "CLIENTEVENTS_KAFKA_TOPIC=job-action clientevents publish docs/first-topic/records.ndjson" + withFirstTopic,
		exitFailed,
		[]string{"publish to topic job-action", "it does not exist: create it with 'clientevents topics create' or correct kafka.topic"},
	},
	{
		"no broker", "CLIENTEVENTS_KAFKA_BROKERS=localhost:1 clientevents topics create" + withFirstTopic,
		exitFailed,
		[]string{"broker localhost:1: connection refused", "check that the server runs and that kafka.brokers is correct"},
	},
	{
		"no API", "CLIENTEVENTS_API_ENDPOINT=http://localhost:1 clientevents check" + withFirstTopic,
		exitFailed,
		[]string{"FAIL  endpoint http://localhost:1: connection refused", "api.endpoint"},
	},
	{
		"a parent of another version", "CLIENTEVENTS_API_PARENT=projects/demo clientevents check" + withFirstTopic,
		exitUsage,
		[]string{"api.parent: ", "expected projects/PROJECT/tenants/TENANT"},
	},
	{
		"a mistyped file", "clientevents check --config docs/first-topic/clientevent.yaml",
		exitUsage,
		[]string{"docs/first-topic/clientevent.yaml", "no such file"},
	},
	{
		"a mistyped key", "clientevents check --config FOLDER/typo.yaml",
		exitUsage,
		[]string{"kafka.brokrs: unknown key: did you mean kafka.brokers?"},
	},
	{
		"a child whose parent is missing", "clientevents rehearse" + withFirstTopic,
		exitDone,
		[]string{"parent_not_found", `the parent "`, "parent_mismatch"},
	},
	{
		"JSON of a command besides check", "clientevents rehearse --json" + withFirstTopic,
		exitDone,
		[]string{`"parent_not_found":1`},
	},
	{
		"the newest dead letter and its value", "clientevents dead-letters list --newest --limit 1 --values" + withFirstTopic,
		exitDone,
		[]string{"parent_not_found", `the parent "`, "it is missing, or its key differs", `"action": "apply"`},
	},
	{
		"a replica that is not there", "clientevents admin status --url http://localhost:1",
		exitFailed,
		[]string{"connection refused", "localhost:1"},
	},
	{
		"a second replica at the same admin port", "clientevents run" + withFirstTopic,
		exitFailed,
		[]string{"admin.listen", "address already in use"},
	},
}

// makeMistakes makes each mistake. It expects one dead letter, and leaves two that were replayed.
func (p *page) makeMistakes(t *testing.T) {
	t.Helper()
	folder := t.TempDir()
	_, record, _ := strings.Cut(readFile(t, "../../README.md"), "```json\n")
	record, _, _ = strings.Cut(record, "```")
	pretty := strings.NewReplacer("{", "{\n", "}", "\n}", ", ", ",\n").Replace(record)
	orphan := `{"id": 99, "action": "apply", "after": 98, "search": "s-9", "ts": 1767323045678, "jobs": ["1"]}` + "\n"
	for name, text := range map[string]string{"readme.ndjson": record, "pretty.json": pretty, "typo.yaml": "kafka: {brokrs: [a:9092]}\n", "orphan.ndjson": orphan} {
		if err := os.WriteFile(filepath.Join(folder, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	p.run(t, "clientevents publish "+folder+"/orphan.ndjson"+withFirstTopic)
	p.awaitLetters(t, 2)
	for _, m := range mistakes {
		t.Run(m.name, func(t *testing.T) { p.try(t, m, strings.ReplaceAll(m.line, "FOLDER", folder)) })
	}
	// Both are dead letters again: what was replayed is not counted once more.
	p.try(t, mistake{exit: exitDone, want: []string{"2 records replayed"}}, "clientevents dead-letters replay"+withFirstTopic)
	p.awaitLetters(t, 4)
	p.try(t, mistake{exit: exitDone, want: []string{"2 records would be replayed"}}, "clientevents dead-letters replay --dry-run"+withFirstTopic)
}

// awaitLetters waits until there are n dead letters.
func (p *page) awaitLetters(t *testing.T, n int) {
	t.Helper()
	const line = "clientevents dead-letters list --json" + withFirstTopic
	kafkatest.WaitFor(t, time.Minute, fmt.Sprint(n, " dead letters"), func() bool {
		p.run(t, line)
		return strings.Count(p.out[line], `"reason":`) == n
	})
}

// try runs a command and compares its exit code and output.
func (p *page) try(t *testing.T, m mistake, line string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "bash", "-c", p.addresses.Replace(line))
	cmd.Dir, cmd.Env = "../..", append(os.Environ(), p.env...)
	out, err := cmd.CombinedOutput()
	code := 0
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		code = exit.ExitCode()
	} else if err != nil {
		t.Fatal(err)
	}
	if code != m.exit {
		t.Errorf("%s: exit code %d, want %d", line, code, m.exit)
	}
	for _, want := range m.want {
		if !bytes.Contains(out, []byte(want)) {
			t.Errorf("%s: want %q in\n%s", line, want, out)
		}
	}
}

// TestReadmeCommands runs the commands of the README as they are printed, but with a
// tenth of the events if FIRST_TOPIC is not set. Those that run until Ctrl-C get it when their pages are there.
func TestReadmeCommands(t *testing.T) {
	if testing.Short() {
		t.Skip("not run with -short: it runs the demo several times")
	}
	t.Parallel()
	folder := programFolder(t)
	ends := regexp.MustCompile(`--events `)
	short := strings.NewReplacer("go run ./cmd/clientevents", "clientevents", "--events 20000", "--events 2000")
	if os.Getenv("FIRST_TOPIC") != "" {
		short = strings.NewReplacer("go run ./cmd/clientevents", "clientevents")
	}
	commands := commandsIn(t, "../../README.md")
	if len(commands) < 3 {
		t.Fatalf("the README has %d commands", len(commands))
	}
	for _, line := range commands {
		t.Run(line, func(t *testing.T) {
			t.Parallel()
			cmd := exec.CommandContext(t.Context(), "bash", "-c", "exec "+short.Replace(line))
			cmd.Dir, cmd.Env = "../..", append(os.Environ(), "PATH="+folder+":"+os.Getenv("PATH"))
			out, err := os.Create(filepath.Join(t.TempDir(), "out"))
			if err != nil {
				t.Fatal(err)
			}
			defer out.Close()
			cmd.Stdout, cmd.Stderr = out, out
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			if !ends.MatchString(line) {
				kafkatest.WaitFor(t, time.Minute, "the pages", func() bool { return strings.Count(readFile(t, out.Name()), "http://") >= 2 })
				_ = cmd.Process.Signal(syscall.SIGINT)
			}
			if err := cmd.Wait(); err != nil {
				t.Errorf("%s: %v\n%s", line, err, readFile(t, out.Name()))
			}
		})
	}
}
