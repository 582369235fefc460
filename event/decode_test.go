package event

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
)

// edits replace or add members of a good record: the value as JSON, or "" for
// no such member. type and jobs are those in jobEvent.
type edits map[string]string

// recordWith is a good record of version v with some members changed.
func recordWith(v Version, e edits) string {
	job := map[Version]string{V3: "projects/p/jobs/j", V4Beta1: "projects/p/jobs/j", V4: "projects/p/tenants/t/jobs/j"}[v]
	e = maps.Clone(e)
	take := func(name, otherwise string) string {
		value, edited := e[name]
		delete(e, name)
		if !edited {
			value = otherwise
		}
		if value == "" {
			return ""
		}
		return `"` + name + `":` + value
	}
	jobEvent := "{" + joined(take("type", `"VIEW"`), take("jobs", `["`+job+`"]`)) + "}"
	members := []string{
		take("eventId", `"e-1"`), take("requestId", `"r-1"`), take("createTime", `"2026-01-02T03:04:05.678Z"`), take("jobEvent", jobEvent),
	}
	for _, name := range slices.Sorted(maps.Keys(e)) {
		members = append(members, take(name, ""))
	}
	return "{" + joined(members...) + "}"
}

func joined(members ...string) string {
	return strings.Join(slices.DeleteFunc(members, func(s string) bool { return s == "" }), ",")
}

// wantReason decodes data and fails the test unless that gives reason ("" for a
// good event) and, for a fault, a detail of one line with each of the words.
func wantReason(t *testing.T, data string, v Version, reason Reason, words ...string) *Event {
	t.Helper()
	e, f := Decode([]byte(data), v)
	if reason == "" {
		if f != nil {
			t.Fatalf("Decode(%s, %s) = %v, want an event", shortened(data), v, f)
		}
		if e == nil {
			t.Fatalf("Decode(%s, %s) gave neither event nor fault", shortened(data), v)
		}
		return e
	}
	if f == nil {
		t.Fatalf("Decode(%s, %s) took the event, want %s", shortened(data), v, reason)
	}
	if e != nil {
		t.Errorf("Decode(%s, %s) gave an event together with %v", shortened(data), v, f)
	}
	if f.Reason != reason {
		t.Fatalf("Decode(%s, %s) = %v, want %s", shortened(data), v, f, reason)
	}
	if f.Detail == "" || strings.ContainsAny(f.Detail, "\r\n") {
		t.Errorf("detail %q is not one line", f.Detail)
	}
	for _, word := range words {
		if !strings.Contains(f.Detail, word) {
			t.Errorf("detail %q does not say %q", f.Detail, word)
		}
	}
	return nil
}

func shortened(s string) string {
	if len(s) > 300 {
		return s[:300] + "…"
	}
	return s
}

var all = Versions()

