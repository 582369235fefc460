package talent

import "github.com/clientevents/clientevents/emulator/internal/protojson"

// SeedTenant creates a tenant with the given name, unless it exists.
func (c *Catalog) SeedTenant(v *Dialect, in Object) *Error {
	scope, _, ok := ParseName(text(in, "name"), "")
	if !ok || scope.Tenant == "" || scope.Tenant == DefaultTenant {
		return fieldErrorf(InvalidArgument, "name", "%q is not the name of a tenant, projects/{project}/tenants/{tenant}, other than the default", protojson.Clip(text(in, "name")))
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.tenants[scope] != nil {
		return nil
	}
	_, err := c.createTenant(v, scope, in)
	return err
}

// SeedCompany creates a company with the given name, unless it exists.
func (c *Catalog) SeedCompany(v *Dialect, in Object) *Error {
	return c.seed(v, in, "companies", "company", func(t *tenant, scope Scope, id string) *Error {
		if t.companies[id] != nil {
			return nil
		}
		_, err := c.createCompany(v, scope, in, id)
		return err
	})
}

// SeedJob creates a job with the given name, unless it exists.
func (c *Catalog) SeedJob(v *Dialect, in Object) *Error {
	return c.seed(v, in, "jobs", "job", func(t *tenant, scope Scope, id string) *Error {
		if t.jobs[id] != nil {
			return nil
		}
		_, err := c.createJob(v, scope, in, id)
		return err
	})
}

func (c *Catalog) seed(v *Dialect, in Object, collection, id string, create func(*tenant, Scope, string) *Error) *Error {
	scope, own, ok := v.ParseName(text(in, "name"), collection)
	if !ok {
		return fieldErrorf(InvalidArgument, "name", "%q is not a name, %s", protojson.Clip(text(in, "name")), v.nameForm(collection, id))
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	t, err := c.tenantOf(scope)
	if err != nil {
		return err
	}
	return create(t, scope, own)
}

// Reset deletes all tenants, companies, jobs and operations.
func (c *Catalog) Reset() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, t := range c.tenants {
		c.forgetTenant(t)
	}
	for name, op := range c.operations {
		c.forgetOperation(name, op)
	}
	c.searched.Store(false)
	c.hadJobs.Store(false)
}
