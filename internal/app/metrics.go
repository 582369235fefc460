package app

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"

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
		}, func() float64 { return memoryLimit(cgroupRoot, cgroupSelf) }),
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
