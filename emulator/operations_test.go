package emulator_test

import (
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/clientevents/clientevents/emulator"
	"github.com/clientevents/clientevents/internal/discovery"
)

// finished returns the result of a batch's operation.
func (a *api) finished(operation object) (metadata, response object) {
	a.t.Helper()
	if operation["done"] != nil || operation["metadata"].(object)["state"] != "PROCESSING" {
		a.t.Errorf("begun: %v", operation)
	}
	if !strings.HasPrefix(operation["name"].(string), "projects/p/operations/") {
		a.t.Errorf("the operation is called %v", operation["name"])
	}
	done := a.ok("GET", operation["name"].(string), nil)
	if done["done"] != true {
		a.t.Errorf("not done: %v", done)
	}
	return done["metadata"].(object), done["response"].(object)
}

func TestBatches(t *testing.T) {
	eachVersion(t, func(t *testing.T, a *api) {
		if a.version == "v3" {
			if status, _ := a.do("POST", a.parent+"/jobs:batchCreate", object{}); status != 404 {
				t.Errorf("v3 has a batchCreate: %d", status)
			}
			return
		}
		company := a.company("acme")
		create := func(jobs ...any) object {
			return a.ok("POST", a.parent+"/jobs:batchCreate", object{"jobs": jobs})
		}
		metadata, response := a.finished(create(
			a.newJob(company, object{"requisitionId": "1"}),
			a.newJob(company, object{"requisitionId": "2"}),
			a.newJob(company, object{"requisitionId": "2"}),
			a.newJob(company, object{"title": nil}),
		))
		if metadata["state"] != "SUCCEEDED" || metadata["totalCount"] != 4.0 || metadata["successCount"] != 2.0 || metadata["failureCount"] != 2.0 {
			t.Errorf("metadata %v", metadata)
		}
		results := response["jobResults"].([]any)
		var codes []any
		for _, r := range results {
			status, _ := r.(object)["status"].(object)
			codes = append(codes, status["code"])
		}
		if fmt.Sprint(codes) != "[<nil> <nil> 6 3]" {
			t.Errorf("codes %v", codes)
		}
		if got := fmt.Sprint(results[3].(object)["status"].(object)["details"]); !strings.Contains(got, "job.title") {
			t.Errorf("details %s", got)
		}
		first := results[0].(object)["job"].(object)
		if first["requisitionId"] != "1" || first["company"] != company || first["title"] != nil {
			t.Errorf("a result's job is %v", first)
		}
		one, two := first["name"].(string), results[1].(object)["job"].(object)["name"].(string)

		metadata, _ = a.finished(a.ok("POST", a.parent+"/jobs:batchUpdate", object{
			"jobs":       []any{object{"name": one, "title": "New", "department": "IT"}, object{"name": a.parent + "/jobs/1"}, object{"title": "x"}},
			"updateMask": "title",
		}))
		if got := a.getJob(one); got["title"] != "New" || got["department"] != nil || metadata["failureCount"] != 2.0 {
			t.Errorf("updated to %v, %v", got, metadata)
		}
		a.refused("POST", a.parent+"/jobs:batchUpdate", object{"jobs": []any{object{"name": one}}, "updateMask": "a.b"}, "INVALID_ARGUMENT", "update_mask")

		if a.version == "v4" {
			metadata, _ = a.finished(a.ok("POST", a.parent+"/jobs:batchDelete", object{"names": []any{one, two, one}}))
			if metadata["successCount"] != 2.0 || metadata["failureCount"] != 1.0 {
				t.Errorf("deleted: %v", metadata)
			}
			metadata, _ = a.finished(a.ok("POST", a.parent+"/jobs:batchDelete", object{"names": []any{one}}))
			if metadata["state"] != "FAILED" || metadata["successCount"] != nil {
				t.Errorf("nothing deleted: %v", metadata)
			}
			a.refused("POST", a.parent+"/jobs:batchDelete", object{"names": slices.Repeat([]any{one}, 201)}, "INVALID_ARGUMENT", "names")
		}
		a.refused("POST", a.parent+"/jobs:batchCreate", object{"jobs": slices.Repeat([]any{object{}}, 201)}, "INVALID_ARGUMENT", "jobs")
		a.refused("POST", a.parent+"/jobs:batchCreate", object{}, "INVALID_ARGUMENT", "jobs")
		a.refused("GET", "projects/p/operations/none", nil, "NOT_FOUND", "")
	})
}

