package emulator_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/clientevents/clientevents/emulator"
)

// search returns a SearchJobsRequest in the version's names.
func (a *api) search(query, more object) object {
	a.t.Helper()
	return a.ok("POST", a.parent+"/jobs:search", a.searchBody(query, more))
}

func (a *api) searchBody(query, more object) object {
	body := object{
		"requestMetadata": object{"domain": "example.com", "sessionId": "s", "userId": "u"},
		"jobQuery":        query,
	}
	maps.Copy(body, more)
	return body
}

// found returns the titles that a search finds, in order.
func (a *api) found(query, more object) []string {
	a.t.Helper()
	more = maps.Clone(more)
	if more == nil {
		more = object{}
	}
	more["jobView"] = "JOB_VIEW_FULL"
	var titles []string
	for _, job := range matching(a.search(query, more)) {
		titles = append(titles, job["title"].(string))
	}
	return titles
}

func matching(answer object) []object {
	var jobs []object
	list, _ := answer["matchingJobs"].([]any)
	for _, m := range list {
		jobs = append(jobs, m.(object)["job"].(object))
	}
	return jobs
}

// market fills a tenant with jobs to search.
func (a *api) market() (acme, globex string) {
	a.t.Helper()
	acme = a.create("companies", "company", object{"displayName": "Acme Inc", "externalId": "a"})["name"].(string)
	globex = a.create("companies", "company", object{"displayName": "Globex Corporation", "externalId": "g"})["name"].(string)
	filterable := func(values object) object {
		values["filterable"] = true
		return values
	}
	for i, job := range []struct {
		company string
		fields  object
	}{
		{acme, object{
			"title": "Software Engineer", "addresses": []string{"Mountain View, CA, USA"}, "employmentTypes": []string{"FULL_TIME"},
			"languageCode": "en-US", "postingPublishTime": "2026-01-01T00:00:00Z",
			"customAttributes": object{"grade": filterable(object{"stringValues": []string{"Senior"}}), "years": filterable(object{"longValues": []string{"7"}})},
			"compensationInfo": object{"entries": []any{object{"type": "BASE", "unit": "YEARLY", "amount": object{"currencyCode": "USD", "units": "90000"}}}},
		}},
		{globex, object{
			"title": "Nurse", "addresses": []string{"Berlin, Germany"}, "employmentTypes": []string{"PART_TIME", "CONTRACTOR"},
			"languageCode": "de", "postingPublishTime": "2026-01-02T00:00:00Z", "description": "<b>Hospital</b> work with software. Arbeit im Krankenhaus.",
			"customAttributes": object{"grade": filterable(object{"stringValues": []string{"junior"}}), "years": object{"longValues": []string{"9"}}},
			"promotionValue":   2,
		}},
		{globex, object{
			"title": "Accountant", "addresses": []string{"New York, NY, USA"}, "employmentTypes": []string{"FULL_TIME"},
			"languageCode": "en-GB", "postingPublishTime": "2026-01-03T00:00:00Z", "postingRegion": "NATION",
			"compensationInfo": object{"entries": []any{object{"type": "BASE", "unit": "MONTHLY", "amount": object{"currencyCode": "USD", "units": "5000"}}}},
			"promotionValue":   7,
		}},
		{acme, object{
			"title": "Remote Writer", "postingRegion": "TELECOMMUTE", "languageCode": "en-US", "postingPublishTime": "2026-01-04T00:00:00Z",
		}},
	} {
		job.fields["requisitionId"] = fmt.Sprint("r", i)
		a.createJob(job.company, job.fields)
	}
	return acme, globex
}

