// Command discoverydoc writes a discovery document of the jobs API v4beta1, of
// which Google publishes none, from the protobuf definitions that its Go client
// holds: descriptors for what there is, the comments of the generated Go code
// for what is said of it.
//
//	cd conformance && go run ./discoverydoc >../internal/discovery/jobs-v4beta1.json
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"

	_ "cloud.google.com/go/talent/apiv4beta1/talentpb" // registers the definitions
	"google.golang.org/genproto/googleapis/api/annotations"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"
)

const (
	version = "v4beta1"
	pkg     = protoreflect.FullName("google.cloud.talent." + version)
	module  = "cloud.google.com/go/talent"
)

func main() {
	out, err := document()
	if err != nil {
		fmt.Fprintln(os.Stderr, "discoverydoc:", err)
		os.Exit(1)
	}
	_, _ = os.Stdout.Write(out)
}

type object = map[string]any

// document returns the whole discovery document, indented.
func document() ([]byte, error) {
	comments, revision, err := readComments()
	if err != nil {
		return nil, err
	}
	g := &generator{comments: comments, schemas: object{}, names: map[string]protoreflect.FullName{}}
	g.nameNested()
	resources := object{}
	protoregistry.GlobalFiles.RangeFilesByPackage(pkg, func(file protoreflect.FileDescriptor) bool {
		for i := range file.Messages().Len() {
			g.addMessage(file.Messages().Get(i))
		}
		for i := range file.Services().Len() {
			g.addService(resources, file.Services().Get(i))
		}
		return true
	})
	g.addOperations(resources)
	doc := object{
		"kind":        "discovery#restDescription",
		"name":        "jobs",
		"version":     version,
		"id":          "jobs:" + version,
		"revision":    revision,
		"title":       "Cloud Talent Solution API",
		"description": "Made from the protobuf definitions in " + module + " " + revision + "; Google publishes no discovery document of this version.",
		"rootUrl":     "https://jobs.googleapis.com/",
		"servicePath": "",
		"batchPath":   "batch",
		"resources":   resources,
		"schemas":     g.schemas,
	}
	out, err := json.MarshalIndent(doc, "", "  ")
	return append(out, '\n'), err
}

// readComments reads the comments of the fields in the generated Go code, by
// "Type.Field", and says which version of the module they are of.
func readComments() (comments map[string]string, revision string, err error) {
	raw, err := exec.CommandContext(context.Background(), "go", "list", "-m", "-f", "{{.Dir}} {{.Version}}", module).Output()
	if err != nil {
		return nil, "", fmt.Errorf("go list -m %s: %w", module, err)
	}
	dir, revision, _ := strings.Cut(strings.TrimSpace(string(raw)), " ")
	files, err := filepath.Glob(filepath.Join(dir, "api"+version, "talentpb", "*.pb.go"))
	if err != nil {
		return nil, "", err
	}
	if len(files) == 0 {
		return nil, "", fmt.Errorf("no generated code in %s", dir)
	}
	comments = map[string]string{}
	for _, name := range files {
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ParseComments)
		if err != nil {
			return nil, "", err
		}
		ast.Inspect(file, func(n ast.Node) bool {
			spec, ok := n.(*ast.TypeSpec)
			if !ok {
				return true
			}
			if s, ok := spec.Type.(*ast.StructType); ok {
				for _, field := range s.Fields.List {
					for _, fieldName := range field.Names {
						comments[spec.Name.Name+"."+fieldName.Name] = prose(field.Doc.Text())
					}
				}
			}
			return true
		})
	}
	return comments, revision, nil
}

var (
	reference  = regexp.MustCompile(`\[([^\[\]]+)\]\s*\[google\.[\w.]+\]`)
	whiteSpace = regexp.MustCompile(`\s+`)
)

// prose returns a comment as discovery documents have it: one line, references by
// their names alone.
func prose(comment string) string {
	comment = whiteSpace.ReplaceAllString(strings.TrimSpace(comment), " ")
	return reference.ReplaceAllString(comment, "$1")
}

type generator struct {
	comments map[string]string
	schemas  object
	names    map[string]protoreflect.FullName // of schemas
}

// nameNested counts the short names of messages, so that those of nested ones
// can be told apart.
func (g *generator) nameNested() {
	protoregistry.GlobalFiles.RangeFilesByPackage(pkg, func(file protoreflect.FileDescriptor) bool {
		g.countNames(file.Messages())
		return true
	})
}

func (g *generator) countNames(messages protoreflect.MessageDescriptors) {
	for i := range messages.Len() {
		m := messages.Get(i)
		if short := string(m.Name()); g.names[short] != "" {
			g.names[short] = "several"
		} else {
			g.names[short] = m.FullName()
		}
		g.countNames(m.Messages())
	}
}