// Operations can't be read after 30 days.
func TestOperationsGo(t *testing.T) {
	w := newWorld(t, "v4")
	name := w.ok("POST", w.parent+"/jobs:batchDelete", object{"names": []any{"x"}})["name"].(string)
	w.forward(30 * day)
	w.ok("GET", name, nil)
	w.forward(time.Nanosecond)
	w.refused("GET", name, nil, "NOT_FOUND", "")
}

// The batchDelete of v3 and v4beta1 deletes the jobs of a filter before it returns.
func TestDeleteByFilter(t *testing.T) {
	eachVersion(t, func(t *testing.T, a *api) {
		if a.version == "v4" {
			return
		}
		company := a.company("acme")
		de := a.createJob(company, object{"languageCode": "de"})["name"]
		en := a.createJob(company, object{"languageCode": "en"})["name"]
		other := a.createJob(company, object{"requisitionId": "r2"})["name"]
		path := a.parent + "/jobs:batchDelete"
		a.refused("POST", path, object{"filter": fmt.Sprintf("companyName = %q", company)}, "INVALID_ARGUMENT", "filter")
		a.refused("POST", path, object{"filter": `requisitionId = "r1"`}, "INVALID_ARGUMENT", "filter")
		a.refused("POST", path, object{}, "INVALID_ARGUMENT", "filter")
		filter := fmt.Sprintf("companyName = %q AND requisitionId = %q", company, "r1")
		a.refused("POST", path, object{"filter": filter + ` AND status = "ALL"`}, "INVALID_ARGUMENT", "filter")
		if a.version == "v4beta1" { // the binding without a body has it in the query
			a.ok("POST", path+"?filter="+url.QueryEscape(filter), nil)
		} else {
			a.ok("POST", path, object{"filter": filter})
		}
		a.refused("GET", de.(string), nil, "NOT_FOUND", "")
		a.refused("GET", en.(string), nil, "NOT_FOUND", "")
		a.getJob(other)
	})
}

func TestComplete(t *testing.T) {
	eachVersion(t, func(t *testing.T, a *api) {
		acme, globex := a.market()
		method := ":complete"
		if a.version == "v4" {
			method = ":completeQuery"
		}
		complete := func(query string) (suggestions []string) {
			t.Helper()
			answer := a.ok("GET", a.parent+method+"?"+query, nil)
			if answer["metadata"].(object)["requestId"] == nil {
				t.Error("no request id")
			}
			list, _ := answer["completionResults"].([]any)
			for _, r := range list {
				suggestions = append(suggestions, fmt.Sprint(r.(object)["type"], " ", r.(object)["suggestion"]))
			}
			return suggestions
		}
		language := "languageCodes=de"
		for query, want := range map[string][]string{
			"query=ac&pageSize=5":                                              {"JOB_TITLE Accountant", "COMPANY_NAME Acme Inc"},
			"query=ac&pageSize=1":                                              {"JOB_TITLE Accountant"},
			"query=eng&pageSize=5":                                             {"JOB_TITLE Software Engineer"},
			"query=AC&pageSize=5&type=COMPANY_NAME":                            {"COMPANY_NAME Acme Inc"},
			"query=a&pageSize=5&type=1&scope=TENANT":                           {"JOB_TITLE Accountant"},
			"query=n&pageSize=5&" + language:                                   {"JOB_TITLE Nurse"},
			"query=ac&pageSize=5&" + language:                                  nil,
			"query=a&pageSize=5&" + a.companyField + "=" + globex:              {"JOB_TITLE Accountant"},
			"query=software&pageSize=5&type=2":                                 nil,
			"query=writ&pageSize=5&" + a.companyField + "=" + acme + "&type=1": {"JOB_TITLE Remote Writer"},
		} {
			if got := complete(query); !slices.Equal(got, want) {
				t.Errorf("%s: %q, want %q", query, got, want)
			}
		}
		path := a.parent + method + "?"
		a.refused("GET", path+"pageSize=5", nil, "INVALID_ARGUMENT", "query")
		a.refused("GET", path+"query=a", nil, "INVALID_ARGUMENT", "page_size")
		a.refused("GET", path+"query=a&pageSize=11", nil, "INVALID_ARGUMENT", "page_size")
		a.refused("GET", path+"query=a&pageSize=1&type=ANY", nil, "INVALID_ARGUMENT", "type")
		a.refused("GET", path+"pageSize=1&query="+strings.Repeat("a", 256), nil, "INVALID_ARGUMENT", "query")
	})
}

