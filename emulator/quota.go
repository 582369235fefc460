package emulator

import (
	"fmt"
	"net/http"
	"strconv"
	"sync"
	"time"
)

// Quota bounds the calls of API methods; each part of a batch is a call. A window
// begins with the first call after the end of the previous one, and admits Limit
// calls. Calls that are refused for lack of quota or for their token do not count;
// calls that are refused for their content do.
//
// {300, time.Minute} is a usual quota of the service, {50, time.Second} fifty
// events a second.
type Quota struct {
	Limit  int           // calls in a window; 0 for no bound, negative for no calls
	Window time.Duration // a second if 0
	// EventsOnly bounds only the creation of client events, so that searches
	// and changes of jobs continue.
	EventsOnly bool
}

func (q Quota) window() time.Duration {
	if q.Window <= 0 {
		return time.Second
	}
	return q.Window
}

// quotaMeter counts the calls of the current window.
type quotaMeter struct {
	mu    sync.Mutex
	quota Quota
	start time.Time
	used  int
}

// take counts a call at now. If no quota is left, it returns the time until the
// next window.
func (m *quotaMeter) take(q Quota, now time.Time) (wait time.Duration, ok bool) {
	if q.Limit == 0 {
		return 0, true
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if passed := now.Sub(m.start); q != m.quota || passed >= q.window() {
		m.quota, m.start, m.used = q, now, 0
	}
	if m.used >= q.Limit {
		return m.start.Add(q.window()).Sub(now), false
	}
	m.used++
	return 0, true
}

const (
	serviceName = "jobs.googleapis.com"
	// The quota of client events is not documented; these are the names that
	// other services use for their general one.
	quotaMetric = serviceName + "/default_requests"
	quotaLimit  = "DefaultRequestsPerMinutePerProject"
)

// quotaExceeded returns the 429 in the form that Google's front end gives it.
func quotaExceeded(q Quota, project string, wait time.Duration) *apiError {
	limit := strconv.Itoa(max(q.Limit, 0))
	err := errorf(http.StatusTooManyRequests,
		"Quota exceeded for quota metric '%s' and limit '%s' of service '%s' for consumer 'project_number:%s'.",
		quotaMetric, quotaLimit, serviceName, project)
	err.details = []any{
		errorInfo{
			Type:   typeErrorInfo,
			Reason: "RATE_LIMIT_EXCEEDED",
			Domain: "googleapis.com",
			Metadata: map[string]string{
				"consumer":          "projects/" + project,
				"quota_limit":       quotaLimit,
				"quota_limit_value": limit,
				"quota_location":    "global",
				"quota_metric":      quotaMetric,
				"service":           serviceName,
			},
		},
		quotaFailure{
			Type: typeQuotaFailure,
			Violations: []quotaViolation{{
				Subject:     "project:" + project,
				Description: fmt.Sprintf("%s calls in %v", limit, q.window()),
				APIService:  serviceName,
				QuotaMetric: quotaMetric,
				QuotaID:     quotaLimit,
				QuotaValue:  limit,
			}},
		},
	}
	err.retryAfter(wait)
	return err
}
