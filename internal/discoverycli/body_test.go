package discoverycli

import (
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/clientevents/clientevents/internal/discovery"
)

func jobsV3(tb testing.TB) *discovery.API {
	tb.Helper()
	api, err := discovery.JobsV3()
	if err != nil {
		tb.Fatal(err)
	}
	return api
}

// buildBody builds the body of the request with that schema name.
func buildBody(tb testing.TB, schema string, items ...string) (string, []string) {
	tb.Helper()
	v, faults := newBody(jobsV3(tb), &discovery.Schema{Ref: schema}).build(items)
	var lines []string
	for _, f := range faults {
		lines = append(lines, f.Error())
	}
	if len(faults) > 0 {
		return "", lines
	}
	text, err := encode(v, "")
	if err != nil {
		tb.Fatal(err)
	}
	return string(text), nil
}

func TestFieldNames(t *testing.T) {
	api := jobsV3(t)
	got := strings.Join(fieldNames(api, api.Schemas["CreateClientEventRequest"]), " ")
	if want := strings.Join(eventFields, " "); got != want {
		t.Errorf("names of a client event:\n got %s\nwant %s", got, want)
	}
}

func TestFieldNamesAreUnique(t *testing.T) {
	for _, parse := range []func() (*discovery.API, error){discovery.JobsV3, discovery.JobsV4} {
		api, err := parse()
		if err != nil {
			t.Fatal(err)
		}
		for id, s := range api.Schemas {
			typed := map[string]string{}
			for name := range s.Properties {
				if other := typed[kebab(name)]; other != "" {
					t.Errorf("%s %s: %s and %s are typed alike", api.Version, id, name, other)
				}
				typed[kebab(name)] = name
				if got, _ := property(s, kebab(name)); got != name {
					t.Errorf("%s %s: property(%q) = %q, want %q", api.Version, id, kebab(name), got, name)
				}
			}
		}
	}
}

func TestKebab(t *testing.T) {
	for name, want := range map[string]string{
		"clientEvent": "client-event", "jobs": "jobs", "$.xgafv": "$-xgafv",
		"access_token": "access-token", "upload_protocol": "upload-protocol", "prettyPrint": "pretty-print",
	} {
		if got := kebab(name); got != want {
			t.Errorf("kebab(%q) = %q, want %q", name, got, want)
		}
	}
}

