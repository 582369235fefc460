package talent

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"time"

	"github.com/clientevents/clientevents/emulator/internal/protojson"
)

// legacyFacets are v3's histogramFacets. Other versions have histogram queries.
type legacyFacets struct {
	simple       []legacyFacet
	compensation []legacyFacet
	attributes   []legacyFacet
}

// legacyFacet is one of the legacyFacets.
type legacyFacet struct {
	name    string // its searchType, type or key
	count   *facet // of strings, nil for none
	numeric func(*job) []numbers
	bounds  []float64
	minMax  bool
}

// simpleFacets are the SearchTypes that count like a facet of histogram queries.
var simpleFacets = map[string]string{
	"EMPLOYMENT_TYPE": "employment_type", "COMPANY_SIZE": "company_size", "EDUCATION_LEVEL": "degree_types",
	"EXPERIENCE_LEVEL": "job_level", "ADMIN_1": "admin1", "COUNTRY": "country", "CITY": "city", "LOCALE": "locale",
	"LANGUAGE": "language", "CATEGORY": "category", "ADMIN_1_COUNTRY": "admin1_country",
	"COMPANY_DISPLAY_NAME": "company_display_name", "BASE_COMPENSATION_UNIT": "base_compensation_unit",
}

// publishPeriods are the values of DATE_PUBLISHED.
var publishPeriods = []struct {
	name string
	past time.Duration
}{
	{"PAST_24_HOURS", 24 * time.Hour},
	{"PAST_3_DAYS", 3 * 24 * time.Hour},
	{"PAST_WEEK", 7 * 24 * time.Hour},
	{"PAST_MONTH", 30 * 24 * time.Hour},
	{"PAST_YEAR", 365 * 24 * time.Hour},
}

// payFacets are the facets of histogram queries by CompensationHistogramRequestType.
var payFacets = map[string]string{
	"BASE": "base_compensation", "ANNUALIZED_BASE": "annualized_base_compensation", "ANNUALIZED_TOTAL": "annualized_total_compensation",
}

// readLegacyFacets reads histogramFacets.
func (s *search) readLegacyFacets(in Object, bad *violations) {
	facets, _ := in["histogramFacets"].(Object)
	for i, name := range texts(facets, "simpleHistogramFacets") {
		at := fmt.Sprintf("histogram_facets.simple_histogram_facets[%d]", i)
		f := &facet{texts: s.simpleFacet(name)}
		switch {
		case name == "CITY_COORDINATE":
			s.unemulated(at, ": the emulator has no coordinates of cities")
		case f.texts == nil:
			bad.add(at, "%s is not valid", name)
		}
		s.legacy.simple = append(s.legacy.simple, legacyFacet{name: name, count: f})
	}
	s.legacy.compensation = s.readBucketed(facets, "compensationHistogramFacets", "type", "bucketingOption", bad)
	for i, f := range s.legacy.compensation {
		s.legacy.compensation[i].numeric = s.numericFacet(payFacets[f.name], "")
	}
	s.legacy.attributes = s.readBucketed(facets, "customAttributeHistogramFacets", "key", "longValueHistogramBucketingOption", bad)
	requests, _ := facets["customAttributeHistogramFacets"].([]any)
	for i, f := range s.legacy.attributes {
		request, _ := requests[i].(Object)
		if request["stringValueHistogram"] == true || f.bounds == nil {
			s.legacy.attributes[i].count = &facet{texts: stringFacet("string_custom_attribute", f.name)}
		}
		if f.bounds != nil || f.minMax {
			s.legacy.attributes[i].numeric = s.numericFacet("numeric_custom_attribute", f.name)
		}
	}
}

func (s *search) simpleFacet(name string) func(*tenant, *job) []string {
	switch name {
	case "COMPANY_ID":
		return func(_ *tenant, j *job) []string { return []string{j.Company} }
	case "DATE_PUBLISHED":
		return func(_ *tenant, j *job) []string {
			var periods []string
			for _, p := range publishPeriods {
				if s.now.Sub(j.Published) <= p.past {
					periods = append(periods, p.name)
				}
			}
			return periods
		}
	}
	return stringFacet(simpleFacets[name], "")
}

