package input

import (
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/bufbuild/protocompile"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/dynamicpb"
)

var scalarNames = strings.Fields(`bool string bytes int32 sint32 sfixed32 uint32 fixed32
 int64 sint64 sfixed64 uint64 fixed64 float double`)

// everyProto has fields of all kinds: alone, optional, in a oneof, repeated and in maps.
func everyProto() string {
	var b strings.Builder
	b.WriteString(`syntax = "proto3"; package every;`)
	for _, name := range []string{"timestamp", "duration", "wrappers", "struct", "any", "field_mask", "empty"} {
		fmt.Fprintf(&b, "import \"google/protobuf/%s.proto\";\n", name)
	}
	b.WriteString("enum Kind { NONE = 0; VIEW = 1; LESS = -1; }\nmessage Every {\n")
	types := append([]string{
		"Kind", "Every", "Every.Inner", "google.protobuf.NullValue", "google.protobuf.Timestamp",
		"google.protobuf.Duration", "google.protobuf.Struct", "google.protobuf.Value", "google.protobuf.ListValue",
		"google.protobuf.FieldMask", "google.protobuf.Empty", "google.protobuf.Any",
	}, scalarNames...)
	for name := range strings.FieldsSeq("Double Float Int64 UInt64 Int32 UInt32 Bool String Bytes") {
		types = append(types, "google.protobuf."+name+"Value")
	}
	number := 0
	add := func(form, typ string) {
		number++
		fmt.Fprintf(&b, form, typ, fmt.Sprintf("some_f%d = %d", number, number))
	}
	for _, typ := range types {
		add("%s %s;\n", typ)
		add("optional %s %s;\n", typ)
		add("repeated %s %s;\n", typ)
		add("map<string, %s> %s;\n", typ)
	}
	for _, key := range scalarNames[:13] {
		if key != "bytes" {
			add("map<%s, string> %s;\n", key)
		}
	}
	b.WriteString("oneof which {\n")
	for _, typ := range types {
		add("%s %s;\n", typ)
	}
	b.WriteString("}\nmessage Inner { string text = 1; Inner inner = 2; repeated Inner more = 3; int64 n = 2000; }\n}\n")
	return b.String()
}

// oldProto has what proto3 does not have.
const oldProto = `syntax = "proto2"; package old;
message Old { optional string text = 1 [default = "x"]; repeated int32 n = 2; map<string, Strict> strict = 3; optional Open open = 4; optional Old old = 5;
 optional group Grouped = 6 { optional int32 n = 1; } }
message Loose { optional string text = 1; repeated int32 n = 2 [packed = true]; map<string, string> names = 3; optional Strict strict = 4; enum E { A = 3; } optional E e = 5; }
message Strict { required int32 n = 1; }
message Open { extensions 10 to 20; optional int32 n = 1; }
extend Open { optional Strict more = 10; }`

func protoReaders(t testing.TB) (readers map[string]*protoReader, messages map[string]protoreflect.MessageDescriptor) {
	t.Helper()
	files, err := (&protocompile.Compiler{Resolver: protocompile.WithStandardImports(&protocompile.SourceResolver{
		Accessor: protocompile.SourceAccessorFromMap(map[string]string{"every.proto": everyProto(), "old.proto": oldProto}),
	})}).Compile(t.Context(), "every.proto", "old.proto")
	if err != nil {
		t.Fatal(err)
	}
	readers, messages = map[string]*protoReader{}, map[string]protoreflect.MessageDescriptor{}
	for _, file := range files {
		c, err := newProtobufCodec(file)
		if err != nil {
			t.Fatal(err)
		}
		for i := range file.Messages().Len() {
			m := file.Messages().Get(i)
			readers[string(m.FullName())], messages[string(m.FullName())] = c.reader, m
		}
	}
	return readers, messages
}

// directly reads a message by its plan alone.
func (r *protoReader) directly(message protoreflect.MessageDescriptor, data []byte) (any, bool) {
	b := newBudget(maxDecoded, nil)
	in := protoInput{library: &protoLibrary{r.types, b}, budget: b, texts: string(data), data: data}
	return in.message(r.plan(message), 0, len(data), maxDepth)
}

// sameAsLibrary reports whether a plan reads data, and fails unless the reader gives
// what the library gives.
func sameAsLibrary(t *testing.T, r *protoReader, message protoreflect.MessageDescriptor, data []byte) bool {
	t.Helper()
	want, wrong := (&protoLibrary{r.types, newBudget(maxDecoded, nil)}).decode(message, data, maxDepth)
	got, ok := r.directly(message, data)
	if ok && (wrong != nil || !reflect.DeepEqual(got, want)) {
		t.Fatalf("%s of %x:\ngot  %#v\nwant %#v, %v", message.FullName(), data, got, want, wrong)
	}
	return ok
}