func TestReasons(t *testing.T) {
	text := func(n int) string { return `"` + strings.Repeat("x", n) + `"` }
	tests := []struct {
		name     string
		edits    edits
		versions []Version
		reason   Reason
		words    []string
	}{
		{"good", nil, all, "", nil},
		{"good with parent and extraInfo", edits{"parentEventId": `"e-0"`, "extraInfo": `{"k":"v"}`}, all, "", nil},
		{"good with notes", edits{"eventNotes": `"n"`}, []Version{V4Beta1, V4}, "", nil},
		{"good with a profile", edits{"jobEvent": `{"type":"VIEW","jobs":["projects/p/jobs/j"],"profile":"x"}`}, []Version{V4Beta1}, "", nil},

		{"unknown name", edits{"color": `"red"`}, all, ReasonUnknownField, []string{`"color"`}},
		{"unknown name with null", edits{"color": `null`}, all, ReasonUnknownField, nil},
		{"unknown name within jobEvent", edits{"jobEvent": `{"type":"VIEW","jobs":["projects/p/jobs/j"],"profile":"x"}`}, []Version{V3, V4}, ReasonUnknownField, []string{`"jobEvent.profile"`}},
		{"other case", edits{"EventID": `"x"`}, all, ReasonUnknownField, []string{"did you mean eventId?"}},
		{"hyphen", edits{"extra-info": `{}`}, all, ReasonUnknownField, []string{"did you mean extraInfo?"}},
		{"name of a job event outside", edits{"profileEvent": `{}`}, all, ReasonUnknownField, nil},
		{"a name with a dot", edits{"x.eventid": `1`}, all, ReasonUnknownField, []string{"a client event in v"}},
		{"empty name", edits{"": `1`}, all, ReasonUnknownField, nil},
		{"notes in v3", edits{"eventNotes": `"n"`}, []Version{V3}, ReasonUnknownField, []string{"eventNotes", "v3"}},
		{"empty notes in v3", edits{"eventNotes": `""`}, []Version{V3}, ReasonUnknownField, nil},
		{"null notes in v3", edits{"eventNotes": `null`}, []Version{V3}, ReasonUnknownField, nil},
		{"notes of the wrong type in v3", edits{"eventNotes": `1`}, []Version{V3}, ReasonUnknownField, nil},
		{"snake_case notes in v3", edits{"event_notes": `"n"`}, []Version{V3}, ReasonUnknownField, nil},
		{"near name of notes in v3", edits{"EventNotes": `"n"`}, []Version{V3}, ReasonUnknownField, nil},

		{"number for a string", edits{"eventId": `1`}, all, ReasonInvalidField, []string{"eventId: expected a string, got a number"}},
		{"boolean for a string", edits{"requestId": `true`}, all, ReasonInvalidField, []string{"requestId: expected a string, got a boolean"}},
		{"object for a string", edits{"createTime": `{"seconds":"1","nanos":2}`}, all, ReasonInvalidField, []string{"createTime: expected a string, got an object"}},
		{"list for a string", edits{"parentEventId": `["x"]`}, all, ReasonInvalidField, []string{"parentEventId: expected a string, got a list"}},
		{"number for notes", edits{"eventNotes": `0`}, []Version{V4Beta1, V4}, ReasonInvalidField, []string{"eventNotes"}},
		{"string for an object", edits{"jobEvent": `"VIEW"`}, all, ReasonInvalidField, []string{"jobEvent: expected an object, got a string"}},
		{"list for an object", edits{"jobEvent": `[]`}, all, ReasonInvalidField, []string{"jobEvent: expected an object, got a list"}},
		{"number of a type", edits{"type": `2`}, all, ReasonInvalidField, []string{"jobEvent.type: expected a string, got a number"}},
		{"string for a list", edits{"jobs": `"projects/p/jobs/j"`}, all, ReasonInvalidField, []string{"jobEvent.jobs: expected a list of strings, got a string"}},
		{"object for a list", edits{"jobs": `{}`}, all, ReasonInvalidField, nil},
		{"null in a list", edits{"jobs": `[null]`}, all, ReasonInvalidField, []string{"jobEvent.jobs[0]: expected a string, got null"}},
		{"number in a list", edits{"jobs": `["projects/p/jobs/j",7]`}, all, ReasonInvalidField, []string{"jobEvent.jobs[1]"}},
		{"list for a map", edits{"extraInfo": `[]`}, all, ReasonInvalidField, []string{"extraInfo: expected a map of strings, got a list"}},
		{"string for a map", edits{"extraInfo": `"k=v"`}, all, ReasonInvalidField, nil},
		{"null in a map", edits{"extraInfo": `{"k":null}`}, all, ReasonInvalidField, []string{"extraInfo[…]: expected a string, got null"}},
		{"number in a map", edits{"extraInfo": `{"a":"b","k":1}`}, all, ReasonInvalidField, []string{"extraInfo[…]"}},
		{"object in a map", edits{"extraInfo": `{"k":{"l":"m"}}`}, all, ReasonInvalidField, nil},

		{"no eventId", edits{"eventId": ``}, all, ReasonMissingEventID, []string{"eventId"}},
		{"null eventId", edits{"eventId": `null`}, all, ReasonMissingEventID, nil},
		{"empty eventId", edits{"eventId": `""`}, all, ReasonMissingEventID, nil},
		{"no requestId", edits{"requestId": ``}, all, ReasonMissingRequestID, []string{"requestId"}},
		{"null requestId", edits{"requestId": `null`}, all, ReasonMissingRequestID, nil},
		{"empty requestId", edits{"requestId": `""`}, all, ReasonMissingRequestID, nil},
		{"no createTime", edits{"createTime": ``}, all, ReasonMissingCreateTime, []string{"createTime"}},
		{"null createTime", edits{"createTime": `null`}, all, ReasonMissingCreateTime, nil},
		{"empty createTime", edits{"createTime": `""`}, all, ReasonMissingCreateTime, nil},
		{"no jobEvent", edits{"jobEvent": ``}, all, ReasonMissingJobEvent, []string{"jobEvent"}},
		{"null jobEvent", edits{"jobEvent": `null`}, all, ReasonMissingJobEvent, nil},
		{"empty jobEvent", edits{"jobEvent": `{}`}, all, ReasonMissingJobEvent, nil},
		{"jobEvent of nulls", edits{"type": `null`, "jobs": `null`}, all, ReasonMissingJobEvent, nil},
		{"jobEvent with an empty type and no jobs", edits{"type": `""`, "jobs": `[]`}, all, ReasonMissingJobEvent, nil},
		{"no type", edits{"type": ``}, all, ReasonMissingType, []string{"jobEvent.type"}},
		{"null type", edits{"type": `null`}, all, ReasonMissingType, nil},
		{"empty type", edits{"type": `""`}, all, ReasonMissingType, nil},
		{"no jobs", edits{"jobs": ``}, all, ReasonMissingJobs, []string{"jobEvent.jobs"}},
		{"null jobs", edits{"jobs": `null`}, all, ReasonMissingJobs, nil},
		{"empty jobs", edits{"jobs": `[]`}, all, ReasonMissingJobs, nil},

		{"time without a zone", edits{"createTime": `"2026-01-02T03:04:05"`}, all, ReasonInvalidCreateTime, []string{`"2026-01-02T03:04:05"`, "RFC 3339"}},
		{"blank time", edits{"createTime": `" "`}, all, ReasonInvalidCreateTime, nil},
		{"type unspecified", edits{"type": `"JOB_EVENT_TYPE_UNSPECIFIED"`}, all, ReasonInvalidType, []string{"expected one of IMPRESSION, VIEW"}},
		{"type in lower case", edits{"type": `"view"`}, all, ReasonInvalidType, []string{`"view"`}},
		{"type of the future", edits{"type": `"TELEPATHY"`}, all, ReasonInvalidType, nil},
		{"type dropped by v4beta1", edits{"type": `"NOT_INTERESTED"`}, []Version{V4Beta1, V4}, ReasonInvalidType, []string{"NOT_INTERESTED"}},
		{"type of v3", edits{"type": `"NOT_INTERESTED"`}, []Version{V3}, "", nil},
		{"no name of a job", edits{"jobs": `["42"]`}, all, ReasonInvalidJobName, []string{`jobEvent.jobs[0]: "42"`, "projects/PROJECT/"}},
		{"empty name of a job", edits{"jobs": `[""]`}, all, ReasonInvalidJobName, []string{"jobEvent.jobs[0]"}},
		{"second name of a job", edits{"jobs": `["projects/p/tenants/t/jobs/j","projects/p"]`}, []Version{V4Beta1, V4}, ReasonInvalidJobName, []string{"jobEvent.jobs[1]"}},

		{"20 keys", edits{"extraInfo": extraInfo(20)}, all, "", nil},
		{"21 keys", edits{"extraInfo": extraInfo(21)}, all, ReasonExtraInfoTooManyKeys, []string{"21", "20"}},
		{"2048 bytes", edits{"extraInfo": `{"1234":` + text(2044) + `}`}, all, "", nil},
		{"2049 bytes", edits{"extraInfo": `{"1234":` + text(2045) + `}`}, all, ReasonExtraInfoTooLarge, []string{"2049", "2048"}},
		{"2048 bytes of é", edits{"extraInfo": `{"éé":"` + strings.Repeat("é", 1022) + `"}`}, all, "", nil},
		{"2048 bytes and one", edits{"extraInfo": `{"éé":"` + strings.Repeat("é", 1022) + `x"}`}, all, ReasonExtraInfoTooLarge, []string{"2049"}},
		{"2048 bytes of escapes", edits{"extraInfo": `{"éé":"` + strings.Repeat(`\u00e9`, 1022) + `"}`}, all, "", nil},
		{"bytes over many keys", edits{"extraInfo": `{"a":` + text(1023) + `,"b":` + text(1024) + `}`}, all, ReasonExtraInfoTooLarge, nil},

		{"own parent", edits{"parentEventId": `"e-1"`}, all, ReasonSelfParent, []string{"parentEventId"}},
		{"own parent but for case", edits{"parentEventId": `"E-1"`}, all, "", nil},
		{"null parent", edits{"parentEventId": `null`}, all, "", nil},
		{"empty parent", edits{"parentEventId": `""`}, all, "", nil},
		{"null extraInfo", edits{"extraInfo": `null`}, all, "", nil},
		{"empty extraInfo", edits{"extraInfo": `{}`}, all, "", nil},
		{"empty value in extraInfo", edits{"extraInfo": `{"k":""}`}, all, "", nil},
		{"empty value in extraInfo, and null elsewhere", edits{"extraInfo": `{"k":""}`, "parentEventId": `null`}, all, "", nil},
		{"null notes", edits{"eventNotes": `null`}, []Version{V4Beta1, V4}, "", nil},
	}
	for _, test := range tests {
		for _, v := range test.versions {
			t.Run(test.name+"/"+v.String(), func(t *testing.T) {
				wantReason(t, recordWith(v, test.edits), v, test.reason, test.words...)
			})
		}
	}
}

