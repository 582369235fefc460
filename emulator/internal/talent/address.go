package talent

import (
	"regexp"
	"strings"

	"golang.org/x/text/language"
)

// location is the content of an address. Without a map, the emulator knows neither
// coordinates nor a radius, nor the country of a city without one.
type location struct {
	kind                               string // a LocationType
	region, area, locality, postalCode string
	lines                              []string
}

var (
	postalForm = regexp.MustCompile(`^(?:(.*?)\s+)?(\d{5}(?:-\d{4})?)$`)
	digits     = regexp.MustCompile(`\d`)
)

// resolveAddress reads an address of the form "street, city, state postal code,
// country", of which at least one part is present. Like the service, it assumes the
// United States if a part is one of their states.
func resolveAddress(address string) location {
	var parts []string
	for part := range strings.SplitSeq(address, ",") {
		if part = strings.TrimSpace(part); part != "" {
			parts = append(parts, part)
		}
	}
	var l location
	parts = l.takeCountry(parts)
	parts = l.takeArea(parts)
	if n := len(parts); n > 0 && (l.region != "" || l.area != "") && !digits.MatchString(parts[n-1]) {
		l.locality, parts = parts[n-1], parts[:n-1]
	}
	l.lines = parts
	l.kind = l.locationType()
	return l
}

// takeCountry takes a country from the end. After another part, a two-letter state of
// the United States has precedence over the country with the same code.
func (l *location) takeCountry(parts []string) []string {
	n := len(parts)
	if n == 0 {
		return parts
	}
	last := parts[n-1]
	if code := countries[strings.ToLower(last)]; code != "" {
		l.region = code
		return parts[:n-1]
	}
	if _, state := stateOf(last); state && n > 1 || len(last) > 3 || len(last) < 2 {
		return parts
	}
	if region, err := language.ParseRegion(last); err == nil && region.IsCountry() {
		l.region = region.String()
		return parts[:n-1]
	}
	return parts
}

// takeArea takes a state of the United States, with its postal code, from the
// end.
func (l *location) takeArea(parts []string) []string {
	n := len(parts)
	if n == 0 || l.region != "" && l.region != "US" {
		return parts
	}
	last, postal := parts[n-1], ""
	if m := postalForm.FindStringSubmatch(last); m != nil && (l.region == "US" || m[1] != "") {
		last, postal = m[1], m[2]
	}
	code, ok := stateOf(last)
	switch {
	case ok:
		l.area, l.region, l.postalCode = code, "US", postal
	case last == "" && postal != "":
		l.postalCode = postal
	default:
		return parts
	}
	return parts[:n-1]
}

func stateOf(s string) (code string, ok bool) {
	if code, ok = states[strings.ToLower(s)]; ok {
		return code, true
	}
	if len(s) == 2 && strings.ToUpper(s) == s {
		for _, known := range states {
			if known == s {
				return s, true
			}
		}
	}
	return "", false
}

func (l *location) locationType() string {
	switch {
	case len(l.lines) > 0 && l.locality != "" && digits.MatchString(l.lines[0]):
		return "STREET_ADDRESS"
	case len(l.lines) > 0 && l.locality != "":
		return "NEIGHBORHOOD"
	case len(l.lines) > 0:
		return ""
	case l.locality != "":
		return "LOCALITY"
	case l.postalCode != "":
		return "POSTAL_CODE"
	case l.area != "":
		return "ADMINISTRATIVE_AREA"
	case l.region != "":
		return "COUNTRY"
	}
	return ""
}

// object returns the location as a Location of the API.
func (l location) object() Object {
	postal := Object{}
	for name, value := range map[string]string{
		"regionCode": l.region, "administrativeArea": l.area, "locality": l.locality, "postalCode": l.postalCode,
	} {
		if value != "" {
			postal[name] = value
		}
	}
	if len(l.lines) > 0 {
		lines := make([]any, len(l.lines))
		for i, line := range l.lines {
			lines[i] = line
		}
		postal["addressLines"] = lines
	}
	o := Object{"postalAddress": postal}
	if l.kind != "" {
		o["locationType"] = l.kind
	}
	return o
}

// within reports whether l is in the place that another location names.
func (l location) within(place location) bool {
	if place.region == "" && place.area == "" && place.locality == "" && place.postalCode == "" {
		return false
	}
	return part(place.region, l.region) && part(place.area, l.area) &&
		part(place.locality, l.locality) && part(place.postalCode, l.postalCode)
}

func part(want, has string) bool { return want == "" || strings.EqualFold(want, has) }

// countries have common names; every other country has only its ISO 3166 code.
var countries = map[string]string{
	"argentina": "AR", "australia": "AU", "austria": "AT", "österreich": "AT", "belgium": "BE", "brazil": "BR", "brasil": "BR",
	"canada": "CA", "chile": "CL", "china": "CN", "colombia": "CO", "czech republic": "CZ", "czechia": "CZ",
	"denmark": "DK", "egypt": "EG", "finland": "FI", "france": "FR", "germany": "DE", "deutschland": "DE",
	"greece": "GR", "hong kong": "HK", "hungary": "HU", "india": "IN", "indonesia": "ID", "ireland": "IE",
	"israel": "IL", "italy": "IT", "italia": "IT", "japan": "JP", "kenya": "KE", "luxembourg": "LU", "malaysia": "MY",
	"mexico": "MX", "méxico": "MX", "netherlands": "NL", "the netherlands": "NL", "new zealand": "NZ", "nigeria": "NG",
	"norway": "NO", "pakistan": "PK", "peru": "PE", "philippines": "PH", "poland": "PL", "portugal": "PT",
	"romania": "RO", "russia": "RU", "saudi arabia": "SA", "singapore": "SG", "south africa": "ZA", "south korea": "KR",
	"korea": "KR", "spain": "ES", "españa": "ES", "sweden": "SE", "switzerland": "CH", "schweiz": "CH", "suisse": "CH",
	"taiwan": "TW", "thailand": "TH", "turkey": "TR", "türkiye": "TR", "ukraine": "UA", "united arab emirates": "AE",
	"uk": "GB", "united kingdom": "GB", "great britain": "GB", "england": "GB", "scotland": "GB", "wales": "GB",
	"usa": "US", "u.s.a.": "US", "united states": "US", "united states of america": "US", "vietnam": "VN",
}

// states of the United States.
var states = map[string]string{
	"alabama": "AL", "alaska": "AK", "arizona": "AZ", "arkansas": "AR", "california": "CA", "colorado": "CO",
	"connecticut": "CT", "delaware": "DE", "district of columbia": "DC", "florida": "FL", "georgia": "GA", "hawaii": "HI",
	"idaho": "ID", "illinois": "IL", "indiana": "IN", "iowa": "IA", "kansas": "KS", "kentucky": "KY", "louisiana": "LA",
	"maine": "ME", "maryland": "MD", "massachusetts": "MA", "michigan": "MI", "minnesota": "MN", "mississippi": "MS",
	"missouri": "MO", "montana": "MT", "nebraska": "NE", "nevada": "NV", "new hampshire": "NH", "new jersey": "NJ",
	"new mexico": "NM", "new york": "NY", "north carolina": "NC", "north dakota": "ND", "ohio": "OH", "oklahoma": "OK",
	"oregon": "OR", "pennsylvania": "PA", "rhode island": "RI", "south carolina": "SC", "south dakota": "SD",
	"tennessee": "TN", "texas": "TX", "utah": "UT", "vermont": "VT", "virginia": "VA", "washington": "WA",
	"west virginia": "WV", "wisconsin": "WI", "wyoming": "WY",
}
