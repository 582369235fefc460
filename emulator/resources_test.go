package emulator_test

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/clientevents/clientevents/emulator"
)

// object is the JSON of a request or response.
type object = map[string]any

// api calls a version of the API below a parent.
type api struct {
	t       testing.TB
	url     string
	version string
	parent  string
	// job and company are fields of a job that differ by version.
	companyField string
	wrapped      bool
}

// versions returns callers of each version, below the project p.
func versions(t testing.TB, url string) map[string]*api {
	return map[string]*api{
		"v3":                 {t: t, url: url, version: "v3", parent: "projects/p", companyField: "companyName", wrapped: true},
		"v4beta1":            {t: t, url: url, version: "v4beta1", parent: "projects/p", companyField: "company", wrapped: true},
		"v4beta1 in tenants": {t: t, url: url, version: "v4beta1", parent: "projects/p/tenants/default", companyField: "company", wrapped: true},
		"v4":                 {t: t, url: url, version: "v4", parent: "projects/p/tenants/default", companyField: "company"},
	}
}

// eachVersion runs the test for each version, with a new emulator.
func eachVersion(t *testing.T, test func(t *testing.T, a *api)) {
	for _, name := range slices.Sorted(maps.Keys(versions(nil, ""))) {
		t.Run(name, func(t *testing.T) {
			_, url := start(t, emulator.Options{})
			test(t, versions(t, url)[name])
		})
	}
}

// do calls a method and decodes its answer.
func (a *api) do(method, path string, body any) (int, object) {
	a.t.Helper()
	text := ""
	if body != nil {
		raw, err := json.Marshal(body)
		if err != nil {
			a.t.Fatal(err)
		}
		text = string(raw)
	}
	got := send(a.t, method, a.url+"/"+a.version+"/"+path, text)
	var o object
	if err := json.Unmarshal([]byte(got.body), &o); err != nil {
		a.t.Fatalf("%s %s: %d, not JSON: %s", method, path, got.status, got.body)
	}
	return got.status, o
}

// ok calls a method that must succeed.
func (a *api) ok(method, path string, body any) object {
	a.t.Helper()
	status, o := a.do(method, path, body)
	if status != 200 {
		a.t.Fatalf("%s %s: %d: %v", method, path, status, o)
	}
	return o
}

// refused calls a method that must fail, and checks the error's code and the field that
// it names, if one is given.
func (a *api) refused(method, path string, body any, code, field string) {
	a.t.Helper()
	_, o := a.do(method, path, body)
	a.checkRefusal(o, code, field)
}

func (a *api) checkRefusal(o object, code, field string) {
	a.t.Helper()
	e, _ := o["error"].(object)
	if e["status"] != code {
		a.t.Fatalf("got %v, want %s", o, code)
	}
	if field == "" {
		return
	}
	details, _ := e["details"].([]any)
	for _, detail := range details {
		list, _ := detail.(object)["fieldViolations"].([]any)
		for _, v := range list {
			if v.(object)["field"] == field {
				return
			}
		}
	}
	a.t.Errorf("the error names other fields than %s: %v", field, e)
}

// company creates a company and returns its name.
func (a *api) company(externalID string) string {
	a.t.Helper()
	return a.create("companies", "company", object{"displayName": "Acme", "externalId": externalID})["name"].(string)
}

// create creates a resource of a collection.
func (a *api) create(collection, resource string, o object) object {
	a.t.Helper()
	return a.ok("POST", a.parent+"/"+collection, a.body(resource, o))
}

func (a *api) body(resource string, o object) object {
	if a.wrapped {
		return object{resource: o}
	}
	return o
}

// newJob returns a valid job with the fields of more; a nil removes a field.
func (a *api) newJob(company string, more object) object {
	job := object{
		a.companyField:    company,
		"requisitionId":   "r1",
		"title":           "Software Engineer",
		"description":     "You will write and operate the software that our customers depend on every day.",
		"applicationInfo": object{"uris": []string{"https://example.com/apply"}},
	}
	maps.Copy(job, more)
	maps.DeleteFunc(job, func(_ string, v any) bool { return v == nil })
	return job
}

func (a *api) createJob(company string, more object) object {
	a.t.Helper()
	return a.create("jobs", "job", a.newJob(company, more))
}

func (a *api) refusedJob(company string, more object, code, field string) {
	a.t.Helper()
	a.refused("POST", a.parent+"/jobs", a.body("job", a.newJob(company, more)), code, field)
}

// patch returns the path and the body of an update.
func (a *api) patch(resource, name string, o object, mask string) (path string, body object) {
	if a.wrapped {
		body = object{resource: o}
		if mask != "" {
			body["updateMask"] = mask
		}
		return name, body
	}
	if mask != "" {
		name += "?updateMask=" + url.QueryEscape(mask)
	}
	return name, o
}

func (a *api) patchJob(name any, o object, mask string) object {
	a.t.Helper()
	path, body := a.patch("job", name.(string), o, mask)
	return a.ok("PATCH", path, body)
}

