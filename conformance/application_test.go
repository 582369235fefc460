package conformance

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"testing"
	"time"

	talent "cloud.google.com/go/talent/apiv4"
	ga "cloud.google.com/go/talent/apiv4/talentpb"
	"google.golang.org/api/option"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/types/known/timestamppb"
)

func eventsOverGRPC(ctx context.Context, addr string) (*talent.EventClient, error) {
	return talent.NewEventClient(ctx, option.WithEndpoint(addr), option.WithoutAuthentication(),
		option.WithGRPCDialOption(grpc.WithTransportCredentials(insecure.NewCredentials())))
}

func eventsOverREST(ctx context.Context, addr string) (*talent.EventClient, error) {
	return talent.NewEventRESTClient(ctx, option.WithEndpoint("http://"+addr), option.WithoutAuthentication())
}

// application is what an application uses of Google's clients, over one transport.
type application struct {
	addr   string
	jobs   *talent.JobClient
	events *talent.EventClient
}

const demoParent = "projects/demo/tenants/default"

func openApplication(t *testing.T, addr string, overGRPC bool) *application {
	t.Helper()
	a := &application{addr: addr}
	var err error
	if overGRPC {
		a.events = must[*talent.EventClient](t)(eventsOverGRPC(t.Context(), addr))
		a.jobs, err = talent.NewJobClient(t.Context(), option.WithEndpoint(addr), option.WithoutAuthentication(),
			option.WithGRPCDialOption(grpc.WithTransportCredentials(insecure.NewCredentials())))
	} else {
		a.events = must[*talent.EventClient](t)(eventsOverREST(t.Context(), addr))
		a.jobs, err = talent.NewJobRESTClient(t.Context(), options("http://"+addr)...)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		a.events.Close()
		a.jobs.Close()
	})
	return a
}

// TestApplicationInGo: TestTransportsAgree leads a job through its life over both
// transports, with batches, pages, events of every type and errors.
func TestApplicationInGo(t *testing.T) {
	checkApplication(t, 4, func(addr string) {
		for name, overGRPC := range map[string]bool{"gRPC": true, "REST": false} {
			t.Run(name, func(t *testing.T) {
				a := openApplication(t, addr, overGRPC)
				a.reportView(t)
				job, err := a.jobs.GetJob(t.Context(), &ga.GetJobRequest{Name: demoParent + "/jobs/1"})
				if err != nil || job.GetTitle() != "Baker" {
					t.Errorf("a read that fails at first: %v, %v", job, err)
				}
				ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
				defer cancel()
				if _, err := a.jobs.GetJob(ctx, &ga.GetJobRequest{Name: demoParent + "/jobs/slow"}); err == nil || ctx.Err() == nil {
					t.Errorf("a read without an answer: %v", err)
				}
			})
		}
	})
}

// reportView searches, opens the first job, and checks the event that arrived.
func (a *application) reportView(t *testing.T) {
	t.Helper()
	found, err := a.jobs.SearchJobs(t.Context(), &ga.SearchJobsRequest{
		Parent: demoParent, RequestMetadata: &ga.RequestMetadata{AllowMissingIds: true}, JobQuery: &ga.JobQuery{Query: "baker"},
	})
	if err != nil || len(found.GetMatchingJobs()) != 1 {
		t.Fatalf("found %v, %v", found, err)
	}
	requestID := found.GetMetadata().GetRequestId()
	_, err = a.events.CreateClientEvent(t.Context(), &ga.CreateClientEventRequest{Parent: demoParent, ClientEvent: &ga.ClientEvent{
		RequestId: requestID, EventId: "view-1", CreateTime: timestamppb.Now(),
		Event: &ga.ClientEvent_JobEvent{JobEvent: &ga.JobEvent{
			Type: ga.JobEvent_VIEW, Jobs: []string{found.GetMatchingJobs()[0].GetJob().GetName()},
		}},
	}})
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.Get(fmt.Sprintf("http://%s/emulator/events?wait=5s&count=1&request_id=%s", a.addr, url.QueryEscape(requestID)))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var sent struct {
		Events []struct {
			Event    struct{ EventID string }
			Warnings []any
		}
	}
	err = json.NewDecoder(resp.Body).Decode(&sent)
	if err != nil || len(sent.Events) != 1 || sent.Events[0].Event.EventID != "view-1" || sent.Events[0].Warnings != nil {
		t.Errorf("the emulator has %+v, %v", sent, err)
	}
}