func TestSearchFilters(t *testing.T) {
	eachVersion(t, func(t *testing.T, a *api) {
		acme, _ := a.market()
		companies := "companies"
		if a.version == "v3" {
			companies = "companyNames"
		}
		for name, tt := range map[string]struct {
			query object
			want  []string
		}{
			"all":                       {nil, []string{"Remote Writer", "Accountant", "Nurse", "Software Engineer"}},
			"words, the title first":    {object{"query": "software"}, []string{"Software Engineer", "Remote Writer", "Accountant", "Nurse"}},
			"all words":                 {object{"query": "software hospital"}, []string{"Nurse"}},
			"a place":                   {object{"query": "engineer mountain"}, []string{"Software Engineer"}},
			"a company":                 {object{"query": "globex nurse"}, []string{"Nurse"}},
			"nothing":                   {object{"query": "zebra"}, nil},
			companies:                   {object{companies: []string{acme}}, []string{"Remote Writer", "Software Engineer"}},
			"display name":              {object{"companyDisplayNames": []string{"Acme Inc"}}, []string{"Remote Writer", "Software Engineer"}},
			"display name in part":      {object{"companyDisplayNames": []string{"Acme"}}, nil},
			"display name, substring":   {object{"companyDisplayNames": []string{"SUBSTRING_MATCH(LOBEX)"}}, []string{"Accountant", "Nurse"}},
			"display name, words":       {object{"companyDisplayNames": []string{"MULTI_WORD_TOKEN_MATCH(globex corporation)"}}, []string{"Accountant", "Nurse"}},
			"display name, half a word": {object{"companyDisplayNames": []string{"MULTI_WORD_TOKEN_MATCH(glob)"}}, nil},
			"employment types":          {object{"employmentTypes": []any{"CONTRACTOR", 1}}, []string{"Accountant", "Nurse", "Software Engineer"}},
			"categories":                {object{"jobCategories": []string{"HEALTHCARE", "ACCOUNTING_AND_FINANCE"}}, []string{"Accountant", "Nurse"}},
			"languages":                 {object{"languageCodes": []string{"en-US", "de"}}, []string{"Remote Writer", "Nurse", "Software Engineer"}},
			"a language of any region":  {object{"languageCodes": []string{"en"}}, []string{"Remote Writer", "Accountant", "Software Engineer"}},
			"published": {
				object{"publishTimeRange": object{"startTime": "2026-01-02T00:00:00Z", "endTime": "2026-01-03T00:00:00Z"}},
				[]string{"Nurse"},
			},
			"city":                  {object{"locationFilters": []any{object{"address": "Mountain View, CA"}}}, []string{"Accountant", "Software Engineer"}},
			"city by its name":      {object{"locationFilters": []any{object{"address": "Berlin"}}}, []string{"Nurse"}},
			"country":               {object{"locationFilters": []any{object{"address": "Germany"}}}, []string{"Nurse"}},
			"country code":          {object{"locationFilters": []any{object{"regionCode": "US"}}}, []string{"Accountant", "Software Engineer"}},
			"two places":            {object{"locationFilters": []any{object{"address": "Germany"}, object{"address": "New York, USA"}}}, []string{"Accountant", "Nurse"}},
			"telecommuting":         {object{"locationFilters": []any{object{"telecommutePreference": "TELECOMMUTE_ALLOWED"}}}, []string{"Remote Writer"}},
			"attribute":             {object{"customAttributeFilter": `grade = "Senior"`}, []string{"Software Engineer"}},
			"attribute, any case":   {object{"customAttributeFilter": `LOWER(grade) = "senior" OR LOWER(grade) = "junior"`}, []string{"Nurse", "Software Engineer"}},
			"attribute, number":     {object{"customAttributeFilter": `years > 6 AND years <= 9`}, []string{"Software Engineer"}}, // the nurse's is not filterable
			"attribute, missing":    {object{"customAttributeFilter": `EMPTY(grade)`}, []string{"Remote Writer", "Accountant"}},
			"attribute, combined":   {object{"customAttributeFilter": `NOT (EMPTY(grade) OR (grade != "Senior" AND years < 100))`}, []string{"Nurse", "Software Engineer"}},
			"several filters":       {object{"query": "software", "employmentTypes": []string{"FULL_TIME"}, "languageCodes": []string{"en-US"}}, []string{"Software Engineer"}},
			"region of a published": {object{"locationFilters": []any{object{"address": "Texas, USA"}}}, []string{"Accountant"}},
		} {
			if got := a.found(tt.query, nil); !slices.Equal(got, tt.want) {
				t.Errorf("%s: found %q, want %q", name, got, tt.want)
			}
		}
	})
}