func TestBody(t *testing.T) {
	tests := []struct {
		name, schema string
		items        []string
		want         string
	}{
		{
			"the documentation's example", "CreateClientEventRequest",
			strings.Fields(".client-event create-time=et event-id=magna extra-info=key=no job-event jobs=ipsum type=voluptua. .. parent-event-id=at request-id=sanctus"),
			`{"clientEvent":{"createTime":"et","eventId":"magna","extraInfo":{"key":"no"},"jobEvent":{"jobs":["ipsum"],"type":"voluptua."},"parentEventId":"at","requestId":"sanctus"}}`,
		},
		{"no items", "CreateClientEventRequest", nil, `{}`},
		{"a move alone", "CreateClientEventRequest", []string{".client-event"}, `{}`},
		{
			"nested names leave the cursor", "CreateClientEventRequest",
			[]string{"client-event.job-event.type=VIEW", "client-event.event-id=e"},
			`{"clientEvent":{"eventId":"e","jobEvent":{"type":"VIEW"}}}`,
		},
		{
			"an absolute name leaves the cursor", "CreateClientEventRequest",
			[]string{".client-event.job-event", ".client-event.event-id=e", "type=VIEW"},
			`{"clientEvent":{"eventId":"e","jobEvent":{"type":"VIEW"}}}`,
		},
		{
			"up within a value", "CreateClientEventRequest",
			[]string{".client-event.job-event", "..event-id=e", "type=VIEW"},
			`{"clientEvent":{"eventId":"e","jobEvent":{"type":"VIEW"}}}`,
		},
		{
			"a move through a field and up again", "CreateClientEventRequest",
			[]string{".client-event.job-event.type", "..", "type=VIEW"},
			`{"clientEvent":{"jobEvent":{"type":"VIEW"}}}`,
		},
		{
			"three dots go three levels up", "CreateJobRequest",
			[]string{".job.compensation-info.entries", "...job.title=t"},
			`{"job":{"title":"t"}}`,
		},
		{
			"repeated fields append", "CreateClientEventRequest",
			[]string{".client-event.job-event", "jobs=a", "jobs=b", "jobs=a"},
			`{"clientEvent":{"jobEvent":{"jobs":["a","b","a"]}}}`,
		},
		{
			"maps", "CreateClientEventRequest",
			[]string{"client-event.extra-info=k=v=w", "client-event.extra-info=l=<&>"},
			`{"clientEvent":{"extraInfo":{"k":"v=w","l":"<&>"}}}`,
		},
		{
			"values may look like anything", "CreateClientEventRequest",
			[]string{"client-event.event-id=-5", "client-event.request-id=a=b, c/ü"},
			`{"clientEvent":{"eventId":"-5","requestId":"a=b, c/ü"}}`,
		},
		{
			"booleans, integers, 64-bit integers and floats", "SearchJobsRequest",
			[]string{
				"enable-broadening=true", "require-precise-result-size=false", "page-size=-007", "offset=2147483647",
				".job-query.compensation-filter.range", "max-compensation.units=9223372036854775807", "max-compensation.nanos=5",
				".job-query.location-filters.0.distance-in-miles=2.50",
			},
			`{"enableBroadening":true,"jobQuery":{"compensationFilter":{"range":{"maxCompensation":{"nanos":5,"units":"9223372036854775807"}}},"locationFilters":[{"distanceInMiles":2.5}]},"offset":2147483647,"pageSize":-7,"requirePreciseResultSize":false}`,
		},
		{
			"enums and timestamps as typed", "CreateJobRequest",
			[]string{".job", "job-level=SOME_NEW_LEVEL", "posting-expire-time=tomorrow", "job-benefits=DENTAL", "job-benefits=VISION"},
			`{"job":{"jobBenefits":["DENTAL","VISION"],"jobLevel":"SOME_NEW_LEVEL","postingExpireTime":"tomorrow"}}`,
		},
		{
			"lists of structures by index", "SearchJobsRequest",
			[]string{".job-query.location-filters.0", "address=Bern", "distance-in-miles=5", "..1", "address=Basel", ".job-query.location-filters.0.region-code=CH"},
			`{"jobQuery":{"locationFilters":[{"address":"Bern","distanceInMiles":5,"regionCode":"CH"},{"address":"Basel"}]}}`,
		},
		{
			"lists of structures as JSON", "SearchJobsRequest",
			[]string{".job-query", `location-filters={"address":"Bern","latLng":{"latitude":46.9}}`, "location-filters.1.address=Basel", "location-filters.0.region-code=CH"},
			`{"jobQuery":{"locationFilters":[{"address":"Bern","latLng":{"latitude":46.9},"regionCode":"CH"},{"address":"Basel"}]}}`,
		},
		{
			"maps of structures by key and as JSON", "CreateJobRequest",
			[]string{
				".job.custom-attributes.skill", "string-values=go", "string-values=kafka", "filterable=true",
				"..level", "long-values=3", `.job.custom-attributes=grade={"longValues":["4"]}`,
			},
			`{"job":{"customAttributes":{"grade":{"longValues":["4"]},"level":{"longValues":["3"]},"skill":{"filterable":true,"stringValues":["go","kafka"]}}}}`,
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, faults := buildBody(t, tt.schema, tt.items...)
			if faults != nil {
				t.Fatalf("faults: %q", faults)
			}
			if got != tt.want {
				t.Errorf("\n got %s\nwant %s", got, tt.want)
			}
		})
	}
}

