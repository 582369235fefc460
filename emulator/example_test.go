package emulator_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"time"

	"github.com/clientevents/clientevents/emulator"
)

func Example() {
	emu := emulator.New(emulator.Options{KeepAll: true})
	server := httptest.NewServer(emu)
	defer server.Close()

	const event = `{"clientEvent": {
		"requestId": "8d2bdd5d:APAb7IR",
		"eventId": "view-1",
		"createTime": "2026-01-02T03:04:05Z",
		"jobEvent": {"type": "VIEW", "jobs": ["projects/acme/jobs/42"]}
	}}`
	create := func() {
		resp, err := http.Post(server.URL+"/v3/projects/acme/clientEvents", "application/json", strings.NewReader(event))
		if err != nil {
			fmt.Println(err)
			return
		}
		defer resp.Body.Close()
		fmt.Println(resp.Status)
	}

	create()
	emu.SetFaults(emulator.Faults{All: emulator.Outage()})
	create()
	emu.SetFaults(emulator.Faults{})
	create()

	for _, a := range emu.Events() {
		fmt.Println(a.Event.EventID, a.Event.Type, a.Parent, a.Duplicate)
	}
	// Output:
	// 200 OK
	// 503 Service Unavailable
	// 200 OK
	// view-1 VIEW projects/acme false
	// view-1 VIEW projects/acme true
}

// Calls beyond a quota get 429 with Retry-After and a google.rpc.RetryInfo, as from the
// service.
func ExampleFaults_quota() {
	emu := emulator.New(emulator.Options{})
	emu.ChangeFaults(func(f *emulator.Faults) {
		f.Quota = emulator.Quota{Limit: 2, Window: time.Minute}
	})
	for range 3 {
		w := httptest.NewRecorder()
		emu.ServeHTTP(w, httptest.NewRequest("POST", "/v4/projects/acme/tenants/eu/clientEvents", strings.NewReader(`{
			"eventId": "e", "createTime": "2026-01-02T03:04:05Z",
			"jobEvent": {"type": "VIEW", "jobs": ["projects/acme/tenants/eu/jobs/42"]}}`)))
		fmt.Printf("%d %q\n", w.Code, w.Header().Get("Retry-After"))
	}
	// Output:
	// 200 ""
	// 200 ""
	// 429 "60"
}
