package input

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/dynamicpb"
)

// protoLibrary decodes messages with the library for Protobuf. [protoReader.decode] gives
// the same at a lower cost, and leaves to it rare messages and all faults.
type protoLibrary struct {
	types  *dynamicpb.Types
	budget *budget
}

// decode decodes a message that is nested at most so deep. The library can't be stopped
// while it decodes, so the bytes are weighed before.
func (l *protoLibrary) decode(message protoreflect.MessageDescriptor, data []byte, deeper int) (v any, err error) {
	if err := l.weigh(message, data, deeper); err != nil {
		return nil, err
	}
	// The library panics on a map's entry without a key.
	defer func() {
		if recover() != nil {
			v, err = nil, errNotMessage
		}
	}()
	m := dynamicpb.NewMessage(message)
	if err := (proto.UnmarshalOptions{RecursionLimit: deeper, Resolver: l.types}).Unmarshal(data, m); err != nil {
		return nil, errNotMessage
	}
	return l.messageValue(m, deeper)
}

// twice is how often the library has a value in memory: in its message and as the result.
const twice = 2

// weigh charges the budget for a message, as far as its bytes are valid. The rest is the
// library's to reject.
func (l *protoLibrary) weigh(message protoreflect.MessageDescriptor, data []byte, deeper int) error {
	if deeper <= 0 {
		return errNotMessage
	}
	fields := message.Fields()
	if err := l.budget.take(twice * (objectSize + valueSize*fields.Len())); err != nil {
		return err
	}
	var url, content []byte // of a google.protobuf.Any
	for len(data) > 0 {
		number, wire, head := protowire.ConsumeTag(data)
		if head < 0 {
			return nil
		}
		n := protowire.ConsumeFieldValue(number, wire, data[head:])
		if n < 0 {
			return nil
		}
		value := data[head : head+n]
		data = data[head+n:]
		if err := l.weighField(l.field(message, number), wire, value, deeper); err != nil {
			return err
		}
		switch number {
		case 1:
			url, _ = protowire.ConsumeBytes(value)
		case 2:
			content, _ = protowire.ConsumeBytes(value)
		}
	}
	if message.FullName() == "google.protobuf.Any" {
		// The library decodes it, however deep such messages are nested in one another.
		if found, err := l.types.FindMessageByURL(string(url)); err == nil {
			return l.weigh(found.Descriptor(), content, deeper-1)
		}
	}
	return nil
}

// field returns a message's field or extension, nil for none.
func (l *protoLibrary) field(message protoreflect.MessageDescriptor, number protowire.Number) protoreflect.FieldDescriptor {
	if f := message.Fields().ByNumber(number); f != nil {
		return f
	}
	if x, err := l.types.FindExtensionByNumber(message.FullName(), number); err == nil {
		return x.TypeDescriptor()
	}
	return nil
}

// weighField charges for the value of a field, nil for an unknown one.
func (l *protoLibrary) weighField(f protoreflect.FieldDescriptor, wire protowire.Type, value []byte, deeper int) error {
	if f == nil || wire != protowire.BytesType && wire != protowire.StartGroupType {
		return l.budget.take(twice*valueSize + len(value))
	}
	if wire == protowire.StartGroupType {
		if f.Kind() != protoreflect.GroupKind {
			return l.budget.take(len(value))
		}
		return l.weigh(f.Message(), value, deeper-1) // its end is a tag that weigh ends at
	}
	content, _ := protowire.ConsumeBytes(value)
	switch f.Kind() {
	case protoreflect.MessageKind:
		return l.weigh(f.Message(), content, deeper-1)
	case protoreflect.StringKind, protoreflect.BytesKind:
		return l.budget.take(twice*(valueSize+len(content)) + len(content))
	}
	return l.budget.take(twice * valueSize * packed(f.Kind(), content))
}

// packed counts the numbers of a list in packed form.
func packed(kind protoreflect.Kind, content []byte) int {
	switch wireOf(kind) {
	case protowire.Fixed32Type:
		return len(content) / 4
	case protowire.Fixed64Type:
		return len(content) / 8
	}
	n := 0
	for _, b := range content {
		if b < 0x80 { // the last byte of a number
			n++
		}
	}
	return n
}

var errNotMessage = errors.New("not this message in Protobuf, or nested too deep")

