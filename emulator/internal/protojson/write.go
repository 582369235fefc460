package protojson

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/clientevents/clientevents/internal/discovery"
)

// Writer writes objects in the form of an API's version.
type Writer struct {
	API *discovery.API
	// EnumNumbers writes enums as numbers.
	EnumNumbers bool
}

// Append writes o as compact JSON, with the schema's fields in the order of their
// names. An object with an @type has that type's schema. Without a schema, Append
// writes all fields.
func (w Writer) Append(dst []byte, schema *discovery.Schema, o Object) []byte {
	s := w.API.Resolve(schema)
	if typ, has := o["@type"].(string); has {
		s = w.API.Schemas[typ[strings.LastIndexByte(typ, '.')+1:]]
	}
	dst = append(dst, '{')
	for _, name := range slices.Sorted(maps.Keys(o)) {
		field, known := fieldOf(s, name)
		if !known && name != "@type" {
			continue
		}
		dst = AppendName(dst, name)
		dst = w.appendValue(dst, field, o[name])
	}
	return append(dst, '}')
}

// fieldOf returns the schema of a member, nil for one of any type.
func fieldOf(s *discovery.Schema, name string) (field *discovery.Schema, known bool) {
	switch {
	case s == nil || s.Type == "any":
		return nil, true
	case s.AdditionalProperties != nil:
		return s.AdditionalProperties, true
	}
	field = s.Properties[name]
	return field, field != nil
}

func (w Writer) appendValue(dst []byte, field *discovery.Schema, v any) []byte {
	s := w.API.Resolve(field)
	switch v := v.(type) {
	case string:
		if w.EnumNumbers && s != nil {
			if i := slices.Index(s.Enum, v); i >= 0 {
				return strconv.AppendInt(dst, int64(i), 10)
			}
		}
		return AppendQuoted(dst, v)
	case bool:
		return strconv.AppendBool(dst, v)
	case float64:
		return strconv.AppendFloat(dst, v, 'f', -1, 64)
	case []any:
		var items *discovery.Schema
		if s != nil {
			items = s.Items
		}
		dst = append(dst, '[')
		for i, element := range v {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = w.appendValue(dst, items, element)
		}
		return append(dst, ']')
	case Object:
		return w.Append(dst, s, v)
	}
	panic(fmt.Sprintf("protojson: a %T in an object", v))
}

// AppendName begins a member, behind a comma if it is not the first.
func AppendName(dst []byte, name string) []byte {
	if dst[len(dst)-1] != '{' {
		dst = append(dst, ',')
	}
	return append(AppendQuoted(dst, name), ':')
}

// AppendQuoted writes a JSON string; bytes that are not UTF-8 are replaced.
func AppendQuoted(dst []byte, s string) []byte {
	quoted, err := jsontext.AppendQuote(dst, s)
	if err != nil {
		quoted, _ = jsontext.AppendQuote(dst, strings.ToValidUTF8(s, "\uFFFD"))
	}
	return quoted
}

// FormatTime writes t as the API does: UTC, with 0, 3, 6 or 9 digits of a second.
func FormatTime(t time.Time) string { return t.UTC().Format(TimeLayout(t)) }

// TimeLayout returns the layout of FormatTime for a time in UTC, with as few groups of
// three digits as the fraction needs.
func TimeLayout(t time.Time) string {
	switch nanos := t.Nanosecond(); {
	case nanos == 0:
		return "2006-01-02T15:04:05Z"
	case nanos%1e6 == 0:
		return "2006-01-02T15:04:05.000Z"
	case nanos%1e3 == 0:
		return "2006-01-02T15:04:05.000000Z"
	}
	return "2006-01-02T15:04:05.000000000Z"
}
