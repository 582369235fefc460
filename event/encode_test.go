package event

import (
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json/jsontext"
)

func decoded(t testing.TB, data string, v Version) *Event {
	t.Helper()
	e, f := Decode([]byte(data), v)
	if f != nil {
		t.Fatalf("%s: %v", data, f)
	}
	return e
}

// TestEncode holds the bytes of each form, with all fields, with the fewest,
// and with what has to be escaped.
func TestEncode(t *testing.T) {
	const event = `{"event_id":"e-1","jobEvent":{"jobs":["projects/p/jobs/1","projects/p/jobs/2"],"type":"IMPRESSION"},` +
		`"extraInfo":{"z":"1","a":"2","m":""},"requestId":"r/+=","parentEventId":"e-0","createTime":"2026-01-02T05:04:05.6+02:00"`
	const (
		ids   = `{"eventId":"e-1","requestId":"r/+=",`
		link  = `"parentEventId":"e-0",`
		job   = `"createTime":"2026-01-02T05:04:05.6+02:00","jobEvent":{"type":"IMPRESSION","jobs":["projects/p/jobs/1","projects/p/jobs/2"]}`
		extra = `,"extraInfo":{"a":"2","m":"","z":"1"}`
		notes = `,"eventNotes":"n"`
	)
	e3 := decoded(t, event+"}", V3)
	e4 := decoded(t, event+`,"eventNotes":"n"}`, V4Beta1)
	least := decoded(t, recordWith(V4, edits{"parentEventId": `null`, "extraInfo": `{}`, "eventNotes": `""`}), V4)
	const leastJSON = `{"eventId":"e-1","requestId":"r-1","createTime":"2026-01-02T03:04:05.678Z","jobEvent":{"type":"VIEW","jobs":["projects/p/tenants/t/jobs/j"]}}`
	escaped := decoded(t, recordWith(V3, edits{
		"eventId": `"\"\\\/\u0000\u001f\u007f\n\t"`, "requestId": `"<&>\u2028é\ud83d\ude00"`, "extraInfo": `{"\"":"\u0001"}`,
	}), V3)
	const escapedJSON = `{"eventId":"\"\\/\u0000\u001f` + "\x7f" + `\n\t","requestId":"<&>` + "\u2028é😀" + `",` +
		`"createTime":"2026-01-02T03:04:05.678Z","jobEvent":{"type":"VIEW","jobs":["projects/p/jobs/j"]},"extraInfo":{"\"":"\u0001"}}`

	profile := decoded(t, recordWith(V4Beta1, edits{"jobEvent": `{"profile":"x","type":"VIEW","jobs":["projects/p/jobs/j"]}`}), V4Beta1)
	const profileJSON = `{"eventId":"e-1","requestId":"r-1","createTime":"2026-01-02T03:04:05.678Z","jobEvent":{"type":"VIEW","jobs":["projects/p/jobs/j"],"profile":"x"}}`

	tests := []struct {
		name string
		got  []byte
		want string
	}{
		{"profile, v4beta1", profile.AppendRequest(nil, V4Beta1), `{"clientEvent":` + profileJSON + `}`},
		{"profile, v4", profile.AppendRequest(nil, V4), strings.Replace(profileJSON, `,"profile":"x"`, "", 1)},
		{"profile, record", profile.AppendRecord(nil), profileJSON},
		{"v3", e3.AppendRequest(nil, V3), `{"clientEvent":` + ids + link + job + extra + `}}`},
		{"v4beta1", e4.AppendRequest(nil, V4Beta1), `{"clientEvent":` + ids + job + notes + `}}`},
		{"v4", e4.AppendRequest(nil, V4), ids + job + notes + `}`},
		{"v3 JSON", e3.AppendJSON(nil, V3), ids + link + job + extra + `}`},
		{"v4beta1 JSON", e4.AppendJSON(nil, V4Beta1), ids + job + notes + `}`},
		{"v4 JSON", e4.AppendJSON(nil, V4), ids + job + notes + `}`},
		{"record of v3", e3.AppendRecord(nil), ids + link + job + extra + `}`},
		{"record of v4", e4.AppendRecord(nil), ids + link + job + extra + notes + `}`},
		{"fewest, v3", least.AppendRequest(nil, V3), `{"clientEvent":` + leastJSON + `}`},
		{"fewest, v4", least.AppendRequest(nil, V4), leastJSON},
		{"fewest, record", least.AppendRecord(nil), leastJSON},
		{"escapes", escaped.AppendRecord(nil), escapedJSON},
		{"behind something", least.AppendRequest([]byte("x"), V4), "x" + leastJSON},
	}
	for _, test := range tests {
		if string(test.got) != test.want {
			t.Errorf("%s:\n got %s\nwant %s", test.name, test.got, test.want)
		}
	}
}

