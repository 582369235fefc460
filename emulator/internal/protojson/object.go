package protojson

import (
	"bytes"
	"fmt"
	"math"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/clientevents/clientevents/internal/discovery"
)

// Object is a message in the emulator's form: names in lowerCamelCase, without
// fields that are unset or have their type's zero value, as in proto3.
// Messages and maps are Objects, lists []any, enums their names, timestamps RFC
// 3339 in UTC, 64-bit integers decimal strings, other numbers float64. Encoding it as
// JSON and decoding it gives the same Object.
type Object = map[string]any

// ReadObject reads the whole body as the message that schema describes.
func (d *Decoder) ReadObject(api *discovery.API, schema *discovery.Schema) (Object, *Fault) {
	if len(bytes.TrimSpace(d.body)) == 0 {
		return Object{}, nil
	}
	r := objectReader{Decoder: d, api: api}
	o, err := r.root(api.Resolve(schema))
	if err == nil {
		err = d.end()
	}
	if err != nil {
		return nil, d.broken(err)
	}
	return o, d.fault()
}

type objectReader struct {
	*Decoder
	api *discovery.API
}

func (r objectReader) root(s *discovery.Schema) (Object, error) {
	if r.json.PeekKind() == '{' {
		return r.message(s)
	}
	if err := r.json.SkipValue(); err != nil {
		return nil, err
	}
	r.violate(r.where(), `Invalid JSON payload received. Unknown name "": Root element must be a message.`)
	return nil, nil
}

// message reads an object whose names are those of the schema.
func (r objectReader) message(s *discovery.Schema) (Object, error) {
	o := Object{}
	seen := map[string]bool{}
	err := r.members(func(name string) error {
		jsonName, field := property(s, name)
		if field == nil {
			r.unknown(name)
			return r.json.SkipValue()
		}
		if seen[jsonName] {
			r.duplicate(name)
		}
		seen[jsonName] = true
		r.path = append(r.path, ProtoName(jsonName))
		v, err := r.value(field)
		r.path = r.path[:len(r.path)-1]
		if err == nil && v != nil && !isZero(v) {
			o[jsonName] = v
		}
		return err
	})
	return o, err
}

// members calls read for each name of the next value, an object.
func (r objectReader) members(read func(name string) error) error {
	if _, err := r.json.ReadToken(); err != nil {
		return err
	}
	for r.json.PeekKind() != '}' {
		tok, err := r.json.ReadToken()
		if err != nil {
			return err
		}
		if err := read(tok.String()); err != nil {
			return err
		}
	}
	_, err := r.json.ReadToken()
	return err
}

// property finds a field by its name in lowerCamelCase or as in the proto file.
func property(s *discovery.Schema, name string) (string, *discovery.Schema) {
	if p := s.Properties[name]; p != nil {
		return name, p
	}
	if camel := JSONName(name); camel != name && ProtoName(camel) == name {
		return camel, s.Properties[camel]
	}
	return name, nil
}

// isZero reports whether proto3 treats v as unset. It never treats a message, or an
// element of a list or map, as unset.
func isZero(v any) bool {
	switch v := v.(type) {
	case string:
		return v == ""
	case bool:
		return !v
	case float64:
		return v == 0
	case []any:
		return len(v) == 0
	}
	return false
}

// value reads the value of a field. It returns nil if the value is unset or invalid.
func (r objectReader) value(field *discovery.Schema) (any, error) {
	if r.json.PeekKind() == 'n' {
		return nil, r.json.SkipValue()
	}
	s := r.api.Resolve(field)
	switch {
	case s.Type == "array":
		return r.list(s)
	case s.Type == "object" && s.AdditionalProperties != nil:
		return r.mapping(s)
	}
	v, err := r.single(s)
	if number, ok := v.(string); ok && isInt64(s) && number == "0" || ok && isUnspecified(s, number) {
		return nil, err
	}
	return v, err
}

