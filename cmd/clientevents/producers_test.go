package main

import (
	"fmt"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/clientevents/clientevents/emulator"
	"github.com/clientevents/clientevents/test/kafkatest"
)

const producersFolder = "../../docs/producers"

// producer is one of the programs of docs/producers.md.
type producer struct {
	language, fence, file string
	// needs is what has to be there for it; `make producers-test` brings it.
	needs   []string
	command func(file string) []string
}

var producers = []producer{
	{"Go", "go", "main.go", nil, func(file string) []string { return []string{"go", "run", file} }},
	{"Java", "java", "Publish.java", []string{"java/lib"}, func(file string) []string {
		return []string{"java", "-cp", filepath.Join(producersFolder, "java/lib/*"), file}
	}},
	{"Python", "python", "publish.py", []string{"python/.venv/bin/python"}, func(file string) []string {
		return []string{filepath.Join(producersFolder, "python/.venv/bin/python"), file}
	}},
	// Node looks for packages beside the program.
	{"Node", "js", "publish.mjs", []string{"node/node_modules"}, func(file string) []string { return []string{"node", file} }},
}

// program takes a language's program out of the document.
func (p producer) program(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("../../docs/producers.md")
	if err != nil {
		t.Fatal(err)
	}
	found := regexp.MustCompile("(?s)\n```"+p.fence+"\n(.*?)\n```\n").FindAllSubmatch(text, -1)
	if len(found) != 1 {
		t.Fatalf("docs/producers.md has %d programs in %s, want 1", len(found), p.language)
	}
	folder := t.TempDir()
	if p.fence == "js" {
		modules, err := filepath.Abs(filepath.Join(producersFolder, "node/node_modules"))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(modules, filepath.Join(folder, "node_modules")); err != nil {
			t.Fatal(err)
		}
	}
	file := filepath.Join(folder, p.file)
	if err := os.WriteFile(file, found[0][1], 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// missing says what a program needs and this machine doesn't have.
func (p producer) missing() string {
	for _, path := range p.needs {
		if _, err := os.Stat(filepath.Join(producersFolder, path)); err != nil {
			return path
		}
	}
	if program := p.command("")[0]; !strings.Contains(program, "/") {
		if _, err := exec.LookPath(program); err != nil {
			return program
		}
	}
	return ""
}

func (p producer) publish(t *testing.T, file string, c *kafkatest.Cluster, topic, requestID string) {
	t.Helper()
	args := append(p.command(file), requestID, "2026-01-02T03:04:05.678Z")
	cmd := exec.CommandContext(t.Context(), args[0], args[1:]...)
	cmd.Env = append(os.Environ(), "KAFKA_BROKERS="+strings.Join(c.Brokers, ","), "KAFKA_TOPIC="+topic)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", p.language, err, out)
	}
}

// TestProducers runs the programs of docs/producers.md: what they publish is valid
// and reported, and they agree on ids, contents and partitions.
func TestProducers(t *testing.T) {
	t.Parallel()
	kafkatest.Each(t, func(t *testing.T, c *kafkatest.Cluster) {
		api := emulator.New(emulator.Options{KeepAll: true})
		server := httptest.NewServer(api)
		t.Cleanup(server.Close)
		topic := c.NewTopic(t, "producers", 6)
		c.DeleteAfter(t, topic+".dead-letter", topic+".reported")

		published := 0
		for _, p := range producers {
			t.Run(p.language, func(t *testing.T) {
				if missing := p.missing(); missing != "" {
					if os.Getenv("PRODUCERS") == "all" {
						t.Fatalf("%s is missing: run 'make producers-test'", missing)
					}
					t.Skipf("NOT RUN: %s is missing; 'make producers-test' installs it", missing)
				}
				file := p.program(t)
				p.publish(t, file, c, topic, "of-"+p.language)
				p.publish(t, file, c, topic, "of-all")
				published++
			})
		}
		if published == 0 {
			t.Fatal("no program was run")
		}

		partitions := map[string]int{} // by key
		var values strings.Builder
		for _, r := range c.ReadAll(t, topic) {
			if before, seen := partitions[string(r.Key)]; seen && before != r.Partition {
				t.Errorf("key %s is in partitions %d and %d", r.Key, before, r.Partition)
			}
			partitions[string(r.Key)] = r.Partition
			values.Write(r.Value)
			values.WriteByte('\n')
		}
		if code, out, _ := command(t, values.String(), "validate", "--api-version", "v4"); code != exitDone {
			t.Errorf("validate: exit code %d\n%s", code, out)
		}

		config := filepath.Join(t.TempDir(), "clientevents.yaml")
		text := fmt.Sprintf("kafka: {brokers: [%s], topic: %s, group: %s}\n"+
			"api: {endpoint: %q, version: v4, parent: projects/my-project/tenants/my-tenant, credentials: none}\nadmin: {listen: '127.0.0.1:0'}\n",
			strings.Join(c.Brokers, ","), topic, topic, server.URL)
		if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		stop := background(t, "run", "--config", config)
		kafkatest.WaitFor(t, time.Minute, "lag 0", func() bool {
			return api.Stats().Accepted > 0 && c.Lag(t, topic, topic) == 0
		})
		if code := stop(); code != exitDone {
			t.Errorf("run: exit code %d", code)
		}
		// Each its own two, and all together two: the others' are repetitions of them.
		if got, want := int(api.Stats().Accepted), 2*published+2; got != want {
			t.Errorf("%d events were reported, want %d", got, want)
		}
		if letters := c.ReadAll(t, topic+".dead-letter"); len(letters) != 0 {
			t.Errorf("%d dead letters; the first: %s", len(letters), letters[0].Value)
		}
	})
}
