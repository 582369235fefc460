package input

import (
	"encoding/base64"
	"math"
	"strconv"
	"time"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// protoInput is one record that is read by plans.
type protoInput struct {
	library *protoLibrary
	budget  *budget
	// texts is a copy of the record that strings are parts of; data is its bytes.
	texts string
	data  []byte
}

// decode returns a message as proto3 JSON has it, see [protoLibrary.messageValue]. Bytes
// that no encoder writes, and all faults but that of the budget, are left to the library.
func (r *protoReader) decode(message protoreflect.MessageDescriptor, data []byte, b *budget) (any, error) {
	library := &protoLibrary{r.types, b}
	if err := b.take(len(data)); err != nil {
		return nil, err
	}
	if plan := r.plan(message); plan.form != formLibrary {
		in := protoInput{library: library, budget: b, texts: string(data), data: data}
		if v, ok := in.message(plan, 0, len(data), maxDepth); ok {
			return v, nil
		}
		if b.left == 0 {
			return nil, errDecoded
		}
		b.left = maxDecoded // the value so far is dropped
	}
	return library.decode(message, data, maxDepth)
}

// take charges the budget. Like all methods of in, it reports false for the end.
func (in *protoInput) take(size int) bool { return in.budget.take(size) == nil }

// message reads the message at data[at:end]. It reports false for bytes that the
// library has to judge; so do the methods that it calls.
func (in *protoInput) message(p *protoPlan, at, end, deeper int) (any, bool) {
	if deeper <= 0 {
		return nil, false
	}
	switch p.form {
	case formLibrary:
		return nil, false
	case formOther:
		v, err := in.library.decode(p.message, in.data[at:end], deeper)
		return v, err == nil
	case formTimestamp:
		return in.timestamp(p, at, end)
	case formWrapper:
		v, ok := in.object(p, at, end, deeper)
		if !ok {
			return nil, false
		}
		return v["value"], true
	}
	return in.object(p, at, end, deeper)
}

func (in *protoInput) object(p *protoPlan, at, end, deeper int) (map[string]any, bool) {
	if !in.take(objectSize + p.size*valueSize) {
		return nil, false
	}
	members := make(map[string]any, p.size)
	var lists [][]any
	if p.lists > 0 {
		lists = make([][]any, p.lists)
	}
	for at < end {
		number, wire, n := protowire.ConsumeTag(in.data[at:end])
		if n < 0 || number > protowire.MaxValidNumber {
			return nil, false
		}
		at += n
		f := p.field(number)
		ok := true
		switch {
		case f == nil:
			if n = protowire.ConsumeFieldValue(number, wire, in.data[at:end]); n < 0 {
				return nil, false
			}
		case f.list >= 0:
			n, ok = in.element(f, &lists[f.list], wire, at, end, deeper)
		case f.value != nil:
			n, ok = in.entry(f, members, wire, at, end, deeper)
		default:
			n, ok = in.member(f, members, wire, at, end, deeper)
		}
		if !ok {
			return nil, false
		}
		at += n
	}
	if p.lists > 0 || len(members) < p.size {
		p.complete(members, lists)
	}
	return members, true
}

// complete adds what a message has although its bytes do not hold it, and its lists.
func (p *protoPlan) complete(members map[string]any, lists [][]any) {
	for _, f := range p.absent {
		if f.list >= 0 {
			list := lists[f.list]
			if list == nil {
				list = []any{}
			}
			members[f.name] = list
			continue
		}
		if _, ok := members[f.name]; ok {
			continue
		}
		if f.value != nil {
			members[f.name] = map[string]any{}
			continue
		}
		members[f.name] = f.missing
	}
}

// member reads a field that is neither a list nor a map. A message that comes a second
// time is merged with the first, which is left to the library.
func (in *protoInput) member(f *protoField, members map[string]any, wire protowire.Type, at, end, deeper int) (int, bool) {
	if f.message != nil {
		if _, again := members[f.name]; again {
			return 0, false
		}
	}
	v, n, ok := in.single(f, wire, at, end, deeper)
	if !ok {
		return 0, false
	}
	for _, sibling := range f.siblings {
		delete(members, sibling)
	}
	members[f.name] = v
	return n, true
}

// element reads an element of a list, or several in packed form.
func (in *protoInput) element(f *protoField, list *[]any, wire protowire.Type, at, end, deeper int) (int, bool) {
	if wire != protowire.BytesType || f.wire == protowire.BytesType {
		v, n, ok := in.single(f, wire, at, end, deeper-1)
		*list = append(*list, v)
		return n, ok
	}
	from, to, ok := in.span(at, end)
	if !ok {
		return 0, false
	}
	for next := from; next < to; {
		v, n, ok := in.single(f, f.wire, next, to, deeper-1)
		if !ok {
			return 0, false
		}
		*list = append(*list, v)
		next += n
	}
	return to - at, true
}

// entry reads an entry of a map that has its key, its value and nothing else.
func (in *protoInput) entry(f *protoField, members map[string]any, wire protowire.Type, at, end, deeper int) (int, bool) {
	if wire != protowire.BytesType {
		return 0, false
	}
	next, to, ok := in.span(at, end)
	if !ok {
		return 0, false
	}
	var parts [2]any
	for i, part := range [2]*protoField{f.key, f.value} {
		number, wire, n := protowire.ConsumeTag(in.data[next:to])
		if n < 0 || int(number) != i+1 {
			return 0, false
		}
		next += n
		if parts[i], n, ok = in.single(part, wire, next, to, deeper-1); !ok {
			return 0, false
		}
		next += n
	}
	if next != to {
		return 0, false
	}
	entries, _ := members[f.name].(map[string]any)
	if entries == nil {
		if !in.take(objectSize) {
			return 0, false
		}
		entries = map[string]any{}
		members[f.name] = entries
	}
	entries[keyText(parts[0])] = parts[1]
	return to - at, true
}

// keyText is a key of a map as JSON has it.
func keyText(key any) string {
	switch key := key.(type) {
	case string:
		return key
	case bool:
		return strconv.FormatBool(key)
	}
	return strconv.Itoa(key.(int))
}

// span reads a length, and returns where what has it begins and ends.
func (in *protoInput) span(at, end int) (from, to int, ok bool) {
	length, n := protowire.ConsumeVarint(in.data[at:end])
	if n < 0 || length > uint64(end-at-n) {
		return 0, 0, false
	}
	return at + n, at + n + int(length), true
}

// single reads one value, and returns how many bytes it has.
func (in *protoInput) single(f *protoField, wire protowire.Type, at, end, deeper int) (any, int, bool) {
	if wire != f.wire || !in.take(valueSize) {
		return nil, 0, false
	}
	switch wire {
	case protowire.BytesType:
		from, to, ok := in.span(at, end)
		if !ok {
			return nil, 0, false
		}
		v, ok := in.bytes(f, from, to, deeper)
		return v, to - at, ok
	case protowire.Fixed32Type:
		v, n := protowire.ConsumeFixed32(in.data[at:end])
		if n < 0 {
			return nil, 0, false
		}
		return fixed32(f.kind, v), n, true
	case protowire.Fixed64Type:
		v, n := protowire.ConsumeFixed64(in.data[at:end])
		if n < 0 {
			return nil, 0, false
		}
		return fixed64(f.kind, v), n, true
	}
	v, n := protowire.ConsumeVarint(in.data[at:end])
	if n < 0 {
		return nil, 0, false
	}
	return varint(f, v), n, true
}

func (in *protoInput) bytes(f *protoField, from, to, deeper int) (any, bool) {
	switch f.kind {
	case protoreflect.StringKind:
		text := in.texts[from:to] // part of the one copy
		// Text that is not UTF-8 is a fault in proto3 and is replaced in proto2.
		return text, utf8.ValidString(text)
	case protoreflect.BytesKind:
		if !in.take(2 * (to - from)) {
			return nil, false
		}
		return base64.StdEncoding.EncodeToString(in.data[from:to]), true
	}
	return in.message(f.message, from, to, deeper-1)
}

func varint(f *protoField, v uint64) any {
	switch f.kind {
	case protoreflect.BoolKind:
		return protowire.DecodeBool(v)
	case protoreflect.EnumKind:
		return enumValue(f.enum, protoreflect.EnumNumber(v))
	case protoreflect.Int32Kind:
		return int(int32(v))
	case protoreflect.Sint32Kind:
		return int(int32(protowire.DecodeZigZag(v & math.MaxUint32)))
	case protoreflect.Uint32Kind:
		return int(uint32(v))
	case protoreflect.Int64Kind:
		return strconv.FormatInt(int64(v), 10)
	case protoreflect.Sint64Kind:
		return strconv.FormatInt(protowire.DecodeZigZag(v), 10)
	}
	return strconv.FormatUint(v, 10)
}

func fixed32(kind protoreflect.Kind, v uint32) any {
	switch kind {
	case protoreflect.FloatKind:
		return protoFloat(float64(math.Float32frombits(v)), 32)
	case protoreflect.Sfixed32Kind:
		return int(int32(v))
	}
	return int(v)
}

func fixed64(kind protoreflect.Kind, v uint64) any {
	switch kind {
	case protoreflect.DoubleKind:
		return protoFloat(math.Float64frombits(v), 64)
	case protoreflect.Sfixed64Kind:
		return strconv.FormatInt(int64(v), 10)
	}
	return strconv.FormatUint(v, 10)
}

// The range of a google.protobuf.Timestamp in seconds: the years 1 to 9999.
const (
	firstSecond = -62135596800
	lastSecond  = 253402300799
)

// timestamp reads a google.protobuf.Timestamp.
func (in *protoInput) timestamp(p *protoPlan, at, end int) (any, bool) {
	var parts [2]int64
	for at < end {
		number, wire, n := protowire.ConsumeTag(in.data[at:end])
		if n < 0 || wire != protowire.VarintType || p.field(number) == nil {
			return nil, false
		}
		at += n
		v, n := protowire.ConsumeVarint(in.data[at:end])
		if n < 0 {
			return nil, false
		}
		at += n
		parts[number-1] = int64(v)
	}
	seconds, nanos := parts[0], int64(int32(parts[1]))
	if seconds < firstSecond || seconds > lastSecond || nanos < 0 || nanos > 999_999_999 {
		return nil, false
	}
	form := "2006-01-02T15:04:05.000000000Z"
	switch {
	case nanos == 0:
		form = "2006-01-02T15:04:05Z"
	case nanos%1_000_000 == 0:
		form = "2006-01-02T15:04:05.000Z"
	case nanos%1000 == 0:
		form = "2006-01-02T15:04:05.000000Z"
	}
	return time.Unix(seconds, nanos).UTC().Format(form), true
}
