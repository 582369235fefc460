package config_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"go.yaml.in/yaml/v4"

	"github.com/clientevents/clientevents/internal/config"
)

const schemas = "../../docs/schema/"

// TestSchema keeps docs/schema/config.json equal to the keys there are, and checks the
// configurations of the documents with it.
func TestSchema(t *testing.T) {
	path := schemas + "config.json"
	if *update {
		if err := os.WriteFile(path, config.Schema(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if read(t, path) != string(config.Schema()) {
		t.Fatalf("%s is not the schema of the keys: go test ./internal/config -run Schema -update writes it", path)
	}
	schema := compile(t, path)
	files, err := filepath.Glob("../../docs/mapping/*/clientevents.yaml")
	if err != nil || len(files) == 0 {
		t.Fatal("no configurations")
	}
	for _, file := range append(files, "../../deploy/clientevents.yaml") {
		if err := schema.Validate(fromYAML(t, read(t, file))); err != nil {
			t.Errorf("%s: %v", file, err)
		}
	}
	for _, text := range []string{"kafak: {}", "kafka: {start: soon}", "report: {batch_size: many}", "input: {format: xml}"} {
		if schema.Validate(fromYAML(t, text)) == nil {
			t.Errorf("%s is in order by the schema", text)
		}
	}
}

// TestSchemaOfMappingTests checks the library's tests with docs/schema/mapping-tests.json.
func TestSchemaOfMappingTests(t *testing.T) {
	schema := compile(t, schemas+"mapping-tests.json")
	files, err := filepath.Glob("../../docs/mapping/*/tests.yaml")
	if err != nil || len(files) == 0 {
		t.Fatal("no tests")
	}
	for _, file := range files {
		if err := schema.Validate(fromYAML(t, read(t, file))); err != nil {
			t.Errorf("%s: %v", file, err)
		}
	}
}

func compile(t *testing.T, path string) *jsonschema.Schema {
	t.Helper()
	schema, err := jsonschema.NewCompiler().Compile(path)
	if err != nil {
		t.Fatal(err)
	}
	return schema
}

// fromYAML is a YAML text as a validator takes it.
func fromYAML(t *testing.T, text string) any {
	t.Helper()
	var v any
	if err := yaml.Unmarshal([]byte(text), &v); err != nil {
		t.Fatal(err)
	}
	data, err := json.Marshal(v)
	if err != nil {
		t.Fatal(fmt.Errorf("%s: %w", text, err))
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	return doc
}