func (a *api) refusedPatch(name any, o object, mask, code, field string) {
	a.t.Helper()
	path, body := a.patch("job", name.(string), o, mask)
	a.refused("PATCH", path, body, code, field)
}

func (a *api) getJob(name any) object {
	a.t.Helper()
	return a.ok("GET", name.(string), nil)
}

// list returns the names of the jobs that a filter finds.
func (a *api) list(filter string) []string {
	a.t.Helper()
	o := a.ok("GET", a.parent+"/jobs?filter="+url.QueryEscape(filter), nil)
	return names(o["jobs"])
}

func names(list any) []string {
	var all []string
	elements, _ := list.([]any)
	for _, element := range elements {
		all = append(all, element.(object)["name"].(string))
	}
	return all
}

// The life of a company and a job, in each version.
func TestLife(t *testing.T) {
	eachVersion(t, func(t *testing.T, a *api) {
		company := a.company("acme")
		if !strings.HasPrefix(company, a.parent+"/companies/") {
			t.Fatalf("company %q", company)
		}
		job := a.createJob(company, object{"employmentTypes": []any{1, "PART_TIME"}, "promotion_value": "3"})
		name := job["name"].(string)
		if !strings.HasPrefix(name, a.parent+"/jobs/") || job[a.companyField] != company || job["companyDisplayName"] != "Acme" ||
			job["promotionValue"] != 3.0 || !slices.Equal(job["employmentTypes"].([]any), []any{"FULL_TIME", "PART_TIME"}) {
			t.Errorf("created: %v", job)
		}
		if got := a.getJob(name); got["title"] != job["title"] || got["postingExpireTime"] != job["postingExpireTime"] {
			t.Errorf("get: %v", got)
		}
		if got := a.list(`companyName = "` + company + `"`); !slices.Equal(got, []string{name}) {
			t.Errorf("list: %q", got)
		}

		updated := a.patchJob(name, object{"name": name, "title": "Director", "department": "IT"}, "title")
		if updated["title"] != "Director" || updated["department"] != nil || updated["description"] != job["description"] {
			t.Errorf("patched with a mask: %v", updated)
		}
		updated = a.patchJob(name, a.newJob(company, object{"department": "IT"}), "")
		if updated["title"] != job["title"] || updated["department"] != "IT" || updated["employmentTypes"] != nil {
			t.Errorf("patched without a mask: %v", updated)
		}

		path, body := a.patch("company", company, object{"displayName": "Acme Two"}, "displayName")
		if got := a.ok("PATCH", path, body); got["displayName"] != "Acme Two" || got["externalId"] != "acme" {
			t.Errorf("company patched: %v", got)
		}
		if got := a.getJob(name); got["companyDisplayName"] != "Acme Two" {
			t.Errorf("companyDisplayName: %v", got)
		}
		if got := names(a.ok("GET", a.parent+"/companies?pageSize=5&requireOpenJobs=true", nil)["companies"]); !slices.Equal(got, []string{company}) {
			t.Errorf("companies: %q", got)
		}
		a.refused("DELETE", company, nil, "FAILED_PRECONDITION", "")

		if got := a.ok("DELETE", name, nil); len(got) != 0 {
			t.Errorf("deleted: %v", got)
		}
		a.refused("GET", name, nil, "NOT_FOUND", "")
		a.refused("DELETE", name, nil, "NOT_FOUND", "")
		if got := a.list(`companyName = "` + company + `"`); got != nil {
			t.Errorf("list: %q", got)
		}
		a.ok("DELETE", company, nil)
		a.refused("GET", company, nil, "NOT_FOUND", "")
	})
}

// A POST can have another method in a header. The query of a GET is then the body.
func TestMethodOverride(t *testing.T) {
	emu := emulator.New(emulator.Options{})
	send := func(override, contentType, target, body string) *httptest.ResponseRecorder {
		r := httptest.NewRequest("POST", "/v4/projects/p/tenants/default"+target, strings.NewReader(body))
		r.Header.Set("Content-Type", contentType)
		r.Header.Set("X-HTTP-Method-Override", override)
		w := httptest.NewRecorder()
		emu.ServeHTTP(w, r)
		return w
	}
	const inJSON, form = "application/json", "application/x-www-form-urlencoded"
	created := send("", inJSON, "/companies", `{"displayName":"Acme","externalId":"a"}`)
	var company struct{ Name string }
	if err := json.Unmarshal(created.Body.Bytes(), &company); err != nil {
		t.Fatalf("%v: %s", err, created.Body)
	}
	path := "/companies/" + company.Name[strings.LastIndex(company.Name, "/")+1:]
	for _, tt := range []struct {
		override, contentType, target, body string
		code                                int
		want                                string
	}{
		{"PATCH", inJSON, path + "?updateMask=displayName", `{"displayName":"Two"}`, 200, `"displayName": "Two"`},
		{"GET", form, path, "fields=displayName", 200, "{\n  \"displayName\": \"Two\"\n}\n"},
		{"GET", form, path + "?prettyPrint=false", "fields=displayName", 200, "{\"displayName\":\"Two\"}\n"},
		{"GET", form, path, "unknown=1", 400, "unknown"},
		{"", form, "/companies", "fields=name", 400, "Unsupported content"},
		{"PUT", inJSON, path, `{}`, 405, "UNIMPLEMENTED"},
		{"DELETE", inJSON, path, "", 200, "{}"},
		{"GET", inJSON, path, "", 404, "NOT_FOUND"},
	} {
		if w := send(tt.override, tt.contentType, tt.target, tt.body); w.Code != tt.code || !strings.Contains(w.Body.String(), tt.want) {
			t.Errorf("%s %s: %d %s, want %d %s", tt.override, tt.target, w.Code, w.Body, tt.code, tt.want)
		}
	}
}

