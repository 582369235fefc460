package input

import (
	"encoding/binary"
	"encoding/json"
	"fmt"

	"github.com/twmb/avro"
)

// avroShape is what of a schema decides the size of its values.
type avroShape struct {
	kind string
	size int // of a fixed
	// parts are a record's fields, a union's branches, or what an array or map consists of.
	parts []*avroShape
}

// avroShapes are shapes by the full name of a record, enum or fixed.
type avroShapes map[string]*avroShape

// add adds the types of a schema, and returns its shape.
func (all avroShapes) add(schema *avro.Schema) (*avroShape, error) {
	var canonical any // it has full names, and each type once
	if err := json.Unmarshal(schema.Canonical(), &canonical); err != nil {
		return nil, err
	}
	return all.shape(canonical)
}

func (all avroShapes) shape(canonical any) (*avroShape, error) {
	switch c := canonical.(type) {
	case string:
		if s := all[c]; s != nil {
			return s, nil
		}
		switch c {
		case "null", "boolean", "int", "long", "float", "double", "bytes", "string":
			return &avroShape{kind: c}, nil
		}
		return nil, fmt.Errorf("type %s is not known", shorten(c))
	case []any:
		return all.fill(&avroShape{kind: "union"}, c)
	case map[string]any:
		kind, _ := c["type"].(string)
		size, _ := c["size"].(float64)
		s := &avroShape{kind: kind, size: int(size)}
		if name, ok := c["name"].(string); ok {
			all[name] = s // before its fields, which may refer to it
		}
		switch kind {
		case "record", "error":
			fields, _ := c["fields"].([]any)
			types := make([]any, len(fields))
			for i, f := range fields {
				field, _ := f.(map[string]any)
				types[i] = field["type"]
			}
			s.kind = "record"
			return all.fill(s, types)
		case "array":
			return all.fill(s, []any{c["items"]})
		case "map":
			return all.fill(s, []any{c["values"]})
		}
		return s, nil
	}
	return nil, fmt.Errorf("a schema is a %T", canonical)
}

func (all avroShapes) fill(s *avroShape, parts []any) (*avroShape, error) {
	s.parts = make([]*avroShape, len(parts))
	for i, part := range parts {
		var err error
		if s.parts[i], err = all.shape(part); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// maxEmptyItems is how many items without bytes the library decodes of one array.
const maxEmptyItems = 4 << 10

// avroScale charges a budget for a value before the library decodes it. The library
// can't be stopped, and few bytes may be a large value: the items of an array may have
// none, and the fields of a record neither.
type avroScale struct {
	data   []byte
	budget *budget
	err    error // of the budget, or for nesting
}

// weighAvro charges for the value that data begins with, as far as it is valid. The rest
// is the library's to reject.
func weighAvro(s *avroShape, data []byte, b *budget) error {
	w := avroScale{data: data, budget: b}
	w.value(s, maxDepth)
	return w.err
}

// take charges the budget. Like all methods of w, it reports false for the end.
func (w *avroScale) take(size int) bool {
	w.err = w.budget.take(size)
	return w.err == nil
}

// value charges for what a value takes besides its place in the list or object that
// holds it.
func (w *avroScale) value(s *avroShape, deeper int) bool {
	switch s.kind {
	case "null":
		return true
	case "boolean":
		return w.skip(1)
	case "float":
		return w.skip(4)
	case "double":
		return w.skip(8)
	case "int", "long", "enum":
		_, ok := w.number()
		return ok
	case "string":
		n, ok := w.number()
		return ok && w.skip(n) && w.take(n)
	case "bytes":
		n, ok := w.number()
		return ok && w.skip(n) && w.take(2*n) // as text
	case "fixed":
		return w.skip(s.size) && w.take(2*s.size+objectSize) // it may be a duration, an object
	case "union":
		i, ok := w.number()
		return ok && i >= 0 && i < len(s.parts) && w.value(s.parts[i], deeper)
	}
	if deeper == 0 {
		w.err = errNested
		return false
	}
	if s.kind == "record" {
		return w.record(s, deeper-1)
	}
	return w.blocks(s, deeper-1)
}

func (w *avroScale) record(s *avroShape, deeper int) bool {
	if !w.take(objectSize + valueSize*len(s.parts)) {
		return false
	}
	for _, field := range s.parts {
		if !w.value(field, deeper) {
			return false
		}
	}
	return true
}

// blocks charges for an array or a map. The library allocates the items of a block
// before it decodes them.
func (w *avroScale) blocks(s *avroShape, deeper int) bool {
	isMap := s.kind == "map"
	size := valueSize
	if isMap {
		size *= 2 // with the key
	}
	if !w.take(objectSize) {
		return false
	}
	for {
		count, ok := w.number()
		if !ok || count == 0 {
			return ok
		}
		if count < 0 {
			count = -count
			if _, ok := w.number(); !ok { // how many bytes the block has
				return false
			}
		}
		if count < 0 || count > max(len(w.data), maxEmptyItems) {
			return false
		}
		if !w.take(size * count) {
			return false
		}
		for range count {
			if isMap {
				if n, ok := w.number(); !ok || !w.skip(n) || !w.take(n) {
					return false
				}
			}
			if !w.value(s.parts[0], deeper) {
				return false
			}
		}
	}
}

func (w *avroScale) number() (int, bool) {
	v, n := binary.Varint(w.data)
	if n <= 0 {
		return 0, false
	}
	w.data = w.data[n:]
	return int(v), true
}

func (w *avroScale) skip(n int) bool {
	if n < 0 || n > len(w.data) {
		return false
	}
	w.data = w.data[n:]
	return true
}
