package emulator_test

import (
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/clientevents/clientevents/emulator"
)

// Limits apply to stored and sent values. Sanitization neither makes a text longer nor
// empties a required field.
func TestSanitizedTexts(t *testing.T) {
	eachVersion(t, func(t *testing.T, a *api) {
		company := a.company("acme")
		long := "<b>" + strings.Repeat("'", 99_000) + "</b>"
		job := a.createJob(company, object{"description": long})
		if got := job["description"]; got != long {
			t.Errorf("%.20s… of %d characters is stored as %.20s… of %d", long, len(long), got, len(got.(string)))
		}
		if again := a.patchJob(job["name"], job, ""); again["description"] != long {
			t.Error("the unchanged job was changed by a patch")
		}
		for _, nothing := range []string{"<u></u>", "<script>alert(1)</script>", "<!-- x -->", " <p> </p> "} {
			a.refusedJob(company, object{"description": nothing, "requisitionId": nothing}, "INVALID_ARGUMENT", "job.description")
			a.refusedPatch(job["name"], object{"description": nothing}, "description", "INVALID_ARGUMENT", "job.description")
		}
		a.createJob(company, object{"requisitionId": "e", "description": "<i>Don&#39;t &quot;work&quot;</i> here &amp; there &#8364;"})
		for query, want := range map[string]int{"39": 0, "quot": 0, "amp": 0, "8364": 0, "don": 1, "work": 1} {
			if got := a.found(object{"query": query}, nil); len(got) != want {
				t.Errorf("%q finds %q", query, got)
			}
		}
	})
}

// Names are parsed in the same way in paths, bodies and filters.
func TestNamesAreStrict(t *testing.T) {
	eachVersion(t, func(t *testing.T, a *api) {
		company := a.company("acme")
		job := a.createJob(company, nil)
		name := job["name"].(string)
		for _, bad := range []string{name + "/", "/" + name, strings.Replace(name, "/jobs", "//jobs", 1), name + "/jobs/1", strings.ToUpper(name)} {
			if a.version == "v4" {
				metadata, _ := a.finished(a.ok("POST", a.parent+"/jobs:batchDelete", object{"names": []any{bad}}))
				if n := metadata["failureCount"]; n != 1.0 {
					t.Errorf("batchDelete of %q: %v", bad, metadata)
				}
			}
			a.refusedPatch(name, object{"name": bad, "title": "x"}, "title", "INVALID_ARGUMENT", "job.name")
			if a.version != "v3" {
				a.refused("POST", a.parent+"/jobs:search", a.searchBody(object{"excludedJobs": []any{bad}}, nil), "INVALID_ARGUMENT", "job_query.excluded_jobs[0]")
			}
		}
		for _, bad := range []string{company + "/", company + "/x", strings.ToUpper(company)} {
			a.refusedJob(bad, nil, "INVALID_ARGUMENT", "job."+snake(a.companyField))
			a.refused("GET", a.parent+"/jobs?filter="+url.QueryEscape(fmt.Sprintf("companyName = %q", bad)), nil, "INVALID_ARGUMENT", "filter")
		}
		a.refused("GET", a.parent+"/jobs/a%2Fb", nil, "INVALID_ARGUMENT", "name")
		a.refused("GET", a.parent+"/jobs/%FF", nil, "INVALID_ARGUMENT", "name")
		a.ok("GET", name, nil)
	})
}

