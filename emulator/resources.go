package emulator

import (
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"

	"github.com/clientevents/clientevents/emulator/internal/protojson"
	"github.com/clientevents/clientevents/emulator/internal/talent"
	"github.com/clientevents/clientevents/internal/discovery"
)

// resources is one version of the API's tenants, companies and jobs.
type resources struct {
	version string
	// bare and tenants say which paths there are: projects/P/jobs and
	// projects/P/tenants/T/jobs.
	bare, tenants bool
	// wrapped: bodies are {"job": J, "updateMask": "…"}; otherwise J, with the
	// mask in the query.
	wrapped bool
	// complete is the name of the method that completes a query.
	complete string
	dialect  func() *talent.Dialect
}

// lazyDialect reads the version's document when its first call comes: many an
// emulator serves client events alone.
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

// jobsV4 adds to Google's document what it leaves out: the parent in requests
// whose body is "*". It stands in the path; Go's generated clients repeat it in
// the body, Node's don't.
func jobsV4() (*discovery.API, error) {
	return withParents(discovery.JobsV4())
}

// jobsV4beta1 names the parent in each request, as a field that is required.
func jobsV4beta1() (*discovery.API, error) {
	return withParents(discovery.JobsV4beta1())
}

// withParents lets the parent stand in the body of every request whose body is a
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

// resourceRoutes are the paths of all versions' resources.
func resourceRoutes() []route {
	var routes []route
	for _, v := range resourceVersions {
		var parents []string
		if v.bare {
			parents = append(parents, v.version+"/projects/*")
		}
		if v.tenants {
			parents = append(parents, v.version+"/projects/*/tenants/*")
		}
		for _, parent := range parents { // first: P:complete is not the tenant of that name
			routes = append(routes, newRoute(http.MethodGet, parent+":"+v.complete, v.completeQuery,
				"company", "companyName", "languageCode", "languageCodes", "pageSize", "query", "scope", "type"))
		}
		if v.tenants {
			routes = append(routes, v.tenantRoutes()...)
			routes = append(routes, newRoute(http.MethodGet, v.version+"/projects/*/operations/*", v.getOperation))
		}
		for _, parent := range parents {
			routes = append(routes, v.companyRoutes(parent)...)
			routes = append(routes, v.jobRoutes(parent)...)
		}
	}
	return routes
}

// maskQuery is where an update's mask is.
func (v *resources) maskQuery() []string {
	if v.wrapped {
		return nil
	}
	return []string{"updateMask"}
}

// scope is the project or tenant that the path's parent names.
func (v *resources) scope(c *call) talent.Scope {
	scope, _, _ := v.dialect().ParseName(c.parent(), "")
	return scope
}

// name takes the path of a resource apart; its form is the route's.
func (v *resources) name(c *call, collection string) (talent.Scope, string) {
	scope, id, _ := v.dialect().ParseName(c.resource(), collection)
	return scope, id
}

// resource is the path without the version before it.
func (c *call) resource() string {
	_, path, _ := strings.Cut(strings.TrimPrefix(c.path, "/"), "/")
	if plain, err := url.PathUnescape(path); err == nil {
		return plain
	}
	return path
}

// read reads the body as the message that the schema of the version names,
// which is at path in messages to the client.
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
		return o, talent.Mask(c.params.query("updateMask")), err
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

// answer writes o as the message that the schema names.
func (v *resources) answer(c *call, schema string, o talent.Object, err *talent.Error) ([]byte, *apiError) {
	if err != nil {
		return nil, refusal(err)
	}
	api := v.dialect().API
	w := protojson.Writer{API: api, EnumNumbers: c.params.enumNumbers}
	return c.answer(func(dst []byte) []byte { return w.Append(dst, api.Schemas[schema], o) })
}

