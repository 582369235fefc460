package emulator

import (
	"net/http"

	"github.com/clientevents/clientevents/emulator/internal/talent"
)

// resourceRoutes returns the paths of all versions' resources.
func resourceRoutes() []route {
	var routes []route
	for _, v := range resourceVersions {
		var parents []string
		if v.bare {
			parents = append(parents, "projects/*")
		}
		if v.tenants {
			parents = append(parents, "projects/*/tenants/*")
		}
		for _, parent := range parents { // first, so that P:complete does not match as a tenant's name
			routes = append(routes, v.route(http.MethodGet, parent+":"+v.complete, "CompleteQueryResponse", v.completeQuery,
				"company", "companyName", "languageCode", "languageCodes", "pageSize", "query", "scope", "type"))
		}
		if v.tenants {
			routes = append(routes, v.tenantRoutes()...)
			routes = append(routes, v.route(http.MethodGet, "projects/*/operations/*", "Operation", v.getOperation))
		}
		for _, parent := range parents {
			routes = append(routes, v.companyRoutes(parent)...)
			routes = append(routes, v.jobRoutes(parent)...)
		}
	}
	return routes
}

// creation is a create method of the catalog.
type creation func(c *talent.Catalog, v *talent.Dialect, at place, in talent.Object) (talent.Object, *talent.Error)

// create returns the action of a create method.
func (v *resources) create(resource string, do creation) action {
	return func(e *Emulator, c *call, at place) (talent.Object, *apiError) {
		in, _, bad := v.sent(c, "Create", resource)
		if bad != nil {
			return nil, bad
		}
		return answered(do(e.catalog, v.dialect(), at, in))
	}
}

// change is an update method of the catalog.
type change func(c *talent.Catalog, v *talent.Dialect, at place, in talent.Object, mask talent.Mask) (talent.Object, *talent.Error)

// update returns the action of an update method.
func (v *resources) update(resource string, do change) action {
	return func(e *Emulator, c *call, at place) (talent.Object, *apiError) {
		in, mask, bad := v.sent(c, "Update", resource)
		if bad != nil {
			return nil, bad
		}
		return answered(do(e.catalog, v.dialect(), at, in, mask))
	}
}

// get returns the action of a get method.
func (v *resources) get(do func(*talent.Catalog, *talent.Dialect, place) (talent.Object, *talent.Error)) action {
	return func(e *Emulator, _ *call, at place) (talent.Object, *apiError) {
		return answered(do(e.catalog, v.dialect(), at))
	}
}

// remove returns the action of a delete method.
func (v *resources) remove(do func(*talent.Catalog, *talent.Dialect, place) *talent.Error) action {
	return v.get(func(c *talent.Catalog, v *talent.Dialect, at place) (talent.Object, *talent.Error) {
		return nil, do(c, v, at)
	})
}

// list returns the action of a list method, whose answer has the resources in field.
func (v *resources) list(field string, do func(e *Emulator, c *call, at place, p talent.Page) ([]any, string, *talent.Error)) action {
	return func(e *Emulator, c *call, at place) (talent.Object, *apiError) {
		size, bad := c.pageSize()
		if bad != nil {
			return nil, bad
		}
		list, next, err := do(e, c, at, talent.Page{Token: c.params.query("pageToken"), Size: size})
		if err != nil {
			return nil, refusal(err)
		}
		o := talent.Object{"metadata": e.metadata(at.scope)}
		if len(list) > 0 {
			o[field] = list
		}
		if next != "" {
			o["nextPageToken"] = next
		}
		return o, nil
	}
}

// tenantRoutes returns the paths of a version's tenants.
func (v *resources) tenantRoutes() []route {
	const all, one = "projects/*/tenants", "projects/*/tenants/*"
	return []route{
		v.route(http.MethodPost, all, "Tenant", v.create("Tenant",
			func(c *talent.Catalog, v *talent.Dialect, at place, in talent.Object) (talent.Object, *talent.Error) {
				return c.CreateTenant(v, at.scope.Project, in)
			})),
		v.route(http.MethodGet, all, "ListTenantsResponse", v.list("tenants",
			func(e *Emulator, _ *call, at place, p talent.Page) ([]any, string, *talent.Error) {
				return e.catalog.ListTenants(at.scope.Project, p)
			}), "pageSize", "pageToken"),
		v.route(http.MethodGet, one, "Tenant", v.get(
			func(c *talent.Catalog, _ *talent.Dialect, at place) (talent.Object, *talent.Error) {
				return c.GetTenant(at.scope)
			})),
		v.route(http.MethodPatch, one, "Tenant", v.update("Tenant",
			func(c *talent.Catalog, v *talent.Dialect, at place, in talent.Object, mask talent.Mask) (talent.Object, *talent.Error) {
				return c.UpdateTenant(v, at.scope, in, mask)
			}), v.maskQuery()...),
		v.route(http.MethodDelete, one, "Empty", v.remove(
			func(c *talent.Catalog, _ *talent.Dialect, at place) *talent.Error { return c.DeleteTenant(at.scope) })),
	}
}

// companyRoutes returns the paths of a version's companies below a parent.
func (v *resources) companyRoutes(parent string) []route {
	all, one := parent+"/companies", parent+"/companies/*"
	return []route{
		v.route(http.MethodPost, all, "Company", v.create("Company",
			func(c *talent.Catalog, v *talent.Dialect, at place, in talent.Object) (talent.Object, *talent.Error) {
				return c.CreateCompany(v, at.scope, in)
			})),
		v.route(http.MethodGet, all, "ListCompaniesResponse", v.listCompanies, "pageSize", "pageToken", "requireOpenJobs"),
		v.route(http.MethodGet, one, "Company", v.get(
			func(c *talent.Catalog, _ *talent.Dialect, at place) (talent.Object, *talent.Error) {
				return c.GetCompany(at.scope, at.id)
			})),
		v.route(http.MethodPatch, one, "Company", v.update("Company",
			func(c *talent.Catalog, v *talent.Dialect, at place, in talent.Object, mask talent.Mask) (talent.Object, *talent.Error) {
				return c.UpdateCompany(v, at.scope, at.id, in, mask)
			}), v.maskQuery()...),
		v.route(http.MethodDelete, one, "Empty", v.remove(
			func(c *talent.Catalog, _ *talent.Dialect, at place) *talent.Error {
				return c.DeleteCompany(at.scope, at.id)
			})),
	}
}

