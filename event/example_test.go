package event_test

import (
	"fmt"

	"github.com/clientevents/clientevents/event"
)

func ExampleDecode() {
	record := []byte(`{
		"event_id": "e-2", "parent_event_id": "e-1", "request_id": "8d2bdd5d:APAb7ISd4Q==",
		"create_time": "2026-01-02T03:04:05.678Z",
		"job_event": {"type": "VIEW", "jobs": ["projects/p/jobs/17"]}
	}`)
	e, fault := event.Decode(record, event.V3)
	if fault != nil {
		fmt.Println(fault)
		return
	}
	fmt.Println(e.ID, e.Type, e.Jobs, e.Time.Year())
	// Output: e-2 VIEW [projects/p/jobs/17] 2026
}

func ExampleDecode_fault() {
	_, fault := event.Decode([]byte(`{"EventID": "e-1"}`), event.V4)
	fmt.Println(fault.Reason)
	fmt.Println(fault.Detail)
	// Output:
	// unknown_field
	// "EventID" is not a field of a client event in v4: did you mean eventId?
}

func ExampleEvent_AppendRequest() {
	record := []byte(`{"eventId":"e-1","requestId":"r-1","createTime":"2026-01-02T03:04:05Z",` +
		`"jobEvent":{"type":"VIEW","jobs":["projects/p/tenants/t/jobs/17"]},"eventNotes":"by phone"}`)
	e, fault := event.Decode(record, event.V4)
	if fault != nil {
		fmt.Println(fault)
		return
	}
	fmt.Printf("%s\n", e.AppendRequest(nil, event.V4))
	// Output: {"eventId":"e-1","requestId":"r-1","createTime":"2026-01-02T03:04:05Z","jobEvent":{"type":"VIEW","jobs":["projects/p/tenants/t/jobs/17"]},"eventNotes":"by phone"}
}

func ExampleEvent_CheckParent() {
	application := &event.Event{ID: "e-3", ParentID: "e-1", Type: event.ApplicationStart}
	fmt.Println(application.CheckParent(event.Impression, application.Time))
	// Output: parent_mismatch: APPLICATION_START can't follow an IMPRESSION: its parent is a VIEW
}