// single reads a field's value or an element of a list or map.
func (r objectReader) single(s *discovery.Schema) (any, error) {
	switch {
	case s.Type == "object":
		if r.json.PeekKind() != '{' {
			return nil, r.invalid("type.googleapis.com/" + r.typeName(s))
		}
		return r.message(s)
	case s.Type == "boolean":
		return r.boolean()
	case s.Type == "integer":
		return r.integer(s)
	case s.Type == "number":
		return r.float()
	case s.Enum != nil:
		return r.enum(s)
	case s.Format == "google-datetime":
		return r.time(s)
	case isInt64(s):
		return r.int64()
	}
	return r.text(s)
}

func (r objectReader) typeName(s *discovery.Schema) string {
	switch s.ID {
	case "Money", "PostalAddress", "LatLng", "TimeOfDay":
		return "google.type." + s.ID
	}
	return "google.cloud.talent." + r.api.Version + "." + s.ID
}

func (r objectReader) list(s *discovery.Schema) (any, error) {
	if r.json.PeekKind() != '[' {
		return nil, r.invalid("repeated field")
	}
	if _, err := r.json.ReadToken(); err != nil {
		return nil, err
	}
	items := r.api.Resolve(s.Items)
	last := len(r.path) - 1
	name := r.path[last]
	defer func() { r.path[last] = name }()
	var list []any
	for i := 0; r.json.PeekKind() != ']'; i++ {
		r.path[last] = name + "[" + strconv.Itoa(i) + "]"
		v, err := r.single(items)
		if err != nil {
			return nil, err
		}
		if v != nil {
			list = append(list, v)
		}
	}
	_, err := r.json.ReadToken()
	return list, err
}

func (r objectReader) mapping(s *discovery.Schema) (any, error) {
	if r.json.PeekKind() != '{' {
		return nil, r.invalid("map")
	}
	values := r.api.Resolve(s.AdditionalProperties)
	last := len(r.path) - 1
	name := r.path[last]
	defer func() { r.path[last] = name }()
	o := Object{}
	err := r.members(func(key string) error {
		r.path[last] = name
		if _, twice := o[key]; twice {
			r.duplicate(key)
		}
		r.path[last] = MapPath(name, key)
		v, err := r.single(values)
		if v != nil {
			o[key] = v
		}
		return err
	})
	if len(o) == 0 {
		return nil, err
	}
	return o, err
}

// MapPath returns the path of a map's value.
func MapPath(field, key string) string { return field + "[" + strconv.Quote(Clip(key)) + "]" }

func (r objectReader) boolean() (any, error) {
	switch kind := r.json.PeekKind(); kind {
	case 't', 'f':
		return kind == 't', r.json.SkipValue()
	}
	return nil, r.invalid("TYPE_BOOL")
}

// scalar reads a string or a number as text.
func (r objectReader) scalar() (text string, ok bool, err error) {
	if kind := r.json.PeekKind(); kind != '"' && kind != '0' {
		return "", false, nil
	}
	tok, err := r.json.ReadToken()
	return tok.String(), true, err
}

func (r objectReader) integer(s *discovery.Schema) (any, error) {
	low, high, typ := float64(math.MinInt32), float64(math.MaxInt32), "TYPE_INT32"
	if s.Format == "uint32" {
		low, high, typ = 0, math.MaxUint32, "TYPE_UINT32"
	}
	text, ok, err := r.scalar()
	if !ok {
		return nil, r.invalid(typ)
	}
	n, bad := strconv.ParseFloat(text, 64)
	if bad != nil || n != math.Trunc(n) || n < low || n > high {
		r.invalidText(r.where(), typ, text)
		return nil, err
	}
	return n, err
}

func (r objectReader) float() (any, error) {
	text, ok, err := r.scalar()
	if !ok {
		return nil, r.invalid("TYPE_DOUBLE")
	}
	n, bad := strconv.ParseFloat(text, 64)
	if bad != nil || math.IsNaN(n) || math.IsInf(n, 0) {
		r.invalidText(r.where(), "TYPE_DOUBLE", text)
		return nil, err
	}
	return n, err
}