func (v *resources) listCompanies(e *Emulator, c *call, at place) (talent.Object, *apiError) {
	open, bad := c.flag("requireOpenJobs")
	if bad != nil {
		return nil, bad
	}
	return v.list("companies", func(e *Emulator, _ *call, at place, p talent.Page) ([]any, string, *talent.Error) {
		return e.catalog.ListCompanies(at.scope, p, open)
	})(e, c, at)
}

// jobRoutes returns the paths of a version's jobs below a parent.
func (v *resources) jobRoutes(parent string) []route {
	all, one := parent+"/jobs", parent+"/jobs/*"
	routes := []route{
		v.route(http.MethodPost, all, "Job", v.create("Job",
			func(c *talent.Catalog, v *talent.Dialect, at place, in talent.Object) (talent.Object, *talent.Error) {
				return c.CreateJob(v, at.scope, in)
			})),
		v.route(http.MethodGet, all, "ListJobsResponse", v.list("jobs",
			func(e *Emulator, c *call, at place, p talent.Page) ([]any, string, *talent.Error) {
				return e.catalog.ListJobs(v.dialect(), at.scope, c.params.query("filter"), c.params.query("jobView"), p)
			}), "filter", "jobView", "pageSize", "pageToken"),
		v.route(http.MethodGet, one, "Job", v.get(
			func(c *talent.Catalog, v *talent.Dialect, at place) (talent.Object, *talent.Error) {
				return c.GetJob(v, at.scope, at.id)
			})),
		v.route(http.MethodPatch, one, "Job", v.update("Job",
			func(c *talent.Catalog, v *talent.Dialect, at place, in talent.Object, mask talent.Mask) (talent.Object, *talent.Error) {
				return c.UpdateJob(v, at.scope, at.id, in, mask)
			}), v.maskQuery()...),
		v.route(http.MethodDelete, one, "Empty", v.remove(
			func(c *talent.Catalog, v *talent.Dialect, at place) *talent.Error {
				return c.DeleteJob(v, at.scope, at.id)
			})),
		v.route(http.MethodPost, all+":search", "SearchJobsResponse", v.run("SearchJobsRequest", (*talent.Catalog).Search)),
		v.route(http.MethodPost, all+":searchForAlert", "SearchJobsResponse", v.run("SearchJobsRequest", (*talent.Catalog).Search)),
	}
	return append(routes, v.batchRoutes(all)...)
}

// batchRoutes returns the paths of the methods for many jobs.
func (v *resources) batchRoutes(jobs string) []route {
	var routes []route
	if v.wrapped {
		routes = append(routes, v.route(http.MethodPost, jobs+":batchDelete", "Empty", v.deleteJobs, "filter"))
	} else {
		routes = append(routes, v.route(http.MethodPost, jobs+":batchDelete", "Operation", v.run("BatchDeleteJobsRequest", (*talent.Catalog).RemoveJobs)))
	}
	if v.tenants { // v3 has neither these batches nor operations
		routes = append(routes,
			v.route(http.MethodPost, jobs+":batchCreate", "Operation", v.run("BatchCreateJobsRequest", (*talent.Catalog).CreateJobs)),
			v.route(http.MethodPost, jobs+":batchUpdate", "Operation", v.run("BatchUpdateJobsRequest", (*talent.Catalog).UpdateJobs)))
	}
	return routes
}

// run is the action of a method whose request is a message of its own.
func (v *resources) run(schema string,
	do func(*talent.Catalog, *talent.Dialect, talent.Scope, talent.Object) (talent.Object, *talent.Error),
) action {
	return func(e *Emulator, c *call, at place) (talent.Object, *apiError) {
		in, bad := v.read(c, schema)
		if bad != nil {
			return nil, bad
		}
		return answered(do(e.catalog, v.dialect(), at.scope, in))
	}
}

// deleteJobs implements the synchronous batchDelete. v4beta1 accepts the filter in
// the body and in the query; the body's has precedence.
func (v *resources) deleteJobs(e *Emulator, c *call, at place) (talent.Object, *apiError) {
	in, bad := v.read(c, "BatchDeleteJobsRequest")
	if bad != nil {
		return nil, bad
	}
	filter, has := in["filter"].(string)
	if !has {
		filter = c.params.query("filter")
	}
	return nil, refusal(e.catalog.DeleteJobs(v.dialect(), at.scope, filter))
}

func (v *resources) getOperation(e *Emulator, _ *call, at place) (talent.Object, *apiError) {
	return answered(e.catalog.Operation(v.dialect(), at.name))
}

func (v *resources) completeQuery(e *Emulator, c *call, at place) (talent.Object, *apiError) {
	size, bad := c.pageSize()
	if bad != nil {
		return nil, bad
	}
	return answered(e.catalog.Complete(v.dialect(), at.scope, talent.Completion{
		Query:     c.params.query("query"),
		Company:   c.params.query(v.dialect().CompanyName),
		Languages: append(c.params.queries("languageCodes"), c.params.queries("languageCode")...),
		Type:      c.params.query("type"),
		Scope:     c.params.query("scope"),
		PageSize:  size,
	}))
}
