package reporter

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Reason says in one word why an attempt failed. Those that mean another
// attempt are the label of clientevents_retries_total, so the set is small and
// fixed.
type Reason string

// The reasons to try again.
const (
	Throttled       Reason = "throttled"       // 429
	Unavailable     Reason = "unavailable"     // 503
	ServerError     Reason = "server_error"    // other 5xx
	Timeout         Reason = "timeout"         // no answer in time, 408, 504
	Network         Reason = "network"         // no connection, or one that was cut
	Unauthenticated Reason = "unauthenticated" // 401, or no token to be had
	Forbidden       Reason = "forbidden"       // 403
	BadAnswer       Reason = "bad_answer"      // an answer that is not the API's
)

// The reasons not to try again.
const (
	Refused  Reason = "refused"   // refused for good
	TooLarge Reason = "too_large" // 413, or larger than what is sent at all
)

// recalled is for attempts that were given up on our side: they say nothing
// about the destination or the event.
const recalled Reason = "recalled"

// Reasons lists the reasons to try again.
func Reasons() []Reason {
	return []Reason{Throttled, Unavailable, ServerError, Timeout, Network, Unauthenticated, Forbidden, BadAnswer}
}

// Error is an attempt that failed, classified once where it failed.
type Error struct {
	Reason Reason
	// Status is the HTTP status, 0 where there was no answer.
	Status int
	// RetryAfter is how long the API asks to wait; 0 where it does not say.
	RetryAfter time.Duration
	// Err says more; it holds no credentials.
	Err error

	// unsent: the attempt ended before there was a request.
	unsent bool
	// said is all that an answer said, until it is known what of it must not be
	// shown.
	said string
}

func (e *Error) Error() string {
	if e.Status != 0 {
		return fmt.Sprintf("%d %s: %v", e.Status, e.Reason, e.Err)
	}
	return fmt.Sprintf("%s: %v", e.Reason, e.Err)
}

func (e *Error) Unwrap() error { return e.Err }

// permanent says whether the same event would be refused again.
func (e *Error) permanent() bool { return e.Reason == Refused || e.Reason == TooLarge }

// classify turns an answer into an error; nil for what counts as accepted. 409
// does: the event is there already.
func classify(status int, retryAfter string, body []byte, now time.Time) *Error {
	reason := reasonOf(status)
	if reason == "" {
		return nil
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
		said:       message,
	}
}

// maxRetryAfter bounds what an answer may make us wait.
const maxRetryAfter = time.Hour

// reasonOf is what an answer's status means; "" for accepted.
func reasonOf(status int) Reason {
	switch {
	case status >= 200 && status < 300, status == http.StatusConflict:
		return ""
	case status == http.StatusTooManyRequests:
		return Throttled
	case status == http.StatusServiceUnavailable:
		return Unavailable
	case status == http.StatusRequestTimeout, status == http.StatusGatewayTimeout:
		return Timeout
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
	// 1xx and 3xx: we don't follow redirects, and the API does not answer so.
	return BadAnswer
}

// readStatus reads a google.rpc.Status as the API has it in JSON: a message for
// a person, and how long to wait where a RetryInfo says so
// (google/rpc/error_details.proto).
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
	// The fields that fit are read even where others are of another type than
	// Google's: a proxy's error may only look alike.
	_ = json.Unmarshal(body, &answer)
	if answer.Error.Message == "" && answer.Error.Status == "" {
		return plainText(body), 0
	}
	for _, d := range answer.Error.Details {
		if strings.HasSuffix(d.Type, "google.rpc.RetryInfo") {
			if parsed, err := time.ParseDuration(d.RetryDelay); err == nil {
				delay = max(delay, parsed)
			}
		}
	}
	return flatten(strings.TrimSuffix(strings.TrimPrefix(answer.Error.Status+": "+answer.Error.Message, ": "), ": ")), delay
}

// plainText is what an answer says that is not Google's, but for web pages,
// whose beginning says nothing.
func plainText(body []byte) string {
	text := flatten(string(body))
	if strings.HasPrefix(text, "<") {
		return "a web page and not an answer of the API"
	}
	return text
}

// oneLine makes of an answer's text what fits into a log line or a header.
func oneLine(s string) string { return shorten(flatten(s)) }

func flatten(s string) string {
	return strings.Join(strings.FieldsFunc(strings.ToValidUTF8(s, "\uFFFD"), func(r rune) bool { return r <= ' ' || r == 0x7F }), " ")
}

func shorten(s string) string {
	const most = 300
	if len(s) > most {
		s = strings.ToValidUTF8(s[:most], "") + "…"
	}
	return s
}

// parseRetryAfter reads a Retry-After header: seconds or a date (RFC 9110,
// 10.2.3).
func parseRetryAfter(value string, now time.Time) time.Duration {
	value = strings.TrimSpace(value)
	if value == "" {
		return 0
	}
	if seconds, err := strconv.ParseInt(value, 10, 64); err == nil {
		return time.Duration(min(max(0, seconds), int64(maxRetryAfter/time.Second))) * time.Second
	}
	if date, err := http.ParseTime(value); err == nil {
		return max(0, date.Sub(now))
	}
	return 0
}
