package event

import (
	"bytes"
	"encoding/json"
	"flag"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

var update = flag.Bool("update", false, "write the schemas in docs/schema")

func TestSchemaFiles(t *testing.T) {
	for _, v := range Versions() {
		path := filepath.Join("..", "docs", "schema", "client-event."+v.String()+".json")
		if *update {
			if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, Schema(v), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		got, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, Schema(v)) {
			t.Errorf("%s is not the schema of %s: run 'go test ./event -run TestSchemaFiles -update'", path, v)
		}
	}
}

func compiled(t *testing.T, v Version) *jsonschema.Schema {
	t.Helper()
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(Schema(v)))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	c.AssertFormat()
	if err := c.AddResource("event.json", doc); err != nil {
		t.Fatal(err)
	}
	s, err := c.Compile("event.json") // checks it against the metaschema too
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// TestSchemaAgreesWithDecode: over good records with each field set to each of
// many values, under each name, the schema takes what Decode takes, and refuses
// what Decode refuses but for what a schema can't say.
func TestSchemaAgreesWithDecode(t *testing.T) {
	beyondSchema := []Reason{ReasonExtraInfoTooLarge, ReasonSelfParent}
	values := []string{
		``, `null`, `""`, `" "`, `"e-1"`, `"x"`, `0`, `-1.5`, `true`, `{}`, `[]`, `[null]`, `[""]`, `["x"]`, `[1]`, `{"k":"v"}`, `{"k":""}`, `{"k":null}`, `{"k":1}`, `{"":""}`,
		`{"type":"VIEW"}`, `{"jobs":["projects/p/jobs/j"]}`, `{"type":"VIEW","jobs":["projects/p/jobs/j"],"x":1}`, `{"type":null,"jobs":null}`,
		extraInfo(20), extraInfo(21), `{"k":"` + strings.Repeat("x", 3000) + `"}`,
		`"VIEW"`, `"view"`, `"NOT_INTERESTED"`, `"JOB_EVENT_TYPE_UNSPECIFIED"`, `"HIRED"`,
		`["projects/p/jobs/j"]`, `["projects/p/tenants/t/jobs/j"]`, `["projects/p/jobs/j","projects/p/jobs/k"]`, `["projects/p/jobs/j",""]`, `["projects/p/jobs/j/"]`,
		`["projects//jobs/j"]`, `["projects/p/jobs/a b\n"]`, `["projects/p/jobs/\n"]`, `["\nprojects/p/jobs/j"]`, `["projects/p/tenants/t/jobs/j",null]`, `["projects/ü/tenants/😀/jobs/j"]`,
		`"2026-01-02T03:04:05Z"`, `"2026-01-02T03:04:05.123456789+05:45"`, `"2026-01-02T03:04:05,5Z"`, `"2026-01-02T3:04:05Z"`, `"2026-01-02t03:04:05z"`, `"2026-01-02T24:00:00Z"`,
		`"2026-01-02T03:04:60Z"`, `"2026-02-30T03:04:05Z"`, `"2026-01-02T03:04:05+24:00"`, `"2026-01-02T03:04:05.1234567890Z"`, `"2026-01-02T03:04:05Z\n"`, `"2026-01-02"`, `"0001-01-01T00:00:00Z"`,
	}
	for _, v := range Versions() {
		schema := compiled(t, v)
		taken, refused := 0, 0
		check := func(record string) {
			t.Helper()
			_, fault := Decode([]byte(record), v)
			instance, err := jsonschema.UnmarshalJSON(strings.NewReader(record))
			if err != nil {
				t.Fatalf("%s: %v", record, err)
			}
			invalid := schema.Validate(instance)
			switch {
			case fault == nil && invalid == nil:
				taken++
			case fault == nil:
				t.Errorf("%s: Decode takes %s\nand the schema does not: %v", v, shortened(record), invalid)
			case invalid != nil || slices.Contains(beyondSchema, fault.Reason):
				refused++
			default:
				t.Errorf("%s: the schema takes %s\nand Decode does not: %v", v, shortened(record), fault)
			}
		}
		check(recordWith(v, nil))
		check(recordWith(v, full(V3)))
		check(recordWith(v, full(V4)))
		names := []string{"type", "jobs", "color", "Type", "EventId"}
		for _, f := range recordFields {
			names = append(names, f.name)
		}
		for _, name := range names {
			for _, value := range values {
				check(recordWith(v, edits{name: value}))
				if snake := snakeCase(name); snake != name && value != "" {
					check(recordWith(v, edits{name: ``, snake: value}))
					check(recordWith(v, edits{snake: value})) // beside the other name, of required fields
				}
			}
		}
		for name, value := range full(v) {
			twin := maps.Clone(full(v))
			twin[snakeCase(name)] = value
			check(recordWith(v, twin))
		}
		if taken < 20 || refused < 200 {
			t.Errorf("%s: a corpus of %d good records and %d faulty ones", v, taken, refused)
		}
	}
}

// TestSchemaNamesEveryField: the decoder's structs, the walk's table and the
// schema have the same fields.
func TestSchemaNamesEveryField(t *testing.T) {
	for _, v := range Versions() {
		var schema struct{ Properties map[string]any }
		if err := json.Unmarshal(Schema(v), &schema); err != nil {
			t.Fatal(err)
		}
		record := wantReason(t, recordWith(v, full(v)), v, "").AppendRecord(nil)
		var written map[string]any
		if err := json.Unmarshal(record, &written); err != nil {
			t.Fatal(err)
		}
		for name := range written {
			if schema.Properties[name] == nil || schema.Properties[snakeCase(name)] == nil {
				t.Errorf("%s: the schema does not know %s", v, name)
			}
		}
		if len(schema.Properties) != 2*len(written) {
			t.Errorf("%s: the schema has %d names, an event with every field has %d fields", v, len(schema.Properties), len(written))
		}
	}
}
