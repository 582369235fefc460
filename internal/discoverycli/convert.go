package discoverycli

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/clientevents/clientevents/internal/discovery"
)

// convert returns a word as a JSON value. Strings, including enums and timestamps, are
// sent as typed: the API validates them.
func (b *body) convert(s *discovery.Schema, target cursor, value string) (any, error) {
	if kindOf(s) != scalar {
		return b.convertJSON(s, target, value)
	}
	field := target[len(target)-1]
	switch {
	case s.Type == "boolean":
		if value != "true" && value != "false" {
			return nil, parseFault(field, value, "boolean", "provided string was not `true` or `false`")
		}
		return value == "true", nil
	case isInteger(s):
		n, err := parseInteger(s.Format, value)
		if err != nil {
			return nil, parseFault(field, value, integerName(s.Format), err.Error())
		}
		if s.Type == "string" { // 64 bits: JSON numbers cannot hold them
			return n, nil
		}
		return json.Number(n), nil
	case s.Type == "number":
		f, err := strconv.ParseFloat(value, 64)
		if err != nil {
			return nil, parseFault(field, value, "float", "invalid float literal")
		}
		if math.IsInf(f, 0) || math.IsNaN(f) {
			return nil, parseFault(field, value, "float", "not a finite number")
		}
		return f, nil
	}
	return value, nil
}

func parseFault(name, value, as, why string) error {
	return faultf("Failed to parse argument '%s' with value '%s' as %s with error: %s.", name, value, as, why)
}

func isInteger(s *discovery.Schema) bool {
	return s.Type == "integer" || s.Type == "string" && (s.Format == "int64" || s.Format == "uint64")
}

func integerName(format string) string {
	if strings.HasPrefix(format, "u") {
		return "uint"
	}
	return "int"
}

// parseInteger returns a whole number in its plain decimal form.
func parseInteger(format, value string) (string, error) {
	bits := 32
	if strings.HasSuffix(format, "64") {
		bits = 64
	}
	if strings.HasPrefix(format, "u") {
		n, err := strconv.ParseUint(value, 10, bits)
		if err != nil {
			return "", fmt.Errorf("not a whole number from 0 to %d", uint64(math.MaxUint64)>>(64-bits))
		}
		return strconv.FormatUint(n, 10), nil
	}
	n, err := strconv.ParseInt(value, 10, bits)
	if err != nil {
		limit := int64(math.MaxInt64) >> (64 - bits)
		return "", fmt.Errorf("not a whole number from %d to %d", -limit-1, limit)
	}
	return strconv.FormatInt(n, 10), nil
}

// convertJSON returns a whole structure from JSON, such as an element of a list or
// map.
func (b *body) convertJSON(s *discovery.Schema, target cursor, value string) (any, error) {
	decoder := json.NewDecoder(strings.NewReader(value))
	decoder.UseNumber()
	var v any
	err := decoder.Decode(&v)
	if err == nil && strings.TrimSpace(value[decoder.InputOffset():]) != "" {
		err = errors.New("unexpected data after its end")
	}
	if err == nil {
		err = checkJSON(b.api, s, v, "")
	}
	if err != nil {
		return nil, parseFault(target.String(), value, "JSON", err.Error())
	}
	return v, nil
}

// checkJSON returns an error if a JSON value does not match its schema.
func checkJSON(api *discovery.API, s *discovery.Schema, v any, at string) error {
	wrong := func(want string) error {
		return fmt.Errorf("%s must be %s", cmp.Or(at, "it"), want)
	}
	switch kindOf(s) {
	case anything:
		return nil
	case list:
		values, ok := v.([]any)
		if !ok {
			return wrong("a list")
		}
		for i, e := range values {
			if err := checkJSON(api, elements(api, s), e, fmt.Sprintf("%s[%d]", at, i)); err != nil {
				return err
			}
		}
		return nil
	case mapping, structure:
		fields, ok := v.(map[string]any)
		if !ok {
			return wrong("an object")
		}
		return checkFields(api, s, fields, at)
	}
	switch v.(type) {
	case bool:
		if s.Type != "boolean" {
			return wrong("a " + s.Type)
		}
	case json.Number:
		if s.Type != "number" && !isInteger(s) {
			return wrong("a " + s.Type)
		}
	case string:
		if s.Type != "string" {
			return wrong("a " + s.Type)
		}
	default:
		return wrong("a " + s.Type)
	}
	return nil
}

func checkFields(api *discovery.API, s *discovery.Schema, fields map[string]any, at string) error {
	known := slices.Sorted(maps.Keys(s.Properties))
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		of := s.AdditionalProperties
		if kindOf(s) == structure {
			of = s.Properties[name]
		}
		path := strings.TrimPrefix(at+"."+name, ".")
		if of == nil {
			if n := nearest(name, known); n != "" {
				return fmt.Errorf("field %s does not exist; did you mean %s", path, n)
			}
			return fmt.Errorf("field %s does not exist, expected one of %s", path, strings.Join(known, ", "))
		}
		if err := checkJSON(api, api.Resolve(of), fields[name], path); err != nil {
			return err
		}
	}
	return nil
}

// encode returns v as JSON with sorted keys and only the necessary escapes.
func encode(v any, indent string) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", indent)
	if err := e.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}