func TestBodyFaults(t *testing.T) {
	const event, job, search = "CreateClientEventRequest", "CreateJobRequest", "SearchJobsRequest"
	tests := []struct {
		name, schema string
		items        []string
		want         []string
	}{
		{
			"unknown field", event,
			[]string{"client-event.foo=v"},
			[]string{"Field -> Field 'client-event.foo' does not exist."},
		},
		{
			"misspelt field", event,
			[]string{".client-event", "eventId=v"},
			[]string{"Field -> Field 'client-event.eventId' does not exist. Did you mean 'event-id=v' ?"},
		},
		{
			"misspelt segments", event,
			[]string{"client_event.request=v"},
			[]string{"Field -> Field 'client_event.request' does not exist. Did you mean 'client-event.request-id=v' ?"},
		},
		{
			"misplaced field", event,
			[]string{"event-id=v"},
			[]string{"Field -> Field 'event-id' does not exist."},
		},
		{
			"a misspelt move is told by its values", event,
			[]string{".client-evnt", "event-id=v"},
			[]string{"Field -> Field 'client-evnt.event-id' does not exist."},
		},
		{
			"a misspelt move without values", event,
			[]string{".client-evnt"},
			[]string{"Field -> Field 'client-evnt' does not exist. Did you mean '.client-event' ?"},
		},
		{
			"a misspelt move left at once", event,
			[]string{".client-evnt", ".client-event", "event-id=v"},
			[]string{"Field -> Field 'client-evnt' does not exist. Did you mean '.client-event' ?"},
		},
		{
			"a forgotten value", event,
			[]string{".client-event", "event-id=e", "request-id"},
			[]string{"Field -> 'request-id': The cursor is moved to 'client-event.request-id', which has no fields, and nothing is set there. Did you mean 'request-id=<value>' ?"},
		},
		{
			"a forgotten value of a list", event,
			[]string{".client-event.job-event", "jobs"},
			[]string{"Field -> 'jobs': The cursor is moved to 'client-event.job-event.jobs', which has no fields, and nothing is set there. Did you mean 'jobs=<value>' ?"},
		},
		{
			"empty value", event,
			[]string{"client-event.event-id="},
			[]string{"'client-event.event-id=' does not match pattern <key>=<value>."},
		},
		{"empty key", event, []string{"=v"}, []string{"Field -> Field names must not be empty."}},
		{"empty move", event, []string{""}, []string{"Field -> Field names must not be empty."}},
		{"above the top", event, []string{".."}, []string{"Field -> '..': Cannot move up on empty field cursor."}},
		{"above the top in a value", event, []string{".client-event", "...event-id=x"}, []string{"Field -> '...event-id': Cannot move up on empty field cursor."}},
		{"trailing dot", event, []string{"client-event."}, []string{"Field -> 'client-event.': Single field separator may not be last character."}},
		{
			"a fault leaves the cursor", event,
			[]string{".client-event", "b.", "event-id=e", "event-id=f"},
			[]string{"Field -> 'b.': Single field separator may not be last character.", "Field -> Value at 'client-event.event-id' was already set"},
		},
		{
			"twice", event,
			[]string{".client-event", "event-id=a", "event-id=b"},
			[]string{"Field -> Value at 'client-event.event-id' was already set"},
		},
		{
			"the same key twice", event,
			[]string{".client-event", "extra-info=a=b", "extra-info=a=c"},
			[]string{"Field -> Value at 'client-event.extra-info' was already set"},
		},
		{
			"map without a key", event,
			[]string{"client-event.extra-info=a"},
			[]string{"'a' does not match hashmap pattern <key>=<value>."},
		},
		{
			"map without a value", event,
			[]string{"client-event.extra-info=a="},
			[]string{"'a=' does not match hashmap pattern <key>=<value>."},
		},
		{
			"map by path", event,
			[]string{"client-event.extra-info.a=b"},
			[]string{"Field -> Field 'client-event.extra-info.a' does not exist. Did you mean '.client-event.extra-info=a=b' ?"},
		},
		{
			"list by index", event,
			[]string{"client-event.job-event.jobs.0=b"},
			[]string{"Field -> Field 'client-event.job-event.jobs.0' does not exist. Did you mean '.client-event.job-event.jobs=b' ?"},
		},
		{
			"below a scalar", event,
			[]string{"client-event.event-id.x=b"},
			[]string{"Field -> Field 'client-event.event-id.x' does not exist."},
		},
		{
			"structure", event,
			[]string{"client-event.job-event=b"},
			[]string{"Field -> Field 'client-event.job-event' is a structure. Set its fields, for example '.client-event.job-event.jobs=<value>'."},
		},
		{
			"top", event,
			[]string{".=b"},
			[]string{"Field -> The request itself takes no value. Set its fields, for example 'client-event'."},
		},
		{
			"boolean", search,
			[]string{"enable-broadening=yes"},
			[]string{"Failed to parse argument 'enable-broadening' with value 'yes' as boolean with error: provided string was not `true` or `false`."},
		},
		{
			"integer", search,
			[]string{"page-size=5.0"},
			[]string{"Failed to parse argument 'page-size' with value '5.0' as int with error: not a whole number from -2147483648 to 2147483647."},
		},
		{
			"integer out of range", search,
			[]string{"page-size=2147483648"},
			[]string{"Failed to parse argument 'page-size' with value '2147483648' as int with error: not a whole number from -2147483648 to 2147483647."},
		},
		{
			"64-bit integer", job,
			[]string{"job.custom-attributes.a.long-values=x"},
			[]string{"Failed to parse argument 'long-values' with value 'x' as int with error: not a whole number from -9223372036854775808 to 9223372036854775807."},
		},
		{
			"float", search,
			[]string{"job-query.location-filters.0.distance-in-miles=far"},
			[]string{"Failed to parse argument 'distance-in-miles' with value 'far' as float with error: invalid float literal."},
		},
		{
			"float that JSON cannot hold", search,
			[]string{"job-query.location-filters.0.distance-in-miles=Inf"},
			[]string{"Failed to parse argument 'distance-in-miles' with value 'Inf' as float with error: not a finite number."},
		},
		{
			"list of structures without index", search,
			[]string{"job-query.location-filters.address=Bern"},
			[]string{"Field -> Field 'job-query.location-filters.address' does not exist. Did you mean '.job-query.location-filters.0.address=Bern' ?"},
		},
		{
			"list of structures with a gap", search,
			[]string{"job-query.location-filters.1.address=Bern"},
			[]string{"Field -> 'job-query.location-filters.1.address': There are 0 elements so far, so the next one is 'job-query.location-filters.0'."},
		},
		{
			"enormous index", search,
			[]string{"job-query.location-filters.99999999999999999999.address=Bern"},
			[]string{"Field -> Field 'job-query.location-filters.99999999999999999999.address' does not exist. Did you mean '.job-query.location-filters.0.99999999999999999999.address=Bern' ?"},
		},
		{
			"element twice", search,
			[]string{"job-query.location-filters.0.address=Bern", "job-query.location-filters.0.address=Basel"},
			[]string{"Field -> Value at 'job-query.location-filters.0.address' was already set"},
		},
		{
			"not JSON", search,
			[]string{"job-query.location-filters=Bern"},
			[]string{"Failed to parse argument 'job-query.location-filters' with value 'Bern' as JSON with error: invalid character 'B' looking for beginning of value."},
		},
		{
			"JSON and more", search,
			[]string{"job-query.location-filters={} {}"},
			[]string{"Failed to parse argument 'job-query.location-filters' with value '{} {}' as JSON with error: unexpected data after its end."},
		},
		{
			"JSON of another shape", search,
			[]string{"job-query.location-filters=[]"},
			[]string{"Failed to parse argument 'job-query.location-filters' with value '[]' as JSON with error: it must be an object."},
		},
		{
			"JSON with an unknown field", search,
			[]string{`job-query.location-filters={"latLng":{"latitud":1}}`},
			[]string{`Failed to parse argument 'job-query.location-filters' with value '{"latLng":{"latitud":1}}' as JSON with error: field latLng.latitud does not exist; did you mean latitude.`},
		},
		{
			"JSON with a field of another type", job,
			[]string{`job.custom-attributes=a={"stringValues":["x",1]}`},
			[]string{`Failed to parse argument 'job.custom-attributes' with value '{"stringValues":["x",1]}' as JSON with error: stringValues[1] must be a string.`},
		},
		{
			"all faults at once", event,
			[]string{"client-event.foo=v", "=v", "client-event.event-id=", ".."},
			[]string{
				"Field -> Field 'client-event.foo' does not exist.",
				"Field -> Field names must not be empty.",
				"'client-event.event-id=' does not match pattern <key>=<value>.",
				"Field -> '..': Cannot move up on empty field cursor.",
			},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, faults := buildBody(t, tt.schema, tt.items...)
			if strings.Join(faults, "\n") != strings.Join(tt.want, "\n") {
				t.Errorf("\n got %q %s\nwant %q", faults, got, tt.want)
			}
		})
	}
}