// messageValue is a message as proto3 JSON has it: names in lowerCamelCase, 64-bit
// integers as strings, bytes in base64. A field without presence has its default
// value; another that is not set is absent.
func (l *protoLibrary) messageValue(m protoreflect.Message, deeper int) (any, error) {
	if deeper <= 0 { // a list in a list is two levels
		return nil, errNested
	}
	if isWellKnown(m.Descriptor()) {
		text, err := protojson.MarshalOptions{Resolver: l.types}.Marshal(m.Interface())
		if err != nil {
			return nil, fmt.Errorf("%s has no JSON", m.Descriptor().FullName())
		}
		return decodeJSON(text, l.budget)
	}
	fields := m.Descriptor().Fields()
	members := make(map[string]any, fields.Len())
	for i := range fields.Len() {
		field := fields.Get(i)
		if field.HasPresence() && !m.Has(field) {
			continue
		}
		v, err := l.fieldValue(field, m.Get(field), deeper)
		if err != nil {
			return nil, err
		}
		members[field.JSONName()] = v
	}
	return members, nil
}

func (l *protoLibrary) fieldValue(field protoreflect.FieldDescriptor, v protoreflect.Value, deeper int) (any, error) {
	switch {
	case field.IsList():
		list := v.List()
		all := make([]any, list.Len())
		for i := range all {
			member, err := l.singleValue(field, list.Get(i), deeper-1)
			if err != nil {
				return nil, err
			}
			all[i] = member
		}
		return all, nil
	case field.IsMap():
		all := make(map[string]any, v.Map().Len())
		var failed error
		v.Map().Range(func(key protoreflect.MapKey, value protoreflect.Value) bool {
			all[key.String()], failed = l.singleValue(field.MapValue(), value, deeper-1)
			return failed == nil
		})
		return all, failed
	}
	return l.singleValue(field, v, deeper)
}

func (l *protoLibrary) singleValue(field protoreflect.FieldDescriptor, v protoreflect.Value, deeper int) (any, error) {
	if v, ok := scalarValue(field, v); ok {
		return v, nil
	}
	return l.messageValue(v.Message(), deeper-1)
}

// scalarValue is a value as proto3 JSON has it; false for a message.
func scalarValue(field protoreflect.FieldDescriptor, v protoreflect.Value) (any, bool) {
	switch field.Kind() {
	case protoreflect.BoolKind:
		return v.Bool(), true
	case protoreflect.StringKind:
		return strings.ToValidUTF8(v.String(), "\uFFFD"), true
	case protoreflect.BytesKind:
		return base64.StdEncoding.EncodeToString(v.Bytes()), true
	case protoreflect.EnumKind:
		return enumValue(field.Enum(), v.Enum()), true
	case protoreflect.Int32Kind, protoreflect.Sint32Kind, protoreflect.Sfixed32Kind:
		return int(v.Int()), true
	case protoreflect.Uint32Kind, protoreflect.Fixed32Kind:
		return int(v.Uint()), true
	case protoreflect.Int64Kind, protoreflect.Sint64Kind, protoreflect.Sfixed64Kind:
		return strconv.FormatInt(v.Int(), 10), true
	case protoreflect.Uint64Kind, protoreflect.Fixed64Kind:
		return strconv.FormatUint(v.Uint(), 10), true
	case protoreflect.FloatKind:
		return protoFloat(v.Float(), 32), true
	case protoreflect.DoubleKind:
		return protoFloat(v.Float(), 64), true
	}
	return nil, false
}

func enumValue(enum protoreflect.EnumDescriptor, n protoreflect.EnumNumber) any {
	if enum.FullName() == "google.protobuf.NullValue" {
		return nil
	}
	if value := enum.Values().ByNumber(n); value != nil {
		return string(value.Name())
	}
	return int(n)
}

func protoFloat(v float64, bits int) any {
	switch {
	case math.IsNaN(v):
		return "NaN"
	case math.IsInf(v, 1):
		return "Infinity"
	case math.IsInf(v, -1):
		return "-Infinity"
	}
	return json.Number(strconv.FormatFloat(v, 'g', -1, bits))
}

// isWellKnown reports whether a message has a JSON form of its own.
func isWellKnown(m protoreflect.MessageDescriptor) bool {
	if m.ParentFile() == nil || m.ParentFile().Package() != "google.protobuf" {
		return false
	}
	switch m.Name() {
	case "Any", "Timestamp", "Duration", "Struct", "Value", "ListValue", "FieldMask", "Empty",
		"DoubleValue", "FloatValue", "Int64Value", "UInt64Value", "Int32Value", "UInt32Value", "BoolValue", "StringValue", "BytesValue":
		return true
	}
	return false
}
