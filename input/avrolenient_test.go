package input

import (
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/sr"
	"github.com/twmb/franz-go/pkg/sr/srfake"
)

// TestSchemasThatOthersAccept: a registry and producers take schemas whose defaults,
// decimals or names break the specification. Their records can be read.
func TestSchemasThatOthersAccept(t *testing.T) {
	const reference = `{"type":"record","name":"Job","namespace":"acme-jobs","fields":[{"name":"id","type":"string","default":7}]}`
	for name, test := range map[string]struct{ schema, payload, want string }{
		"default of another type": {
			`{"type":"record","name":"R","fields":[{"name":"a","type":"int","default":"x"}]}`, "\x02", `{"a":1}`,
		},
		"default of an enum that is no symbol": {
			`{"type":"map","values":{"type":"enum","name":"E","symbols":["A"],"default":"B"}}`, "\x02\x02a\x00\x00", `{"a":"A"}`,
		},
		"list as the default of a map": {
			`{"type":"record","name":"R","fields":[{"name":"a","type":{"type":"map","values":"int"},"default":[]}]}`, "\x00", `{"a":{}}`,
		},
		"scale above the precision": { // of a NUMBER without a scale, by Kafka Connect
			`{"type":"record","name":"R","fields":[{"name":"a","type":["null",{"type":"bytes","logicalType":"decimal","precision":64,"scale":127}]}]}`,
			"\x02\x02\x01", `{"a":"AQ=="}`,
		},
		"no precision": {`{"type":"map","values":{"type":"bytes","logicalType":"decimal"}}`, "\x02\x02a\x02\x01\x00", `{"a":"AQ=="}`},
		"precision above the size": {
			`{"type":"map","values":{"type":"fixed","name":"F","size":2,"logicalType":"decimal","precision":5}}`, "\x02\x02a\x00\x01\x00", `{"a":"AAE="}`,
		},
		"valid decimal beside a bad default": {
			`{"type":"record","name":"R","fields":[{"name":"a","type":{"type":"fixed","name":"F","size":2,"logicalType":"decimal","precision":4,"scale":1},"default":1}]}`,
			"\x00\x0f", `{"a":1.5}`,
		},
		"name with a hyphen": {`{"type":"record","name":"job-event","fields":[{"name":"job-id","type":"string"}]}`, "\x02x", `{"job-id":"x"}`},
		"name with an umlaut": {
			`{"type":"record","name":"R","fields":[{"name":"größe","type":{"type":"enum","name":"E","symbols":["S-M"]}}]}`, "\x00", `{"größe":"S-M"}`,
		},
		"reference": {`{"type":"record","name":"R","fields":[{"name":"job","type":"acme-jobs.Job"}]}`, "\x02j", `{"job":{"id":"j"}}`},
	} {
		t.Run(name, func(t *testing.T) {
			fake := srfake.New()
			defer fake.Close()
			schema := sr.Schema{Schema: test.schema}
			if name == "reference" {
				fake.SeedSchema("job", 1, 1, sr.Schema{Schema: reference})
				schema.References = []sr.SchemaReference{{Name: "acme-jobs.Job", Subject: "job", Version: 1}}
			}
			fake.SeedSchema("s", 1, 7, schema)
			d := newDecoder(t, Config{Format: FormatAvro, Registry: Registry{URL: fake.URL()}})
			if got := asText(t, d, record(withID(7, []byte(test.payload)))); got != test.want {
				t.Errorf("got %s, want %s", got, test.want)
			}
		})
	}
}

// TestSchemaThatIsNotValid: the fault says what is wrong with the schema as it is.
func TestSchemaThatIsNotValid(t *testing.T) {
	for schema, want := range map[string]string{
		`{"type":"record","name":"R","fields":[{"name":"a","type":"strin","default":1}]}`: `unknown type "strin"`,
		`record R`: "invalid schema json",
	} {
		_, err := newRegistryFormat(Config{}, nil, "AVRO", compileAvro).compiled(&schemaText{name: "schema ID 7", typ: "AVRO", text: schema})
		if !isFault(err) || !strings.Contains(err.Error(), "schema ID 7 can't be used: ") || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want the fault %s", err, want)
		}
	}
}