// extraInfo has n keys.
func extraInfo(n int) string {
	var members []string
	for i := range n {
		members = append(members, fmt.Sprintf(`"k%d":"v"`, i))
	}
	return "{" + strings.Join(members, ",") + "}"
}

// TestReasonOrder gives each record two faults: every reason that Decode finds,
// with every later one.
func TestReasonOrder(t *testing.T) {
	faults := []struct {
		reason Reason
		edits  edits
	}{
		{ReasonMalformed, edits{"z": `{"a":1,"a":2}`}},
		{ReasonUnknownField, edits{"color": `1`}},
		{ReasonInvalidField, edits{"parentEventId": `false`}},
		{ReasonMissingEventID, edits{"eventId": ``}},
		{ReasonMissingRequestID, edits{"requestId": `null`}},
		{ReasonMissingCreateTime, edits{"createTime": `""`}},
		{ReasonMissingJobEvent, edits{"jobEvent": ``}},
		{ReasonMissingType, edits{"type": ``}},
		{ReasonMissingJobs, edits{"jobs": `[]`}},
		{ReasonInvalidCreateTime, edits{"createTime": `"yesterday"`}},
		{ReasonInvalidType, edits{"type": `"GAZE"`}},
		{ReasonInvalidJobName, edits{"jobs": `["j"]`}},
		{ReasonExtraInfoTooManyKeys, edits{"extraInfo": extraInfo(21)}},
		{ReasonExtraInfoTooLarge, edits{"extraInfo": `{"k":"` + strings.Repeat("x", 2048) + `"}`}},
		{ReasonSelfParent, edits{"parentEventId": `"e-1"`}},
	}
	var reasons []Reason
	for _, fault := range faults {
		reasons = append(reasons, fault.reason)
	}
	// The first three are not found in an event: the record gave none.
	if want := Reasons()[3 : 3+len(faults)]; !slices.Equal(reasons, want) {
		t.Fatalf("the table's order is %v, Reasons() says %v", reasons, want)
	}
	for _, v := range all {
		for i, first := range faults {
			for _, second := range faults[i:] {
				if first.reason != second.reason && overlap(first.edits, second.edits) {
					continue // both can't be wrong at once
				}
				both := maps.Clone(first.edits)
				maps.Copy(both, second.edits)
				wantReason(t, recordWith(v, both), v, first.reason)
			}
		}
		// Two faults in one field.
		wantReason(t, recordWith(v, edits{"extraInfo": `{"k":"` + strings.Repeat("x", 2048) + `",` + extraInfo(20)[1:]}), v, ReasonExtraInfoTooManyKeys)
		// Faults of form in the opposite order of the text.
		wantReason(t, recordWith(v, edits{"eventId": `1`, "zzz": `1`}), v, ReasonUnknownField, "zzz")
		wantReason(t, recordWith(v, edits{"eventId": `1`, "y": `1`})+"]", v, ReasonMalformed)
		// The first of several unknown names is the one that is named.
		wantReason(t, recordWith(v, edits{"y": `1`, "z": `1`}), v, ReasonUnknownField, `"y"`)
	}
}

