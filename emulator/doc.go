// Package emulator is a local Cloud Talent Solution for tests, rehearsals and
// measurements: companies, jobs, search and client events. It serves the API over
// plain HTTP, is as strict as the service about requests, shows the events that it
// accepted, and has faults on request.
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
// Faults can be changed while requests are in progress:
//
//	emu.SetFaults(emulator.Faults{All: emulator.Outage()})             // 503 to everything
//	emu.SetFaults(emulator.Faults{All: emulator.Refuse(403, "no")})    // a status and a message
//	emu.SetFaults(emulator.Faults{Quota: emulator.Quota{Limit: 300, Window: time.Minute}})
//	emu.SetFaults(emulator.Faults{ErrorShares: map[int]float64{503: 0.1}})
//	emu.SetFaults(emulator.Faults{All: &emulator.Fault{Hang: release}}) // until close(release)
//	emu.SetFaults(emulator.Faults{All: &emulator.Fault{Cut: emulator.CutBody, AfterAccept: true}})
//	emu.SetFaults(emulator.Faults{})                                    // no faults
//
// The Hook of [Faults] selects single requests or parts of a batch. While a request
// hangs, [net/http/httptest.Server.Close] waits: release the request, or call
// [Emulator.Close] first.
//
// The emulator starts no goroutines outside requests, and takes time only from
// package time. So it works within [testing/synctest], with [Emulator.Serve] on a
// listener of [net.Pipe] connections; latencies, quotas and the waits of clients
// are then exact and take no time.
//
// # What it serves
//
//   - clientEvents.create of v3 and v3p1beta1 (parent projects/P), of v4beta1
//     (projects/P and projects/P/tenants/T) and of v4 (projects/P/tenants/T);
//   - companies and jobs of v3, v4beta1 and v4, and tenants except in v3: create,
//     get, list, patch and delete, batches as operations, search and completion;
//   - POST /batch, Google's multipart HTTP batch, for calls of any of them;
//   - the page at /;
//   - GET /emulator/events (the newest first; ?request_id=, ?limit=; ?after=N for
//     later ones; ?wait=5s&count=3 waits for three), DELETE /emulator/events to
//     delete them, POST /emulator/reset to delete everything, and GET
//     /emulator/report, /emulator/stats, /emulator/jobs and /emulator/companies.
//
// Package emulator/grpc serves the same over gRPC. docs/emulator.md lists what the
// emulator has in common with the service, and the differences.
//
// # What it refuses
//
// Errors are google.rpc.Status bodies. The public definitions
// (google/cloud/talent/v4/event.proto, google/cloud/talent/v4beta1/event.proto,
// the jobs/v3 discovery document, the proto3 JSON mapping) exclude unknown names, a
// missing or unexpected {"clientEvent": …} wrapper, values of a wrong type,
// enum values that the version lacks (only v3 has NOT_INTERESTED),
// timestamps that are not RFC 3339 with an offset, missing eventId,
// createTime, jobEvent, its type or jobs, and in v3 a missing requestId.
//
// The definitions do not state the following rules of this package:
//
//   - a repeated name is refused;
//   - a job name must have the form that the version documents; events of jobs
//     that the emulator does not hold are accepted, with a [Warning];
//   - extraInfo holds at most 20 keys, and 2,048 bytes of UTF-8 in all keys and
//     values together (documented as "2 KB");
//   - the status is 404 for a path without a method, 405 for another verb, 413 for a
//     body of more than Options.MaxBodyBytes, 408 for one that takes more than 30 s to
//     arrive, 429 for resources beyond Options.MaxBytes and 403 for a request from
//     another site's page, each with JSON;
//   - requestId is optional in v4 and v4beta1 ("strongly recommended" there),
//     although the service later discards events without it;
//   - an eventId that was accepted before is accepted again, and counted as a
//     duplicate: the service documents no deduplication;
//   - a batch whose closing boundary is missing is refused as a whole.
package emulator
