package event

import (
	"bytes"
	"errors"
	"fmt"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
)

// field is a node of the table of what a record may hold.
type field struct {
	kind   string            // "object", "string", "list of strings" or "map of strings"
	fields map[string]*field // of an object, by lowerCamelCase name
}

var (
	stringField = &field{kind: "string"}
	recordV3    = &field{kind: "object", fields: map[string]*field{
		"eventId":       stringField,
		"requestId":     stringField,
		"parentEventId": stringField,
		"createTime":    stringField,
		"jobEvent": {kind: "object", fields: map[string]*field{
			"type": stringField,
			"jobs": {kind: "list of strings"},
		}},
		"extraInfo": {kind: "map of strings"},
	}}
	recordV4 = func() *field {
		f := &field{kind: "object", fields: map[string]*field{"eventNotes": stringField}}
		for name, sub := range recordV3.fields {
			f.fields[name] = sub
		}
		return f
	}()
)

func recordOf(v Version) *field {
	if v.hasNotes() {
		return recordV4
	}
	return recordV3
}

// snakeCase is a field's name as in the .proto file.
func snakeCase(name string) string {
	var b strings.Builder
	for _, r := range name {
		if r >= 'A' && r <= 'Z' {
			b.WriteByte('_')
			r += 'a' - 'A'
		}
		b.WriteRune(r)
	}
	return b.String()
}

// lookup finds a field by either of its names.
func (f *field) lookup(name string) (canonical string, sub *field) {
	for n, sub := range f.fields {
		if name == n || name == snakeCase(n) {
			return n, sub
		}
	}
	return "", nil
}

// diagnose says which of the faults of form comes first: malformed, then
// unknown_field, then invalid_field; nil where there is none. It reads the
// record token by token, and runs only for records that are probably faulty.
func diagnose(data []byte, v Version) *Fault {
	if !startsObject(data) {
		return malformed("want one JSON object, got %s", startOf(data))
	}
	d := &diagnosis{dec: jsontext.NewDecoder(bytes.NewReader(data))}
	if err := d.value(recordOf(v), "", 0); err != nil {
		return malformed("%s", explain(err))
	}
	if rest := bytes.TrimLeft(data[d.dec.InputOffset():], " \t\r\n"); len(rest) > 0 {
		return malformed("%s follows the object at byte %d: want one object and nothing else", startOf(rest), len(data)-len(rest))
	}
	if d.unknown != nil {
		return d.unknown
	}
	return d.invalid
}

func malformed(format string, args ...any) *Fault {
	return &Fault{ReasonMalformed, fmt.Sprintf(format, args...)}
}

// startOf names what data begins with, without showing its content.
func startOf(data []byte) string {
	data = bytes.TrimLeft(data, " \t\r\n")
	if len(data) == 0 {
		return "nothing"
	}
	switch c := data[0]; {
	case c == '[':
		return "a list"
	case c == '"':
		return "a string"
	case c == '{':
		return "a second object"
	case c == '-' || (c >= '0' && c <= '9'):
		return "a number"
	case bytes.HasPrefix(data, []byte("null")):
		return "null"
	case bytes.HasPrefix(data, []byte("true")), bytes.HasPrefix(data, []byte("false")):
		return "a boolean"
	case c == 0xEF && bytes.HasPrefix(data, []byte("\xEF\xBB\xBF")):
		return "a byte order mark"
	}
	return "something that is not JSON"
}

// explain turns the decoder's error into one line without the record's text.
func explain(err error) string {
	if errors.Is(err, errTooDeep) || errors.Is(err, errTwice) {
		return err.Error()
	}
	var syntax *jsontext.SyntacticError
	if !errors.As(err, &syntax) {
		return "not JSON: the text ends too early"
	}
	if errors.Is(err, jsontext.ErrDuplicateName) {
		return fmt.Sprintf("a name stands twice in one object, at byte %d", syntax.ByteOffset)
	}
	return fmt.Sprintf("not JSON (or not UTF-8): the fault is at byte %d", syntax.ByteOffset)
}

var (
	errTooDeep = fmt.Errorf("nested deeper than %d levels", MaxDepth)
	errTwice   = errors.New("a name twice in one object")
)

type diagnosis struct {
	dec              *jsontext.Decoder
	unknown, invalid *Fault // the first of each
}