func isInt64(s *discovery.Schema) bool { return s.Format == "int64" || s.Format == "uint64" }

func (r objectReader) int64() (any, error) {
	text, ok, err := r.scalar()
	if !ok {
		return nil, r.invalid("TYPE_INT64")
	}
	n, bad := strconv.ParseInt(text, 10, 64)
	if bad != nil {
		r.invalidText(r.where(), "TYPE_INT64", text)
		return nil, err
	}
	return strconv.FormatInt(n, 10), err
}

func isUnspecified(s *discovery.Schema, value string) bool {
	return len(s.Enum) > 0 && value == s.Enum[0] && strings.HasSuffix(value, "_UNSPECIFIED")
}

// enum reads a name or a number. A number is the index in the document's list, which
// has the order of the proto file.
func (r objectReader) enum(s *discovery.Schema) (any, error) {
	var name string
	err := r.Enum(&name, "google.cloud.talent."+r.api.Version+".TYPE_ENUM", s.Enum)
	if name == "" {
		return nil, err
	}
	return name, err
}

// ignoresInvalid marks, in the documentation, timestamps that count as unset if they
// are invalid.
const ignoresInvalid = "Invalid timestamps are ignored"

// time reads a timestamp: RFC 3339, or {"seconds": …, "nanos": …} as the
// reference of v4beta1 shows it.
func (r objectReader) time(s *discovery.Schema) (any, error) {
	const typ = "type.googleapis.com/google.protobuf.Timestamp"
	var t time.Time
	var why string
	switch r.json.PeekKind() {
	case '"':
		tok, err := r.json.ReadToken()
		if err != nil {
			return nil, err
		}
		t, why = parseTimestamp(tok.String())
	case '{':
		before := len(r.violations)
		parts, err := r.message(timestampParts)
		if err != nil || len(r.violations) > before {
			return nil, err
		}
		t, why = timestampOf(parts)
	default:
		return nil, r.invalid(typ)
	}
	switch {
	case why == "":
		return FormatTime(t), nil
	case !strings.Contains(s.Description, ignoresInvalid):
		r.violate(r.where(), fmt.Sprintf("Invalid value at '%s' (%s), %s", r.where(), typ, why))
	}
	return nil, nil
}

var timestampParts = &discovery.Schema{Type: "object", Properties: map[string]*discovery.Schema{
	"seconds": {Type: "string", Format: "int64"},
	"nanos":   {Type: "integer", Format: "int32"},
}}

func timestampOf(parts Object) (t time.Time, why string) {
	seconds, _ := strconv.ParseInt(fmt.Sprint(cmpOr(parts["seconds"], "0")), 10, 64)
	nanos, _ := parts["nanos"].(float64)
	// By google/protobuf/timestamp.proto, nanos count forward, also before 1970.
	if nanos < 0 || nanos > 999_999_999 {
		return t, "the nanos are not from 0 to 999,999,999."
	}
	const first, last = -62135596800, 253402300799 // 0001-01-01T00:00:00Z, 9999-12-31T23:59:59Z
	if seconds < first || seconds > last {
		return t, "Timestamp is out of range: the years are 0001 to 9999."
	}
	return time.Unix(seconds, int64(nanos)).UTC(), ""
}

func cmpOr(v, otherwise any) any {
	if v == nil {
		return otherwise
	}
	return v
}

var durationForm = regexp.MustCompile(`^-?\d{1,12}(\.\d{1,9})?s$`)

func (r objectReader) text(s *discovery.Schema) (any, error) {
	var text string
	if r.json.PeekKind() != '"' {
		return nil, r.invalid("TYPE_STRING")
	}
	if err := r.String(&text); err != nil {
		return nil, err
	}
	if s.Format == "google-duration" && !durationForm.MatchString(text) {
		r.invalidText(r.where(), "type.googleapis.com/google.protobuf.Duration", strconv.Quote(text))
		return nil, nil
	}
	return text, nil
}
