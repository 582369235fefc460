package talent

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
)

// find returns the open jobs that match, in order.
func (s *search) find(t *tenant) []hit {
	var hits []hit
	for _, j := range t.open {
		if score, ok := s.matches(t, j); ok {
			h := hit{job: j, score: score}
			h.key = s.keyOf(h)
			hits = append(hits, h)
		}
	}
	slices.SortFunc(hits, func(a, b hit) int { return bytes.Compare(a.key, b.key) })
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

// score returns the weight of the match. Each word must match.
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

// searchIndex has the words of a job by their fields.
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

// matchingJob returns a MatchingJob of the answer.
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

// highlight puts words that begin with a keyword in bold.
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

// shorten cuts s after a word, to at most n bytes and an ellipsis.
func shorten(s string, n int) string {
	if len(s) <= n {
		return s
	}
	if i := strings.LastIndexByte(s[:n], ' '); i > 0 {
		return s[:i] + " …"
	}
	return strings.ToValidUTF8(s[:n], "") + "…"
}

func (j *job) title() string { return text(j.Fields, "title") }