// value reads one value that should be a want (nil: anything goes, the name was
// unknown already). The error is one of syntax.
func (d *diagnosis) value(want *field, path string, depth int) error {
	switch kind := d.dec.PeekKind(); kind {
	case '{':
		return d.object(want, path, depth+1)
	case '[':
		return d.list(want, path, depth+1)
	default:
		if _, err := d.dec.ReadToken(); err != nil {
			return err
		}
		if kind == '"' {
			if want != nil && want.kind != "string" {
				d.wrongType(path, want.kind, "a string")
			}
		} else if want != nil && kind != 'n' {
			d.wrongType(path, want.kind, kindName(kind))
		}
		return nil
	}
}

func (d *diagnosis) object(want *field, path string, depth int) error {
	if depth > MaxDepth {
		return errTooDeep
	}
	if _, err := d.dec.ReadToken(); err != nil {
		return err
	}
	if want != nil && want.kind != "object" && want.kind != "map of strings" {
		d.wrongType(path, want.kind, "an object")
		want = nil
	}
	seen := map[string]string{}
	for d.dec.PeekKind() != '}' {
		token, err := d.dec.ReadToken()
		if err != nil {
			return err
		}
		name := token.String()
		var sub *field
		switch {
		case want == nil:
		case want.kind == "map of strings":
			if err := d.mapValue(path, depth); err != nil {
				return err
			}
			continue
		default:
			var canonical string
			canonical, sub = want.lookup(name)
			if sub == nil {
				d.unknownName(join(path, name), want)
			} else if other, twice := seen[canonical]; twice {
				return fmt.Errorf("%w: %s and %s are the same field", errTwice, other, name)
			} else {
				seen[canonical] = name
			}
		}
		if err := d.value(sub, join(path, name), depth); err != nil {
			return err
		}
	}
	_, err := d.dec.ReadToken()
	return err
}

// mapValue reads a value of a map of strings; proto3 JSON has no null there.
// The key is not named in the fault: it may be personal.
func (d *diagnosis) mapValue(path string, depth int) error {
	path += "[…]"
	if d.dec.PeekKind() == 'n' {
		d.wrongType(path, "string", "null")
	}
	return d.value(stringField, path, depth)
}

func (d *diagnosis) list(want *field, path string, depth int) error {
	if depth > MaxDepth {
		return errTooDeep
	}
	if _, err := d.dec.ReadToken(); err != nil {
		return err
	}
	var element *field
	if want != nil {
		if want.kind == "list of strings" {
			element = stringField
		} else {
			d.wrongType(path, want.kind, "a list")
		}
	}
	for i := 0; d.dec.PeekKind() != ']'; i++ {
		at := fmt.Sprintf("%s[%d]", path, i)
		if element != nil && d.dec.PeekKind() == 'n' {
			d.wrongType(at, "string", "null")
		}
		if err := d.value(element, at, depth); err != nil {
			return err
		}
	}
	_, err := d.dec.ReadToken()
	return err
}

func (d *diagnosis) wrongType(path, want, got string) {
	if d.invalid != nil {
		return
	}
	d.invalid = &Fault{ReasonInvalidField, fmt.Sprintf("%s: want %s, got %s", path, anArticle(want), got)}
}

func (d *diagnosis) unknownName(path string, in *field) {
	if d.unknown != nil {
		return
	}
	detail := quote(path) + " is not a field of a client event"
	if near := nearest(path[strings.LastIndexByte(path, '.')+1:], in); near != "" {
		detail += ": did you mean " + near + "?"
	}
	d.unknown = &Fault{ReasonUnknownField, detail}
}

// nearest finds a field whose name is name but for case, underscores and
// hyphens, which is how names are usually misspelt.
func nearest(name string, in *field) string {
	plain := func(s string) string {
		return strings.ToLower(strings.NewReplacer("_", "", "-", "").Replace(s))
	}
	for n := range in.fields {
		if plain(n) == plain(name) {
			return n
		}
	}
	return ""
}

func join(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}

func kindName(k jsontext.Kind) string {
	switch k {
	case '0':
		return "a number"
	case 't', 'f':
		return "a boolean"
	}
	return "null"
}

func anArticle(kind string) string {
	if kind == "object" {
		return "an object"
	}
	return "a " + kind
}
