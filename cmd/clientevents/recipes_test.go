package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// recipe is a test or a type check of docs/producers.md for an application's own CI.
type recipe struct {
	name, fence, file string
	// schema is the file of docs/schema that the document tells to copy.
	schema string
	needs  string
	// command runs in the folder of file; modules is the absolute path of needs.
	command func(modules string) []string
}

var recipes = []recipe{
	{"npm", "mjs", "events.test.mjs", "client-event.v4.json", "node/node_modules", func(string) []string {
		return []string{"node", "--test"}
	}},
	{"pip", "py", "test_events.py", "client-event.v4.json", "python/.venv", func(venv string) []string {
		return []string{filepath.Join(venv, "bin/python"), "-m", "unittest", "-q"}
	}},
	{"TypeScript", "ts", "events.ts", "client-event.v4.d.ts", "node/node_modules", func(modules string) []string {
		return []string{"node", filepath.Join(modules, "typescript/bin/tsc"), "--noEmit", "--strict", "--skipLibCheck", "--lib", "es2022", "--target", "es2022", "--moduleResolution", "bundler", "--module", "esnext", "events.ts"}
	}},
}

// TestProducersRecipes runs the recipes of docs/producers.md as they are printed.
func TestProducersRecipes(t *testing.T) {
	t.Parallel()
	text := readFile(t, "../../docs/producers.md")
	for _, r := range recipes {
		t.Run(r.name, func(t *testing.T) {
			found := regexp.MustCompile("(?s)\n```"+r.fence+"\n(.*?)\n```\n").FindAllStringSubmatch(text, -1)
			if len(found) != 1 {
				t.Fatalf("docs/producers.md has %d recipes in %s, want 1", len(found), r.fence)
			}
			modules, err := filepath.Abs(filepath.Join(producersFolder, r.needs))
			if err != nil {
				t.Fatal(err)
			}
			if _, err := os.Stat(modules); err != nil {
				if os.Getenv("PRODUCERS") == "all" {
					t.Fatalf("%s is missing: run 'make producers-test'", r.needs)
				}
				t.Skipf("NOT RUN: %s is missing; 'make producers-test' installs it", r.needs)
			}
			folder := t.TempDir()
			for name, content := range map[string]string{
				r.file: found[0][1] + "\n", r.schema: readFile(t, filepath.Join("../../docs/schema", r.schema)),
			} {
				if err := os.WriteFile(filepath.Join(folder, name), []byte(content), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			if strings.HasSuffix(r.needs, "node_modules") {
				if err := os.Symlink(modules, filepath.Join(folder, "node_modules")); err != nil {
					t.Fatal(err)
				}
			}
			args := r.command(modules)
			cmd := exec.CommandContext(t.Context(), args[0], args[1:]...)
			cmd.Dir = folder
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Errorf("%v: %v\n%s", args, err, out)
			}
		})
	}
}