func overlap(a, b edits) bool {
	inJobEvent := func(e edits) bool { return hasKey(e, "type") || hasKey(e, "jobs") }
	if hasKey(a, "jobEvent") && inJobEvent(b) || hasKey(b, "jobEvent") && inJobEvent(a) {
		return true
	}
	if hasKey(a, "type") && a["type"] == "" && b["jobs"] == "[]" {
		return true // a jobEvent with neither is an empty one
	}
	for name := range a {
		if hasKey(b, name) {
			return true
		}
	}
	return false
}

func hasKey(e edits, name string) bool { _, ok := e[name]; return ok }

// full is a record with every field that v has, by lowerCamelCase name.
func full(v Version) edits {
	e := edits{"parentEventId": `"e-0"`, "extraInfo": `{"k":"v","empty":""}`}
	if fieldEventNotes.known.has(v) {
		e["eventNotes"] = `"n"`
	}
	return e
}

func TestSpellings(t *testing.T) {
	snakeOf := func(record string, names ...string) string {
		for _, name := range names {
			record = strings.Replace(record, `"`+name+`"`, `"`+snakeCase(name)+`"`, 1)
		}
		return record
	}
	for _, v := range all {
		camel := recordWith(v, full(v))
		want := wantReason(t, camel, v, "")
		var names []string
		for _, f := range recordFields {
			if f.known.has(v) {
				names = append(names, f.name)
			}
		}
		spellings := []string{snakeOf(camel, names...), strings.ReplaceAll(camel, `"eventId"`, `"event\u0049d"`), " \t\r\n" + camel + "\n "}
		for _, name := range names {
			spellings = append(spellings, snakeOf(camel, name), snakeOf(camel, slices.DeleteFunc(slices.Clone(names), func(n string) bool { return n == name })...))
		}
		for _, spelling := range spellings {
			if got := wantReason(t, spelling, v, ""); !sameEvent(got, want) {
				t.Errorf("%s\ngives %+v\nwant  %+v", spelling, got, want)
			}
		}
	}
}

// sameEvent compares all that a record says; no extraInfo and an empty one are
// the same.
func sameEvent(a, b *Event) bool {
	return a.ID == b.ID && a.RequestID == b.RequestID && a.ParentID == b.ParentID &&
		a.CreateTime == b.CreateTime && a.Time.Equal(b.Time) && a.Type == b.Type &&
		slices.Equal(a.Jobs, b.Jobs) && slices.Equal(a.ExtraInfo, b.ExtraInfo) && a.Notes == b.Notes
}

func TestDecodedEvent(t *testing.T) {
	data := []byte(recordWith(V4, edits{
		"eventId": `"e\u0021 \"ü\ud83d\ude00"`, "createTime": `"2026-01-02T05:04:05.000000678+02:00"`, "parentEventId": `"e-0"`,
		"type": `"HIRED"`, "jobs": `["projects/p/tenants/t/jobs/1","projects/p/tenants/t/jobs/2"]`,
		"extraInfo": `{"k":"v","":"<>"}`, "eventNotes": `"a\nb"`,
	}))
	e := wantReason(t, string(data), V4, "")
	clear(data) // the event keeps nothing of it
	if e.ID != `e! "ü😀` || e.RequestID != "r-1" || e.ParentID != "e-0" || e.Notes != "a\nb" {
		t.Errorf("strings: %+v", e)
	}
	if e.CreateTime != "2026-01-02T05:04:05.000000678+02:00" || e.Time.Format("2006-01-02T15:04:05.000000000Z07:00") != "2026-01-02T03:04:05.000000678Z" {
		t.Errorf("time: %q, %v", e.CreateTime, e.Time)
	}
	if e.Type != Hired || !slices.Equal(e.Jobs, []string{"projects/p/tenants/t/jobs/1", "projects/p/tenants/t/jobs/2"}) {
		t.Errorf("job event: %+v", e)
	}
	if !slices.Equal(e.ExtraInfo, Info{{"", "<>"}, {"k", "v"}}) {
		t.Errorf("extraInfo: %v", e.ExtraInfo)
	}
}

