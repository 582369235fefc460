package emulator

import (
	"fmt"
	"time"

	"github.com/clientevents/clientevents/emulator/internal/protojson"
	"github.com/clientevents/clientevents/emulator/internal/talent"
)

// Company is a company that the emulator holds.
type Company struct {
	// Name is its name in v4, projects/P/tenants/T/companies/C.
	Name        string `json:"name"`
	DisplayName string `json:"displayName"`
	ExternalID  string `json:"externalId"`
	// OpenJobs and Jobs count those that are not expired, and all.
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

// Companies are those of all projects, in the order they were created in.
func (e *Emulator) Companies() []Company {
	list := []Company{}
	for _, c := range e.catalog.Companies() {
		list = append(list, Company(c))
	}
	return list
}

// Jobs are those of all projects, open and expired, in the order they were
// created in.
func (e *Emulator) Jobs() []Job {
	list := []Job{}
	for _, j := range e.catalog.Jobs() {
		list = append(list, Job(j))
	}
	return list
}

// Job is the job of a name with or without a tenant, and false if there is none.
func (e *Emulator) Job(name string) (Job, bool) {
	scope, id, ok := talent.ParseName(name, "jobs")
	if !ok {
		return Job{}, false
	}
	j, ok := e.catalog.Job(scope, id)
	return Job(j), ok
}

// emptyCatalog is what speaks against every event while the emulator holds no
// jobs and has answered no search. All such events share it.
var emptyCatalog = []Warning{
	{"requestId", "this emulator has answered no search yet"},
	{"jobEvent.jobs", "this emulator holds no jobs"},
}

// warnings are why the service would discard an event that it accepts:
// without a valid request id it trains nothing, and what it says of jobs must
// be about jobs that there are.
func (e *Emulator) warnings(a *Accepted) []Warning {
	if !e.catalog.Used() {
		return emptyCatalog
	}
	scope, _, _ := talent.ParseName(a.Parent, "")
	var list []Warning
	switch {
	case a.Event.RequestID == "":
		list = append(list, Warning{"requestId", "is missing"})
	case !e.catalog.KnowsRequest(scope, a.Event.RequestID):
		list = append(list, Warning{"requestId", fmt.Sprintf("no answer for %s had this id", scope)})
	}
	for _, name := range e.catalog.UnknownJobs(scope, a.Event.Jobs) {
		list = append(list, Warning{"jobEvent.jobs", fmt.Sprintf("there is no job %s in %s", protojson.Clip(name), scope)})
	}
	return list
}