// TestContentIgnoresFormatting: what is equal once decoded has the same hash.
func TestContentIgnoresFormatting(t *testing.T) {
	const one = `{"eventId":"e-1","requestId":"r-1","parentEventId":"e-0","createTime":"2026-01-02T03:04:05.5Z",` +
		`"jobEvent":{"type":"VIEW","jobs":["projects/p/jobs/1","projects/p/jobs/2"]},"extraInfo":{"a":"1","b":"é"},"eventNotes":"n"}`
	want := decoded(t, one, V4Beta1).Content()
	for name, same := range map[string]string{
		"spaces":     strings.NewReplacer(`:{`, " : {\n", `,"`, " ,\t\"").Replace(one),
		"snake_case": strings.NewReplacer("eventId", "event_id", "requestId", "request_id", "parentEventId", "parent_event_id", "createTime", "create_time", "jobEvent", "job_event", "extraInfo", "extra_info", "eventNotes", "event_notes").Replace(one),
		"escapes":    strings.NewReplacer(`"e-1"`, `"\u0065-1"`, `"VIEW"`, `"VIE\u0057"`, "é", `\u00e9`, "/", `\/`).Replace(one),
		"order": `{"eventNotes":"n","extraInfo":{"b":"é","a":"1"},"jobEvent":{"jobs":["projects/p/jobs/1","projects/p/jobs/2"],"type":"VIEW"},` +
			`"createTime":"2026-01-02T03:04:05.5Z","parentEventId":"e-0","requestId":"r-1","eventId":"e-1"}`,
		"offset":          strings.Replace(one, "03:04:05.5Z", "05:04:05.5+02:00", 1),
		"date by offset":  strings.Replace(one, "2026-01-02T03:04:05.5Z", "2026-01-01T23:04:05.5-04:00", 1),
		"fraction":        strings.Replace(one, "05.5Z", "05.500000Z", 1),
		"negative offset": strings.Replace(one, "05.5Z", "05.5-00:00", 1),
		"another id":      strings.Replace(one, "e-1", "e-2", 1),
	} {
		if got := decoded(t, same, V4Beta1).Content(); got != want {
			t.Errorf("%s: %s\nhas the content %x, want %x", name, same, got, want)
		}
	}
}

// TestContentTellsFieldsApart: the events differ from each other in their
// content, each pair of them.
func TestContentTellsFieldsApart(t *testing.T) {
	base := func() *Event {
		return &Event{ID: "e-1", RequestID: "r-1", ParentID: "p-1", Time: time.Unix(1000, 5), Type: View, Jobs: []string{"j1", "j2"}, ExtraInfo: InfoOf(map[string]string{"a": "1", "b": "2"}), Notes: "n"}
	}
	changes := map[string]func(*Event){
		"none":                       func(*Event) {},
		"requestId":                  func(e *Event) { e.RequestID = "r-2" },
		"no parent":                  func(e *Event) { e.ParentID = "" },
		"parent":                     func(e *Event) { e.ParentID = "p-2" },
		"request and parent swapped": func(e *Event) { e.RequestID, e.ParentID = e.ParentID, e.RequestID },
		"a byte moved":               func(e *Event) { e.RequestID, e.ParentID = "r-1p", "-1" },
		"a byte moved on":            func(e *Event) { e.ParentID, e.Notes = "p-", "1n" },
		"profile":                    func(e *Event) { e.Profile = "x" },
		"notes":                      func(e *Event) { e.Notes = "N" },
		"no notes":                   func(e *Event) { e.Notes = "" },
		"seconds":                    func(e *Event) { e.Time = e.Time.Add(time.Second) },
		"nanosecond":                 func(e *Event) { e.Time = e.Time.Add(1) },
		"before 1970":                func(e *Event) { e.Time = time.Unix(-1000, 5) },
		"type":                       func(e *Event) { e.Type = Bookmark },
		"jobs swapped":               func(e *Event) { slices.Reverse(e.Jobs) },
		"one job":                    func(e *Event) { e.Jobs = e.Jobs[:1] },
		"jobs as one":                func(e *Event) { e.Jobs = []string{"j1j2"} },
		"three jobs":                 func(e *Event) { e.Jobs = []string{"j1", "j2", "j2"} },
		"no extraInfo":               func(e *Event) { e.ExtraInfo = nil },
		"one key":                    func(e *Event) { e.ExtraInfo = e.ExtraInfo[:1] },
		"key":                        func(e *Event) { e.ExtraInfo = InfoOf(map[string]string{"a": "1", "c": "2"}) },
		"value":                      func(e *Event) { e.ExtraInfo[1].Value = "3" },
		"values swapped":             func(e *Event) { e.ExtraInfo[0].Value, e.ExtraInfo[1].Value = "2", "1" },
		"key and value swapped":      func(e *Event) { e.ExtraInfo = InfoOf(map[string]string{"1": "a", "b": "2"}) },
		"key and value shifted":      func(e *Event) { e.ExtraInfo = InfoOf(map[string]string{"a1": "", "b": "2"}) },
		"empty key":                  func(e *Event) { e.ExtraInfo = InfoOf(map[string]string{"": "", "a": "1", "b": "2"}) },
	}
	seen := map[uint64]string{}
	for _, name := range slices.Sorted(maps.Keys(changes)) {
		e := base()
		changes[name](e)
		if other, twice := seen[e.Content()]; twice {
			t.Errorf("%q and %q have the same content", name, other)
		}
		seen[e.Content()] = name
	}
}

