package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestBugsApply: each bug still has its place in the program, and its test is
// there. Whether the test notices is for `make mutants`.
func TestBugsApply(t *testing.T) {
	t.Chdir("../..")
	for _, b := range bugs {
		if _, err := b.overlay(t.TempDir()); err != nil {
			t.Errorf("%s: %v", b.what, err)
		}
		files, err := filepath.Glob(filepath.Join(b.pkg, "*_test.go"))
		if err != nil {
			t.Fatal(err)
		}
		var tests strings.Builder
		for _, file := range files {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			tests.Write(text)
		}
		for _, name := range regexp.MustCompile(`\^(Test\w+)\$`).FindAllStringSubmatch(b.run, -1) {
			if !strings.Contains(tests.String(), "func "+name[1]+"(") {
				t.Errorf("%s: %s has no %s", b.what, b.pkg, name[1])
			}
		}
	}
}

// TestNamedTestsExist: docs/delivery.md names no test that is not there.
func TestNamedTestsExist(t *testing.T) {
	doc, err := os.ReadFile("../../docs/delivery.md")
	if err != nil {
		t.Fatal(err)
	}
	var tests strings.Builder
	for _, pattern := range []string{"../../*/*_test.go", "../../*/*/*_test.go"} {
		files, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			tests.Write(text)
		}
	}
	for _, name := range regexp.MustCompile("`(Test\\w+)`").FindAllStringSubmatch(string(doc), -1) {
		if !strings.Contains(tests.String(), "func "+name[1]+"(") {
			t.Errorf("docs/delivery.md names %s, which is not there", name[1])
		}
	}
}

// TestDocumented: docs/delivery.md has a line for every bug, with the test that
// is against it.
func TestDocumented(t *testing.T) {
	doc, err := os.ReadFile("../../docs/delivery.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range bugs {
		test := regexp.MustCompile(`Test\w+`).FindString(b.run)
		if line := "| " + b.family + " | " + b.what + " | `" + test + "` |"; !strings.Contains(string(doc), line) {
			t.Errorf("docs/delivery.md lacks the line\n%s", line)
		}
	}
}

// TestJointBuild: a function gets a twin for each bug in it, which it calls where that bug
// is chosen; what is not within a function, or cannot be called, is left to another build.
func TestJointBuild(t *testing.T) {
	t.Chdir(t.TempDir())
	const source = `package p

const limit = 5

func (s *sum) add(first int, rest ...int) (total int) {
	for _, n := range rest {
		first += n
	}
	return first
}

func say(what string) { println(what) }

func ignore(_ int) { println("no") }
`
	if err := os.WriteFile("p.go", []byte(source), 0o600); err != nil {
		t.Fatal(err)
	}
	all := []*bug{
		{file: "p.go", old: "first += n", with: "first -= n"},
		{file: "p.go", old: "limit = 5", with: "limit = 6"},
		{file: "p.go", old: "return first\n", with: "return 0\n"},
		{file: "p.go", old: "println(what)", with: "println(0)"},
		{file: "p.go", old: `"no"`, with: `"yes"`},
	}
	j, err := newJoint(t.TempDir(), all)
	if err != nil {
		t.Fatal(err)
	}
	if len(j.names) != 3 || j.names[all[1]] != "" || j.names[all[4]] != "" {
		t.Errorf("bugs in the build: %v, want all but those of a constant and of a parameter without a name", j.names)
	}
	want := strings.NewReplacer(
		"(total int) {", `(total int) { if chosenMutant == "mutant1" { return s.mutant1(first, rest...) }; if chosenMutant == "mutant3" { return s.mutant3(first, rest...) };`,
		"{ println(what)", `{ if chosenMutant == "mutant4" { mutant4(what); return }; println(what)`,
	).Replace(source) + `
func (s *sum) mutant1(first int, rest ...int) (total int) {
	for _, n := range rest {
		first -= n
	}
	return first
}

func (s *sum) mutant3(first int, rest ...int) (total int) {
	for _, n := range rest {
		first += n
	}
	return 0
}

func mutant4(what string) { println(0) }
`
	here, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(j.replaced[filepath.Join(here, "p.go")])
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != want {
		t.Errorf("got:\n%s\nwant:\n%s", got, want)
	}
}
