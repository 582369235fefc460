package event

import (
	"bytes"
	"encoding/json"
	"fmt"
)

// Schema is a JSON Schema (draft 2020-12) of the records of version v, for
// producers to check theirs with before they send them. It ends with a newline.
//
// It takes every good record. What it can't say, and so takes as well, is that
// no name stands twice, that extraInfo has at most [MaxExtraInfoBytes] bytes,
// that createTime is in the years 1 to 9999, and that parentEventId differs
// from eventId; a validator that takes format for a comment lets days pass that
// no calendar has.
func Schema(v Version) []byte {
	schema := objectSchema(recordFields, v)
	schema.Schema = "https://json-schema.org/draft/2020-12/schema"
	schema.Title = "Client event, " + v.String()
	schema.Description = fmt.Sprintf("The value of a record: one client event for %s of the API. "+
		"Each name is taken in lowerCamelCase or in snake_case.", v)

	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(schema); err != nil {
		panic(err) // strings, numbers and maps of them always encode
	}
	return b.Bytes()
}

// schemaNode has the keywords that a schema of records needs, in the order in
// which a person reads them.
type schemaNode struct {
	Schema               string                 `json:"$schema,omitempty"`
	Ref                  string                 `json:"$ref,omitempty"`
	Title                string                 `json:"title,omitempty"`
	Description          string                 `json:"description,omitempty"`
	Type                 any                    `json:"type,omitempty"`
	Format               string                 `json:"format,omitempty"`
	Pattern              string                 `json:"pattern,omitempty"`
	MinLength            int                    `json:"minLength,omitempty"`
	Enum                 []string               `json:"enum,omitempty"`
	MinItems             int                    `json:"minItems,omitempty"`
	Items                *schemaNode            `json:"items,omitempty"`
	MaxProperties        int                    `json:"maxProperties,omitempty"`
	Properties           map[string]*schemaNode `json:"properties,omitempty"`
	AdditionalProperties any                    `json:"additionalProperties,omitempty"`
	Required             []string               `json:"required,omitempty"`
	AllOf                []*schemaNode          `json:"allOf,omitempty"`
	OneOf                []*schemaNode          `json:"oneOf,omitempty"`
	Not                  *schemaNode            `json:"not,omitempty"`
}

// objectSchema has each field under both its names, of which a record has
// exactly one for a required field and at most one for another.
func objectSchema(fields []*field, v Version) *schemaNode {
	s := &schemaNode{Type: "object", Properties: map[string]*schemaNode{}, AdditionalProperties: false}
	for _, f := range fields {
		if !f.known.has(v) {
			continue
		}
		s.Properties[f.name] = fieldSchema(f, v)
		if f.name == f.snakeName {
			if f.required {
				s.Required = append(s.Required, f.name)
			}
			continue
		}
		// Only fields of the record itself have two names.
		s.Properties[f.snakeName] = &schemaNode{Ref: "#/properties/" + f.name}
		if f.required {
			s.AllOf = append(s.AllOf, &schemaNode{OneOf: []*schemaNode{{Required: []string{f.name}}, {Required: []string{f.snakeName}}}})
		} else {
			s.AllOf = append(s.AllOf, &schemaNode{Not: &schemaNode{Required: []string{f.name, f.snakeName}}})
		}
	}
	return s
}

func fieldSchema(f *field, v Version) *schemaNode {
	s := &schemaNode{}
	switch f.kind {
	case text, timestamp, eventType:
		s.Type = "string"
	case textList:
		s.Type, s.Items = "array", &schemaNode{Type: "string"}
	case textMap:
		s.Type, s.AdditionalProperties = "object", &schemaNode{Type: "string"}
	case object:
		s = objectSchema(f.fields, v)
	}
	switch f {
	case fieldCreateTime:
		s.Format, s.Pattern = "date-time", timePattern
	case fieldType:
		for _, t := range v.Types() {
			s.Enum = append(s.Enum, t.String())
		}
	case fieldJobs:
		s.MinItems, s.Items.Pattern = 1, pattern(v.jobForms())
	case fieldExtraInfo:
		s.MaxProperties = MaxExtraInfoKeys
	}
	switch {
	case !f.required:
		s.Type = []any{s.Type, "null"} // null is as if it were not there
	case f.kind <= eventType && s.Enum == nil && s.Pattern == "":
		s.MinLength = 1
	}
	s.Description = f.description
	return s
}
