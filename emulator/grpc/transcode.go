package emulatorgrpc

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"sync"

	_ "google.golang.org/genproto/googleapis/rpc/errdetails" // the details of errors
	spb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
)

// transcoder makes HTTP requests of calls.
type transcoder struct {
	api      http.Handler
	versions *versions
}

// call sends a call as an HTTP request to the emulator, and reads the answer into out.
func (m *method) call(ctx context.Context, in, out proto.Message) error {
	verb, target, body, name, err := m.request(in)
	if errors.Is(err, errNoForm) {
		return status.Errorf(codes.InvalidArgument, "Invalid resource name: %.200q", name)
	}
	if err != nil {
		return status.Errorf(codes.InvalidArgument, "The request can't be read: %v", err)
	}
	if m.own() == "" { // an operation
		target = "/" + m.version(name) + target
	}
	r, err := http.NewRequestWithContext(ctx, verb, "http://localhost"+target, bytes.NewReader(body))
	if err != nil {
		return status.Errorf(codes.InvalidArgument, "The request can't be read: %v", err)
	}
	header(ctx, r.Header)
	answer, err := m.serve(r)
	if err != nil {
		return err
	}
	if answer.status != http.StatusOK {
		return answer.err()
	}
	if err := (protojson.UnmarshalOptions{DiscardUnknown: true}).Unmarshal(answer.body.Bytes(), out); err != nil {
		return status.Errorf(codes.Internal, "The answer can't be read: %v", err)
	}
	m.remember(out)
	return nil
}

// header sets the request's header from the call's metadata, without the fields
// of gRPC and of connections.
func header(ctx context.Context, h http.Header) {
	md, _ := metadata.FromIncomingContext(ctx)
	for name, values := range md {
		switch {
		case strings.HasPrefix(name, ":"), strings.HasPrefix(name, "grpc-"), strings.HasSuffix(name, "-bin"),
			name == "content-type", name == "te", name == "content-length", name == "accept-encoding", name == "origin":
		default:
			h[http.CanonicalHeaderKey(name)] = values
		}
	}
	h.Set("Content-Type", "application/json")
}

// answer is the answer to a request.
type answer struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func (a *answer) Header() http.Header { return a.header }

func (a *answer) WriteHeader(code int) { a.status = code }

func (a *answer) Write(p []byte) (int, error) { return a.body.Write(p) }

// serve serves the request. A call whose connection the emulator cuts is unavailable,
// or ended by its context.
func (t *transcoder) serve(r *http.Request) (a *answer, err error) {
	a = &answer{header: http.Header{}, status: http.StatusOK}
	defer func() {
		v := recover()
		if v == nil {
			return
		}
		if aborted, ok := v.(error); !ok || !errors.Is(aborted, http.ErrAbortHandler) {
			panic(v)
		}
		if err = status.FromContextError(r.Context().Err()).Err(); err == nil {
			err = status.Error(codes.Unavailable, "The connection was cut.")
		}
	}()
	t.api.ServeHTTP(a, r)
	return a, nil
}

// err returns an answer other than 200 as an error with the same details.
func (a *answer) err() error {
	var body struct {
		Error struct {
			Message string
			Status  string
			Details []json.RawMessage
		}
	}
	if err := json.Unmarshal(a.body.Bytes(), &body); err != nil || body.Error.Status == "" {
		return status.Error(codeOfHTTP(a.status), http.StatusText(a.status))
	}
	s := &spb.Status{Code: int32(codeOf(body.Error.Status)), Message: body.Error.Message}
	for _, detail := range body.Error.Details {
		packed := new(anypb.Any)
		if err := protojson.Unmarshal(detail, packed); err == nil {
			s.Details = append(s.Details, packed)
		}
	}
	return status.ErrorProto(s)
}

// codeOf returns the code of a name in google/rpc/code.proto.
func codeOf(name string) codes.Code {
	var code codes.Code
	if err := code.UnmarshalJSON([]byte(`"` + name + `"`)); err != nil {
		return codes.Unknown
	}
	return code
}

// codeOfHTTP returns the code for a status whose body is not a google.rpc.Status, by
// gRPC's HTTP to gRPC Status Code Mapping.
func codeOfHTTP(code int) codes.Code {
	switch code {
	case http.StatusBadRequest:
		return codes.Internal
	case http.StatusUnauthorized:
		return codes.Unauthenticated
	case http.StatusForbidden:
		return codes.PermissionDenied
	case http.StatusNotFound:
		return codes.Unimplemented
	case http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return codes.Unavailable
	}
	return codes.Unknown
}

// maxVersions is the number of operations whose versions are remembered.
const maxVersions = 10_000

// versions are the API versions that began operations: over gRPC, one service has the
// operations of all versions, and the types of their results differ.
type versions struct {
	mu    sync.Mutex
	of    map[string]string // by the operation's name
	names []string          // the oldest first
}

func newVersions() *versions { return &versions{of: map[string]string{}} }

// remember records the version of an operation that the method began.
func (m *method) remember(out proto.Message) {
	o, ok := out.(interface {
		GetName() string
		GetDone() bool
	})
	version := m.own()
	if !ok || version == "" {
		return
	}
	v := m.versions
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.of[o.GetName()] == "" {
		v.names = append(v.names, o.GetName())
	}
	v.of[o.GetName()] = version
	if len(v.names) > maxVersions {
		delete(v.of, v.names[0])
		v.names = v.names[1:]
	}
}

// own returns the version of the method's service, "" for the service of operations.
func (m *method) own() string {
	version, ok := strings.CutPrefix(string(m.descriptor.ParentFile().Package()), "google.cloud.talent.")
	if !ok {
		return ""
	}
	return version
}

// version returns the version that began an operation, or v4 if it is unknown.
func (m *method) version(operation string) string {
	m.versions.mu.Lock()
	defer m.versions.mu.Unlock()
	if version := m.versions.of[operation]; version != "" {
		return version
	}
	return "v4"
}