func TestSearchOrder(t *testing.T) {
	eachVersion(t, func(t *testing.T, a *api) {
		a.market()
		for by, want := range map[string][]string{
			"relevance desc":                    {"Remote Writer", "Accountant", "Nurse", "Software Engineer"},
			"posting_publish_time desc":         {"Remote Writer", "Accountant", "Nurse", "Software Engineer"},
			"posting_update_time desc":          {"Remote Writer", "Accountant", "Nurse", "Software Engineer"},
			"title":                             {"Accountant", "Nurse", "Remote Writer", "Software Engineer"},
			"title desc":                        {"Software Engineer", "Remote Writer", "Nurse", "Accountant"},
			"annualized_base_compensation":      {"Accountant", "Software Engineer", "Remote Writer", "Nurse"},
			"annualized_base_compensation desc": {"Software Engineer", "Accountant", "Remote Writer", "Nurse"},
		} {
			if got := a.found(nil, object{"orderBy": by}); !slices.Equal(got, want) {
				t.Errorf("%s: %q, want %q", by, got, want)
			}
		}
		// "Only the jobs with a promotionValue >0 are returned in a FEATURED_JOB_SEARCH."
		if got := a.found(nil, object{"searchMode": "FEATURED_JOB_SEARCH"}); !slices.Equal(got, []string{"Accountant", "Nurse"}) {
			t.Errorf("featured: %q", got)
		}
	})
}

func TestSearchPages(t *testing.T) {
	eachVersion(t, func(t *testing.T, a *api) {
		company := a.company("acme")
		for i := range 12 {
			a.createJob(company, object{"requisitionId": fmt.Sprint(i), "title": fmt.Sprintf("Job %02d", i)})
		}
		size := "pageSize"
		if a.version == "v4" {
			size = "maxPageSize"
		}
		first := a.search(nil, object{"orderBy": "title"})
		if n := len(matching(first)); n != 10 || first["nextPageToken"] == nil {
			t.Fatalf("%d jobs by default, token %v", n, first["nextPageToken"])
		}
		total := first["totalSize"]
		if a.version == "v4beta1" {
			total = first["estimatedTotalSize"]
		}
		if total != 12.0 {
			t.Errorf("total %v", total)
		}

		var titles []string
		more := object{"orderBy": "title", size: 5}
		for {
			page := a.search(nil, more)
			for _, job := range matching(page) {
				titles = append(titles, job["title"].(string))
			}
			if page["nextPageToken"] == nil {
				break
			}
			more["pageToken"] = page["nextPageToken"]
		}
		if len(titles) != 12 || !slices.IsSorted(titles) || len(slices.Compact(titles)) != 12 {
			t.Errorf("the pages have %q", titles)
		}
		if got := a.found(nil, object{"orderBy": "title", "offset": 11}); !slices.Equal(got, []string{"Job 11"}) {
			t.Errorf("offset 11: %q", got)
		}
		if got := a.found(nil, object{"offset": 12}); got != nil {
			t.Errorf("offset 12: %q", got)
		}
		path := a.parent + "/jobs:search"
		a.refused("POST", path, a.searchBody(object{"query": "other"}, more), "INVALID_ARGUMENT", "page_token")
		a.refused("POST", path, a.searchBody(nil, object{"offset": 5001}), "INVALID_ARGUMENT", "offset")
		a.refused("POST", path, a.searchBody(nil, object{size: 101}), "INVALID_ARGUMENT",
			map[string]string{"pageSize": "page_size", "maxPageSize": "max_page_size"}[size])
		a.refused("POST", path, a.searchBody(nil, object{"orderBy": "salary"}), "INVALID_ARGUMENT", "order_by")
		a.refused("POST", path, object{}, "INVALID_ARGUMENT", "request_metadata")
		a.refused("POST", path, object{"requestMetadata": object{"domain": "d", "sessionId": "s"}}, "INVALID_ARGUMENT", "request_metadata.user_id")
		// Features that are not emulated are refused, not ignored.
		a.refused("POST", path, a.searchBody(object{"commuteFilter": object{
			"commuteMethod": "DRIVING", "travelDuration": "100s", "startCoordinates": object{"latitude": 1},
		}}, nil), "UNIMPLEMENTED", "job_query.commute_filter")
	})
}

