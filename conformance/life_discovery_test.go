package conformance

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	jobsv3 "google.golang.org/api/jobs/v3"
	jobsv4 "google.golang.org/api/jobs/v4"
)

// applicationURI is the applicationInfo of the tests' jobs, which v3 requires.
const applicationURI = "https://example.com/apply"

// pageSize is small, so that short lists take several pages.
const pageSize = 2

// v3 is google.golang.org/api/jobs/v3.
type v3 struct{ *jobsv3.ProjectsService }

func openV3(t *testing.T, url string) client {
	t.Helper()
	service := must[*jobsv3.Service](t)(jobsv3.NewService(t.Context(), options(url)...))
	return v3{service.Projects}
}

func (c v3) createCompany(ctx context.Context, externalID, displayName string) (string, error) {
	got, err := c.Companies.Create(project, &jobsv3.CreateCompanyRequest{
		Company: &jobsv3.Company{ExternalId: externalID, DisplayName: displayName},
	}).Context(ctx).Do()
	if err != nil {
		return "", err
	}
	return got.Name, nil
}

func (c v3) renameCompany(ctx context.Context, name, displayName string) error {
	_, err := c.Companies.Patch(name, &jobsv3.UpdateCompanyRequest{
		Company: &jobsv3.Company{Name: name, DisplayName: displayName}, UpdateMask: "displayName",
	}).Context(ctx).Do()
	return err
}

func (c v3) company(ctx context.Context, name string) (string, error) {
	got, err := c.Companies.Get(name).Context(ctx).Do()
	if err != nil {
		return "", err
	}
	return got.DisplayName, nil
}

func (c v3) companies(ctx context.Context) (names []string, err error) {
	err = c.Companies.List(project).PageSize(pageSize).Pages(ctx, func(page *jobsv3.ListCompaniesResponse) error {
		for _, company := range page.Companies {
			names = append(names, company.Name)
		}
		return nil
	})
	return names, err
}

func (c v3) deleteCompany(ctx context.Context, name string) error {
	_, err := c.Companies.Delete(name).Context(ctx).Do()
	return err
}

func toV3(j job) *jobsv3.Job {
	return &jobsv3.Job{
		Name: j.name, CompanyName: j.company, RequisitionId: j.requisition, Title: j.title, Description: j.description,
		ApplicationInfo: &jobsv3.ApplicationInfo{Uris: []string{applicationURI}},
	}
}

func fromV3(j *jobsv3.Job, err error) (job, error) {
	if err != nil {
		return job{}, err
	}
	return job{j.Name, j.CompanyName, j.RequisitionId, j.Title, j.Description, timeOf(j.PostingExpireTime)}, nil
}

func (c v3) createJob(ctx context.Context, j job) (job, error) {
	return fromV3(c.Jobs.Create(project, &jobsv3.CreateJobRequest{Job: toV3(j)}).Context(ctx).Do())
}

func (c v3) job(ctx context.Context, name string) (job, error) {
	return fromV3(c.Jobs.Get(name).Context(ctx).Do())
}

func (c v3) patchJob(ctx context.Context, j job, mask ...string) (job, error) {
	return fromV3(c.Jobs.Patch(j.name, &jobsv3.UpdateJobRequest{Job: toV3(j), UpdateMask: strings.Join(mask, ",")}).Context(ctx).Do())
}

func (c v3) jobs(ctx context.Context, filter string) (names []string, err error) {
	err = c.Jobs.List(project).Filter(filter).PageSize(pageSize).JobView("JOB_VIEW_ID_ONLY").Pages(ctx, func(page *jobsv3.ListJobsResponse) error {
		for _, j := range page.Jobs {
			names = append(names, j.Name)
		}
		return nil
	})
	return names, err
}

func (c v3) deleteJob(ctx context.Context, name string) error {
	_, err := c.Jobs.Delete(name).Context(ctx).Do()
	return err
}

func (c v3) deleteJobs(ctx context.Context, jobs []job) error {
	for _, j := range jobs {
		request := &jobsv3.BatchDeleteJobsRequest{Filter: filterOf(j)}
		if _, err := c.Jobs.BatchDelete(project, request).Context(ctx).Do(); err != nil {
			return err
		}
	}
	return nil
}

// filterOf returns the filter that finds one job.
func filterOf(j job) string {
	return fmt.Sprintf("companyName = %q AND requisitionId = %q", j.company, j.requisition)
}

func (c v3) search(ctx context.Context, query string, forAlert bool) (names []string, requestID string, err error) {
	request := &jobsv3.SearchJobsRequest{
		RequestMetadata: &jobsv3.RequestMetadata{Domain: "example.com", UserId: "u", SessionId: "s"},
		JobQuery:        &jobsv3.JobQuery{Query: query},
	}
	var got *jobsv3.SearchJobsResponse
	if forAlert {
		got, err = c.Jobs.SearchForAlert(project, request).Context(ctx).Do()
	} else {
		got, err = c.Jobs.Search(project, request).Context(ctx).Do()
	}
	if err != nil {
		return nil, "", err
	}
	for _, match := range got.MatchingJobs {
		names = append(names, match.Job.Name)
	}
	return names, got.Metadata.RequestId, nil
}