// maxBounds: "At most 20 buckets_bound is supported".
const maxBounds = 20

// readBucketed reads a list of requests with a NumericBucketingOption. "Duplicate
// values … are not allowed"; "Values should be in ascending order".
func (s *search) readBucketed(facets Object, list, name, option string, bad *violations) []legacyFacet {
	requests, _ := facets[list].([]any)
	var read []legacyFacet
	for i, element := range requests {
		request, _ := element.(Object)
		at := fmt.Sprintf("histogram_facets.%s[%d]", protojson.ProtoName(list), i)
		f := legacyFacet{name: text(request, name)}
		buckets, _ := request[option].(Object)
		f.minMax = buckets["requiresMinMax"] == true
		bounds, _ := buckets["bucketBounds"].([]any)
		for _, bound := range bounds {
			x, _ := bound.(float64)
			f.bounds = append(f.bounds, x)
		}
		if slices.ContainsFunc(read, func(o legacyFacet) bool { return o.name == f.name }) {
			bad.add(at, "%q is repeated", protojson.Clip(f.name))
		}
		if len(f.bounds) > maxBounds || !slices.IsSorted(f.bounds) {
			bad.add(at+"."+protojson.ProtoName(option), "bucket_bounds must have at most %d values in ascending order", maxBounds)
		}
		read = append(read, f)
	}
	return read
}

// legacyHistograms returns the HistogramResults, nil if the request has no facets.
func (s *search) legacyHistograms(t *tenant, hits []hit) Object {
	o := Object{}
	var simple, compensation, attributes []any
	for _, f := range s.legacy.simple {
		values := Object{}
		for value, n := range f.count.count(t, hits) {
			values[value] = float64(n)
		}
		simple = append(simple, Object{"searchType": f.name, "values": values})
	}
	for _, f := range s.legacy.compensation {
		compensation = append(compensation, Object{"type": f.name, "result": f.bucketed(hits)})
	}
	for _, f := range s.legacy.attributes {
		result := Object{"key": f.name}
		if f.count != nil {
			values := Object{}
			for value, n := range f.count.count(t, hits) {
				values[value] = float64(n)
			}
			result["stringValueHistogramResult"] = values
		}
		if f.numeric != nil {
			result["longValueHistogramResult"] = f.bucketed(hits)
		}
		attributes = append(attributes, result)
	}
	for name, list := range map[string][]any{
		"simpleHistogramResults": simple, "compensationHistogramResults": compensation, "customAttributeHistogramResults": attributes,
	} {
		if list != nil {
			o[name] = list
		}
	}
	if len(o) == 0 {
		return nil
	}
	return o
}

// bucketed returns a NumericBucketingResult: n bounds make n+1 buckets; the first has
// no start and the last no end.
func (f *legacyFacet) bucketed(hits []hit) Object {
	edges := slices.Concat([]float64{math.Inf(-1)}, f.bounds, []float64{math.Inf(1)})
	byLabel := facet{ranges: f.numeric}
	for i := range len(edges) - 1 {
		byLabel.buckets = append(byLabel.buckets, bucket{strconv.Itoa(i), edges[i], edges[i+1]})
	}
	n := byLabel.count(nil, hits)
	result := Object{}
	if f.bounds != nil {
		var list []any
		for _, b := range byLabel.buckets {
			list = append(list, Object{"range": rangeObject(b), "count": float64(n[b.label])})
		}
		result["counts"] = list
	}
	if f.minMax {
		f.putMinMax(result, hits)
	}
	return result
}

func rangeObject(b bucket) Object {
	o := Object{}
	if !math.IsInf(b.from, 0) {
		o["from"] = b.from
	}
	if !math.IsInf(b.to, 0) {
		o["to"] = b.to
	}
	return o
}

func (f *legacyFacet) putMinMax(result Object, hits []hit) {
	least, most := math.Inf(1), math.Inf(-1)
	for _, h := range hits {
		for _, r := range f.numeric(h.job) {
			least = min(least, r.least)
			if !math.IsInf(r.most, 1) {
				most = max(most, r.most)
			}
			most = max(most, r.least)
		}
	}
	if !math.IsInf(least, 0) {
		result["minValue"], result["maxValue"] = least, most
	}
}
