package emulator_test

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http/httptest"
	"os"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/clientevents/clientevents/emulator"
	"github.com/clientevents/clientevents/internal/discovery"
)

// roundTrips returns the number of random jobs of each version: EMULATOR_ROUND_TRIPS,
// which CI sets to 10,000.
func roundTrips(t *testing.T) int {
	t.Helper()
	n, err := strconv.Atoi(cmp.Or(os.Getenv("EMULATOR_ROUND_TRIPS"), "500"))
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// Clients can send back every response unchanged: a job that is created, read, and
// patched with all read fields does not change.
func TestReadModifyWrite(t *testing.T) {
	for name, read := range map[string]func() (*discovery.API, error){"v3": discovery.JobsV3, "v4beta1": discovery.JobsV4beta1, "v4": discovery.JobsV4} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			document, err := read()
			if err != nil {
				t.Fatal(err)
			}
			a := &inProcess{t: t, emu: emulator.New(emulator.Options{}), api: versions(t, "")[name], random: rand.New(rand.NewPCG(1, 2)), document: document}
			company := a.call("POST", a.api.parent+"/companies", a.wrap("company", object{"displayName": "Acme", "externalId": "acme"}))["name"].(string)
			for i := range roundTrips(t) {
				a.roundTrip(i, company)
			}
		})
	}
}

// inProcess calls an emulator without a connection.
type inProcess struct {
	t        *testing.T
	emu      *emulator.Emulator
	api      *api
	random   *rand.Rand
	document *discovery.API
}

func (a *inProcess) wrap(field string, o object) object {
	if a.api.wrapped {
		return object{field: o}
	}
	return o
}

func (a *inProcess) call(method, path string, body object) object {
	a.t.Helper()
	text, err := json.Marshal(body)
	if err != nil {
		a.t.Fatal(err)
	}
	w := httptest.NewRecorder()
	a.emu.ServeHTTP(w, httptest.NewRequest(method, "/"+a.api.version+"/"+path+"?prettyPrint=false", bytes.NewReader(text)))
	if w.Code != 200 {
		a.t.Fatalf("%s %s: %d\n%s\nto %.3000s", method, path, w.Code, w.Body, text)
	}
	var answer object
	if err := json.Unmarshal(w.Body.Bytes(), &answer); err != nil {
		a.t.Fatal(err)
	}
	return answer
}

func (a *inProcess) roundTrip(i int, company string) {
	a.t.Helper()
	job := a.message(a.document.Schemas["Job"])
	job["requisitionId"], job[a.api.companyField] = fmt.Sprint(i), company
	delete(job, "name")
	created := a.call("POST", a.api.parent+"/jobs", a.wrap("job", job))
	name := created["name"].(string)
	got := a.call("GET", name, nil)
	if !reflect.DeepEqual(got, created) {
		a.t.Fatalf("created\n%v\nread\n%v", created, got)
	}
	patched := a.call("PATCH", name, a.wrap("job", maps.Clone(got)))
	delete(got, "postingUpdateTime")
	delete(patched, "postingUpdateTime")
	if !reflect.DeepEqual(got, patched) {
		a.t.Fatalf("sent\n%v\nread\n%v\npatched\n%v", job, got, patched)
	}
	a.call("DELETE", name, nil)
}

// message returns a random message of the schema, valid as a part of a job.
func (a *inProcess) message(s *discovery.Schema) object {
	o := object{}
	for _, name := range slices.Sorted(maps.Keys(s.Properties)) {
		field := s.Properties[name]
		required := strings.HasPrefix(field.Description, "Required.")
		if required || a.random.IntN(3) == 0 {
			o[name] = a.value(name, field)
		}
	}
	switch s.ID {
	case "CompensationInfo":
		oneBase(o)
	case "CompensationEntry":
		if o["amount"] != nil {
			delete(o, "range")
		}
	case "Money":
		o["currencyCode"] = []any{"USD", "EUR", ""}[a.random.IntN(3)]
		if units, _ := o["units"].(string); o["nanos"] != nil {
			o["nanos"] = a.random.IntN(1_000_000_000) * map[bool]int{true: -1, false: 1}[strings.HasPrefix(units, "-")]
		}
	case "ApplicationInfo":
		o["instruction"] = "Apply <b>now</b>"
	}
	return o
}

