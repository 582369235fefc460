package emulator_test

import (
	"encoding/json"
	"fmt"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/clientevents/clientevents/emulator"
	"github.com/clientevents/clientevents/emulator/internal/protojson"
	"github.com/clientevents/clientevents/internal/discovery"
)

// clock is the emulator's clock in tests of expiry.
type clock struct {
	mu sync.Mutex
	at time.Time
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

func (c *clock) forward(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(d)
}

const day = 24 * time.Hour

// world is the setting of a rule's test: a company, and a clock that begins at the time
// of the documentation's example.
type world struct {
	*api
	*clock
	name    string // of the version
	company string
	serial  int
}

func newWorld(t *testing.T, version string) *world {
	c := &clock{at: time.Date(2017, 1, 1, 13, 0, 0, 0, time.UTC)}
	_, url := start(t, emulator.Options{Now: c.now})
	a := versions(t, url)[version]
	return &world{api: a, clock: c, name: version, company: a.company("acme")}
}

// job creates a job with the fields and a new requisition ID.
func (w *world) job(fields object) object {
	w.t.Helper()
	return w.createJob(w.company, fields)
}

// refuses checks that a job with the fields is refused, by create and by patch,
// and that the error names the field.
func (w *world) refuses(fields object, field string) {
	w.t.Helper()
	w.refusedJob(w.company, fields, "INVALID_ARGUMENT", field)
	w.serial++
	name := w.job(object{"requisitionId": fmt.Sprint("to patch ", w.serial)})["name"]
	w.refusedPatch(name, w.newJob(w.company, fields), "", "INVALID_ARGUMENT", field)
}

// atMost checks a field's maximum length in characters.
func (w *world) atMost(field string, n int) {
	w.t.Helper()
	w.job(object{"requisitionId": "longest", field: strings.Repeat("ü", n)})
	w.refuses(object{field: strings.Repeat("ü", n+1)}, "job."+snake(field))
}

// sanitizes checks that a field keeps only simple formatting.
func (w *world) sanitizes(field string) {
	w.t.Helper()
	const html = `<div onclick="x()">A <b>bold</b> <i>word</i><ul><li>one</li></ul><ol><li>two</li></ol><script>alert(1)</script><a href="x">link</a></div>`
	const want = `A <b>bold</b> <i>word</i><ul><li>one</li></ul><ol><li>two</li></ol>`
	job := w.job(object{field: html})
	if got := job[field].(string); !strings.HasPrefix(got, want) || strings.Contains(got, "script") || strings.Contains(got, "<a") || !strings.Contains(got, "link") {
		w.t.Errorf("%s is %q", field, got)
	}
	job = w.patchJob(job["name"], object{field: "<p>new & <em>better</em></p>"}, field)
	if got := job[field]; got != "new & <em>better</em>" {
		w.t.Errorf("patched, %s is %q", field, got)
	}
}

// ignoresInvalid checks that an invalid timestamp counts as unset.
func (w *world) ignoresInvalid(field string) {
	w.t.Helper()
	for i, invalid := range []any{"", "tomorrow", "2026-02-30T00:00:00Z", "2026-01-01", object{"seconds": "1", "nanos": 2e9}, object{"seconds": "999999999999"}, nil} {
		with := w.job(object{"requisitionId": fmt.Sprint("invalid ", i), field: invalid})
		without := w.job(object{"requisitionId": fmt.Sprint("without ", i)})
		if with[field] != without[field] {
			w.t.Errorf("%s %v became %v, without it would be %v", field, invalid, with[field], without[field])
		}
	}
	// The reference's sample has seconds and nanos, its text RFC 3339.
	for _, valid := range []any{"2030-01-02T03:04:05.5+00:00", object{"seconds": "1893553445", "nanos": 5e8}} {
		got := w.job(object{"requisitionId": fmt.Sprint(valid), field: valid})
		if got[field] != "2030-01-02T03:04:05.500Z" {
			w.t.Errorf("%s %v became %v", field, valid, got[field])
		}
	}
}

// outputOnly checks that a sent field has no effect.
func (w *world) outputOnly(field string, sent any) {
	w.t.Helper()
	job := w.job(object{field: sent})
	if fmt.Sprint(job[field]) == fmt.Sprint(sent) {
		w.t.Errorf("%s was taken over: %v", field, job[field])
	}
	before := job[field]
	job = w.patchJob(job["name"], object{field: sent}, field)
	if field != "postingUpdateTime" && fmt.Sprint(job[field]) != fmt.Sprint(before) {
		w.t.Errorf("%s was patched from %v to %v", field, before, job[field])
	}
}

// required checks that creates and updates need a field.
func (w *world) required(field string) {
	w.t.Helper()
	w.refusedJob(w.company, object{field: nil}, "INVALID_ARGUMENT", "job."+snake(field))
	w.refusedJob(w.company, object{field: ""}, "INVALID_ARGUMENT", "job."+snake(field))
	name := w.job(nil)["name"]
	w.refusedPatch(name, w.newJob(w.company, object{field: nil}), "", "INVALID_ARGUMENT", "job."+snake(field))
	w.refusedPatch(name, object{}, field, "INVALID_ARGUMENT", "job."+snake(field))
}

func (w *world) searched() []string {
	w.t.Helper()
	var list []string
	for _, job := range matching(w.search(nil, nil)) {
		list = append(list, job["name"].(string))
	}
	return list
}

func snake(camel string) string { return protojson.ProtoName(camel) }

// rule is a sentence about a field in the reference of projects.jobs.patch, with its
// test.
type rule struct {
	of, says string
	test     func(t *testing.T, w *world)
}

var rules = []rule{
	{"Job.name", "Required during job update. The resource name for the job.", func(t *testing.T, w *world) {
		name := w.job(nil)["name"].(string)
		w.refused("PATCH", w.parent+"/jobs/", w.body("job", object{"title": "x"}), "NOT_FOUND", "")
		w.refusedPatch(name, object{"name": name + "0", "title": "x"}, "title", "INVALID_ARGUMENT", "job.name")
	}},
	{"Job.name", "This is generated by the service when a job is created.", func(t *testing.T, w *world) {
		if got := w.job(object{"name": w.parent + "/jobs/mine"})["name"]; got == w.parent+"/jobs/mine" {
			t.Errorf("the name that was sent was taken: %v", got)
		}
	}},
	{"Job.name", `The format is "projects/{project_id}/tenants/{tenant_id}/jobs/{job_id}". For example, "projects/foo/tenants/bar/jobs/baz".`, func(t *testing.T, w *world) {
		rest, ok := strings.CutPrefix(w.job(nil)["name"].(string), w.parent+"/jobs/")
		if !ok || rest == "" || strings.Contains(rest, "/") {
			t.Errorf("the id is %q", rest)
		}
	}},
	{"Job.name", `If tenant id is unspecified, the default tenant is used. For example, "projects/foo/jobs/bar".`, func(t *testing.T, w *world) {
		all := versions(t, w.url)
		bare, tenant := all["v4beta1"], all["v4beta1 in tenants"]
		name := w.job(nil)["name"].(string)
		id := name[strings.LastIndexByte(name, '/'):]
		if bare.getJob("projects/p/jobs" + id)["title"] != tenant.getJob("projects/p/tenants/default/jobs" + id)["title"] {
			t.Error("the two names are of different jobs")
		}
	}},
	{"Job.name", "Use of this field in job queries and API calls is preferred over the use of requisition_id since this value is unique.", func(t *testing.T, w *world) {
		a, b := w.job(nil), w.job(object{"requisitionId": "other"})
		if a["name"] == b["name"] {
			t.Errorf("two jobs are called %v", a["name"])
		}
	}},

	{"Job.company", "Required. The resource name of the company listing the job.", func(t *testing.T, w *world) {
		w.required("company")
		w.refuses(object{"company": w.company + "0"}, "job.company") // there is none of that name
	}},
	{"Job.company", `The format is "projects/{project_id}/tenants/{tenant_id}/companies/{company_id}". For example, "projects/foo/tenants/bar/companies/baz".`, func(t *testing.T, w *world) {
		w.refuses(object{"company": "acme"}, "job.company")
		w.refuses(object{"company": strings.Replace(w.company, "projects/p/", "projects/q/", 1)}, "job.company")
	}},
	{"Job.company", `If tenant id is unspecified, the default tenant is used. For example, "projects/foo/companies/bar".`, func(t *testing.T, w *world) {
		all := versions(t, w.url)
		id := w.company[strings.LastIndexByte(w.company, '/'):]
		for i, name := range []string{"projects/p/companies" + id, "projects/p/tenants/default/companies" + id} {
			job := all["v4beta1"].createJob(name, object{"requisitionId": fmt.Sprint("bare ", i)})
			if job["company"] != "projects/p/companies"+id {
				t.Errorf("%s became %v", name, job["company"])
			}
		}
	}},

	{"Job.requisitionId", "Required. The requisition ID, also referred to as the posting ID, is assigned by the client to identify a job.", func(t *testing.T, w *world) {
		w.required("requisitionId")
	}},
	{"Job.requisitionId", "A job isn't allowed to be created if there is another job with the same company, language_code and requisition_id.", func(t *testing.T, w *world) {
		w.job(object{"languageCode": "en-US"})
		w.refusedJob(w.company, object{"languageCode": "en-US"}, "ALREADY_EXISTS", "")
		w.job(object{"languageCode": "de-DE"})
		w.job(object{"languageCode": "en-US", "requisitionId": "r2"})
		w.createJob(w.api.company("other"), object{"languageCode": "en-US"})
	}},
	{"Job.requisitionId", "The maximum number of allowed characters is 255.", func(t *testing.T, w *world) {
		w.job(object{"requisitionId": strings.Repeat("ü", 255)})
		w.refuses(object{"requisitionId": strings.Repeat("ü", 256)}, "job.requisition_id")
	}},

	{"Job.title", "Required.", func(t *testing.T, w *world) { w.required("title") }},
	{"Job.title", "The maximum number of allowed characters is 500.", func(t *testing.T, w *world) { w.atMost("title", 500) }},
	{"Job.description", "Required.", func(t *testing.T, w *world) { w.required("description") }},
	{"Job.description", "This field accepts and sanitizes HTML input, and also accepts bold, italic, ordered list, and unordered list markup tags.", func(t *testing.T, w *world) {
		w.sanitizes("description")
	}},
	{"Job.description", "The maximum number of allowed characters is 100,000.", func(t *testing.T, w *world) { w.atMost("description", 100_000) }},

	{"Job.addresses", "Location(s) where the employer is looking to hire for this job posting.", func(t *testing.T, w *world) {
		job := w.job(object{"addresses": []string{"1 Main Street, Austin, TX 78701, USA", "Paris, France"}})
		locations := job["derivedInfo"].(object)["locations"].([]any)
		if len(locations) != 2 || locations[0].(object)["locationType"] != "STREET_ADDRESS" || locations[1].(object)["postalAddress"].(object)["regionCode"] != "FR" {
			t.Errorf("derived: %v", locations)
		}
	}},
	{"Job.addresses", "At most 50 locations are allowed for best search performance.", func(t *testing.T, w *world) {
		w.job(object{"addresses": slices.Repeat([]string{"Paris, France"}, 50)})
		w.refuses(object{"addresses": slices.Repeat([]string{"Paris, France"}, 51)}, "job.addresses")
	}},
	{"Job.addresses", "multiple jobs with the same company, language_code and requisition_id are not allowed.", func(t *testing.T, w *world) {
		w.job(object{"addresses": []string{"Paris, France"}})
		w.refusedJob(w.company, object{"addresses": []string{"Lyon, France"}}, "ALREADY_EXISTS", "")
	}},
	{"Job.addresses", "The maximum number of allowed characters is 500.", func(t *testing.T, w *world) {
		w.job(object{"addresses": []string{strings.Repeat("ü", 500)}})
		w.refuses(object{"addresses": []string{"Paris", strings.Repeat("ü", 501)}}, "job.addresses[1]")
	}},

	{"Job.applicationInfo", "Job application information.", func(t *testing.T, w *world) {
		w.job(object{"applicationInfo": nil}) // v3 alone requires it
		long := strings.Repeat("ü", 3001)
		w.job(object{"requisitionId": "longest", "applicationInfo": object{
			"emails": []string{long[:2*255]}, "instruction": long[:2*3000], "uris": []string{long[:2*2000]},
		}})
		w.refuses(object{"applicationInfo": object{"emails": []string{long[:2*256]}}}, "job.application_info.emails[0]")
		w.refuses(object{"applicationInfo": object{"instruction": long}}, "job.application_info.instruction")
		w.refuses(object{"applicationInfo": object{"uris": []string{long[:2*2001]}}}, "job.application_info.uris[0]")
	}},
	{"Job.jobBenefits", "The benefits included with the job.", func(t *testing.T, w *world) {
		if got := w.job(object{"jobBenefits": []any{"DENTAL", 5}})["jobBenefits"]; fmt.Sprint(got) != "[DENTAL MEDICAL]" {
			t.Errorf("got %v", got)
		}
		w.refuses(object{"jobBenefits": []string{"YACHT"}}, "job.job_benefits[0]")
	}},
	{"Job.compensationInfo", `Job compensation information (a.k.a. "pay rate") i.e., the compensation that will paid to the employee.`, func(t *testing.T, w *world) {
		usd := func(units string) object { return object{"currencyCode": "USD", "units": units} }
		job := w.job(object{"employmentTypes": []string{"FULL_TIME"}, "compensationInfo": object{
			"entries": []any{
				object{"type": "BASE", "unit": "HOURLY", "range": object{"minCompensation": usd("15"), "maxCompensation": usd("20")}},
				object{"type": "BONUS", "unit": "YEARLY", "amount": usd("1000")},
			},
			"annualizedBaseCompensationRange": object{"minCompensation": usd("1")},
		}})["compensationInfo"].(object)
		if got := fmt.Sprint(job["annualizedBaseCompensationRange"]); got != "map[maxCompensation:map[currencyCode:USD units:41600] minCompensation:map[currencyCode:USD units:31200]]" {
			t.Errorf("base: %s", got)
		}
		if got := fmt.Sprint(job["annualizedTotalCompensationRange"]); got != "map[maxCompensation:map[currencyCode:USD units:42600] minCompensation:map[currencyCode:USD units:32200]]" {
			t.Errorf("total: %s", got)
		}
		base := object{"type": "BASE", "amount": usd("1")}
		w.refuses(object{"compensationInfo": object{"entries": []any{base, base}}}, "job.compensation_info.entries")
		w.refuses(object{"compensationInfo": object{"entries": []any{object{"amount": usd("1"), "range": object{}}}}}, "job.compensation_info.entries[0]")
		w.refuses(object{"compensationInfo": object{"entries": []any{object{"amount": object{"currencyCode": "dollar"}}}}}, "job.compensation_info.entries[0].amount.currency_code")
		w.refuses(object{"compensationInfo": object{"entries": []any{object{"amount": object{"units": 1, "nanos": -1}}}}}, "job.compensation_info.entries[0].amount.nanos")
	}},

	{"Job.customAttributes", "A map of fields to hold both filterable and non-filterable custom job attributes that are not covered by the provided structured fields.", func(t *testing.T, w *world) {
		value := func(more object) object { return object{"customAttributes": object{"key": more}} }
		job := w.job(value(object{"stringValues": []string{"a", "b"}, "filterable": true}))
		if got := fmt.Sprint(job["customAttributes"]); got != "map[key:map[filterable:true stringValues:[a b]]]" {
			t.Errorf("got %s", got)
		}
		w.job(object{"requisitionId": "number", "customAttributes": object{"key": object{"longValues": []any{7}}}})
		const at = `job.custom_attributes["key"]`
		w.refuses(value(object{}), at)
		w.refuses(value(object{"stringValues": []string{"a"}, "longValues": []any{1}}), at)
		w.refuses(value(object{"longValues": []any{1, 2}}), at+".long_values")
		w.refuses(value(object{"stringValues": []string{""}}), at+".string_values")
	}},
	{"Job.customAttributes", "The keys of the map are strings up to 64 bytes and must match the pattern: `[a-zA-Z][a-zA-Z0-9_]*`. For example, key0LikeThis or KEY_1_LIKE_THIS.", func(t *testing.T, w *world) {
		longest := strings.Repeat("k", 64)
		for i, key := range []string{"key0LikeThis", "KEY_1_LIKE_THIS", "k", longest} {
			w.job(object{"requisitionId": fmt.Sprint("key ", i), "customAttributes": object{key: object{"stringValues": []string{"v"}}}})
		}
		for _, key := range []string{"", "0key", "_key", "key-1", "kéy", longest + "k"} {
			w.refusedJob(w.company, object{"requisitionId": "bad key", "customAttributes": object{key: object{"stringValues": []string{"v"}}}},
				"INVALID_ARGUMENT", fmt.Sprintf("job.custom_attributes[%q]", key))
		}
	}},
	{"Job.customAttributes", "At most 100 filterable and at most 100 unfilterable keys are supported.", func(t *testing.T, w *world) {
		keys := func(filterable, unfilterable int) object {
			attributes := object{}
			for i := range filterable {
				attributes[fmt.Sprint("f", i)] = object{"stringValues": []string{"v"}, "filterable": true}
			}
			for i := range unfilterable {
				attributes[fmt.Sprint("u", i)] = object{"stringValues": []string{"v"}}
			}
			return object{"customAttributes": attributes}
		}
		w.job(keys(100, 100))
		w.refuses(keys(101, 0), "job.custom_attributes")
		w.refuses(keys(0, 101), "job.custom_attributes")
	}},
	{"Job.customAttributes", "For filterable `string_values`, across all keys at most 200 values are allowed, with each string no more than 255 characters.", func(t *testing.T, w *world) {
		values := func(a, b []string) object {
			return object{"customAttributes": object{
				"a": object{"stringValues": a, "filterable": true},
				"b": object{"stringValues": b, "filterable": true},
			}}
		}
		some := slices.Repeat([]string{"v"}, 100)
		w.job(values(some, some))
		w.refuses(values(some, append(some, "v")), "job.custom_attributes")
		w.refuses(values([]string{strings.Repeat("v", 255)}, []string{strings.Repeat("v", 256)}), `job.custom_attributes["b"].string_values`)
		// Characters, not bytes as on the page of CustomAttribute.
		w.job(object{"requisitionId": "long", "customAttributes": values([]string{strings.Repeat("€", 255)}, some)["customAttributes"]})
	}},
	{"Job.customAttributes", "For unfilterable `string_values`, the maximum total size of `string_values` across all keys is 50KB.", func(t *testing.T, w *world) {
		values := func(a, b int) object {
			return object{"customAttributes": object{
				"a": object{"stringValues": []string{strings.Repeat("v", a)}},
				"b": object{"stringValues": []string{strings.Repeat("v", b)}},
			}}
		}
		w.job(values(50_000, 1_200))
		w.refuses(values(50_000, 1_201), "job.custom_attributes")
	}},

	{"Job.degreeTypes", "The desired education degrees for the job, such as Bachelors, Masters.", func(t *testing.T, w *world) {
		if got := w.job(object{"degreeTypes": []any{"BACHELORS_OR_EQUIVALENT", 7}})["degreeTypes"]; fmt.Sprint(got) != "[BACHELORS_OR_EQUIVALENT MASTERS_OR_EQUIVALENT]" {
			t.Errorf("got %v", got)
		}
		w.refuses(object{"degreeTypes": []string{"Bachelors"}}, "job.degree_types[0]")
	}},
	{"Job.department", "The maximum number of allowed characters is 255.", func(t *testing.T, w *world) { w.atMost("department", 255) }},
	{"Job.employmentTypes", "The employment type(s) of a job, for example, full time or part time.", func(t *testing.T, w *world) {
		if got := w.job(object{"employmentTypes": []any{"FULL_TIME", 2}})["employmentTypes"]; fmt.Sprint(got) != "[FULL_TIME PART_TIME]" {
			t.Errorf("got %v", got)
		}
		w.refuses(object{"employmentTypes": []any{"FULL TIME"}}, "job.employment_types[0]")
	}},
	{"Job.incentives", "The maximum number of allowed characters is 10,000.", func(t *testing.T, w *world) {
		w.atMost("incentives", 10_000)
	}},

	{"Job.languageCode", `Language codes must be in BCP-47 format, such as "en-US" or "sr-Latn".`, func(t *testing.T, w *world) {
		for _, code := range []string{"en-US", "sr-Latn", "de", "en_US"} {
			if got := w.job(object{"languageCode": code, "requisitionId": code})["languageCode"]; got != code {
				t.Errorf("%s became %v", code, got)
			}
		}
		w.refuses(object{"languageCode": "English"}, "job.language_code")
		w.refuses(object{"languageCode": "en-"}, "job.language_code")
	}},
	{"Job.languageCode", "If this field is unspecified and Job.description is present, detected language code based on Job.description is assigned, otherwise defaults to 'en_US'.", func(t *testing.T, w *world) {
		for want, description := range map[string]string{
			"en":    "We are looking for an experienced engineer who will build and operate the systems that our customers depend on every day, together with a friendly team.",
			"de":    "<p>Wir suchen eine erfahrene Ingenieurin, die gemeinsam mit uns die Systeme entwickelt und betreibt, auf die sich unsere Kunden jeden Tag verlassen.</p>",
			"fr":    "Nous recherchons une personne expérimentée qui développera avec nous les systèmes dont nos clients dépendent chaque jour, au sein d'une équipe agréable.",
			"ja":    "私たちは、お客様が毎日利用するシステムを一緒に開発し運用してくれる経験豊富なエンジニアを探しています。",
			"en_US": "12345",
		} {
			job := w.job(object{"description": description, "requisitionId": want})
			if job["languageCode"] != want {
				t.Errorf("%s: detected %v", want, job["languageCode"])
			}
		}
		job := w.job(object{"requisitionId": "kept"})
		job = w.patchJob(job["name"], object{"description": "Wir suchen eine erfahrene Ingenieurin, die gemeinsam mit uns die Systeme entwickelt."}, "description")
		if job["languageCode"] != "en" {
			t.Errorf("a mask without language_code changed it to %v", job["languageCode"])
		}
		if job = w.patchJob(job["name"], object{}, "languageCode"); job["languageCode"] != "de" {
			t.Errorf("cleared, it is detected as %v", job["languageCode"])
		}
	}},
	{"Job.jobLevel", `The experience level associated with the job, such as "Entry Level".`, func(t *testing.T, w *world) {
		if got := w.job(object{"jobLevel": 1})["jobLevel"]; got != "ENTRY_LEVEL" {
			t.Errorf("got %v", got)
		}
		w.refuses(object{"jobLevel": "Entry Level"}, "job.job_level")
	}},

	{"Job.promotionValue", "The value determines the sort order of the jobs returned when searching for jobs using the featured jobs search call, with higher promotional values being returned first and ties being resolved by relevance sort.", func(t *testing.T, w *world) {
		for i, title := range []string{"Cook", "Cook and Baker", "Baker"} {
			w.job(object{"requisitionId": fmt.Sprint(i), "title": title, "promotionValue": []int{3, 3, 9}[i], "description": "Cook things."})
		}
		if got := w.found(object{"query": "cook"}, object{"searchMode": "FEATURED_JOB_SEARCH"}); !slices.Equal(got, []string{"Baker", "Cook and Baker", "Cook"}) {
			t.Errorf("found %q", got)
		}
	}},
	{"Job.promotionValue", "Only the jobs with a promotionValue >0 are returned in a FEATURED_JOB_SEARCH.", func(t *testing.T, w *world) {
		w.job(object{"requisitionId": "plain"})
		w.job(object{"requisitionId": "featured", "title": "Featured", "promotionValue": 1})
		if got := w.found(nil, object{"searchMode": "FEATURED_JOB_SEARCH"}); !slices.Equal(got, []string{"Featured"}) {
			t.Errorf("found %q", got)
		}
	}},
	{"Job.promotionValue", "Default value is 0, and negative values are treated as 0.", func(t *testing.T, w *world) {
		for i, value := range []any{nil, 0, -5} {
			if got := w.job(object{"requisitionId": fmt.Sprint(i), "promotionValue": value})["promotionValue"]; got != nil { // proto3 JSON leaves 0 out
				t.Errorf("%v became %v", value, got)
			}
		}
	}},
	{"Job.qualifications", "This field accepts and sanitizes HTML input, and also accepts bold, italic, ordered list, and unordered list markup tags.", func(t *testing.T, w *world) {
		w.sanitizes("qualifications")
	}},
	{"Job.qualifications", "The maximum number of allowed characters is 10,000.", func(t *testing.T, w *world) { w.atMost("qualifications", 10_000) }},
	{"Job.responsibilities", "This field accepts and sanitizes HTML input, and also accepts bold, italic, ordered list, and unordered list markup tags.", func(t *testing.T, w *world) {
		w.sanitizes("responsibilities")
	}},
	{"Job.responsibilities", "The maximum number of allowed characters is 10,000.", func(t *testing.T, w *world) { w.atMost("responsibilities", 10_000) }},
	{"Job.postingRegion", "If this field is set, a LocationFilter in a search query within the job region finds this job posting if an exact location match isn't specified.", func(t *testing.T, w *world) {
		for i, region := range []any{"NATION", "ADMINISTRATIVE_AREA", nil} {
			w.job(object{"requisitionId": fmt.Sprint(i), "title": fmt.Sprint(region), "postingRegion": region, "addresses": []string{"San Diego, CA, USA"}})
		}
		for address, want := range map[string][]string{
			"San Diego, CA, USA": {"<nil>", "ADMINISTRATIVE_AREA", "NATION"},
			"Fresno, CA, USA":    {"ADMINISTRATIVE_AREA", "NATION"},
			"Austin, TX, USA":    {"NATION"},
			"Paris, France":      nil,
		} {
			got := w.found(object{"locationFilters": []any{object{"address": address}}}, nil)
			if slices.Sort(got); !slices.Equal(got, want) {
				t.Errorf("%s: found %q, want %q", address, got, want)
			}
		}
	}},
	{"Job.visibility", "Defaults to Visibility.ACCOUNT_ONLY if not specified.", func(t *testing.T, w *world) {
		job := w.job(nil)
		if job["visibility"] != "ACCOUNT_ONLY" {
			t.Errorf("by default %v", job["visibility"])
		}
		job = w.patchJob(job["name"], object{"visibility": "SHARED_WITH_GOOGLE"}, "visibility")
		if job["visibility"] != "SHARED_WITH_GOOGLE" {
			t.Errorf("set, it is %v", job["visibility"])
		}
		if job = w.patchJob(job["name"], object{}, "visibility"); job["visibility"] != "ACCOUNT_ONLY" {
			t.Errorf("cleared, it is %v", job["visibility"])
		}
	}},

	{"Job.jobStartTime", "Invalid timestamps are ignored.", func(t *testing.T, w *world) { w.ignoresInvalid("jobStartTime") }},
	{"Job.jobStartTime", "The start timestamp of the job in UTC time zone.", func(t *testing.T, w *world) {
		if got := w.job(object{"jobStartTime": "2030-01-01T02:00:00+02:00"})["jobStartTime"]; got != "2030-01-01T00:00:00Z" {
			t.Errorf("got %v", got)
		}
	}},
	{"Job.jobEndTime", "Invalid timestamps are ignored.", func(t *testing.T, w *world) { w.ignoresInvalid("jobEndTime") }},
	{"Job.postingPublishTime", "Invalid timestamps are ignored.", func(t *testing.T, w *world) { w.ignoresInvalid("postingPublishTime") }},
	{"Job.postingPublishTime", "The timestamp this job posting was most recently published. The default value is the time the request arrives at the server.", func(t *testing.T, w *world) {
		job := w.job(nil)
		if job["postingPublishTime"] != "2017-01-01T13:00:00Z" {
			t.Errorf("created: %v", job["postingPublishTime"])
		}
		w.forward(day)
		if job = w.patchJob(job["name"], object{"title": "x"}, "title"); job["postingPublishTime"] != "2017-01-01T13:00:00Z" {
			t.Errorf("patched without it: %v", job["postingPublishTime"])
		}
		if job = w.patchJob(job["name"], w.newJob(w.company, nil), ""); job["postingPublishTime"] != "2017-01-02T13:00:00Z" {
			t.Errorf("all patched: %v", job["postingPublishTime"])
		}
	}},
	{"Job.postingCreateTime", "Output only. The timestamp when this job posting was created.", func(t *testing.T, w *world) {
		w.outputOnly("postingCreateTime", "2001-01-01T00:00:00Z")
		if got := w.job(object{"requisitionId": "r2"})["postingCreateTime"]; got != "2017-01-01T13:00:00Z" {
			t.Errorf("got %v", got)
		}
	}},
	{"Job.postingUpdateTime", "Output only. The timestamp when this job posting was last updated.", func(t *testing.T, w *world) {
		w.outputOnly("postingUpdateTime", "2001-01-01T00:00:00Z")
		job := w.job(object{"requisitionId": "r2"})
		w.forward(time.Hour)
		if job = w.patchJob(job["name"], object{"title": "x"}, "title"); job["postingUpdateTime"] != "2017-01-01T14:00:00Z" || job["postingCreateTime"] != "2017-01-01T13:00:00Z" {
			t.Errorf("got %v", job)
		}
	}},
	{"Job.companyDisplayName", "Output only. Display name of the company listing the job.", func(t *testing.T, w *world) {
		w.outputOnly("companyDisplayName", "Other")
		if got := w.job(object{"requisitionId": "r2"})["companyDisplayName"]; got != "Acme" {
			t.Errorf("got %v", got)
		}
	}},
	{"Job.derivedInfo", "Output only. Derived details about the job posting.", func(t *testing.T, w *world) {
		w.outputOnly("derivedInfo", object{"jobCategories": []string{"LEGAL"}, "locations": []any{object{"postalAddress": object{}}}})
		job := w.job(object{"requisitionId": "r2", "title": "Nurse"})
		if got := fmt.Sprint(job["derivedInfo"].(object)["jobCategories"]); got != "[HEALTHCARE]" {
			t.Errorf("categories %s", got)
		}
	}},
	{"Job.processingOptions", "Options for job processing.", func(t *testing.T, w *world) {
		const html = `<p onclick="x">kept</p>`
		fields := object{"processingOptions": object{"htmlSanitization": "HTML_SANITIZATION_DISABLED"}, "applicationInfo": object{"instruction": html}}
		for _, name := range []string{"description", "incentives", "qualifications", "responsibilities"} {
			fields[name] = html
		}
		job := w.job(fields)
		for _, got := range []any{job["description"], job["incentives"], job["qualifications"], job["responsibilities"], job["applicationInfo"].(object)["instruction"]} {
			if got != html {
				t.Errorf("not sanitized, it is %v", got)
			}
		}
		fields["processingOptions"] = object{"htmlSanitization": "SIMPLE_FORMATTING_ONLY", "disableStreetAddressResolution": true}
		job = w.patchJob(job["name"], w.newJob(w.company, fields), "")
		for _, got := range []any{job["description"], job["incentives"], job["qualifications"], job["responsibilities"], job["applicationInfo"].(object)["instruction"]} {
			if got != "kept" {
				t.Errorf("sanitized, it is %v", got)
			}
		}
	}},

	{"Job.postingExpireTime", "The expiration timestamp of the job. After this timestamp, the job is marked as expired, and it no longer appears in search results.", func(t *testing.T, w *world) {
		name := w.job(object{"postingExpireTime": "2017-01-01T14:00:00Z"})["name"].(string)
		w.forward(time.Hour - 1)
		if got := w.searched(); !slices.Equal(got, []string{name}) {
			t.Errorf("before: %q", got)
		}
		w.forward(1)
		if got := w.searched(); got != nil {
			t.Errorf("after: %q", got)
		}
		if got := w.list(fmt.Sprintf(`companyName = %q AND status = "EXPIRED"`, w.company)); !slices.Equal(got, []string{name}) {
			t.Errorf("expired: %q", got)
		}
	}},
	{"Job.postingExpireTime", "The expired job can't be listed by the ListJobs API, but it can be retrieved with the GetJob API or updated with the UpdateJob API or deleted with the DeleteJob API.", func(t *testing.T, w *world) {
		name := w.job(nil)["name"].(string)
		w.forward(30 * day)
		if got := w.list(`requisitionId = "r1"`); got != nil {
			t.Errorf("listed: %q", got)
		}
		w.getJob(name)
		if got := w.patchJob(name, object{"title": "x"}, "title"); got["title"] != "x" {
			t.Errorf("patched: %v", got)
		}
		if got := w.list(`requisitionId = "r1"`); got != nil {
			t.Errorf("listed after an update that leaves it expired: %q", got)
		}
		w.ok("DELETE", name, nil)
		w.refused("GET", name, nil, "NOT_FOUND", "")
	}},
	{"Job.postingExpireTime", "An expired job can be updated and opened again by using a future expiration timestamp.", func(t *testing.T, w *world) {
		name := w.job(nil)["name"].(string)
		w.forward(31 * day)
		w.patchJob(name, object{"postingExpireTime": "2017-03-01T00:00:00Z"}, "postingExpireTime")
		if got := w.searched(); !slices.Equal(got, []string{name}) {
			t.Errorf("found %q", got)
		}
		w.refusedJob(w.company, nil, "ALREADY_EXISTS", "")
		// A past time closes an open job. Unlike a job that was created
		// expired, it can be opened again.
		w.patchJob(name, object{"postingExpireTime": "2017-01-02T00:00:00Z"}, "postingExpireTime")
		if got := w.searched(); got != nil {
			t.Errorf("closed, but found %q", got)
		}
		w.patchJob(name, object{"postingExpireTime": "2017-03-01T00:00:00Z"}, "postingExpireTime")
		if got := w.searched(); !slices.Equal(got, []string{name}) {
			t.Errorf("opened again: %q", got)
		}
	}},
	{"Job.postingExpireTime", "Updating an expired job fails if there is another existing open job with same company, language_code and requisition_id.", func(t *testing.T, w *world) {
		old := w.job(nil)["name"].(string)
		w.forward(31 * day)
		open := w.job(nil)["name"].(string) // an expired one does not stand in the way
		w.refusedPatch(old, object{"title": "x"}, "title", "ALREADY_EXISTS", "")
		w.refusedPatch(old, object{"postingExpireTime": "2017-03-01T00:00:00Z"}, "postingExpireTime", "ALREADY_EXISTS", "")
		w.ok("DELETE", open, nil)
		w.patchJob(old, object{"title": "x"}, "title")
	}},
	{"Job.postingExpireTime", "The expired jobs are retained in our system for 90 days.", func(t *testing.T, w *world) {
		name := w.job(nil)["name"].(string)
		w.forward((30 + 90) * day)
		w.forward(-1)
		w.getJob(name)
		w.refused("DELETE", w.company, nil, "FAILED_PRECONDITION", "")
		w.forward(1)
		w.refused("GET", name, nil, "NOT_FOUND", "")
		w.ok("DELETE", w.company, nil)
	}},
	{"Job.postingExpireTime", "However, the overall expired job count cannot exceed 3 times the maximum number of open jobs over previous 7 days.", func(t *testing.T, w *world) {
		// Two jobs are open at a time; each expires after a day.
		var all []string
		for i := range 8 {
			job := w.job(object{"requisitionId": fmt.Sprint(i), "postingExpireTime": w.now().Add(day).Format(time.RFC3339)})
			all = append(all, job["name"].(string))
			if i%2 == 1 {
				w.forward(day)
			}
		}
		if got := w.list(fmt.Sprintf(`companyName = %q AND status = "ALL"`, w.company)); !slices.Equal(got, all[2:]) {
			t.Errorf("kept %q of %q", got, all)
		}
	}},
	{"Job.postingExpireTime", "If this threshold is exceeded, expired jobs are cleaned out in order of earliest expire time.", func(t *testing.T, w *world) {
		var all []string
		for i, expires := range []time.Duration{3 * time.Hour, 1 * time.Hour, 4 * time.Hour, 2 * time.Hour} {
			job := w.job(object{"requisitionId": fmt.Sprint(i), "postingExpireTime": w.now().Add(expires).Format(time.RFC3339)})
			all = append(all, job["name"].(string))
		}
		w.forward(day)
		filter := fmt.Sprintf(`companyName = %q AND status = "ALL"`, w.company)
		if got := w.list(filter); !slices.Equal(got, all) {
			t.Errorf("4 were open, but %q are left of %q", got, all)
		}
		w.forward(8 * day) // nothing was open for 7 days
		if got := w.list(filter); !slices.Equal(got, []string{all[0], all[2], all[3]}) {
			t.Errorf("%q are left of %q", got, all)
		}
	}},
	{"Job.postingExpireTime", "Expired jobs are no longer accessible after they are cleaned out.", func(t *testing.T, w *world) {
		name := w.job(nil)["name"].(string)
		w.forward(121 * day)
		w.refused("GET", name, nil, "NOT_FOUND", "")
		w.refusedPatch(name, object{"title": "x"}, "title", "NOT_FOUND", "")
		w.refused("DELETE", name, nil, "NOT_FOUND", "")
		if got := w.list(fmt.Sprintf(`companyName = %q AND status = "ALL"`, w.company)); got != nil {
			t.Errorf("listed: %q", got)
		}
	}},
	{"Job.postingExpireTime", "Invalid timestamps are ignored, and treated as expire time not provided.", func(t *testing.T, w *world) {
		w.ignoresInvalid("postingExpireTime")
		if got := w.job(object{"postingExpireTime": "soon"})["postingExpireTime"]; got != "2017-01-31T13:00:00Z" {
			t.Errorf("got %v", got)
		}
	}},
	{"Job.postingExpireTime", "If the timestamp is before the instant request is made, the job is treated as expired immediately on creation.", func(t *testing.T, w *world) {
		name := w.job(object{"postingPublishTime": "2016-12-01T00:00:00Z", "postingExpireTime": "2016-12-02T00:00:00Z"})["name"].(string)
		if got := w.searched(); got != nil {
			t.Errorf("found %q", got)
		}
		if got := w.getJob(name)["postingExpireTime"]; got != "2016-12-02T00:00:00Z" {
			t.Errorf("got %v", got)
		}
	}},
	{"Job.postingExpireTime", "This kind of job can not be updated.", func(t *testing.T, w *world) {
		name := w.job(object{"postingPublishTime": "2016-12-01T00:00:00Z", "postingExpireTime": "2016-12-02T00:00:00Z"})["name"].(string)
		w.refusedPatch(name, object{"title": "x"}, "title", "FAILED_PRECONDITION", "")
		w.refusedPatch(name, object{"postingExpireTime": "2018-01-01T00:00:00Z"}, "postingExpireTime", "FAILED_PRECONDITION", "")
	}},
	{"Job.postingExpireTime", "And when creating a job with past timestamp, the posting_publish_time must be set before posting_expire_time.", func(t *testing.T, w *world) {
		past := object{"postingExpireTime": "2016-12-02T00:00:00Z"}
		w.refusedJob(w.company, past, "INVALID_ARGUMENT", "job.posting_publish_time")
		past["postingPublishTime"] = "2016-12-02T00:00:00Z"
		w.refusedJob(w.company, past, "INVALID_ARGUMENT", "job.posting_publish_time")
		past["postingPublishTime"] = "2016-12-01T23:59:59Z"
		w.job(past)
	}},
	{"Job.postingExpireTime", "If you want to modify a job that was expired on creation, delete it and create a new one.", func(t *testing.T, w *world) {
		past := object{"postingPublishTime": "2016-12-01T00:00:00Z", "postingExpireTime": "2016-12-02T00:00:00Z"}
		w.ok("DELETE", w.job(past)["name"].(string), nil)
		w.job(past)
	}},
	{"Job.postingExpireTime", "If this value isn't provided at the time of job creation or is invalid, the job posting expires after 30 days from the job's creation time. " +
		"For example, if the job was created on 2017/01/01 13:00AM UTC with an unspecified expiration date, the job expires after 2017/01/31 13:00AM UTC.", func(t *testing.T, w *world) {
		if got := w.job(nil)["postingExpireTime"]; got != "2017-01-31T13:00:00Z" {
			t.Errorf("got %v", got)
		}
	}},
	{"Job.postingExpireTime", "If this value isn't provided on job update, it depends on the field masks set by UpdateJobRequest.update_mask. " +
		"If the field masks include job_end_time, or the masks are empty meaning that every field is updated, the job posting expires after 30 days from the job's last update time. " +
		"Otherwise the expiration date isn't updated.", func(t *testing.T, w *world) {
		for mask, want := range map[string]string{
			"":                        "2017-02-01T13:00:00Z",
			"jobEndTime":              "2017-02-01T13:00:00Z",
			"title,job_end_time":      "2017-02-01T13:00:00Z",
			"postingExpireTime":       "2018-01-01T00:00:00Z",
			"title":                   "2018-01-01T00:00:00Z",
			"title,jobStartTime":      "2018-01-01T00:00:00Z",
			"department,languageCode": "2018-01-01T00:00:00Z",
		} {
			fresh := newWorld(t, w.name)
			job := fresh.job(object{"postingExpireTime": "2018-01-01T00:00:00Z"})
			fresh.forward(day)
			job = fresh.patchJob(job["name"], fresh.newJob(fresh.company, nil), mask)
			if job["postingExpireTime"] != want {
				t.Errorf("mask %q: %v, want %s", mask, job["postingExpireTime"], want)
			}
		}
	}},

	{"UpdateJobRequest.job", "Required. The Job to be updated.", func(t *testing.T, w *world) {
		name := w.job(nil)["name"].(string)
		if w.wrapped {
			w.refused("PATCH", name, object{"updateMask": "title"}, "INVALID_ARGUMENT", "job")
			w.refused("PATCH", name, object{}, "INVALID_ARGUMENT", "job")
		}
	}},
	{"UpdateJobRequest.updateMask", "If update_mask is provided, only the specified fields in job are updated.", func(t *testing.T, w *world) {
		job := w.job(object{"department": "IT", "jobLevel": "MANAGER", "jobBenefits": []string{"DENTAL"}})
		got := w.patchJob(job["name"], object{"title": "New", "description": "New", "jobBenefits": []string{"VISION"}, "department": "Other"}, " title , job_benefits,jobLevel")
		want := object{"title": "New", "description": job["description"], "department": "IT", "jobLevel": nil, "jobBenefits": []any{"VISION"}}
		for field, value := range want {
			if fmt.Sprint(got[field]) != fmt.Sprint(value) {
				t.Errorf("%s is %v, want %v", field, got[field], value)
			}
		}
	}},
	{"UpdateJobRequest.updateMask", "Otherwise all the fields are updated.", func(t *testing.T, w *world) {
		job := w.job(object{"department": "IT", "jobLevel": "MANAGER"})
		job = w.patchJob(job["name"], w.newJob(w.company, object{"title": "New"}), "")
		if job["title"] != "New" || job["department"] != nil || job["jobLevel"] != nil {
			t.Errorf("got %v", job)
		}
	}},
	{"UpdateJobRequest.updateMask", "A field mask to restrict the fields that are updated. Only top level fields of Job are supported.", func(t *testing.T, w *world) {
		name := w.job(nil)["name"]
		for _, mask := range []string{"applicationInfo.uris", "job.title", "title,derivedInfo.locations", "titel", "*", "title,,department"} {
			w.refusedPatch(name, object{"title": "x"}, mask, "INVALID_ARGUMENT", "update_mask")
		}
	}},
}

// remarks are the reference's other sentences: the purpose of fields, and advice to
// clients.
var remarks = []string{
	"Strongly recommended for the best service experience.",
	"This field is intended to be used by clients for client identification and tracking of postings.",
	`The title of the job, such as "Software Engineer"`,
	"The description of the job, which typically includes a multi-paragraph description of the company and related information.",
	"Separate fields are provided on the job object for responsibilities, qualifications, and other job characteristics. Use of these separate job fields is recommended.",
	"Specifying the full street address(es) of the hiring location enables better API results, especially job searches by commute time.",
	"If a job has more locations, it is suggested to split it into multiple jobs with unique requisition_ids (e.g. 'ReqA' becomes 'ReqA-1', 'ReqA-2', and so on.) as",
	"If the original requisition_id must be preserved, a custom field should be used for storage.",
	"It is also suggested to group the locations that close to each other in the same job for better search experience.",
	"The department or functional area within the company with the open position.",
	"A description of bonus, commission, and other compensation incentives associated with the job not including salary or pay.",
	"The language of the posting. This field is distinct from any requirements for fluency that are associated with the job.",
	`For more information, see [Tags for Identifying Languages](https://tools.ietf.org/html/bcp47){: class="external" target="_blank" }.`,
	"A promotion value of the job, as determined by the client.",
	"A description of the qualifications required to perform the job.",
	"A description of job responsibilities.",
	"The use of this field is recommended as an alternative to using the more general description field.",
	"The job PostingRegion (for example, state, country) throughout which the job is available.",
	"If this field is set to PostingRegion.NATION or PostingRegion.ADMINISTRATIVE_AREA, setting job Job.addresses to the same location level as this field is strongly recommended.",
	"Deprecated. The job is only visible to the owner. The visibility of the job.",
	"Deprecated: Marked as deprecated in google/cloud/talent/v4beta1/job.proto.",
	"The end timestamp of the job.",
	"Typically this field is used for contracting engagements.",
	"The purpose of this feature is to allow other objects, such as Application, to refer a job that didn't exist in the system prior to becoming expired.",
}

// notOfV3 are the beginnings of rules that v3 does not have or changes, see
// TestRulesOfV3.
var notOfV3 = []string{
	"Required. The resource name of the company",
	`The format is "projects/{project_id}/tenants/{tenant_id}/companies`,
	"Job application information.",
	"The expired job can't be listed",
	"This kind of job can not be updated.",
	"And when creating a job with past timestamp",
	"If you want to modify a job that was expired on creation",
	"If this value isn't provided on job update",
}

// Each rule applies in the versions that share it.
func TestRules(t *testing.T) {
	for _, version := range []string{"v3", "v4beta1", "v4beta1 in tenants", "v4"} {
		t.Run(version, func(t *testing.T) {
			for _, r := range rules {
				if version == "v3" && slices.ContainsFunc(notOfV3, func(s string) bool { return strings.HasPrefix(r.says, s) }) {
					continue
				}
				t.Run(r.of+": "+r.says, func(t *testing.T) {
					r.test(t, newWorld(t, version))
				})
			}
		})
	}
}

// The rules and remarks together are the whole reference.
func TestRulesAreAll(t *testing.T) {
	doc, err := discovery.JobsV4beta1()
	if err != nil {
		t.Fatal(err)
	}
	left := map[string]string{}
	for _, schema := range []string{"Job", "UpdateJobRequest"} {
		for name, field := range doc.Schemas[schema].Properties {
			if name != "parent" {
				left[schema+"."+name] = field.Description
			}
		}
	}
	for _, r := range rules {
		if !strings.Contains(left[r.of], r.says) {
			t.Errorf("%s does not say, or a rule has said before: %s", r.of, r.says)
		}
		left[r.of] = strings.Replace(left[r.of], r.says, "", 1)
	}
	for field, text := range left {
		for _, remark := range remarks {
			text = strings.Replace(text, remark, "", 1)
		}
		if text = strings.TrimSpace(text); text != "" {
			t.Errorf("no rule of %s: %s", field, text)
		}
	}
}

// The request of the reference in its printed form, with all fields: timestamps in
// seconds and nanos, output-only fields included.
func TestReferenceRequest(t *testing.T) {
	w := newWorld(t, "v4beta1")
	name := w.job(nil)["name"].(string)
	at := object{"seconds": "1500000000", "nanos": 5}
	money := object{"currencyCode": "USD", "units": "1"}
	span := object{"minCompensation": money, "maxCompensation": money}
	job := object{
		"name": name, "company": w.company, "requisitionId": "r", "title": "t", "description": "d",
		"addresses":       []string{"Paris, France"},
		"applicationInfo": object{"emails": []string{"a@example.com"}, "instruction": "i", "uris": []string{"u"}},
		"jobBenefits":     []string{"DENTAL"},
		"compensationInfo": object{
			"entries":                          []any{object{"type": "BASE", "unit": "HOURLY", "range": span, "expectedUnitsPerYear": 2}},
			"annualizedBaseCompensationRange":  span,
			"annualizedTotalCompensationRange": span,
		},
		"customAttributes": object{"k": object{"stringValues": []string{"v"}, "filterable": true, "keywordSearchable": true}},
		"degreeTypes":      []string{"PRIMARY_EDUCATION"}, "department": "d", "employmentTypes": []string{"FULL_TIME"},
		"incentives": "i", "languageCode": "en-US", "jobLevel": "DIRECTOR", "promotionValue": 1, "qualifications": "q",
		"responsibilities": "r", "postingRegion": "NATION", "visibility": "SHARED_WITH_PUBLIC",
		"jobStartTime": at, "jobEndTime": at, "postingPublishTime": at, "postingExpireTime": at,
		"postingCreateTime": at, "postingUpdateTime": at, "companyDisplayName": "c",
		"derivedInfo":       object{"locations": []any{object{"locationType": "COUNTRY"}}, "jobCategories": []string{"LEGAL"}},
		"processingOptions": object{"disableStreetAddressResolution": true, "htmlSanitization": "SIMPLE_FORMATTING_ONLY"},
	}
	doc, err := discovery.JobsV4beta1()
	if err != nil {
		t.Fatal(err)
	}
	for field := range doc.Schemas["Job"].Properties {
		if job[field] == nil {
			t.Errorf("the request lacks %s", field)
		}
	}
	got := w.ok("PATCH", name, object{"job": job, "updateMask": ""})
	for field, value := range job {
		switch field {
		case "companyDisplayName", "derivedInfo", "postingCreateTime", "postingUpdateTime":
			if fmt.Sprint(got[field]) == fmt.Sprint(value) {
				t.Errorf("%s is output only, but became %v", field, got[field])
			}
		case "jobStartTime", "jobEndTime", "postingPublishTime", "postingExpireTime":
			if got[field] != "2017-07-14T02:40:00.000000005Z" {
				t.Errorf("%s is %v", field, got[field])
			}
		case "compensationInfo":
			if base := fmt.Sprint(got[field].(object)["annualizedBaseCompensationRange"]); base != "map[maxCompensation:map[currencyCode:USD units:2] minCompensation:map[currencyCode:USD units:2]]" {
				t.Errorf("annualized to %s", base)
			}
		default:
			if fmt.Sprint(got[field]) != fmt.Sprint(value) {
				t.Errorf("%s is %v, want %v", field, got[field], value)
			}
		}
	}
}

// Without a clock the emulator uses package time.
func TestJobsLiveInABubble(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		emu := emulator.New(emulator.Options{})
		call := func(method, path, body string) (int, object) {
			w := httptest.NewRecorder()
			emu.ServeHTTP(w, httptest.NewRequest(method, path, strings.NewReader(body)))
			var o object
			if err := json.Unmarshal(w.Body.Bytes(), &o); err != nil {
				t.Fatal(err)
			}
			return w.Code, o
		}
		_, company := call("POST", "/v4beta1/projects/p/companies", `{"company":{"displayName":"Acme","externalId":"a"}}`)
		_, job := call("POST", "/v4beta1/projects/p/jobs",
			fmt.Sprintf(`{"job":{"company":%q,"requisitionId":"r","title":"t","description":"d"}}`, company["name"]))
		name := "/v4beta1/" + job["name"].(string)
		list := "/v4beta1/projects/p/jobs?filter=" + url.QueryEscape(`requisitionId = "r"`)
		time.Sleep(30*day - 1)
		if _, o := call("GET", list, ""); o["jobs"] == nil {
			t.Errorf("in the last moment of 30 days: %v", o)
		}
		time.Sleep(time.Nanosecond)
		if _, o := call("GET", list, ""); o["jobs"] != nil {
			t.Errorf("after 30 days: %v", o)
		}
		time.Sleep(90*day - 1)
		if code, o := call("GET", name, ""); code != 200 {
			t.Errorf("in the last moment of 90 days: %v", o)
		}
		time.Sleep(time.Nanosecond)
		if code, o := call("GET", name, ""); code != 404 {
			t.Errorf("after 90 days: %v", o)
		}
	})
}

