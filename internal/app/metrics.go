package app

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"runtime/debug"
	"strconv"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/clientevents/clientevents/internal/config"
	"github.com/clientevents/clientevents/internal/version"
)

// registerProcess registers what is told about the process as a whole.
func registerProcess(reg prometheus.Registerer, c *config.Config) {
	reg.MustRegister(
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		version.Metric(),
		configInfo(c),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "clientevents_memory_limit_bytes",
			Help: "Memory that the process may use: GOMEMLIMIT or its container's limit, whichever is less; +Inf where there is neither.",
		}, func() float64 { return memoryLimit("/sys/fs/cgroup", "/proc/self/cgroup") }),
	)
}

// configInfo is a constant series that says what the process was configured to
// do. Replicas of a group that differ in hash differ in some key.
func configInfo(c *config.Config) prometheus.Collector {
	g := prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Name: "clientevents_config_info",
		Help: "Always 1; the labels say from where to where events are carried, and the hash changes with each key of the configuration but those of admin and log.",
	}, []string{"topic", "group", "api_version", "hash"})
	g.WithLabelValues(c.Kafka.Topic, c.Kafka.Group, c.API.Version.String(), configHash(c)).Set(1)
	return g
}

// configHash names a configuration. Secrets don't go into it: whoever sees the
// metrics could try passwords.
func configHash(c *config.Config) string {
	same := *c
	same.Admin, same.Log, same.Warnings = config.Admin{}, config.Log{}, nil
	sum := sha256.Sum256(fmt.Appendf(nil, "%+v", same))
	return hex.EncodeToString(sum[:4])
}

// memoryLimit looks for the least limit there is: Go's own, and those of the
// control group (cgroups(7), version 2 or 1) and of the groups around it. root
// is where they are mounted, and self is the file that names the process's own.
func memoryLimit(root, self string) float64 {
	limit := math.Inf(1)
	if soft := debug.SetMemoryLimit(-1); soft != math.MaxInt64 {
		limit = float64(soft)
	}
	for _, file := range limitFiles(root, self) {
		data, err := os.ReadFile(file)
		if err != nil {
			continue
		}
		// Version 1 says "no limit" with a number near 2⁶³.
		if n, err := strconv.ParseInt(strings.TrimSpace(string(data)), 10, 64); err == nil && n < 1<<62 {
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