// FuzzBody checks that all items give either a body that matches its schema, or
// at least one fault of one line.
func FuzzBody(f *testing.F) {
	api := jobsV3(f)
	schemas := []string{"CreateClientEventRequest", "CreateJobRequest", "SearchJobsRequest", "UpdateCompanyRequest"}
	f.Add(uint8(0), ".client-event\ncreate-time=et\nevent-id=magna\nextra-info=key=no\njob-event\njobs=ipsum\ntype=voluptua.\n..\nparent-event-id=at\nrequest-id=sanctus")
	f.Add(uint8(2), ".job-query.location-filters.0\naddress=Bern\n..1.address=Basel\n...page-size=5")
	f.Add(uint8(1), "job.custom-attributes.a.long-values=3\njob.custom-attributes=b={\"filterable\":true}\n....=x\n=\n.")
	f.Add(uint8(3), "company.\n....\n.company..company\n=v\nupdate-mask=a,b")
	f.Fuzz(func(t *testing.T, which uint8, items string) {
		if !utf8.ValidString(items) {
			return // refused before it gets here
		}
		schema := api.Schemas[schemas[int(which)%len(schemas)]]
		v, faults := newBody(api, schema).build(strings.Split(items, "\n"))
		if (v == nil) == (len(faults) == 0) {
			t.Fatalf("body %v and %d faults", v, len(faults))
		}
		for _, fault := range faults {
			if fault.Error() == "" || strings.Contains(fault.Error(), "\n") {
				t.Errorf("fault %q is not one line", fault)
			}
		}
		if v == nil {
			return
		}
		text, err := encode(v, "")
		if err != nil {
			t.Fatalf("body cannot be encoded: %v", err)
		}
		d := json.NewDecoder(strings.NewReader(string(text)))
		d.UseNumber()
		var back any
		if err := d.Decode(&back); err != nil {
			t.Fatal(err)
		}
		if err := checkJSON(api, schema, back, ""); err != nil {
			t.Errorf("%s: %v", text, err)
		}
	})
}
