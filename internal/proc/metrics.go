package proc

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/clientevents/clientevents/internal/version"
)

// Register registers the metrics of the process as a whole.
func Register(reg prometheus.Registerer) {
	reg.MustRegister(
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		version.Metric(),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "clientevents_memory_limit_bytes",
			Help: "Memory limit of the process: the lower of GOMEMLIMIT and the container's limit; +Inf if neither is set.",
		}, func() float64 { return memoryLimit(cgroupRoot, cgroupSelf) }),
	)
}
