package talent

import (
	"cmp"
	"slices"
	"time"
)

// CompanySummary is what emulator.Company says.
type CompanySummary struct {
	Name        string
	DisplayName string
	ExternalID  string
	OpenJobs    int
	Jobs        int
}

// JobSummary is what emulator.Job says.
type JobSummary struct {
	Name               string
	Alias              string
	Company            string
	CompanyDisplayName string
	RequisitionID      string
	Title              string
	LanguageCode       string
	Addresses          []string
	Open               bool
	Created            time.Time
	Updated            time.Time
	Published          time.Time
	Expires            time.Time
}

// Companies are all companies in the order of their creation.
func (c *Catalog) Companies() []CompanySummary {
	c.mu.Lock()
	defer c.mu.Unlock()
	var all []*company
	for _, t := range c.tenants {
		c.settle(t, c.now())
		for _, one := range t.companies {
			all = append(all, one)
		}
	}
	slices.SortFunc(all, func(a, b *company) int { return cmp.Compare(a.Sequence, b.Sequence) })
	list := make([]CompanySummary, len(all))
	for i, one := range all {
		list[i] = CompanySummary{
			Name:        one.Scope.name("companies", one.ID),
			DisplayName: one.displayName(),
			ExternalID:  text(one.Fields, "externalId"),
			OpenJobs:    one.open,
			Jobs:        one.jobs,
		}
	}
	return list
}

// Jobs are all jobs in the order of their creation.
func (c *Catalog) Jobs() []JobSummary {
	c.mu.Lock()
	defer c.mu.Unlock()
	var all []*job
	for _, t := range c.tenants {
		c.settle(t, c.now())
		for _, j := range t.jobs {
			all = append(all, j)
		}
	}
	slices.SortFunc(all, func(a, b *job) int { return cmp.Compare(a.Sequence, b.Sequence) })
	list := make([]JobSummary, len(all))
	for i, j := range all {
		list[i] = c.summary(j)
	}
	return list
}

// Job is the job of the scope, and false if there is none.
func (c *Catalog) Job(scope Scope, id string) (JobSummary, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	j := c.known(scope, id)
	if j == nil {
		return JobSummary{}, false
	}
	return c.summary(j), true
}

func (c *Catalog) summary(j *job) JobSummary {
	s := JobSummary{
		Name:               j.Scope.name("jobs", j.ID),
		Company:            j.Scope.name("companies", j.Company),
		CompanyDisplayName: c.tenants[j.Scope].companies[j.Company].displayName(),
		RequisitionID:      j.Requisition,
		Title:              text(j.Fields, "title"),
		LanguageCode:       j.Language,
		Addresses:          texts(j.Fields, "addresses"),
		Open:               j.open,
		Created:            j.Created,
		Updated:            j.Updated,
		Published:          j.Published,
		Expires:            j.Expires,
	}
	if j.Scope.Tenant == DefaultTenant {
		s.Alias = Scope{Project: j.Scope.Project}.name("jobs", j.ID)
	}
	return s
}

// known is a job of a tenant, open or expired, nil if there is none.
func (c *Catalog) known(scope Scope, id string) *job {
	t := c.tenants[scope.key()]
	if t == nil {
		return nil
	}
	c.settle(t, c.now())
	return t.jobs[id]
}

// Used reports whether anything was ever created or a request id given.
func (c *Catalog) Used() bool { return c.used.Load() }

// UnknownJobs are those of the names that are of no job of the scope.
func (c *Catalog) UnknownJobs(scope Scope, names []string) []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	var unknown []string
	for _, name := range names {
		of, id, ok := ParseName(name, "jobs")
		if !ok || of.key() != scope.key() || c.known(of, id) == nil {
			unknown = append(unknown, name)
		}
	}
	return unknown
}
