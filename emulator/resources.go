package emulator

import (
	"net/url"
	"strings"
	"sync"

	"github.com/clientevents/clientevents/emulator/internal/protojson"
	"github.com/clientevents/clientevents/emulator/internal/talent"
	"github.com/clientevents/clientevents/internal/discovery"
)

// resources is one version of the API's tenants, companies and jobs.
type resources struct {
	version string
	// bare and tenants report whether the version has the paths projects/P/jobs
	// and projects/P/tenants/T/jobs.
	bare, tenants bool
	// wrapped reports whether bodies are {"job": J, "updateMask": "…"}; otherwise
	// they are J, with the mask in the query.
	wrapped bool
	// complete is the name of the method that completes a query.
	complete string
	dialect  func() *talent.Dialect
}

// lazyDialect reads the version's document at its first call: many emulators serve
// only client events.
func lazyDialect(read func() (*discovery.API, error), d talent.Dialect) func() *talent.Dialect {
	return sync.OnceValue(func() *talent.Dialect {
		api, err := read()
		if err != nil { // the documents are part of the program
			panic(err)
		}
		d.Version, d.API = api.Version, api
		return &d
	})
}

// jobsV4 adds to Google's document the parent that it omits in requests
// whose body is "*". The path has it; Go's generated clients repeat it in the body,
// Node's don't.
func jobsV4() (*discovery.API, error) {
	return withParents(discovery.JobsV4())
}

// jobsV4beta1 names the parent in each request, as a field that is required.
func jobsV4beta1() (*discovery.API, error) {
	return withParents(discovery.JobsV4beta1())
}

// withParents allows the parent in the body of every request whose body is a
// message of its own.
func withParents(api *discovery.API, err error) (*discovery.API, error) {
	if err != nil {
		return nil, err
	}
	for name, schema := range api.Schemas {
		if _, named := schema.Properties["parent"]; named || api.Version == "v4" && strings.HasSuffix(name, "Request") {
			schema.Properties["parent"] = &discovery.Schema{Type: "string"}
		}
	}
	return api, nil
}

var resourceVersions = []*resources{
	{
		version: "v3", bare: true, wrapped: true, complete: "complete",
		dialect: lazyDialect(discovery.JobsV3, talent.Dialect{Bare: true, CompanyName: "companyName", Legacy: true}),
	},
	{
		version: "v4beta1", bare: true, tenants: true, wrapped: true, complete: "complete",
		dialect: lazyDialect(jobsV4beta1, talent.Dialect{Bare: true, Tenants: true, CompanyName: "company"}),
	},
	{
		version: "v4", tenants: true, complete: "completeQuery",
		dialect: lazyDialect(jobsV4, talent.Dialect{Tenants: true, CompanyName: "company"}),
	},
}

// maskQuery returns the query parameter of an update's mask, if it is one.
func (v *resources) maskQuery() []string {
	if v.wrapped {
		return nil
	}
	return []string{"updateMask"}
}

// place is the resource that a path names, or the parent of a collection.
type place struct {
	scope talent.Scope
	id    string // "" for a project or tenant
	name  string
}

// action is a method of the API at the place that its path names.
type action func(e *Emulator, c *call, at place) (talent.Object, *apiError)

// route returns the line of the path table for a pattern such as
// "projects/*/jobs/*" or "projects/*/jobs:search". response is the schema of
// the answer.
func (v *resources) route(method, pattern, response string, do action, query ...string) route {
	r := newRoute(method, v.version+"/"+pattern, func(e *Emulator, c *call) ([]byte, *apiError) {
		at, err := v.place(c, pattern)
		if err != nil {
			return nil, err
		}
		o, err := do(e, c, at)
		if err != nil {
			return nil, err
		}
		return v.write(c, response, o)
	}, query...)
	r.response = func() (*discovery.API, *discovery.Schema) {
		api := v.dialect().API
		return api, api.Schemas[response]
	}
	return r
}

// place parses the name in the path of a call that matches the pattern.
func (v *resources) place(c *call, pattern string) (place, *apiError) {
	_, path, _ := strings.Cut(strings.TrimPrefix(c.path, "/"), "/")
	pattern, verb, _ := strings.Cut(pattern, ":")
	segments := strings.Split(strings.TrimSuffix(path, ":"+verb), "/")
	wanted := strings.Split(pattern, "/")
	if wanted[len(wanted)-1] != "*" { // a collection: the name is its parent's
		segments, wanted = segments[:len(segments)-1], wanted[:len(wanted)-1]
	}
	collection := wanted[len(wanted)-2]
	if collection == "projects" || collection == "tenants" {
		collection = ""
	}
	var at place
	whole := true
	for i, segment := range segments {
		plain, err := url.PathUnescape(segment)
		whole = whole && err == nil && !strings.Contains(plain, "/")
		segments[i] = plain
	}
	at.name = strings.Join(segments, "/")
	scope, id, ok := talent.ParseName(at.name, collection)
	if !ok || !whole {
		return at, badName(at.name, pattern)
	}
	at.scope, at.id = scope, id
	return at, nil
}

func badName(name, pattern string) *apiError {
	return badFields("Invalid resource name: "+protojson.Clip(name), []fieldViolation{{Field: "name", Description: "is not of the form " + pattern}})
}

// read reads the body as the named message of the version. path is its path in
// messages to the client.
func (v *resources) read(c *call, schema string, path ...string) (talent.Object, *apiError) {
	api := v.dialect().API
	c.dec.Reset(c.body, path...)
	o, fault := c.dec.ReadObject(api, api.Schemas[schema])
	return o, badRequestOf(fault)
}

// sent reads the resource of a create ("Create") or an update ("Update"), and
// the update's mask.
func (v *resources) sent(c *call, verb, resource string) (talent.Object, talent.Mask, *apiError) {
	field := strings.ToLower(resource)
	if !v.wrapped {
		o, err := v.read(c, resource, field)
		return o, talent.Mask(strings.Join(c.params.queries("updateMask"), ",")), err
	}
	request, err := v.read(c, verb+resource+"Request")
	if err != nil {
		return nil, "", err
	}
	o, has := request[field].(talent.Object)
	if !has {
		return nil, "", missing([]fieldViolation{{Field: field, Description: "is required"}})
	}
	mask, _ := request["updateMask"].(string)
	return o, talent.Mask(mask), nil
}

// write writes o as the message that the schema names.
func (v *resources) write(c *call, schema string, o talent.Object) ([]byte, *apiError) {
	api := v.dialect().API
	w := protojson.Writer{API: api, EnumNumbers: c.params.enumNumbers}
	return c.answer(func(dst []byte) []byte { return w.Append(dst, api.Schemas[schema], o) })
}

// metadata returns the ResponseMetadata of an answer.
func (e *Emulator) metadata(scope talent.Scope) talent.Object {
	return talent.Object{"requestId": e.catalog.NewRequestID(scope)}
}

// refusal returns the answer to a call that the catalog refuses, nil for none.
func refusal(err *talent.Error) *apiError {
	if err == nil {
		return nil
	}
	bad := &apiError{code: err.Code.HTTP(), status: err.Code.String(), message: err.Message}
	if err.Violations != nil {
		bad.details = []any{badRequest{Type: typeBadRequest, FieldViolations: err.Violations}}
	}
	return bad
}

// answered returns an answer of the catalog as an action gives it.
func answered(o talent.Object, err *talent.Error) (talent.Object, *apiError) {
	return o, refusal(err)
}
