package event

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
)

// walk reads a record token by token. It takes every spelling of a good record,
// and of a faulty one it says which fault of form comes first: malformed, then
// unknown_field, then invalid_field.
func walk(data []byte, v Version) (record, *Fault) {
	if !startsObject(data) {
		return record{}, malformed("expected one JSON object, got %s", startOf(data))
	}
	w := &walker{dec: jsontext.NewDecoder(bytes.NewBuffer(data)), version: v, record: record{event: &Event{}}}
	if err := w.object(recordFields, ""); err != nil {
		return record{}, malformed("%s", explain(err, data))
	}
	if rest := bytes.TrimLeft(data[w.dec.InputOffset():], space); len(rest) > 0 {
		return record{}, malformed("%s follows the object at byte %d: expected one object and nothing else", startOf(rest), len(data)-len(rest))
	}
	switch {
	case w.unknown != nil:
		return record{}, w.unknown
	case w.invalid != nil:
		return record{}, w.invalid
	}
	return w.record, nil
}

func malformed(format string, args ...any) *Fault {
	return &Fault{ReasonMalformed, fmt.Sprintf(format, args...)}
}

// startOf names what data begins with, without showing its content.
func startOf(data []byte) string {
	data = bytes.TrimLeft(data, space)
	switch {
	case len(data) == 0:
		return "nothing"
	case data[0] == '{':
		return "a second object"
	case bytes.HasPrefix(data, []byte("\uFEFF")):
		return "a byte order mark"
	case bytes.HasPrefix(data, []byte("\xFF\xFE")), bytes.HasPrefix(data, []byte("\xFE\xFF")):
		return "text in UTF-16 instead of UTF-8"
	}
	token, err := jsontext.NewDecoder(bytes.NewBuffer(data)).ReadToken()
	if err != nil {
		return "something that is not JSON"
	}
	return kindName(token.Kind())
}

func kindName(k jsontext.Kind) string {
	switch k {
	case '{':
		return "an object"
	case '[':
		return "a list"
	case '"':
		return "a string"
	case '0':
		return "a number"
	case 't', 'f':
		return "a boolean"
	}
	return "null"
}

// explain turns a fault of syntax into one line without the record's text.
func explain(err error, data []byte) string {
	var syntax *jsontext.SyntacticError
	switch {
	case !errors.As(err, &syntax):
		return err.Error()
	case errors.Is(err, jsontext.ErrDuplicateName):
		return fmt.Sprintf("a name stands twice in one object, at byte %d", syntax.ByteOffset)
	case errors.Is(err, io.ErrUnexpectedEOF):
		return fmt.Sprintf("not JSON: the text ends too early, after %d bytes", len(data))
	case !utf8.Valid(data[:min(len(data), int(syntax.ByteOffset)+utf8.UTFMax)]):
		return fmt.Sprintf("not UTF-8 at byte %d", syntax.ByteOffset)
	}
	return fmt.Sprintf("not JSON: the fault is at byte %d", syntax.ByteOffset)
}

// walker reads the values of one record. Its methods return an error where the
// record is malformed; other faults it keeps, the first of each sort.
type walker struct {
	dec              *jsontext.Decoder
	version          Version
	record           record
	unknown, invalid *Fault
}

// object reads an object with the given fields, which stands at path.
func (w *walker) object(fields []*field, path string) error {
	if _, err := w.dec.ReadToken(); err != nil {
		return err
	}
	seen := make(map[*field]string, len(fields))
	for w.dec.PeekKind() != '}' {
		token, err := w.dec.ReadToken()
		if err != nil {
			return err
		}
		name := token.String()
		f := find(fields, name, w.version)
		if f == nil {
			w.unknownName(path, name, fields)
			if err := w.skip(); err != nil {
				return err
			}
			continue
		}
		if other, twice := seen[f]; twice {
			return fmt.Errorf("a name stands twice in one object: %s and %s are the same field", other, name)
		}
		seen[f] = name
		if err := w.value(f, path+name); err != nil {
			return err
		}
	}
	_, err := w.dec.ReadToken()
	return err
}

// value reads the value of a field; null is as if the field were not there.
func (w *walker) value(f *field, path string) error {
	got := w.dec.PeekKind()
	switch {
	case got == 'n':
		return w.skip()
	case f.kind == object && got == '{':
		return w.object(f.fields, path+".")
	case f.kind == textMap && got == '{':
		return w.info(f.info(w.record.event), path)
	case f.kind == textList && got == '[':
		return w.list(f.list(w.record.event), path)
	case f.kind <= eventType && got == '"':
		return w.text(w.record.text(f), path)
	}
	w.wrongType(path, f.kind, got)
	return w.skip()
}

// text reads a string, or keeps the fault that it is none.
func (w *walker) text(into *string, path string) error {
	if got := w.dec.PeekKind(); got != '"' {
		w.wrongType(path, text, got)
		return w.skip()
	}
	token, err := w.dec.ReadToken()
	if err != nil {
		return err
	}
	*into = token.String()
	return nil
}

// info reads a map of strings. Its keys are not named in faults: they may be
// personal.
func (w *walker) info(into *Info, path string) error {
	if _, err := w.dec.ReadToken(); err != nil {
		return err
	}
	for w.dec.PeekKind() != '}' {
		token, err := w.dec.ReadToken()
		if err != nil {
			return err
		}
		key, value := token.String(), ""
		if err := w.text(&value, path+"[…]"); err != nil {
			return err
		}
		*into = append(*into, Pair{key, value})
	}
	into.sort() // the decoder has made sure that each key is there once
	_, err := w.dec.ReadToken()
	return err
}

func (w *walker) list(into *[]string, path string) error {
	if _, err := w.dec.ReadToken(); err != nil {
		return err
	}
	for i := 0; w.dec.PeekKind() != ']'; i++ {
		value := ""
		if err := w.text(&value, fmt.Sprintf("%s[%d]", path, i)); err != nil {
			return err
		}
		*into = append(*into, value)
	}
	_, err := w.dec.ReadToken()
	return err
}

// skip reads over one value, whatever it is.
func (w *walker) skip() error {
	depth := w.dec.StackDepth()
	for {
		if _, err := w.dec.ReadToken(); err != nil {
			return err
		}
		switch now := w.dec.StackDepth(); {
		case now > MaxDepth:
			return fmt.Errorf("nested deeper than %d levels, at byte %d", MaxDepth, w.dec.InputOffset())
		case now <= depth:
			return nil
		}
	}
}

func (w *walker) wrongType(path string, want kind, got jsontext.Kind) {
	if w.invalid == nil {
		w.invalid = &Fault{ReasonInvalidField, fmt.Sprintf("%s: expected %s, got %s", path, want, kindName(got))}
	}
}

func (w *walker) unknownName(path, name string, fields []*field) {
	if w.unknown != nil {
		return
	}
	detail := quote(path+name) + " is not a field of a client event in " + w.version.String()
	if near := nearest(name, fields, w.version); near != "" {
		detail += ": did you mean " + near + "?"
	}
	w.unknown = &Fault{ReasonUnknownField, detail}
}

// nearest finds a field whose name is name but for case, underscores and
// hyphens, which is how names are usually misspelt.
func nearest(name string, fields []*field, v Version) string {
	plain := strings.NewReplacer("_", "", "-", "").Replace(name)
	for _, f := range fields {
		if strings.EqualFold(plain, f.name) && f.known.has(v) {
			return f.name
		}
	}
	return ""
}