// Versions see each other's resources: a name without a tenant means the default
// tenant.
func TestVersionsShareTheDefaultTenant(t *testing.T) {
	_, url := start(t, emulator.Options{})
	all := versions(t, url)
	v3, v4 := all["v3"], all["v4"]
	company := v3.company("acme")
	job := v3.createJob(company, nil)
	name := strings.Replace(job["name"].(string), "projects/p/", "projects/p/tenants/default/", 1)
	got := v4.getJob(name)
	if got["name"] != name || got["company"] != strings.Replace(company, "projects/p/", "projects/p/tenants/default/", 1) || got["companyName"] != nil {
		t.Errorf("v4 sees %v", got)
	}
	v4.refusedJob(got["company"].(string), nil, "ALREADY_EXISTS", "")
}

func TestTenants(t *testing.T) {
	_, url := start(t, emulator.Options{})
	a := versions(t, url)["v4"]
	tenant := a.ok("POST", "projects/p/tenants", object{"externalId": "north"})
	name := tenant["name"].(string)
	a.refused("POST", "projects/p/tenants", object{"externalId": "north"}, "ALREADY_EXISTS", "tenant.external_id")
	a.refused("POST", "projects/p/tenants", object{}, "INVALID_ARGUMENT", "tenant.external_id")
	a.ok("POST", "projects/q/tenants", object{"externalId": "north"})
	if got := names(a.ok("GET", "projects/p/tenants", nil)["tenants"]); !slices.Equal(got, []string{"projects/p/tenants/default", name}) {
		t.Errorf("tenants: %q", got)
	}
	if got := a.ok("PATCH", name+"?updateMask=externalId", object{"externalId": "south"}); got["externalId"] != "south" {
		t.Errorf("patched: %v", got)
	}
	// "CRUD … is not allowed" on the default tenant.
	a.refused("PATCH", "projects/p/tenants/default", object{"externalId": "x"}, "FAILED_PRECONDITION", "")
	a.refused("DELETE", "projects/p/tenants/default", nil, "FAILED_PRECONDITION", "")

	// Data is isolated between tenants.
	in := *a
	in.parent = name
	company := in.company("acme")
	a.company("acme") // the same external id in another tenant
	job := in.createJob(company, nil)
	a.refusedJob(company, nil, "INVALID_ARGUMENT", "job.company")
	if got := a.list(`requisitionId = "r1"`); got != nil {
		t.Errorf("the default tenant lists %q", got)
	}

	a.ok("DELETE", name, nil)
	a.refused("GET", name, nil, "NOT_FOUND", "")
	a.refused("GET", job["name"].(string), nil, "NOT_FOUND", "")
	a.refused("GET", "projects/p/tenants/none/companies", nil, "NOT_FOUND", "")
}

// try calls a method. An error means that nothing was acknowledged.
func try(a *api, method, path, body string) (object, error) {
	req, err := http.NewRequest(method, a.url+"/"+a.version+"/"+path, strings.NewReader(body))
	if err != nil {
		return nil, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode != 200 {
		return nil, fmt.Errorf("%s %s: %s: %s", method, path, resp.Status, raw)
	}
	var o object
	return o, json.Unmarshal(raw, &o)
}

// Google's generated REST clients request enums as numbers.
func TestEnumNumbers(t *testing.T) {
	eachVersion(t, func(t *testing.T, a *api) {
		job := a.createJob(a.company("acme"), object{"employmentTypes": []any{"PART_TIME"}, "title": "Nurse"})
		got := a.getJob(job["name"].(string) + "?%24alt=json%3Benum-encoding%3Dint")
		if fmt.Sprint(got["employmentTypes"]) != "[2]" || got["visibility"] != 1.0 || fmt.Sprint(got["derivedInfo"].(object)["jobCategories"]) != "[14]" {
			t.Errorf("got %v", got)
		}
		if got = a.getJob(job["name"].(string) + "?fields=title,derivedInfo(jobCategories)"); len(got) != 2 {
			t.Errorf("a partial answer: %v", got)
		}
	})
}
