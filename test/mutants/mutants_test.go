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
