package talent

import (
	"maps"
)

func (r *tenantRecord) scope() Scope { return Scope{r.Project, r.ID} }

// CreateTenant implements tenants.create.
func (c *Catalog) CreateTenant(v *Dialect, project string, in Object) (Object, *Error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.createTenant(v, Scope{project, newID()}, in)
}

func (c *Catalog) createTenant(v *Dialect, scope Scope, in Object) (Object, *Error) {
	if err := c.checkTenant(v, scope, in, in); err != nil {
		return nil, err
	}
	r := &tenantRecord{Project: scope.Project, ID: scope.Tenant, Fields: v.kept(in)}
	if err := c.resize(&r.size, r.Fields); err != nil {
		return nil, err
	}
	r.Sequence = c.next()
	t := newTenant(r.scope())
	t.record = r
	c.tenants[t.scope] = t
	c.saveTenant(r)
	return tenantObject(t.scope, r.Fields), nil
}

// checkTenant checks the sent fields and the resulting tenant.
func (c *Catalog) checkTenant(v *Dialect, of Scope, sent, whole Object) *Error {
	bad := violations(v.limits("Tenant", "tenant", sent))
	bad = append(bad, v.required("Tenant", "tenant", whole)...)
	if err := bad.err(); err != nil {
		return err
	}
	for scope, t := range c.tenants {
		if scope.Project == of.Project && scope != of && t.record != nil && t.record.Fields["externalId"] == whole["externalId"] {
			return fieldErrorf(AlreadyExists, "tenant.external_id", "%q is already the ID of %s", whole["externalId"], scope)
		}
	}
	return nil
}

// GetTenant implements tenants.get.
func (c *Catalog) GetTenant(scope Scope) (Object, *Error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	t, err := c.tenantOf(scope)
	if err != nil {
		return nil, err
	}
	return t.object(), nil
}

// UpdateTenant implements tenants.patch.
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
	if err := c.resize(&t.record.size, merged); err != nil {
		return nil, err
	}
	t.record.Fields = merged
	c.saveTenant(t.record)
	return t.object(), nil
}

// DeleteTenant implements tenants.delete. It also deletes the tenant's resources.
func (c *Catalog) DeleteTenant(scope Scope) *Error {
	c.mu.Lock()
	defer c.mu.Unlock()
	t, err := c.changeableTenant(scope)
	if err != nil {
		return err
	}
	c.forgetTenant(t)
	return nil
}

// changeableTenant returns a tenant other than the default, on which "CRUD is not
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

// ListTenants implements tenants.list. The project's default tenant comes first.
func (c *Catalog) ListTenants(project string, p Page) (some []any, next string, err *Error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, err := c.tenantOf(Scope{Project: project}); err != nil {
		return nil, "", err
	}
	var all []*tenant
	for scope, t := range c.tenants {
		if scope.Project == project {
			all = append(all, t)
		}
	}
	return list(questionOf("tenants of "+project), p.Token, pageSize(p.Size, 100), all, (*tenant).object)
}

// sequenceNumber lists the default tenant before those that were created.
func (t *tenant) sequenceNumber() int64 {
	if t.record == nil {
		return 1
	}
	return 1 + t.record.Sequence
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

// forgetTenant deletes a tenant with its resources.
func (c *Catalog) forgetTenant(t *tenant) {
	for _, j := range t.jobs {
		c.forgetJob(t, j)
	}
	for _, company := range t.companies {
		c.forgetCompany(t, company)
	}
	if t.record != nil {
		c.account(&t.record.size, -t.record.size)
	}
	delete(c.tenants, t.scope)
	c.disk.remove(bucketTenants, t.scope.String())
	c.disk.remove(bucketOpenCounts, t.scope.String())
}
