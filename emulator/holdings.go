package emulator

import (
	"fmt"
	"time"

	"github.com/clientevents/clientevents/emulator/internal/protojson"
	"github.com/clientevents/clientevents/emulator/internal/talent"
	"github.com/clientevents/clientevents/internal/quality"
)

// Company is a company that the emulator holds.
type Company struct {
	// Name is its name in v4, projects/P/tenants/T/companies/C.
	Name        string `json:"name"`
	DisplayName string `json:"displayName"`
	ExternalID  string `json:"externalId"`
	// OpenJobs counts the jobs that are not expired, Jobs all of them.
	OpenJobs int `json:"openJobs"`
	Jobs     int `json:"jobs"`
}

// Job is a job that the emulator holds.
type Job struct {
	// Name is its name in v4, projects/P/tenants/T/jobs/J; Alias is
	// projects/P/jobs/J if the tenant is the project's default, otherwise "".
	Name  string `json:"name"`
	Alias string `json:"alias,omitempty"`
	// Company is the name of its company in v4.
	Company            string    `json:"company"`
	CompanyDisplayName string    `json:"companyDisplayName"`
	RequisitionID      string    `json:"requisitionId"`
	Title              string    `json:"title"`
	LanguageCode       string    `json:"languageCode"`
	Addresses          []string  `json:"addresses,omitempty"`
	Open               bool      `json:"open"`
	Created            time.Time `json:"created"`
	Updated            time.Time `json:"updated"`
	Published          time.Time `json:"published"`
	Expires            time.Time `json:"expires"`
}

// Companies returns the companies of all projects in the order of their creation.
func (e *Emulator) Companies() []Company {
	list := []Company{}
	for _, c := range e.catalog.Companies() {
		list = append(list, Company(c))
	}
	return list
}

// Jobs returns the jobs of all projects, open and expired, in the order of their
// creation.
func (e *Emulator) Jobs() []Job {
	list := []Job{}
	for _, j := range e.catalog.Jobs() {
		list = append(list, Job(j))
	}
	return list
}

// Job returns the job with the name, which may omit the tenant, and false if there
// is none.
func (e *Emulator) Job(name string) (Job, bool) {
	scope, id, ok := talent.ParseName(name, "jobs")
	if !ok {
		return Job{}, false
	}
	j, ok := e.catalog.Job(scope, id)
	return Job(j), ok
}

// warnings returns the reasons for which the service would discard an event that it
// accepts: its request ID is not valid, or its jobs do not exist. It does not check
// request IDs before the first search, nor jobs before the first one is created:
// until then they come from another system.
func (e *Emulator) warnings(a *Accepted) []Warning {
	scope, _, _ := talent.ParseName(a.Parent, "")
	var list []Warning
	switch {
	case a.Event.RequestID == "":
		list = append(list, Warning{MissingRequestID, "requestId", "is missing"})
	case e.catalog.Searched() && !e.catalog.KnowsRequest(scope, a.Event.RequestID):
		list = append(list, Warning{UnknownRequestID, "requestId", fmt.Sprintf("no answer for %s had this id", scope)})
	}
	if e.catalog.HasHadJobs() {
		for _, name := range e.catalog.UnknownJobs(scope, a.Event.Jobs) {
			list = append(list, Warning{UnknownJob, "jobEvent.jobs", fmt.Sprintf("there is no job %s in %s", protojson.Clip(name), scope)})
		}
	}
	return list
}

// Report is the quality of the events since the start or the latest reset.
type Report struct {
	// Discarded counts the events that the service would discard, by rule.
	Discarded map[DiscardRule]int64 `json:"discarded"`
	quality.Report
}

// Report counts the accepted events that the service would discard, and the
// journeys that violate rules of its documentation.
func (e *Emulator) Report() Report {
	return Report{e.store.discards(), e.quality.Load().Report()}
}

// judge adds an accepted event to the report. The names of a job with and
// without the default tenant count as one.
func (e *Emulator) judge(a *Accepted) {
	jobs := make([]string, len(a.Event.Jobs))
	for i, name := range a.Event.Jobs {
		jobs[i] = name
		if scope, id, ok := talent.ParseName(name, "jobs"); ok && scope.Tenant == talent.DefaultTenant {
			jobs[i] = "projects/" + scope.Project + "/jobs/" + id
		}
	}
	e.quality.Load().Add(a.Event.RequestID, a.Event.Type, jobs)
}
