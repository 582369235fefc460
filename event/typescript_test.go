package event

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// TestTypeScriptFiles keeps the TypeScript types in docs/schema equal to the schemas. `make
// producers-test` compiles them.
func TestTypeScriptFiles(t *testing.T) {
	for _, v := range Versions() {
		path := filepath.Join("..", "docs", "schema", "client-event."+v.String()+".d.ts")
		want := typeScript(v)
		if *update {
			if err := os.WriteFile(path, []byte(want), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		got, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if string(got) != want {
			t.Errorf("%s differs from the schema of %s: run 'go test ./event -run TestTypeScriptFiles -update'", path, v)
		}
	}
}

// typeScript writes the types of a version's records, with the names in lowerCamelCase.
func typeScript(v Version) string {
	root := objectSchema(recordFields, v)
	var b strings.Builder
	fmt.Fprintf(&b, "// The value of a record for %s of the API, generated from client-event.%s.json.\n\n", v, v)
	fmt.Fprintf(&b, "export type JobName = %s;\n\n", jobNameType(root))
	fmt.Fprintf(&b, "export interface ClientEvent %s\n", interfaceOf(root, ""))
	return b.String()
}

var nameSegment = regexp.MustCompile(regexp.QuoteMeta("[^/]+"))

// jobNameType derives a template literal type from the pattern of job names.
func jobNameType(root *schemaNode) string {
	pattern := root.Properties["jobEvent"].Properties["jobs"].Items.Pattern
	var forms []string
	for form := range strings.SplitSeq(strings.Trim(pattern, "^$()"), "|") {
		forms = append(forms, "`"+nameSegment.ReplaceAllLiteralString(form, "${string}")+"`")
	}
	return strings.Join(forms, " | ")
}

func interfaceOf(s *schemaNode, indent string) string {
	required := slices.Clone(s.Required)
	for _, rule := range s.AllOf {
		if rule.OneOf != nil {
			required = append(required, rule.OneOf[0].Required...)
		}
	}
	names := make([]string, 0, len(s.Properties))
	for name, p := range s.Properties {
		if p.Ref == "" { // the name in snake_case of another
			names = append(names, name)
		}
	}
	slices.Sort(names)
	var b strings.Builder
	b.WriteString("{\n")
	for _, name := range names {
		mark := "?:"
		if slices.Contains(required, name) {
			mark = ":"
		}
		p := s.Properties[name]
		fmt.Fprintf(&b, "%s  /** %s */\n%s  %s%s%s;\n", indent, p.Description, indent, name, mark, typeOf(name, p, indent+"  "))
	}
	b.WriteString(indent + "}")
	return b.String()
}

func typeOf(name string, p *schemaNode, indent string) string {
	switch {
	case len(p.Enum) > 0:
		var values []string
		for _, value := range p.Enum {
			values = append(values, "\n"+indent+"  | "+strconv.Quote(value))
		}
		return strings.Join(values, "")
	case name == "jobs":
		return " [JobName, ...JobName[]]"
	case p.Properties != nil:
		return " " + interfaceOf(p, indent)
	case p.AdditionalProperties != nil:
		return " Record<string, string> | null"
	case fmt.Sprint(p.Type) == "[string null]":
		return " string | null"
	case p.Type == "string":
		return " string"
	}
	panic(fmt.Sprintf("no TypeScript type for %s: %v", name, p.Type))
}
