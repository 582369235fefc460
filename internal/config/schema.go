package config

import (
	"bytes"
	"encoding/json"
	"regexp"
	"strings"
)

// Schema is the JSON Schema (draft 2020-12) of configuration files, for editors. It
// lists the keys and their types; 'check' verifies all rules.
func Schema() []byte {
	root := section("Configuration of clientevents")
	root["$schema"] = "https://json-schema.org/draft/2020-12/schema"
	for _, k := range Keys() {
		if k.secret {
			continue
		}
		names := strings.Split(k.Path, ".")
		at := root
		for _, name := range names[:len(names)-1] {
			properties := at["properties"].(map[string]any)
			if properties[name] == nil {
				properties[name] = section("")
			}
			at = properties[name].(map[string]any)
		}
		at["properties"].(map[string]any)[names[len(names)-1]] = k.schema()
	}
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	_ = encoder.Encode(root) // maps and texts have JSON
	return b.Bytes()
}

func section(title string) map[string]any {
	s := map[string]any{"type": []string{"object", "null"}, "additionalProperties": false, "properties": map[string]any{}}
	if title != "" {
		s["title"] = title
	}
	return s
}

func (k Key) schema() map[string]any {
	s := map[string]any{"description": k.Help, "type": k.types()}
	if k.list {
		s["items"] = map[string]any{"type": "string"}
	}
	if k.Default != "" {
		s["default"] = k.Default
	}
	if words := k.words(); len(words) > 0 {
		delete(s, "type")
		s["enum"] = append(words, nil)
	}
	return s
}

func (k Key) types() []string {
	switch {
	case k.pairs:
		return []string{"object", "array", "string", "null"}
	case k.list:
		return []string{"array", "string", "null"}
	case k.Type == "true or false":
		return []string{"boolean", "null"}
	case k.Type == "a whole number":
		return []string{"integer", "null"}
	case k.Type == "a number":
		return []string{"number", "null"}
	}
	return []string{"string", "number", "null"}
}

var quoted = regexp.MustCompile("`([^`]+)`")

// words are the values of a key that has only a few: those that its help names.
func (k Key) words() (words []any) {
	if k.Type != "one of a few words" && k.Type != "a version" {
		return nil
	}
	for _, m := range quoted.FindAllStringSubmatch(k.Help, -1) {
		if k.set(&Config{}, m[1]) == nil {
			words = append(words, m[1])
		}
	}
	return words
}
