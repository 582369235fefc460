package talent

import (
	"errors"
	"fmt"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/clientevents/clientevents/emulator/internal/protojson"
)

// facet is a histogram query such as count(employment_type) or
// count(base_compensation, [bucket(0, 1000), bucket(1000, MAX)]).
type facet struct {
	query string
	// texts returns a job's values for a facet of strings; ranges returns those
	// for a numeric facet, which counts by buckets.
	texts   func(t *tenant, j *job) []string
	ranges  func(j *job) []numbers
	buckets []bucket
}

// numbers is a range of values, both ends included.
type numbers struct{ least, most float64 }

// bucket is a range of values, the end excluded.
type bucket struct {
	label    string
	from, to float64
}

// maxBuckets: "A maximum of 200 histogram buckets are supported".
const maxBuckets = 200

// errUnserved means that a facet needs Google's data.
var errUnserved = errors.New("is not emulated: the emulator has no coordinates of cities")

// readFacets reads histogramQueries.
func (s *search) readFacets(in Object, bad *violations) {
	list, _ := in["histogramQueries"].([]any)
	for i, element := range list {
		o, _ := element.(Object)
		query := text(o, "histogramQuery")
		at := "histogram_queries[" + strconv.Itoa(i) + "].histogram_query"
		f, err := s.parseFacet(query)
		switch {
		case errors.Is(err, errUnserved):
			s.unemulated(at, ": the emulator has no coordinates of cities")
		case err != nil:
			bad.add(at, "%q: %v", protojson.Clip(query), err)
		}
		s.facets = append(s.facets, f)
	}
}

// parseFacet reads a query: "Expression syntax is an aggregation function call
// with histogram facets and other options".
func (s *search) parseFacet(query string) (facet, error) {
	p := &facetParser{scanner{facetToken, query}}
	f := facet{query: query}
	name, key, err := p.facet()
	if err == nil && p.take(",") {
		f.buckets, err = p.list()
	}
	if err == nil && (!p.take(")") || p.peek() != "") {
		err = fmt.Errorf("unexpected %q", protojson.Clip(p.rest))
	}
	if err != nil {
		return f, err
	}
	if name == "city_coordinate" {
		return f, errUnserved
	}
	f.texts, f.ranges = stringFacet(name, key), s.numericFacet(name, key)
	keyed := name == "string_custom_attribute" || name == "numeric_custom_attribute"
	switch {
	case f.texts == nil && f.ranges == nil:
		return f, fmt.Errorf("%q is not a facet", protojson.Clip(name))
	case keyed && !keyForm.MatchString(key):
		return f, fmt.Errorf("expected %s[\"KEY\"] with the key of a custom attribute", name)
	case !keyed && key != "":
		return f, fmt.Errorf("the facet %s has no keys", name)
	case f.ranges != nil && len(f.buckets) == 0:
		return f, fmt.Errorf("the facet %s needs a list of buckets, such as [bucket(0, MAX)]", name)
	case f.texts != nil && f.buckets != nil:
		return f, fmt.Errorf("the facet %s has no buckets", name)
	}
	return f, nil
}

// facetParser reads a histogram query.
type facetParser struct{ scanner }

var facetToken = regexp.MustCompile(`^(?:[A-Za-z_][A-Za-z0-9_]*|-?\d+(?:\.\d+)?|[()\[\],])`)

// facet reads "count(name" or "count(name["key"]".
func (p *facetParser) facet() (name, key string, err error) {
	if !p.take("count", "(") {
		return "", "", errors.New("expected count(FACET) or count(FACET, [BUCKET, …])")
	}
	name = p.next()
	if p.take("[") {
		if key, p.rest, err = cutQuoted(strings.TrimLeft(p.rest, " \t")); err == nil && !p.take("]") {
			err = errors.New("a closing bracket is missing")
		}
	}
	return name, key, err
}

// list reads a list of buckets.
func (p *facetParser) list() ([]bucket, error) {
	if !p.take("[") {
		return nil, fmt.Errorf("expected a list of buckets at %q", protojson.Clip(p.rest))
	}
	var buckets []bucket
	for {
		b, err := p.bucket()
		if err != nil {
			return nil, err
		}
		buckets = append(buckets, b)
		switch {
		case len(buckets) > maxBuckets:
			return nil, fmt.Errorf("there are more than %d buckets", maxBuckets)
		case p.take("]"):
			return buckets, nil
		case !p.take(","):
			return nil, errors.New("a closing bracket is missing")
		}
	}
}

// bucket reads "bucket(start, end[, label])". Without a label the key is the
// range, "<low>-<high>".
func (p *facetParser) bucket() (b bucket, err error) {
	if !p.take("bucket", "(") {
		return b, fmt.Errorf("expected bucket(START, END[, LABEL]) at %q", protojson.Clip(p.rest))
	}
	low := p.peek()
	if b.from, err = p.number(); err != nil {
		return b, err
	}
	if !p.take(",") {
		return b, errors.New("a bucket needs a start and an end")
	}
	high := p.peek()
	if b.to, err = p.number(); err != nil {
		return b, err
	}
	b.label = low + "-" + high
	if p.take(",") {
		p.peek()
		if b.label, p.rest, err = cutQuoted(p.rest); err != nil {
			return b, err
		}
	}
	if !p.take(")") {
		return b, errors.New("a closing parenthesis is missing")
	}
	if b.to <= b.from {
		return b, fmt.Errorf("the bucket %s-%s is empty", low, high)
	}
	return b, nil
}

