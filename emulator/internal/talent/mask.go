package talent

import (
	"maps"
	"slices"
	"strings"

	"github.com/clientevents/clientevents/emulator/internal/protojson"
)

// Mask is an updateMask as it was sent: names with commas between them.
type Mask string

// masked are the fields that an update changes, in the version's names; nil
// means all: "If updateMask is provided, only the specified fields in job
// are updated. Otherwise all the fields are updated".
type masked map[string]bool

// expiryTime is a name in masks of v3, "If the field masks include expiry_time". A
// Job has no such field.
const expiryTime = "expiryTime"

// fields reads the mask. "Only top level fields of Job are supported".
func (m Mask) fields(v *Dialect, schema string) (masked, *Error) {
	if strings.TrimSpace(string(m)) == "" {
		return nil, nil
	}
	set := masked{}
	properties := v.schema(schema).Properties
	var bad violations
	for path := range strings.SplitSeq(string(m), ",") {
		path = strings.TrimSpace(path)
		name := protojson.JSONName(path)
		if v.Legacy && schema == "Job" && name == expiryTime {
			set[name], name = true, "postingExpireTime"
		}
		switch {
		case properties[name] != nil:
			set[name] = true
		case strings.ContainsAny(path, ".["):
			bad.add("update_mask", "%q: only top level fields of %s are supported", protojson.Clip(path), schema)
		default:
			bad.add("update_mask", "%q is not a field of %s", protojson.Clip(path), schema)
		}
	}
	return set, bad.err()
}

// only returns the sent fields that the mask names.
func (m masked) only(sent Object) Object {
	if m == nil {
		return sent
	}
	out := maps.Clone(sent)
	maps.DeleteFunc(out, func(name string, _ any) bool { return !m[name] })
	return out
}

// merge returns old with the masked fields of sent, both in the names of v4. It
// clears a masked field that was not sent.
func (m masked) merge(v *Dialect, old, sent Object) Object {
	if m == nil {
		return sent
	}
	out := maps.Clone(old)
	for name := range m {
		delete(out, v.keptName(name))
	}
	maps.Copy(out, sent)
	return out
}

// has reports whether an update changes any of the fields.
func (m masked) has(names ...string) bool {
	return m == nil || slices.ContainsFunc(names, func(name string) bool { return m[name] })
}

// checkSentName refuses a resource whose name differs from the one in the path:
// "Required during job update".
func checkSentName(resource string, in Object, name string) *Error {
	if sent := text(in, "name"); sent != "" && sent != name {
		return fieldErrorf(InvalidArgument, resource+".name", "is %q, but the path names %q", protojson.Clip(sent), name)
	}
	return nil
}