func TestMalformed(t *testing.T) {
	good := recordWith(V3, nil)
	with := func(member string) string { return good[:len(good)-1] + "," + member + "}" }
	nested := func(open, shut string, n int) string { return strings.Repeat(open, n) + "1" + strings.Repeat(shut, n) }
	tests := []struct {
		name, data string
		words      []string
	}{
		{"nothing", "", []string{"expected one JSON object, got nothing"}},
		{"space", " \r\n\t", []string{"nothing"}},
		{"null", "null", []string{"got null"}},
		{"list", "[" + good + "]", []string{"got a list"}},
		{"string", `"` + "x" + `"`, []string{"got a string"}},
		{"number", "-17", []string{"got a number"}},
		{"boolean", "true", []string{"got a boolean"}},
		{"word", "nonsense", []string{"something that is not JSON"}},
		{"binary", "\x00\x01\x02", []string{"something that is not JSON"}},
		{"byte order mark", "\uFEFF" + good, []string{"a byte order mark"}},
		{"byte order mark of UTF-16", "\xff\xfe{\x00}\x00", []string{"text in UTF-16 instead of UTF-8"}},
		{"no-break space", "\u00a0" + good, []string{"not JSON"}},
		{"open object", good[:len(good)-1], []string{"ends too early"}},
		{"open string", `{"eventId":"e`, []string{"ends too early"}},
		{"only a brace", "{", []string{"ends too early"}},
		{"comment", "{/* x */" + good[1:], []string{"not JSON"}},
		{"comma at the end", good[:len(good)-1] + ",}", []string{"not JSON"}},
		{"single quotes", "{'eventId':'e'}", []string{"not JSON"}},
		{"no value", `{"eventId":}`, []string{"not JSON"}},
		{"no value in jobs", recordWith(V3, edits{"jobs": `[,]`}), []string{"not JSON"}},
		{"no value in extraInfo", recordWith(V3, edits{"extraInfo": `{"k":}`}), []string{"not JSON"}},
		{"a name that is no string", `{1:2}`, []string{"not JSON"}},
		{"NaN", with(`"x":NaN`), []string{"not JSON"}},
		{"bad escape", with(`"x":"\q"`), []string{"not JSON"}},
		{"line break in a string", with("\"x\":\"a\nb\""), []string{"not JSON"}},
		{"NUL in a string", with("\"x\":\"a\x00b\""), []string{"not JSON"}},

		{"second object", good + good, []string{"a second object follows the object at byte"}},
		{"second object on its own line", good + "\n" + good, []string{"a second object"}},
		{"word behind", good + "x", []string{"something that is not JSON follows"}},
		{"brace behind", good + "}", []string{"follows the object"}},
		{"comma behind", good + ",", []string{"follows the object"}},
		{"NUL behind", good + "\x00", []string{"follows the object"}},

		{"name twice", with(`"eventId":"e-1"`), []string{"a name stands twice"}},
		{"name twice, escaped", with(`"event\u0049d":"e-1"`), []string{"a name stands twice"}},
		{"name twice, first escaped", `{"\u0065ventId":"e","eventId":"e"}`, []string{"a name stands twice"}},
		{"name twice, null", with(`"eventId":null`), []string{"a name stands twice"}},
		{"unknown name twice", with(`"x":1,"x":1`), []string{"a name stands twice"}},
		{"name twice in jobEvent", recordWith(V3, edits{"jobEvent": `{"type":"VIEW","type":"VIEW"}`}), []string{"a name stands twice"}},
		{"name twice in extraInfo", with(`"extraInfo":{"k":"v","k":"v"}`), []string{"a name stands twice"}},
		{"name twice in extraInfo, apart", with(`"extraInfo":{"k":"v","a":"v","k":"v"}`), []string{"a name stands twice"}},
		{"name twice in a list", with(`"x":[{"k":1,"k":2}]`), []string{"a name stands twice"}},
		{"name twice in a value of the wrong type", with(`"parentEventId":{"k":1,"k":2}`), []string{"a name stands twice"}},

		{"invalid UTF-8 in a value", with("\"x\":\"\xff\""), []string{"not UTF-8"}},
		{"invalid UTF-8 in an id", recordWith(V3, edits{"eventId": "\"\xc3\x28\""}), []string{"not UTF-8"}},
		{"invalid UTF-8 in a name", with("\"\xff\":1"), []string{"not UTF-8"}},
		{"overlong UTF-8", with("\"x\":\"\xc0\xaf\""), []string{"not UTF-8"}},
		{"surrogate in UTF-8", with("\"x\":\"\xed\xa0\x80\""), []string{"not UTF-8"}},
		{"cut UTF-8 in extraInfo", with("\"extraInfo\":{\"k\":\"\xf0\x9f\x98\"}"), []string{"not UTF-8"}},
		{"lone high surrogate", recordWith(V3, edits{"eventId": `"\ud800"`}), []string{"not JSON"}},
		{"lone low surrogate", recordWith(V3, edits{"requestId": `"\udc00"`}), []string{"not JSON"}},
		{"surrogates the wrong way", with(`"x":"\udc00\ud800"`), []string{"not JSON"}},
		{"lone surrogate in a name", with(`"\ud800":1`), []string{"not JSON"}},

		{"33 deep in an unknown field, lists", with(`"x":` + nested("[", "]", MaxDepth)), []string{"deeper than 32"}},
		{"33 deep in an unknown field, objects", with(`"x":` + nested(`{"x":`, "}", MaxDepth)), []string{"deeper than 32"}},
		{"33 deep in extraInfo", with(`"extraInfo":{"k":` + nested("[", "]", MaxDepth-1) + "}"), []string{"deeper than 32"}},
		{"33 deep in jobs", recordWith(V3, edits{"jobs": "[" + nested("[", "]", MaxDepth-2) + "]"}), []string{"deeper than 32"}},
		{"33 deep in a value of the wrong type", with(`"parentEventId":` + nested("[", "]", MaxDepth)), []string{"deeper than 32"}},
		{"100,000 opening brackets", strings.Repeat("[", 100_000), []string{"got a list"}},
		{"100,000 opening brackets in a field", `{"x":` + strings.Repeat("[", 100_000), []string{"deeper than 32"}},
		{"100,000 opening braces", strings.Repeat(`{"x":`, 100_000), []string{"deeper than 32"}},
	}
	for _, f := range recordFields {
		if f.known.has(V4) {
			for _, values := range []string{`"%s":null,"%s":null`, `"%s":"","%s":null`, `"%s":null,"%s":{}`, `"%s":1,"%s":2`} {
				tests = append(tests, struct {
					name, data string
					words      []string
				}{"both names of " + f.name, "{" + fmt.Sprintf(values, f.name, f.snakeName) + "}", []string{"a name stands twice", f.name, f.snakeName}})
			}
		}
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			wantReason(t, test.data, V4, ReasonMalformed, test.words...)
		})
	}
	for _, f := range recordFields {
		// The second name comes in a record that is good but for it.
		for _, value := range []string{`null`, `""`, `{}`} {
			twin := edits{f.snakeName: value}
			maps.Copy(twin, full(V4))
			wantReason(t, recordWith(V4, twin), V4, ReasonMalformed, "a name stands twice")
		}
	}
	t.Run("32 deep is not malformed", func(t *testing.T) {
		wantReason(t, with(`"x":`+nested("[", "]", MaxDepth-1)), V3, ReasonUnknownField)
		wantReason(t, with(`"x":`+nested(`{"x":`, "}", MaxDepth-1)), V3, ReasonUnknownField)
		wantReason(t, with(`"extraInfo":{"k":`+nested("[", "]", MaxDepth-2)+"}"), V3, ReasonInvalidField)
		wantReason(t, recordWith(V3, edits{"jobs": "[" + nested("[", "]", MaxDepth-3) + "]"}), V3, ReasonInvalidField)
	})
	t.Run("paired surrogates are good", func(t *testing.T) {
		if e := wantReason(t, recordWith(V3, edits{"eventId": `"\ud83d\ude00"`}), V3, ""); e.ID != "😀" {
			t.Errorf("id %q", e.ID)
		}
	})
}

