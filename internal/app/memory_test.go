package app

import (
	"math"
	"os"
	"path/filepath"
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
