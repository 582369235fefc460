package emulator

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/go-json-experiment/json"

	"github.com/clientevents/clientevents/internal/discovery"
)

// selection is the tree of a fields parameter, such as
// "eventId,jobEvent(type,jobs)" or "jobEvent/type". One without children selects
// everything below it.
type selection struct {
	children map[string]*selection
}

// maxSelectionDepth bounds nesting; the deepest answer of the API is far flatter.
const maxSelectionDepth = 32

// parseSelection reads the syntax that Google documents for partial responses.
func parseSelection(s string) (*selection, error) {
	root := &selection{children: map[string]*selection{}}
	rest, err := root.parseList(s, 0)
	if err != nil {
		return nil, err
	}
	if rest != "" {
		return nil, fmt.Errorf("unexpected %q", rest)
	}
	return root, nil
}

// parseList reads comma-separated paths up to the end or a closing parenthesis.
func (sel *selection) parseList(s string, depth int) (rest string, err error) {
	if depth > maxSelectionDepth {
		return "", errors.New("nested too deeply")
	}
	for {
		if s, err = sel.parsePath(s, depth); err != nil {
			return "", err
		}
		if !strings.HasPrefix(s, ",") {
			return s, nil
		}
		s = s[1:]
	}
}

// parsePath reads one path: names joined by "/", the last of which may have a
// list of its own in parentheses.
func (sel *selection) parsePath(s string, depth int) (rest string, err error) {
	at := sel
	for {
		end := strings.IndexAny(s, ",/()")
		if end < 0 {
			end = len(s)
		}
		if end == 0 {
			return "", errors.New("a name is missing")
		}
		at, s = at.child(s[:end]), s[end:]
		switch {
		case strings.HasPrefix(s, "/"):
			s = s[1:]
		case strings.HasPrefix(s, "("):
			if s, err = at.parseList(s[1:], depth+1); err != nil {
				return "", err
			}
			if !strings.HasPrefix(s, ")") {
				return "", errors.New("a closing parenthesis is missing")
			}
			return s[1:], nil
		default:
			return s, nil
		}
	}
}

func (sel *selection) child(name string) *selection {
	if sel.children == nil {
		sel.children = map[string]*selection{}
	}
	c := sel.children[name]
	if c == nil {
		c = &selection{}
		sel.children[name] = c
	}
	return c
}

// unknown returns the first selected path that a message of the schema does not have,
// "" if it has all of them.
func (sel *selection) unknown(api *discovery.API, schema *discovery.Schema) string {
	s := api.Resolve(schema)
	for s != nil && s.Items != nil {
		s = api.Resolve(s.Items)
	}
	if s == nil || s.Type == "any" { // has no known fields
		return ""
	}
	for _, name := range slices.Sorted(maps.Keys(sel.children)) {
		child := sel.children[name]
		if name == "*" {
			continue
		}
		field := cmp.Or(s.Properties[name], s.AdditionalProperties)
		if field == nil {
			return name
		}
		if below := child.unknown(api, field); below != "" {
			return name + "/" + below
		}
	}
	return ""
}

// apply returns the part of a JSON answer that sel selects.
func (sel *selection) apply(body []byte) ([]byte, error) {
	var v any
	if err := json.Unmarshal(body, &v); err != nil {
		return nil, err
	}
	picked, _ := sel.pick(v)
	return json.Marshal(picked, json.Deterministic(true))
}

// pick returns the part of v that sel selects; nothing is below a value that is neither an
// object nor a list.
func (sel *selection) pick(v any) (picked any, ok bool) {
	if len(sel.children) == 0 {
		return v, true
	}
	switch v := v.(type) {
	case map[string]any:
		return sel.pickMembers(v)
	case []any:
		list := []any{}
		for _, element := range v {
			if p, ok := sel.pick(element); ok {
				list = append(list, p)
			}
		}
		return list, len(list) > 0
	}
	return nil, false
}

func (sel *selection) pickMembers(object map[string]any) (picked any, ok bool) {
	out := map[string]any{}
	for name, value := range object {
		child := cmp.Or(sel.children[name], sel.children["*"])
		if child == nil {
			continue
		}
		if p, ok := child.pick(value); ok {
			out[name] = p
		}
	}
	return out, len(out) > 0
}
