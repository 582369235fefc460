package conformance

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	ga "cloud.google.com/go/talent/apiv4/talentpb"
	beta "cloud.google.com/go/talent/apiv4beta1/talentpb"
	"github.com/clientevents/clientevents/event"
	"github.com/clientevents/clientevents/internal/discovery"
	"google.golang.org/genproto/googleapis/api/annotations"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// definition is one of Google's definitions of clientEvents.create.
type definition struct {
	name string
	// path checks a request's path, which is escaped.
	path func(string) error
	// body checks a request's body.
	body func([]byte) error
}

// definitions returns the definitions of a version. v4beta1 has no discovery document,
// v3 no protobuf types.
func definitions(t *testing.T, v event.Version) []definition {
	t.Helper()
	switch v {
	case event.V3:
		return []definition{fromDiscovery(t, "v3", "projects")}
	case event.V4Beta1:
		return []definition{fromProto(
			beta.File_google_cloud_talent_v4beta1_event_service_proto,
			func() proto.Message { return new(beta.CreateClientEventRequest) },
			func(m proto.Message) proto.Message { return m.(*beta.CreateClientEventRequest).GetClientEvent() },
		)}
	}
	return []definition{
		fromDiscovery(t, "v4", "projects", "tenants"),
		// body: "client_event" in the service's definition: the event itself.
		fromProto(
			ga.File_google_cloud_talent_v4_event_service_proto,
			func() proto.Message { return new(ga.ClientEvent) },
			func(m proto.Message) proto.Message { return m },
		),
	}
}

var googleAPI = sync.OnceValues(func() (string, error) {
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "google.golang.org/api").Output()
	return strings.TrimSpace(string(out)), err
})

// discoveryDocument returns Google's document in google.golang.org/api.
func discoveryDocument(t *testing.T, version string) []byte {
	t.Helper()
	dir, err := googleAPI()
	if err != nil {
		t.Fatal(err)
	}
	document, err := os.ReadFile(filepath.Join(dir, "jobs", version, "jobs-api.json"))
	if err != nil {
		t.Fatal(err)
	}
	return document
}

// fromDiscovery reads the method clientEvents.create below the resources.
func fromDiscovery(t *testing.T, version string, resources ...string) definition {
	t.Helper()
	api, err := discovery.Parse(discoveryDocument(t, version))
	if err != nil {
		t.Fatal(err)
	}
	at := api.Resources[resources[0]]
	for _, name := range append(resources[1:], "clientEvents") {
		at = at.Resources[name]
	}
	method := at.Methods["create"]
	before, after, ok := strings.Cut(method.Path, "{+parent}")
	if !ok {
		t.Fatalf("%s: path %q", method.ID, method.Path)
	}
	parent := strings.Trim(method.Parameters["parent"].Pattern, "^$")
	path := regexp.MustCompile("^/" + regexp.QuoteMeta(before) + parent + regexp.QuoteMeta(after) + "$")
	return definition{
		name: "discovery document of " + version,
		path: matching(path),
		body: func(body []byte) error {
			value, err := decodeStrictly(body)
			if err != nil {
				return err
			}
			return (&reader{api}).check(method.Request.Ref, method.Request, value)
		},
	}
}

func matching(paths ...*regexp.Regexp) func(string) error {
	return func(escaped string) error {
		plain, err := url.PathUnescape(escaped)
		if err != nil {
			return err
		}
		if !slices.ContainsFunc(paths, func(p *regexp.Regexp) bool { return p.MatchString(plain) }) {
			return fmt.Errorf("path %q, want one of %v", plain, paths)
		}
		return nil
	}
}

// decodeStrictly reads one JSON value and refuses further data.
func decodeStrictly(body []byte) (any, error) {
	decoder := json.NewDecoder(strings.NewReader(string(body)))
	var value any
	if err := decoder.Decode(&value); err != nil {
		return nil, err
	}
	if more, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("trailing data: %v", more)
	}
	return value, nil
}

// reader reads values as a discovery document defines them.
type reader struct{ api *discovery.API }

func (r *reader) check(at string, schema *discovery.Schema, value any) error {
	schema = r.api.Resolve(schema)
	wrong := func() error { return fmt.Errorf("%s: %T, want %s", at, value, schema.Type) }
	switch schema.Type {
	case "object":
		object, ok := value.(map[string]any)
		if !ok {
			return wrong()
		}
		return r.checkObject(at, schema, object)
	case "array":
		items, ok := value.([]any)
		if !ok {
			return wrong()
		}
		for i, item := range items {
			if err := r.check(fmt.Sprintf("%s[%d]", at, i), schema.Items, item); err != nil {
				return err
			}
		}
		return nil
	case "string":
		text, ok := value.(string)
		if !ok {
			return wrong()
		}
		return checkText(at, schema, text)
	}
	return fmt.Errorf("%s: a %s is not expected in a client event", at, schema.Type)
}

