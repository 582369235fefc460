package talent

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/clientevents/clientevents/internal/netx"
	"github.com/clientevents/clientevents/internal/oneline"
)

// Reason is why an attempt failed. The reasons to try again are the values of the
// label of clientevents_retries_total, so the set is small and fixed.
type Reason string

// The reasons to try again.
const (
	Throttled       Reason = "throttled"       // 429, or 403 for a quota
	Unavailable     Reason = "unavailable"     // 503, 425
	ServerError     Reason = "server_error"    // other 5xx
	Timeout         Reason = "timeout"         // no answer in time, 408, 504
	Network         Reason = "network"         // no connection, a broken one, or a wrong one (407 of a proxy, 421)
	Unauthenticated Reason = "unauthenticated" // 401, or no token could be had
	Forbidden       Reason = "forbidden"       // 403
	BadAnswer       Reason = "bad_answer"      // not an answer of the API
)

// The reasons not to try again.
const (
	Refused  Reason = "refused"   // rejected permanently
	TooLarge Reason = "too_large" // 413, or larger than MaxEvent
)

// Recalled is for attempts that were given up on our side: they say nothing about
// the destination or the event.
const Recalled Reason = "recalled"

// Reasons lists the reasons to try again.
func Reasons() []Reason {
	return []Reason{Throttled, Unavailable, ServerError, Timeout, Network, Unauthenticated, Forbidden, BadAnswer}
}

// Error is a failed attempt, classified once where it failed.
type Error struct {
	Reason Reason
	// Status is the HTTP status; 0 if there was no answer.
	Status int
	// RetryAfter is how long the API asks to wait; 0 if it does not say.
	RetryAfter time.Duration
	// Err holds the details, without credentials or personal data.
	Err error
	// Unknown reports that the API may have accepted the event all the same: the
	// request was sent, and the answer is missing or is not the API's own.
	Unknown bool
	// Lost reports that a connection broke that had worked: it had carried other
	// requests, or the beginning of the answer. Another one may work. It is also set for a
	// request that the server did not process (HTTP/2).
	Lost bool
	// Unsent reports that the attempt ended before there was a request.
	Unsent bool

	// said is the whole text of an answer, until hide removed what must not be
	// shown.
	said string
}

func (e *Error) Error() string {
	if e.Status != 0 {
		return fmt.Sprintf("%d %s: %v", e.Status, e.Reason, e.Err)
	}
	return fmt.Sprintf("%s: %v", e.Reason, e.Err)
}

// Unwrap returns Err.
func (e *Error) Unwrap() error { return e.Err }

// Permanent reports whether the same event would be rejected again.
func (e *Error) Permanent() bool { return e.Reason == Refused || e.Reason == TooLarge }

// classify turns an answer into an error; nil for an answer that counts as
// accepted. 409 does: the event exists already.
func classify(status int, retryAfter string, body []byte, now time.Time) *Error {
	reason := reasonOf(status)
	if reason == "" {
		return nil
	}
	if status == http.StatusForbidden && isQuota(body) {
		reason = Throttled
	}
	message, delay := readStatus(body)
	if message == "" {
		message = http.StatusText(status)
	}
	return &Error{
		Reason:     reason,
		Status:     status,
		RetryAfter: min(maxRetryAfter, max(delay, parseRetryAfter(retryAfter, now))),
		Err:        errors.New(shorten(message)),
		Unknown:    status == http.StatusInternalServerError || status == http.StatusBadGateway || status == http.StatusGatewayTimeout,
		said:       message,
	}
}

// maxRetryAfter bounds how long an answer can make us wait. A quota of a day is
// usual; more than a week is a mistake.
const maxRetryAfter = 7 * 24 * time.Hour