func TestLanguageTags(t *testing.T) {
	eachVersion(t, func(t *testing.T, a *api) {
		company := a.company("acme")
		for i, code := range []string{"en-US", "xx-YY", "sr-Latn", "de-CH-1996", "x-private", "en_US", "i-klingon", "zh-Hant-TW", "qaa-Qaaa-QM"} {
			if got := a.createJob(company, object{"requisitionId": fmt.Sprint(i), "languageCode": code})["languageCode"]; got != code {
				t.Errorf("%s became %v", code, got)
			}
		}
		for _, code := range []string{"de_CH", "en_us", "-", "e", "en-", "en--US", "deutsch!", "en US", "en-US_x"} {
			a.refusedJob(company, object{"requisitionId": code, "languageCode": code}, "INVALID_ARGUMENT", "job.language_code")
			a.refused("POST", a.parent+"/jobs:search", a.searchBody(object{"languageCodes": []any{code}}, nil), "INVALID_ARGUMENT", "job_query.language_codes[0]")
		}
		a.createJob(company, object{"requisitionId": "same", "languageCode": "en-US"})
		for _, code := range []string{"en-us", "EN-US", "en_US"} {
			a.refusedJob(company, object{"requisitionId": "same", "languageCode": code}, "ALREADY_EXISTS", "")
		}
		a.createJob(company, object{"requisitionId": "same", "languageCode": "en-GB"})
	})
}

// An update needs only the required fields that it changes.
func TestRequiredFieldsOfAnUpdate(t *testing.T) {
	_, url := start(t, emulator.Options{})
	v4, v3 := versions(t, url)["v4"], versions(t, url)["v3"]
	company := v4.company("acme")
	job := v4.ok("POST", v4.parent+"/jobs", object{"company": company, "requisitionId": "1", "title": "T", "description": "D"})
	name := strings.Replace(job["name"].(string), "/tenants/default", "", 1)
	if got := v3.patchJob(name, object{"title": "X"}, "title")["title"]; got != "X" {
		t.Errorf("title is %v", got)
	}
	v3.refusedPatch(name, object{}, "applicationInfo", "INVALID_ARGUMENT", "job.application_info")
	v3.refusedPatch(name, object{"title": ""}, "title", "INVALID_ARGUMENT", "job.title")
}

// The page size may change between pages. Jobs that are created or deleted between two
// pages neither repeat nor hide others.
func TestPagesOfAChangingSearch(t *testing.T) {
	eachVersion(t, func(t *testing.T, a *api) {
		company := a.company("acme")
		var want []string
		for i := range 12 {
			want = append(want, a.createJob(company, object{"requisitionId": fmt.Sprint(i), "title": fmt.Sprint("Title ", i%5), "promotionValue": i % 3})["name"].(string))
		}
		slices.Sort(want)
		size := "pageSize"
		if a.version == "v4" {
			size = "maxPageSize"
		}
		for _, order := range []string{"relevance desc", "posting_publish_time desc", "posting_update_time desc", "title", "title desc", "annualized_base_compensation desc", "featured"} {
			more := object{size: 1, "orderBy": order}
			if order == "featured" {
				more = object{size: 1, "searchMode": "FEATURED_JOB_SEARCH"}
			}
			var seen, added []string
			for i := range 5 {
				job := a.createJob(company, object{"requisitionId": fmt.Sprint(order, " goes ", i), "title": fmt.Sprint("Title ", i), "promotionValue": 5})
				added = append(added, job["name"].(string))
			}
			for page := 1; ; page++ {
				answer := a.search(nil, more)
				last := ""
				for _, job := range matching(answer) {
					if last = job["name"].(string); slices.Contains(want, last) {
						seen = append(seen, last)
					}
				}
				if i := max(slices.Index(added, last), 0); len(added) > 0 { // the page's last job goes, if it may
					a.ok("DELETE", added[i], nil)
					added = slices.Delete(added, i, i+1)
				}
				if answer["nextPageToken"] == nil {
					break
				}
				more["pageToken"], more[size], more["jobView"] = answer["nextPageToken"], page%4+1, "JOB_VIEW_ID_ONLY"
				job := a.createJob(company, object{"requisitionId": fmt.Sprint(order, page), "title": fmt.Sprint("Title ", page), "promotionValue": 5})
				added = append(added, job["name"].(string))
			}
			for _, name := range added {
				a.ok("DELETE", name, nil)
			}
			slices.Sort(seen)
			if order == "featured" {
				if len(seen) != 8 || len(slices.Compact(slices.Clone(seen))) != 8 {
					t.Errorf("featured: %d jobs, %q", len(seen), seen)
				}
			} else if !slices.Equal(seen, want) {
				t.Errorf("by %s: %d jobs of %d: %q", order, len(seen), len(want), seen)
			}
		}
		token := a.search(nil, object{size: 1})["nextPageToken"]
		a.refused("POST", a.parent+"/jobs:search", a.searchBody(object{"query": "x"}, object{size: 1, "pageToken": token}), "INVALID_ARGUMENT", "page_token")
		a.refused("POST", a.parent+"/jobs:search", a.searchBody(nil, object{"pageToken": "AAAA"}), "INVALID_ARGUMENT", "page_token")
	})
}