// schemaName returns the message's name, behind that of its parent where several
// have it, as in JobDerivedInfo.
func (g *generator) schemaName(m protoreflect.MessageDescriptor) string {
	if parent, nested := m.Parent().(protoreflect.MessageDescriptor); nested && g.names[string(m.Name())] == "several" {
		return string(parent.Name()) + string(m.Name())
	}
	return string(m.Name())
}

// addMessage adds a message, and all that it refers to, to the schemas.
func (g *generator) addMessage(m protoreflect.MessageDescriptor) {
	name := g.schemaName(m)
	if g.schemas[name] != nil || m.IsMapEntry() {
		return
	}
	properties := object{}
	g.schemas[name] = object{"id": name, "type": "object", "properties": properties}
	for i := range m.Fields().Len() {
		f := m.Fields().Get(i)
		schema := g.fieldSchema(f)
		if text := g.comment(m, f); text != "" {
			schema["description"] = text
		}
		properties[f.JSONName()] = schema
	}
	for i := range m.Messages().Len() {
		g.addMessage(m.Messages().Get(i))
	}
}

// goName returns the name of a message's type in the generated code.
func goName(m protoreflect.MessageDescriptor) string {
	if parent, nested := m.Parent().(protoreflect.MessageDescriptor); nested {
		return goName(parent) + "_" + string(m.Name())
	}
	return string(m.Name())
}

// comment is that of the field, which is on a type of its own for one of a
// oneof.
func (g *generator) comment(m protoreflect.MessageDescriptor, f protoreflect.FieldDescriptor) string {
	var name strings.Builder
	for word := range strings.SplitSeq(string(f.Name()), "_") {
		name.WriteString(strings.ToUpper(word[:1]) + word[1:])
	}
	camel := name.String()
	if text := g.comments[goName(m)+"."+camel]; text != "" {
		return text
	}
	return g.comments[goName(m)+"_"+camel+"."+camel]
}

func (g *generator) fieldSchema(f protoreflect.FieldDescriptor) object {
	if f.IsMap() {
		return object{"type": "object", "additionalProperties": g.typeSchema(f.MapValue())}
	}
	schema := g.typeSchema(f)
	if f.IsList() {
		schema = object{"type": "array", "items": schema}
	}
	behaviors, _ := proto.GetExtension(f.Options(), annotations.E_FieldBehavior).([]annotations.FieldBehavior)
	for _, b := range behaviors {
		if b == annotations.FieldBehavior_OUTPUT_ONLY {
			schema["readOnly"] = true
		}
	}
	if options, _ := f.Options().(*descriptorpb.FieldOptions); options.GetDeprecated() {
		schema["deprecated"] = true
	}
	return schema
}

// typeSchema returns the type of one value.
func (g *generator) typeSchema(f protoreflect.FieldDescriptor) object {
	switch f.Kind() {
	case protoreflect.StringKind:
		return object{"type": "string"}
	case protoreflect.BoolKind:
		return object{"type": "boolean"}
	case protoreflect.Int32Kind:
		return object{"type": "integer", "format": "int32"}
	case protoreflect.Int64Kind:
		return object{"type": "string", "format": "int64"}
	case protoreflect.DoubleKind:
		return object{"type": "number", "format": "double"}
	case protoreflect.EnumKind:
		return object{"type": "string", "enum": enumNames(f.Enum())}
	case protoreflect.MessageKind:
		return g.messageSchema(f.Message())
	}
	panic(fmt.Sprintf("%s is a %s", f.FullName(), f.Kind()))
}

// enumNames returns an enum's names by their numbers, which must leave no gap: the
// place in the list stands for the number.
func enumNames(e protoreflect.EnumDescriptor) []string {
	var names []string
	for i := range e.Values().Len() {
		v := e.Values().Get(i)
		if int(v.Number()) != i {
			panic(fmt.Sprintf("%s is %d, not %d", v.FullName(), v.Number(), i))
		}
		names = append(names, string(v.Name()))
	}
	return names
}

func (g *generator) messageSchema(m protoreflect.MessageDescriptor) object {
	switch m.FullName() {
	case "google.protobuf.Timestamp":
		return object{"type": "string", "format": "google-datetime"}
	case "google.protobuf.Duration":
		return object{"type": "string", "format": "google-duration"}
	case "google.protobuf.FieldMask":
		return object{"type": "string", "format": "google-fieldmask"}
	case "google.protobuf.Any":
		return object{"type": "object", "additionalProperties": object{"type": "any"}}
	case "google.protobuf.BoolValue":
		return object{"type": "boolean"}
	case "google.protobuf.DoubleValue":
		return object{"type": "number", "format": "double"}
	}
	g.addMessage(m)
	return object{"$ref": g.schemaName(m)}
}

