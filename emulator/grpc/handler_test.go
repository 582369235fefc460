package emulatorgrpc_test

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"time"

	"cloud.google.com/go/longrunning/autogen/longrunningpb"
	talent "cloud.google.com/go/talent/apiv4"
	pb "cloud.google.com/go/talent/apiv4/talentpb"
	beta "cloud.google.com/go/talent/apiv4beta1"
	betapb "cloud.google.com/go/talent/apiv4beta1/talentpb"
	"github.com/clientevents/clientevents/emulator"
	"google.golang.org/api/googleapi"
	"google.golang.org/api/iterator"
	"google.golang.org/api/option"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	reflectionpb "google.golang.org/grpc/reflection/grpc_reflection_v1"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/fieldmaskpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	emulatorgrpc "github.com/clientevents/clientevents/emulator/grpc"
)

// serve serves an emulator over both transports on one port.
func serve(t testing.TB, o emulator.Options) (emu *emulator.Emulator, addr string) {
	t.Helper()
	emu = emulator.New(o)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: emulatorgrpc.Handler(emu), Protocols: emulatorgrpc.Protocols()}
	served := make(chan error, 1)
	go func() { served <- server.Serve(ln) }()
	t.Cleanup(func() {
		emu.Close()
		server.Close()
		<-served
	})
	return emu, ln.Addr().String()
}

// overGRPC returns the options of a client with its default transport.
func overGRPC(addr string) []option.ClientOption {
	return []option.ClientOption{
		option.WithEndpoint(addr), option.WithoutAuthentication(),
		option.WithGRPCDialOption(grpc.WithTransportCredentials(insecure.NewCredentials())),
	}
}

func overREST(addr string) []option.ClientOption {
	return []option.ClientOption{option.WithEndpoint("http://" + addr), option.WithoutAuthentication()}
}

// transcript records a client's results, without values that differ between runs.
type transcript struct{ strings.Builder }

