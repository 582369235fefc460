package talent

import (
	"fmt"
	"maps"
	"slices"
)

// company is the stored form of a company.
type company struct {
	Scope    Scope  `json:"scope"`
	ID       string `json:"id"`
	Sequence int64  `json:"sequence"`
	// Fields are the fields that the client set.
	Fields Object `json:"fields"`

	jobs int // its jobs, open or expired
	open int // its open jobs
	size int64
}

func (c *company) sequenceNumber() int64 { return c.Sequence }

func (c *company) displayName() string { return text(c.Fields, "displayName") }

// CreateCompany implements companies.create.
func (c *Catalog) CreateCompany(v *Dialect, scope Scope, in Object) (Object, *Error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.createCompany(v, scope, in, newID())
}

func (c *Catalog) createCompany(v *Dialect, scope Scope, in Object, id string) (Object, *Error) {
	t, err := c.tenantOf(scope)
	if err != nil {
		return nil, err
	}
	in = v.input("Company", in)
	fields := v.kept(in)
	if err := t.checkCompany(v, nil, in, fields); err != nil {
		return nil, err
	}
	made := &company{Scope: t.scope, ID: id, Fields: fields}
	if err := c.resize(&made.size, fields); err != nil {
		return nil, err
	}
	made.Sequence = c.next()
	t.addCompany(made)
	c.saveCompany(made)
	return companyObject(scope, made), nil
}

// checkCompany checks the sent fields and the resulting company.
func (t *tenant) checkCompany(v *Dialect, old *company, sent, whole Object) *Error {
	bad := violations(v.limits("Company", "company", sent))
	bad = append(bad, v.required("Company", "company", whole)...)
	if err := bad.err(); err != nil {
		return err
	}
	// "Client side company identifier, used to uniquely identify the company".
	if other := t.external[text(whole, "externalId")]; other != nil && other != old {
		return fieldErrorf(AlreadyExists, "company.external_id", "%q is already the ID of company %s", text(whole, "externalId"), other.ID)
	}
	return nil
}

func (t *tenant) addCompany(made *company) {
	t.companies[made.ID] = made
	t.external[text(made.Fields, "externalId")] = made
}

func (t *tenant) company(scope Scope, id string) (*company, *Error) {
	if found := t.companies[id]; found != nil {
		return found, nil
	}
	return nil, notFound(scope.name("companies", id))
}

// GetCompany implements companies.get.
func (c *Catalog) GetCompany(scope Scope, id string) (Object, *Error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	t, err := c.tenantOf(scope)
	if err != nil {
		return nil, err
	}
	found, err := t.company(scope, id)
	if err != nil {
		return nil, err
	}
	return companyObject(scope, found), nil
}

// UpdateCompany implements companies.patch.
func (c *Catalog) UpdateCompany(v *Dialect, scope Scope, id string, in Object, mask Mask) (Object, *Error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	t, err := c.tenantOf(scope)
	if err != nil {
		return nil, err
	}
	old, err := t.company(scope, id)
	if err != nil {
		return nil, err
	}
	if err := checkSentName("company", in, scope.name("companies", id)); err != nil {
		return nil, err
	}
	fields, err := mask.fields(v, "Company")
	if err != nil {
		return nil, err
	}
	sent := fields.only(v.input("Company", in))
	merged := fields.merge(v, old.Fields, v.kept(sent))
	if err := t.checkCompany(v, old, sent, merged); err != nil {
		return nil, err
	}
	if err := c.resize(&old.size, merged); err != nil {
		return nil, err
	}
	delete(t.external, text(old.Fields, "externalId"))
	old.Fields = merged
	t.addCompany(old)
	c.saveCompany(old)
	return companyObject(scope, old), nil
}

// DeleteCompany implements companies.delete. "Prerequisite: The company has no jobs
// associated with it".
func (c *Catalog) DeleteCompany(scope Scope, id string) *Error {
	c.mu.Lock()
	defer c.mu.Unlock()
	t, err := c.tenantOf(scope)
	if err != nil {
		return err
	}
	found, err := t.company(scope, id)
	if err != nil {
		return err
	}
	if found.jobs > 0 {
		return errorf(FailedPrecondition, "%s has %d jobs associated with it, including expired ones: delete them first.",
			scope.name("companies", id), found.jobs)
	}
	c.forgetCompany(t, found)
	return nil
}

// ListCompanies implements companies.list. "If true, at most page_size of companies are
// fetched, among which only those with open jobs are returned".
func (c *Catalog) ListCompanies(scope Scope, p Page, requireOpenJobs bool) (some []any, next string, err *Error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	t, err := c.tenantOf(scope)
	if err != nil {
		return nil, "", err
	}
	q := questionOf(fmt.Sprint("companies of ", scope.key(), requireOpenJobs))
	return list(q, p.Token, pageSize(p.Size, 100), slices.Collect(maps.Values(t.companies)), func(one *company) Object {
		if requireOpenJobs && one.open == 0 {
			return nil
		}
		return companyObject(scope, one)
	})
}

func companyObject(scope Scope, c *company) Object {
	o := maps.Clone(c.Fields)
	o["name"] = scope.name("companies", c.ID)
	if address := text(c.Fields, "headquartersAddress"); address != "" {
		o["derivedInfo"] = Object{"headquartersLocation": resolveAddress(address).object()}
	}
	return o
}

func (c *Catalog) saveCompany(one *company) {
	c.disk.put(bucketCompanies, one.Scope.name("companies", one.ID), one)
}

func (c *Catalog) forgetCompany(t *tenant, one *company) {
	c.account(&one.size, -one.size)
	delete(t.companies, one.ID)
	delete(t.external, text(one.Fields, "externalId"))
	c.disk.remove(bucketCompanies, one.Scope.name("companies", one.ID))
}

// text returns a string field, "" if it is unset.
func text(o Object, name string) string {
	s, _ := o[name].(string)
	return s
}
