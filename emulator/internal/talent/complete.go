package talent

import (
	"cmp"
	"slices"
	"strings"

	"github.com/clientevents/clientevents/emulator/internal/protojson"
)

// Completion is a request for completeQuery.
type Completion struct {
	Query   string
	Company string // a resource name, or ""
	// Languages, if any, are the accepted languages of open jobs.
	Languages []string
	// Type is a CompletionType, COMBINED if it is "". The CompletionScope has no
	// effect: the emulator has only the client's own jobs.
	Type, Scope string
	PageSize    int
}

// maxSuggestions: "The maximum allowed page size is 10".
const maxSuggestions = 10

// Complete implements completeQuery. It finds job titles and company names of which a
// word begins with the query.
func (c *Catalog) Complete(v *Dialect, scope Scope, r Completion) (Object, *Error) {
	company, err := r.check(v)
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	t, err := c.tenantOf(scope)
	if err != nil {
		return nil, err
	}
	answer := Object{"metadata": Object{"requestId": c.NewRequestID(scope)}}
	if results := r.suggest(t, company); results != nil {
		answer["completionResults"] = results
	}
	return answer, nil
}

func (r *Completion) check(v *Dialect) (company string, _ *Error) {
	var bad violations
	switch n := len([]rune(r.Query)); {
	case n == 0:
		bad.add("query", "is required")
	case n > 255:
		bad.add("query", "has %d characters, at most 255 are allowed", n)
	}
	switch {
	case r.PageSize == 0:
		bad.add("page_size", "is required")
	case r.PageSize < 0 || r.PageSize > maxSuggestions:
		bad.add("page_size", "is %d, it can be from 1 to %d", r.PageSize, maxSuggestions)
	}
	if r.Company != "" {
		var ok bool
		if _, company, ok = v.ParseName(r.Company, "companies"); !ok {
			bad.add("company", "%q is not a company name, %s", protojson.Clip(r.Company), v.nameForm("companies", "company"))
		}
	}
	r.Type = enumName(r.Type, "type", []string{"COMPLETION_TYPE_UNSPECIFIED", "JOB_TITLE", "COMPANY_NAME", "COMBINED"}, &bad)
	r.Scope = enumName(r.Scope, "scope", []string{"COMPLETION_SCOPE_UNSPECIFIED", "TENANT", "PUBLIC"}, &bad)
	return company, bad.err()
}

// enumName returns the name of an enum's value, which was sent as a name or number.
func enumName(sent, field string, names []string, bad *violations) string {
	if sent == "" {
		return ""
	}
	for i, name := range names {
		if sent == name || sent == string(rune('0'+i)) {
			return name
		}
	}
	bad.add(field, "%q is not one of %s", protojson.Clip(sent), strings.Join(names, ", "))
	return ""
}

// suggest searches the open jobs. Texts that begin with the query come first.
func (r *Completion) suggest(t *tenant, company string) []any {
	type suggestion struct{ text, kind, image string }
	found := map[suggestion]bool{}
	for _, j := range t.open {
		if company != "" && j.Company != company || !r.inLanguage(j) {
			continue
		}
		of := t.companies[j.Company]
		if r.Type != "COMPANY_NAME" && r.matches(j.title()) {
			found[suggestion{j.title(), "JOB_TITLE", ""}] = true
		}
		if r.Type != "JOB_TITLE" && r.matches(of.displayName()) {
			found[suggestion{of.displayName(), "COMPANY_NAME", text(of.Fields, "imageUri")}] = true
		}
	}
	all := make([]suggestion, 0, len(found))
	for s := range found {
		all = append(all, s)
	}
	slices.SortFunc(all, func(a, b suggestion) int {
		return cmp.Or(cmp.Compare(r.rank(a.text), r.rank(b.text)), cmp.Compare(a.text, b.text), cmp.Compare(a.kind, b.kind))
	})
	var results []any
	for _, s := range all[:min(len(all), r.PageSize)] {
		o := Object{"suggestion": s.text, "type": s.kind}
		if s.image != "" {
			o["imageUri"] = s.image
		}
		results = append(results, o)
	}
	return results
}

func (r *Completion) inLanguage(j *job) bool {
	return len(r.Languages) == 0 ||
		slices.ContainsFunc(r.Languages, func(want string) bool { return speaks(j.Language, want) })
}

func (r *Completion) matches(s string) bool { return r.rank(s) < 2 }

// rank returns 0 for a text that begins with the query, 1 for a text with such a
// word, and 2 for other texts.
func (r *Completion) rank(s string) int {
	s, query := strings.ToLower(s), strings.ToLower(r.Query)
	switch {
	case strings.HasPrefix(s, query):
		return 0
	case strings.Contains(s, " "+query):
		return 1
	}
	return 2
}