// addService adds the methods of a service, in each of their bindings.
func (g *generator) addService(resources object, s protoreflect.ServiceDescriptor) {
	for i := range s.Methods().Len() {
		m := s.Methods().Get(i)
		rule, _ := proto.GetExtension(m.Options(), annotations.E_Http).(*annotations.HttpRule)
		for _, binding := range append([]*annotations.HttpRule{rule}, rule.GetAdditionalBindings()...) {
			g.addMethod(resources, m, binding)
		}
	}
}

// template is a path's variable, {name=pattern}.
var template = regexp.MustCompile(`\{([\w.]+)=([^}]+)\}`)

func (g *generator) addMethod(resources object, m protoreflect.MethodDescriptor, rule *annotations.HttpRule) {
	verb, path := httpOf(rule)
	variable := template.FindStringSubmatch(path)
	name := variable[1][strings.LastIndexByte(variable[1], '.')+1:]
	parameters := object{name: object{
		"type": "string", "location": "path", "required": true,
		"pattern": "^" + strings.ReplaceAll(variable[2], "*", "[^/]+") + "$",
	}}
	if rule.GetBody() == "" {
		for i := range m.Input().Fields().Len() {
			if f := m.Input().Fields().Get(i); string(f.Name()) != variable[1] {
				schema := g.fieldSchema(f)
				schema["location"] = "query"
				parameters[f.JSONName()] = schema
			}
		}
	}
	method := object{
		"httpMethod":     verb,
		"path":           strings.TrimPrefix(template.ReplaceAllString(path, "{+"+name+"}"), "/"),
		"parameters":     parameters,
		"parameterOrder": []string{name},
		"response":       g.messageSchema(m.Output()),
		"scopes":         []string{"https://www.googleapis.com/auth/cloud-platform", "https://www.googleapis.com/auth/jobs"},
	}
	if rule.GetBody() != "" {
		method["request"] = g.messageSchema(m.Input())
	}
	collections := collectionsOf(strings.TrimPrefix(path, "/"+version+"/"))
	short := methodName(string(m.Name()))
	method["id"] = "jobs." + strings.Join(append(collections, short), ".")
	add(resources, collections, short, method)
}

var resourceName = regexp.MustCompile(`(Client)?(Event|Job|Company|Companie|Tenant)s?`)

// methodName returns what discovery documents call a method: create for CreateJob,
// patch for UpdateJob, searchForAlert for SearchJobsForAlert.
func methodName(rpc string) string {
	name := resourceName.ReplaceAllString(rpc, "")
	if name == "Update" {
		name = "Patch"
	}
	return strings.ToLower(name[:1]) + name[1:]
}

func httpOf(rule *annotations.HttpRule) (verb, path string) {
	switch {
	case rule.GetGet() != "":
		return "GET", rule.GetGet()
	case rule.GetPost() != "":
		return "POST", rule.GetPost()
	case rule.GetPatch() != "":
		return "PATCH", rule.GetPatch()
	}
	return "DELETE", rule.GetDelete()
}

// collectionsOf returns those that a path names.
func collectionsOf(path string) []string {
	path = template.ReplaceAllString(path, "$2")
	path, _, _ = strings.Cut(path, ":")
	var collections []string
	for segment := range strings.SplitSeq(path, "/") {
		if segment != "*" {
			collections = append(collections, segment)
		}
	}
	return collections
}

func add(resources object, collections []string, name string, method object) {
	resource, _ := resources[collections[0]].(object)
	if resource == nil {
		resource = object{}
		resources[collections[0]] = resource
	}
	inner := "resources"
	if len(collections) == 1 {
		inner = "methods"
	}
	group, _ := resource[inner].(object)
	if group == nil {
		group = object{}
		resource[inner] = group
	}
	if len(collections) == 1 {
		group[name] = method
		return
	}
	add(group, collections[1:], name, method)
}

// addOperations adds operations.get, which the API takes from
// google.longrunning.
func (g *generator) addOperations(resources object) {
	add(resources, []string{"projects", "operations"}, "get", object{
		"id": "jobs.projects.operations.get", "httpMethod": "GET", "path": version + "/{+name}",
		"parameters": object{"name": object{
			"type": "string", "location": "path", "required": true, "pattern": "^projects/[^/]+/operations/[^/]+$",
		}},
		"parameterOrder": []string{"name"},
		"response":       object{"$ref": "Operation"},
	})
}
