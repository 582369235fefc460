// Package metric makes metrics and registers them.
package metric

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
)

// Set registers the metrics that it makes. Without a Registerer the metrics work and
// no one collects them.
type Set struct{ prometheus.Registerer }

func register[C prometheus.Collector](s Set, c C) C {
	if s.Registerer != nil {
		s.MustRegister(c)
	}
	return c
}

// Counter makes a counter.
func (s Set) Counter(name, help string) prometheus.Counter {
	return register(s, prometheus.NewCounter(prometheus.CounterOpts{Name: name, Help: help}))
}

// Counters makes a counter for each value of a label.
func (s Set) Counters(name, help, label string) *prometheus.CounterVec {
	return register(s, prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, []string{label}))
}

// CounterFunc makes a counter whose value a function returns.
func (s Set) CounterFunc(name, help string, value func() float64) {
	register(s, prometheus.NewCounterFunc(prometheus.CounterOpts{Name: name, Help: help}, value))
}

// Gauge makes a gauge.
func (s Set) Gauge(name, help string) prometheus.Gauge {
	return register(s, prometheus.NewGauge(prometheus.GaugeOpts{Name: name, Help: help}))
}

// Gauges makes a gauge for each value of the labels. Without labels it makes one gauge
// that is absent until it has a value.
func (s Set) Gauges(name, help string, labels ...string) *prometheus.GaugeVec {
	return register(s, prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: name, Help: help}, labels))
}

// GaugeFunc makes a gauge whose value a function returns.
func (s Set) GaugeFunc(name, help string, value func() float64) {
	register(s, prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, value))
}

// States makes a gauge for each value of a label that is 1 while the function reports
// true, and 0 otherwise.
func (s Set) States(name, help, label string, values []string, holds func(i int) bool) {
	for i, value := range values {
		register(s, prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: name, Help: help, ConstLabels: prometheus.Labels{label: value},
		}, func() float64 {
			if holds(i) {
				return 1
			}
			return 0
		}))
	}
}

// Histogram makes a histogram with classic buckets, and native ones for a Prometheus
// that requests them.
func (s Set) Histogram(name, help string, buckets ...float64) prometheus.Histogram {
	return register(s, prometheus.NewHistogram(prometheus.HistogramOpts{
		Name: name, Help: help,
		Buckets:                         buckets, // otherwise there would be only native ones
		NativeHistogramBucketFactor:     1.1,
		NativeHistogramMaxBucketNumber:  160,
		NativeHistogramMinResetDuration: time.Hour,
	}))
}

// Each returns the counter of each value, by its key. All series exist from the start,
// so that a rate over them has a zero to begin with.
func Each[K comparable](all *prometheus.CounterVec, keys []K, value func(K) string) map[K]prometheus.Counter {
	counters := make(map[K]prometheus.Counter, len(keys))
	for _, key := range keys {
		counters[key] = all.WithLabelValues(value(key))
	}
	return counters
}

// Count returns the value of a counter.
func Count(c prometheus.Counter) uint64 {
	var m dto.Metric
	if c.Write(&m) != nil {
		return 0
	}
	return uint64(m.GetCounter().GetValue())
}

// CountAndSum returns how many values a histogram has, and their sum.
func CountAndSum(h prometheus.Histogram) (count uint64, sum float64) {
	var m dto.Metric
	if h.Write(&m) != nil {
		return 0, 0
	}
	return m.GetHistogram().GetSampleCount(), m.GetHistogram().GetSampleSum()
}