func TestCreateTime(t *testing.T) {
	good := map[string]string{ // in UTC
		"2026-01-02T03:04:05Z":                "2026-01-02T03:04:05Z",
		"2026-01-02T03:04:05.6Z":              "2026-01-02T03:04:05.6Z",
		"2026-01-02T03:04:05.123456789Z":      "2026-01-02T03:04:05.123456789Z",
		"2026-01-02T03:04:05.000000000Z":      "2026-01-02T03:04:05Z",
		"2026-01-02T03:04:05+00:00":           "2026-01-02T03:04:05Z",
		"2026-01-02T03:04:05-00:00":           "2026-01-02T03:04:05Z",
		"2026-01-02T03:04:05+05:45":           "2026-01-01T21:19:05Z",
		"2026-01-02T03:04:05.5-11:30":         "2026-01-02T14:34:05.5Z",
		"2026-01-02T03:04:05+23:59":           "2026-01-01T03:05:05Z",
		"2024-02-29T23:59:59Z":                "2024-02-29T23:59:59Z",
		"0001-01-01T00:00:00Z":                "0001-01-01T00:00:00Z",
		"9999-12-31T23:59:59.999999999Z":      "9999-12-31T23:59:59.999999999Z",
		"0001-01-01T01:00:00+01:00":           "0001-01-01T00:00:00Z",
		"1969-12-31T23:59:59.999Z":            "1969-12-31T23:59:59.999Z",
		"2026-01-02T00:00:00.000000001-23:59": "2026-01-02T23:59:00.000000001Z",
		"2016-12-31T23:59:59.999999999-00:00": "2016-12-31T23:59:59.999999999Z",
		"9999-12-31T22:59:59.999999999-01:00": "9999-12-31T23:59:59.999999999Z",
		"0000-12-31T23:30:00-00:30":           "0001-01-01T00:00:00Z",
	}
	for in, want := range good {
		e := wantReason(t, recordWith(V3, edits{"createTime": `"` + in + `"`}), V3, "")
		if got := e.Time.Format("2006-01-02T15:04:05.999999999Z07:00"); got != want || e.CreateTime != in {
			t.Errorf("%s: time %s, want %s; kept as %s", in, got, want, e.CreateTime)
		}
	}
	for _, in := range []string{
		"2026-01-02T03:04:05,5Z", "2026-01-02T03:04:05.Z", "2026-01-02T03:04:05.1234567890Z", "2026-01-02T03:04:05.-5Z",
		"2026-01-02T3:04:05Z", "2026-01-02T3:04:05.5Z", "2026-1-02T03:04:05Z", "2026-01-2T03:04:05Z", "2026-01-02T03:4:05Z", "26-01-02T03:04:05Z",
		"2026-01-02t03:04:05Z", "2026-01-02T03:04:05z", "2026-01-02 03:04:05Z",
		"2026-01-02T24:00:00Z", "2026-01-02T25:00:00Z", "2026-01-02T03:60:00Z", "2026-01-02T03:04:60Z", "2016-12-31T23:59:60Z",
		"2026-02-29T00:00:00Z", "2026-13-01T00:00:00Z", "2026-00-01T00:00:00Z", "2026-01-00T00:00:00Z", "2026-04-31T00:00:00Z",
		"2026-01-02T03:04:05", "2026-01-02T03:04Z", "2026-01-02", "2026-01-02T03:04:05.5",
		"2026-01-02T03:04:05+0100", "2026-01-02T03:04:05+01", "2026-01-02T03:04:05+1:00", "2026-01-02T03:04:05+24:00", "2026-01-02T03:04:05-23:60",
		"2026-01-02T03:04:05+29:00", "2026-01-02T03:04:05+01:00:00", "2026-01-02T03:04:05ZZ", "2026-01-02T03:04:05Z+01:00", "2026-01-02T03:04:05 UTC",
		"0000-12-31T23:59:59Z", "0001-01-01T00:00:00+00:01", "9999-12-31T23:59:59-00:01", "10000-01-01T00:00:00Z", "-2026-01-02T03:04:05Z", "+2026-01-02T03:04:05Z",
		" 2026-01-02T03:04:05Z", "2026-01-02T03:04:05Z ", "２026-01-02T03:04:05Z", "2026-01-02T03:04:05−01:00",
		"1767323045", "1767323045678", "now", "Fri, 02 Jan 2026 03:04:05 GMT",
	} {
		wantReason(t, recordWith(V3, edits{"createTime": `"` + in + `"`}), V3, ReasonInvalidCreateTime, "RFC 3339")
	}
}