func (c v3) complete(ctx context.Context, prefix string) (suggestions []string, err error) {
	got, err := c.Complete(project).Query(prefix).PageSize(5).LanguageCodes("en-US").Type("JOB_TITLE").Context(ctx).Do()
	if err != nil {
		return nil, err
	}
	for _, result := range got.CompletionResults {
		suggestions = append(suggestions, result.Suggestion)
	}
	return suggestions, nil
}

func (c v3) createEvent(ctx context.Context, id, requestID, job string) error {
	_, err := c.ClientEvents.Create(project, &jobsv3.CreateClientEventRequest{ClientEvent: &jobsv3.ClientEvent{
		EventId: id, RequestId: requestID, CreateTime: time.Now().UTC().Format(time.RFC3339Nano),
		JobEvent: &jobsv3.JobEvent{Type: "IMPRESSION", Jobs: []string{job}},
	}}).Context(ctx).Do()
	return err
}

// v4 is google.golang.org/api/jobs/v4.
type v4 struct {
	*jobsv4.ProjectsTenantsService
	operations *jobsv4.ProjectsOperationsService
	name       string // of the tenant
}

func openV4(t *testing.T, url string) client {
	t.Helper()
	service := must[*jobsv4.Service](t)(jobsv4.NewService(t.Context(), options(url)...))
	c := &v4{ProjectsTenantsService: service.Projects.Tenants, operations: service.Projects.Operations}
	c.name = must[string](t)(c.createTenant(t.Context(), "tests"))
	return c
}

func (c *v4) createTenant(ctx context.Context, externalID string) (string, error) {
	got, err := c.Create(project, &jobsv4.Tenant{ExternalId: externalID}).Context(ctx).Do()
	if err != nil {
		return "", err
	}
	return got.Name, nil
}

func (c *v4) moveTenant(ctx context.Context, name, externalID string) error {
	_, err := c.Patch(name, &jobsv4.Tenant{Name: name, ExternalId: externalID}).UpdateMask("externalId").Context(ctx).Do()
	return err
}

func (c *v4) tenant(ctx context.Context, name string) (string, error) {
	got, err := c.Get(name).Context(ctx).Do()
	if err != nil {
		return "", err
	}
	return got.ExternalId, nil
}

func (c *v4) tenants(ctx context.Context) (names []string, err error) {
	err = c.List(project).PageSize(pageSize).Pages(ctx, func(page *jobsv4.ListTenantsResponse) error {
		for _, tenant := range page.Tenants {
			names = append(names, tenant.Name)
		}
		return nil
	})
	return names, err
}

func (c *v4) deleteTenant(ctx context.Context, name string) error {
	_, err := c.Delete(name).Context(ctx).Do()
	return err
}

func (c *v4) createCompany(ctx context.Context, externalID, displayName string) (string, error) {
	got, err := c.Companies.Create(c.name, &jobsv4.Company{ExternalId: externalID, DisplayName: displayName}).Context(ctx).Do()
	if err != nil {
		return "", err
	}
	return got.Name, nil
}

func (c *v4) renameCompany(ctx context.Context, name, displayName string) error {
	_, err := c.Companies.Patch(name, &jobsv4.Company{Name: name, DisplayName: displayName}).UpdateMask("displayName").Context(ctx).Do()
	return err
}

func (c *v4) company(ctx context.Context, name string) (string, error) {
	got, err := c.Companies.Get(name).Context(ctx).Do()
	if err != nil {
		return "", err
	}
	return got.DisplayName, nil
}

func (c *v4) companies(ctx context.Context) (names []string, err error) {
	err = c.Companies.List(c.name).PageSize(pageSize).Pages(ctx, func(page *jobsv4.ListCompaniesResponse) error {
		for _, company := range page.Companies {
			names = append(names, company.Name)
		}
		return nil
	})
	return names, err
}

func (c *v4) deleteCompany(ctx context.Context, name string) error {
	_, err := c.Companies.Delete(name).Context(ctx).Do()
	return err
}

func toV4(j job) *jobsv4.Job {
	return &jobsv4.Job{
		Name: j.name, Company: j.company, RequisitionId: j.requisition, Title: j.title, Description: j.description,
		ApplicationInfo: &jobsv4.ApplicationInfo{Uris: []string{applicationURI}},
	}
}

func fromV4(j *jobsv4.Job, err error) (job, error) {
	if err != nil {
		return job{}, err
	}
	return job{j.Name, j.Company, j.RequisitionId, j.Title, j.Description, timeOf(j.PostingExpireTime)}, nil
}

