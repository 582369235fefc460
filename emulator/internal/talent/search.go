package talent

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/go-json-experiment/json"

	"github.com/clientevents/clientevents/emulator/internal/protojson"
)

// Search is jobs.search and jobs.searchForAlert, whose "different algorithmic
// adjustments" are not known: here both find the same. The service's ranking
// is its secret too; here a job is found if each word of the query begins a
// word of the job's text, and those with it in the title come first.
func (c *Catalog) Search(v *Dialect, scope Scope, in Object) (Object, *Error) {
	request, err := newSearch(v, scope, in)
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
	first := min(request.offset, len(hits))
	last := min(first+request.size, len(hits))
	var matching []any
	for _, h := range hits[first:last] {
		matching = append(matching, request.matchingJob(t, h))
	}
	if matching != nil {
		answer["matchingJobs"] = matching
	}
	if last < len(hits) {
		answer["nextPageToken"] = request.page.token(int64(last))
	}
	return answer, nil
}

// search is a SearchJobsRequest that was understood.
type search struct {
	v       *Dialect
	scope   Scope
	words   []string
	filters []func(*tenant, *job) bool
	areas   []placeFilter
	order   func(t *tenant, a, b hit) int
	facets  []facet
	view    view
	page    page
	offset  int
	size    int
	// titleOnly: the words are looked for in titles alone.
	titleOnly bool
}

// hit is a job that was found.
type hit struct {
	job   *job
	score int
}

func newSearch(v *Dialect, scope Scope, in Object) (*search, *Error) {
	in = maps.Clone(in)
	in["parent"] = scope.String() // that of the path; v4beta1 has it as a required field
	bad := violations(v.limits("SearchJobsRequest", "", in))
	bad = append(bad, v.required("SearchJobsRequest", "", in)...)
	checkMetadata(v, in, &bad)
	s := &search{v: v, scope: scope}
	s.paging(in, &bad)
	s.ordering(in, &bad)
	if err := bad.err(); err != nil {
		return nil, err
	}
	if err := unserved(in); err != nil {
		return nil, err
	}
	query, _ := in["jobQuery"].(Object)
	if err := s.filter(query); err != nil {
		return nil, err
	}
	if text(in, "searchMode") == "FEATURED_JOB_SEARCH" {
		s.featured()
	}
	s.titleOnly = text(in, "keywordMatchMode") == "KEYWORD_MATCH_TITLE_ONLY"
	var err *Error
	if s.facets, err = facetsOf(in); err != nil {
		return nil, err
	}
	if s.view, err = viewOf(text(in, "jobView"), viewSmall); err != nil {
		return nil, err
	}
	return s, s.continuation(in)
}

