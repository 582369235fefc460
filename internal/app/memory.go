package app

import (
	"math"
	"os"
	"path/filepath"
	"runtime/debug"
	"strconv"
	"strings"
)

// Where Linux tells of control groups.
const (
	cgroupRoot = "/sys/fs/cgroup"
	cgroupSelf = "/proc/self/cgroup"
)

// TuneMemory sets what the garbage collector goes by, where the environment
// (GOMEMLIMIT, GOGC) does not.
//
// A pipeline's garbage is short-lived and its memory is what is paid for: half
// of Go's default costs a few percent of CPU and holds a quarter less. Below the
// container's limit a tenth is left for what is not Go's heap, so that the
// collector works harder before the kernel kills.
func TuneMemory(getenv func(string) string) { tuneMemory(getenv, cgroupRoot, cgroupSelf) }

func tuneMemory(getenv func(string) string, root, self string) {
	if getenv("GOGC") == "" {
		debug.SetGCPercent(50)
	}
	if getenv("GOMEMLIMIT") != "" {
		return
	}
	if limit := containerLimit(root, self); !math.IsInf(limit, 1) {
		debug.SetMemoryLimit(int64(limit / 10 * 9))
	}
}

// memoryLimit looks for the least limit there is: Go's own, and the container's.
func memoryLimit(root, self string) float64 {
	limit := containerLimit(root, self)
	if soft := debug.SetMemoryLimit(-1); soft != math.MaxInt64 {
		limit = min(limit, float64(soft))
	}
	return limit
}

// containerLimit is the least limit of the control group (cgroups(7), version 2
// or 1) and of the groups around it; +Inf where there is none. root is where they
// are mounted, and self is the file that names the process's own.
func containerLimit(root, self string) float64 {
	limit := math.Inf(1)
	for _, file := range limitFiles(root, self) {
		data, err := os.ReadFile(file)
		if err != nil {
			continue
		}
		// Version 1 says "no limit" with a number near 2⁶³.
		if n, err := strconv.ParseInt(strings.TrimSpace(string(data)), 10, 64); err == nil && n > 0 && n < 1<<62 {
			limit = min(limit, float64(n))
		}
	}
	return limit
}

func limitFiles(root, self string) (files []string) {
	data, err := os.ReadFile(self)
	if err != nil {
		return nil
	}
	for line := range strings.Lines(string(data)) {
		// hierarchy:controllers:path, with no controllers for version 2
		parts := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(parts) != 3 {
			continue
		}
		base, name := root, "memory.max"
		switch {
		case parts[1] == "memory":
			base, name = filepath.Join(root, "memory"), "memory.limit_in_bytes"
		case parts[1] != "":
			continue
		}
		for dir := filepath.Clean("/" + parts[2]); ; dir = filepath.Dir(dir) {
			files = append(files, filepath.Join(base, dir, name))
			if dir == "/" {
				break
			}
		}
	}
	return files
}
