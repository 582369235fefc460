package talent

import (
	"maps"
)

func (r *tenantRecord) scope() Scope { return Scope{r.Project, r.ID} }

// tenantEntry lists the default tenant before those that were created.
type tenantEntry struct {
	sequence int64
	object   Object
}

func (e tenantEntry) sequenceNumber() int64 { return e.sequence }

// CreateTenant is tenants.create.
func (c *Catalog) CreateTenant(v *Dialect, project string, in Object) (Object, *Error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.checkTenant(v, Scope{Project: project}, in, in); err != nil {
		return nil, err
	}
	r := &tenantRecord{Project: project, ID: newID(), Sequence: c.next(), Fields: v.kept(in)}
	t := newTenant(r.scope())
	t.record = r
	c.tenants[t.scope] = t
	c.saveTenant(r)
	return tenantObject(t.scope, r.Fields), nil
}

// checkTenant looks at what was sent and at the tenant that would come of it.
func (c *Catalog) checkTenant(v *Dialect, of Scope, sent, whole Object) *Error {
	bad := violations(v.limits("Tenant", "tenant", sent))
	bad = append(bad, v.required("Tenant", "tenant", whole)...)
	if err := bad.err(); err != nil {
		return err
	}
	for scope, t := range c.tenants {
		if scope.Project == of.Project && scope != of && t.record != nil && t.record.Fields["externalId"] == whole["externalId"] {
			return fieldErrorf(AlreadyExists, "tenant.external_id", "%q is that of %s", whole["externalId"], scope)
		}
	}
	return nil
}

// GetTenant is tenants.get.
func (c *Catalog) GetTenant(scope Scope) (Object, *Error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	t, err := c.tenantOf(scope)
	if err != nil {
		return nil, err
	}
	return t.object(), nil
}

// UpdateTenant is tenants.patch.
func (c *Catalog) UpdateTenant(v *Dialect, scope Scope, in Object, mask Mask) (Object, *Error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	t, err := c.changeableTenant(scope)
	if err != nil {
		return nil, err
	}
	fields, err := mask.fields(v, "Tenant")
	if err != nil {
		return nil, err
	}
	sent := fields.only(v.input("Tenant", in))
	merged := fields.merge(v, t.record.Fields, v.kept(sent))
	if err := c.checkTenant(v, t.scope, sent, merged); err != nil {
		return nil, err
	}
	t.record.Fields = merged
	c.saveTenant(t.record)
	return t.object(), nil
}

// DeleteTenant is tenants.delete. All that the tenant holds goes with it.
func (c *Catalog) DeleteTenant(scope Scope) *Error {
	c.mu.Lock()
	defer c.mu.Unlock()
	t, err := c.changeableTenant(scope)
	if err != nil {
		return err
	}
	for _, j := range t.jobs {
		c.forgetJob(t, j)
	}
	for _, company := range t.companies {
		c.forgetCompany(t, company)
	}
	delete(c.tenants, t.scope)
	c.disk.remove(bucketTenants, t.scope.String())
	c.disk.remove(bucketOpenCounts, t.scope.String())
	return nil
}

// changeableTenant is a tenant other than the default, on which "CRUD is not
// allowed".
func (c *Catalog) changeableTenant(scope Scope) (*tenant, *Error) {
	t, err := c.tenantOf(scope)
	if err != nil {
		return nil, err
	}
	if t.record == nil {
		return nil, errorf(FailedPrecondition, "%s is the project's default tenant, which can't be changed or deleted.", t.scope)
	}
	return t, nil
}

// ListTenants is tenants.list, which begins with the project's default tenant.
func (c *Catalog) ListTenants(project, token string, size int) (list []any, next string, err *Error) {
	p, err := newPage(token, pageSize(size, 100), "tenants of "+project)
	if err != nil {
		return nil, "", err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, err := c.tenantOf(Scope{Project: project}); err != nil {
		return nil, "", err
	}
	var all []tenantEntry
	for scope, t := range c.tenants {
		if scope.Project != project {
			continue
		}
		e := tenantEntry{1, t.object()}
		if t.record != nil {
			e.sequence = 1 + t.record.Sequence
		}
		all = append(all, e)
	}
	some, next := cut(p, all)
	for _, e := range some {
		list = append(list, e.object)
	}
	return list, next, nil
}

func (t *tenant) object() Object {
	if t.record == nil {
		return tenantObject(t.scope, Object{"externalId": DefaultTenant})
	}
	return tenantObject(t.scope, t.record.Fields)
}

func tenantObject(scope Scope, fields Object) Object {
	o := maps.Clone(fields)
	o["name"] = scope.String()
	return o
}

func (c *Catalog) saveTenant(r *tenantRecord) { c.disk.put(bucketTenants, r.scope().String(), r) }