// listed is a page of a list with the metadata that goes with it.
func (v *resources) listed(e *Emulator, c *call, resource, field string, list []any, next string, err *talent.Error) ([]byte, *apiError) {
	o := talent.Object{"metadata": e.metadata(v.scope(c))}
	if len(list) > 0 {
		o[field] = list
	}
	if next != "" {
		o["nextPageToken"] = next
	}
	return v.answer(c, "List"+resource+"Response", o, err)
}

// metadata is the ResponseMetadata of an answer.
func (e *Emulator) metadata(scope talent.Scope) talent.Object {
	return talent.Object{"requestId": e.catalog.NewRequestID(scope)}
}

// refusal is the answer to what the catalog refuses.
func refusal(err *talent.Error) *apiError {
	bad := &apiError{code: err.Code.HTTP(), status: err.Code.String(), message: err.Message}
	if err.Violations != nil {
		bad.details = []any{badRequest{Type: typeBadRequest, FieldViolations: err.Violations}}
	}
	return bad
}

// pageSize is the query parameter of that name, 0 if it was not sent.
func (c *call) pageSize() (int, *apiError) {
	s := c.params.query("pageSize")
	if s == "" {
		return 0, nil
	}
	n, err := strconv.ParseInt(s, 10, 32)
	if err != nil {
		return 0, badParam(fmt.Sprintf("Invalid value at 'page_size' (TYPE_INT32), %q", protojson.Clip(s)))
	}
	return int(n), nil
}

// flag is a query parameter that is true or false.
func (c *call) flag(name string) (bool, *apiError) {
	s := c.params.query(name)
	if s == "" {
		return false, nil
	}
	b, err := strconv.ParseBool(s)
	if err != nil {
		return false, badParam(fmt.Sprintf("Invalid value at '%s' (TYPE_BOOL), %q", protojson.ProtoName(name), protojson.Clip(s)))
	}
	return b, nil
}

// tenantRoutes are the paths of a version's tenants.
func (v *resources) tenantRoutes() []route {
	all, one := v.version+"/projects/*/tenants", v.version+"/projects/*/tenants/*"
	return []route{
		newRoute(http.MethodPost, all, v.createTenant),
		newRoute(http.MethodGet, all, v.listTenants, "pageSize", "pageToken"),
		newRoute(http.MethodGet, one, v.getTenant),
		newRoute(http.MethodPatch, one, v.updateTenant, v.maskQuery()...),
		newRoute(http.MethodDelete, one, v.deleteTenant),
	}
}

func (v *resources) createTenant(e *Emulator, c *call) ([]byte, *apiError) {
	in, _, bad := v.sent(c, "Create", "Tenant")
	if bad != nil {
		return nil, bad
	}
	o, err := e.catalog.CreateTenant(v.dialect(), c.project(), in)
	return v.answer(c, "Tenant", o, err)
}

func (v *resources) listTenants(e *Emulator, c *call) ([]byte, *apiError) {
	size, bad := c.pageSize()
	if bad != nil {
		return nil, bad
	}
	list, next, err := e.catalog.ListTenants(c.project(), c.params.query("pageToken"), size)
	return v.listed(e, c, "Tenants", "tenants", list, next, err)
}

func (v *resources) getTenant(e *Emulator, c *call) ([]byte, *apiError) {
	scope, _ := v.name(c, "")
	o, err := e.catalog.GetTenant(scope)
	return v.answer(c, "Tenant", o, err)
}

func (v *resources) updateTenant(e *Emulator, c *call) ([]byte, *apiError) {
	in, mask, bad := v.sent(c, "Update", "Tenant")
	if bad != nil {
		return nil, bad
	}
	scope, _ := v.name(c, "")
	o, err := e.catalog.UpdateTenant(v.dialect(), scope, in, mask)
	return v.answer(c, "Tenant", o, err)
}

func (v *resources) deleteTenant(e *Emulator, c *call) ([]byte, *apiError) {
	scope, _ := v.name(c, "")
	return v.answer(c, "Empty", nil, e.catalog.DeleteTenant(scope))
}