// System parameters have the effects that jobs3 documents.
func TestSystemParameters(t *testing.T) {
	_, base := start(t, emulator.Options{})
	a := versions(t, base)["v4"]
	company := base + "/v4/" + a.company("acme")
	for query, want := range map[string]string{
		"fields=name":                        "",
		"fields=displayName,derivedInfo":     "",
		"fields=bogus":                       "Invalid field selection bogus",
		"fields=displayName,derivedInfo/nix": "Invalid field selection derivedInfo/nix",
		"fields=displayName/x":               "Invalid field selection displayName/x",
		"alt=json":                           "",
		"alt=xml":                            "Invalid value at 'alt'",
		"$.xgafv=3":                          "Invalid value at '$.xgafv'",
		"$.xgafv=2&quotaUser=q&key=k":        "",
		"callback=a-b":                       "Invalid JSONP callback name: 'a-b'",
		"prettyPrint=perhaps":                "Invalid value at 'prettyPrint'",
		"bogus=1":                            `Unknown name "bogus"`,
	} {
		got := send(t, "GET", company+"?"+query, "")
		if want == "" && got.status != 200 || want != "" && (got.status != 400 || !strings.Contains(got.body, strings.ReplaceAll(want, `"`, `\"`))) {
			t.Errorf("%s: %d %s, want %q", query, got.status, got.body, want)
		}
	}
	for _, alt := range []string{"media", "proto"} {
		if got := send(t, "GET", company+"?alt="+alt, ""); got.status != 501 {
			t.Errorf("alt=%s: %d %s", alt, got.status, got.body)
		}
	}
	got := send(t, "GET", company+"?callback=window.x[0]&prettyPrint=false&fields=displayName", "")
	if got.body != "// API callback\nwindow.x[0]({\"displayName\":\"Acme\"});\n" || got.header.Get("Content-Type") != "text/javascript; charset=UTF-8" {
		t.Errorf("callback: %v %q", got.header, got.body)
	}
	got = send(t, "GET", company+"x?callback=f&$.xgafv=1", "")
	text := strings.TrimSuffix(strings.TrimPrefix(got.body, "// API callback\nf("), ");\n")
	var answer struct {
		Error struct {
			Errors []struct{ Domain, Reason string }
		}
	}
	if err := json.Unmarshal([]byte(text), &answer); err != nil || got.status != 404 || fmt.Sprint(answer.Error.Errors) != "[{global notFound}]" {
		t.Errorf("an error: %d %q, %v", got.status, got.body, err)
	}
	// A selection is checked before anything is created.
	if got := send(t, "POST", base+"/v4/"+a.parent+"/companies?fields=bogus", `{"displayName":"B","externalId":"b"}`); got.status != 400 {
		t.Errorf("create: %d", got.status)
	}
	if list := a.ok("GET", a.parent+"/companies", nil)["companies"].([]any); len(list) != 1 {
		t.Errorf("there are %d companies", len(list))
	}
}