func (p *facetParser) number() (float64, error) {
	token := p.peek()
	switch {
	case p.take("MIN"):
		return math.Inf(-1), nil
	case p.take("MAX"):
		return math.Inf(1), nil
	}
	x, err := strconv.ParseFloat(token, 64)
	if err != nil {
		return 0, fmt.Errorf("expected a number, MIN or MAX at %q", protojson.Clip(p.rest))
	}
	p.take(token)
	return x, nil
}

// stringFacet returns the values that a facet of strings counts, nil for another facet.
func stringFacet(name, key string) func(*tenant, *job) []string {
	if name == "string_custom_attribute" {
		return func(_ *tenant, j *job) []string {
			attributes, _ := j.Fields["customAttributes"].(Object)
			return texts(filterable(attributes, key), "stringValues")
		}
	}
	return stringFacets[name]
}

var stringFacets = map[string]func(*tenant, *job) []string{
	"company_display_name": func(t *tenant, j *job) []string { return []string{t.companies[j.Company].displayName()} },
	"company_size":         func(t *tenant, j *job) []string { return []string{text(t.companies[j.Company].Fields, "size")} },
	"employment_type":      func(_ *tenant, j *job) []string { return texts(j.Fields, "employmentTypes") },
	"degree_types":         func(_ *tenant, j *job) []string { return texts(j.Fields, "degreeTypes") },
	"job_level":            func(_ *tenant, j *job) []string { return []string{text(j.Fields, "jobLevel")} },
	"category":             func(_ *tenant, j *job) []string { return texts(j.derived, "jobCategories") },
	"locale":               func(_ *tenant, j *job) []string { return []string{j.Language} },
	"language": func(_ *tenant, j *job) []string {
		language, _, _ := strings.Cut(languageKey(j.Language), "-")
		return []string{language}
	},
	"base_compensation_unit": func(_ *tenant, j *job) []string { return []string{text(j.baseEntry(), "unit")} },

	"country":        placeValues(func(l location) string { return l.region }),
	"admin1":         placeValues(func(l location) string { return l.area }),
	"city":           placeValues(func(l location) string { return joined(l.locality, l.area) }),
	"admin1_country": placeValues(func(l location) string { return joined(l.area, l.region) }),
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

// joined returns, for example, "Mountain View, CA", and "" without the first part.
func joined(first, second string) string {
	if first == "" || second == "" {
		return first
	}
	return first + ", " + second
}

// numericFacet returns the values that a numeric facet counts, nil for another
// facet. Times are ages: whole days, months of 30 and years of 365 days.
func (s *search) numericFacet(name, key string) func(*job) []numbers {
	const day = 24 * time.Hour
	switch name {
	case "publish_time_in_day":
		return s.age(day)
	case "publish_time_in_month":
		return s.age(30 * day)
	case "publish_time_in_year":
		return s.age(365 * day)
	case "base_compensation":
		return payNumbers(func(j *job) (pay, bool) { return payOf(j.baseEntry()) })
	case "annualized_base_compensation":
		return payNumbers(func(j *job) (pay, bool) { return j.annual(annualBase) })
	case "annualized_total_compensation":
		return payNumbers(func(j *job) (pay, bool) { return j.annual(annualTotal) })
	case "numeric_custom_attribute":
		return func(j *job) []numbers {
			attributes, _ := j.Fields["customAttributes"].(Object)
			if x, ok := numberOf(attributes, key); ok && filterable(attributes, key) != nil {
				return []numbers{{x, x}}
			}
			return nil
		}
	}
	return nil
}

func (s *search) age(unit time.Duration) func(*job) []numbers {
	return func(j *job) []numbers {
		age := math.Floor(float64(s.now.Sub(j.Published)) / float64(unit))
		return []numbers{{age, age}}
	}
}

func payNumbers(of func(*job) (pay, bool)) func(*job) []numbers {
	return func(j *job) []numbers {
		if p, ok := of(j); ok {
			return []numbers{{p.least, p.most}}
		}
		return nil
	}
}

// histograms counts the hits, each at most once for a value.
func (s *search) histograms(t *tenant, hits []hit) []any {
	var results []any
	for _, f := range s.facets {
		results = append(results, Object{"histogramQuery": f.query, "histogram": f.count(t, hits).object()})
	}
	return results
}

// counts are the numbers of jobs by value or bucket.
type counts map[string]int

func (f *facet) count(t *tenant, hits []hit) counts {
	n := counts{}
	for _, b := range f.buckets {
		n[b.label] = 0 // a bucket without jobs is shown
	}
	for _, h := range hits {
		for _, value := range f.values(t, h.job) {
			if value != "" {
				n[value]++
			}
		}
	}
	return n
}

// values returns the distinct values or buckets of a job.
func (f *facet) values(t *tenant, j *job) []string {
	if f.texts != nil {
		return distinct(f.texts(t, j))
	}
	var labels []string
	for _, r := range f.ranges(j) {
		for _, b := range f.buckets {
			if r.least < b.to && r.most >= b.from {
				labels = append(labels, b.label)
			}
		}
	}
	return distinct(labels)
}

func (c counts) object() Object {
	o := Object{}
	for value, n := range c {
		o[value] = strconv.Itoa(n)
	}
	return o
}

// distinct sorts the words and drops repetitions. It reuses a copy.
func distinct(words []string) []string {
	words = slices.Clone(words)
	slices.Sort(words)
	return slices.Clip(slices.Compact(words))
}