// companyRoutes are the paths of a version's companies below a parent.
func (v *resources) companyRoutes(parent string) []route {
	all, one := parent+"/companies", parent+"/companies/*"
	return []route{
		newRoute(http.MethodPost, all, v.createCompany),
		newRoute(http.MethodGet, all, v.listCompanies, "pageSize", "pageToken", "requireOpenJobs"),
		newRoute(http.MethodGet, one, v.getCompany),
		newRoute(http.MethodPatch, one, v.updateCompany, v.maskQuery()...),
		newRoute(http.MethodDelete, one, v.deleteCompany),
	}
}

func (v *resources) createCompany(e *Emulator, c *call) ([]byte, *apiError) {
	in, _, bad := v.sent(c, "Create", "Company")
	if bad != nil {
		return nil, bad
	}
	o, err := e.catalog.CreateCompany(v.dialect(), v.scope(c), in)
	return v.answer(c, "Company", o, err)
}

func (v *resources) listCompanies(e *Emulator, c *call) ([]byte, *apiError) {
	size, bad := c.pageSize()
	if bad != nil {
		return nil, bad
	}
	open, bad := c.flag("requireOpenJobs")
	if bad != nil {
		return nil, bad
	}
	list, next, err := e.catalog.ListCompanies(v.scope(c), c.params.query("pageToken"), size, open)
	return v.listed(e, c, "Companies", "companies", list, next, err)
}

func (v *resources) getCompany(e *Emulator, c *call) ([]byte, *apiError) {
	scope, id := v.name(c, "companies")
	o, err := e.catalog.GetCompany(scope, id)
	return v.answer(c, "Company", o, err)
}

func (v *resources) updateCompany(e *Emulator, c *call) ([]byte, *apiError) {
	in, mask, bad := v.sent(c, "Update", "Company")
	if bad != nil {
		return nil, bad
	}
	scope, id := v.name(c, "companies")
	o, err := e.catalog.UpdateCompany(v.dialect(), scope, id, in, mask)
	return v.answer(c, "Company", o, err)
}

func (v *resources) deleteCompany(e *Emulator, c *call) ([]byte, *apiError) {
	scope, id := v.name(c, "companies")
	return v.answer(c, "Empty", nil, e.catalog.DeleteCompany(scope, id))
}

// jobRoutes are the paths of a version's jobs below a parent.
func (v *resources) jobRoutes(parent string) []route {
	all, one := parent+"/jobs", parent+"/jobs/*"
	routes := []route{
		newRoute(http.MethodPost, all, v.createJob),
		newRoute(http.MethodGet, all, v.listJobs, "filter", "jobView", "pageSize", "pageToken"),
		newRoute(http.MethodGet, one, v.getJob),
		newRoute(http.MethodPatch, one, v.updateJob, v.maskQuery()...),
		newRoute(http.MethodDelete, one, v.deleteJob),
		newRoute(http.MethodPost, all+":search", v.searchJobs),
		newRoute(http.MethodPost, all+":searchForAlert", v.searchJobs),
	}
	if v.wrapped {
		routes = append(routes, newRoute(http.MethodPost, all+":batchDelete", v.deleteJobs, "filter"))
	} else {
		routes = append(routes, newRoute(http.MethodPost, all+":batchDelete", v.batch("BatchDeleteJobsRequest", (*talent.Catalog).RemoveJobs)))
	}
	if v.tenants { // v3 has neither these batches nor operations
		routes = append(routes,
			newRoute(http.MethodPost, all+":batchCreate", v.batch("BatchCreateJobsRequest", (*talent.Catalog).CreateJobs)),
			newRoute(http.MethodPost, all+":batchUpdate", v.batch("BatchUpdateJobsRequest", (*talent.Catalog).UpdateJobs)))
	}
	return routes
}

func (v *resources) createJob(e *Emulator, c *call) ([]byte, *apiError) {
	in, _, bad := v.sent(c, "Create", "Job")
	if bad != nil {
		return nil, bad
	}
	o, err := e.catalog.CreateJob(v.dialect(), v.scope(c), in)
	return v.answer(c, "Job", o, err)
}