func TestRepeatedParameters(t *testing.T) {
	_, base := start(t, emulator.Options{})
	a := versions(t, base)["v4"]
	job := a.createJob(a.company("acme"), object{"department": "old"})
	got := a.ok("PATCH", job["name"].(string)+"?updateMask=title&updateMask=department", object{"title": "new", "department": "new", "jobLevel": "MANAGER"})
	if got["title"] != "new" || got["department"] != "new" || got["jobLevel"] != nil {
		t.Errorf("got %v", got)
	}
	a.refused("GET", a.parent+"/companies?pageSize=1&pageSize=2", nil, "INVALID_ARGUMENT", "")
}

func TestFilterNesting(t *testing.T) {
	_, base := start(t, emulator.Options{})
	a := versions(t, base)["v4"]
	for filter, ok := range map[string]bool{
		`((A = 1 AND B = 1 AND C = 1) OR NOT D = 1) AND E = 1`: true, // of the documentation
		`NOT (A = 1 OR NOT B = 1)`:                             true,
		`(((A = 1)))`:                                          true,
		`(((A = 1 AND B = 1) OR C = 1) AND D = 1) OR E = 1`:    false,
		`A = 1 OR B = 1 AND (C = 1 OR D = 1 AND E = 1)`:        false,
		`NOT (NOT (NOT (NOT (A = 1))))`:                        false,
		`A = 1 AND (B = 1 OR NOT (C = 1 AND D = 1))`:           false,
		strings.Repeat("A = 1 OR ", 99) + "A = 1":              true,
	} {
		status, got := a.do("POST", a.parent+"/jobs:search", a.searchBody(object{"customAttributeFilter": filter}, nil))
		if want := map[bool]int{true: 200, false: 400}[ok]; status != want {
			t.Errorf("%s: %d %v", filter, status, got)
		}
	}
}

// payMarket are jobs that differ in what they pay.
func (a *api) payMarket() string {
	company := a.create("companies", "company", object{"displayName": "Acme", "externalId": "a", "size": "BIG"})["name"].(string)
	usd := func(units int) object { return object{"currencyCode": "USD", "units": fmt.Sprint(units)} }
	for title, fields := range map[string]object{
		"hourly":  {"compensationInfo": object{"entries": []any{object{"type": "BASE", "unit": "HOURLY", "amount": usd(50)}}}},
		"yearly":  {"compensationInfo": object{"entries": []any{object{"type": "BASE", "unit": "YEARLY", "range": object{"minCompensation": usd(60_000), "maxCompensation": usd(90_000)}}, object{"type": "BONUS", "unit": "ONE_TIME", "amount": usd(5_000), "expectedUnitsPerYear": 1}}}},
		"endless": {"compensationInfo": object{"entries": []any{object{"type": "BASE", "unit": "YEARLY", "range": object{"minCompensation": usd(200_000)}}}}},
		"euro":    {"compensationInfo": object{"entries": []any{object{"type": "BASE", "unit": "YEARLY", "amount": object{"currencyCode": "EUR", "units": "70000"}}}}},
		"bonus":   {"compensationInfo": object{"entries": []any{object{"type": "BONUS", "unit": "ONE_TIME", "amount": usd(1_000), "expectedUnitsPerYear": 1}}}},
		"silent":  {},
	} {
		fields["title"], fields["requisitionId"], fields["employmentTypes"] = title, title, []any{"FULL_TIME"}
		a.createJob(company, fields)
	}
	return company
}