// reasonOf returns what the status of an answer means; "" for accepted.
func reasonOf(status int) Reason {
	switch {
	case status >= 200 && status < 300, status == http.StatusConflict:
		return ""
	case status == http.StatusTooManyRequests:
		return Throttled
	case status == http.StatusServiceUnavailable, status == http.StatusTooEarly:
		return Unavailable
	case status == http.StatusRequestTimeout, status == http.StatusGatewayTimeout:
		return Timeout
	case status == http.StatusProxyAuthRequired, status == http.StatusMisdirectedRequest:
		return Network // the way to the API, and not the API, rejected it
	case status == http.StatusUnauthorized:
		return Unauthenticated
	case status == http.StatusForbidden:
		return Forbidden
	case status == http.StatusRequestEntityTooLarge:
		return TooLarge
	case status >= 400 && status < 500:
		return Refused
	case status >= 500 && status < 600:
		return ServerError
	}
	// 1xx and 3xx: redirects are not followed, and the API sends none.
	return BadAnswer
}

// errTimedOut is the cause of a context whose attempt took too long.
var errTimedOut = errors.New("no answer in time")

// networkError classifies an error of the connection.
func networkError(ctx context.Context, err error) *Error {
	switch cause := context.Cause(ctx); {
	case errors.Is(cause, errTimedOut):
		return &Error{Reason: Timeout, Err: cause}
	case cause != nil:
		return &Error{Reason: Recalled, Err: cause}
	case netx.IsTimeout(err):
		return &Error{Reason: Timeout, Err: err}
	}
	return &Error{Reason: Network, Err: err}
}

// readStatus reads a google.rpc.Status in JSON: its message, and the delay of its
// RetryInfo (google/rpc/error_details.proto), with or without a message.
func readStatus(body []byte) (message string, delay time.Duration) {
	var answer struct {
		Error struct {
			Message string
			Status  string
			Details []struct {
				Type       string `json:"@type"`
				RetryDelay string
			}
		}
	}
	// Fields of the right type are read even if others have another type than
	// Google's: a proxy's error may only look alike.
	_ = json.Unmarshal(body, &answer)
	for _, d := range answer.Error.Details {
		if strings.HasSuffix(d.Type, "google.rpc.RetryInfo") {
			if parsed, err := time.ParseDuration(d.RetryDelay); err == nil {
				delay = max(delay, parsed)
			}
		}
	}
	if answer.Error.Message == "" && answer.Error.Status == "" {
		return plainText(body), delay
	}
	return oneline.Of(strings.TrimSuffix(strings.TrimPrefix(answer.Error.Status+": "+answer.Error.Message, ": "), ": ")), delay
}

// quotaReasons are the reasons of a 403 that is about a quota and not about permission:
// those of Google's older errors, and of a google.rpc.ErrorInfo.
var quotaReasons = []string{
	"rateLimitExceeded", "userRateLimitExceeded", "dailyLimitExceeded", "quotaExceeded", "RATE_LIMIT_EXCEEDED",
}

// isQuota reports whether an error of Google names a quota as its reason.
func isQuota(body []byte) bool {
	type reason struct{ Reason string }
	var answer struct {
		Error struct{ Errors, Details []reason }
	}
	_ = json.Unmarshal(body, &answer) // as in readStatus
	return slices.ContainsFunc(slices.Concat(answer.Error.Errors, answer.Error.Details), func(r reason) bool {
		return slices.Contains(quotaReasons, r.Reason)
	})
}

// plainText returns the text of an answer that is not Google's. The beginning of a
// web page says nothing.
func plainText(body []byte) string {
	line := oneline.Of(string(body))
	if strings.HasPrefix(line, "<") {
		return "a web page and not an answer of the API"
	}
	return line
}

// shorten cuts a text to what fits into a log line or a header.
func shorten(s string) string { return oneline.Shorten(s, 300) }

// parseRetryAfter reads a Retry-After header: seconds or a date (RFC 9110,
// 10.2.3).
func parseRetryAfter(value string, now time.Time) time.Duration {
	value = strings.TrimSpace(value)
	if value == "" {
		return 0
	}
	// A number out of range is the nearest one in it.
	if seconds, err := strconv.ParseInt(value, 10, 64); err == nil || errors.Is(err, strconv.ErrRange) {
		return time.Duration(min(max(0, seconds), int64(maxRetryAfter/time.Second))) * time.Second
	}
	if date, err := http.ParseTime(value); err == nil {
		return max(0, date.Sub(now))
	}
	return 0
}
