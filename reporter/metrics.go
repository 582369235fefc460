package reporter

import (
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
)

type metrics struct {
	requests *prometheus.CounterVec
	codes    map[int]prometheus.Counter // of requests, those that are expected
	none     prometheus.Counter         // of requests, without an answer
	duration prometheus.Histogram
	retries  map[Reason]prometheus.Counter
}

// codeError stands in the label code for requests without an answer.
const codeError = "error"

// expectedCodes are there from the start, so that a rate over them has a zero
// to begin with.
var expectedCodes = []int{200, 400, 401, 403, 404, 408, 409, 413, 429, 500, 502, 503, 504}

func newMetrics(reg prometheus.Registerer, r *Reporter) *metrics {
	m := &metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "clientevents_api_requests_total",
			Help: "Requests to create an event, by the HTTP status of their answer; each part of a batch counts as one.",
		}, []string{"code"}),
		codes: map[int]prometheus.Counter{},
		duration: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:                            "clientevents_api_request_duration_seconds",
			Help:                            "Time of one HTTP request to the API that was answered, batches included.",
			Buckets:                         []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30},
			NativeHistogramBucketFactor:     1.1,
			NativeHistogramMaxBucketNumber:  160,
			NativeHistogramMinResetDuration: time.Hour,
		}),
		retries: map[Reason]prometheus.Counter{},
	}
	for _, code := range expectedCodes {
		m.codes[code] = m.requests.WithLabelValues(strconv.Itoa(code))
	}
	m.none = m.requests.WithLabelValues(codeError)
	retries := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "clientevents_retries_total",
		Help: "Events that have to be sent again, by why.",
	}, []string{"reason"})
	for _, reason := range Reasons() {
		m.retries[reason] = retries.WithLabelValues(string(reason))
	}
	if reg == nil {
		return m
	}
	reg.MustRegister(m.requests, m.duration, retries, prometheus.NewCounterFunc(prometheus.CounterOpts{
		Name: "clientevents_throttled_seconds_total",
		Help: "Time in which events waited for the rate limit or for a destination that failed or asked to wait.",
	}, func() float64 { return r.throttled(time.Now()).Seconds() }))
	reg.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "clientevents_rate_limit_events_per_second",
		Help: "Events a second that are sent at the most: as configured, or what was learned of the API's quota; 0 while there is no limit.",
	}, func() float64 { limit, _ := r.limiter.rates(); return limit }))
	for _, p := range pauses {
		reg.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name:        "clientevents_paused",
			Help:        "1 while reporting stands still for this reason: at once for operator and rejections, when a new try did not help for auth and forbidden, after 10 s for throttled and unavailable.",
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

// answers counts the answers to n events' requests; status 0 is none.
func (m *metrics) answers(status, n int) {
	switch counter, ok := m.codes[status]; {
	case ok:
		counter.Add(float64(n))
	case status < 100 || status > 599: // nobody's, and there may be many
		m.none.Add(float64(n))
	default:
		m.requests.WithLabelValues(strconv.Itoa(status)).Add(float64(n))
	}
}

// counts are the answers so far by their code, those that there were.
func (m *metrics) counts() map[string]uint64 {
	series := make(chan prometheus.Metric)
	go func() {
		defer close(series)
		m.requests.Collect(series)
	}()
	counts := map[string]uint64{}
	for s := range series {
		var value dto.Metric
		if err := s.Write(&value); err == nil && value.GetCounter().GetValue() > 0 {
			counts[value.GetLabel()[0].GetValue()] = uint64(value.GetCounter().GetValue())
		}
	}
	return counts
}