// Rules that differ in v3.
func TestRulesOfV3(t *testing.T) {
	t.Run("Required. At least one field within ApplicationInfo must be specified.", func(t *testing.T) {
		w := newWorld(t, "v3")
		w.refuses(object{"applicationInfo": nil}, "job.application_info")
		w.refuses(object{"applicationInfo": object{}}, "job.application_info")
		w.job(object{"requisitionId": "r2", "applicationInfo": object{"instruction": "Call us."}})
	})
	t.Run("The expired job can't be deleted or listed by the DeleteJob and ListJobs APIs", func(t *testing.T) {
		w := newWorld(t, "v3")
		name := w.job(nil)["name"].(string)
		w.forward(31 * day)
		w.refused("DELETE", name, nil, "FAILED_PRECONDITION", "")
		if got := w.list(`requisitionId = "r1"`); got != nil {
			t.Errorf("listed %q", got)
		}
		w.ok("POST", w.parent+"/jobs:batchDelete", object{"filter": fmt.Sprintf(`companyName = %q AND requisitionId = "r1"`, w.company)})
		w.getJob(name)
	})
	t.Run("Timestamp before the instant request is made is considered valid, the job will be treated as expired immediately.", func(t *testing.T) {
		w := newWorld(t, "v3")
		name := w.job(object{"postingExpireTime": "2016-12-02T00:00:00Z"})["name"]
		w.patchJob(name, object{"postingExpireTime": "2017-02-01T00:00:00Z"}, "postingExpireTime")
		if got := w.searched(); !slices.Equal(got, []string{name.(string)}) {
			t.Errorf("opened again: %q", got)
		}
	})
	t.Run("If the field masks include expiry_time, or the masks are empty meaning that every field is updated, the job posting expires after 30 days from the job's last update time.", func(t *testing.T) {
		for mask, want := range map[string]string{
			"": "2017-02-01T13:00:00Z", "expiry_time": "2017-02-01T13:00:00Z", "posting_expire_time": "2018-01-01T00:00:00Z",
			"title": "2018-01-01T00:00:00Z", "job_end_time": "2018-01-01T00:00:00Z",
		} {
			w := newWorld(t, "v3")
			name := w.job(object{"postingExpireTime": "2018-01-01T00:00:00Z"})["name"]
			w.forward(day)
			if got := w.patchJob(name, w.newJob(w.company, nil), mask)["postingExpireTime"]; got != want {
				t.Errorf("mask %q: %v, want %s", mask, got, want)
			}
		}
	})
	t.Run("Required. The resource name of the company listing the job", func(t *testing.T) {
		w := newWorld(t, "v3")
		w.refusedJob(w.company, object{"companyName": nil}, "INVALID_ARGUMENT", "job.company_name")
		w.refusedJob(w.company, object{"companyName": "projects/p/companies/none"}, "INVALID_ARGUMENT", "job.company_name")
		w.refused("POST", w.parent+"/jobs", object{"job": object{"company": w.company}}, "INVALID_ARGUMENT", "job") // v4's name
	})
}

