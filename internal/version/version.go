// Package version knows which build this is.
package version

import (
	"runtime"
	"runtime/debug"

	"github.com/prometheus/client_golang/prometheus"
)

// Stamped by the linker: -X …/internal/version.number=v1.2.3.
var number, commit string

// Number is the release, or "dev" for a build that is none.
func Number() string {
	if number != "" {
		return number
	}
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" && info.Main.Version != "(devel)" {
		return info.Main.Version
	}
	return "dev"
}

// Commit is the commit that was built, or "unknown".
func Commit() string {
	if commit != "" {
		return commit
	}
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" {
				return s.Value
			}
		}
	}
	return "unknown"
}

// UserAgent names the program to servers.
func UserAgent() string { return "clientevents/" + Number() }

// Metric is a constant series that says which build runs.
func Metric() prometheus.Collector {
	g := prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Name: "clientevents_build_info", Help: "Always 1; the labels identify the build.",
	}, []string{"version", "commit", "go"})
	g.WithLabelValues(Number(), Commit(), runtime.Version()).Set(1)
	return g
}
