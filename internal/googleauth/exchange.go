package googleauth

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/clientevents/clientevents/internal/netx"
	"github.com/clientevents/clientevents/internal/oneline"
	"github.com/clientevents/clientevents/internal/scrub"
)

// exchange sends the requests for one token, one after the other. It ends with
// its context, which the library does not pass on for all kinds; it keeps
// secrets from other servers; and it records the parts of a response
// that the library drops.
type exchange struct {
	ctx       context.Context
	base      *http.Transport
	userAgent string
	scope     string // of the requested token
	local     bool   // the metadata server is contacted over plain http
	asked     bool   // there was a request

	// Of the last answer.
	status     int
	retryAfter time.Duration
	said       string        // the error in the answer
	ahead      time.Duration // of our clock, relative to the server's
	// secrets receives the secrets that were sent or received.
	secrets *scrub.Scrubber
}

// maxAnswer is the number of bytes read of an answer.
const maxAnswer = 1 << 20

// client follows no redirects: they would forward the credentials.
func (x *exchange) client() *http.Client {
	return &http.Client{
		Transport:     x,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// errPlainHTTP rejects token servers whose traffic others could read.
var errPlainHTTP = errors.New("credentials are not sent over plain http, except to a loopback address")

// RoundTrip makes one request.
func (x *exchange) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.URL.Scheme != "https" && !x.local && !private(req.URL.Hostname()) {
		return nil, fmt.Errorf("%w: %s", errPlainHTTP, req.URL.Redacted())
	}
	req = req.Clone(x.ctx)
	if x.userAgent != "" {
		req.Header.Set("User-Agent", x.userAgent)
	}
	if err := x.noteRequest(req); err != nil {
		return nil, err
	}
	x.asked, x.status, x.retryAfter, x.said = true, 0, 0, ""
	resp, err := x.base.RoundTrip(req)
	if err = netx.Final(resp, err); err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return nil, err
	}
	x.noteAnswer(resp, body)
	resp.Body = io.NopCloser(bytes.NewReader(body))
	return resp, nil
}

// private reports whether an address leads to this machine or to the metadata
// server of a cloud, which is at a link-local address.
func private(host string) bool {
	ip := net.ParseIP(host)
	return netx.IsLoopback(host) || ip != nil && (ip.IsLinkLocalUnicast() || ip.Equal(awsMetadata))
}

var awsMetadata = net.ParseIP("fd00:ec2::254")

// secretFields are the fields of requests and answers whose values are secrets.
var secretFields = []string{
	"assertion", "client_secret", "refresh_token", "subject_token", "actor_token",
	"access_token", "accessToken", "id_token",
}

func (x *exchange) noteRequest(req *http.Request) error {
	if _, credentials, ok := strings.Cut(req.Header.Get("Authorization"), " "); ok {
		x.hide("Authorization", credentials)
	}
	if req.Body == nil {
		return nil
	}
	body, err := io.ReadAll(req.Body)
	req.Body.Close()
	if err != nil {
		return err
	}
	req.Body = io.NopCloser(bytes.NewReader(body))
	if form, err := url.ParseQuery(string(body)); err == nil {
		for _, field := range secretFields {
			x.hide(field, form.Get(field))
		}
	}
	return nil
}

func (x *exchange) noteAnswer(resp *http.Response, body []byte) {
	now := time.Now()
	x.status = resp.StatusCode
	if date, err := http.ParseTime(resp.Header.Get("Date")); err == nil {
		x.ahead = now.Sub(date)
		now = date // a Retry-After may be a time of day, by the server's clock
	}
	x.retryAfter = parseRetryAfter(resp.Header.Get("Retry-After"), now)
	var fields map[string]json.RawMessage
	if json.Unmarshal(body, &fields) == nil {
		for _, field := range secretFields {
			var secret string
			if json.Unmarshal(fields[field], &secret) == nil {
				x.hide(field, secret)
			}
		}
	}
	x.said = answerText(resp, body, fields)
}

// answerText returns the error in an answer, in the form of OAuth (RFC
// 6749, 5.2) or of Google's APIs; "" if it is not an error.
func answerText(resp *http.Response, body []byte, fields map[string]json.RawMessage) string {
	var code, description string
	_ = json.Unmarshal(fields["error_description"], &description)
	if json.Unmarshal(fields["error"], &code) == nil && code != "" {
		return strings.TrimSuffix(code+": "+description, ": ")
	}
	var google struct{ Status, Message string }
	if json.Unmarshal(fields["error"], &google) == nil && google.Message != "" {
		return strings.TrimPrefix(google.Status+": "+google.Message, ": ")
	}
	switch {
	case resp.StatusCode >= 300 && resp.StatusCode < 400:
		return "a redirect, which is not followed"
	case resp.StatusCode >= 300 && !bytes.HasPrefix(bytes.TrimSpace(body), []byte("<")):
		return string(body)
	}
	return ""
}