func TestJobNames(t *testing.T) {
	plain, tenant := []Version{V3, V4Beta1}, []Version{V4Beta1, V4}
	tests := map[string][]Version{
		"projects/p/jobs/j":                  plain,
		"projects/my-project:1/jobs/ü 1?x=y": plain,
		"projects/p/jobs/jobs":               plain,
		"projects/tenants/jobs/t":            plain,
		"projects/p/tenants/t/jobs/j":        tenant,
		"projects/p/tenants/tenants/jobs/j":  tenant,
		"":                                   nil,
		"j":                                  nil,
		"jobs/j":                             nil,
		"projects/p":                         nil,
		"projects/p/jobs":                    nil,
		"projects/p/jobs/":                   nil,
		"projects//jobs/j":                   nil,
		"projects/p/jobs//":                  nil,
		"projects/p/jobs/j/":                 nil,
		"/projects/p/jobs/j":                 nil,
		"projects/p/jobs/j/k":                nil,
		"projects/p//jobs/j":                 nil,
		"projects/p/tenants/jobs/j":          nil,
		"projects/p/tenants//jobs/j":         nil,
		"projects/p/tenants/t":               nil,
		"projects/p/tenants/t/jobs/":         nil,
		"projects/p/tenants/t/jobs/j/x":      nil,
		"projects/p/companies/c":             nil,
		"Projects/p/jobs/j":                  nil,
		"https://jobs.googleapis.com/v3/projects/p/jobs/j": nil,
	}
	for name, versions := range tests {
		for _, v := range all {
			reason := ReasonInvalidJobName
			if slices.Contains(versions, v) {
				reason = ""
			}
			wantReason(t, recordWith(v, edits{"jobs": `["` + name + `"]`}), v, reason)
		}
	}
}