// v4beta1 can delete expired jobs, so its batchDelete does.
func TestDeleteExpiredByFilter(t *testing.T) {
	w := newWorld(t, "v4beta1")
	name := w.job(nil)["name"].(string)
	w.forward(31 * day)
	w.ok("POST", w.parent+"/jobs:batchDelete", object{"filter": fmt.Sprintf(`companyName = %q AND requisitionId = "r1"`, w.company)})
	w.refused("GET", name, nil, "NOT_FOUND", "")
}

func TestListFilter(t *testing.T) {
	eachVersion(t, func(t *testing.T, a *api) {
		company, other := a.company("acme"), a.company("other")
		one := a.createJob(company, object{"requisitionId": `a "quoted" one`})["name"].(string)
		two := a.createJob(company, object{"requisitionId": "two"})["name"].(string)
		three := a.createJob(other, object{"requisitionId": "two"})["name"].(string)
		for filter, want := range map[string][]string{
			`companyName = "` + company + `"`:                                   {one, two},
			`companyName="` + company + `" AND requisitionId="two"`:             {two},
			`requisitionId = "two"`:                                             {two, three},
			`requisitionId = "a \"quoted\" one"`:                                {one},
			`status = "EXPIRED" AND companyName = "` + company + `"`:            nil,
			`status = "ALL" AND requisitionId = "two"`:                          {two, three},
			`requisitionId = "none"`:                                            nil,
			`companyName = "` + strings.Replace(company, "/p/", "/q/", 1) + `"`: nil,
		} {
			if got := a.list(filter); !slices.Equal(got, want) {
				t.Errorf("%s: %q, want %q", filter, got, want)
			}
		}
		for _, filter := range []string{
			"", `status = "OPEN"`, `title = "x"`, `requisitionId`, `requisitionId = two`, `requisitionId = "two" OR status = "ALL"`,
			`requisitionId = "two" AND`, `requisitionId = "two`, `requisitionId = "x" AND requisitionId = "y"`, `companyName = "acme"`,
			`requisitionId = "two" AND status = "CLOSED"`,
		} {
			a.refused("GET", a.parent+"/jobs?filter="+url.QueryEscape(filter), nil, "INVALID_ARGUMENT", "filter")
		}
	})
}

