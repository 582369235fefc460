// Package protojson reads and writes messages of the API as proto3 JSON, by the
// rules of Google's front end.
package protojson

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"
)

// Decoder reads one message of proto3 JSON by the rules of Google's front end:
// names in lowerCamelCase or as in the proto file, null is unset, unknown names
// are refused. It continues after an invalid field and collects all faults, as
// the front end does; it stops at malformed JSON.
type Decoder struct {
	json       *jsontext.Decoder
	src        bytes.Buffer
	body       []byte
	path       []string
	violations []Violation
}

// Violation is a fault of one field: a google.rpc.BadRequest.FieldViolation.
type Violation struct {
	// Field is its path in the names of the proto file, "" for the whole.
	Field       string `json:"field,omitempty"`
	Description string `json:"description"`
}

// Fault describes an invalid body or parameters of a request.
type Fault struct {
	Message    string
	Violations []Violation
}

// maxViolations bounds the faults in one answer.
const maxViolations = 50

// NewDecoder returns a decoder. Call Reset before each use.
func NewDecoder() *Decoder {
	return &Decoder{json: jsontext.NewDecoder(new(bytes.Buffer))}
}

// Reset makes d ready to read body, whose message is at path (none: the top).
func (d *Decoder) Reset(body []byte, path ...string) {
	d.body = body
	d.src = *bytes.NewBuffer(body)
	// readFields reports repeated names with their path.
	d.json.Reset(&d.src, jsontext.AllowDuplicateNames(true))
	d.path = append(d.path[:0], path...)
	d.violations = nil
}

// Field is one field of a message of type M.
type Field[M any] struct {
	// JSON and Proto are its names in lowerCamelCase and as in the proto file.
	JSON, Proto string
	// Read reads the decoder's next value into the message.
	Read func(*Decoder, *M) error
}

// Message is the decoding table of one proto message.
type Message[M any] struct {
	// Type is the full name in the proto file.
	Type   string
	Fields []Field[M]
}

// Root reads the whole body as m.
func (msg *Message[M]) Root(d *Decoder, m *M) *Fault {
	if len(bytes.TrimSpace(d.body)) == 0 {
		return nil // Google reads an empty body as an empty message.
	}
	err := msg.readRoot(d, m)
	if err == nil {
		err = d.end()
	}
	if err != nil {
		return d.broken(err)
	}
	return d.fault()
}

func (msg *Message[M]) readRoot(d *Decoder, m *M) error {
	kind := d.json.PeekKind()
	if kind == '{' {
		return msg.readFields(d, m)
	}
	if err := d.json.SkipValue(); err != nil {
		return err
	}
	d.violate(strings.Join(d.path, "."), `Invalid JSON payload received. Unknown name "": Root element must be a message.`)
	return nil
}

// Read reads the value of a field whose type is the message.
func (msg *Message[M]) Read(d *Decoder, m *M) error {
	switch d.json.PeekKind() {
	case '{':
		return msg.readFields(d, m)
	case 'n':
		return d.json.SkipValue()
	}
	return d.invalid("type.googleapis.com/" + msg.Type)
}

func (msg *Message[M]) readFields(d *Decoder, m *M) error {
	if _, err := d.json.ReadToken(); err != nil {
		return err
	}
	var seen uint64
	for d.json.PeekKind() != '}' {
		raw, err := d.json.ReadValue()
		if err != nil {
			return err
		}
		name, err := fieldName(raw)
		if err != nil {
			return err
		}
		i := msg.find(name)
		if i < 0 {
			d.unknown(string(name))
			if err := d.json.SkipValue(); err != nil {
				return err
			}
			continue
		}
		if seen&(1<<i) != 0 {
			d.duplicate(string(name))
		}
		seen |= 1 << i
		d.path = append(d.path, msg.Fields[i].Proto)
		if err := msg.Fields[i].Read(d, m); err != nil {
			return err
		}
		d.path = d.path[:len(d.path)-1]
	}
	_, err := d.json.ReadToken()
	return err
}

func (msg *Message[M]) find(name []byte) int {
	for i := range msg.Fields {
		if f := &msg.Fields[i]; string(name) == f.JSON || string(name) == f.Proto {
			return i
		}
	}
	return -1
}