func TestCompensationFilter(t *testing.T) {
	eachVersion(t, func(t *testing.T, a *api) {
		a.payMarket()
		between := func(low, high any) object {
			r := object{}
			if low != nil {
				r["minCompensation"] = object{"currencyCode": "USD", "units": fmt.Sprint(low)}
			}
			if high != nil {
				r["maxCompensation"] = object{"currencyCode": "USD", "units": fmt.Sprint(high)}
			}
			return r
		}
		for _, tt := range []struct {
			filter object
			want   string
		}{
			{object{"type": "UNIT_ONLY", "units": []any{"HOURLY"}}, "[hourly]"},
			{object{"type": "UNIT_ONLY", "units": []any{"YEARLY", "HOURLY"}}, "[endless euro hourly yearly]"},
			{object{"type": "UNIT_ONLY", "units": []any{"HOURLY"}, "includeJobsWithUnspecifiedCompensationRange": true}, "[bonus hourly silent]"},
			{object{"type": "UNIT_AND_AMOUNT", "units": []any{"YEARLY"}, "range": between(90_000, 100_000)}, "[yearly]"},
			{object{"type": "UNIT_AND_AMOUNT", "units": []any{"YEARLY"}, "range": between(90_001, nil)}, "[endless]"},
			{object{"type": "UNIT_AND_AMOUNT", "units": []any{"YEARLY"}, "range": between(nil, 59_999)}, "[]"},
			{object{"type": "ANNUALIZED_BASE_AMOUNT", "range": between(100_000, 110_000)}, "[hourly]"}, // 2,080 hours
			{object{"type": "ANNUALIZED_BASE_AMOUNT", "range": between(0, 200_000)}, "[endless hourly yearly]"},
			{object{"type": "ANNUALIZED_BASE_AMOUNT", "units": []any{"YEARLY"}, "range": between(0, 110_000)}, "[yearly]"},
			{object{"type": "ANNUALIZED_TOTAL_AMOUNT", "range": between(94_000, 95_000)}, "[yearly]"},
			{object{"type": "ANNUALIZED_TOTAL_AMOUNT", "range": between(0, 1_000)}, "[bonus]"},
		} {
			got := a.found(object{"compensationFilter": tt.filter}, nil)
			slices.Sort(got)
			if fmt.Sprint(got) != tt.want {
				t.Errorf("%v: %v, want %s", tt.filter, got, tt.want)
			}
		}
		for _, tt := range []struct {
			filter object
			field  string
		}{
			{object{"units": []any{"HOURLY"}}, "type"},
			{object{"type": "UNIT_ONLY"}, "units"},
			{object{"type": "UNIT_AND_AMOUNT", "units": []any{"HOURLY"}}, "range"},
			{object{"type": "UNIT_AND_AMOUNT", "units": []any{"HOURLY", "DAILY"}, "range": between(1, 2)}, "units"},
			{object{"type": "ANNUALIZED_BASE_AMOUNT"}, "range"},
			{object{"type": "ANNUALIZED_BASE_AMOUNT", "range": between(2, 1)}, "range"},
			{object{"type": "ANNUALIZED_BASE_AMOUNT", "range": object{"minCompensation": object{"currencyCode": "usd"}}}, "range.min_compensation.currency_code"},
		} {
			a.refused("POST", a.parent+"/jobs:search", a.searchBody(object{"compensationFilter": tt.filter}, nil), "INVALID_ARGUMENT", "job_query.compensation_filter."+tt.field)
		}
		for order, want := range map[string]string{
			"annualized_base_compensation":       "[yearly euro hourly endless",
			"annualized_base_compensation desc":  "[endless hourly euro yearly",
			"annualized_total_compensation desc": "[endless hourly euro yearly bonus silent]",
		} {
			if got := fmt.Sprint(a.found(nil, object{"orderBy": order})); !strings.HasPrefix(got, want) {
				t.Errorf("by %s: %s, want %s", order, got, want)
			}
		}
	})
}

