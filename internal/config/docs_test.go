package config_test

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/clientevents/clientevents/event"
	"github.com/clientevents/clientevents/internal/config"
)

var update = flag.Bool("update", false, "write the table of keys into docs/configuration.md")

const (
	readme    = "../../README.md"
	reference = "../../docs/configuration.md"
)

var table = regexp.MustCompile(`(?s)(<!-- keys:.*?-->\n)(.*?)(<!-- end of keys -->)`)

// TestKeysInReference keeps the table of keys equal to the program's.
func TestKeysInReference(t *testing.T) {
	text := read(t, reference)
	m := table.FindStringSubmatch(text)
	if m == nil {
		t.Fatal("docs/configuration.md has no table of keys")
	}
	if want := keysTable(); m[2] != want {
		if !*update {
			t.Fatalf("the table of keys in docs/configuration.md differs from the program's; go test ./internal/config -run KeysInReference -update writes it:\n%s", want)
		}
		text = strings.Replace(text, m[2], want, 1)
		if err := os.WriteFile(reference, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func keysTable() string {
	var b strings.Builder
	b.WriteString("| key | default | meaning |\n|---|---|---|\n")
	for _, k := range config.Keys() {
		def := "`" + k.Default + "`"
		switch {
		case k.Required:
			def = "required"
		case k.Default == "":
			def = ""
		}
		if k.Path != "kafka.sasl.password" { // not for a file; the text says so
			help := k.Help
			if k.Reload {
				help += " (reload)"
			}
			help = strings.ReplaceAll(help, "](docs/", "](") // links are relative to the document
			fmt.Fprintf(&b, "| `%s` | %s | %s |\n", k.Path, def, help)
		}
	}
	return b.String()
}

var fenced = regexp.MustCompile("(?s)```(\\w+)\n(.*?)```")

// TestSamples loads every configuration and decodes every event that the
// documents show.
func TestSamples(t *testing.T) {
	shown := map[string]string{"deploy/clientevents.yaml": read(t, "../../deploy/clientevents.yaml")}
	for _, doc := range []string{readme, "../../docs/design.md", "../../docs/delivery.md", "../../docs/operations.md", "../../docs/producers.md", "../../docs/runbook.md"} {
		for i, m := range fenced.FindAllStringSubmatch(read(t, doc), -1) {
			switch m[1] {
			case "yaml":
				shown[fmt.Sprintf("%s, block %d", filepath.Base(doc), i)] = m[2]
			case "json":
				if _, fault := event.Decode([]byte(m[2]), event.V4); fault != nil {
					t.Errorf("%s shows an event that is at fault: %v", doc, fault)
				}
			}
		}
	}
	if len(shown) < 2 {
		t.Error("README.md shows no configuration")
	}
	for where, text := range shown {
		path := filepath.Join(t.TempDir(), "clientevents.yaml")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := config.Load(path, nil); err != nil {
			t.Errorf("%s: %v", where, err)
		}
	}
}

var (
	link    = regexp.MustCompile(`\]\(([^)#:]*)(?:#([^)]*))?\)`)
	heading = regexp.MustCompile(`(?m)^#+ (.*)$`)
	// GitHub leaves these out of the name of a section.
	unnamed = regexp.MustCompile(`[^a-z0-9 _-]`)
)

// TestLinks follows the documents' links to each other, and to their sections.
func TestLinks(t *testing.T) {
	docs, err := filepath.Glob("../../docs/*.md")
	if err != nil || len(docs) < 5 {
		t.Fatalf("%d documents, %v", len(docs), err)
	}
	for _, doc := range append(docs, readme, "../../CONTRIBUTING.md", "../../CHANGELOG.md", "../../SECURITY.md", "../../deploy/README.md", "../../deploy/helm/clientevents/README.md", "../../docs/mapping/README.md") {
		for _, m := range link.FindAllStringSubmatch(fenced.ReplaceAllString(read(t, doc), ""), -1) {
			to := doc
			if m[1] != "" {
				to = filepath.Join(filepath.Dir(doc), m[1])
			}
			if _, err := os.Stat(to); err != nil {
				t.Errorf("%s: %v", doc, err)
			} else if m[2] != "" && !slices.Contains(sections(t, to), m[2]) {
				t.Errorf("%s links to %s, which has no section #%s", doc, to, m[2])
			}
		}
	}
}

// sections are the names by which a document's sections are linked to.
func sections(t *testing.T, doc string) (names []string) {
	t.Helper()
	for _, m := range heading.FindAllStringSubmatch(read(t, doc), -1) {
		names = append(names, strings.ReplaceAll(unnamed.ReplaceAllString(strings.ToLower(m[1]), ""), " ", "-"))
	}
	return names
}

func read(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}
