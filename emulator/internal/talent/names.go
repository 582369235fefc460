package talent

import (
	"maps"
	"strings"
	"unicode/utf8"

	"github.com/clientevents/clientevents/emulator/internal/protojson"
	"github.com/clientevents/clientevents/internal/discovery"
)

// Object is a resource or a message in a version's names. Stored objects have v4's.
type Object = protojson.Object

// Dialect describes the differences of one version of the API.
type Dialect struct {
	Version string
	API     *discovery.API
	// Bare and Tenants report whether the version has the names projects/P/jobs/J
	// and projects/P/tenants/T/jobs/J.
	Bare, Tenants bool
	// CompanyName is the field that v3 calls companyName and others company.
	CompanyName string
	// Legacy means v3: applicationInfo is required, expired jobs can't be
	// deleted, and a job that was created expired can be updated.
	Legacy bool
}

// schema returns the schema of a message of the version, which must exist.
func (v *Dialect) schema(name string) *discovery.Schema { return v.API.Schemas[name] }

// input returns o without output-only fields, which have no effect in requests.
func (v *Dialect) input(schema string, o Object) Object {
	properties := v.schema(schema).Properties
	out := maps.Clone(o)
	maps.DeleteFunc(out, func(name string, _ any) bool { return protojson.IsOutputOnly(properties[name]) })
	return out
}

// kept returns o in the names of v4, without the resource name, whose form depends on
// the request.
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

// named returns o, which has the names of v4, in the version's names.
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

// DefaultTenant is the ID of the tenant that every project has from the beginning.
// Names without a tenant refer to it. Its ID at the service is not documented;
// tenants.list returns it.
const DefaultTenant = "default"

// Scope is the tenant of a call.
type Scope struct {
	Project string
	// Tenant is "" if the name has none, which means DefaultTenant.
	Tenant string
}

// key returns the scope with the tenant's ID, also for names without a tenant.
func (s Scope) key() Scope {
	if s.Tenant == "" {
		s.Tenant = DefaultTenant
	}
	return s
}

// String returns the resource name of the scope.
func (s Scope) String() string {
	if s.Tenant == "" {
		return "projects/" + s.Project
	}
	return "projects/" + s.Project + "/tenants/" + s.Tenant
}

func (s Scope) name(collection, id string) string { return s.String() + "/" + collection + "/" + id }

// ParseName splits a resource name such as projects/P/tenants/T/jobs/J. ok is
// false if the version does not have such names.
func (v *Dialect) ParseName(name, collection string) (scope Scope, id string, ok bool) {
	scope, id, ok = ParseName(name, collection)
	return scope, id, ok && (scope.Tenant != "" && v.Tenants || scope.Tenant == "" && v.Bare)
}

// ParseName splits a resource name of any version. With an empty collection it
// expects the name of a project or tenant. It is the only parser of names: paths,
// bodies, filters and queries use it, so that a name has one meaning. IDs match the
// service's pattern, [^/]+, in UTF-8.
func ParseName(name, collection string) (scope Scope, id string, ok bool) {
	rest := name
	if scope.Project, rest, ok = segment(rest, "projects"); !ok {
		return Scope{}, "", false
	}
	if tenant, behind, is := segment(rest, "tenants"); is {
		scope.Tenant, rest = tenant, behind
	}
	if collection != "" {
		if id, rest, ok = segment(rest, collection); !ok {
			return Scope{}, "", false
		}
	}
	if rest != "" {
		return Scope{}, "", false
	}
	return scope, id, true
}

// segment cuts "collection/ID" and the slash after it from the front of a name.
// A slash at the end of a name is an error.
func segment(name, collection string) (id, rest string, ok bool) {
	after, ok := strings.CutPrefix(name, collection)
	if !ok || !strings.HasPrefix(after, "/") {
		return "", name, false
	}
	id, rest, more := strings.Cut(after[1:], "/")
	if id == "" || !utf8.ValidString(id) || more && rest == "" {
		return "", name, false
	}
	return id, rest, true
}

func (v *Dialect) limits(schema, path string, o Object) []protojson.Violation {
	return protojson.Limits(v.API, v.schema(schema), path, o)
}

func (v *Dialect) required(schema, path string, o Object) []protojson.Violation {
	return protojson.Required(v.API, v.schema(schema), path, o)
}

// nameForm describes the names of a collection in the version, for messages.
func (v *Dialect) nameForm(collection, id string) string {
	return NameForm(v.Bare, v.Tenants, collection, id)
}

// NameForm describes the names of a collection, without a tenant (bare), with
// one (tenants), or both.
func NameForm(bare, tenants bool, collection, id string) string {
	behind := "/" + collection + "/{" + id + "}"
	var forms []string
	if tenants {
		forms = append(forms, "projects/{project}/tenants/{tenant}"+behind)
	}
	if bare {
		forms = append(forms, "projects/{project}"+behind)
	}
	return strings.Join(forms, " or ")
}