// fieldName returns the name in a raw JSON string, which it mostly aliases.
func fieldName(raw jsontext.Value) ([]byte, error) {
	if bytes.IndexByte(raw, '\\') < 0 {
		return raw[1 : len(raw)-1], nil
	}
	return jsontext.AppendUnquote(nil, raw)
}

// String reads a string field.
func (d *Decoder) String(dst *string) error {
	switch d.json.PeekKind() {
	case '"':
		tok, err := d.json.ReadToken()
		if err != nil {
			return err
		}
		*dst = tok.String()
		return nil
	case 'n':
		return d.json.SkipValue()
	}
	return d.invalid("TYPE_STRING")
}

// Strings reads a repeated string field.
func (d *Decoder) Strings(dst *[]string) error {
	switch d.json.PeekKind() {
	case '[':
	case 'n':
		return d.json.SkipValue()
	default:
		return d.invalid("repeated TYPE_STRING")
	}
	if _, err := d.json.ReadToken(); err != nil {
		return err
	}
	for d.json.PeekKind() != ']' {
		s, err := d.element(len(*dst))
		if err != nil {
			return err
		}
		*dst = append(*dst, s)
	}
	_, err := d.json.ReadToken()
	return err
}

// element reads one string of a list. Unlike a field, an element can't be null.
func (d *Decoder) element(i int) (string, error) {
	if d.json.PeekKind() != '"' {
		return "", d.invalidAt(fmt.Sprintf("%s[%d]", d.where(), i), "TYPE_STRING")
	}
	tok, err := d.json.ReadToken()
	return tok.String(), err
}

// StringMap reads a map<string, string> field.
func (d *Decoder) StringMap(dst *map[string]string) error {
	switch d.json.PeekKind() {
	case '{':
	case 'n':
		return d.json.SkipValue()
	default:
		return d.invalid("map<TYPE_STRING, TYPE_STRING>")
	}
	if _, err := d.json.ReadToken(); err != nil {
		return err
	}
	*dst = map[string]string{}
	for i := 0; d.json.PeekKind() != '}'; i++ {
		tok, err := d.json.ReadToken()
		if err != nil {
			return err
		}
		key := tok.String()
		if _, twice := (*dst)[key]; twice {
			d.duplicate(key)
		}
		value, err := d.element(i)
		if err != nil {
			return err
		}
		(*dst)[key] = value
	}
	_, err := d.json.ReadToken()
	return err
}

// Enum reads a field of the enum type typ: a name, or its number, which is the
// index in names.
func (d *Decoder) Enum(dst *string, typ string, names []string) error {
	switch d.json.PeekKind() {
	case 'n':
		return d.json.SkipValue()
	case '"', '0':
	default:
		return d.invalid("type.googleapis.com/" + typ)
	}
	tok, err := d.json.ReadToken()
	if err != nil {
		return err
	}
	text, kind := tok.String(), tok.Kind()
	for i, name := range names {
		if kind == '"' && text == name || kind == '0' && text == strconv.Itoa(i) {
			*dst = name
			return nil
		}
	}
	if kind == '"' {
		text = strconv.Quote(text)
	}
	d.invalidText(d.where(), "type.googleapis.com/"+typ, text)
	return nil
}

// Timestamp reads a google.protobuf.Timestamp: RFC 3339 with an offset, at most
// nine digits of a second, the years 1 to 9999.
func (d *Decoder) Timestamp(dst *time.Time, jsonName string) error {
	const typ = "type.googleapis.com/google.protobuf.Timestamp"
	switch d.json.PeekKind() {
	case '"':
	case 'n':
		return d.json.SkipValue()
	default:
		return d.invalid(typ)
	}
	tok, err := d.json.ReadToken()
	if err != nil {
		return err
	}
	var why string
	if *dst, why = parseTimestamp(tok.String()); why != "" {
		d.violate(d.where(), fmt.Sprintf("Invalid value at '%s' (%s), Field '%s', %s", d.where(), typ, jsonName, why))
	}
	return nil
}

