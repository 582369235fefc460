package conformance

import (
	"context"
	"errors"
	"fmt"
	"net/http/httptest"
	"testing"
	"time"

	talent "cloud.google.com/go/talent/apiv4"
	ga "cloud.google.com/go/talent/apiv4/talentpb"
	talentbeta "cloud.google.com/go/talent/apiv4beta1"
	beta "cloud.google.com/go/talent/apiv4beta1/talentpb"
	"github.com/clientevents/clientevents/emulator"
	"google.golang.org/api/googleapi"
	jobsv3 "google.golang.org/api/jobs/v3"
	jobsv3p1 "google.golang.org/api/jobs/v3p1beta1"
	jobsv4 "google.golang.org/api/jobs/v4"
	"google.golang.org/api/option"
	"google.golang.org/protobuf/types/known/timestamppb"
)

const (
	project = "projects/p"
	tenant  = "projects/p/tenants/t"
)

var created = time.Date(2026, 1, 2, 3, 4, 5, 678_000_000, time.UTC)

func serveEmulator(t *testing.T, o emulator.Options) (*emulator.Emulator, string) {
	t.Helper()
	e := emulator.New(o)
	server := httptest.NewServer(e)
	t.Cleanup(server.Close)
	t.Cleanup(func() { _ = e.Close() })
	return e, server.URL
}

// options connect a client to the emulator, and change nothing else.
func options(url string) []option.ClientOption {
	return []option.ClientOption{option.WithEndpoint(url), option.WithoutAuthentication()}
}

// creator creates an event with one of Google's clients, with the ID and the type, and
// returns the ID of the response.
type creator struct {
	version, parent string
	create          func(ctx context.Context, url, id, kind string) (string, error)
}

func creators() map[string]creator {
	return map[string]creator{
		"google.golang.org/api/jobs/v3":         {"v3", project, createV3},
		"google.golang.org/api/jobs/v3p1beta1":  {"v3p1beta1", project, createV3p1},
		"google.golang.org/api/jobs/v4":         {"v4", tenant, createV4},
		"cloud.google.com/go/talent/apiv4":      {"v4", tenant, createGA},
		"cloud.google.com/go/talent/apiv4beta1": {"v4beta1", tenant, createBeta(tenant)},
		"apiv4beta1 without a tenant":           {"v4beta1", project, createBeta(project)},
	}
}

func createV3(ctx context.Context, url, id, kind string) (string, error) {
	service, err := jobsv3.NewService(ctx, options(url)...)
	if err != nil {
		return "", err
	}
	got, err := service.Projects.ClientEvents.Create(project, &jobsv3.CreateClientEventRequest{ClientEvent: &jobsv3.ClientEvent{
		EventId: id, RequestId: "r", ParentEventId: "p", CreateTime: created.Format(time.RFC3339Nano),
		ExtraInfo: map[string]string{"k": "v<&>"},
		JobEvent:  &jobsv3.JobEvent{Type: kind, Jobs: []string{project + "/jobs/1"}},
	}}).Context(ctx).Do()
	if err != nil {
		return "", err
	}
	return got.EventId, sameTime(got.CreateTime)
}

func createV3p1(ctx context.Context, url, id, kind string) (string, error) {
	service, err := jobsv3p1.NewService(ctx, options(url)...)
	if err != nil {
		return "", err
	}
	got, err := service.Projects.ClientEvents.Create(project, &jobsv3p1.CreateClientEventRequest{ClientEvent: &jobsv3p1.ClientEvent{
		EventId: id, RequestId: "r", CreateTime: created.Format(time.RFC3339Nano),
		JobEvent: &jobsv3p1.JobEvent{Type: kind, Jobs: []string{project + "/jobs/1"}},
	}}).Context(ctx).Do()
	if err != nil {
		return "", err
	}
	return got.EventId, sameTime(got.CreateTime)
}

func createV4(ctx context.Context, url, id, kind string) (string, error) {
	service, err := jobsv4.NewService(ctx, options(url)...)
	if err != nil {
		return "", err
	}
	got, err := service.Projects.Tenants.ClientEvents.Create(tenant, &jobsv4.ClientEvent{
		EventId: id, RequestId: "r", EventNotes: "n", CreateTime: created.Format(time.RFC3339Nano),
		JobEvent: &jobsv4.JobEvent{Type: kind, Jobs: []string{tenant + "/jobs/1"}},
	}).Context(ctx).Do()
	if err != nil {
		return "", err
	}
	return got.EventId, sameTime(got.CreateTime)
}

