package talent

import (
	"bytes"
	"maps"
	"slices"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/clientevents/clientevents/emulator/internal/protojson"
)

// Search implements jobs.search and jobs.searchForAlert. The latter's "different
// algorithmic adjustments" and the service's ranking are not documented. Here both
// find the same: a job matches if each word of the query is the prefix of a word of
// the job's text, and matches in the title come first.
func (c *Catalog) Search(v *Dialect, scope Scope, in Object) (Object, *Error) {
	request, err := c.newSearch(v, scope, in)
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	t, err := c.tenantOf(scope)
	if err != nil {
		return nil, err
	}
	hits := request.find(t)
	answer := Object{"metadata": Object{"requestId": c.NewRequestID(scope)}}
	if n := float64(len(hits)); n > 0 {
		answer["totalSize"], answer["estimatedTotalSize"] = n, n // each version has one or both
	}
	if places := request.places(); places != nil {
		answer["locationFilters"] = places
	}
	if results := request.histograms(t, hits); results != nil {
		answer["histogramQueryResults"] = results
	}
	if results := request.legacyHistograms(t, hits); results != nil {
		answer["histogramResults"] = results
	}
	some, next := request.page(hits)
	var matching []any
	for _, h := range some {
		matching = append(matching, request.matchingJob(t, h))
	}
	if matching != nil {
		answer["matchingJobs"] = matching
	}
	if next != "" {
		answer["nextPageToken"] = next
	}
	return answer, nil
}

// page returns one page of hits and the token of the next one. The token is the sort
// key of the page's last hit, so that jobs that are created or deleted between two
// pages neither repeat nor hide others.
func (s *search) page(hits []hit) (some []hit, next string) {
	first := s.offset
	if s.after != nil {
		first, _ = slices.BinarySearchFunc(hits, s.after, func(h hit, after []byte) int {
			if bytes.Compare(h.key, after) <= 0 {
				return -1
			}
			return 1
		})
	}
	hits = hits[min(first, len(hits)):]
	if len(hits) <= s.size {
		return hits, ""
	}
	return hits[:s.size], s.question.token(slices.Clone([]byte(hits[s.size-1].key)))
}

// search is a parsed SearchJobsRequest.
type search struct {
	v        *Dialect
	scope    Scope
	words    []string
	filters  []func(*tenant, *job) bool
	areas    []placeFilter
	order    ordering
	facets   []facet
	legacy   legacyFacets
	view     view
	question question
	after    []byte // the sort key of the previous page's last hit
	offset   int
	size     int
	now      time.Time
	// titleOnly searches only titles for the words.
	titleOnly bool
	// unserved is the first requested feature of the service that this catalog
	// does not have. The request is refused rather than answered without it.
	unserved *Error
}

// hit is a job that matches.
type hit struct {
	job   *job
	score int
	key   sortKey // its place among the hits
}

// unemulated records that a field requests a feature that is not emulated.
func (s *search) unemulated(field, reason string) {
	if s.unserved == nil {
		s.unserved = fieldErrorf(Unimplemented, field, "is not emulated%s", reason)
	}
}

// newSearch reads a request. Malformed fields have precedence over unserved ones.
func (c *Catalog) newSearch(v *Dialect, scope Scope, in Object) (*search, *Error) {
	in = maps.Clone(in)
	in["parent"] = scope.String() // from the path; v4beta1 has it as a required field
	s := &search{v: v, scope: scope, now: c.now()}
	query, _ := in["jobQuery"].(Object)
	bad := violations(v.limits("SearchJobsRequest", "", in))
	bad = append(bad, v.required("SearchJobsRequest", "", in)...)
	bad = slices.DeleteFunc(bad, func(one protojson.Violation) bool {
		return one.Field == "job_query.compensation_filter.units" && unitsAreOptional(query)
	})
	checkMetadata(v, in, &bad)
	s.paging(in, &bad)
	s.ordering(in, &bad)
	s.filter(query, &bad)
	s.readFacets(in, &bad)
	s.readLegacyFacets(in, &bad)
	if text(in, "searchMode") == "FEATURED_JOB_SEARCH" {
		s.featured()
	}
	s.titleOnly = text(in, "keywordMatchMode") == "KEYWORD_MATCH_TITLE_ONLY"
	var err *Error
	if s.view, err = viewOf(text(in, "jobView"), viewSmall); err != nil {
		bad = append(bad, err.Violations...)
	}
	s.continuation(in, &bad)
	if err := bad.err(); err != nil {
		return nil, err
	}
	if s.unserved != nil {
		return nil, s.unserved
	}
	return s, nil
}

// checkMetadata: domain, sessionId and userId are "Required if
// allow_missing_ids is unset or false"; in v3, which has no such field, always.
func checkMetadata(v *Dialect, in Object, bad *violations) {
	metadata, has := in["requestMetadata"].(Object)
	if !has || v.Legacy || metadata["allowMissingIds"] == true {
		return // reported as required, by v3's documentation also for the ids
	}
	for _, name := range []string{"domain", "sessionId", "userId"} {
		if metadata[name] == nil {
			bad.add("request_metadata."+protojson.ProtoName(name), "is required if allow_missing_ids is not true")
		}
	}
}

// paging: "The value can be between 1 and 100", 10 by default; of the offset
// "the maximum allowed value is 5000. Otherwise an error is thrown".
func (s *search) paging(in Object, bad *violations) {
	s.size = 10
	for _, name := range []string{"pageSize", "maxPageSize"} {
		if n, has := in[name].(float64); has {
			s.size = int(n)
			if n < 1 || n > 100 {
				bad.add(protojson.ProtoName(name), "is %v, the value can be between 1 and 100", n)
			}
		}
	}
	if n, has := in["offset"].(float64); has {
		s.offset = int(n)
		if n < 0 || n > 5000 {
			bad.add("offset", "is %v, it can be from 0 to 5000", n)
		}
	}
}

// notAsked are the fields that may differ between the pages of a search.
var notAsked = []string{
	"parent", "pageToken", "offset", "pageSize", "maxPageSize", "jobView",
	"requestMetadata", "histogramQueries", "histogramFacets",
}

// continuation reads the page token, which has precedence over the offset.
func (s *search) continuation(in Object, bad *violations) {
	asked := maps.Clone(in)
	for _, name := range notAsked {
		delete(asked, name)
	}
	about, err := json.Marshal(asked, json.Deterministic(true))
	if err != nil { // an Object always marshals
		panic(err)
	}
	s.question = questionOf("search in " + s.scope.key().String() + string(about))
	var wrong *Error
	if s.after, wrong = s.question.position(text(in, "pageToken")); wrong != nil {
		*bad = append(*bad, wrong.Violations...)
	}
}