func TestNumericHistograms(t *testing.T) {
	eachVersion(t, func(t *testing.T, a *api) {
		company := a.payMarket()
		a.createJob(company, object{"requisitionId": "n", "title": "attributes", "customAttributes": object{
			"years": object{"longValues": []any{"7"}, "filterable": true}, "hidden": object{"longValues": []any{"7"}},
		}, "postingPublishTime": time.Now().Add(-40 * 24 * time.Hour)})
		if a.version == "v3" {
			testHistogramFacets(t, a)
			return
		}
		for query, want := range map[string]string{
			`count(company_size)`:           "map[BIG:7]",
			`count(base_compensation_unit)`: "map[HOURLY:1 YEARLY:3]",
			`count(base_compensation, [bucket(0, 1000, "low"), bucket(1000, 100000), bucket(100000, MAX)])`:                     "map[1000-100000:2 100000-MAX:1 low:1]",
			`count(annualized_base_compensation, [bucket(0, 80000), bucket(80000, 150000, "a \"lot\"")])`:                       `map[0-80000:2 a "lot":2]`,
			`count(annualized_total_compensation,[bucket(MIN,5000)])`:                                                           "map[MIN-5000:1]",
			`count(numeric_custom_attribute["years"], [bucket(MIN, 7, "less"), bucket(7, 8, "seven"), bucket(8, MAX, "more")])`: "map[less:0 more:0 seven:1]",
			`count(numeric_custom_attribute["hidden"], [bucket(MIN, MAX)])`:                                                     "map[MIN-MAX:0]",
			`count(publish_time_in_day, [bucket(0, 1, "today"), bucket(40, 41)])`:                                               "map[40-41:1 today:6]",
			`count(publish_time_in_month, [bucket(0, 1), bucket(1, 2), bucket(2, MAX)])`:                                        "map[0-1:6 1-2:1 2-MAX:0]",
			`count(publish_time_in_year, [bucket(0, 1)])`:                                                                       "map[0-1:7]",
		} {
			answer := a.search(nil, object{"histogramQueries": []any{object{"histogramQuery": query}}})
			if got := fmt.Sprint(answer["histogramQueryResults"].([]any)[0].(object)["histogram"]); got != want {
				t.Errorf("%s: %s, want %s", query, got, want)
			}
		}
	})
}

// testHistogramFacets tests the histograms of v3, which have their own form.
func testHistogramFacets(t *testing.T, a *api) {
	bounds := func(requiresMinMax bool, values ...any) object {
		return object{"bucketBounds": values, "requiresMinMax": requiresMinMax}
	}
	answer := a.search(nil, object{"histogramFacets": object{
		"simpleHistogramFacets":          []any{"COMPANY_SIZE", "DATE_PUBLISHED", "BASE_COMPENSATION_UNIT", "COMPANY_DISPLAY_NAME"},
		"compensationHistogramFacets":    []any{object{"type": "ANNUALIZED_BASE", "bucketingOption": bounds(true, 80_000, 150_000)}},
		"customAttributeHistogramFacets": []any{object{"key": "years", "longValueHistogramBucketingOption": bounds(true, 7)}},
	}})
	got, err := json.Marshal(answer["histogramResults"])
	const want = `{"compensationHistogramResults":[{"result":{"counts":[{"count":2,"range":{"to":80000}},{"count":2,"range":{"from":80000,"to":150000}},` +
		`{"count":1,"range":{"from":150000}}],"maxValue":200000,"minValue":60000},"type":"ANNUALIZED_BASE"}],` +
		`"customAttributeHistogramResults":[{"key":"years","longValueHistogramResult":{"counts":[{"count":0,"range":{"to":7}},{"count":1,"range":{"from":7}}],"maxValue":7,"minValue":7}}],` +
		`"simpleHistogramResults":[{"searchType":"COMPANY_SIZE","values":{"BIG":7}},{"searchType":"DATE_PUBLISHED","values":{"PAST_24_HOURS":6,"PAST_3_DAYS":6,"PAST_MONTH":6,"PAST_WEEK":6,"PAST_YEAR":7}},` +
		`{"searchType":"BASE_COMPENSATION_UNIT","values":{"HOURLY":1,"YEARLY":3}},{"searchType":"COMPANY_DISPLAY_NAME","values":{"Acme":7}}]}`
	if err != nil || string(got) != want {
		t.Errorf("got\n%s\nwant\n%s, %v", got, want, err)
	}
	path := a.parent + "/jobs:search"
	facets := func(o object) object { return a.searchBody(nil, object{"histogramFacets": o}) }
	a.refused("POST", path, facets(object{"simpleHistogramFacets": []any{"CITY_COORDINATE"}}), "UNIMPLEMENTED", "histogram_facets.simple_histogram_facets[0]")
	a.refused("POST", path, facets(object{"compensationHistogramFacets": []any{object{"type": "BASE", "bucketingOption": bounds(false, 2, 1)}}}),
		"INVALID_ARGUMENT", "histogram_facets.compensation_histogram_facets[0].bucketing_option")
	a.refused("POST", path, facets(object{"compensationHistogramFacets": []any{object{"type": "BASE", "bucketingOption": bounds(false, 1)}, object{"type": "BASE", "bucketingOption": bounds(false, 1)}}}),
		"INVALID_ARGUMENT", "histogram_facets.compensation_histogram_facets[1]")
}