// parseTimestamp returns the fault of s in why, "" for none.
func parseTimestamp(s string) (t time.Time, why string) {
	const illegal = "Illegal timestamp format; "
	if !strings.HasSuffix(s, "Z") && (len(s) < 6 || s[len(s)-6] != '+' && s[len(s)-6] != '-') {
		return t, illegal + "timestamps must end with 'Z' or have a valid timezone offset."
	}
	// UnmarshalText is stricter than Parse, but accepts a comma for the point.
	if err := t.UnmarshalText([]byte(s)); err != nil || strings.Contains(s, ",") {
		return time.Time{}, illegal + "timestamps must be of the form YYYY-MM-DDTHH:MM:SS[.fraction]Z."
	}
	if fraction, ok := fractionDigits(s); ok && fraction > 9 {
		return time.Time{}, illegal + "timestamps have at most 9 digits of a second."
	}
	if t = t.UTC(); t.Year() < 1 || t.Year() > 9999 {
		return time.Time{}, "Timestamp is out of range: the years are 0001 to 9999."
	}
	return t, ""
}

func fractionDigits(s string) (n int, ok bool) {
	_, fraction, ok := strings.Cut(s, ".")
	for n < len(fraction) && '0' <= fraction[n] && fraction[n] <= '9' {
		n++
	}
	return n, ok
}

// where returns the path of the field being read, in the names of the proto file.
func (d *Decoder) where() string { return strings.Join(d.path, ".") }

// at returns where() in the form of messages, "" at the top.
func (d *Decoder) at() string {
	if len(d.path) == 0 {
		return ""
	}
	return " at '" + d.where() + "'"
}

func (d *Decoder) unknown(name string) {
	d.violate(d.where(), fmt.Sprintf("Invalid JSON payload received. Unknown name %q%s: Cannot find field.", Clip(name), d.at()))
}

func (d *Decoder) duplicate(name string) {
	d.violate(d.where(), fmt.Sprintf("Invalid JSON payload received. Duplicate name %q%s.", Clip(name), d.at()))
}

// invalid records that the next value does not have the field's type, and skips
// it.
func (d *Decoder) invalid(typ string) error { return d.invalidAt(d.where(), typ) }

func (d *Decoder) invalidAt(at, typ string) error {
	value, err := d.json.ReadValue()
	if err != nil {
		return err
	}
	d.invalidText(at, typ, string(value))
	return nil
}

func (d *Decoder) invalidText(at, typ, value string) {
	d.violate(at, fmt.Sprintf("Invalid value at '%s' (%s), %s", at, typ, Clip(value)))
}

// Peek returns the kind of the next value.
func (d *Decoder) Peek() jsontext.Kind { return d.json.PeekKind() }

// Offset returns the number of bytes of the body that were read.
func (d *Decoder) Offset() int64 { return d.json.InputOffset() }

// Since returns the part of the body from the offset start up to Offset.
func (d *Decoder) Since(start int64) []byte { return d.body[start:d.json.InputOffset()] }

// Clip shortens a quotation from the request.
func Clip(s string) string {
	const most = 200
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "") + "..."
}

func (d *Decoder) violate(at, description string) {
	if len(d.violations) < maxViolations {
		d.violations = append(d.violations, Violation{Field: at, Description: description})
	}
}

// end checks that nothing follows the message.
func (d *Decoder) end() error {
	_, err := d.json.ReadToken()
	switch {
	case errors.Is(err, io.EOF):
		return nil
	case err == nil:
		return errors.New("unexpected data after the message")
	}
	return err
}

// fault returns the violations of all fields, nil for none.
func (d *Decoder) fault() *Fault {
	if len(d.violations) == 0 {
		return nil
	}
	lines := make([]string, len(d.violations))
	for i, v := range d.violations {
		lines[i] = v.Description
	}
	return &Fault{strings.Join(lines, "\n"), d.violations}
}

// broken returns the fault of a body that is not JSON.
func (d *Decoder) broken(err error) *Fault {
	reason := err.Error()
	if syntactic := (*jsontext.SyntacticError)(nil); errors.As(err, &syntactic) {
		reason = fmt.Sprintf("%v at offset %d", syntactic.Err, syntactic.ByteOffset)
	}
	if errors.Is(err, io.ErrUnexpectedEOF) {
		reason = fmt.Sprintf("Unexpected end of string, at offset %d", len(d.body))
	}
	message := "Invalid JSON payload received. " + reason + "."
	return &Fault{message, []Violation{{Description: message}}}
}
