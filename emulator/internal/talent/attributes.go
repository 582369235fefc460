package talent

import (
	"maps"
	"regexp"
	"slices"
	"unicode/utf8"

	"github.com/clientevents/clientevents/emulator/internal/protojson"
)

// The bounds of customAttributes: "The keys of the map are strings up to 64
// bytes and must match the pattern: [a-zA-Z][a-zA-Z0-9_]*. … At most 100
// filterable and at most 100 unfilterable keys are supported. For filterable
// string_values, across all keys at most 200 values are allowed, with each
// string no more than 255 characters. For unfilterable string_values, the
// maximum total size of string_values across all keys is 50KB." The page of
// CustomAttribute has "a byte size of no more than 500B" instead of the 255
// characters; projects.jobs.patch has precedence.
const (
	maxKeyBytes          = 64
	maxFilterableKeys    = 100
	maxUnfilterableKeys  = 100
	maxFilterableValues  = 200
	maxFilterableChars   = 255
	maxUnfilterableBytes = 50 << 10
)

var keyForm = regexp.MustCompile(`^[a-zA-Z][a-zA-Z0-9_]*$`)

func checkCustomAttributes(sent Object, bad *violations) {
	const field = "job.custom_attributes"
	attributes, _ := sent["customAttributes"].(Object)
	var filterable, unfilterable, values, size int
	for _, key := range slices.Sorted(maps.Keys(attributes)) {
		at := protojson.MapPath(field, key)
		if len(key) > maxKeyBytes || !keyForm.MatchString(key) {
			bad.add(at, "the key must have at most %d bytes and match %s", maxKeyBytes, "[a-zA-Z][a-zA-Z0-9_]*")
		}
		attribute, _ := attributes[key].(Object)
		strings := texts(attribute, "stringValues")
		checkValues(at, attribute, strings, bad)
		if attribute["filterable"] == true {
			filterable++
			values += len(strings)
			checkFilterable(at, strings, bad)
			continue
		}
		unfilterable++
		for _, s := range strings {
			size += len(s)
		}
	}
	for _, bound := range []struct {
		n, most int
		of      string
	}{
		{filterable, maxFilterableKeys, "filterable keys"},
		{unfilterable, maxUnfilterableKeys, "unfilterable keys"},
		{values, maxFilterableValues, "filterable string values"},
		{size, maxUnfilterableBytes, "bytes of unfilterable string values"},
	} {
		if bound.n > bound.most {
			bad.add(field, "has %d %s, at most %d are allowed", bound.n, bound.of, bound.most)
		}
	}
}

// checkValues: "Exactly one of string_values or long_values must be specified";
// "Empty string is not allowed"; "Currently at most 1 long_values is
// supported".
func checkValues(at string, attribute Object, strings []string, bad *violations) {
	longs, _ := attribute["longValues"].([]any)
	if (len(strings) > 0) == (len(longs) > 0) {
		bad.add(at, "exactly one of string_values or long_values must be specified")
	}
	if len(longs) > 1 {
		bad.add(at+".long_values", "has %d values, at most 1 is supported", len(longs))
	}
	if slices.Contains(strings, "") {
		bad.add(at+".string_values", "an empty string is not allowed")
	}
}

func checkFilterable(at string, strings []string, bad *violations) {
	for _, s := range strings {
		if n := utf8.RuneCountInString(s); n > maxFilterableChars {
			bad.add(at+".string_values", "a value has %d characters, a filterable one at most %d", n, maxFilterableChars)
		}
	}
}
