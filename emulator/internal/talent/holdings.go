package talent

import (
	"cmp"
	"maps"
	"slices"
	"time"
)

// CompanySummary has the fields of emulator.Company.
type CompanySummary struct {
	Name        string
	DisplayName string
	ExternalID  string
	OpenJobs    int
	Jobs        int
}

// JobSummary has the fields of emulator.Job.
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

// Companies returns all companies in the order of their creation.
func (c *Catalog) Companies() []CompanySummary {
	return held(c, func(t *tenant) map[string]*company { return t.companies }, func(one *company) CompanySummary {
		return CompanySummary{
			Name:        one.Scope.name("companies", one.ID),
			DisplayName: one.displayName(),
			ExternalID:  text(one.Fields, "externalId"),
			OpenJobs:    one.open,
			Jobs:        one.jobs,
		}
	})
}

// Jobs returns all jobs in the order of their creation.
func (c *Catalog) Jobs() []JobSummary {
	return held(c, func(t *tenant) map[string]*job { return t.jobs }, c.summary)
}

// held returns the resources of all tenants in the order of their creation.
func held[T sequenced, S any](c *Catalog, of func(*tenant) map[string]T, summary func(T) S) []S {
	c.mu.Lock()
	defer c.mu.Unlock()
	var all []T
	for _, t := range c.tenants {
		c.settle(t, c.now())
		all = slices.AppendSeq(all, maps.Values(of(t)))
	}
	slices.SortFunc(all, func(a, b T) int { return cmp.Compare(a.sequenceNumber(), b.sequenceNumber()) })
	some := make([]S, len(all))
	for i, one := range all {
		some[i] = summary(one)
	}
	return some
}

// Job returns a job of the scope, and false if there is none.
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

// known returns a job of a tenant, open or expired, nil if there is none.
func (c *Catalog) known(scope Scope, id string) *job {
	t := c.tenants[scope.key()]
	if t == nil {
		return nil
	}
	c.settle(t, c.now())
	return t.jobs[id]
}

// Searched reports whether a response ever had a request ID.
func (c *Catalog) Searched() bool { return c.searched.Load() }

// HasHadJobs reports whether a job was ever created.
func (c *Catalog) HasHadJobs() bool { return c.hadJobs.Load() }

// UnknownJobs returns the names of jobs that the scope does not have.
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
