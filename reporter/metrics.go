package reporter

import (
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"github.com/clientevents/clientevents/internal/metric"
	"github.com/clientevents/clientevents/reporter/talent"
)

type metrics struct {
	requests *prometheus.CounterVec
	codes    map[int]prometheus.Counter // of requests, those that are expected
	none     prometheus.Counter         // of requests, without an answer
	duration prometheus.Histogram
	retries  map[talent.Reason]prometheus.Counter
	unknown  prometheus.Counter
}

// codeError stands in the label code for requests without an answer.
const codeError = "error"

// expectedCodes are there from the start, so that a rate over them has a zero
// to begin with.
var expectedCodes = []int{200, 400, 401, 403, 404, 408, 409, 413, 429, 500, 502, 503, 504}

func newMetrics(reg prometheus.Registerer, r *Reporter) *metrics {
	s := metric.Set{Registerer: reg}
	m := &metrics{
		requests: s.Counters("clientevents_api_requests_total",
			"Requests to create an event, by HTTP status of the response; each part of a batch counts as one.", "code"),
		duration: s.Histogram("clientevents_api_request_duration_seconds",
			"Duration of an answered HTTP request to the API, batches included.",
			.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30),
		retries: metric.Each(s.Counters("clientevents_retries_total",
			"Events to send again, by reason.", "reason"),
			talent.Reasons(), func(r talent.Reason) string { return string(r) }),
		unknown: s.Counter("clientevents_unknown_outcomes_total",
			"Events sent again although the API may have accepted them: the response to the request is missing, unreadable, or has status 500, 502 or 504."),
	}
	m.codes = metric.Each(m.requests, expectedCodes, strconv.Itoa)
	m.none = m.requests.WithLabelValues(codeError)
	s.CounterFunc("clientevents_throttled_seconds_total",
		"Time that events waited for the rate limit or for a failing or throttling destination.",
		func() float64 { return r.throttled(time.Now()).Seconds() })
	s.GaugeFunc("clientevents_rate_limit_events_per_second",
		"Limit on events sent per second, configured or learned from the API's quota; 0 means no limit.",
		func() float64 { limit, _ := r.limiter.rates(); return limit })
	s.GaugeFunc("clientevents_held_events",
		"Rejected events that are held until it is clear whether the event or the destination is at fault.",
		func() float64 { _, held := r.judge.status(); return float64(held) })
	s.States("clientevents_paused",
		"Whether reporting is paused for this reason (1) or not (0). Set immediately for operator and rejections, after a failed retry for auth and forbidden, after 10 s for throttled and unavailable.",
		"reason", Pauses(), func(i int) bool { return pauses[i].holds(r, time.Now()) })
	return m
}

// answers counts the answers to n events' requests; status 0 is none.
func (m *metrics) answers(status, n int) {
	switch counter, ok := m.codes[status]; {
	case ok:
		counter.Add(float64(n))
	case status < 100 || status > 599: // not an HTTP status, and there may be many of them
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