// TestContentIsStable: a hash may be stored, and compared by another release.
func TestContentIsStable(t *testing.T) {
	e := decoded(t, `{"eventId":"e-1","requestId":"r-1","parentEventId":"e-0","createTime":"2026-01-02T03:04:05.5Z",`+
		`"jobEvent":{"type":"VIEW","jobs":["projects/p/jobs/1"]},"extraInfo":{"a":"1","b":"2"}}`, V3)
	if got, want := e.Content(), uint64(0xc6c59fbc8b90eac); got != want {
		t.Errorf("the content is %#x, want %#x", got, want)
	}
}

// TestContentHasEveryField: but for the event's id, which names the content.
func TestContentHasEveryField(t *testing.T) {
	var leaves func(fields []*field) []*field
	leaves = func(fields []*field) (all []*field) {
		for _, f := range fields {
			if f.kind == object {
				all = append(all, leaves(f.fields)...)
			} else if f != fieldEventID {
				all = append(all, f)
			}
		}
		return all
	}
	for _, f := range leaves(recordFields) {
		if !slices.Contains(contentFields, f) {
			t.Errorf("%s is not in the content", f.name)
		}
	}
}

// TestPersonal: the texts that tell of a person, and no others.
func TestPersonal(t *testing.T) {
	e := &Event{ID: "id", RequestID: "r", Notes: "notes", Profile: "profile", ExtraInfo: InfoOf(map[string]string{"k": "value", "empty": ""})}
	got := e.Personal()
	slices.Sort(got)
	if want := []string{"notes", "profile", "value"}; !slices.Equal(got, want) {
		t.Errorf("personal: %q, want %q", got, want)
	}
}

// TestSize: an estimate from above for whatever needs no escaping, and not far
// above either.
func TestSize(t *testing.T) {
	long := func(n int) string { return strings.Repeat("é", n) }
	tests := map[string]*Event{
		"none":      {Type: View, Jobs: []string{"j"}},
		"all":       {ID: "e", RequestID: "r", ParentID: "p", CreateTime: "2026-01-02T03:04:05Z", Type: ApplicationRedirectFromSearch, Jobs: []string{"j"}, ExtraInfo: InfoOf(map[string]string{"k": "v"}), Notes: "n"},
		"long":      {ID: long(900), RequestID: long(700), ParentID: long(500), CreateTime: "2026-01-02T03:04:05.123456789+01:00", Type: ApplicationRedirectFromSearch, Jobs: []string{long(90)}, Notes: long(3000)},
		"many jobs": {ID: "e", RequestID: "r", ParentID: "p", CreateTime: "c", Type: ApplicationRedirectFromSearch, Jobs: slices.Repeat([]string{"projects/p/jobs/j"}, 500), ExtraInfo: InfoOf(map[string]string{"": ""})},
		"many keys": {ID: "e", RequestID: "r", ParentID: "p", CreateTime: "c", Type: ApplicationRedirectFromSearch, Jobs: []string{"j"}, ExtraInfo: func() Info {
			m := map[string]string{}
			for i := range MaxExtraInfoKeys {
				m[strings.Repeat("k", i)] = ""
			}
			return InfoOf(m)
		}(), Notes: "n"},
	}
	for name, e := range tests {
		for _, v := range Versions() {
			if got := len(e.AppendRequest(nil, v)); got > e.Size() {
				t.Errorf("%s, %s: %d bytes, estimated as %d", name, v, got, e.Size())
			}
		}
		if record := len(e.AppendRecord(nil)); record > e.Size() || record+100 < e.Size() {
			t.Errorf("%s: a record of %d bytes, estimated as %d", name, record, e.Size())
		}
	}
}

// TestRequestIsJSON: every request is one JSON value, whatever its strings hold.
func TestRequestIsJSON(t *testing.T) {
	for b := range 0x80 {
		s := string(rune(b)) + "\u2028\ufffe"
		e := &Event{ID: s, RequestID: s, ParentID: s, CreateTime: "c", Type: View, Jobs: []string{s}, ExtraInfo: InfoOf(map[string]string{s: s}), Notes: s}
		for _, v := range Versions() {
			if got := jsontext.Value(e.AppendRequest(nil, v)); !got.IsValid() {
				t.Errorf("%s: %s is not JSON", v, got)
			}
		}
	}
}
