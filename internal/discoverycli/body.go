package discoverycli

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"github.com/clientevents/clientevents/internal/discovery"
)

// kebab returns the command line's form of a JSON name: clientEvent becomes
// client-event, upload_protocol upload-protocol and $.xgafv $-xgafv.
func kebab(name string) string {
	var b strings.Builder
	for _, r := range name {
		switch {
		case unicode.IsUpper(r):
			b.WriteByte('-')
			b.WriteRune(unicode.ToLower(r))
		case r == '_' || r == '.':
			b.WriteByte('-')
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}

// property returns the field of a structure whose command-line name is word.
func property(s *discovery.Schema, word string) (name string, field *discovery.Schema) {
	for name, field := range s.Properties {
		if kebab(name) == word {
			return name, field
		}
	}
	return "", nil
}

// kind is the kind of a place in the request's structure.
type kind int

const (
	scalar    kind = iota
	structure      // fields by name
	mapping        // values by any key
	list
	anything // JSON of any shape
)

func kindOf(s *discovery.Schema) kind {
	switch {
	case s.Type == "array" && s.Items != nil:
		return list
	case s.Type == "object" && s.AdditionalProperties != nil:
		return mapping
	case s.Type == "object":
		return structure
	case s.Type == "any":
		return anything
	}
	return scalar
}

// elements returns the schema of a list's or a map's values.
func elements(api *discovery.API, s *discovery.Schema) *discovery.Schema {
	if s.Items != nil {
		return api.Resolve(s.Items)
	}
	return api.Resolve(s.AdditionalProperties)
}

// fieldNames returns the sorted command-line names of all fields anywhere in a
// structure, the candidates for a misspelt name.
func fieldNames(api *discovery.API, root *discovery.Schema) []string {
	names := map[string]bool{}
	seen := map[*discovery.Schema]bool{}
	var collect func(*discovery.Schema)
	collect = func(s *discovery.Schema) {
		if s = api.Resolve(s); s == nil || seen[s] {
			return
		}
		seen[s] = true
		for name, field := range s.Properties {
			names[kebab(name)] = true
			collect(field)
		}
		collect(s.Items)
		collect(s.AdditionalProperties)
	}
	collect(root)
	return slices.Sorted(maps.Keys(names))
}

// body builds a request's body from the items of -r.
type body struct {
	api    *discovery.API
	schema *discovery.Schema
	names  []string
	value  any
	at     cursor
	// stray is the fault of the last move, if its place has no fields and no
	// later item explains it.
	stray  error
	faults []error
}

func newBody(api *discovery.API, request *discovery.Schema) *body {
	schema := api.Resolve(request)
	return &body{api: api, schema: schema, names: fieldNames(api, schema), value: map[string]any{}}
}

// build applies all items in order. It returns the body, or all faults of the items.
func (b *body) build(items []string) (any, []error) {
	for _, item := range items {
		b.item(item)
	}
	b.flushStray()
	if len(b.faults) > 0 {
		return nil, b.faults
	}
	return b.value, nil
}

// item moves the cursor or, with an "=", sets a field and leaves the cursor in place.
func (b *body) item(item string) {
	key, value, isValue := strings.Cut(item, "=")
	if !isValue {
		b.moveTo(item)
		return
	}
	b.stray = nil
	if value == "" {
		b.fault(mismatch(item, ""))
		return
	}
	target, err := b.at.move(key)
	if err != nil {
		b.fault(fieldFault(err))
		return
	}
	changed, err := b.assign(b.value, b.schema, target, 0, value)
	if unknown, ok := errors.AsType[unknownField](err); ok {
		err = fieldFault(unknown.explain(target, key, value, b.names))
	}
	if err != nil {
		b.fault(err)
		return
	}
	b.value = changed
}

func (b *body) moveTo(path string) {
	if strings.HasPrefix(path, ".") && !strings.HasPrefix(path, "..") {
		b.flushStray()
	}
	b.stray = nil
	to, err := b.at.move(path)
	if err != nil {
		b.fault(fieldFault(err))
		return
	}
	b.at = to
	b.stray = b.checkPlace(path)
}

// checkPlace returns the fault of a cursor's place without fields.
func (b *body) checkPlace(path string) error {
	s := b.schemaAt(b.at)
	switch {
	case s == nil:
		return fieldFault(unknownField{}.explain(b.at, path, "", b.names))
	case kindOf(s) == structure,
		kindOf(s) != scalar && kindOf(s) != anything && kindOf(elements(b.api, s)) == structure:
		return nil
	}
	return fieldFault(faultf("'%s': The cursor is moved to '%s', which has no fields, and nothing is set there. Did you mean '%s=<value>' ?", path, b.at, path))
}

func (b *body) schemaAt(c cursor) *discovery.Schema {
	s := b.schema
	for _, word := range c {
		switch kindOf(s) {
		case structure:
			_, s = property(s, word)
			s = b.api.Resolve(s)
		case mapping:
			s = elements(b.api, s)
		case list:
			if _, err := strconv.ParseUint(word, 10, 31); err != nil {
				return nil
			}
			s = elements(b.api, s)
		default:
			return nil
		}
		if s == nil {
			return nil
		}
	}
	return s
}

func (b *body) flushStray() {
	if b.stray != nil {
		b.fault(b.stray)
		b.stray = nil
	}
}

func (b *body) fault(err error) { b.faults = append(b.faults, err) }

func fieldFault(err error) error { return faultf("Field -> %v", err) }

func mismatch(item, what string) error {
	return faultf("'%s' does not match %spattern <key>=<value>.", item, what)
}

// unknownField describes a field that the structure does not have.
type unknownField struct {
	// instead is the correct word, if it is known.
	instead string
}

func (u unknownField) Error() string { return "unknown field" }

func (u unknownField) explain(target cursor, key, value string, names []string) error {
	instead := u.instead
	if instead == "" {
		if instead = nearestPath(key, names); instead != "" && value != "" {
			instead += "=" + value
		}
	}
	if instead == "" {
		return faultf("Field '%s' does not exist.", target)
	}
	return faultf("Field '%s' does not exist. Did you mean '%s' ?", target, instead)
}

// assign returns node with value set at target[depth:]. node is the value at
// target[:depth], or nil. An error changes nothing.
func (b *body) assign(node any, s *discovery.Schema, target cursor, depth int, value string) (any, error) {
	switch kindOf(s) {
	case structure:
		return b.assignField(node, s, target, depth, value)
	case mapping:
		return b.assignEntry(node, s, target, depth, value)
	case list:
		return b.assignElement(node, s, target, depth, value)
	}
	switch {
	case depth < len(target):
		return nil, unknownField{}
	case node != nil:
		return nil, alreadySet(target)
	}
	return b.convert(s, target, value)
}

func alreadySet(target cursor) error {
	return fieldFault(faultf("Value at '%s' was already set", target))
}

func (b *body) assignField(node any, s *discovery.Schema, target cursor, depth int, value string) (any, error) {
	if depth == len(target) {
		return nil, fieldFault(b.isStructure(s, target))
	}
	name, field := property(s, target[depth])
	if field == nil {
		return nil, unknownField{}
	}
	fields, _ := node.(map[string]any)
	v, err := b.assign(fields[name], b.api.Resolve(field), target, depth+1, value)
	if err != nil {
		return nil, err
	}
	return with(fields, name, v), nil
}

func with(m map[string]any, key string, v any) map[string]any {
	if m == nil {
		m = map[string]any{}
	}
	m[key] = v
	return m
}

// isStructure explains that a structure takes no value of its own.
func (b *body) isStructure(s *discovery.Schema, target cursor) error {
	names := slices.Sorted(maps.Keys(s.Properties))
	switch {
	case len(names) == 0:
		return faultf("Field '%s' is a structure without fields.", target)
	case len(target) == 0:
		return faultf("The request itself takes no value. Set its fields, for example '%s'.", kebab(names[0]))
	}
	return faultf("Field '%s' is a structure. Set its fields, for example '.%s.%s=<value>'.", target, target, kebab(names[0]))
}

func (b *body) assignEntry(node any, s *discovery.Schema, target cursor, depth int, value string) (any, error) {
	element := elements(b.api, s)
	entries, _ := node.(map[string]any)
	if depth < len(target) {
		if kindOf(element) == scalar {
			return nil, unknownField{instead: fmt.Sprintf(".%s=%s=%s", target[:depth], strings.Join(target[depth:], "."), value)}
		}
		v, err := b.assign(entries[target[depth]], element, target, depth+1, value)
		if err != nil {
			return nil, err
		}
		return with(entries, target[depth], v), nil
	}
	key, entry, _ := strings.Cut(value, "=")
	if key == "" || entry == "" {
		return nil, mismatch(value, "hashmap ")
	}
	if _, set := entries[key]; set {
		return nil, alreadySet(target)
	}
	v, err := b.convert(element, target, entry)
	if err != nil {
		return nil, err
	}
	return with(entries, key, v), nil
}

func (b *body) assignElement(node any, s *discovery.Schema, target cursor, depth int, value string) (any, error) {
	element := elements(b.api, s)
	values, _ := node.([]any)
	if depth == len(target) {
		v, err := b.convert(element, target, value)
		if err != nil {
			return nil, err
		}
		return append(values, v), nil
	}
	if kindOf(element) == scalar {
		return nil, unknownField{instead: fmt.Sprintf(".%s=%s", target[:depth], value)}
	}
	i, err := strconv.ParseUint(target[depth], 10, 31)
	if err != nil {
		return nil, unknownField{instead: fmt.Sprintf(".%s.%d.%s=%s", target[:depth], len(values), strings.Join(target[depth:], "."), value)}
	}
	if i > uint64(len(values)) {
		return nil, fieldFault(faultf("'%s': There are %d elements so far, so the next one is '%s.%d'.", target, len(values), target[:depth], len(values)))
	}
	if i == uint64(len(values)) {
		v, err := b.assign(nil, element, target, depth+1, value)
		if err != nil {
			return nil, err
		}
		return append(values, v), nil
	}
	v, err := b.assign(values[i], element, target, depth+1, value)
	if err != nil {
		return nil, err
	}
	values[i] = v
	return values, nil
}