// TestPlansGiveWhatTheLibraryGives: for random messages with fields of all kinds, which
// is also what protojson writes.
func TestPlansGiveWhatTheLibraryGives(t *testing.T) {
	readers, messages := protoReaders(t)
	random := rand.New(rand.NewPCG(1, 2))
	names := slices.Sorted(maps.Keys(messages))
	direct, merged := 0, 0
	const rounds = 60
	for range rounds {
		for _, name := range names {
			r, message := readers[name], messages[name]
			m := dynamicpb.NewMessage(message)
			fill(random, m, 3)
			data, err := inOrder.Marshal(m)
			if err != nil {
				t.Fatal(err)
			}
			if sameAsLibrary(t, r, message, data) && name == "every.Every" {
				direct++
			}
			if got, err := r.decode(message, data, newBudget(maxDecoded, nil)); err == nil {
				sameAsProtojson(t, m, r, got)
			}
			// Fields that come twice, bytes that are cut and bytes that are changed.
			other := dynamicpb.NewMessage(message)
			fill(random, other, 1)
			more, err := inOrder.Marshal(other)
			if err != nil {
				t.Fatal(err)
			}
			if sameAsLibrary(t, r, message, append(append([]byte{}, data...), more...)) {
				merged++
			}
			if len(data) == 0 {
				continue
			}
			sameAsLibrary(t, r, message, data[:random.IntN(len(data))])
			for range 3 {
				changed := append([]byte{}, data...)
				changed[random.IntN(len(data))] = byte(random.Uint32())
				sameAsLibrary(t, r, message, changed)
			}
		}
	}
	if direct != rounds || merged == 0 {
		t.Errorf("of %d messages, plans read %d, and %d with fields twice", rounds, direct, merged)
	}
}

// sameAsProtojson compares a value with the JSON of protojson, numbers by what they are.
func sameAsProtojson(t *testing.T, m proto.Message, r *protoReader, got any) {
	t.Helper()
	text, err := protojson.MarshalOptions{Resolver: r.types, EmitDefaultValues: true, AllowPartial: true}.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	ours, err := json.Marshal(got)
	if err != nil {
		t.Fatal(err)
	}
	var want, have any
	if err := json.Unmarshal(text, &want); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(ours, &have); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(want, have) {
		t.Fatalf("got  %s\nwant %s", ours, text)
	}
}

// fill sets some fields of a message.
func fill(random *rand.Rand, m protoreflect.Message, deeper int) {
	if fillKnown(random, m) {
		return
	}
	fields := m.Descriptor().Fields()
	for i := range fields.Len() {
		f := fields.Get(i)
		if f.Cardinality() != protoreflect.Required && random.IntN(4) > 0 || f.Message() != nil && !f.IsMap() && deeper == 0 {
			continue
		}
		switch {
		case f.IsList():
			for range random.IntN(4) {
				m.Mutable(f).List().Append(one(random, f, m.Mutable(f).List().NewElement, deeper))
			}
		case f.IsMap():
			for range random.IntN(4) {
				if f.MapValue().Message() == nil || deeper > 0 {
					key := one(random, f.MapKey(), nil, 0).MapKey()
					m.Mutable(f).Map().Set(key, one(random, f.MapValue(), m.Mutable(f).Map().NewValue, deeper))
				}
			}
		default:
			m.Set(f, one(random, f, func() protoreflect.Value { return m.NewField(f) }, deeper))
		}
	}
}

// fillKnown fills well-known types so that they have JSON.
func fillKnown(random *rand.Rand, m protoreflect.Message) bool {
	set := func(name protoreflect.Name, v any) {
		m.Set(m.Descriptor().Fields().ByName(name), protoreflect.ValueOf(v))
	}
	switch m.Descriptor().FullName() {
	case "google.protobuf.Timestamp":
		set("seconds", random.Int64N(lastSecond-firstSecond)+firstSecond)
		set("nanos", []int32{0, 120_000_000, 123_456_000, 123_456_789}[random.IntN(4)])
	case "google.protobuf.Duration":
		set("seconds", random.Int64N(1000))
	case "google.protobuf.Value":
		set("string_value", "x")
	case "google.protobuf.Any":
		set("type_url", "type.googleapis.com/google.protobuf.Empty")
	case "google.protobuf.FieldMask":
		paths := m.Mutable(m.Descriptor().Fields().ByName("paths")).List()
		paths.Append(protoreflect.ValueOfString("some_name"))
	case "google.protobuf.Struct":
		values := m.Mutable(m.Descriptor().Fields().ByName("fields")).Map()
		value := values.NewValue()
		fillKnown(random, value.Message())
		values.Set(protoreflect.ValueOfString("k").MapKey(), value)
	default:
		return false
	}
	return true
}