// oneBase leaves at most one entry of type BASE.
func oneBase(info object) {
	entries, _ := info["entries"].([]any)
	for i, entry := range entries {
		if i > 0 && entry.(object)["type"] == "BASE" {
			entry.(object)["type"] = "BONUS"
		}
	}
}

// value returns a random value of a field.
func (a *inProcess) value(name string, field *discovery.Schema) any {
	s := a.document.Resolve(field)
	switch {
	case name == "customAttributes":
		return a.attributes()
	case name == "languageCode" || name == "language":
		return []any{"en-US", "sr-Latn", "de", "en_US", "xx-YY", ""}[a.random.IntN(6)]
	case name == "expectedUnitsPerYear":
		return []any{0, 0.5, 12, 2080, 1e15, -3}[a.random.IntN(6)]
	case s.Type == "array":
		var list []any
		for range a.random.IntN(4) {
			list = append(list, a.value("", s.Items))
		}
		return list
	case s.Type == "object" && s.Properties != nil:
		return a.message(s)
	case s.Type == "boolean":
		return a.random.IntN(2) == 0
	case s.Format == "int64":
		return fmt.Sprint(a.random.Int64() >> a.random.IntN(64) * int64(1-2*a.random.IntN(2)))
	case s.Type == "integer":
		return int(int32(a.random.Uint32()) >> a.random.IntN(32))
	case s.Type == "number":
		return a.random.Float64() * 90
	case s.Enum != nil:
		return s.Enum[a.random.IntN(len(s.Enum))]
	case s.Format == "google-datetime":
		return a.time(name, s)
	}
	return a.text(name)
}

// time returns a random time, in the future for fields that require it.
func (a *inProcess) time(name string, s *discovery.Schema) any {
	if name == "postingExpireTime" {
		return time.Now().Add(time.Hour + time.Duration(a.random.Int64N(1e18))).Format(time.RFC3339Nano)
	}
	choices := []any{
		time.Unix(a.random.Int64N(4e9), a.random.Int64N(1e9)).Format(time.RFC3339Nano), "2026-02-03T04:05:06.7+02:00",
		object{"seconds": fmt.Sprint(a.random.Int64N(4e9)), "nanos": 5},
		nil,
	}
	if strings.Contains(s.Description, "Invalid timestamps are ignored") {
		choices = append(choices, "never")
	}
	return choices[a.random.IntN(len(choices))]
}

func (a *inProcess) attributes() object {
	o := object{}
	for range a.random.IntN(4) {
		one := object{"filterable": a.random.IntN(2) == 0}
		if a.random.IntN(2) == 0 {
			one["longValues"] = []any{fmt.Sprint(a.random.Int64() >> a.random.IntN(64))}
		} else {
			one["stringValues"] = []any{"value " + a.pick(), a.pick() + "x"}
		}
		o[fmt.Sprint("k", a.random.IntN(100))] = one
	}
	return o
}

var fragments = []string{
	"word", "  ", "'", `"`, "&", "&amp;", "&#39;", "&lt;b&gt;", "<", ">", "<b>", "</b>", "<u>", "</u>", "<br/>", "<p class='x'>", "<script>", "</script>",
	"<!--", "-->", "</", "<<b>i>", "<ul><li>x</li></ul>", "<textarea>", "ü", "日本語", "\u202e", "\n", "\u0000", "<b", "<B ID=1>", "C++", "<noscript>", "<object>", "\\",
}

func (a *inProcess) pick() string { return fragments[a.random.IntN(len(fragments))] }

// text returns a text that is not empty after sanitization.
func (a *inProcess) text(name string) any {
	var b strings.Builder
	b.WriteString("Text of " + name)
	for range a.random.IntN(12) {
		b.WriteString(a.pick())
	}
	return b.String()
}
