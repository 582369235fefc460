package proc

import (
	"math"
	"os"
	"path/filepath"
	"runtime/debug"
	"testing"
)

func TestMemoryLimit(t *testing.T) {
	for _, test := range []struct {
		name, self string
		files      map[string]string
		want       float64
	}{
		{"none", "0::/\n", nil, math.Inf(1)},
		{"version 2, in a container", "0::/\n", map[string]string{"memory.max": "268435456\n"}, 256 << 20},
		{"version 2, no limit", "0::/a/b\n", map[string]string{"a/b/memory.max": "max\n"}, math.Inf(1)},
		{"version 2, the pod's limit is less", "0::/pod/c\n", map[string]string{"pod/c/memory.max": "200\n", "pod/memory.max": "100\n"}, 100},
		{"version 1", "5:cpu:/x\n4:memory:/x\n", map[string]string{"memory/x/memory.limit_in_bytes": "300\n"}, 300},
		{"version 1, no limit", "4:memory:/x\n", map[string]string{"memory/x/memory.limit_in_bytes": "9223372036854771712\n"}, math.Inf(1)},
	} {
		t.Run(test.name, func(t *testing.T) {
			root := t.TempDir()
			self := filepath.Join(root, "self")
			for path, text := range test.files {
				path = filepath.Join(root, path)
				if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			if err := os.WriteFile(self, []byte(test.self), 0o600); err != nil {
				t.Fatal(err)
			}
			if got := memoryLimit(root, self); got != test.want {
				t.Errorf("the limit is %v: want %v", got, test.want)
			}
		})
	}
}

func TestTuneMemory(t *testing.T) {
	root := t.TempDir()
	self := filepath.Join(root, "self")
	for path, text := range map[string]string{self: "0::/\n", filepath.Join(root, "memory.max"): "1000000000\n"} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, test := range []struct {
		name    string
		environ map[string]string
		limit   int64
		paced   int64 // the limit that the pace of the collector is for; -1 where it is not set
	}{
		{"nothing is set", nil, 900_000_000, 900_000_000},
		{"GOMEMLIMIT is set", map[string]string{"GOMEMLIMIT": "500MB"}, 500_000_000, 500_000_000},
		{"GOGC is set", map[string]string{"GOGC": "100"}, 900_000_000, -1},
	} {
		t.Run(test.name, func(t *testing.T) {
			before := debug.SetMemoryLimit(500_000_000) // as the runtime does for GOMEMLIMIT
			defer debug.SetMemoryLimit(before)
			paced := int64(-1)
			tuneMemory(func(name string) string { return test.environ[name] }, root, self, func(limit int64) { paced = limit })
			if got := debug.SetMemoryLimit(-1); got != test.limit {
				t.Errorf("the limit is %d: want %d", got, test.limit)
			}
			if paced != test.paced {
				t.Errorf("the collector's pace is for a limit of %d: want %d", paced, test.paced)
			}
		})
	}
}