func createGA(ctx context.Context, url, id, kind string) (string, error) {
	client, err := talent.NewEventRESTClient(ctx, options(url)...)
	if err != nil {
		return "", err
	}
	defer client.Close()
	got, err := client.CreateClientEvent(ctx, &ga.CreateClientEventRequest{Parent: tenant, ClientEvent: &ga.ClientEvent{
		EventId: id, RequestId: "r", EventNotes: "n", CreateTime: timestamppb.New(created),
		Event: &ga.ClientEvent_JobEvent{JobEvent: &ga.JobEvent{
			Type: ga.JobEvent_JobEventType(ga.JobEvent_JobEventType_value[kind]), Jobs: []string{tenant + "/jobs/1"},
		}},
	}})
	if err != nil {
		return "", err
	}
	return got.GetEventId(), sameTime(got.GetCreateTime().AsTime().Format(time.RFC3339Nano))
}

func createBeta(parent string) func(ctx context.Context, url, id, kind string) (string, error) {
	return func(ctx context.Context, url, id, kind string) (string, error) {
		client, err := talentbeta.NewEventRESTClient(ctx, options(url)...)
		if err != nil {
			return "", err
		}
		defer client.Close()
		got, err := client.CreateClientEvent(ctx, &beta.CreateClientEventRequest{Parent: parent, ClientEvent: &beta.ClientEvent{
			EventId: id, RequestId: "r", EventNotes: "n", CreateTime: timestamppb.New(created),
			Event: &beta.ClientEvent_JobEvent{JobEvent: &beta.JobEvent{
				Type: beta.JobEvent_JobEventType(beta.JobEvent_JobEventType_value[kind]), Jobs: []string{parent + "/jobs/1"},
			}},
		}})
		if err != nil {
			return "", err
		}
		return got.GetEventId(), sameTime(got.GetCreateTime().AsTime().Format(time.RFC3339Nano))
	}
}

func sameTime(s string) error {
	got, err := time.Parse(time.RFC3339Nano, s)
	if err != nil {
		return err
	}
	if !got.Equal(created) {
		return fmt.Errorf("createTime %q came back, want %v", s, created)
	}
	return nil
}

// TestGoClientsCreateEvents checks that the emulator accepts the events of Google's
// clients.
func TestGoClientsCreateEvents(t *testing.T) {
	for name, c := range creators() {
		t.Run(name, func(t *testing.T) {
			api, url := serveEmulator(t, emulator.Options{KeepAll: true})
			for kind := range jobEventTypes(c.version) {
				id, err := c.create(t.Context(), url, "e-"+kind, kind)
				if err != nil || id != "e-"+kind {
					t.Errorf("%s: %q, %v", kind, id, err)
				}
			}
			for _, got := range api.Events() {
				if got.Version != c.version || got.Parent != c.parent || "e-"+got.Event.Type != got.Event.EventID || got.Event.RequestID != "r" {
					t.Errorf("the emulator understood %+v", got)
				}
			}
			if got, want := len(api.Events()), len(jobEventTypes(c.version)); got != want {
				t.Errorf("%d events arrived, want %d", got, want)
			}
		})
	}
}

// jobEventTypes returns Google's list for a version, without JOB_EVENT_TYPE_UNSPECIFIED.
func jobEventTypes(version string) map[string]int32 {
	types := map[string]int32{}
	for name, number := range ga.JobEvent_JobEventType_value {
		if number != 0 {
			types[name] = number
		}
	}
	if version == "v3" || version == "v3p1beta1" {
		types["NOT_INTERESTED"] = 16 // in v3 alone
	}
	return types
}

// TestGoClientsUnderstandRefusals checks the errors that Google's clients return.
func TestGoClientsUnderstandRefusals(t *testing.T) {
	for name, c := range creators() {
		t.Run(name, func(t *testing.T) {
			_, url := serveEmulator(t, emulator.Options{Faults: emulator.Faults{Quota: emulator.Quota{Limit: 1, Window: time.Minute}}})
			_, err := c.create(t.Context(), url, "", "VIEW")
			if code, message := refusal(err); code != 400 || message == "" {
				t.Errorf("an event without an id: %v", err)
			}
			_, err = c.create(t.Context(), url, "e", "VIEW")
			if code, message := refusal(err); code != 429 || message == "" {
				t.Errorf("over the quota: %v", err)
			}
		})
	}
}

func refusal(err error) (code int, message string) {
	if e, ok := errors.AsType[*googleapi.Error](err); ok {
		return e.Code, e.Message
	}
	return 0, ""
}