func TestHistograms(t *testing.T) {
	eachVersion(t, func(t *testing.T, a *api) {
		a.market()
		if a.version == "v3" {
			return // see TestHistogramFacets
		}
		path := a.parent + "/jobs:search"
		for query, want := range map[string]string{
			"count(employment_type)":                  "map[CONTRACTOR:1 FULL_TIME:2 PART_TIME:1]",
			"count( company_display_name )":           "map[Acme Inc:2 Globex Corporation:2]",
			"count(language)":                         "map[de:1 en:3]",
			"count(locale)":                           "map[de:1 en-GB:1 en-US:2]",
			"count(country)":                          "map[DE:1 US:2]",
			"count(city)":                             "map[Berlin:1 Mountain View, CA:1 New York, NY:1]",
			"count(admin1_country)":                   "map[CA, US:1 NY, US:1]",
			`count(string_custom_attribute["grade"])`: "map[Senior:1 junior:1]",
			"count(job_level)":                        "map[]",
		} {
			answer := a.search(nil, object{"histogramQueries": []any{object{"histogramQuery": query}}})
			result := answer["histogramQueryResults"].([]any)[0].(object)
			if got := fmt.Sprint(result["histogram"]); got != want || result["histogramQuery"] != query {
				t.Errorf("%s: %s, want %s", query, got, want)
			}
		}
		histogram := func(query string) object {
			return a.searchBody(nil, object{"histogramQueries": []any{object{"histogramQuery": query}}})
		}
		for _, query := range []string{
			"", "count", "count(", "count()", "count(country", "count(country))", "sum(country)", "count(planet)", "count(country, [bucket(1, 2)])",
			"count(base_compensation)", "count(base_compensation, [])", "count(base_compensation, [bucket(2, 1)])", "count(base_compensation, [bucket(1)])",
			"count(base_compensation, [bucket(a, 2)])", "count(base_compensation, [bucket(1, 2, x)])", "count(base_compensation, [bucket(1, 2)", `count(country["x"])`,
			"count(string_custom_attribute)", `count(string_custom_attribute[grade])`, `count(numeric_custom_attribute["a b"], [bucket(0, MAX)])`,
			"count(base_compensation, [" + strings.Repeat("bucket(0, 1), ", 200) + "bucket(0, 1)])",
		} {
			a.refused("POST", path, histogram(query), "INVALID_ARGUMENT", "histogram_queries[0].histogram_query")
		}
		a.refused("POST", path, histogram("count(city_coordinate)"), "UNIMPLEMENTED", "histogram_queries[0].histogram_query")
	})
}

