package talent

import (
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/clientevents/clientevents/event"
	"github.com/clientevents/clientevents/internal/scrub"
)

func TestEveryStatus(t *testing.T) {
	for status := 100; status <= 999; status++ {
		want := BadAnswer
		switch {
		case status >= 200 && status < 300, status == 409:
			want = ""
		case status == 401:
			want = Unauthenticated
		case status == 403:
			want = Forbidden
		case status == 408, status == 504:
			want = Timeout
		case status == 413:
			want = TooLarge
		case status == 429:
			want = Throttled
		case status == 503, status == 425:
			want = Unavailable
		case status == 407, status == 421:
			want = Network
		case status >= 400 && status < 500:
			want = Refused
		case status >= 500 && status < 600:
			want = ServerError
		}
		err := classify(status, "", nil, time.Time{})
		switch {
		case want == "":
			if err != nil {
				t.Errorf("%d is %v, want it accepted", status, err)
			}
		case err == nil:
			t.Errorf("%d is accepted, want it %s", status, want)
		case err.Reason != want, err.Status != status, err.Permanent() != (want == Refused || want == TooLarge):
			t.Errorf("%d is %+v, want it %s", status, err, want)
		}
	}
}

// Whatever the status, the wait that an answer asks for is the longer of the header
// and the RetryInfo, and at most a week.
func TestEveryStatusAndRetryAfter(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	info := func(delay string) []byte {
		return []byte(`{"error":{"status":"X","details":[{"@type":"type.googleapis.com/google.rpc.RetryInfo","retryDelay":"` + delay + `"}]}}`)
	}
	for _, form := range []struct {
		header string
		body   []byte
		want   time.Duration
	}{
		{"", nil, 0},
		{"7", nil, 7 * time.Second},
		{now.Add(90 * time.Second).Format(http.TimeFormat), nil, 90 * time.Second},
		{now.Add(-time.Hour).Format(http.TimeFormat), nil, 0},
		{"soon", nil, 0},
		{"-5", nil, 0},
		{"86400", nil, 24 * time.Hour},
		{"99999999", nil, 7 * 24 * time.Hour},
		{"99999999999999999999", nil, 7 * 24 * time.Hour},
		{"-99999999999999999999", nil, 0},
		{"", []byte(`{"error":{"details":[{"@type":"type.googleapis.com/google.rpc.RetryInfo","retryDelay":"4s"}]}}`), 4 * time.Second},
		{"", info("1.5s"), 1500 * time.Millisecond},
		{"3", info("1.5s"), 3 * time.Second},
		{"3", info("4s"), 4 * time.Second},
		{"3", info("nonsense"), 3 * time.Second},
		{"3", info("90000s"), 25 * time.Hour},
	} {
		for status := 100; status <= 599; status++ {
			err := classify(status, form.header, form.body, now)
			if (err == nil) != (reasonOf(status) == "") {
				t.Errorf("%d with Retry-After %q is %v", status, form.header, err)
			}
			if err != nil && err.RetryAfter != form.want {
				t.Errorf("%d with Retry-After %q and %s asks for %v, want %v", status, form.header, form.body, err.RetryAfter, form.want)
			}
		}
	}
}

// A 403 for a quota is no question of permission, and has another remedy.
func TestForbiddenByAQuota(t *testing.T) {
	for body, want := range map[string]Reason{
		`{"error":{"code":403,"message":"Rate Limit Exceeded","errors":[{"domain":"usageLimits","reason":"rateLimitExceeded"}]}}`:                             Throttled,
		`{"error":{"code":403,"errors":[{"domain":"global","reason":"forbidden"},{"domain":"usageLimits","reason":"dailyLimitExceeded"}]}}`:                   Throttled,
		`{"error":{"code":403,"status":"PERMISSION_DENIED","details":[{"@type":"type.googleapis.com/google.rpc.ErrorInfo","reason":"RATE_LIMIT_EXCEEDED"}]}}`: Throttled,
		`{"error":{"code":403,"status":"PERMISSION_DENIED","details":[{"@type":"type.googleapis.com/google.rpc.ErrorInfo","reason":"SERVICE_DISABLED"}]}}`:    Forbidden,
		`{"error":{"code":403,"errors":[{"domain":"global","reason":"forbidden","message":"rateLimitExceeded"}]}}`:                                            Forbidden,
		`{"error":{"code":403,"errors":"rateLimitExceeded"}}`:                                                                                                 Forbidden,
		"quotaExceeded": Forbidden,
		"":              Forbidden,
	} {
		if got := classify(http.StatusForbidden, "", []byte(body), time.Time{}); got.Reason != want || got.Status != http.StatusForbidden {
			t.Errorf("%s is %v, want %s", body, got, want)
		}
		if got := classify(http.StatusBadRequest, "", []byte(body), time.Time{}); got.Reason != Refused {
			t.Errorf("400 with %s is %v", body, got)
		}
	}
}