func TestListPages(t *testing.T) {
	eachVersion(t, func(t *testing.T, a *api) {
		company := a.company("acme")
		var all []string
		for i := range 5 {
			all = append(all, a.createJob(company, object{"requisitionId": fmt.Sprint(i)})["name"].(string))
		}
		path := a.parent + "/jobs?pageSize=2&filter=" + url.QueryEscape(`companyName = "`+company+`"`)
		var got []string
		token := ""
		for range 4 {
			page := a.ok("GET", path+"&pageToken="+token, nil)
			if page["metadata"].(object)["requestId"] == nil {
				t.Error("no request id")
			}
			got = append(got, names(page["jobs"])...)
			next, more := page["nextPageToken"].(string)
			if token = next; !more {
				break
			}
			a.ok("DELETE", got[len(got)-1], nil) // pages do not shift when jobs go
		}
		if !slices.Equal(got, all) {
			t.Errorf("the pages have %q, want %q", got, all)
		}
		a.refused("GET", path+"&pageToken=x", nil, "INVALID_ARGUMENT", "page_token")
		if status, _ := a.do("GET", path+"&pageSize=many", nil); status != 400 {
			t.Errorf("pageSize=many: %d", status)
		}
		if status, _ := a.do("GET", path+"&titel=x", nil); status != 400 {
			t.Errorf("an unknown parameter: %d", status)
		}
		view := a.ok("GET", path+"&jobView=JOB_VIEW_ID_ONLY", nil)["jobs"].([]any)[0].(object)
		if len(view) != 3 || view["requisitionId"] != "0" {
			t.Errorf("JOB_VIEW_ID_ONLY shows %v", view)
		}
	})
}
