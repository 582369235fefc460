// Package proc sets the limits of the process and registers its metrics.
package proc

import (
	"math"
	"os"
	"path/filepath"
	"runtime/debug"
	"strconv"
	"strings"
)

// Files in which Linux describes control groups.
const (
	cgroupRoot = "/sys/fs/cgroup"
	cgroupSelf = "/proc/self/cgroup"
)

// TuneMemory sets the pace of the garbage collector and its limit, unless the
// environment (GOGC, GOMEMLIMIT) does.
//
// A tenth of the container's limit is reserved for memory outside Go's heap, so that
// the collector runs more often before the kernel kills the process.
func TuneMemory(getenv func(string) string) {
	tuneMemory(getenv, cgroupRoot, cgroupSelf, paceCollector)
}

func tuneMemory(getenv func(string) string, root, self string, pace func(limit int64)) {
	if limit := containerLimit(root, self); getenv("GOMEMLIMIT") == "" && !math.IsInf(limit, 1) {
		debug.SetMemoryLimit(int64(limit / 10 * 9))
	}
	if getenv("GOGC") != "" {
		return
	}
	limit := memoryLimit(root, self)
	if math.IsInf(limit, 1) {
		limit = 0
	}
	pace(int64(limit))
}

// MemoryLimit returns the limit of the process's memory in bytes: the lower of
// GOMEMLIMIT and the container's limit; 0 without a limit.
func MemoryLimit() int64 {
	if limit := memoryLimit(cgroupRoot, cgroupSelf); !math.IsInf(limit, 1) {
		return int64(limit)
	}
	return 0
}

// memoryLimit returns the lower of Go's own limit and the container's.
func memoryLimit(root, self string) float64 {
	limit := containerLimit(root, self)
	if soft := debug.SetMemoryLimit(-1); soft != math.MaxInt64 {
		limit = min(limit, float64(soft))
	}
	return limit
}

// containerLimit is the lowest limit of the control group (cgroups(7), version 2
// or 1) and of its parents; +Inf without a limit. root is the directory in which they
// are mounted, and self the file that names the process's own group.
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