func TestReadStatus(t *testing.T) {
	long := strings.Repeat("é", 400)
	for _, test := range []struct {
		body, message string
		delay         time.Duration
	}{
		{`{"error":{"code":400,"message":"Invalid\n value","status":"INVALID_ARGUMENT"}}`, "INVALID_ARGUMENT: Invalid value", 0},
		{`{"error":{"message":"only a message"}}`, "only a message", 0},
		{`{"error":{"status":"ABORTED"}}`, "ABORTED", 0},
		{`{"error":{"status":"X","details":[{"@type":"type.googleapis.com/google.rpc.RetryInfo","retryDelay":"3s"}]}}`, "X", 3 * time.Second},
		{`{"error":{"status":"X","details":[{"@type":"type.googleapis.com/google.rpc.RetryInfo","retryDelay":"never"}]}}`, "X", 0},
		{`{"error":{"status":"X","details":[{"@type":"type.googleapis.com/google.rpc.RetryInfo","retryDelay":"-3s"}]}}`, "X", 0},
		{`{"error":{"status":"X","details":"none","message":"m"}}`, "X: m", 0},
		{`{"error":"invalid_grant"}`, `{"error":"invalid_grant"}`, 0},
		{"upstream connect error", "upstream connect error", 0},
		{" <!DOCTYPE html>\n<p>Sorry", "a web page and not an answer of the API", 0},
		{long, strings.Repeat("é", 150) + "…", 0},
		{"\x00\xff\x1b[31m", "\uFFFD [31m", 0},
		{"", "", 0},
	} {
		if message, delay := readStatus([]byte(test.body)); shorten(message) != test.message || delay != test.delay {
			t.Errorf("%q is %q and %v, want %q and %v", test.body, message, delay, test.message, test.delay)
		}
	}
}

func TestErrorSaysWhat(t *testing.T) {
	err := classify(http.StatusServiceUnavailable, "", nil, time.Time{})
	if got := err.Error(); got != "503 unavailable: Service Unavailable" {
		t.Errorf("the error says %q", got)
	}
	cause := errors.New("connection refused")
	var wrapped error = &Error{Reason: Network, Err: cause}
	if wrapped.Error() != "network: connection refused" || !errors.Is(wrapped, cause) {
		t.Errorf("the error says %q", wrapped)
	}
	if got, ok := errors.AsType[*Error](wrapped); !ok || got.Reason != Network {
		t.Errorf("the error is %#v", got)
	}
}

// TestHide: what an answer repeats of the request is not shown.
func TestHide(t *testing.T) {
	secrets := &scrub.Scrubber{}
	secrets.Add("token", "ya29.secret")
	batch := []*event.Delivery{
		{Event: &event.Event{ExtraInfo: event.InfoOf(map[string]string{"user": "jane@example.com", "sex": "f", "said": "\"so\" \\ ü"})}},
		{Event: &event.Event{Notes: "spoke to  John"}},
	}
	for _, test := range []struct{ said, want string }{
		{`Invalid value "jane@example.com" at f, "f" is no number`, `Invalid value "(hidden)" at f, "(hidden)" is no number`},
		{`refused: {"said":"\"so\" \\ ü"}`, `refused: {"said":"(hidden)"}`},
		{"about 'spoke to John'", "about '(hidden)'"},
		{"the token ya29.secret has ended", "the token (hidden) has ended"},
		{"Authorization: Bearer xyz", "an answer that is not the API's: it repeats the request, and is not shown"},
		{"{&quot;eventId&quot;:1}", "an answer that is not the API's: it repeats the request, and is not shown"},
		{"%7B%22eventId%22%3A1", "an answer that is not the API's: it repeats the request, and is not shown"},
		{"eventId is required", "eventId is required"},
		{strings.Repeat("-", 290) + "jane@example.com", strings.Repeat("-", 290) + "(hidden)"},
	} {
		body, _ := json.Marshal(map[string]any{"error": map[string]any{"message": test.said}})
		for _, text := range [][]byte{body, []byte(test.said)} {
			err := classify(http.StatusBadRequest, "", text, time.Time{})
			err.hide(secrets, batch...)
			if got := err.Err.Error(); got != test.want {
				t.Errorf("%s: shows %q, want %q", text, got, test.want)
			}
		}
	}
	var none *Error
	none.hide(secrets, batch...)
}
