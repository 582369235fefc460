package style

import (
	"os"
	"slices"
	"strings"
	"testing"
)

// long are the functions and files that may exceed the limits, with the reason.
var long = map[string]string{
	"internal/config/keys.go: Keys": "one table: a key after the other",
}

// repository is the root of the repository.
var repository = os.DirFS("../..")

// notText are files that are not to be judged: they quote the words themselves, or
// record the past.
func notText(name string) bool {
	return strings.HasPrefix(name, "test/style/") || name == "CHANGELOG.md" || name == "CONTRIBUTING.md"
}

func TestVocabulary(t *testing.T) {
	files := 0
	err := textFiles(repository, func(name, text string) {
		files++
		if notText(name) {
			return
		}
		if found := bannedIn(text); len(found) > 0 {
			t.Errorf("%s uses %q: use the common words, see CONTRIBUTING.md", name, found)
		}
	})
	if err != nil || files < 100 {
		t.Errorf("%d files were read (%v)", files, err)
	}
}

func TestSizes(t *testing.T) {
	used := map[string]bool{}
	err := textFiles(repository, func(name, text string) {
		if !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go") {
			return
		}
		found, err := oversizeIn(name, text)
		if err != nil {
			t.Error(err)
		}
		for _, o := range found {
			used[o.Name] = true
			if long[o.Name] == "" {
				t.Errorf("%s has %d lines: at most %d in a function and %d in a file", o.Name, o.Lines, maxFunctionLines, maxFileLines)
			}
		}
	})
	if err != nil {
		t.Error(err)
	}
	for name := range long {
		if !used[name] {
			t.Errorf("%s is short enough: remove it from the exceptions", name)
		}
	}
}

// TestChecksFind plants faults in a text and in a file.
func TestChecksFind(t *testing.T) {
	text := "Mend it, and whoever goes\non is buried anew. Amend what is recommended, with franz-go on one side."
	if got, want := bannedIn(text), []string{"Mend", "whoever", "buried", "anew"}; !slices.Equal(got, want) {
		t.Errorf("banned words: got %q, want %q", got, want)
	}
	text = "It says whether to wake somebody: more comes than goes, 1 % at the most. At most one stands."
	if got, want := bannedIn(text), []string{"says whether", "wake somebody", "comes than goes", "at the most"}; !slices.Equal(got, want) {
		t.Errorf("banned phrases: got %q, want %q", got, want)
	}
	body := strings.Repeat("\tprintln()\n", maxFunctionLines-1)
	source := "package p\n\nfunc long() {\n" + body + "}\n\nfunc short() {\n" + body[len("\tprintln()\n"):] + "}\n"
	found, err := oversizeIn("p.go", source)
	if err != nil || len(found) != 1 || found[0] != (oversize{"p.go: long", maxFunctionLines + 1}) {
		t.Errorf("long functions: %v, %v", found, err)
	}
	source = "package p\n" + strings.Repeat("\n", maxFileLines)
	if found, err = oversizeIn("p.go", source); err != nil || len(found) != 1 || found[0].Name != "p.go" {
		t.Errorf("long files: %v, %v", found, err)
	}
	if !foreign("docs/producers/java/lib") || foreign("deploy") {
		t.Error("folders of ours and of others are confused")
	}
}