// The views and snippets of a search.
func TestSearchAnswer(t *testing.T) {
	eachVersion(t, func(t *testing.T, a *api) {
		a.market()
		answer := a.search(object{"query": "engineer"}, nil)
		m := answer["matchingJobs"].([]any)[0].(object)
		job := m["job"].(object)
		if job["description"] == nil || job["visibility"] != "ACCOUNT_ONLY" || job["addresses"] != nil || job[a.companyField] == nil {
			t.Errorf("JOB_VIEW_SMALL shows %v", job)
		}
		if m["jobTitleSnippet"] != "Software <b>Engineer</b>" || !strings.HasPrefix(m["jobSummary"].(string), "Software Engineer at Acme Inc. You will") {
			t.Errorf("match %v", m)
		}
		minimal := matching(a.search(object{"query": "engineer"}, object{"jobView": 2}))[0]
		if minimal["title"] == nil || minimal["derivedInfo"].(object)["locations"] == nil || minimal["description"] != nil {
			t.Errorf("JOB_VIEW_MINIMAL shows %v", minimal)
		}
		only := matching(a.search(object{"query": "engineer"}, object{"jobView": "JOB_VIEW_ID_ONLY"}))[0]
		if got := slices.Sorted(maps.Keys(only)); !slices.Equal(got, []string{"languageCode", "name", "requisitionId"}) {
			t.Errorf("JOB_VIEW_ID_ONLY shows %q", got)
		}
	})
}

// Events with the request ID of a search have no warnings. Others are accepted too, with
// warnings.
func TestWarnings(t *testing.T) {
	eachVersion(t, func(t *testing.T, a *api) {
		emu, url := start(t, emulator.Options{})
		a.url = url
		event := func(requestID string, jobs ...any) emulator.Accepted {
			t.Helper()
			e := object{
				"eventId": "e", "requestId": requestID, "createTime": "2026-01-02T03:04:05Z",
				"jobEvent": object{"type": "IMPRESSION", "jobs": jobs},
			}
			a.ok("POST", a.parent+"/clientEvents", a.body("clientEvent", e))
			events, _ := emu.EventsAfter(0)
			return events[len(events)-1]
		}
		fields := func(got emulator.Accepted) (list []string) {
			for _, w := range got.Warnings {
				list = append(list, w.Field)
			}
			return list
		}
		unknown := a.parent + "/jobs/1"
		if got := fields(event("made-up", unknown)); len(got) != 0 {
			t.Errorf("before any search and any job: %q", got)
		}
		a.market()
		answer := a.search(nil, nil)
		requestID := answer["metadata"].(object)["requestId"].(string)
		job := matching(answer)[0]["name"]
		if got := fields(event(requestID, job)); got != nil {
			t.Errorf("from a search: %q", got)
		}
		if got := event("made-up", job).Warnings; len(got) != 1 || got[0].Field != "requestId" {
			t.Errorf("a made-up request id: %v", got)
		}
		if got := event(requestID, job, unknown).Warnings; len(got) != 1 || !strings.Contains(got[0].Reason, unknown) {
			t.Errorf("an unknown job: %v", got)
		}
		elsewhere := *a
		elsewhere.parent = strings.Replace(a.parent, "projects/p", "projects/q", 1)
		elsewhere.ok("POST", elsewhere.parent+"/clientEvents", elsewhere.body("clientEvent", object{
			"eventId": "e", "requestId": requestID, "createTime": "2026-01-02T03:04:05Z",
			"jobEvent": object{"type": "VIEW", "jobs": []any{job}},
		}))
		events, _ := emu.EventsAfter(0)
		if got := fields(events[len(events)-1]); !slices.Equal(got, []string{"requestId", "jobEvent.jobs"}) {
			t.Errorf("in another project: %q", got)
		}
		a.ok("DELETE", job.(string), nil)
		if got := fields(event(requestID, job)); !slices.Equal(got, []string{"jobEvent.jobs"}) {
			t.Errorf("a deleted job: %q", got)
		}
		// Two with a request ID that is not of their project, three with an unknown job.
		if got := fmt.Sprint(emu.Report().Discarded); got != "map[missing_request_id:0 unknown_job:3 unknown_request_id:2]" {
			t.Errorf("discarded: %s", got)
		}
		if s := emu.Stats(); s.Warned != 4 || s.Accepted != 6 {
			t.Errorf("%d of %d are warned of", s.Warned, s.Accepted)
		}
	})
}
