package reporter

import (
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

type metrics struct {
	requests  *prometheus.CounterVec
	duration  prometheus.Histogram
	retries   map[Reason]prometheus.Counter
	throttled prometheus.Counter
}

// codeError stands in the label code for requests without an answer.
const codeError = "error"

func newMetrics(reg prometheus.Registerer, r *Reporter) *metrics {
	m := &metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "clientevents_api_requests_total",
			Help: "Requests to create an event, by the HTTP status of their answer; each part of a batch counts as one.",
		}, []string{"code"}),
		duration: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:                            "clientevents_api_request_duration_seconds",
			Help:                            "Time of one HTTP request to the API that was answered, batches included.",
			Buckets:                         []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30},
			NativeHistogramBucketFactor:     1.1,
			NativeHistogramMaxBucketNumber:  160,
			NativeHistogramMinResetDuration: time.Hour,
		}),
		retries: map[Reason]prometheus.Counter{},
		throttled: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "clientevents_throttled_seconds_total",
			Help: "Time in which events waited for the rate limit or for a destination that asked to wait.",
		}),
	}
	retries := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "clientevents_retries_total",
		Help: "Events that have to be sent again, by why.",
	}, []string{"reason"})
	for _, reason := range Reasons() {
		m.retries[reason] = retries.WithLabelValues(string(reason))
	}
	for _, code := range []string{"200", "400", "401", "403", "404", "409", "429", "500", "503", codeError} {
		m.requests.WithLabelValues(code)
	}
	if reg == nil {
		return m
	}
	reg.MustRegister(m.requests, m.duration, retries, m.throttled)
	for _, p := range pauses {
		reg.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name:        "clientevents_paused",
			Help:        "1 while reporting stands still for this reason.",
			ConstLabels: prometheus.Labels{"reason": p.name},
		}, func() float64 {
			if p.holds(r, time.Now()) {
				return 1
			}
			return 0
		}))
	}
	return m
}

// request counts the answer to one event's request.
func (m *metrics) request(status int, err *Error) {
	code := codeError
	if status != 0 && (err == nil || err.Status != 0) {
		code = strconv.Itoa(status)
	}
	m.requests.WithLabelValues(code).Inc()
}
