// Package discovery reads Google's API discovery documents: the resources and methods
// of an API, with their parameters and the place of each in the request.
//
// The format is the one of
// https://developers.google.com/discovery/v1/reference/apis.
package discovery

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
)

//go:embed jobs-v3.json
var jobsV3 []byte

//go:embed jobs-v4.json
var jobsV4 []byte

//go:embed jobs-v4beta1.json
var jobsV4beta1 []byte

// JobsV3 returns the document of Cloud Talent Solution v3.
func JobsV3() (*API, error) { return Parse(jobsV3) }

// JobsV4 returns the document of Cloud Talent Solution v4.
func JobsV4() (*API, error) { return Parse(jobsV4) }

// JobsV4beta1 returns a document of Cloud Talent Solution v4beta1. Google publishes
// none; it is made from the protobuf definitions.
func JobsV4beta1() (*API, error) { return Parse(jobsV4beta1) }

// API is one discovery document.
type API struct {
	Name        string `json:"name"`
	Version     string `json:"version"`
	Revision    string `json:"revision"`
	Title       string `json:"title"`
	Description string `json:"description"`
	// RootURL and ServicePath precede every method's path.
	RootURL     string `json:"rootUrl"`
	ServicePath string `json:"servicePath"`
	// Parameters are the query parameters that every method takes.
	Parameters map[string]*Schema   `json:"parameters"`
	Resources  map[string]*Resource `json:"resources"`
	Schemas    map[string]*Schema   `json:"schemas"`
}

// Resource is a named group of methods, and of further groups.
type Resource struct {
	Methods   map[string]*Method   `json:"methods"`
	Resources map[string]*Resource `json:"resources"`
}

// Method is one call.
type Method struct {
	ID          string `json:"id"`
	Description string `json:"description"`
	HTTPMethod  string `json:"httpMethod"`
	// Path is a URI template relative to the API's root, as "v3/{+parent}/jobs".
	Path string `json:"path"`
	// Parameters of this method alone, in the path and in the query.
	Parameters map[string]*Schema `json:"parameters"`
	// ParameterOrder lists the required parameters.
	ParameterOrder []string `json:"parameterOrder"`
	// Request is the body's schema, nil if the call has no body.
	Request *Schema `json:"request"`
	// Response is the answer's schema.
	Response *Schema `json:"response"`
	// Scopes are alternatives for a token; the first is the default.
	Scopes []string `json:"scopes"`
}

// Schema describes a value: of a body, a field or a parameter.
type Schema struct {
	ID string `json:"id"`
	// Ref names the schema to use in place of this one.
	Ref         string `json:"$ref"`
	Description string `json:"description"`
	// Type is string, boolean, integer, number, array, object or any.
	Type   string   `json:"type"`
	Format string   `json:"format"`
	Enum   []string `json:"enum"`
	// Properties are an object's fields by their JSON names.
	Properties map[string]*Schema `json:"properties"`
	// AdditionalProperties is the type of a map's values.
	AdditionalProperties *Schema `json:"additionalProperties"`
	// Items is the type of an array's elements.
	Items *Schema `json:"items"`
	// Location (of a parameter) is path or query.
	Location string `json:"location"`
	// Pattern (of a parameter) is the regular expression its value matches.
	Pattern  string `json:"pattern"`
	Required bool   `json:"required"`
	Repeated bool   `json:"repeated"`
	ReadOnly bool   `json:"readOnly"`
}

// Parse reads a document and checks that every schema it refers to is in it.
func Parse(document []byte) (*API, error) {
	var api API
	if err := json.Unmarshal(document, &api); err != nil {
		return nil, fmt.Errorf("discovery document: %w", err)
	}
	if api.RootURL == "" || len(api.Resources) == 0 {
		return nil, fmt.Errorf("discovery document %q: no rootUrl or no resources", api.Name)
	}
	if err := api.check(); err != nil {
		return nil, fmt.Errorf("discovery document %s %s: %w", api.Name, api.Version, err)
	}
	return &api, nil
}

// Resolve follows references to a schema with a type.
func (a *API) Resolve(s *Schema) *Schema {
	for s != nil && s.Ref != "" {
		s = a.Schemas[s.Ref]
	}
	return s
}

func (a *API) check() error {
	for _, name := range slices.Sorted(maps.Keys(a.Schemas)) {
		if err := a.checkSchema(name, a.Schemas[name]); err != nil {
			return err
		}
	}
	return checkResources(a, a.Resources)
}

func checkResources(a *API, resources map[string]*Resource) error {
	for name, r := range resources {
		if r == nil {
			return fmt.Errorf("resource %s: empty", name)
		}
		for _, m := range r.Methods {
			if m == nil || m.HTTPMethod == "" || m.Path == "" {
				return fmt.Errorf("resource %s: a method without httpMethod or path", name)
			}
			for _, s := range []*Schema{m.Request, m.Response} {
				if err := a.checkSchema(m.ID, s); err != nil {
					return err
				}
			}
		}
		if err := checkResources(a, r.Resources); err != nil {
			return err
		}
	}
	return nil
}

// checkSchema reports references to missing schemas, and cycles of references without
// a type.
func (a *API) checkSchema(at string, s *Schema) error {
	if s == nil {
		return nil
	}
	for seen := map[string]bool{}; s.Ref != ""; {
		next, known := a.Schemas[s.Ref]
		if !known || next == nil || seen[s.Ref] {
			return fmt.Errorf("%s: reference to %q leads nowhere", at, s.Ref)
		}
		seen[s.Ref] = true
		s = next
		if s.Ref == "" {
			return nil // checked under its own name
		}
	}
	for name, p := range s.Properties {
		if err := a.checkSchema(at+"."+name, p); err != nil {
			return err
		}
	}
	if err := a.checkSchema(at, s.Items); err != nil {
		return err
	}
	return a.checkSchema(at, s.AdditionalProperties)
}
