package maptest

import (
	"encoding/json"
	"maps"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/clientevents/clientevents/input"
)

// TestSchemaIsThatOfTheFiles keeps docs/schema/mapping-tests.json equal to the types.
func TestSchemaIsThatOfTheFiles(t *testing.T) {
	data, err := os.ReadFile("../../docs/schema/mapping-tests.json")
	if err != nil {
		t.Fatal(err)
	}
	type node struct {
		Properties map[string]json.RawMessage
		Items      json.RawMessage
		Enum       []input.Format
	}
	parse := func(data json.RawMessage) (n node) {
		if err := json.Unmarshal(data, &n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	file := parse(data)
	one := parse(parse(file.Properties["tests"]).Items)
	record := parse(one.Properties["record"])
	for _, pair := range []struct {
		typ  reflect.Type
		node node
	}{
		{reflect.TypeFor[File](), file},
		{reflect.TypeFor[Case](), one},
		{reflect.TypeFor[Record](), record},
		{reflect.TypeFor[Expect](), parse(one.Properties["expect"])},
	} {
		var names []string
		for field := range pair.typ.Fields() {
			name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
			names = append(names, name)
		}
		slices.Sort(names)
		if got := slices.Sorted(maps.Keys(pair.node.Properties)); !slices.Equal(got, names) {
			t.Errorf("%s: the schema has %v, the type %v", pair.typ, got, names)
		}
	}
	if formats := parse(record.Properties["format"]).Enum; !slices.Equal(formats, input.Formats()) {
		t.Errorf("the formats are %v in the schema, and %v", formats, input.Formats())
	}
}

func TestNumbersKeepTheirDigits(t *testing.T) {
	f, err := parse([]byte("tests: [{record: {value: {a: 9223372036854775808123, b: 1.10, c: 0x10, d: 2026-01-02T03:04:05Z, e: '7', f: ~, g: yes, h: true}}, expect: {skipped: true}}]"))
	if err != nil {
		t.Fatal(err)
	}
	const want = `{"a":9223372036854775808123,"b":1.10,"c":16,"d":"2026-01-02T03:04:05Z","e":"7","f":null,"g":"yes","h":true}`
	if got := string(f.Tests[0].Record.Value); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if f.Tests[0].Name != "test 1" {
		t.Errorf("the name is %q", f.Tests[0].Name)
	}
}

// A file of another form is described in the words of YAML and not of Go.
func TestFilesOfAnotherForm(t *testing.T) {
	for text, want := range map[string]string{
		"- name: a":                            "expected names with values, such as 'tests: [...]', got a list",
		"just text":                            "expected names with values, such as 'tests: [...]', got text",
		"tests: {name: a}":                     "tests: expected a list, got names with values",
		"tests: [{name: [a]}]":                 "tests.name: expected text, got a list",
		"tests: [{name: 5}]":                   "tests.name: expected text, got the number",
		"tests: [{record: {offset: 1.5}}]":     "tests.record.offset: expected a whole number, got the number 1.5",
		"tests: [{record: {headers: [a]}}]":    "tests.record.headers: expected names with values, got a list",
		"tests: [{expect: {skipped: 'true'}}]": "tests.expect.skipped: expected true or false, got text",
	} {
		if _, err := parse([]byte(text)); err == nil || err.Error() != want {
			t.Errorf("%s: %v; want %s", text, err, want)
		}
	}
}
