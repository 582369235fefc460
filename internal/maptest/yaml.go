package maptest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"

	"go.yaml.in/yaml/v4"
)

// maxNodes bounds what aliases may make of a file.
const maxNodes = 100_000

// toJSON writes YAML as JSON. Numbers keep their digits, and times are strings.
func toJSON(n *yaml.Node) ([]byte, error) {
	w := &jsonWriter{}
	if err := w.node(n, 100); err != nil {
		return nil, err
	}
	return w.Bytes(), nil
}

type jsonWriter struct {
	bytes.Buffer
	nodes int
}

func (w *jsonWriter) node(n *yaml.Node, deeper int) error {
	if w.nodes++; w.nodes > maxNodes || deeper == 0 {
		return fmt.Errorf("line %d: the file is too large or nested too deep", n.Line)
	}
	switch n.Kind {
	case yaml.AliasNode:
		return w.node(n.Alias, deeper-1)
	case yaml.MappingNode:
		return w.object(n, deeper)
	case yaml.SequenceNode:
		w.WriteByte('[')
		for i, member := range n.Content {
			if i > 0 {
				w.WriteByte(',')
			}
			if err := w.node(member, deeper-1); err != nil {
				return err
			}
		}
		w.WriteByte(']')
		return nil
	}
	return w.scalar(n)
}

func (w *jsonWriter) object(n *yaml.Node, deeper int) error {
	seen := map[string]bool{}
	w.WriteByte('{')
	for i := 0; i+1 < len(n.Content); i += 2 {
		name := n.Content[i]
		switch {
		case name.Kind != yaml.ScalarNode:
			return fmt.Errorf("line %d: expected a name", name.Line)
		case seen[name.Value]:
			return fmt.Errorf("line %d: %s stands twice", name.Line, name.Value)
		}
		seen[name.Value] = true
		if i > 0 {
			w.WriteByte(',')
		}
		w.text(name.Value)
		w.WriteByte(':')
		if err := w.node(n.Content[i+1], deeper-1); err != nil {
			return err
		}
	}
	w.WriteByte('}')
	return nil
}

func (w *jsonWriter) scalar(n *yaml.Node) error {
	switch n.ShortTag() {
	case "!!null":
		w.WriteString("null")
	case "!!bool":
		w.WriteString(strings.ToLower(n.Value))
	case "!!int", "!!float":
		if json.Valid([]byte(n.Value)) {
			w.WriteString(n.Value)
			return nil
		}
		var v any
		if err := n.Decode(&v); err != nil {
			return fmt.Errorf("line %d: %w", n.Line, err)
		}
		text, err := json.Marshal(v)
		if err != nil {
			return fmt.Errorf("line %d: %s has no JSON", n.Line, n.Value)
		}
		w.Write(text)
	default:
		w.text(n.Value)
	}
	return nil
}

func (w *jsonWriter) text(s string) {
	text, _ := json.Marshal(s) // a string has JSON
	w.Write(text)
}
