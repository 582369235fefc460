package emulator_test

import (
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"

	"github.com/clientevents/clientevents/emulator"
)

// The curl commands of docs/emulator.md work as printed, one after the other,
// with the emulator's address in place of the documented one.
func TestDocumentedCommands(t *testing.T) {
	if _, err := exec.LookPath("curl"); err != nil {
		t.Skip("curl is not installed")
	}
	text, err := os.ReadFile("../docs/emulator.md")
	if err != nil {
		t.Fatal(err)
	}
	_, url := start(t, emulator.Options{SeedFile: writeSeed(t, documented(t, string(text), "json"))})
	script := documented(t, string(text), "sh")
	if strings.Count(script, "curl ") < 6 {
		t.Errorf("there are few commands:\n%s", script)
	}
	cmd := exec.CommandContext(t.Context(), "sh", "-e", "-u", "-c", `curl() { command curl --silent --show-error --fail-with-body "$@"; }`+"\n"+
		strings.ReplaceAll(script, "http://127.0.0.1:8080", url))
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v:\n%s", err, out)
	}
}

// Each paragraph of the code for Google's clients in docs/emulator.md occurs, except for
// indentation, in the tests of the conformance suite. The languages that the suite does
// not run are marked.
func TestDocumentedClients(t *testing.T) {
	content, err := os.ReadFile("../docs/emulator.md")
	if err != nil {
		t.Fatal(err)
	}
	text := string(content)
	for language, path := range map[string]string{
		"java":   "conformance/java/src/test/java/example/ApplicationTest.java",
		"python": "conformance/python/test_application.py",
		"js":     "conformance/node/application.test.mjs",
		"go":     "conformance/application_test.go",
	} {
		source, err := os.ReadFile("../" + path)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(text, "(../"+path+")") {
			t.Errorf("the document does not name %s", path)
		}
		for paragraph := range strings.SplitSeq(documented(t, text, language), "\n\n") {
			if !strings.Contains(unindented(string(source)), unindented(paragraph)) {
				t.Errorf("%s does not have:\n%s", path, paragraph)
			}
		}
	}
	_, untested, _ := strings.Cut(text, "**No test runs\nthem.**")
	for _, language := range []string{"csharp", "ruby", "php"} {
		if !strings.Contains(untested, strings.TrimSpace(documented(t, text, language))) {
			t.Errorf("the code in %s is not marked as untested", language)
		}
	}
}

// unindented returns the lines without surrounding space, between line ends.
func unindented(text string) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	for i, line := range lines {
		lines[i] = strings.TrimSpace(line)
	}
	return "\n" + strings.Join(lines, "\n") + "\n"
}

// documented returns the blocks of a language.
func documented(t *testing.T, text, language string) string {
	t.Helper()
	var all strings.Builder
	for _, block := range regexp.MustCompile("(?s)```"+language+"\n(.*?)```").FindAllStringSubmatch(text, -1) {
		all.WriteString(block[1] + "\n")
	}
	if all.Len() == 0 {
		t.Fatalf("no blocks of %s", language)
	}
	return all.String()
}
