package input

import (
	"bytes"
	"encoding/json"
	"math"
)

// forWriter returns an Avro schema and those that it refers to without what plays no part
// where records are decoded by the schema that they were written with: default values, and
// decimals that are not valid, which are bytes then (Avro 1.12, Logical Types). Registries
// and the libraries of Java accept schemas in which these are not valid.
func (s *schemaText) forWriter() *schemaText {
	simple := *s
	simple.text = forWriter(s.text)
	simple.refs = make([]reference, len(s.refs))
	for i, ref := range s.refs {
		simple.refs[i] = reference{ref.name, forWriter(ref.text)}
	}
	return &simple
}

func forWriter(text string) string {
	var schema any
	d := json.NewDecoder(bytes.NewReader([]byte(text)))
	d.UseNumber()
	if d.Decode(&schema) != nil || d.More() {
		return text
	}
	simplify(schema, maxDepth)
	simple, err := json.Marshal(schema)
	if err != nil {
		return text
	}
	return string(simple)
}

// simplify removes defaults and decimals that are not valid from a schema, or from a
// field: of both, the members that hold other schemas have the same names.
func simplify(schema any, deeper int) {
	if deeper == 0 {
		return // the compiler refuses it
	}
	switch schema := schema.(type) {
	case []any:
		for _, branch := range schema {
			simplify(branch, deeper-1)
		}
	case map[string]any:
		delete(schema, "default")
		if schema["logicalType"] == "decimal" && !validDecimal(schema) {
			delete(schema, "logicalType")
		}
		for _, name := range []string{"type", "fields", "items", "values"} {
			simplify(schema[name], deeper-1)
		}
	}
}

// validDecimal reports whether a schema is that of a decimal.
func validDecimal(schema map[string]any) bool {
	precision, scale := whole(schema["precision"]), 0
	if given, ok := schema["scale"]; ok {
		scale = whole(given)
	}
	most := math.MaxInt
	if schema["type"] == "fixed" {
		most = int(math.Log10(2) * float64(8*whole(schema["size"])-1))
	}
	return precision > 0 && precision <= most && scale >= 0 && scale <= precision
}

// whole returns a number's value; -1 if it is not a whole one.
func whole(v any) int {
	number, _ := v.(json.Number)
	n, err := number.Int64()
	if err != nil || n > math.MaxInt32 {
		return -1
	}
	return int(n)
}
