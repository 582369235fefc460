package emulatorgrpc

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"google.golang.org/genproto/googleapis/api/annotations"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// binding is one HTTP form of a method, see google/api/http.proto.
type binding struct {
	verb string
	// The path is before + the value of field + after.
	before, after string
	field         []protoreflect.Name
	// pattern is the form of the field's value, such as projects/*/jobs/*.
	pattern []string
	body    string // "*" for the whole message, a field's name, or "" for none
}

// bindingsOf returns the HTTP forms of a method, in order; nil for none. The paths
// of operations begin with the version that began them, unlike the annotation of
// their service.
func bindingsOf(m protoreflect.MethodDescriptor) []binding {
	if m.FullName() == "google.longrunning.Operations.GetOperation" {
		return []binding{{verb: http.MethodGet, before: "/", field: []protoreflect.Name{"name"}, pattern: strings.Split("projects/*/operations/*", "/")}}
	}
	if m.Parent().FullName() == "google.longrunning.Operations" {
		return nil // HTTP does not have it either
	}
	rule, _ := proto.GetExtension(m.Options(), annotations.E_Http).(*annotations.HttpRule)
	if rule == nil {
		return nil
	}
	list := []binding{newBinding(rule)}
	for _, more := range rule.GetAdditionalBindings() {
		list = append(list, newBinding(more))
	}
	return list
}

func newBinding(rule *annotations.HttpRule) binding {
	b := binding{body: rule.GetBody()}
	template := ""
	switch pattern := rule.GetPattern().(type) {
	case *annotations.HttpRule_Get:
		b.verb, template = http.MethodGet, pattern.Get
	case *annotations.HttpRule_Post:
		b.verb, template = http.MethodPost, pattern.Post
	case *annotations.HttpRule_Patch:
		b.verb, template = http.MethodPatch, pattern.Patch
	case *annotations.HttpRule_Delete:
		b.verb, template = http.MethodDelete, pattern.Delete
	}
	before, rest, _ := strings.Cut(template, "{")
	variable, after, _ := strings.Cut(rest, "}")
	field, pattern, _ := strings.Cut(variable, "=")
	b.before, b.after, b.pattern = before, after, strings.Split(pattern, "/")
	for name := range strings.SplitSeq(field, ".") {
		b.field = append(b.field, protoreflect.Name(name))
	}
	return b
}

// value returns the field of the message that is part of the path.
func (b *binding) value(m protoreflect.Message) string {
	for i, name := range b.field {
		fd := m.Descriptor().Fields().ByName(name)
		if i == len(b.field)-1 {
			return m.Get(fd).String()
		}
		m = m.Get(fd).Message()
	}
	return ""
}

// path returns the escaped path for a value, if that has the binding's form.
func (b *binding) path(value string) (string, bool) {
	segments := strings.Split(value, "/")
	if len(segments) != len(b.pattern) {
		return "", false
	}
	for i, want := range b.pattern {
		if want == "*" && segments[i] == "" || want != "*" && want != segments[i] {
			return "", false
		}
		segments[i] = url.PathEscape(segments[i])
	}
	return b.before + strings.Join(segments, "/") + b.after, true
}

// errNoForm is the error of a name that no binding of the method matches.
var errNoForm = errors.New("no HTTP form matches")

// request returns the URL and the body of the first binding that the message matches,
// and the resource name in its path.
func (m *method) request(in proto.Message) (verb, target string, body []byte, name string, err error) {
	for i := range m.bindings {
		b := &m.bindings[i]
		name = b.value(in.ProtoReflect())
		path, ok := b.path(name)
		if !ok {
			continue
		}
		query, body, err := b.encode(in)
		if err != nil {
			return "", "", nil, name, err
		}
		return b.verb, path + "?" + query, body, name, nil
	}
	return "", "", nil, name, errNoForm
}

// encode distributes the message's fields over the query and the body.
func (b *binding) encode(in proto.Message) (query string, body []byte, err error) {
	text, err := protojson.Marshal(in)
	if err != nil || b.body == "*" {
		return "prettyPrint=false", text, err
	}
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(text, &fields); err != nil {
		return "", nil, err
	}
	message := in.ProtoReflect().Descriptor().Fields()
	if b.body != "" {
		name := message.ByName(protoreflect.Name(b.body)).JSONName()
		if body = fields[name]; body == nil {
			body = []byte("{}")
		}
		delete(fields, name)
	}
	delete(fields, message.ByName(b.field[0]).JSONName())
	values := url.Values{"prettyPrint": {"false"}}
	for name, value := range fields {
		if err := addQuery(values, name, value); err != nil {
			return "", nil, err
		}
	}
	return values.Encode(), body, nil
}

// addQuery adds a field that is a scalar or a list of scalars.
func addQuery(values url.Values, name string, value json.RawMessage) error {
	var v any
	if err := json.Unmarshal(value, &v); err != nil {
		return err
	}
	list, ok := v.([]any)
	if !ok {
		list = []any{v}
	}
	for _, element := range list {
		values.Add(name, fmt.Sprint(element))
	}
	return nil
}