// checkMetadata: domain, sessionId and userId are "Required if
// allow_missing_ids is unset or false"; in v3, which has no such field, always.
func checkMetadata(v *Dialect, in Object, bad *violations) {
	metadata, has := in["requestMetadata"].(Object)
	if !has || v.Legacy || metadata["allowMissingIds"] == true {
		return // told as required, by v3's documentation also for the ids
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

// continuation reads the page token, which counts more than the offset.
func (s *search) continuation(in Object) *Error {
	question := maps.Clone(in)
	for _, name := range []string{"parent", "pageToken", "offset", "requestMetadata"} {
		delete(question, name)
	}
	about, err := json.Marshal(question, json.Deterministic(true))
	if err != nil { // an Object always marshals
		panic(err)
	}
	var bad *Error
	s.page, bad = newPage(text(in, "pageToken"), s.size, "search in "+s.scope.key().String()+string(about))
	if s.page.after > 0 {
		s.offset = int(s.page.after)
	}
	return bad
}

// orders are what orderBy may be. Jobs without a compensation "are put at the
// end of search results".
var orders = map[string]func(t *tenant, a, b hit) int{
	"relevance desc": byRelevance,
	"posting_publish_time desc": func(_ *tenant, a, b hit) int {
		return b.job.Published.Compare(a.job.Published)
	},
	"posting_update_time desc": func(_ *tenant, a, b hit) int {
		return b.job.Updated.Compare(a.job.Updated)
	},
	"title":      func(_ *tenant, a, b hit) int { return strings.Compare(a.job.title(), b.job.title()) },
	"title desc": func(_ *tenant, a, b hit) int { return strings.Compare(b.job.title(), a.job.title()) },

	"annualized_base_compensation":       byPay("annualizedBaseCompensationRange", 1),
	"annualized_base_compensation desc":  byPay("annualizedBaseCompensationRange", -1),
	"annualized_total_compensation":      byPay("annualizedTotalCompensationRange", 1),
	"annualized_total_compensation desc": byPay("annualizedTotalCompensationRange", -1),
}

func byRelevance(_ *tenant, a, b hit) int { return cmp.Compare(b.score, a.score) }

func byPay(field string, direction int) func(*tenant, hit, hit) int {
	return func(_ *tenant, a, b hit) int {
		x, hasX := a.job.pay(field)
		y, hasY := b.job.pay(field)
		switch {
		case hasX && hasY:
			return direction * x.least.Cmp(y.least)
		case hasX:
			return -1
		case hasY:
			return 1
		}
		return 0
	}
}

func (j *job) title() string { return text(j.Fields, "title") }

// pay is an annualized range.
func (j *job) pay(field string) (span, bool) {
	info, _ := j.Fields["compensationInfo"].(Object)
	r, _ := info[field].(Object)
	return spanOf(Object{"range": r})
}

func (s *search) ordering(in Object, bad *violations) {
	by := strings.Join(strings.Fields(text(in, "orderBy")), " ")
	if by == "" {
		by = "relevance desc"
	}
	if s.order = orders[by]; s.order == nil && !unservedOrder(by) {
		bad.add("order_by", "%q is not an order, want one of %s", protojson.Clip(by), strings.Join(slices.Sorted(maps.Keys(orders)), ", "))
	}
}

func unservedOrder(by string) bool {
	return strings.HasPrefix(by, "distance_from") || by == "custom_ranking desc"
}

// unserved refuses what the service can do and this catalog can't, rather than
// answer as if it were not asked.
func unserved(in Object) *Error {
	query, _ := in["jobQuery"].(Object)
	for _, one := range []struct {
		asked bool
		field string
	}{
		{query["commuteFilter"] != nil, "job_query.commute_filter"},
		{query["compensationFilter"] != nil, "job_query.compensation_filter"},
		{in["customRankingInfo"] != nil, "custom_ranking_info"},
		{in["histogramFacets"] != nil, "histogram_facets"},
		{unservedOrder(text(in, "orderBy")), "order_by"},
	} {
		if one.asked {
			return fieldErrorf(Unimplemented, one.field, "is not emulated")
		}
	}
	return nil
}

// featured: "Only the jobs with a promotionValue >0 are returned in a
// FEATURED_JOB_SEARCH", "with higher promotional values being returned first
// and ties being resolved by relevance sort".
func (s *search) featured() {
	s.filters = append(s.filters, func(_ *tenant, j *job) bool { return promotion(j) > 0 })
	s.order = func(t *tenant, a, b hit) int {
		return cmp.Or(cmp.Compare(promotion(b.job), promotion(a.job)), byRelevance(t, a, b))
	}
}

func promotion(j *job) float64 {
	n, _ := j.Fields["promotionValue"].(float64)
	return n
}

// find are the open jobs that match, in order.
func (s *search) find(t *tenant) []hit {
	var hits []hit
	for _, j := range t.open {
		if score, ok := s.matches(t, j); ok {
			hits = append(hits, hit{j, score})
		}
	}
	slices.SortFunc(hits, func(a, b hit) int {
		return cmp.Or(s.order(t, a, b), byRelevance(t, a, b), // then the newest first
			b.job.Published.Compare(a.job.Published), cmp.Compare(b.job.Sequence, a.job.Sequence))
	})
	return hits
}

func (s *search) matches(t *tenant, j *job) (score int, ok bool) {
	for _, keep := range s.filters {
		if !keep(t, j) {
			return 0, false
		}
	}
	if !within(s.areas, j) {
		return 0, false
	}
	return s.score(t, j)
}

// score says how well the words fit: all must be somewhere.
func (s *search) score(t *tenant, j *job) (score int, ok bool) {
	if len(s.words) == 0 {
		return 0, true
	}
	index := j.searchIndex()
	company := wordsOf(t.companies[j.Company].displayName())
	for _, word := range s.words {
		switch {
		case begins(index.title, word):
			score += 100
		case s.titleOnly:
			return 0, false
		case begins(company, word), begins(index.place, word):
			score += 10
		case begins(index.rest, word):
			score++
		default:
			return 0, false
		}
	}
	return score, true
}

func begins(words []string, with string) bool {
	return slices.ContainsFunc(words, func(w string) bool { return strings.HasPrefix(w, with) })
}

// searchIndex is the words of a job by where they are.
type searchIndex struct{ title, place, rest []string }

func (j *job) searchIndex() *searchIndex {
	if j.index != nil {
		return j.index
	}
	rest := []string{plainText(text(j.Fields, "description")), text(j.Fields, "department")}
	for _, name := range []string{"qualifications", "responsibilities"} {
		rest = append(rest, plainText(text(j.Fields, name)))
	}
	rest = append(rest, j.searchableAttributes()...)
	j.index = &searchIndex{
		title: wordsOf(j.title()),
		place: wordsOf(strings.Join(texts(j.Fields, "addresses"), " ")),
		rest:  distinct(wordsOf(strings.Join(rest, " "))),
	}
	return j.index
}

// searchableAttributes: "If the keyword_searchable flag is true, the keywords
// in custom fields are searchable by keyword match".
func (j *job) searchableAttributes() []string {
	var values []string
	attributes, _ := j.Fields["customAttributes"].(Object)
	for _, attribute := range attributes {
		if a, _ := attribute.(Object); a["keywordSearchable"] == true {
			values = append(values, texts(a, "stringValues")...)
		}
	}
	return values
}

func distinct(words []string) []string {
	slices.Sort(words)
	return slices.Clip(slices.Compact(words))
}

// matchingJob is a MatchingJob of the answer.
func (s *search) matchingJob(t *tenant, h hit) Object {
	m := Object{"job": s.view.of(t.jobObject(s.v, s.scope, h.job))}
	description := strings.Join(strings.Fields(plainText(text(h.job.Fields, "description"))), " ")
	m["jobSummary"] = shorten(fmt.Sprintf("%s at %s. %s", h.job.title(), t.companies[h.job.Company].displayName(), description), 300)
	// "The matching query keywords are enclosed in HTML bold tags".
	if snippet, found := highlight(h.job.title(), s.words); found {
		m["jobTitleSnippet"] = snippet
	}
	if snippet, found := highlight(shorten(description, 300), s.words); found {
		m["searchTextSnippet"] = snippet
	}
	return m
}

// highlight puts the words that begin as a keyword does in bold.
func highlight(s string, keywords []string) (snippet string, found bool) {
	fields := strings.Split(s, " ")
	for i, field := range fields {
		words := wordsOf(field)
		if slices.ContainsFunc(keywords, func(k string) bool { return begins(words, k) }) {
			fields[i], found = "<b>"+field+"</b>", true
		}
	}
	return strings.Join(fields, " "), found
}

// shorten cuts s behind a word, to at most n bytes and an ellipsis.
func shorten(s string, n int) string {
	if len(s) <= n {
		return s
	}
	if i := strings.LastIndexByte(s[:n], ' '); i > 0 {
		return s[:i] + " …"
	}
	return strings.ToValidUTF8(s[:n], "") + "…"
}
