package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/pflag"

	"github.com/clientevents/clientevents/consumer"
	"github.com/clientevents/clientevents/event"
	"github.com/clientevents/clientevents/internal/deadletter"
)

var (
	fenced = regexp.MustCompile("(?s)```\\w*\n(.*?)```")
	inline = regexp.MustCompile("`([^`]+)`")
	// In code, a command stands at the beginning of a line or behind another.
	ownCommand   = regexp.MustCompile(`(?m)(?:^ *|[|&;] ?|-- /|docker run .* ghcr\.io/clientevents/)clientevents(?::[0-9.]+)? +([^|&;#>\n]*)`)
	kafkaCommand = regexp.MustCompile(`kafka-[a-z-]+\.sh +(-.*)`)
)

// codeInDocuments is what documents show as code, a line for each command, by file.
func codeInDocuments(t *testing.T) map[string]string {
	t.Helper()
	found := map[string]string{}
	for _, pattern := range []string{"../../*.md", "../../docs/*.md", "../../deploy/*.md", "../../deploy/helm/clientevents/*.md"} {
		files, err := filepath.Glob(pattern)
		if err != nil || len(files) == 0 {
			t.Fatalf("%s: %d files, %v", pattern, len(files), err)
		}
		for _, file := range files {
			data, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			text := strings.ReplaceAll(string(data), "\\\n", " ")
			var code []string
			for _, m := range fenced.FindAllStringSubmatch(text, -1) {
				code = append(code, m[1])
			}
			for _, m := range inline.FindAllStringSubmatch(fenced.ReplaceAllString(text, ""), -1) {
				code = append(code, strings.Join(strings.Fields(m[1]), " "))
			}
			found[file] = strings.Join(code, "\n")
		}
	}
	return found
}

// TestCommandsInDocuments: each command of this program that a document shows is one
// that it has, with flags that it has.
func TestCommandsInDocuments(t *testing.T) {
	found := 0
	for file, code := range codeInDocuments(t) {
		for _, m := range ownCommand.FindAllStringSubmatch(code, -1) {
			found++
			if err := understood(m[1]); err != nil {
				t.Errorf("%s shows clientevents %s: %v", file, m[1], err)
			}
		}
	}
	if found < 20 {
		t.Errorf("%d commands are shown: want at least 20", found)
	}
}

// understood says what is wrong with a command line; N in it is a number, and COMMAND any command.
func understood(line string) error {
	args := strings.Fields(strings.NewReplacer(" N", " 1", "COMMAND", "run").Replace(line))
	root := newRoot(Streams{In: strings.NewReader(""), Out: io.Discard, Err: io.Discard})
	cmd, rest, err := root.Find(args)
	switch {
	case err != nil:
		return err
	case cmd == root:
		return errors.New("there is no such command")
	}
	if err := cmd.ParseFlags(rest); !errors.Is(err, pflag.ErrHelp) {
		return err
	}
	return nil
}

// TestDeadLettersInDocuments compares the reasons and the headers of docs/dead-letters.md
// with those of the program, in order.
func TestDeadLettersInDocuments(t *testing.T) {
	text := readFile(t, "../../docs/dead-letters.md")
	var reasons []string
	for _, r := range event.Reasons() {
		reasons = append(reasons, string(r))
	}
	headers := []string{
		consumer.HeaderReason, consumer.HeaderDetail, consumer.HeaderTopic, consumer.HeaderPartition, consumer.HeaderOffset,
		consumer.HeaderTimestamp, consumer.HeaderHTTPStatus, consumer.HeaderRedacted,
		deadletter.HeaderReplays, deadletter.HeaderReplaces, consumer.OriginalPrefix + "…",
	}
	for name, want := range map[string][]string{"reasons": reasons, "headers": headers} {
		_, table, _ := strings.Cut(text, "<!-- "+name+":")
		table, _, ok := strings.Cut(table, "<!-- end of "+name)
		if !ok {
			t.Fatalf("docs/dead-letters.md has no table of %s", name)
		}
		var got []string
		for line := range strings.Lines(table) {
			if cells := strings.Split(line, "|"); strings.HasPrefix(line, "| `") {
				got = append(got, strings.Trim(cells[1], " `"))
				for _, cell := range cells[2 : len(cells)-1] {
					if strings.TrimSpace(cell) == "" {
						t.Errorf("an empty cell: %s", line)
					}
				}
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("docs/dead-letters.md has the %s\n%q, want\n%q", name, got, want)
		}
	}
	limits := fmt.Sprintf("more than %d keys", event.MaxExtraInfoKeys)
	if !strings.Contains(text, limits) {
		t.Errorf("docs/dead-letters.md does not say %q", limits)
	}
}

// TestKafkaCommandsInDocuments: Kafka's tools do nothing without a broker's address.
func TestKafkaCommandsInDocuments(t *testing.T) {
	found := 0
	for file, code := range codeInDocuments(t) {
		for _, m := range kafkaCommand.FindAllStringSubmatch(code, -1) {
			found++
			if !strings.Contains(m[1], "--bootstrap-server ") {
				t.Errorf("%s shows a command without --bootstrap-server: %s", file, m[0])
			}
			if strings.Contains(m[1], "--reset-offsets") && (!strings.Contains(m[1], "--group ") || !strings.Contains(m[1], "--execute")) {
				t.Errorf("%s shows a command that resets nothing: %s", file, m[0])
			}
		}
	}
	if found < 4 {
		t.Errorf("%d of Kafka's commands are shown: want at least 4", found)
	}
}
