package emulator

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

// decoder reads one message of proto3 JSON by the rules of Google's front end:
// names in lowerCamelCase or as in the proto file, null is unset, unknown names
// are refused. It goes on after a fault of a field and collects them all, as
// the front end does; broken JSON ends it.
type decoder struct {
	json       *jsontext.Decoder
	src        bytes.Buffer
	body       []byte
	path       []string
	violations []fieldViolation
}

// maxViolations bounds the faults told in one answer.
const maxViolations = 50

func newDecoder() *decoder {
	return &decoder{json: jsontext.NewDecoder(new(bytes.Buffer))}
}

// reset makes d ready to read body, whose message is at path (none: the top).
func (d *decoder) reset(body []byte, path ...string) {
	d.body = body
	d.src = *bytes.NewBuffer(body)
	// Names that come twice are told with their path, see readFields.
	d.json.Reset(&d.src, jsontext.AllowDuplicateNames(true))
	d.path = append(d.path[:0], path...)
	d.violations = nil
}

// field is one field of a message of type M.
type field[M any] struct {
	json, proto string
	read        func(*decoder, *M) error
}

// message is the decoding table of one proto message.
type message[M any] struct {
	// typ is the full name in the proto file.
	typ    string
	fields []field[M]
}

// root reads the whole body as m.
func (msg *message[M]) root(d *decoder, m *M) *apiError {
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

func (msg *message[M]) readRoot(d *decoder, m *M) error {
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

// read reads the value of a field whose type is the message.
func (msg *message[M]) read(d *decoder, m *M) error {
	switch d.json.PeekKind() {
	case '{':
		return msg.readFields(d, m)
	case 'n':
		return d.json.SkipValue()
	}
	return d.invalid("type.googleapis.com/" + msg.typ)
}

func (msg *message[M]) readFields(d *decoder, m *M) error {
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
		d.path = append(d.path, msg.fields[i].proto)
		if err := msg.fields[i].read(d, m); err != nil {
			return err
		}
		d.path = d.path[:len(d.path)-1]
	}
	_, err := d.json.ReadToken()
	return err
}

func (msg *message[M]) find(name []byte) int {
	for i := range msg.fields {
		if f := &msg.fields[i]; string(name) == f.json || string(name) == f.proto {
			return i
		}
	}
	return -1
}

// fieldName is the name in a raw JSON string, which it mostly aliases.
func fieldName(raw jsontext.Value) ([]byte, error) {
	if bytes.IndexByte(raw, '\\') < 0 {
		return raw[1 : len(raw)-1], nil
	}
	return jsontext.AppendUnquote(nil, raw)
}

// string reads a string field.
func (d *decoder) string(dst *string) error {
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

// strings reads a repeated string field.
func (d *decoder) strings(dst *[]string) error {
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

// element reads one string of a list; null is none, unlike that of a field.
func (d *decoder) element(i int) (string, error) {
	if d.json.PeekKind() != '"' {
		return "", d.invalidAt(fmt.Sprintf("%s[%d]", d.where(), i), "TYPE_STRING")
	}
	tok, err := d.json.ReadToken()
	return tok.String(), err
}

// stringMap reads a map<string, string> field.
func (d *decoder) stringMap(dst *map[string]string) error {
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

// enum reads a field of the enum type typ: a name, or its number, which is the
// index in names.
func (d *decoder) enum(dst *string, typ string, names []string) error {
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

// timestamp reads a google.protobuf.Timestamp: RFC 3339 with an offset, at most
// nine digits of a second, the years 1 to 9999.
func (d *decoder) timestamp(dst *time.Time, jsonName string) error {
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

// parseTimestamp says in why, if not empty, what is wrong with s.
func parseTimestamp(s string) (t time.Time, why string) {
	const illegal = "Illegal timestamp format; "
	if !strings.HasSuffix(s, "Z") && (len(s) < 6 || s[len(s)-6] != '+' && s[len(s)-6] != '-') {
		return t, illegal + "timestamps must end with 'Z' or have a valid timezone offset."
	}
	// UnmarshalText is stricter than Parse, but takes a comma for the point.
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

// where is the path of the field being read, in the names of the proto file.
func (d *decoder) where() string { return strings.Join(d.path, ".") }

// at is where() in the form that messages have it, "" at the top.
func (d *decoder) at() string {
	if len(d.path) == 0 {
		return ""
	}
	return " at '" + d.where() + "'"
}

func (d *decoder) unknown(name string) {
	d.violate(d.where(), fmt.Sprintf("Invalid JSON payload received. Unknown name %q%s: Cannot find field.", clip(name), d.at()))
}

func (d *decoder) duplicate(name string) {
	d.violate(d.where(), fmt.Sprintf("Invalid JSON payload received. Duplicate name %q%s.", clip(name), d.at()))
}

// invalid notes that the next value is not of the type of the field being
// read, and skips it.
func (d *decoder) invalid(typ string) error { return d.invalidAt(d.where(), typ) }

func (d *decoder) invalidAt(at, typ string) error {
	value, err := d.json.ReadValue()
	if err != nil {
		return err
	}
	d.invalidText(at, typ, string(value))
	return nil
}

func (d *decoder) invalidText(at, typ, value string) {
	d.violate(at, fmt.Sprintf("Invalid value at '%s' (%s), %s", at, typ, clip(value)))
}

// clip shortens what an answer quotes from the request.
func clip(s string) string {
	const most = 200
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "") + "..."
}

func (d *decoder) violate(at, description string) {
	if len(d.violations) < maxViolations {
		d.violations = append(d.violations, fieldViolation{Field: at, Description: description})
	}
}

// end checks that nothing follows the message.
func (d *decoder) end() error {
	_, err := d.json.ReadToken()
	switch {
	case errors.Is(err, io.EOF):
		return nil
	case err == nil:
		return errors.New("unexpected data after the message")
	}
	return err
}

// fault is the answer to what the fields had wrong, nil for nothing.
func (d *decoder) fault() *apiError {
	if len(d.violations) == 0 {
		return nil
	}
	lines := make([]string, len(d.violations))
	for i, v := range d.violations {
		lines[i] = v.Description
	}
	return badFields(strings.Join(lines, "\n"), d.violations)
}

// broken is the answer to what is not JSON.
func (d *decoder) broken(err error) *apiError {
	reason := err.Error()
	if syntactic := (*jsontext.SyntacticError)(nil); errors.As(err, &syntactic) {
		reason = fmt.Sprintf("%v at offset %d", syntactic.Err, syntactic.ByteOffset)
	}
	if errors.Is(err, io.ErrUnexpectedEOF) {
		reason = fmt.Sprintf("Unexpected end of string, at offset %d", len(d.body))
	}
	message := "Invalid JSON payload received. " + reason + "."
	return badFields(message, []fieldViolation{{Description: message}})
}
