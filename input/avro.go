package input

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"math/big"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/twmb/avro"
)

// avroCodec decodes Avro by the schema that it was written with.
type avroCodec struct {
	schema *avro.Schema
	shape  *avroShape
	name   string
}

// compileAvro compiles a schema. If it is not valid, it is compiled without what only a
// reader's schema needs. The error is that of the schema as it is.
func compileAvro(s *schemaText) (codec, error) {
	c, err := compileAvroOf(s, avroTypes())
	if err == nil {
		return c, nil
	}
	options := append(avroTypes(), avro.WithLaxNames(nil))
	if c, lenient := compileAvroOf(s.forWriter(), options); lenient == nil {
		return c, nil
	}
	return nil, err
}

func compileAvroOf(s *schemaText, options []avro.SchemaOpt) (codec, error) {
	var cache avro.SchemaCache
	shapes := avroShapes{}
	for _, ref := range s.refs {
		schema, err := cache.Parse(ref.text, options...)
		if err == nil {
			_, err = shapes.add(schema)
		}
		if err != nil {
			return nil, fmt.Errorf("reference %q: %w", ref.name, err)
		}
	}
	schema, err := cache.Parse(s.text, options...)
	if err != nil {
		return nil, err
	}
	shape, err := shapes.add(schema)
	if err != nil {
		return nil, err
	}
	root := schema.Root()
	name := root.Name
	if root.Namespace != "" && !strings.Contains(name, ".") {
		name = root.Namespace + "." + name
	}
	if name == "" {
		name = root.Type
	}
	return &avroCodec{schema, shape, name}, nil
}

func (c *avroCodec) decode(payload, _ []byte, _ bool, b *budget) (any, string, error) {
	if err := weighAvro(c.shape, payload, b); err != nil {
		return nil, "", err
	}
	var v any
	rest, err := c.schema.Decode(payload, &v)
	if err != nil {
		return nil, "", avroError(err)
	}
	if len(rest) > 0 {
		return nil, "", fmt.Errorf("%d bytes follow the value", len(rest))
	}
	v, err = plain(v, maxDepth)
	return v, c.name, err
}

// avroError is an error without what the record holds.
func avroError(err error) error {
	if semantic, ok := errors.AsType[*avro.SemanticError](err); ok && semantic.Field != "" {
		return fmt.Errorf("not in the schema's Avro at field %s", shorten(semantic.Field))
	}
	if _, ok := errors.AsType[*avro.ShortBufferError](err); ok {
		return errors.New("not in the schema's Avro: the value ends too early")
	}
	return errors.New("not in the schema's Avro")
}

// plain makes the interpreter's types of Avro's, in place.
func plain(v any, deeper int) (any, error) {
	var err error
	switch v := v.(type) {
	case map[string]any:
		if deeper == 0 {
			return nil, errNested
		}
		for name, member := range v {
			if v[name], err = plain(member, deeper-1); err != nil {
				return nil, err
			}
		}
	case []any:
		if deeper == 0 {
			return nil, errNested
		}
		for i, member := range v {
			if v[i], err = plain(member, deeper-1); err != nil {
				return nil, err
			}
		}
	case int32:
		return int(v), nil
	case int64:
		return int(v), nil
	case float32:
		return float(float64(v), 32), nil
	case float64:
		return float(v, 64), nil
	case []byte:
		return base64.StdEncoding.EncodeToString(v), nil
	case string:
		return strings.ToValidUTF8(v, "\uFFFD"), nil
	}
	return v, nil
}

// float is a number of few digits; what JSON has no number for is null.
func float(v float64, bits int) any {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return nil
	}
	if bits == 32 {
		return json.Number(strconv.FormatFloat(v, 'g', -1, bits))
	}
	return v
}

