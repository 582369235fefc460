package check

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// failing is a module in which one thing of each kind goes wrong.
var failing = map[string]string{
	"go.mod": "module failing\n\ngo 1.26\n",
	"tests_test.go": `package failing

import "testing"

func TestGood(t *testing.T) { t.Log("all is well") }

func TestBad(t *testing.T) {
	t.Run("one", func(t *testing.T) { t.Error("one is odd") })
	t.Run("two", func(t *testing.T) { t.Log("two is even") })
}

func TestMany(t *testing.T) {
	for i := range 100 {
		t.Errorf("many %d", i)
	}
}
`,
	"panics/panics_test.go": "package panics\n\nimport \"testing\"\n\nfunc TestPanic(*testing.T) { panic(\"out of order\") }\n",
	"broken/broken_test.go": "package broken\n\nimport \"testing\"\n\nfunc TestBroken(*testing.T) { missing() }\n",
	"late/late_test.go":     "package late\n\nimport \"testing\"\n\nfunc TestLate(*testing.T) { select {} }\n",
}

// TestFailures: what CI says at its end of a failed test tells which it was, and why.
func TestFailures(t *testing.T) {
	folder := t.TempDir()
	for name, text := range failing {
		path := filepath.Join(folder, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, verbose := range []string{"-v=false", "-v"} {
		t.Run(verbose, func(t *testing.T) {
			printed, err := run(nil, []string{"GOFLAGS="}, folder, "go", "test", verbose, "-vet=off", "-timeout=2s", "./...")
			if err == nil {
				t.Fatalf("nothing failed:\n%s", printed)
			}
			said := failures(t, printed, "limit=120")
			for _, want := range []string{
				"--- FAIL: TestBad/one", "one is odd", "--- FAIL: TestMany", "FAIL\tfailing\t",
				"--- FAIL: TestPanic", "panic: out of order", "FAIL\tfailing/panics\t",
				"undefined: missing", "FAIL\tfailing/broken [build failed]",
				"panic: test timed out after 2s", "TestLate (", "FAIL\tfailing/late\t",
			} {
				if !strings.Contains(said, want) {
					t.Errorf("it does not say %q", want)
				}
			}
			if strings.Contains(said, "all is well") || strings.Count(said, "many ") != 15 {
				t.Error("it says more than 15 lines of a failed test, or something of one that did not fail")
			}
			if t.Failed() {
				t.Log(said)
			}
			if short := failures(t, printed, "limit=20"); strings.Count(short, "\n") != 20 || !strings.Contains(short, "FAIL\tfailing/late\t") {
				t.Errorf("in 20 lines it does not name all that failed:\n%s", short)
			}
		})
	}
	if said := failures(t, "compiling\nmake: *** [Makefile:1: all] Error 2\n", "limit=120"); !strings.HasSuffix(said, "Error 2\n") {
		t.Errorf("of what is no test it does not say the end: %q", said)
	}
}

func failures(t *testing.T, printed, limit string) string {
	t.Helper()
	said, err := run([]byte(printed), nil, root, ".ci/failures", limit, "/dev/stdin")
	if err != nil {
		t.Fatal(err)
	}
	return said
}
