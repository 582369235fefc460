package talent

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/clientevents/clientevents/emulator/internal/protojson"
)

// filter reads a JobQuery. A job must match all filters, and any value of a filter
// with several.
func (s *search) filter(query Object, bad *violations) {
	s.words = wordsOf(text(query, "query"))
	s.filterCompanies(query, bad)
	s.filterLists(query)
	s.filterLanguages(query, bad)
	s.filterPublishTime(query)
	s.filterAttributes(query, bad)
	s.filterPay(query, bad)
	s.filterPlaces(query)
	if query["commuteFilter"] != nil {
		s.unemulated("job_query.commute_filter", ": the emulator has no coordinates of addresses")
	}
}

func (s *search) keep(filter func(*tenant, *job) bool) { s.filters = append(s.filters, filter) }

func (s *search) filterCompanies(query Object, bad *violations) {
	field := "companies"
	if s.v.Legacy {
		field = "companyNames"
	}
	if names := texts(query, field); len(names) > 0 {
		var ids []string
		for _, name := range names {
			scope, id, ok := s.v.ParseName(name, "companies")
			if !ok {
				bad.add("job_query."+protojson.ProtoName(field), "%q is not a company name, %s",
					protojson.Clip(name), s.v.nameForm("companies", "company"))
			} else if scope.key() == s.scope.key() {
				ids = append(ids, id)
			}
		}
		s.keep(func(_ *tenant, j *job) bool { return slices.Contains(ids, j.Company) })
	}
	if names := texts(query, "companyDisplayNames"); len(names) > 0 {
		s.keep(func(t *tenant, j *job) bool {
			has := t.companies[j.Company].displayName()
			return slices.ContainsFunc(names, func(want string) bool { return matchesName(want, has) })
		})
	}
	s.filterExcluded(query, bad)
}

func (s *search) filterExcluded(query Object, bad *violations) {
	excluded := map[string]bool{}
	for i, name := range texts(query, "excludedJobs") {
		scope, id, ok := s.v.ParseName(name, "jobs")
		if !ok {
			bad.add(fmt.Sprintf("job_query.excluded_jobs[%d]", i), "%q is not a job name, %s", protojson.Clip(name), s.v.nameForm("jobs", "job"))
		} else if scope.key() == s.scope.key() {
			excluded[id] = true
		}
	}
	if len(excluded) > 0 {
		s.keep(func(_ *tenant, j *job) bool { return !excluded[j.ID] })
	}
}

// matchesName: "The company name must match the value exactly.
// Alternatively, the value being searched for can be wrapped in different match
// operators", SUBSTRING_MATCH and MULTI_WORD_TOKEN_MATCH, which are "case
// insensitive".
func matchesName(want, has string) bool {
	if value, ok := operand(want, "SUBSTRING_MATCH"); ok {
		return strings.Contains(strings.ToLower(has), strings.ToLower(value))
	}
	if value, ok := operand(want, "MULTI_WORD_TOKEN_MATCH"); ok {
		words, wanted := wordsOf(has), wordsOf(value)
		for i := range words {
			if len(wanted) > 0 && i+len(wanted) <= len(words) && slices.Equal(words[i:i+len(wanted)], wanted) {
				return true
			}
		}
		return false
	}
	return want == has
}

func operand(s, operator string) (string, bool) {
	inner, ok := strings.CutPrefix(s, operator+"(")
	if !ok {
		return "", false
	}
	return strings.CutSuffix(inner, ")")
}

// filterLists: a job must have one of the wanted values.
func (s *search) filterLists(query Object) {
	if types := texts(query, "employmentTypes"); len(types) > 0 {
		s.keep(func(_ *tenant, j *job) bool {
			return slices.ContainsFunc(types, func(one string) bool { return hasEmployment(j.Fields, one) })
		})
	}
	if categories := texts(query, "jobCategories"); len(categories) > 0 {
		s.keep(func(_ *tenant, j *job) bool {
			return slices.ContainsFunc(texts(j.derived, "jobCategories"), func(one string) bool { return slices.Contains(categories, one) })
		})
	}
}

func (s *search) filterLanguages(query Object, bad *violations) {
	codes := texts(query, "languageCodes")
	for i, code := range codes {
		checkLanguage(fmt.Sprintf("job_query.language_codes[%d]", i), code, bad)
	}
	checkLanguage("job_query.query_language_code", text(query, "queryLanguageCode"), bad)
	if len(codes) > 0 {
		s.keep(func(_ *tenant, j *job) bool {
			return slices.ContainsFunc(codes, func(want string) bool { return speaks(j.Language, want) })
		})
	}
}