func (v *resources) listJobs(e *Emulator, c *call) ([]byte, *apiError) {
	size, bad := c.pageSize()
	if bad != nil {
		return nil, bad
	}
	list, next, err := e.catalog.ListJobs(v.dialect(), v.scope(c),
		c.params.query("filter"), c.params.query("jobView"), c.params.query("pageToken"), size)
	return v.listed(e, c, "Jobs", "jobs", list, next, err)
}

func (v *resources) getJob(e *Emulator, c *call) ([]byte, *apiError) {
	scope, id := v.name(c, "jobs")
	o, err := e.catalog.GetJob(v.dialect(), scope, id)
	return v.answer(c, "Job", o, err)
}

func (v *resources) updateJob(e *Emulator, c *call) ([]byte, *apiError) {
	in, mask, bad := v.sent(c, "Update", "Job")
	if bad != nil {
		return nil, bad
	}
	scope, id := v.name(c, "jobs")
	o, err := e.catalog.UpdateJob(v.dialect(), scope, id, in, mask)
	return v.answer(c, "Job", o, err)
}

func (v *resources) deleteJob(e *Emulator, c *call) ([]byte, *apiError) {
	scope, id := v.name(c, "jobs")
	return v.answer(c, "Empty", nil, e.catalog.DeleteJob(v.dialect(), scope, id))
}

// deleteJobs is the batchDelete that is done at once. Of the two ways in which
// v4beta1 may get its filter, the body and the query, the body's counts.
func (v *resources) deleteJobs(e *Emulator, c *call) ([]byte, *apiError) {
	in, bad := v.read(c, "BatchDeleteJobsRequest")
	if bad != nil {
		return nil, bad
	}
	filter, has := in["filter"].(string)
	if !has {
		filter = c.params.query("filter")
	}
	return v.answer(c, "Empty", nil, e.catalog.DeleteJobs(v.dialect(), v.scope(c), filter))
}

// batch serves a method that does many changes as one operation.
func (v *resources) batch(schema string,
	run func(*talent.Catalog, *talent.Dialect, talent.Scope, talent.Object) (talent.Object, *talent.Error),
) func(*Emulator, *call) ([]byte, *apiError) {
	return func(e *Emulator, c *call) ([]byte, *apiError) {
		in, bad := v.read(c, schema)
		if bad != nil {
			return nil, bad
		}
		o, err := run(e.catalog, v.dialect(), v.scope(c), in)
		return v.answer(c, "Operation", o, err)
	}
}

func (v *resources) getOperation(e *Emulator, c *call) ([]byte, *apiError) {
	o, err := e.catalog.Operation(v.dialect(), c.resource())
	return v.answer(c, "Operation", o, err)
}

func (v *resources) searchJobs(e *Emulator, c *call) ([]byte, *apiError) {
	in, bad := v.read(c, "SearchJobsRequest")
	if bad != nil {
		return nil, bad
	}
	o, err := e.catalog.Search(v.dialect(), v.scope(c), in)
	return v.answer(c, "SearchJobsResponse", o, err)
}

func (v *resources) completeQuery(e *Emulator, c *call) ([]byte, *apiError) {
	size, bad := c.pageSize()
	if bad != nil {
		return nil, bad
	}
	r := talent.Completion{
		Query:     c.params.query("query"),
		Company:   c.params.query(v.dialect().CompanyName),
		Languages: append(c.params.queries("languageCodes"), c.params.queries("languageCode")...),
		Type:      c.params.query("type"),
		Scope:     c.params.query("scope"),
		PageSize:  size,
	}
	scope, _, _ := v.dialect().ParseName(strings.TrimSuffix(c.resource(), ":"+v.complete), "")
	o, err := e.catalog.Complete(v.dialect(), scope, r)
	return v.answer(c, "CompleteQueryResponse", o, err)
}