// one is a random value of a field.
func one(random *rand.Rand, f protoreflect.FieldDescriptor, create func() protoreflect.Value, deeper int) protoreflect.Value {
	bits := random.Uint64() >> random.IntN(64)
	switch f.Kind() {
	case protoreflect.BoolKind:
		return protoreflect.ValueOfBool(bits&1 == 0)
	case protoreflect.StringKind:
		return protoreflect.ValueOfString([]string{"", "a", "ünï", "\x00\"<"}[bits%4])
	case protoreflect.BytesKind:
		return protoreflect.ValueOfBytes([]byte{255, byte(bits)}[:bits%3])
	case protoreflect.EnumKind:
		if f.Enum().FullName() == "google.protobuf.NullValue" {
			return protoreflect.ValueOfEnum(0)
		}
		return protoreflect.ValueOfEnum(protoreflect.EnumNumber(int32(bits%4) - 1))
	case protoreflect.Int32Kind, protoreflect.Sint32Kind, protoreflect.Sfixed32Kind:
		return protoreflect.ValueOfInt32(int32(bits))
	case protoreflect.Uint32Kind, protoreflect.Fixed32Kind:
		return protoreflect.ValueOfUint32(uint32(bits))
	case protoreflect.Int64Kind, protoreflect.Sint64Kind, protoreflect.Sfixed64Kind:
		return protoreflect.ValueOfInt64(int64(bits))
	case protoreflect.Uint64Kind, protoreflect.Fixed64Kind:
		return protoreflect.ValueOfUint64(bits)
	case protoreflect.FloatKind:
		return protoreflect.ValueOfFloat32([]float32{0.1, float32(math.NaN()), float32(math.Inf(-1)), 1e21, float32(bits)}[bits%5])
	case protoreflect.DoubleKind:
		return protoreflect.ValueOfFloat64([]float64{0.1, math.NaN(), math.Inf(1), 1e-7, math.Float64frombits(bits)}[bits%5])
	}
	v := create()
	fill(random, v.Message(), deeper-1)
	return v
}

// FuzzProtobuf: plans give what the library gives, for all bytes.
func FuzzProtobuf(f *testing.F) {
	readers, messages := protoReaders(f)
	random := rand.New(rand.NewPCG(3, 4))
	for _, name := range slices.Sorted(maps.Keys(messages)) {
		m := dynamicpb.NewMessage(messages[name])
		fill(random, m, 1)
		data, err := inOrder.Marshal(m)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Add(protowire.AppendTag(nil, 5, protowire.BytesType))
	f.Fuzz(func(t *testing.T, data []byte) {
		for name, message := range messages {
			sameAsLibrary(t, readers[name], message, data)
		}
	})
}

// TestOddBytesInProtobuf: bytes that are valid and that encoders seldom write.
func TestOddBytesInProtobuf(t *testing.T) {
	readers, messages := protoReaders(t)
	r, message := readers["every.Every"], messages["every.Every"]
	inner := message.Messages().ByName("Inner")
	fields := message.Fields()
	for i := range fields.Len() {
		number := fields.Get(i).Number()
		for _, v := range []uint64{0, 1, 1 << 31, 1 << 32, 1<<33 - 1, math.MaxUint64 - 4} {
			sameAsLibrary(t, r, message, protowire.AppendVarint(protowire.AppendTag(nil, number, protowire.VarintType), v))
		}
		for _, content := range []string{"", "\x08\x01", "\x10\x01", "\x0a\x01x", "\x12\x01x", "\x0a\x01\xff", "\x0a\x01x\x12\x01x\x0a\x01y", "\x08\xff\xff\xff\xff\xff\xff\xff\xff\x7f"} {
			sameAsLibrary(t, r, message, protowire.AppendString(protowire.AppendTag(nil, number, protowire.BytesType), content))
		}
		sameAsLibrary(t, r, message, protowire.AppendFixed32(protowire.AppendTag(nil, number, protowire.Fixed32Type), 1<<31))
		sameAsLibrary(t, r, message, protowire.AppendFixed64(protowire.AppendTag(nil, number, protowire.Fixed64Type), 1<<63))
		sameAsLibrary(t, r, message, protowire.AppendTag(nil, number, protowire.EndGroupType))
	}
	for number, most := range map[protowire.Number]int{2: maxDepth, 3: maxDepth / 2} {
		data := []byte{}
		for depth := 1; depth < 70; depth++ {
			if direct := sameAsLibrary(t, r, inner, data); direct != (depth <= most) {
				t.Errorf("field %d, %d deep: a plan reads it: %v", number, depth, direct)
			}
			if _, err := r.decode(inner, data, newBudget(maxDecoded, nil)); (err == nil) != (depth <= most) {
				t.Errorf("field %d, %d deep: %v", number, depth, err)
			}
			data = protowire.AppendBytes(protowire.AppendTag(nil, number, protowire.BytesType), data)
		}
	}
}
