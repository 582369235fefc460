package input

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/go-json-experiment/json/jsontext"
)

// decodeJSON reads one JSON value within b. Numbers keep their digits; a name that stands
// twice in an object, invalid UTF-8 and data after the value are errors.
func decodeJSON(data []byte, b *budget) (any, error) {
	d := &jsonReader{jsontext.NewDecoder(bytes.NewBuffer(data)), b}
	v, err := readValue(d, maxDepth)
	if err != nil {
		return nil, jsonError(err)
	}
	if _, err := d.ReadToken(); !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("not one JSON value: there is more after offset %d", d.InputOffset())
	}
	return v, nil
}

// jsonReader reads values within a budget.
type jsonReader struct {
	*jsontext.Decoder
	*budget
}

func readValue(d *jsonReader, deeper int) (any, error) {
	token, err := d.ReadToken()
	if err != nil {
		return nil, err
	}
	size := valueSize
	if token.Kind() == '{' {
		size = objectSize
	}
	if err := d.take(size); err != nil {
		return nil, err
	}
	switch token.Kind() {
	case 'n':
		return nil, nil
	case 't', 'f':
		return token.Bool(), nil
	case '"':
		text := token.String()
		return text, d.take(len(text))
	case '0':
		return json.Number(token.String()), nil
	}
	if deeper == 0 {
		return nil, errNested
	}
	if token.Kind() == '[' {
		return readArray(d, deeper)
	}
	return readObject(d, deeper)
}

func readArray(d *jsonReader, deeper int) (any, error) {
	list := []any{}
	for d.PeekKind() != ']' {
		v, err := readValue(d, deeper-1)
		if err != nil {
			return nil, err
		}
		list = append(list, v)
	}
	_, err := d.ReadToken()
	return list, err
}

func readObject(d *jsonReader, deeper int) (any, error) {
	members := map[string]any{}
	for d.PeekKind() != '}' {
		name, err := d.ReadToken()
		if err != nil {
			return nil, err
		}
		key := name.String()
		if err := d.take(valueSize + len(key)); err != nil {
			return nil, err
		}
		if members[key], err = readValue(d, deeper-1); err != nil {
			return nil, err
		}
	}
	_, err := d.ReadToken()
	return members, err
}

var errNested = fmt.Errorf("nested more than %d deep", maxDepth)

// jsonError says where a text is not JSON, without showing what stands there.
func jsonError(err error) error {
	if errors.Is(err, errNested) || errors.Is(err, errDecoded) {
		return err
	}
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return errors.New("not JSON: it ends too early")
	}
	if syntax, ok := errors.AsType[*jsontext.SyntacticError](err); ok {
		if errors.Is(err, jsontext.ErrDuplicateName) {
			return fmt.Errorf("a name stands twice in an object, at offset %d", syntax.ByteOffset)
		}
		return fmt.Errorf("not JSON at offset %d", syntax.ByteOffset)
	}
	return errors.New("not JSON")
}
