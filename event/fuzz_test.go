package event

import (
	"slices"
	"strings"
	"testing"
)

// FuzzDecode: Decode takes any bytes and gives either an event or a fault with
// a reason of its own; the quick way takes nothing that the walk refuses, and
// reads the same in it; and an event written as a record is that event again.
func FuzzDecode(f *testing.F) {
	for _, v := range Versions() {
		for _, seed := range []string{
			recordWith(v, nil),
			recordWith(v, full(v)),
			recordWith(v, edits{"extraInfo": `{"k":""}`, "parentEventId": `null`}),
			recordWith(v, edits{"createTime": `"2026-01-02T03:04:05.5+01:30"`, "jobs": `[null]`}),
			recordWith(v, edits{"eventId": `"\ud83d\ude00\u0000"`, "event_id": `null`, "job_event": `{}`}),
			recordWith(v, edits{"x": strings.Repeat("[", 40) + strings.Repeat("]", 40)}),
			recordWith(v, edits{"extraInfo": extraInfo(21), "type": `"HIRED"`}),
			strings.NewReplacer("eventId", "event_id", "requestId", "request_id", "createTime", "create_time", "jobEvent", "job_event").Replace(recordWith(v, nil)),
			"{}", "null", "[", "\uFEFF{}", "{\"eventId\":\"\xff\"}",
		} {
			f.Add([]byte(seed), uint8(v))
		}
	}
	reasons := Reasons()
	ofDecode := reasons[:slices.Index(reasons, ReasonSelfParent)+1]
	f.Fuzz(func(t *testing.T, data []byte, version uint8) {
		v := Versions()[int(version)%len(Versions())]
		e, fault := Decode(data, v)
		switch {
		case (e == nil) == (fault == nil):
			t.Fatalf("%s: event %v and fault %v", v, e, fault)
		case fault != nil && (!slices.Contains(ofDecode, fault.Reason) || fault.Detail == "" || strings.ContainsAny(fault.Detail, "\r\n")):
			t.Fatalf("%s: fault %q", v, fault)
		}
		checkWays(t, data, v)
		if e == nil {
			return
		}
		if request := e.AppendRequest(nil, v); e.Value() != "" && len(request) > e.Size() {
			t.Fatalf("%s: a request of %d bytes, estimated as %d: %s", v, len(request), e.Size(), request)
		}
		again, fault := Decode(e.AppendRecord(nil), v)
		if fault != nil {
			t.Fatalf("%s: written again as %s: %v", v, e.AppendRecord(nil), fault)
		}
		if !sameEvent(e, again) || e.Content() != again.Content() {
			t.Fatalf("%s: %+v\nis again %+v", v, e, again)
		}
	})
}

// checkWays compares the two ways of reading a record.
func checkWays(t *testing.T, data []byte, v Version) {
	quickly, ok := quick(data, v)
	if !ok {
		return
	}
	walked, fault := walk(data, v)
	if fault != nil {
		t.Fatalf("%s: the quick way takes what the walk refuses: %v", v, fault)
	}
	if !sameEvent(quickly.event, walked.event) || quickly.typ != walked.typ {
		t.Fatalf("%s: the quick way reads %+v, the walk %+v", v, quickly, walked)
	}
}
