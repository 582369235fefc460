package emulator

import (
	"cmp"
	"fmt"
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/clientevents/clientevents/emulator/internal/protojson"
)

// apiError is an answer other than 200: a google.rpc.Status and the headers
// that go with it.
type apiError struct {
	code    int
	status  string // the google.rpc.Code, if it is not the usual one of code
	message string
	details []any
	header  http.Header
	// body, if not nil, is sent in place of the google.rpc.Status.
	body []byte
}

// The detail types of google/rpc/error_details.proto that the emulator uses.
type (
	errorInfo struct {
		Type     string            `json:"@type"`
		Reason   string            `json:"reason"`
		Domain   string            `json:"domain"`
		Metadata map[string]string `json:"metadata,omitempty"`
	}
	retryInfo struct {
		Type       string `json:"@type"`
		RetryDelay string `json:"retryDelay"`
	}
	quotaFailure struct {
		Type       string           `json:"@type"`
		Violations []quotaViolation `json:"violations"`
	}
	quotaViolation struct {
		Subject     string `json:"subject"`
		Description string `json:"description"`
		APIService  string `json:"apiService"`
		QuotaMetric string `json:"quotaMetric"`
		QuotaID     string `json:"quotaId"`
		QuotaValue  string `json:"quotaValue"`
	}
	badRequest struct {
		Type            string           `json:"@type"`
		FieldViolations []fieldViolation `json:"fieldViolations"`
	}
	fieldViolation = protojson.Violation
)

const (
	typeErrorInfo    = "type.googleapis.com/google.rpc.ErrorInfo"
	typeRetryInfo    = "type.googleapis.com/google.rpc.RetryInfo"
	typeQuotaFailure = "type.googleapis.com/google.rpc.QuotaFailure"
	typeBadRequest   = "type.googleapis.com/google.rpc.BadRequest"
)

func errorf(code int, format string, args ...any) *apiError {
	return &apiError{code: code, message: fmt.Sprintf(format, args...)}
}

// badRequestOf returns the 400 for a fault in the body, nil for none.
func badRequestOf(f *protojson.Fault) *apiError {
	if f == nil {
		return nil
	}
	return badFields(f.Message, f.Violations)
}

// badFields returns the 400 that names the fields at fault.
func badFields(message string, violations []fieldViolation) *apiError {
	return &apiError{
		code:    http.StatusBadRequest,
		message: message,
		details: []any{badRequest{Type: typeBadRequest, FieldViolations: violations}},
	}
}

// retryAfter adds the time after which a client may retry: the header in whole
// seconds, rounded up, and the exact RetryInfo.
func (e *apiError) retryAfter(d time.Duration) {
	if e.header == nil {
		e.header = http.Header{}
	}
	e.header.Set("Retry-After", strconv.FormatInt(int64(math.Ceil(d.Seconds())), 10))
	e.details = append(e.details, retryInfo{Type: typeRetryInfo, RetryDelay: protoDuration(d)})
}

// rpcStatus is the body of an error.
type rpcStatus struct {
	Code    int          `json:"code"`
	Message string       `json:"message"`
	Errors  []firstError `json:"errors,omitempty"`
	Status  string       `json:"status"`
	Details []any        `json:"details,omitempty"`
}

// firstError is an element of the error list of format V1.
type firstError struct {
	Message string `json:"message"`
	Domain  string `json:"domain"`
	Reason  string `json:"reason"`
}

// reply returns the answer in the form that the parameters ask for.
func (e *apiError) reply(p params) reply {
	if e.body != nil {
		return reply{status: e.code, header: e.header, body: e.body}
	}
	answer := struct {
		Error rpcStatus `json:"error"`
	}{rpcStatus{Code: e.code, Message: e.message, Status: cmp.Or(e.status, statusName(e.code)), Details: e.details}}
	if p.firstErrorFormat {
		answer.Error.Errors = []firstError{{e.message, "global", firstReason(e.code)}}
	}
	opts := []json.Options{json.Deterministic(true), jsontext.AllowInvalidUTF8(true)}
	if !p.compact {
		opts = append(opts, jsontext.WithIndent("  "))
	}
	body, err := json.Marshal(answer, opts...)
	if err != nil { // the types above always marshal
		panic(err)
	}
	return reply{status: e.code, header: e.header, body: append(body, '\n')}
}

// firstReason returns the reason that the format V1 has for an HTTP status.
func firstReason(code int) string {
	switch code {
	case http.StatusBadRequest:
		return "badRequest"
	case http.StatusUnauthorized:
		return "authError"
	case http.StatusForbidden:
		return "forbidden"
	case http.StatusNotFound:
		return "notFound"
	case http.StatusConflict:
		return "alreadyExists"
	case http.StatusTooManyRequests:
		return "rateLimitExceeded"
	}
	return "backendError"
}

// statusName returns the google.rpc.Code for an HTTP status, see
// google/rpc/code.proto. A status without a code there has the code of the nearest
// one.
func statusName(code int) string {
	switch code {
	case http.StatusBadRequest, http.StatusRequestEntityTooLarge, http.StatusUnsupportedMediaType:
		return "INVALID_ARGUMENT"
	case http.StatusUnauthorized:
		return "UNAUTHENTICATED"
	case http.StatusForbidden:
		return "PERMISSION_DENIED"
	case http.StatusNotFound, http.StatusGone:
		return "NOT_FOUND"
	case http.StatusMethodNotAllowed, http.StatusNotImplemented:
		return "UNIMPLEMENTED"
	case http.StatusRequestTimeout, http.StatusGatewayTimeout:
		return "DEADLINE_EXCEEDED"
	case http.StatusConflict:
		return "ALREADY_EXISTS"
	case http.StatusTooManyRequests:
		return "RESOURCE_EXHAUSTED"
	case 499:
		return "CANCELLED"
	case http.StatusInternalServerError:
		return "INTERNAL"
	case http.StatusBadGateway, http.StatusServiceUnavailable:
		return "UNAVAILABLE"
	}
	if code/100 == 4 {
		return "FAILED_PRECONDITION"
	}
	return "UNKNOWN"
}

// defaultMessage returns the message of a fault that has none.
func defaultMessage(code int) string {
	switch code {
	case http.StatusUnauthorized:
		return "Request had invalid authentication credentials. Expected OAuth 2 access token, login cookie or other valid authentication credential."
	case http.StatusForbidden:
		return "The caller does not have permission"
	case http.StatusNotFound:
		return "Requested entity was not found."
	case http.StatusConflict:
		return "Requested entity already exists"
	case http.StatusTooManyRequests:
		return "Resource has been exhausted (e.g. check quota)."
	case http.StatusInternalServerError:
		return "Internal error encountered."
	case http.StatusServiceUnavailable:
		return "The service is currently unavailable."
	}
	if text := http.StatusText(code); text != "" {
		return text
	}
	return "Status " + strconv.Itoa(code)
}

// protoDuration writes d as the JSON of google.protobuf.Duration: seconds with
// 0, 3, 6 or 9 digits after the point.
func protoDuration(d time.Duration) string {
	return strconv.FormatInt(int64(d/time.Second), 10) + protoFraction(int(d%time.Second)) + "s"
}

// protoFraction writes nanoseconds as proto3 JSON does: in groups of three
// digits, as few as necessary.
func protoFraction(nanos int) string {
	if nanos == 0 {
		return ""
	}
	digits := fmt.Sprintf("%09d", nanos)
	for strings.HasSuffix(digits, "000") {
		digits = digits[:len(digits)-3]
	}
	return "." + digits
}
