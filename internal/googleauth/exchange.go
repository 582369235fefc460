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
)

// exchange carries the requests for one token, one after the other. It ends with
// its context, which the library does not hand on for all kinds; it keeps
// secrets from places where they don't belong; and it notes what the library
// does not tell of an answer.
type exchange struct {
	ctx       context.Context
	base      *http.Transport
	userAgent string
	local     bool // plain http is what the metadata server speaks
	asked     bool // there was a request

	// Of the last answer.
	status     int
	retryAfter time.Duration
	said       string        // what an answer that is an error says
	ahead      time.Duration // of our clock, before the server's
	// What went over the wire and must not be shown.
	secrets []string
}

// maxAnswer is how much of an answer is read.
const maxAnswer = 1 << 20

// client follows no redirects: they would take the credentials along.
func (x *exchange) client() *http.Client {
	return &http.Client{
		Transport:     x,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// errPlainHTTP is for token servers that anybody on the way could listen to.
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
	if err != nil {
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

// private says whether an address leads to this machine, or to the metadata
// server of a cloud, which is at a link-local address.
func private(host string) bool {
	ip := net.ParseIP(host)
	return strings.EqualFold(host, "localhost") || ip != nil && (ip.IsLoopback() || ip.IsLinkLocalUnicast() || ip.Equal(awsMetadata))
}

var awsMetadata = net.ParseIP("fd00:ec2::254")

// secretFields are the fields of requests and answers whose values are secrets.
var secretFields = []string{
	"assertion", "client_secret", "refresh_token", "subject_token", "actor_token",
	"access_token", "accessToken", "id_token",
}

func (x *exchange) noteRequest(req *http.Request) error {
	if _, credentials, ok := strings.Cut(req.Header.Get("Authorization"), " "); ok {
		x.secrets = append(x.secrets, credentials)
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
			x.secrets = append(x.secrets, form[field]...)
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
				x.secrets = append(x.secrets, secret)
			}
		}
	}
	x.said = answerText(resp, body, fields)
}

// answerText is what an answer says that is an error, in the form of OAuth (RFC
// 6749, 5.2) or of Google's APIs; "" for one that is none.
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

// Result says in one word what came of a try to get a token. It is the label of
// clientevents_token_refreshes_total, so the set is small and fixed.
type Result string

// The results.
const (
	Got         Result = "ok"
	Refused     Result = "refused"     // a 4xx: these credentials are not, or no longer, good
	Throttled   Result = "throttled"   // a 429, or a 403 or 503 with Retry-After
	Unavailable Result = "unavailable" // no answer, or a 5xx
	Invalid     Result = "invalid"     // an answer that is not a token
	Unusable    Result = "credentials" // the credentials can't be read, or not be used
)

// Results lists all results.
func Results() []Result {
	return []Result{Got, Refused, Throttled, Unavailable, Invalid, Unusable}
}

// Error is why there is no token.
type Error struct {
	Result Result
	// Status is the HTTP status of the token server's answer; 0 for none.
	Status int
	// RetryAfter is how long the server asks to wait; 0 where it does not say.
	RetryAfter time.Duration
	// Skew is how far this machine's clock is ahead of the server's, as far as
	// the answer tells.
	Skew time.Duration
	// Err says more, and holds no secret.
	Err error
}

func (e *Error) Error() string { return e.Err.Error() }
func (e *Error) Unwrap() error { return e.Err }

// explain says what went wrong, without secrets: the library's errors show whole
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
	text = x.scrub(text)
	if note := SkewNote(e.Skew); note != "" {
		text += "; " + note
	}
	e.Err = errors.New(text)
	return e
}

// scrub puts a text into one line, and hides the secrets in it.
func (x *exchange) scrub(text string) string {
	for _, secret := range x.secrets {
		const least = 6 // shorter ones would be found in words
		if len(secret) < least {
			continue
		}
		for _, spelled := range []string{secret, url.QueryEscape(secret), strings.Trim(strconv.Quote(secret), `"`)} {
			text = strings.ReplaceAll(text, spelled, "(secret)")
		}
	}
	const most = 300
	text = strings.Join(strings.FieldsFunc(strings.ToValidUTF8(text, "\uFFFD"), func(r rune) bool { return r <= ' ' || r == 0x7F }), " ")
	if len(text) > most {
		text = strings.ToValidUTF8(text[:most], "") + "…"
	}
	return text
}

// clockTolerance is how far clocks may be apart without a word: a Date header
// has seconds, and an answer takes a while.
const clockTolerance = time.Minute

func (x *exchange) skew() time.Duration {
	if x.ahead.Abs() < clockTolerance {
		return 0
	}
	return x.ahead
}

// SkewNote says in words that this machine's clock is ahead of a server's by so
// much; "" where it does not matter.
func SkewNote(ahead time.Duration) string {
	direction := "ahead of"
	switch {
	case ahead.Abs() < clockTolerance:
		return ""
	case ahead < 0:
		direction = "behind"
	}
	return fmt.Sprintf("this machine's clock is %v %s the server's: set it right (NTP)", ahead.Abs().Round(10*time.Second), direction)
}

// maxRetryAfter bounds what an answer may make us wait.
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