// Result is the result of an attempt to get a token. It is a label of
// clientevents_token_refreshes_total, so the set is small and fixed.
type Result string

// The results.
const (
	Got         Result = "ok"
	Refused     Result = "refused"     // a 4xx: the credentials are not valid, or no longer
	Throttled   Result = "throttled"   // a 429, or a 403 or 503 with Retry-After
	Unavailable Result = "unavailable" // no answer, or a 5xx
	Invalid     Result = "invalid"     // an answer that is not a token
	Unusable    Result = "credentials" // the credentials are unreadable or unusable
)

// Results lists all results.
func Results() []Result {
	return []Result{Got, Refused, Throttled, Unavailable, Invalid, Unusable}
}

// Error describes why there is no token.
type Error struct {
	Result Result
	// Status is the HTTP status of the token server's answer; 0 for none.
	Status int
	// RetryAfter is the server's Retry-After; 0 without one.
	RetryAfter time.Duration
	// Skew is the time by which this machine's clock is ahead of the server's, if
	// the answer has a date.
	Skew time.Duration
	// Err has details and holds no secret.
	Err error
}

func (e *Error) Error() string { return e.Err.Error() }
func (e *Error) Unwrap() error { return e.Err }

// explain describes a failure without secrets: the library's errors show whole
// answers.
func (x *exchange) explain(err error) error {
	e := &Error{Status: x.status, RetryAfter: x.retryAfter, Skew: x.skew()}
	text := x.said
	switch {
	case errors.Is(err, errPlainHTTP):
		e.Result, text = Unusable, err.Error()
	case x.ctx.Err() != nil:
		e.Result, text = Unavailable, fmt.Sprintf("the token server has not answered for %v", fetchTimeout)
	case x.status == 0 && x.asked:
		e.Result, text = Unavailable, err.Error()
	case x.status == 0:
		e.Result, text = Unusable, err.Error()
	case x.status < 300:
		e.Result = Invalid
		if text == "" {
			text = "the answer is not a token"
		}
	case x.status == http.StatusTooManyRequests, x.retryAfter > 0:
		e.Result = Throttled
	case x.status >= 400 && x.status < 500:
		e.Result = Refused
	default:
		e.Result = Unavailable
	}
	if x.status != 0 {
		text = strings.TrimSuffix(fmt.Sprintf("%d %s: %s", x.status, http.StatusText(x.status), text), ": ")
	}
	text = oneline.Shorten(x.secrets.Text(oneline.Of(text)), 300)
	if note := SkewNote(e.Skew); note != "" {
		text += "; " + note
	}
	e.Err = errors.New(text)
	return e
}

// hide makes a value a secret. The tokens for the API and for the brokers are
// renewed independently.
func (x *exchange) hide(field, value string) { x.secrets.Add(x.scope+" "+field, value) }

// clockTolerance is the skew that is not reported: a Date header
// has seconds, and an answer takes time.
const clockTolerance = time.Minute

func (x *exchange) skew() time.Duration {
	if x.ahead.Abs() < clockTolerance {
		return 0
	}
	return x.ahead
}

// SkewNote describes that this machine's clock is ahead of a server's by this
// much; "" if it does not matter.
func SkewNote(ahead time.Duration) string {
	direction := "ahead of"
	switch {
	case ahead.Abs() < clockTolerance:
		return ""
	case ahead < 0:
		direction = "behind"
	}
	return fmt.Sprintf("this machine's clock is %v %s the server's: correct it (NTP)", ahead.Abs().Round(10*time.Second), direction)
}

// maxRetryAfter bounds the wait that an answer can request.
const maxRetryAfter = time.Hour

// parseRetryAfter reads a Retry-After header: seconds or a date (RFC 9110,
// 10.2.3).
func parseRetryAfter(value string, now time.Time) time.Duration {
	value = strings.TrimSpace(value)
	if seconds, err := strconv.ParseInt(value, 10, 64); err == nil {
		return time.Duration(min(max(0, seconds), int64(maxRetryAfter/time.Second))) * time.Second
	}
	if date, err := http.ParseTime(value); err == nil {
		return min(maxRetryAfter, max(0, date.Sub(now)))
	}
	return 0
}
