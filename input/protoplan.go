package input

import (
	"sync"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/dynamicpb"
)

// protoReader decodes the messages of one set of types. It is safe for concurrent use.
type protoReader struct {
	types *dynamicpb.Types
	plans sync.Map // from protoreflect.MessageDescriptor to *protoPlan

	mu   sync.Mutex
	made map[protoreflect.FullName]*protoPlan
}

func newProtoReader(types *dynamicpb.Types) *protoReader {
	return &protoReader{types: types, made: map[protoreflect.FullName]*protoPlan{}}
}

// protoPlan is how a message is read from bytes directly into the form that a mapping
// takes.
type protoPlan struct {
	message protoreflect.MessageDescriptor
	form    protoForm
	few     []*protoField                    // by number, from 0
	other   map[protowire.Number]*protoField // the fields whose number is too large for few
	absent  []*protoField                    // the fields that have a value if they are absent
	size    int                              // how many fields there are
	lists   int                              // how many of them are lists
}

// protoForm is the JSON that a message has.
type protoForm uint8

const (
	formObject    protoForm = iota
	formTimestamp           // a google.protobuf.Timestamp
	formWrapper             // a google.protobuf message that is what its field holds
	formOther               // another well-known type
	formLibrary             // an object that only the library reads
)

// protoField is one field of a plan.
type protoField struct {
	name     string // in JSON
	kind     protoreflect.Kind
	wire     protowire.Type // of one value
	enum     protoreflect.EnumDescriptor
	message  *protoPlan
	list     int // its place among the lists, -1 for none
	key      *protoField
	value    *protoField // of a map; nil for none
	missing  any         // its value if it is absent; nil for a map or list
	siblings []string    // the other names of its oneof
}

// fewNumbers is how many field numbers are found without a map: encoders need one byte
// for 15 of them and two for the others.
const fewNumbers = 128

// plan returns the plan of a message. The first call makes those of all messages in it.
func (r *protoReader) plan(message protoreflect.MessageDescriptor) *protoPlan {
	if found, ok := r.plans.Load(message); ok {
		return found.(*protoPlan)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	plan := r.planMessage(message)
	r.plans.Store(message, plan)
	return plan
}

// planMessage makes the plan of a message. The caller holds mu.
func (r *protoReader) planMessage(message protoreflect.MessageDescriptor) *protoPlan {
	if p, ok := r.made[message.FullName()]; ok {
		return p
	}
	p := &protoPlan{message: message, form: formOf(message)}
	r.made[message.FullName()] = p
	if p.form == formOther || p.form == formLibrary {
		return p
	}
	fields := message.Fields()
	p.size = fields.Len()
	for i := range p.size {
		d := fields.Get(i)
		f := r.planField(d)
		if d.IsList() {
			f.list = p.lists
			p.lists++
		}
		p.put(d.Number(), f)
		if !d.HasPresence() {
			p.absent = append(p.absent, f)
		}
	}
	return p
}

func (p *protoPlan) put(number protowire.Number, f *protoField) {
	if number >= fewNumbers {
		if p.other == nil {
			p.other = map[protowire.Number]*protoField{}
		}
		p.other[number] = f
		return
	}
	for len(p.few) <= int(number) {
		p.few = append(p.few, nil)
	}
	p.few[number] = f
}

// field finds a field by its number; nil if it is unknown.
func (p *protoPlan) field(number protowire.Number) *protoField {
	if int(number) < len(p.few) {
		return p.few[number]
	}
	return p.other[number]
}

// planField makes the plan of a field. The caller holds mu.
func (r *protoReader) planField(d protoreflect.FieldDescriptor) *protoField {
	f := &protoField{name: d.JSONName(), kind: d.Kind(), wire: wireOf(d.Kind()), enum: d.Enum(), list: -1}
	switch {
	case d.IsMap():
		f.key, f.value = r.planField(d.MapKey()), r.planField(d.MapValue())
	case d.Message() != nil:
		f.message = r.planMessage(d.Message())
	case !d.IsList() && !d.HasPresence():
		f.missing, _ = scalarValue(d, d.Default())
	}
	if oneof := d.ContainingOneof(); oneof != nil {
		for i := range oneof.Fields().Len() {
			if other := oneof.Fields().Get(i); other.Number() != d.Number() {
				f.siblings = append(f.siblings, other.JSONName())
			}
		}
	}
	return f
}

func wireOf(kind protoreflect.Kind) protowire.Type {
	switch kind {
	case protoreflect.StringKind, protoreflect.BytesKind, protoreflect.MessageKind:
		return protowire.BytesType
	case protoreflect.Sfixed32Kind, protoreflect.Fixed32Kind, protoreflect.FloatKind:
		return protowire.Fixed32Type
	case protoreflect.Sfixed64Kind, protoreflect.Fixed64Kind, protoreflect.DoubleKind:
		return protowire.Fixed64Type
	}
	return protowire.VarintType
}

// formOf chooses the form of a message. Well-known types whose JSON the library writes
// in another way than the value of their field have it written by the library.
func formOf(message protoreflect.MessageDescriptor) protoForm {
	if !isWellKnown(message) {
		if needsLibrary(message) {
			return formLibrary
		}
		return formObject
	}
	fields := message.Fields()
	is := func(number protowire.Number, name protoreflect.Name, kind protoreflect.Kind) bool {
		f := fields.ByNumber(number)
		return f != nil && f.Name() == name && f.Kind() == kind && !f.IsList() && !f.HasPresence()
	}
	if message.Name() == "Timestamp" && fields.Len() == 2 && is(1, "seconds", protoreflect.Int64Kind) && is(2, "nanos", protoreflect.Int32Kind) {
		return formTimestamp
	}
	if kind, ok := wrapped[message.Name()]; ok && fields.Len() == 1 && is(1, "value", kind) {
		return formWrapper
	}
	return formOther
}

// wrapped are the wrappers whose JSON is the value of their field.
var wrapped = map[protoreflect.Name]protoreflect.Kind{
	"BoolValue":   protoreflect.BoolKind,
	"StringValue": protoreflect.StringKind,
	"BytesValue":  protoreflect.BytesKind,
	"Int64Value":  protoreflect.Int64Kind,
	"UInt64Value": protoreflect.Uint64Kind,
}

// needsLibrary reports whether a message has what proto3 does not have: extensions,
// required fields, groups, or a name in JSON that two fields share.
func needsLibrary(message protoreflect.MessageDescriptor) bool {
	if message.ExtensionRanges().Len() > 0 || message.RequiredNumbers().Len() > 0 {
		return true
	}
	fields := message.Fields()
	names := make(map[string]bool, fields.Len())
	for i := range fields.Len() {
		f := fields.Get(i)
		if f.Kind() == protoreflect.GroupKind || names[f.JSONName()] {
			return true
		}
		names[f.JSONName()] = true
	}
	return false
}
