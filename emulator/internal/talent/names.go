package talent

import (
	"maps"
	"strings"

	"github.com/clientevents/clientevents/emulator/internal/protojson"
	"github.com/clientevents/clientevents/internal/discovery"
)

// Object is a resource or a message in a version's or, when kept, in v4's names.
type Object = protojson.Object

// Dialect is what one version of the API does in its own way.
type Dialect struct {
	Version string
	API     *discovery.API
	// Bare and Tenants say which names there are: projects/P/jobs/J and
	// projects/P/tenants/T/jobs/J.
	Bare, Tenants bool
	// CompanyName is the field that v3 calls companyName and others company.
	CompanyName string
	// Legacy is v3: an application must be told of, expired jobs can't be
	// deleted, and one that was created expired can be updated.
	Legacy bool
}

// schema is that of a message of the version; it must exist.
func (v *Dialect) schema(name string) *discovery.Schema { return v.API.Schemas[name] }

// input is o without what the service alone sets: it is ignored when it is sent.
func (v *Dialect) input(schema string, o Object) Object {
	properties := v.schema(schema).Properties
	out := maps.Clone(o)
	maps.DeleteFunc(out, func(name string, _ any) bool { return protojson.IsOutputOnly(properties[name]) })
	return out
}

// kept is o in the names of v4. Its own name is not kept: it depends on how
// the resource is asked for.
func (v *Dialect) kept(o Object) Object {
	out := make(Object, len(o))
	for name, value := range o {
		if name != "name" {
			out[v.keptName(name)] = value
		}
	}
	return out
}

func (v *Dialect) keptName(name string) string {
	if name == v.CompanyName {
		return "company"
	}
	return name
}

// named is o, in the names of v4, as the version calls its fields.
func (v *Dialect) named(o Object) Object {
	company, has := o["company"]
	if !has || v.CompanyName == "company" {
		return o
	}
	o = maps.Clone(o)
	delete(o, "company")
	o[v.CompanyName] = company
	return o
}

// DefaultTenant is the id of the tenant that every project has from the
// beginning, and that names without a tenant mean. The service's own has an id
// that is not documented; tenants.list tells it.
const DefaultTenant = "default"

// Scope is where a call works: a project's tenant.
type Scope struct {
	Project string
	// Tenant is "" where the name has none, which means DefaultTenant.
	Tenant string
}

// key of the tenant, whichever way it was named.
func (s Scope) key() Scope {
	if s.Tenant == "" {
		s.Tenant = DefaultTenant
	}
	return s
}

// String is the resource name of the scope.
func (s Scope) String() string {
	if s.Tenant == "" {
		return "projects/" + s.Project
	}
	return "projects/" + s.Project + "/tenants/" + s.Tenant
}

func (s Scope) name(collection, id string) string { return s.String() + "/" + collection + "/" + id }

// ParseName takes a resource name such as projects/P/tenants/T/jobs/J apart, if
// the version has such names.
func (v *Dialect) ParseName(name, collection string) (scope Scope, id string, ok bool) {
	scope, id, ok = ParseName(name, collection)
	return scope, id, ok && (scope.Tenant != "" && v.Tenants || scope.Tenant == "" && v.Bare)
}

// ParseName takes a resource name of any version apart. An empty collection
// stands for the name of the project or tenant itself.
func ParseName(name, collection string) (scope Scope, id string, ok bool) {
	rest := name
	if scope.Project, rest, ok = segment(rest, "projects"); !ok {
		return scope, "", false
	}
	if tenant, behind, is := segment(rest, "tenants"); is {
		scope.Tenant, rest = tenant, behind
	}
	if collection != "" {
		if id, rest, ok = segment(rest, collection); !ok {
			return scope, "", false
		}
	}
	return scope, id, rest == ""
}

// segment takes "collection/ID" and the slash behind it from the front of a name.
func segment(name, collection string) (id, rest string, ok bool) {
	if rest, ok = strings.CutPrefix(name, collection+"/"); !ok {
		return "", name, false
	}
	id, rest, _ = strings.Cut(rest, "/")
	return id, rest, id != ""
}

func (v *Dialect) limits(schema, path string, o Object) []protojson.Violation {
	return protojson.Limits(v.API, v.schema(schema), path, o)
}

func (v *Dialect) required(schema, path string, o Object) []protojson.Violation {
	return protojson.Required(v.API, v.schema(schema), path, o)
}

// nameForm says how names of a collection look in the version, for messages.
func (v *Dialect) nameForm(collection, id string) string {
	bare, tenant := "projects/{project}/"+collection+"/{"+id+"}", "projects/{project}/tenants/{tenant}/"+collection+"/{"+id+"}"
	switch {
	case v.Bare && v.Tenants:
		return tenant + " or " + bare
	case v.Tenants:
		return tenant
	}
	return bare
}