// avroTypes decode logical types as users of JSON expect them: times as RFC 3339,
// decimals as exact numbers.
func avroTypes() []avro.SchemaOpt {
	moment := func(layout string, unit time.Duration) func(any, *avro.SchemaNode) (any, error) {
		return func(v any, _ *avro.SchemaNode) (any, error) {
			n, ok := v.(int64)
			if !ok {
				return nil, avro.ErrSkipCustomType
			}
			perSecond := int64(time.Second / unit)
			t := time.Unix(floorDiv(n, perSecond), (n-floorDiv(n, perSecond)*perSecond)*int64(unit)).UTC()
			if t.Year() < 1 || t.Year() > 9999 {
				return n, nil // no RFC 3339
			}
			return t.Format(layout), nil
		}
	}
	const utc, local = "2006-01-02T15:04:05.999999999Z07:00", "2006-01-02T15:04:05.999999999"
	of := func(logical string, decode func(any, *avro.SchemaNode) (any, error)) avro.SchemaOpt {
		return avro.CustomType{LogicalType: logical, Decode: decode}
	}
	return []avro.SchemaOpt{
		of("timestamp-millis", moment(utc, time.Millisecond)),
		of("timestamp-micros", moment(utc, time.Microsecond)),
		of("timestamp-nanos", moment(utc, time.Nanosecond)),
		of("local-timestamp-millis", moment(local, time.Millisecond)),
		of("local-timestamp-micros", moment(local, time.Microsecond)),
		of("local-timestamp-nanos", moment(local, time.Nanosecond)),
		of("date", avroDate),
		of("time-millis", avroClock(time.Millisecond)),
		of("time-micros", avroClock(time.Microsecond)),
		of("decimal", avroDecimal),
		of("uuid", avroUUID),
		of("duration", avroDuration),
	}
}

func floorDiv(n, by int64) int64 {
	q := n / by
	if n%by < 0 {
		q--
	}
	return q
}

func avroDate(v any, _ *avro.SchemaNode) (any, error) {
	days, ok := v.(int32)
	if !ok {
		return nil, avro.ErrSkipCustomType
	}
	return time.Unix(int64(days)*24*60*60, 0).UTC().Format(time.DateOnly), nil
}

func avroClock(unit time.Duration) func(any, *avro.SchemaNode) (any, error) {
	return func(v any, _ *avro.SchemaNode) (any, error) {
		var n int64
		switch v := v.(type) {
		case int32:
			n = int64(v)
		case int64:
			n = v
		default:
			return nil, avro.ErrSkipCustomType
		}
		if n < 0 || n >= int64(24*time.Hour/unit) {
			return n, nil // no time of a day
		}
		return time.Unix(0, 0).UTC().Add(time.Duration(n) * unit).Format("15:04:05.999999999"), nil
	}
}

// avroDecimal is a decimal as a number with all its digits.
func avroDecimal(v any, node *avro.SchemaNode) (any, error) {
	b, ok := v.([]byte)
	if !ok {
		return nil, avro.ErrSkipCustomType
	}
	if len(b) > 4096 {
		return nil, errors.New("a decimal of more than 4096 bytes")
	}
	n := new(big.Int).SetBytes(b)
	if len(b) > 0 && b[0]&0x80 != 0 {
		n.Sub(n, new(big.Int).Lsh(big.NewInt(1), uint(8*len(b))))
	}
	return json.Number(withPoint(n, node.Scale)), nil
}

// withPoint writes n / 10^scale.
func withPoint(n *big.Int, scale int) string {
	if scale <= 0 || scale > 1000 {
		return n.String()
	}
	digits := new(big.Int).Abs(n).String()
	if missing := scale + 1 - len(digits); missing > 0 {
		digits = strings.Repeat("0", missing) + digits
	}
	point := len(digits) - scale
	text := digits[:point] + "." + digits[point:]
	if n.Sign() < 0 {
		return "-" + text
	}
	return text
}

func avroUUID(v any, _ *avro.SchemaNode) (any, error) {
	switch v := v.(type) {
	case string:
		return v, nil
	case []byte:
		if id, err := uuid.FromBytes(v); err == nil {
			return id.String(), nil
		}
	case [16]byte:
		return uuid.UUID(v).String(), nil
	}
	return nil, avro.ErrSkipCustomType
}

func avroDuration(v any, _ *avro.SchemaNode) (any, error) {
	b, ok := v.([]byte)
	if !ok || len(b) != 12 {
		return nil, avro.ErrSkipCustomType
	}
	d := avro.DurationFromBytes(b)
	return map[string]any{"months": int64(d.Months), "days": int64(d.Days), "milliseconds": int64(d.Milliseconds)}, nil
}
