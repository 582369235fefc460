package talent

import (
	"fmt"
	"net/http"
	"strings"

	"github.com/clientevents/clientevents/emulator/internal/protojson"
)

// Code is a google.rpc.Code.
type Code int

// The codes of google/rpc/code.proto that the resources answer with.
const (
	InvalidArgument    Code = 3
	NotFound           Code = 5
	AlreadyExists      Code = 6
	ResourceExhausted  Code = 8
	FailedPrecondition Code = 9
	Unimplemented      Code = 12
)

// HTTP returns the HTTP status of the code, by the table in code.proto.
func (c Code) HTTP() int {
	switch c {
	case NotFound:
		return http.StatusNotFound
	case AlreadyExists:
		return http.StatusConflict
	case ResourceExhausted:
		return http.StatusTooManyRequests
	case Unimplemented:
		return http.StatusNotImplemented
	}
	return http.StatusBadRequest
}

func (c Code) String() string {
	switch c {
	case InvalidArgument:
		return "INVALID_ARGUMENT"
	case NotFound:
		return "NOT_FOUND"
	case AlreadyExists:
		return "ALREADY_EXISTS"
	case ResourceExhausted:
		return "RESOURCE_EXHAUSTED"
	case FailedPrecondition:
		return "FAILED_PRECONDITION"
	case Unimplemented:
		return "UNIMPLEMENTED"
	}
	return "UNKNOWN"
}

// Error is the reason for which a call is refused.
type Error struct {
	Code       Code
	Message    string
	Violations []protojson.Violation
}

func (e *Error) Error() string { return e.Code.String() + ": " + e.Message }

func errorf(code Code, format string, args ...any) *Error {
	return &Error{Code: code, Message: fmt.Sprintf(format, args...)}
}

func notFound(name string) *Error { return errorf(NotFound, "%s was not found.", protojson.Clip(name)) }

// fieldErrorf returns an error about one field.
func fieldErrorf(code Code, field, format string, args ...any) *Error {
	v := protojson.Violation{Field: field, Description: fmt.Sprintf(format, args...)}
	return &Error{Code: code, Message: v.Field + " " + v.Description, Violations: []protojson.Violation{v}}
}

// violations collects the faults of one request's fields.
type violations []protojson.Violation

func (v *violations) add(field, format string, args ...any) {
	*v = append(*v, protojson.Violation{Field: field, Description: fmt.Sprintf(format, args...)})
}

// err returns the 400 that names the fields, nil for none.
func (v violations) err() *Error {
	if len(v) == 0 {
		return nil
	}
	const most = 50
	v = v[:min(len(v), most)]
	lines := make([]string, len(v))
	for i, one := range v {
		lines[i] = one.Field + " " + one.Description
	}
	return &Error{
		Code:       InvalidArgument,
		Message:    "Following fields are missing or invalid: " + strings.Join(lines, "; "),
		Violations: v,
	}
}
