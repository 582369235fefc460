package conformance

import (
	"context"
	"errors"
	"testing"

	talent "cloud.google.com/go/talent/apiv4"
	"cloud.google.com/go/talent/apiv4/talentpb"
	"google.golang.org/api/iterator"
	"google.golang.org/protobuf/types/known/fieldmaskpb"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// gaClient is cloud.google.com/go/talent/apiv4, over REST.
type gaClient struct {
	companyClient  *talent.CompanyClient
	jobClient      *talent.JobClient
	tenantClient   *talent.TenantClient
	completeClient *talent.CompletionClient
	eventClient    *talent.EventClient
	parent         string
}

func openGA(t *testing.T, url string) client {
	t.Helper()
	ctx, o := t.Context(), options(url)
	c := &gaClient{
		companyClient:  must[*talent.CompanyClient](t)(talent.NewCompanyRESTClient(ctx, o...)),
		jobClient:      must[*talent.JobClient](t)(talent.NewJobRESTClient(ctx, o...)),
		tenantClient:   must[*talent.TenantClient](t)(talent.NewTenantRESTClient(ctx, o...)),
		completeClient: must[*talent.CompletionClient](t)(talent.NewCompletionRESTClient(ctx, o...)),
		eventClient:    must[*talent.EventClient](t)(talent.NewEventRESTClient(ctx, o...)),
	}
	c.parent = must[string](t)(c.createTenant(ctx, "tests"))
	return c
}

func (c *gaClient) createTenant(ctx context.Context, externalID string) (string, error) {
	got, err := c.tenantClient.CreateTenant(ctx, &talentpb.CreateTenantRequest{Parent: project, Tenant: &talentpb.Tenant{ExternalId: externalID}})
	return got.GetName(), err
}

func (c *gaClient) moveTenant(ctx context.Context, name, externalID string) error {
	_, err := c.tenantClient.UpdateTenant(ctx, &talentpb.UpdateTenantRequest{
		Tenant: &talentpb.Tenant{Name: name, ExternalId: externalID}, UpdateMask: &fieldmaskpb.FieldMask{Paths: []string{"external_id"}},
	})
	return err
}

func (c *gaClient) tenant(ctx context.Context, name string) (string, error) {
	got, err := c.tenantClient.GetTenant(ctx, &talentpb.GetTenantRequest{Name: name})
	return got.GetExternalId(), err
}

func (c *gaClient) tenants(ctx context.Context) (names []string, err error) {
	for all := c.tenantClient.ListTenants(ctx, &talentpb.ListTenantsRequest{Parent: project, PageSize: pageSize}); ; {
		tenant, err := all.Next()
		if err != nil {
			return names, unlessDone(err)
		}
		names = append(names, tenant.GetName())
	}
}

func (c *gaClient) deleteTenant(ctx context.Context, name string) error {
	return c.tenantClient.DeleteTenant(ctx, &talentpb.DeleteTenantRequest{Name: name})
}

func (c *gaClient) createCompany(ctx context.Context, externalID, displayName string) (string, error) {
	got, err := c.companyClient.CreateCompany(ctx, &talentpb.CreateCompanyRequest{
		Parent: c.parent, Company: &talentpb.Company{ExternalId: externalID, DisplayName: displayName},
	})
	return got.GetName(), err
}

func (c *gaClient) renameCompany(ctx context.Context, name, displayName string) error {
	_, err := c.companyClient.UpdateCompany(ctx, &talentpb.UpdateCompanyRequest{
		Company: &talentpb.Company{Name: name, DisplayName: displayName}, UpdateMask: &fieldmaskpb.FieldMask{Paths: []string{"display_name"}},
	})
	return err
}

func (c *gaClient) company(ctx context.Context, name string) (string, error) {
	got, err := c.companyClient.GetCompany(ctx, &talentpb.GetCompanyRequest{Name: name})
	return got.GetDisplayName(), err
}

func (c *gaClient) companies(ctx context.Context) (names []string, err error) {
	for all := c.companyClient.ListCompanies(ctx, &talentpb.ListCompaniesRequest{Parent: c.parent, PageSize: pageSize}); ; {
		company, err := all.Next()
		if err != nil {
			return names, unlessDone(err)
		}
		names = append(names, company.GetName())
	}
}

func (c *gaClient) deleteCompany(ctx context.Context, name string) error {
	return c.companyClient.DeleteCompany(ctx, &talentpb.DeleteCompanyRequest{Name: name})
}

func toGA(j job) *talentpb.Job {
	return &talentpb.Job{
		Name: j.name, Company: j.company, RequisitionId: j.requisition, Title: j.title, Description: j.description,
		ApplicationInfo: &talentpb.Job_ApplicationInfo{Uris: []string{applicationURI}},
	}
}

func fromGA(j *talentpb.Job, err error) (job, error) {
	if err != nil {
		return job{}, err
	}
	return job{j.GetName(), j.GetCompany(), j.GetRequisitionId(), j.GetTitle(), j.GetDescription(), j.GetPostingExpireTime().AsTime()}, nil
}

func (c *gaClient) createJob(ctx context.Context, j job) (job, error) {
	return fromGA(c.jobClient.CreateJob(ctx, &talentpb.CreateJobRequest{Parent: c.parent, Job: toGA(j)}))
}

func (c *gaClient) job(ctx context.Context, name string) (job, error) {
	return fromGA(c.jobClient.GetJob(ctx, &talentpb.GetJobRequest{Name: name}))
}

func (c *gaClient) patchJob(ctx context.Context, j job, mask ...string) (job, error) {
	request := &talentpb.UpdateJobRequest{Job: toGA(j)}
	if mask != nil {
		request.UpdateMask = &fieldmaskpb.FieldMask{Paths: mask}
	}
	return fromGA(c.jobClient.UpdateJob(ctx, request))
}

func (c *gaClient) jobs(ctx context.Context, filter string) (names []string, err error) {
	for all := c.jobClient.ListJobs(ctx, &talentpb.ListJobsRequest{
		Parent: c.parent, Filter: filter, PageSize: pageSize, JobView: talentpb.JobView_JOB_VIEW_ID_ONLY,
	}); ; {
		j, err := all.Next()
		if err != nil {
			return names, unlessDone(err)
		}
		names = append(names, j.GetName())
	}
}

func (c *gaClient) deleteJob(ctx context.Context, name string) error {
	return c.jobClient.DeleteJob(ctx, &talentpb.DeleteJobRequest{Name: name})
}

func (c *gaClient) search(ctx context.Context, query string, forAlert bool) (names []string, requestID string, err error) {
	request := &talentpb.SearchJobsRequest{
		Parent:          c.parent,
		RequestMetadata: &talentpb.RequestMetadata{Domain: "example.com", UserId: "u", SessionId: "s"},
		JobQuery:        &talentpb.JobQuery{Query: query},
	}
	search := c.jobClient.SearchJobs
	if forAlert {
		search = c.jobClient.SearchJobsForAlert
	}
	got, err := search(ctx, request)
	for _, match := range got.GetMatchingJobs() {
		names = append(names, match.GetJob().GetName())
	}
	return names, got.GetMetadata().GetRequestId(), err
}

func (c *gaClient) complete(ctx context.Context, prefix string) (suggestions []string, err error) {
	got, err := c.completeClient.CompleteQuery(ctx, &talentpb.CompleteQueryRequest{
		Tenant: c.parent, Query: prefix, PageSize: 5, LanguageCodes: []string{"en-US"}, Type: talentpb.CompleteQueryRequest_JOB_TITLE,
	})
	for _, result := range got.GetCompletionResults() {
		suggestions = append(suggestions, result.GetSuggestion())
	}
	return suggestions, err
}

func (c *gaClient) createEvent(ctx context.Context, id, requestID, job string) error {
	_, err := c.eventClient.CreateClientEvent(ctx, &talentpb.CreateClientEventRequest{Parent: c.parent, ClientEvent: &talentpb.ClientEvent{
		EventId: id, RequestId: requestID, CreateTime: timestamppb.Now(),
		Event: &talentpb.ClientEvent_JobEvent{JobEvent: &talentpb.JobEvent{Type: talentpb.JobEvent_IMPRESSION, Jobs: []string{job}}},
	}})
	return err
}

func (c *gaClient) createJobs(ctx context.Context, jobs []job) ([]job, error) {
	request := &talentpb.BatchCreateJobsRequest{Parent: c.parent}
	for _, j := range jobs {
		request.Jobs = append(request.Jobs, toGA(j))
	}
	operation, err := c.jobClient.BatchCreateJobs(ctx, request)
	if err != nil {
		return nil, err
	}
	got, err := operation.Wait(ctx)
	return jobsOfGA(got.GetJobResults(), err)
}

func (c *gaClient) retitleJobs(ctx context.Context, jobs []job) ([]job, error) {
	request := &talentpb.BatchUpdateJobsRequest{Parent: c.parent, UpdateMask: &fieldmaskpb.FieldMask{Paths: []string{"title"}}}
	for _, j := range jobs {
		request.Jobs = append(request.Jobs, &talentpb.Job{Name: j.name, Title: j.title})
	}
	operation, err := c.jobClient.BatchUpdateJobs(ctx, request)
	if err != nil {
		return nil, err
	}
	got, err := operation.Wait(ctx)
	return jobsOfGA(got.GetJobResults(), err)
}

func jobsOfGA(results []*talentpb.JobResult, err error) (jobs []job, _ error) {
	for _, result := range results {
		j, _ := fromGA(result.GetJob(), nil)
		jobs = append(jobs, j)
	}
	return jobs, err
}

func (c *gaClient) deleteJobs(ctx context.Context, jobs []job) error {
	request := &talentpb.BatchDeleteJobsRequest{Parent: c.parent}
	for _, j := range jobs {
		request.Names = append(request.Names, j.name)
	}
	operation, err := c.jobClient.BatchDeleteJobs(ctx, request)
	if err != nil {
		return err
	}
	_, err = operation.Wait(ctx)
	return err
}

// unlessDone returns the error of an iteration, nil at its end.
func unlessDone(err error) error {
	if errors.Is(err, iterator.Done) {
		return nil
	}
	return err
}
