// Package emulator is a local Cloud Talent Solution, to test against, to
// rehearse and to measure with: companies, jobs, search and client events. It
// speaks the API over plain HTTP, is as strict as the service about what is
// sent, shows what it accepted, and misbehaves on request.
//
// # Use in a test
//
// An [Emulator] is an [http.Handler]:
//
//	emu := emulator.New(emulator.Options{KeepAll: true})
//	server := httptest.NewServer(emu)
//	defer server.Close()
//
//	// ... point the client at server.URL ...
//
//	if err := emu.WaitAccepted(t.Context(), 10); err != nil {
//		t.Fatal(err)
//	}
//	for _, a := range emu.Events() {
//		t.Log(a.Event.EventID, a.Event.Type, a.Parent)
//	}
//
// What goes wrong can be changed while requests are under way:
//
//	emu.SetFaults(emulator.Faults{All: emulator.Outage()})             // 503 to everything
//	emu.SetFaults(emulator.Faults{All: emulator.Refuse(403, "no")})    // a status and a message
//	emu.SetFaults(emulator.Faults{Quota: emulator.Quota{Limit: 300, Window: time.Minute}})
//	emu.SetFaults(emulator.Faults{ErrorShares: map[int]float64{503: 0.1}})
//	emu.SetFaults(emulator.Faults{All: &emulator.Fault{Hang: release}}) // until close(release)
//	emu.SetFaults(emulator.Faults{All: &emulator.Fault{Cut: emulator.CutBody, AfterAccept: true}})
//	emu.SetFaults(emulator.Faults{})                                    // all is well again
//
// For one request or one part of a batch there is the Hook of [Faults]. A
// request that hangs keeps [net/http/httptest.Server.Close] waiting: release
// it, or call [Emulator.Close] first.
//
// The emulator has no goroutines of its own beyond requests, and takes time only
// from package time, so it can be used within [testing/synctest], with [Emulator.Serve] on a
// listener of [net.Pipe] connections; latencies, quotas and what the client
// waits for are then exact and take no time.
//
// # What it serves
//
//   - clientEvents.create of v3 and v3p1beta1 (parent projects/P), of v4beta1
//     (projects/P and projects/P/tenants/T) and of v4 (projects/P/tenants/T);
//   - companies, jobs and, but for v3, tenants of v3, v4beta1 and v4: create,
//     get, list, patch and delete, batches as operations, search and completion;
//   - POST /batch, Google's multipart HTTP batch, for calls of any of them;
//   - the page at /, for a person;
//   - GET /emulator/events (the newest first; ?requestId=, ?limit=; ?after=N and
//     &wait=30s for what comes next), DELETE /emulator/events to forget them, and
//     GET /emulator/stats, /emulator/jobs and /emulator/companies.
//
// docs/emulator.md says what of this is as in the service, and what is not.
//
// # What it refuses
//
// Errors are google.rpc.Status bodies. By the public definitions
// (google/cloud/talent/v4/event.proto, google/cloud/talent/v4beta1/event.proto,
// the jobs/v3 discovery document, the proto3 JSON mapping): unknown names, a
// missing or an unwelcome {"clientEvent": …} wrapper, values of a wrong type,
// enum values that the version lacks (NOT_INTERESTED is v3's alone),
// timestamps that are not RFC 3339 with an offset, missing eventId,
// createTime, jobEvent, its type or jobs, and in v3 a missing requestId.
//
// Where the definitions are silent, these are choices of this package:
//
//   - a name that comes twice is refused;
//   - a job name must have the form that the version documents; events of jobs
//     that the emulator does not hold are accepted, with a [Warning];
//   - extraInfo holds at most 20 keys, and 2,048 bytes of UTF-8 in all keys and
//     values together (documented as "2 KB");
//   - a path that no method has is 404, another verb 405, a body of more than
//     Options.MaxBodyBytes 413, all as JSON;
//   - requestId may be left out in v4 and v4beta1 ("strongly recommended"
//     there), although the service later discards such events;
//   - an eventId that was accepted before is accepted again, and counted as a
//     duplicate: the service documents no deduplication;
//   - a batch whose closing boundary is missing is refused as a whole.
package emulator
