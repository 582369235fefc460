package event_test

import (
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/clientevents/clientevents/event"
)

var typeName = regexp.MustCompile(`\b[A-Z][A-Z_]{3,}\b`)

// TestParentTablesInDocuments holds the documents to which type may follow which.
func TestParentTablesInDocuments(t *testing.T) {
	for _, doc := range []struct {
		file, title string
		types       int // the column that names the types; the next names their parents
		all         bool
	}{
		{"../docs/design.md", "## Which type may follow which", 0, true},
		{"../docs/producers.md", "## Which event when", 1, false},
	} {
		seen := map[string]bool{}
		var before []string
		for _, row := range tableBelow(t, doc.file, doc.title) {
			parents := typeName.FindAllString(row[doc.types+1], -1)
			if strings.Contains(row[doc.types+1], "the same") || strings.Contains(row[doc.types+1], "those") {
				parents = append(parents, before...)
			}
			slices.Sort(parents)
			before = parents
			for _, name := range typeName.FindAllString(row[doc.types], -1) {
				seen[name] = true
				if want := parentsOf(t, doc.file, name); !slices.Equal(parents, want) {
					t.Errorf("%s: the parents of %s are %v, want %v", doc.file, name, parents, want)
				}
			}
		}
		for _, typ := range event.V3.Types() {
			if doc.all && !seen[typ.String()] {
				t.Errorf("%s does not say what %s may follow", doc.file, typ)
			}
		}
		if len(seen) < 10 {
			t.Errorf("%s has %d types", doc.file, len(seen))
		}
	}
}

// TestTypesInProducers: application teams find each type in their document.
func TestTypesInProducers(t *testing.T) {
	text := readDoc(t, "../docs/producers.md")
	for _, typ := range event.V3.Types() {
		if !strings.Contains(text, "`"+typ.String()+"`") {
			t.Errorf("docs/producers.md does not say when to publish %s", typ)
		}
	}
	limit := fmt.Sprintf("at most %d keys, and %d,%03d bytes", event.MaxExtraInfoKeys, event.MaxExtraInfoBytes/1000, event.MaxExtraInfoBytes%1000)
	if !strings.Contains(text, limit) {
		t.Errorf("docs/producers.md does not say that extraInfo has %s", limit)
	}
}

// tableBelow is the rows of the first table below a title, cell by cell.
func tableBelow(t *testing.T, file, title string) (rows [][]string) {
	t.Helper()
	_, text, ok := strings.Cut(readDoc(t, file), title+"\n")
	if !ok {
		t.Fatalf("%s has no section %q", file, title)
	}
	_, text, _ = strings.Cut(text, "|---|")
	_, text, _ = strings.Cut(text, "\n")
	for line := range strings.Lines(text) {
		if !strings.HasPrefix(line, "| ") {
			return rows
		}
		rows = append(rows, strings.Split(strings.Trim(strings.TrimSpace(line), "|"), "|"))
	}
	return rows
}

func parentsOf(t *testing.T, file, name string) (names []string) {
	t.Helper()
	for _, typ := range event.V3.Types() {
		if typ.String() != name {
			continue
		}
		for _, p := range typ.Parents() {
			names = append(names, p.String())
		}
		slices.Sort(names)
		return names
	}
	t.Errorf("%s names %s, which is no type", file, name)
	return nil
}

func readDoc(t *testing.T, file string) string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
