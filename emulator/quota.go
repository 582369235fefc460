package emulator

import (
	"fmt"
	"net/http"
	"strconv"
	"sync"
	"time"
)

// Quota is how many calls are taken in a window of time, as Google counts
// them: windows follow each other, and what one does not use is gone.
type Quota struct {
	// Calls in each window; 0 is no bound.
	Calls int
	// Per is the window's length; default one second.
	Per time.Duration
	// HideRetryAfter leaves out when to come back.
	HideRetryAfter bool
}

// quota counts calls.
type quota struct {
	mu    sync.Mutex
	of    Quota
	began time.Time
	used  int
}

// take spends one call, or answers 429 as Google's front end does.
func (q *quota) take(limit Quota, now time.Time) *apiError {
	if limit.Calls <= 0 {
		return nil
	}
	if limit.Per <= 0 {
		limit.Per = time.Second
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.of != limit || now.Sub(q.began) >= limit.Per {
		q.of, q.used = limit, 0
		q.began = now.Truncate(limit.Per)
	}
	if q.used < limit.Calls {
		q.used++
		return nil
	}
	return overQuota(limit, q.began.Add(limit.Per).Sub(now))
}

const (
	service     = "jobs.googleapis.com"
	quotaMetric = service + "/client_event_requests"
	quotaLimit  = "ClientEventRequestsPerWindowPerProject"
	consumer    = "project_number:1"
)

func overQuota(limit Quota, wait time.Duration) *apiError {
	err := errorf(http.StatusTooManyRequests,
		"Quota exceeded for quota metric '%s' and limit '%s' of service '%s' for consumer '%s'.", quotaMetric, quotaLimit, service, consumer)
	value := strconv.Itoa(limit.Calls)
	err.details = []any{
		errorInfo{typeErrorInfo, "RATE_LIMIT_EXCEEDED", "googleapis.com", map[string]string{
			"consumer": "projects/1", "quota_limit": quotaLimit, "quota_limit_value": value,
			"quota_location": "global", "quota_metric": quotaMetric, "service": service,
		}},
		quotaFailure{typeQuotaFailure, []quotaViolation{{
			Subject: consumer, Description: fmt.Sprintf("%d calls in %s", limit.Calls, limit.Per),
			APIService: service, QuotaMetric: quotaMetric, QuotaID: quotaLimit, QuotaValue: value,
		}}},
	}
	if !limit.HideRetryAfter {
		err.retryAfter(wait)
	}
	return err
}