var varying = regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f-]{27}|[1-9][0-9]{17}|(?:seconds|nanos):\d+|request_id:"[^"]*"|[?&]pageToken=[^&]*|next_page_token:"[^"]*"| +`)

func (r *transcript) add(call string, v any, err error) {
	if err != nil {
		v = describe(err)
	}
	r.WriteString(varying.ReplaceAllString(fmt.Sprintf("%s: %v\n", call, v), " "))
}

// describe returns an error's HTTP code, message and violations, for both transports.
func describe(err error) string {
	if overHTTP, ok := errors.AsType[*googleapi.Error](err); ok {
		var body struct {
			Error struct {
				Details []struct {
					FieldViolations []struct{ Field, Description string }
				}
			}
		}
		if err := json.Unmarshal([]byte(overHTTP.Body), &body); err != nil {
			return err.Error()
		}
		var violations []string
		for _, d := range body.Error.Details {
			for _, v := range d.FieldViolations {
				violations = append(violations, v.Field+" "+v.Description)
			}
		}
		return fmt.Sprintf("%d %s %q", overHTTP.Code, overHTTP.Message, violations)
	}
	s := status.Convert(err)
	code := map[codes.Code]int{
		codes.InvalidArgument: 400, codes.FailedPrecondition: 400, codes.NotFound: 404, codes.AlreadyExists: 409, codes.Unimplemented: 501,
	}[s.Code()]
	var violations []string
	for _, d := range s.Details() {
		for _, v := range d.(*errdetails.BadRequest).GetFieldViolations() {
			violations = append(violations, v.GetField()+" "+v.GetDescription())
		}
	}
	return fmt.Sprintf("%d %s %q", code, s.Message(), violations)
}

// The same calls give the same answers and errors over both transports.
func TestTransportsAgree(t *testing.T) {
	run := func(grpcTransport bool) string {
		_, addr := serve(t, emulator.Options{})
		var r transcript
		lifeOfAJob(t, &r, addr, grpcTransport)
		lifeInBeta(t, &r, addr, grpcTransport)
		return r.String()
	}
	rest, overGRPC := run(false), run(true)
	if rest != overGRPC {
		a, b := strings.Split(rest, "\n"), strings.Split(overGRPC, "\n")
		for i := range min(len(a), len(b)) {
			if a[i] != b[i] {
				t.Errorf("REST\n%s\ngRPC\n%s", a[i], b[i])
			}
		}
	}
	if n := strings.Count(rest, "\n"); n < 40 {
		t.Errorf("only %d calls:\n%s", n, rest)
	}
}

func must[T any](t *testing.T) func(v T, err error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func lifeOfAJob(t *testing.T, r *transcript, addr string, overGRPCTransport bool) {
	ctx := t.Context()
	var tenants *talent.TenantClient
	var companies *talent.CompanyClient
	var jobs *talent.JobClient
	var events *talent.EventClient
	var completion *talent.CompletionClient
	if overGRPCTransport {
		tenants = must[*talent.TenantClient](t)(talent.NewTenantClient(ctx, overGRPC(addr)...))
		companies = must[*talent.CompanyClient](t)(talent.NewCompanyClient(ctx, overGRPC(addr)...))
		jobs = must[*talent.JobClient](t)(talent.NewJobClient(ctx, overGRPC(addr)...))
		events = must[*talent.EventClient](t)(talent.NewEventClient(ctx, overGRPC(addr)...))
		completion = must[*talent.CompletionClient](t)(talent.NewCompletionClient(ctx, overGRPC(addr)...))
	} else {
		tenants = must[*talent.TenantClient](t)(talent.NewTenantRESTClient(ctx, overREST(addr)...))
		companies = must[*talent.CompanyClient](t)(talent.NewCompanyRESTClient(ctx, overREST(addr)...))
		jobs = must[*talent.JobClient](t)(talent.NewJobRESTClient(ctx, overREST(addr)...))
		events = must[*talent.EventClient](t)(talent.NewEventRESTClient(ctx, overREST(addr)...))
		completion = must[*talent.CompletionClient](t)(talent.NewCompletionRESTClient(ctx, overREST(addr)...))
	}
	tenant, err := tenants.CreateTenant(ctx, &pb.CreateTenantRequest{Parent: "projects/p", Tenant: &pb.Tenant{ExternalId: "x"}})
	r.add("create a tenant", tenant, err)
	parent := tenant.GetName()
	_, err = tenants.CreateTenant(ctx, &pb.CreateTenantRequest{Parent: "projects/p", Tenant: &pb.Tenant{ExternalId: "x"}})
	r.add("the same again", nil, err)
	_, err = tenants.GetTenant(ctx, &pb.GetTenantRequest{Name: "projects/p/tenants/none"})
	r.add("a tenant that is not there", nil, err)
	for it := tenants.ListTenants(ctx, &pb.ListTenantsRequest{Parent: "projects/p", PageSize: 1}); ; {
		one, err := it.Next()
		if errors.Is(err, iterator.Done) {
			break
		}
		r.add("list tenants", one, err)
	}
	company, err := companies.CreateCompany(ctx, &pb.CreateCompanyRequest{Parent: parent, Company: &pb.Company{DisplayName: "Acme", ExternalId: "a", Size: pb.CompanySize_BIG}})
	r.add("create a company", company, err)
	_, err = companies.CreateCompany(ctx, &pb.CreateCompanyRequest{Parent: parent, Company: &pb.Company{}})
	r.add("create an empty company", nil, err)
	company.WebsiteUri, company.DisplayName = "https://acme.example", "changed"
	company, err = companies.UpdateCompany(ctx, &pb.UpdateCompanyRequest{Company: company, UpdateMask: &fieldmaskpb.FieldMask{Paths: []string{"website_uri"}}})
	r.add("update a company", company, err)

	newJob := func(requisition string) *pb.Job {
		return &pb.Job{Company: company.GetName(), RequisitionId: requisition, Title: "Baker " + requisition, Description: "Bake <b>bread</b>", PostingExpireTime: timestamppb.New(time.Now().Add(time.Hour))}
	}
	var names []string
	for i := range 3 {
		job, err := jobs.CreateJob(ctx, &pb.CreateJobRequest{Parent: parent, Job: newJob(fmt.Sprint(i))})
		r.add("create a job", job, err)
		names = append(names, job.GetName())
	}
	_, err = jobs.CreateJob(ctx, &pb.CreateJobRequest{Parent: parent, Job: newJob("0")})
	r.add("the same again", nil, err)
	_, err = jobs.CreateJob(ctx, &pb.CreateJobRequest{Parent: parent, Job: &pb.Job{Title: strings.Repeat("x", 501)}})
	r.add("an invalid job", nil, err)
	job, err := jobs.UpdateJob(ctx, &pb.UpdateJobRequest{Job: &pb.Job{Name: names[0], Title: "Pastry cook", Department: "no"}, UpdateMask: &fieldmaskpb.FieldMask{Paths: []string{"title"}}})
	r.add("update a job", job, err)
	job, err = jobs.GetJob(ctx, &pb.GetJobRequest{Name: names[0]})
	r.add("get a job", job, err)
	filter := fmt.Sprintf("companyName = %q", company.GetName())
	for it := jobs.ListJobs(ctx, &pb.ListJobsRequest{Parent: parent, Filter: filter, PageSize: 1, JobView: pb.JobView_JOB_VIEW_ID_ONLY}); ; {
		one, err := it.Next()
		if errors.Is(err, iterator.Done) {
			break
		}
		r.add("list jobs", one, err)
	}
	_, err = jobs.ListJobs(ctx, &pb.ListJobsRequest{Parent: parent}).Next()
	r.add("list jobs without a filter", nil, err)
	search := &pb.SearchJobsRequest{
		Parent: parent, RequestMetadata: &pb.RequestMetadata{AllowMissingIds: true}, JobQuery: &pb.JobQuery{Query: "bread"}, MaxPageSize: 2, OrderBy: "title",
		HistogramQueries: []*pb.HistogramQuery{{HistogramQuery: "count(company_size)"}},
	}
	found, err := jobs.SearchJobs(ctx, search)
	r.add("search", found, err)
	search.PageToken = found.GetNextPageToken()
	found, err = jobs.SearchJobs(ctx, search)
	r.add("search on", found, err)
	search.HistogramQueries[0].HistogramQuery = "count(city_coordinate)"
	_, err = jobs.SearchJobs(ctx, search)
	r.add("search for something that is not emulated", nil, err)
	completed, err := completion.CompleteQuery(ctx, &pb.CompleteQueryRequest{Tenant: parent, Query: "ba", PageSize: 5, LanguageCodes: []string{"en", "en_US"}, Type: pb.CompleteQueryRequest_JOB_TITLE})
	r.add("complete", completed, err)

	created, err := jobs.BatchCreateJobs(ctx, &pb.BatchCreateJobsRequest{Parent: parent, Jobs: []*pb.Job{newJob("a"), newJob("a"), newJob("b")}})
	if err != nil {
		t.Fatal(err)
	}
	results, err := created.Wait(ctx)
	r.add("create a batch", results, err)
	deleted, err := jobs.BatchDeleteJobs(ctx, &pb.BatchDeleteJobsRequest{Parent: parent, Names: []string{names[1], names[1] + "x"}})
	if err != nil {
		t.Fatal(err)
	}
	gone, err := deleted.Wait(ctx)
	r.add("delete a batch", gone, err)

	for name, number := range pb.JobEvent_JobEventType_value {
		event, err := events.CreateClientEvent(ctx, &pb.CreateClientEventRequest{Parent: parent, ClientEvent: &pb.ClientEvent{
			EventId: "e", RequestId: found.GetMetadata().GetRequestId(), CreateTime: timestamppb.Now(), EventNotes: "n",
			Event: &pb.ClientEvent_JobEvent{JobEvent: &pb.JobEvent{Type: pb.JobEvent_JobEventType(number), Jobs: names[:1]}},
		}})
		if (err == nil) != (number > 0) || err == nil && event.GetJobEvent().GetType().String() != name {
			t.Errorf("%s: %v, %v", name, event, err)
		}
	}
	_, err = events.CreateClientEvent(ctx, &pb.CreateClientEventRequest{Parent: parent, ClientEvent: &pb.ClientEvent{}})
	r.add("an empty event", nil, err)
	r.add("delete a job", nil, jobs.DeleteJob(ctx, &pb.DeleteJobRequest{Name: names[0]}))
	r.add("and again", nil, jobs.DeleteJob(ctx, &pb.DeleteJobRequest{Name: names[0]}))
	r.add("delete a company with jobs", nil, companies.DeleteCompany(ctx, &pb.DeleteCompanyRequest{Name: company.GetName()}))
	r.add("delete a tenant", nil, tenants.DeleteTenant(ctx, &pb.DeleteTenantRequest{Name: parent}))
}

// lifeInBeta tests the version whose resources have two names, and other types of
// operations.
func lifeInBeta(t *testing.T, r *transcript, addr string, overGRPCTransport bool) {
	ctx := t.Context()
	var companies *beta.CompanyClient
	var jobs *beta.JobClient
	if overGRPCTransport {
		companies = must[*beta.CompanyClient](t)(beta.NewCompanyClient(ctx, overGRPC(addr)...))
		jobs = must[*beta.JobClient](t)(beta.NewJobClient(ctx, overGRPC(addr)...))
	} else {
		companies = must[*beta.CompanyClient](t)(beta.NewCompanyRESTClient(ctx, overREST(addr)...))
		jobs = must[*beta.JobClient](t)(beta.NewJobRESTClient(ctx, overREST(addr)...))
	}
	for _, parent := range []string{"projects/p", "projects/p/tenants/default"} {
		company, err := companies.CreateCompany(ctx, &betapb.CreateCompanyRequest{Parent: parent, Company: &betapb.Company{DisplayName: "Acme", ExternalId: parent}})
		r.add("create a company", company, err)
		begun, err := jobs.BatchCreateJobs(ctx, &betapb.BatchCreateJobsRequest{Parent: parent, Jobs: []*betapb.Job{
			{Company: company.GetName(), RequisitionId: "1", Title: "T", Description: "D", PostingExpireTime: timestamppb.New(time.Now().Add(time.Hour))},
		}})
		if err != nil {
			t.Fatal(err)
		}
		results, err := begun.Wait(ctx)
		r.add("create a batch", results, err)
		filter := fmt.Sprintf(`companyName = %q AND requisitionId = "1"`, company.GetName())
		r.add("delete by a filter", nil, jobs.BatchDeleteJobs(ctx, &betapb.BatchDeleteJobsRequest{Parent: parent, Filter: filter}))
		_, err = jobs.ListJobs(ctx, &betapb.ListJobsRequest{Parent: parent, Filter: filter}).Next()
		r.add("list jobs", nil, err)
		r.add("delete a company", nil, companies.DeleteCompany(ctx, &betapb.DeleteCompanyRequest{Name: company.GetName()}))
	}
}

func dial(t testing.TB, addr string, c credentials.TransportCredentials) *grpc.ClientConn {
	t.Helper()
	conn, err := grpc.NewClient(addr, grpc.WithTransportCredentials(c))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

func event() *pb.CreateClientEventRequest {
	return &pb.CreateClientEventRequest{Parent: "projects/p/tenants/t", ClientEvent: &pb.ClientEvent{
		EventId: "e", RequestId: "r", CreateTime: timestamppb.Now(),
		Event: &pb.ClientEvent_JobEvent{JobEvent: &pb.JobEvent{Type: pb.JobEvent_VIEW, Jobs: []string{"projects/p/tenants/t/jobs/1"}}},
	}}
}

// Faults, quotas, tokens, deadlines and names have the same effect as over HTTP.
func TestFaults(t *testing.T) {
	emu, addr := serve(t, emulator.Options{})
	events := pb.NewEventServiceClient(dial(t, addr, insecure.NewCredentials()))
	create := func(md ...string) *status.Status {
		ctx, cancel := context.WithTimeout(metadata.AppendToOutgoingContext(t.Context(), md...), 500*time.Millisecond)
		defer cancel()
		_, err := events.CreateClientEvent(ctx, event())
		return status.Convert(err)
	}
	for _, tt := range []struct {
		name   string
		faults emulator.Faults
		md     []string
		want   codes.Code
	}{
		{"none", emulator.Faults{}, nil, codes.OK},
		{"an outage", emulator.Faults{All: emulator.Outage()}, nil, codes.Unavailable},
		{"a refusal", emulator.Faults{All: emulator.Refuse(403, "no")}, nil, codes.PermissionDenied},
		{"a body that is no status", emulator.Faults{All: &emulator.Fault{Status: 502, Body: []byte("<html>")}}, nil, codes.Unavailable},
		{"a cut connection", emulator.Faults{All: &emulator.Fault{Cut: emulator.CutConnection}}, nil, codes.Unavailable},
		{"a hang", emulator.Faults{All: &emulator.Fault{Hang: make(chan struct{})}}, nil, codes.DeadlineExceeded},
		{"no token", emulator.Faults{Token: func(s string) bool { return s == "good" }}, nil, codes.Unauthenticated},
		{"a token", emulator.Faults{Token: func(s string) bool { return s == "good" }}, []string{"authorization", "Bearer good"}, codes.OK},
		{"a share of errors", emulator.Faults{ErrorShares: map[int]float64{500: 1}}, nil, codes.Internal},
		{"no quota", emulator.Faults{Quota: emulator.Quota{Limit: -1, Window: time.Minute}}, nil, codes.ResourceExhausted},
	} {
		emu.SetFaults(tt.faults)
		got := create(tt.md...)
		if got.Code() != tt.want {
			t.Errorf("%s: %v, want %v", tt.name, got, tt.want)
		}
		if tt.want == codes.ResourceExhausted && len(got.Details()) != 3 {
			t.Errorf("%s: details %v", tt.name, got.Details())
		}
	}
	emu.SetFaults(emulator.Faults{})
	jobs := pb.NewJobServiceClient(dial(t, addr, insecure.NewCredentials()))
	for _, name := range []string{"", "projects/p/jobs/1", "projects/p/tenants/t/jobs/1/", "projects/p/tenants/t/jobs/a/b"} {
		if _, err := jobs.DeleteJob(t.Context(), &pb.DeleteJobRequest{Name: name}); status.Code(err) != codes.InvalidArgument {
			t.Errorf("%q: %v", name, err)
		}
	}
	if _, err := longrunningpb.NewOperationsClient(dial(t, addr, insecure.NewCredentials())).
		GetOperation(t.Context(), &longrunningpb.GetOperationRequest{Name: "projects/p/operations/none"}); status.Code(err) != codes.NotFound {
		t.Errorf("an unknown operation: %v", err)
	}
}

func TestHealthAndReflection(t *testing.T) {
	_, addr := serve(t, emulator.Options{})
	conn := dial(t, addr, insecure.NewCredentials())
	answer, err := grpc_health_v1.NewHealthClient(conn).Check(t.Context(), &grpc_health_v1.HealthCheckRequest{})
	if err != nil || answer.GetStatus() != grpc_health_v1.HealthCheckResponse_SERVING {
		t.Errorf("health: %v, %v", answer, err)
	}
	stream, err := reflectionpb.NewServerReflectionClient(conn).ServerReflectionInfo(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := stream.Send(&reflectionpb.ServerReflectionRequest{MessageRequest: &reflectionpb.ServerReflectionRequest_ListServices{}}); err != nil {
		t.Fatal(err)
	}
	listed, err := stream.Recv()
	if err != nil {
		t.Fatal(err)
	}
	got := fmt.Sprint(listed.GetListServicesResponse())
	for _, version := range []string{"v4", "v4beta1"} {
		for _, service := range []string{"CompanyService", "Completion", "EventService", "JobService", "TenantService"} {
			if !strings.Contains(got, "google.cloud.talent."+version+"."+service) {
				t.Errorf("%s of %s is not listed: %s", service, version, got)
			}
		}
	}
}

// A server with a certificate serves both transports, too.
func TestTLS(t *testing.T) {
	server := httptest.NewUnstartedServer(emulatorgrpc.Handler(emulator.New(emulator.Options{})))
	server.EnableHTTP2 = true
	server.StartTLS()
	defer server.Close()
	trusted := credentials.NewTLS(&tls.Config{RootCAs: server.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs})
	events := pb.NewEventServiceClient(dial(t, server.Listener.Addr().String(), trusted))
	if _, err := events.CreateClientEvent(t.Context(), event()); err != nil {
		t.Error(err)
	}
}

func BenchmarkCreateClientEvent(b *testing.B) {
	_, addr := serve(b, emulator.Options{})
	for name, create := range map[string]func(context.Context) (*talent.EventClient, error){
		"gRPC": func(ctx context.Context) (*talent.EventClient, error) {
			return talent.NewEventClient(ctx, overGRPC(addr)...)
		},
		"REST": func(ctx context.Context) (*talent.EventClient, error) {
			return talent.NewEventRESTClient(ctx, overREST(addr)...)
		},
	} {
		b.Run(name, func(b *testing.B) {
			events, err := create(b.Context())
			if err != nil {
				b.Fatal(err)
			}
			for b.Loop() {
				if _, err := events.CreateClientEvent(b.Context(), event()); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