// speaks reports whether a language code is the wanted one or a variant of it, such
// as en-US of en.
func speaks(has, want string) bool {
	has, want = languageKey(has), languageKey(want)
	return has == want || strings.HasPrefix(has, want+"-")
}

// filterPublishTime: startTime is inclusive, endTime exclusive.
func (s *search) filterPublishTime(query Object) {
	span, _ := query["publishTimeRange"].(Object)
	from, hasFrom := timeOf(span, "startTime")
	to, hasTo := timeOf(span, "endTime")
	if !hasFrom && !hasTo {
		return
	}
	s.keep(func(_ *tenant, j *job) bool { return during(j.Published, from, hasFrom, to, hasTo) })
}

func during(at, from time.Time, hasFrom bool, to time.Time, hasTo bool) bool {
	return !(hasFrom && at.Before(from)) && !(hasTo && !at.Before(to))
}

func (s *search) filterAttributes(query Object, bad *violations) {
	expression := text(query, "customAttributeFilter")
	if expression == "" {
		return
	}
	match, err := parseAttributeFilter(expression)
	if err != nil {
		bad.add("job_query.custom_attribute_filter", "%v", err)
		return
	}
	s.keep(func(_ *tenant, j *job) bool {
		attributes, _ := j.Fields["customAttributes"].(Object)
		return match(attributes)
	})
}

// placeFilter is a LocationFilter.
type placeFilter struct {
	place   location
	address string
	// remote selects jobs without a place, in the region if the filter has one.
	// notRemote excludes them.
	remote, notRemote bool
	region            string
	negated           bool // v4beta1 only
}

func (s *search) filterPlaces(query Object) {
	list, _ := query["locationFilters"].([]any)
	for _, element := range list {
		o, _ := element.(Object)
		f := placeFilter{address: text(o, "address"), region: text(o, "regionCode"), negated: o["negated"] == true}
		switch text(o, "telecommutePreference") {
		case "TELECOMMUTE_ALLOWED":
			f.remote = true // "address and lat_lng are ignored"
		case "TELECOMMUTE_JOBS_EXCLUDED":
			f.notRemote = true
		}
		if !f.remote && f.address == "" && o["latLng"] != nil {
			s.unemulated("job_query.location_filters.lat_lng", ": the emulator has no coordinates of addresses")
		}
		if f.place = resolveAddress(f.address); f.place.region == "" {
			f.place.region = f.region
		}
		s.areas = append(s.areas, f)
	}
}

// places returns the searched locations for the answer.
func (s *search) places() []any {
	var list []any
	for _, f := range s.areas {
		if f.address != "" && !f.remote {
			list = append(list, f.place.object())
		}
	}
	return list
}

// within reports whether a job is in one of the places, and in no negated one.
func within(areas []placeFilter, j *job) bool {
	wanted, found := false, false
	for _, f := range areas {
		match := f.matches(j)
		if f.negated && match {
			return false
		}
		if !f.negated {
			wanted, found = true, found || match
		}
	}
	return found || !wanted
}

func (f placeFilter) matches(j *job) bool {
	region := text(j.Fields, "postingRegion")
	remote := region == "TELECOMMUTE"
	if f.remote {
		return remote && (f.region == "" || f.inRegion(j))
	}
	if remote && f.notRemote {
		return false
	}
	if f.address == "" {
		return f.region == "" || f.inRegion(j)
	}
	return slices.ContainsFunc(texts(j.Fields, "addresses"), func(address string) bool {
		at := resolveAddress(address)
		return at.within(f.place) || f.isNamed(at, address) || covers(region, at, f.place)
	})
}

func (f placeFilter) inRegion(j *job) bool {
	return slices.ContainsFunc(texts(j.Fields, "addresses"), func(address string) bool {
		return strings.EqualFold(resolveAddress(address).region, f.region)
	})
}

// isNamed reports whether the address has the place as a part. It is for places that
// can't be resolved, such as "Mountain View".
func (f placeFilter) isNamed(at location, address string) bool {
	if len(f.place.lines) != 1 || f.region != "" && !strings.EqualFold(f.region, at.region) {
		return false
	}
	for part := range strings.SplitSeq(address, ",") {
		if strings.EqualFold(strings.TrimSpace(part), f.place.lines[0]) {
			return true
		}
	}
	return false
}

// covers: "If this field is set, a LocationFilter in a search query within the
// job region finds this job posting if an exact location match isn't
// specified".
func covers(postingRegion string, at, place location) bool {
	switch postingRegion {
	case "NATION":
		return at.region != "" && strings.EqualFold(at.region, place.region)
	case "ADMINISTRATIVE_AREA":
		return at.area != "" && at.area == place.area && strings.EqualFold(at.region, place.region)
	}
	return false
}
