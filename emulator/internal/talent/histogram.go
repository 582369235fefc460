package talent

import (
	"regexp"
	"strconv"
	"strings"
)

// facet is a histogram query such as count(employment_type).
type facet struct {
	query  string
	values func(t *tenant, j *job) []string
}

var facetForm = regexp.MustCompile(`^\s*count\(\s*([a-z0-9_]+)(?:\["([^"]+)"\])?\s*\)\s*$`)

// facetsOf reads histogramQueries, of which those that count strings are
// served.
func facetsOf(in Object) ([]facet, *Error) {
	list, _ := in["histogramQueries"].([]any)
	var facets []facet
	for i, element := range list {
		o, _ := element.(Object)
		query := text(o, "histogramQuery")
		at := "histogram_queries[" + strconv.Itoa(i) + "].histogram_query"
		groups := facetForm.FindStringSubmatch(query)
		if groups == nil {
			return nil, fieldErrorf(Unimplemented, at, "%q is not emulated, count(FACET) of strings is", query)
		}
		values := facetValues(groups[1], groups[2])
		if values == nil {
			return nil, fieldErrorf(Unimplemented, at, "the facet %s is not emulated", groups[1])
		}
		facets = append(facets, facet{query, values})
	}
	return facets, nil
}

func facetValues(name, key string) func(*tenant, *job) []string {
	switch name {
	case "company_display_name":
		return func(t *tenant, j *job) []string { return []string{t.companies[j.Company].displayName()} }
	case "employment_type":
		return func(_ *tenant, j *job) []string { return texts(j.Fields, "employmentTypes") }
	case "degree_types":
		return func(_ *tenant, j *job) []string { return texts(j.Fields, "degreeTypes") }
	case "job_level":
		return func(_ *tenant, j *job) []string { return []string{text(j.Fields, "jobLevel")} }
	case "category":
		return func(_ *tenant, j *job) []string { return texts(j.derived, "jobCategories") }
	case "locale":
		return func(_ *tenant, j *job) []string { return []string{j.Language} }
	case "language":
		return func(_ *tenant, j *job) []string {
			language, _, _ := strings.Cut(strings.ReplaceAll(j.Language, "_", "-"), "-")
			return []string{language}
		}
	case "country":
		return placeValues(func(l location) string { return l.region })
	case "admin1":
		return placeValues(func(l location) string { return l.area })
	case "city":
		return placeValues(func(l location) string { return joined(l.locality, l.area) })
	case "admin1_country":
		return placeValues(func(l location) string { return joined(l.area, l.region) })
	case "string_custom_attribute":
		return func(_ *tenant, j *job) []string {
			attributes, _ := j.Fields["customAttributes"].(Object)
			return texts(filterable(attributes, key), "stringValues")
		}
	}
	return nil
}

func placeValues(part func(location) string) func(*tenant, *job) []string {
	return func(_ *tenant, j *job) []string {
		var values []string
		for _, address := range texts(j.Fields, "addresses") {
			values = append(values, part(resolveAddress(address)))
		}
		return values
	}
}

// joined is "Mountain View, CA", and nothing without the first part.
func joined(first, second string) string {
	if first == "" || second == "" {
		return first
	}
	return first + ", " + second
}

// histograms count the hits, each at most once for a value.
func (s *search) histograms(t *tenant, hits []hit) []any {
	var results []any
	for _, f := range s.facets {
		counts := map[string]int{}
		for _, h := range hits {
			for _, value := range distinct(f.values(t, h.job)) {
				if value != "" {
					counts[value]++
				}
			}
		}
		histogram := Object{}
		for value, n := range counts {
			histogram[value] = strconv.Itoa(n)
		}
		results = append(results, Object{"histogramQuery": f.query, "histogram": histogram})
	}
	return results
}