func (c *v4) createJob(ctx context.Context, j job) (job, error) {
	return fromV4(c.Jobs.Create(c.name, toV4(j)).Context(ctx).Do())
}

func (c *v4) job(ctx context.Context, name string) (job, error) {
	return fromV4(c.Jobs.Get(name).Context(ctx).Do())
}

func (c *v4) patchJob(ctx context.Context, j job, mask ...string) (job, error) {
	call := c.Jobs.Patch(j.name, toV4(j))
	if mask != nil {
		call.UpdateMask(strings.Join(mask, ","))
	}
	return fromV4(call.Context(ctx).Do())
}

func (c *v4) jobs(ctx context.Context, filter string) (names []string, err error) {
	err = c.Jobs.List(c.name).Filter(filter).PageSize(pageSize).JobView("JOB_VIEW_ID_ONLY").Pages(ctx, func(page *jobsv4.ListJobsResponse) error {
		for _, j := range page.Jobs {
			names = append(names, j.Name)
		}
		return nil
	})
	return names, err
}

func (c *v4) deleteJob(ctx context.Context, name string) error {
	_, err := c.Jobs.Delete(name).Context(ctx).Do()
	return err
}

func (c *v4) search(ctx context.Context, query string, forAlert bool) (names []string, requestID string, err error) {
	request := &jobsv4.SearchJobsRequest{
		RequestMetadata: &jobsv4.RequestMetadata{Domain: "example.com", UserId: "u", SessionId: "s"},
		JobQuery:        &jobsv4.JobQuery{Query: query},
	}
	var got *jobsv4.SearchJobsResponse
	if forAlert {
		got, err = c.Jobs.SearchForAlert(c.name, request).Context(ctx).Do()
	} else {
		got, err = c.Jobs.Search(c.name, request).Context(ctx).Do()
	}
	if err != nil {
		return nil, "", err
	}
	for _, match := range got.MatchingJobs {
		names = append(names, match.Job.Name)
	}
	return names, got.Metadata.RequestId, nil
}

func (c *v4) complete(ctx context.Context, prefix string) (suggestions []string, err error) {
	got, err := c.CompleteQuery(c.name).Query(prefix).PageSize(5).LanguageCodes("en-US").Type("JOB_TITLE").Context(ctx).Do()
	if err != nil {
		return nil, err
	}
	for _, result := range got.CompletionResults {
		suggestions = append(suggestions, result.Suggestion)
	}
	return suggestions, nil
}

func (c *v4) createEvent(ctx context.Context, id, requestID, job string) error {
	_, err := c.ClientEvents.Create(c.name, &jobsv4.ClientEvent{
		EventId: id, RequestId: requestID, CreateTime: time.Now().UTC().Format(time.RFC3339Nano),
		JobEvent: &jobsv4.JobEvent{Type: "IMPRESSION", Jobs: []string{job}},
	}).Context(ctx).Do()
	return err
}

func (c *v4) createJobs(ctx context.Context, jobs []job) ([]job, error) {
	var request jobsv4.BatchCreateJobsRequest
	for _, j := range jobs {
		request.Jobs = append(request.Jobs, toV4(j))
	}
	return c.results(ctx)(c.Jobs.BatchCreate(c.name, &request).Context(ctx).Do())
}

func (c *v4) retitleJobs(ctx context.Context, jobs []job) ([]job, error) {
	request := jobsv4.BatchUpdateJobsRequest{UpdateMask: "title"}
	for _, j := range jobs {
		request.Jobs = append(request.Jobs, &jobsv4.Job{Name: j.name, Title: j.title})
	}
	return c.results(ctx)(c.Jobs.BatchUpdate(c.name, &request).Context(ctx).Do())
}

func (c *v4) deleteJobs(ctx context.Context, jobs []job) error {
	var request jobsv4.BatchDeleteJobsRequest
	for _, j := range jobs {
		request.Names = append(request.Names, j.name)
	}
	_, err := c.results(ctx)(c.Jobs.BatchDelete(c.name, &request).Context(ctx).Do())
	return err
}

// results polls an operation until it is done.
func (c *v4) results(ctx context.Context) func(*jobsv4.Operation, error) ([]job, error) {
	return func(operation *jobsv4.Operation, err error) ([]job, error) {
		for err == nil && !operation.Done {
			operation, err = c.operations.Get(operation.Name).Context(ctx).Do()
		}
		if err != nil {
			return nil, err
		}
		var response struct {
			JobResults []struct{ Job *jobsv4.Job }
		}
		if err := json.Unmarshal(operation.Response, &response); err != nil {
			return nil, err
		}
		var jobs []job
		for _, result := range response.JobResults {
			if result.Job != nil {
				j, _ := fromV4(result.Job, nil)
				jobs = append(jobs, j)
			}
		}
		return jobs, nil
	}
}