// timestamp is google-datetime: RFC 3339 in UTC or with an offset, with nine
// digits behind the point at most.
var timestamp = regexp.MustCompile(`^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-]\d\d:\d\d)$`)

func checkText(at string, schema *discovery.Schema, text string) error {
	switch {
	case schema.Enum != nil && !slices.Contains(schema.Enum, text):
		return fmt.Errorf("%s: %q, want one of %v", at, text, schema.Enum)
	case schema.Format == "google-datetime" && !timestamp.MatchString(text):
		return fmt.Errorf("%s: %q is not a timestamp", at, text)
	}
	return nil
}

func (r *reader) checkObject(at string, schema *discovery.Schema, object map[string]any) error {
	if values := schema.AdditionalProperties; values != nil {
		for name, value := range object {
			if err := r.check(at+"."+name, values, value); err != nil {
				return err
			}
		}
		return nil
	}
	for name, value := range object {
		property, ok := schema.Properties[name]
		if !ok {
			return fmt.Errorf("%s: unknown field %q", at, name)
		}
		if err := r.check(at+"."+name, property, value); err != nil {
			return err
		}
	}
	for name, property := range schema.Properties {
		// The documents state it only in words.
		if _, ok := object[name]; !ok && strings.HasPrefix(property.Description, "Required.") {
			return fmt.Errorf("%s: required field %q is missing", at, name)
		}
	}
	return nil
}

// fromProto reads the rpc CreateClientEvent of the service in file. empty makes
// a body to read into, and event finds the event in it.
func fromProto(file protoreflect.FileDescriptor, empty func() proto.Message, event func(proto.Message) proto.Message) definition {
	method := file.Services().ByName("EventService").Methods().ByName("CreateClientEvent")
	rule := proto.GetExtension(method.Options(), annotations.E_Http).(*annotations.HttpRule)
	paths := []*regexp.Regexp{pathOf(rule)}
	for _, more := range rule.GetAdditionalBindings() {
		paths = append(paths, pathOf(more))
	}
	return definition{
		name: string(method.FullName()),
		path: matching(paths...),
		body: func(body []byte) error {
			m := empty()
			// Unknown fields and enum names are errors.
			if err := protojson.Unmarshal(body, m); err != nil {
				return err
			}
			return checkRequired(event(m).ProtoReflect())
		},
	}
}

// pathOf returns an HTTP rule such as /v4/{parent=projects/*/tenants/*}/clientEvents
// as a regular expression.
func pathOf(rule *annotations.HttpRule) *regexp.Regexp {
	template := regexp.MustCompile(`\{\w+=([^}]*)\}`).ReplaceAllString(rule.GetPost(), "$1")
	return regexp.MustCompile("^" + strings.ReplaceAll(regexp.QuoteMeta(template), `\*`, "[^/]+") + "$")
}

// checkRequired follows google.api.field_behavior.
func checkRequired(m protoreflect.Message) error {
	fields := m.Descriptor().Fields()
	for i := range fields.Len() {
		field := fields.Get(i)
		behaviors := proto.GetExtension(field.Options(), annotations.E_FieldBehavior).([]annotations.FieldBehavior)
		if slices.Contains(behaviors, annotations.FieldBehavior_REQUIRED) && !m.Has(field) {
			return fmt.Errorf("%s: required field is missing", field.FullName())
		}
		if field.Message() != nil && !field.IsList() && !field.IsMap() && m.Has(field) {
			if err := checkRequired(m.Get(field).Message()); err != nil {
				return err
			}
		}
	}
	return nil
}

// The command lines and the emulator read copies of the same documents.
func TestDiscoveryDocumentsAreGoogles(t *testing.T) {
	for _, version := range []string{"v3", "v4"} {
		ours, err := os.ReadFile("../internal/discovery/jobs-" + version + ".json")
		if err != nil {
			t.Fatal(err)
		}
		if string(ours) != string(discoveryDocument(t, version)) {
			t.Errorf("internal/discovery/jobs-%s.json is not the one of google.golang.org/api: see its README", version)
		}
	}
}