// TestHostileRecords: what is costly to read ends in a fault or an event all
// the same; a reader that takes quadratic time would not end within the test's
// own limit.
func TestHostileRecords(t *testing.T) {
	const mega = 1 << 20
	name := strings.Repeat("n", mega/2)
	for _, v := range all {
		e := wantReason(t, recordWith(v, edits{"eventId": `"` + strings.Repeat("x", mega) + `"`}), v, "")
		if len(e.ID) != mega {
			t.Errorf("an id of %d bytes", len(e.ID))
		}
	}
	f := func(data string, reason Reason) {
		t.Helper()
		wantReason(t, data, V4, reason)
		if _, fault := Decode([]byte(data), V4); len(fault.Detail) > 1000 {
			t.Errorf("%s: a detail of %d bytes", reason, len(fault.Detail))
		}
	}
	f(recordWith(V4, edits{"extraInfo": extraInfo(40_000)}), ReasonExtraInfoTooManyKeys)
	f(`{`+extraInfo(40_000)[1:], ReasonUnknownField)
	f(recordWith(V4, edits{"x": extraInfo(40_000)}), ReasonUnknownField)
	f(recordWith(V4, edits{"extraInfo": `{"k":"` + strings.Repeat("x", mega) + `"}`}), ReasonExtraInfoTooLarge)
	f(recordWith(V4, edits{"createTime": `"` + strings.Repeat("2", mega) + `"`}), ReasonInvalidCreateTime)
	f(recordWith(V4, edits{"type": `"` + strings.Repeat("V", mega) + `"`}), ReasonInvalidType)
	f(recordWith(V4, edits{"jobs": `["` + strings.Repeat("/", mega) + `"]`}), ReasonInvalidJobName)
	f(recordWith(V4, edits{"jobs": `[` + strings.Repeat("0,", mega/2) + `0]`}), ReasonInvalidField)
	f(`{"`+name+`":[`+strings.Repeat("0,", mega/4)+`0]}`, ReasonUnknownField)
	f(`{"`+name+`":{"`+name+`":{}}}`, ReasonUnknownField)
	f(`{"x":"`+strings.Repeat(`\`, mega), ReasonMalformed)
	f(strings.Repeat(" ", mega), ReasonMalformed)
}

// TestDetailsArePrivate: free text never gets into a detail, whatever else is
// wrong with the record.
func TestDetailsArePrivate(t *testing.T) {
	const secret = "Jane-Doe-0151"
	long := strings.Repeat(secret, 200)
	tests := []string{
		recordWith(V4, edits{"extraInfo": `{"` + secret + `":null}`}),
		recordWith(V4, edits{"extraInfo": `{"` + secret + `":17}`}),
		recordWith(V4, edits{"extraInfo": `{"` + secret + `":{"` + secret + `":"` + secret + `"}}`}),
		recordWith(V4, edits{"extraInfo": `{"` + secret + `":"1","` + secret + `":"2"}`}),
		recordWith(V4, edits{"extraInfo": `["` + secret + `"]`}),
		recordWith(V4, edits{"extraInfo": `"` + secret + `"`}),
		recordWith(V4, edits{"extraInfo": `{"k":"` + long + `"}`}),
		recordWith(V4, edits{"extraInfo": `{"` + long + `":"v"}`}),
		recordWith(V4, edits{"extraInfo": `{"` + secret + `":"",` + extraInfo(21)[1:]}),
		recordWith(V4, edits{"extraInfo": `{"k":"` + secret + `\q"}`}),
		recordWith(V4, edits{"extraInfo": `{"k":"` + secret + "\xff" + `"}`}),
		recordWith(V4, edits{"extraInfo": `{"k":"` + secret}),
		recordWith(V4, edits{"extraInfo": `{"k":` + secret + `}`}),
		recordWith(V4, edits{"eventNotes": `["` + secret + `"]`}),
		recordWith(V4, edits{"eventNotes": `{"` + secret + `":1}`}),
		recordWith(V4, edits{"eventNotes": `"` + secret + `\q"`}),
		recordWith(V4, edits{"eventNotes": `"` + secret}),
		recordWith(V4, edits{"eventNotes": `"` + secret + `"`, "event_notes": `"` + secret + `"`}),
		recordWith(V4, nil) + `"` + secret + `"`,
		recordWith(V4, nil) + secret,
		`"` + secret + `"`,
		secret,
	}
	for _, free := range []edits{
		{"eventId": ``}, {"jobs": `["x"]`}, {"type": `"x"`}, {"createTime": `"x"`}, {"parentEventId": `"e-1"`}, {"color": `1`}, {"eventId": `1`},
	} {
		free := maps.Clone(free)
		free["extraInfo"], free["eventNotes"] = `{"`+secret+`":"`+secret+`"}`, `"`+secret+`"`
		tests = append(tests, recordWith(V4, free))
	}
	for _, data := range tests {
		for _, v := range all {
			_, f := Decode([]byte(data), v)
			if f == nil {
				t.Errorf("%s: took %s", v, shortened(data))
			} else if strings.Contains(f.Detail, "Jane") || strings.Contains(f.Detail, "0151") {
				t.Errorf("%s: %s\nshows free text: %s", v, shortened(data), f.Detail)
			}
		}
	}
}

func TestFaultIsAnError(t *testing.T) {
	_, f := Decode([]byte(`{}`), V3)
	if got, want := f.Error(), "missing_event_id: eventId is required, and absent, null or empty"; got != want {
		t.Errorf("Error() = %q, want %q", got, want)
	}
}
