package input

import (
	"bytes"
	"errors"
	"fmt"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// jsonSchemaCodec checks JSON by a schema.
type jsonSchemaCodec struct {
	schema *jsonschema.Schema
	name   string
}

// schemaBase is the URL of the schema, which what it refers to is relative to.
const schemaBase = "registry:///"

// noLoader keeps schemas from reading files or the network.
type noLoader struct{}

func (noLoader) Load(url string) (any, error) {
	return nil, fmt.Errorf("%s is not among the schema's references", url)
}

func compileJSONSchema(s *schemaText) (codec, error) {
	compiler := jsonschema.NewCompiler()
	compiler.UseLoader(noLoader{})
	compiler.DefaultDraft(jsonschema.Draft7)
	for _, ref := range s.refs {
		url := ref.name
		if !strings.Contains(url, "://") {
			url = schemaBase + url
		}
		if err := addSchema(compiler, url, ref.text); err != nil {
			return nil, fmt.Errorf("reference %q: %w", ref.name, err)
		}
	}
	const root = schemaBase + "schema.json"
	if err := addSchema(compiler, root, s.text); err != nil {
		return nil, err
	}
	schema, err := compiler.Compile(root)
	if err != nil {
		return nil, err
	}
	return &jsonSchemaCodec{schema, schema.Title}, nil
}

func addSchema(c *jsonschema.Compiler, url, text string) error {
	if _, err := decodeJSON([]byte(text), newBudget(maxDecoded, nil)); err != nil { // bounds the depth
		return err
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader([]byte(text)))
	if err != nil {
		return err
	}
	return c.AddResource(url, doc)
}

func (c *jsonSchemaCodec) decode(payload, _ []byte, _ bool, b *budget) (any, string, error) {
	v, err := decodeJSON(payload, b)
	if err != nil {
		return nil, "", err
	}
	if err := c.schema.Validate(v); err != nil {
		invalid, ok := errors.AsType[*jsonschema.ValidationError](err)
		if !ok {
			return nil, "", errors.New("it can't be checked by the schema")
		}
		return nil, "", violation(invalid)
	}
	return v, c.name, nil
}

// violation names the place in the value and the schema's keyword, without the value.
func violation(e *jsonschema.ValidationError) error {
	for len(e.Causes) > 0 {
		e = e.Causes[0]
	}
	place := "/" + strings.Join(e.InstanceLocation, "/")
	keyword := strings.Join(e.ErrorKind.KeywordPath(), "/")
	if keyword == "" {
		keyword = "false"
	}
	return fmt.Errorf("%s does not conform to the schema: %s", place, keyword)
}
