package emulatorgrpc

import (
	"context"
	"net/http"
	"strings"

	"cloud.google.com/go/longrunning/autogen/longrunningpb"
	ga "cloud.google.com/go/talent/apiv4/talentpb"
	beta "cloud.google.com/go/talent/apiv4beta1/talentpb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/reflection"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
)

// maxMessage bounds a message in bytes, as the emulator bounds bodies.
const maxMessage = 10 << 20

// files define the services of v4 and v4beta1.
var files = []protoreflect.FileDescriptor{
	ga.File_google_cloud_talent_v4_company_service_proto,
	ga.File_google_cloud_talent_v4_completion_service_proto,
	ga.File_google_cloud_talent_v4_event_service_proto,
	ga.File_google_cloud_talent_v4_job_service_proto,
	ga.File_google_cloud_talent_v4_tenant_service_proto,
	beta.File_google_cloud_talent_v4beta1_company_service_proto,
	beta.File_google_cloud_talent_v4beta1_completion_service_proto,
	beta.File_google_cloud_talent_v4beta1_event_service_proto,
	beta.File_google_cloud_talent_v4beta1_job_service_proto,
	beta.File_google_cloud_talent_v4beta1_tenant_service_proto,
}

// Protocols returns the protocols that a server of a [Handler] needs. gRPC uses HTTP/2,
// also without TLS.
func Protocols() *http.Protocols {
	p := new(http.Protocols)
	p.SetHTTP1(true)
	p.SetHTTP2(true)
	p.SetUnencryptedHTTP2(true)
	return p
}

// Handler serves gRPC calls by api, an emulator's handler, and passes all other
// requests to it.
func Handler(api http.Handler) http.Handler {
	server := grpc.NewServer(grpc.MaxRecvMsgSize(maxMessage))
	t := &transcoder{api: api, versions: newVersions()}
	for _, file := range files {
		for i := range file.Services().Len() {
			t.register(server, file.Services().Get(i))
		}
	}
	t.register(server, longrunningpb.File_google_longrunning_operations_proto.Services().Get(0))
	grpc_health_v1.RegisterHealthServer(server, health.NewServer())
	reflection.Register(server)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ProtoMajor == 2 && strings.HasPrefix(r.Header.Get("Content-Type"), "application/grpc") {
			server.ServeHTTP(w, r)
			return
		}
		api.ServeHTTP(w, r)
	})
}

// register serves the methods of a service that have an HTTP form.
func (t *transcoder) register(server *grpc.Server, service protoreflect.ServiceDescriptor) {
	desc := grpc.ServiceDesc{
		ServiceName: string(service.FullName()),
		HandlerType: (*any)(nil),
		Metadata:    service.ParentFile().Path(),
	}
	for i := range service.Methods().Len() {
		if m := t.method(service.Methods().Get(i)); m != nil {
			desc.Methods = append(desc.Methods, grpc.MethodDesc{
				MethodName: string(m.descriptor.Name()),
				Handler: func(_ any, ctx context.Context, decode func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
					return m.handle(ctx, decode)
				},
			})
		}
	}
	server.RegisterService(&desc, t)
}

// method is a gRPC method with its HTTP forms.
type method struct {
	*transcoder
	descriptor    protoreflect.MethodDescriptor
	bindings      []binding
	input, output protoreflect.MessageType
}

// method returns nil for one without an HTTP form, such as WaitOperation.
func (t *transcoder) method(m protoreflect.MethodDescriptor) *method {
	bindings := bindingsOf(m)
	if bindings == nil {
		return nil
	}
	return &method{t, m, bindings, messageType(m.Input()), messageType(m.Output())}
}

func messageType(m protoreflect.MessageDescriptor) protoreflect.MessageType {
	mt, err := protoregistry.GlobalTypes.FindMessageByName(m.FullName())
	if err != nil { // the generated types are linked
		panic(err)
	}
	return mt
}

// handle answers a call of the method.
func (m *method) handle(ctx context.Context, decode func(any) error) (any, error) {
	in := m.input.New().Interface()
	if err := decode(in); err != nil {
		return nil, err
	}
	out := m.output.New().Interface()
	if err := m.call(ctx, in, out); err != nil {
		return nil, err
	}
	return out, nil
}