func TestCustomRanking(t *testing.T) {
	for _, name := range []string{"v4", "v4beta1"} {
		t.Run(name, func(t *testing.T) {
			_, base := start(t, emulator.Options{})
			a := versions(t, base)[name]
			company := a.create("companies", "company", object{"displayName": "Acme", "externalId": a.version})["name"].(string)
			number := func(n int) object { return object{"longValues": []any{fmt.Sprint(n)}} }
			for title, attributes := range map[string]object{
				"plain":    nil,
				"old":      {"year": number(1990), "freshness": number(0)},
				"new":      {"year": number(2020), "freshness": number(4)},
				"baker":    {"year": number(2000)},
				"neighbor": {"year": number(2000), "freshness": number(100_000)},
			} {
				a.createJob(company, object{"title": title, "requisitionId": a.version + title, "customAttributes": attributes})
			}
			rank := func(expression, level string) object {
				return object{"orderBy": "custom_ranking desc", "customRankingInfo": object{"rankingExpression": expression, "importanceLevel": level}}
			}
			for _, tt := range []struct {
				expression, level, want string
			}{
				{"(year + 25) * 0.25 - (freshness / 0.5)", "EXTREME", "old new neighbor"},
				{"freshness", "EXTREME", "neighbor new old"},
				{"-freshness", "HIGH", "old new neighbor"},
				{"1 / freshness", "EXTREME", "new neighbor"}, // a division by zero is invalid
				{"year * -1", "EXTREME", "old"},
				{"2 + 3 * year - 1", "LOW", "new"},
			} {
				got := strings.Join(a.found(object{"companyDisplayNames": []any{"Acme"}}, rank(tt.expression, tt.level)), " ")
				if !strings.HasPrefix(got, tt.want+" ") {
					t.Errorf("%s: %s, want %s", tt.expression, got, tt.want)
				}
			}
			path := a.parent + "/jobs:search"
			for _, expression := range []string{"", "year +", "(year", "year)", "year year", "year ^ 2", "1..2", strings.Repeat("1+", 100) + "1"} {
				a.refused("POST", path, a.searchBody(nil, rank(expression, "HIGH")), "INVALID_ARGUMENT", "custom_ranking_info.ranking_expression")
			}
			a.refused("POST", path, a.searchBody(nil, rank("year", "")), "INVALID_ARGUMENT", "custom_ranking_info.importance_level")
			a.refused("POST", path, a.searchBody(nil, object{"orderBy": "custom_ranking desc"}), "INVALID_ARGUMENT", "custom_ranking_info")
			for order, status := range map[string]string{
				"distance_from('Hawaii')": "UNIMPLEMENTED", "distance_from(19.89, 155.5), distance_from('Hawaii')": "UNIMPLEMENTED",
				"distance_from": "INVALID_ARGUMENT", "distance_from()": "INVALID_ARGUMENT", "distance_from(1)": "INVALID_ARGUMENT", "custom_ranking": "INVALID_ARGUMENT",
			} {
				a.refused("POST", path, a.searchBody(nil, object{"orderBy": order}), status, "order_by")
			}
			// Malformed has precedence over unsupported.
			a.refused("POST", path, a.searchBody(object{"commuteFilter": object{}, "customAttributeFilter": "("}, nil), "INVALID_ARGUMENT", "job_query.custom_attribute_filter")
		})
	}
}
