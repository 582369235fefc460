package app

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
		percent int
	}{
		{"nothing is set", nil, 900_000_000, 50},
		{"GOMEMLIMIT is set", map[string]string{"GOMEMLIMIT": "1GiB"}, math.MaxInt64, 50},
		{"GOGC is set", map[string]string{"GOGC": "100"}, 900_000_000, 123},
	} {
		t.Run(test.name, func(t *testing.T) {
			limit, percent := debug.SetMemoryLimit(math.MaxInt64), debug.SetGCPercent(123)
			defer func() {
				debug.SetMemoryLimit(limit)
				debug.SetGCPercent(percent)
			}()
			tuneMemory(func(name string) string { return test.environ[name] }, root, self)
			if got := debug.SetMemoryLimit(-1); got != test.limit {
				t.Errorf("the limit is %d: want %d", got, test.limit)
			}
			if got := debug.SetGCPercent(50); got != test.percent {
				t.Errorf("the percentage is %d: want %d", got, test.percent)
			}
		})
	}
}
