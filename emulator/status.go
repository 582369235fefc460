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

// badRequestOf is the 400 that tells of a fault in the body, nil for none.
func badRequestOf(f *protojson.Fault) *apiError {
	if f == nil {
		return nil
	}
	return badFields(f.Message, f.Violations)
}

// badFields is the 400 that names the fields at fault.
func badFields(message string, violations []fieldViolation) *apiError {
	return &apiError{
		code:    http.StatusBadRequest,
		message: message,
		details: []any{badRequest{Type: typeBadRequest, FieldViolations: violations}},
	}
}

// retryAfter adds what tells a client when to come back: the header in whole
// seconds, rounded up, and the exact RetryInfo.
func (e *apiError) retryAfter(d time.Duration) {
	if e.header == nil {
		e.header = http.Header{}
	}
	e.header.Set("Retry-After", strconv.FormatInt(int64(math.Ceil(d.Seconds())), 10))
	e.details = append(e.details, retryInfo{Type: typeRetryInfo, RetryDelay: protoDuration(d)})
}

// reply is the answer in the form that the API gives it.
func (e *apiError) reply(compact bool) reply {
	if e.body != nil {
		return reply{status: e.code, header: e.header, body: e.body}
	}
	type status struct {
		Code    int    `json:"code"`
		Message string `json:"message"`
		Status  string `json:"status"`
		Details []any  `json:"details,omitempty"`
	}
	answer := struct {
		Error status `json:"error"`
	}{status{e.code, e.message, cmp.Or(e.status, statusName(e.code)), e.details}}
	opts := []json.Options{json.Deterministic(true), jsontext.AllowInvalidUTF8(true)}
	if !compact {
		opts = append(opts, jsontext.WithIndent("  "))
	}
	body, err := json.Marshal(answer, opts...)
	if err != nil { // the types above always marshal
		panic(err)
	}
	return reply{status: e.code, header: e.header, body: append(body, '\n')}
}

// statusName is the google.rpc.Code that goes with an HTTP status, see
// google/rpc/code.proto. The statuses that the table there does not know have
// the name of the nearest that it does.
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

// defaultMessage is what a fault says that was given no message.
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
// no, 3, 6 or 9 digits after the point.
func protoDuration(d time.Duration) string {
	return strconv.FormatInt(int64(d/time.Second), 10) + protoFraction(int(d%time.Second)) + "s"
}

// protoFraction writes nanoseconds as proto3 JSON does: in groups of three
// digits, as few of them as hold the value.
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