func TestCompanyRules(t *testing.T) {
	eachVersion(t, func(t *testing.T, a *api) {
		path := a.parent + "/companies"
		good := func(more object) object {
			o := object{"displayName": "Acme", "externalId": "acme"}
			maps.Copy(o, more)
			return a.body("company", o)
		}
		long := strings.Repeat("ü", 501)
		for field, value := range map[string]any{
			"display_name": "", "external_id": long[:2*256], "eeo_text": long, "website_uri": long[:2*256], "size": "HUGE",
		} {
			a.refused("POST", path, good(object{camel(field): value}), "INVALID_ARGUMENT", "company."+field)
		}
		company := a.ok("POST", path, good(object{
			"name": "mine", "size": 3, "headquartersAddress": "1 Main Street, Austin, TX 78701, USA", "suspended": true,
			"derivedInfo": object{}, "eeoText": long[:2*500], "hiringAgency": true,
		}))
		place, _ := company["derivedInfo"].(object)["headquartersLocation"].(object)["postalAddress"].(object)
		if company["size"] != "SMEDIUM" || company["suspended"] != nil || place["locality"] != "Austin" || place["postalCode"] != "78701" || company["hiringAgency"] != true {
			t.Errorf("created: %v", company)
		}
		a.refused("POST", path, good(nil), "ALREADY_EXISTS", "company.external_id")
		name := company["name"].(string)
		patch, body := a.patch("company", name, object{"displayName": "Other"}, "")
		a.refused("PATCH", patch, body, "INVALID_ARGUMENT", "company.external_id")
		patch, body = a.patch("company", name, object{"displayName": "Other", "externalId": "other"}, "")
		if got := a.ok("PATCH", patch, body); got["size"] != nil || got["externalId"] != "other" {
			t.Errorf("all patched: %v", got)
		}
		a.ok("POST", path, good(nil)) // the external id is free again
		patch, body = a.patch("company", name, object{"externalId": "acme"}, "externalId")
		a.refused("PATCH", patch, body, "ALREADY_EXISTS", "company.external_id")
		patch, body = a.patch("company", name+"0", object{"externalId": "acme"}, "externalId")
		a.refused("PATCH", patch, body, "NOT_FOUND", "")
		a.refused("DELETE", name+"0", nil, "NOT_FOUND", "")

		for i := range 3 {
			a.company(fmt.Sprint("more ", i))
		}
		var all []string
		token := ""
		for {
			page := a.ok("GET", path+"?pageSize=2&pageToken="+token, nil)
			all = append(all, names(page["companies"])...)
			next, more := page["nextPageToken"].(string)
			if token = next; !more {
				break
			}
		}
		if len(all) != 5 || all[0] != name {
			t.Errorf("the pages have %q", all)
		}
		if got := a.ok("GET", path+"?requireOpenJobs=true", nil)["companies"]; got != nil {
			t.Errorf("with open jobs: %v", got)
		}
	})
}

func camel(snake string) string {
	words := strings.Split(snake, "_")
	for i, word := range words[1:] {
		words[i+1] = strings.ToUpper(word[:1]) + word[1:]
	}
	return strings.Join(words, "")
}

// Every documented method has a route, so that its path never gets 404 or 405.
func TestEveryMethodHasARoute(t *testing.T) {
	_, url := start(t, emulator.Options{})
	for _, read := range []func() (*discovery.API, error){discovery.JobsV3, discovery.JobsV4beta1, discovery.JobsV4} {
		doc, err := read()
		if err != nil {
			t.Fatal(err)
		}
		n := 0
		walk(doc.Resources, func(m *discovery.Method) {
			n++
			path := m.Path
			for name, p := range m.Parameters {
				if p.Location == "path" {
					value := strings.NewReplacer("^", "", "$", "", "[^/]+", "x").Replace(p.Pattern)
					path = strings.Replace(path, "{+"+name+"}", value, 1)
				}
			}
			body := ""
			if m.Request != nil {
				body = "{}"
			}
			got := send(t, m.HTTPMethod, url+"/"+path, body)
			if got.status == 405 || strings.Contains(got.body, "Method not found") {
				t.Errorf("%s %s: %d %s", m.HTTPMethod, path, got.status, got.body)
			}
		})
		t.Logf("%s: %d methods", doc.Version, n)
		if n < 15 {
			t.Errorf("%s has only %d methods", doc.Version, n)
		}
	}
}

func walk(resources map[string]*discovery.Resource, do func(*discovery.Method)) {
	for _, r := range resources {
		for _, m := range r.Methods {
			do(m)
		}
		walk(r.Resources, do)
	}
}
