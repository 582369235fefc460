package protojson

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"unicode/utf8"

	"github.com/clientevents/clientevents/internal/discovery"
)

// rule is a field's documentation of its values. The documents state rules in
// sentences of a few forms. The program reads them, so that it has the rules of each
// version and of a new document.
type rule struct {
	required   bool // "Required. …"
	outputOnly bool // "Output only. …"
	chars      int  // "The maximum number of allowed characters is 255.", of each entry of a list
	items      int  // "At most 50 locations are allowed …", "A maximum of 200 jobs can …"
}

var (
	charsForm = regexp.MustCompile(`maximum number of allowed characters(?: for each entry)? is ([\d,]+)`)
	itemsForm = regexp.MustCompile(`(?:At most ([\d,]+) [\w ]+ are allowed|A maximum of ([\d,]+) jobs can)`)
	rules     sync.Map // of *rule by *discovery.Schema
)

func ruleOf(field *discovery.Schema) *rule {
	if r, ok := rules.Load(field); ok {
		return r.(*rule)
	}
	text := field.Description
	r := &rule{
		required:   strings.HasPrefix(text, "Required."),
		outputOnly: field.ReadOnly || strings.HasPrefix(text, "Output only."),
		chars:      number(charsForm.FindStringSubmatch(text)),
	}
	if field.Type == "array" {
		r.items = number(itemsForm.FindStringSubmatch(text))
	}
	rules.Store(field, r)
	return r
}

// number returns the first number that a form has matched, 0 for none.
func number(groups []string) int {
	for i := 1; i < len(groups); i++ {
		if n, err := strconv.Atoi(strings.ReplaceAll(groups[i], ",", "")); err == nil {
			return n
		}
	}
	return 0
}

// Limits finds the values of o that exceed the documented length or number, and
// messages within o that lack a required field. path is the path of o. Required finds
// the fields that o itself lacks.
func Limits(api *discovery.API, schema *discovery.Schema, path string, o Object) []Violation {
	var bad []Violation
	s := api.Resolve(schema)
	for _, name := range slices.Sorted(maps.Keys(o)) {
		if field := s.Properties[name]; field != nil {
			bad = append(bad, limitsOf(api, field, Join(path, ProtoName(name)), o[name])...)
		}
	}
	return bad
}

func limitsOf(api *discovery.API, field *discovery.Schema, path string, v any) []Violation {
	rule := ruleOf(field)
	switch v := v.(type) {
	case string:
		return tooLong(rule, path, v)
	case []any:
		return limitsOfList(api, field, rule, path, v)
	case Object:
		s := api.Resolve(field)
		if s.AdditionalProperties == nil {
			return append(Required(api, s, path, v), Limits(api, s, path, v)...)
		}
		var bad []Violation
		for _, key := range slices.Sorted(maps.Keys(v)) {
			if value, ok := v[key].(Object); ok {
				bad = append(bad, Limits(api, s.AdditionalProperties, MapPath(path, key), value)...)
			}
		}
		return bad
	}
	return nil
}

func limitsOfList(api *discovery.API, field *discovery.Schema, rule *rule, path string, list []any) []Violation {
	var bad []Violation
	if rule.items > 0 && len(list) > rule.items {
		bad = append(bad, Violation{path, fmt.Sprintf("has %d entries, at most %d are allowed", len(list), rule.items)})
	}
	for i, element := range list {
		at := fmt.Sprintf("%s[%d]", path, i)
		switch element := element.(type) {
		case string:
			bad = append(bad, tooLong(rule, at, element)...)
		case Object:
			bad = append(bad, Required(api, field.Items, at, element)...)
			bad = append(bad, Limits(api, field.Items, at, element)...)
		}
	}
	return bad
}

func tooLong(rule *rule, path, text string) []Violation {
	if rule.chars == 0 || len(text) <= rule.chars {
		return nil
	}
	if n := utf8.RuneCountInString(text); n > rule.chars {
		return []Violation{{path, fmt.Sprintf("has %d characters, at most %d are allowed", n, rule.chars)}}
	}
	return nil
}

// Required finds the fields that o lacks and whose documentation begins with
// "Required.".
func Required(api *discovery.API, schema *discovery.Schema, path string, o Object) []Violation {
	var bad []Violation
	s := api.Resolve(schema)
	for _, name := range slices.Sorted(maps.Keys(s.Properties)) {
		if _, has := o[name]; !has && ruleOf(s.Properties[name]).required {
			bad = append(bad, Violation{Join(path, ProtoName(name)), "is required"})
		}
	}
	return bad
}

// IsOutputOnly reports whether only the service sets a field.
func IsOutputOnly(field *discovery.Schema) bool { return ruleOf(field).outputOnly }

// Join returns a path below another one, "" being the top.
func Join(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}
