package conformance

import (
	"context"
	"testing"

	talent "cloud.google.com/go/talent/apiv4beta1"
	"cloud.google.com/go/talent/apiv4beta1/talentpb"
	"google.golang.org/protobuf/types/known/fieldmaskpb"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// betaClient is cloud.google.com/go/talent/apiv4beta1, over REST.
type betaClient struct {
	companyClient  *talent.CompanyClient
	jobClient      *talent.JobClient
	tenantClient   *talent.TenantClient
	completeClient *talent.CompletionClient
	eventClient    *talent.EventClient
	parent         string
}

// openBeta opens a client in a new tenant, or in the project's default one.
func openBeta(t *testing.T, url string, inTenant bool) client {
	t.Helper()
	ctx, o := t.Context(), options(url)
	c := &betaClient{
		companyClient:  must[*talent.CompanyClient](t)(talent.NewCompanyRESTClient(ctx, o...)),
		jobClient:      must[*talent.JobClient](t)(talent.NewJobRESTClient(ctx, o...)),
		tenantClient:   must[*talent.TenantClient](t)(talent.NewTenantRESTClient(ctx, o...)),
		completeClient: must[*talent.CompletionClient](t)(talent.NewCompletionRESTClient(ctx, o...)),
		eventClient:    must[*talent.EventClient](t)(talent.NewEventRESTClient(ctx, o...)),
	}
	c.parent = project
	if inTenant {
		c.parent = must[string](t)(c.createTenant(ctx, "tests"))
	}
	return c
}

func (c *betaClient) createTenant(ctx context.Context, externalID string) (string, error) {
	got, err := c.tenantClient.CreateTenant(ctx, &talentpb.CreateTenantRequest{Parent: project, Tenant: &talentpb.Tenant{ExternalId: externalID}})
	return got.GetName(), err
}

func (c *betaClient) moveTenant(ctx context.Context, name, externalID string) error {
	_, err := c.tenantClient.UpdateTenant(ctx, &talentpb.UpdateTenantRequest{
		Tenant: &talentpb.Tenant{Name: name, ExternalId: externalID}, UpdateMask: &fieldmaskpb.FieldMask{Paths: []string{"external_id"}},
	})
	return err
}

func (c *betaClient) tenant(ctx context.Context, name string) (string, error) {
	got, err := c.tenantClient.GetTenant(ctx, &talentpb.GetTenantRequest{Name: name})
	return got.GetExternalId(), err
}

func (c *betaClient) tenants(ctx context.Context) (names []string, err error) {
	for all := c.tenantClient.ListTenants(ctx, &talentpb.ListTenantsRequest{Parent: project, PageSize: pageSize}); ; {
		tenant, err := all.Next()
		if err != nil {
			return names, unlessDone(err)
		}
		names = append(names, tenant.GetName())
	}
}

func (c *betaClient) deleteTenant(ctx context.Context, name string) error {
	return c.tenantClient.DeleteTenant(ctx, &talentpb.DeleteTenantRequest{Name: name})
}

func (c *betaClient) createCompany(ctx context.Context, externalID, displayName string) (string, error) {
	got, err := c.companyClient.CreateCompany(ctx, &talentpb.CreateCompanyRequest{
		Parent: c.parent, Company: &talentpb.Company{ExternalId: externalID, DisplayName: displayName},
	})
	return got.GetName(), err
}

func (c *betaClient) renameCompany(ctx context.Context, name, displayName string) error {
	_, err := c.companyClient.UpdateCompany(ctx, &talentpb.UpdateCompanyRequest{
		Company: &talentpb.Company{Name: name, DisplayName: displayName}, UpdateMask: &fieldmaskpb.FieldMask{Paths: []string{"display_name"}},
	})
	return err
}

func (c *betaClient) company(ctx context.Context, name string) (string, error) {
	got, err := c.companyClient.GetCompany(ctx, &talentpb.GetCompanyRequest{Name: name})
	return got.GetDisplayName(), err
}

func (c *betaClient) companies(ctx context.Context) (names []string, err error) {
	for all := c.companyClient.ListCompanies(ctx, &talentpb.ListCompaniesRequest{Parent: c.parent, PageSize: pageSize}); ; {
		company, err := all.Next()
		if err != nil {
			return names, unlessDone(err)
		}
		names = append(names, company.GetName())
	}
}

func (c *betaClient) deleteCompany(ctx context.Context, name string) error {
	return c.companyClient.DeleteCompany(ctx, &talentpb.DeleteCompanyRequest{Name: name})
}

func toBeta(j job) *talentpb.Job {
	return &talentpb.Job{
		Name: j.name, Company: j.company, RequisitionId: j.requisition, Title: j.title, Description: j.description,
		ApplicationInfo: &talentpb.Job_ApplicationInfo{Uris: []string{applicationURI}},
	}
}

func fromBeta(j *talentpb.Job, err error) (job, error) {
	if err != nil {
		return job{}, err
	}
	return job{j.GetName(), j.GetCompany(), j.GetRequisitionId(), j.GetTitle(), j.GetDescription(), j.GetPostingExpireTime().AsTime()}, nil
}

func (c *betaClient) createJob(ctx context.Context, j job) (job, error) {
	return fromBeta(c.jobClient.CreateJob(ctx, &talentpb.CreateJobRequest{Parent: c.parent, Job: toBeta(j)}))
}

func (c *betaClient) job(ctx context.Context, name string) (job, error) {
	return fromBeta(c.jobClient.GetJob(ctx, &talentpb.GetJobRequest{Name: name}))
}

func (c *betaClient) patchJob(ctx context.Context, j job, mask ...string) (job, error) {
	request := &talentpb.UpdateJobRequest{Job: toBeta(j)}
	if mask != nil {
		request.UpdateMask = &fieldmaskpb.FieldMask{Paths: mask}
	}
	return fromBeta(c.jobClient.UpdateJob(ctx, request))
}

func (c *betaClient) jobs(ctx context.Context, filter string) (names []string, err error) {
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

func (c *betaClient) deleteJob(ctx context.Context, name string) error {
	return c.jobClient.DeleteJob(ctx, &talentpb.DeleteJobRequest{Name: name})
}

func (c *betaClient) search(ctx context.Context, query string, forAlert bool) (names []string, requestID string, err error) {
	request := &talentpb.SearchJobsRequest{
		Parent:          c.parent,
		RequestMetadata: &talentpb.RequestMetadata{Domain: "example.com", UserId: "u", SessionId: "s"},
		JobQuery:        &talentpb.JobQuery{Query: query},
	}
	if forAlert {
		return c.searchForAlert(ctx, request)
	}
	got, err := c.jobClient.SearchJobs(ctx, request)
	for _, match := range got.GetMatchingJobs() {
		names = append(names, match.GetJob().GetName())
	}
	return names, got.GetMetadata().GetRequestId(), err
}

// searchForAlert iterates over pages. This client does not treat the answers of the
// other search as pages.
func (c *betaClient) searchForAlert(ctx context.Context, request *talentpb.SearchJobsRequest) (names []string, requestID string, err error) {
	for all := c.jobClient.SearchJobsForAlert(ctx, request); ; {
		match, err := all.Next()
		if err != nil {
			return names, requestID, unlessDone(err)
		}
		names = append(names, match.GetJob().GetName())
		requestID = all.Response.(*talentpb.SearchJobsResponse).GetMetadata().GetRequestId()
	}
}

func (c *betaClient) complete(ctx context.Context, prefix string) (suggestions []string, err error) {
	got, err := c.completeClient.CompleteQuery(ctx, &talentpb.CompleteQueryRequest{
		Parent: c.parent, Query: prefix, PageSize: 5, LanguageCodes: []string{"en-US"}, Type: talentpb.CompleteQueryRequest_JOB_TITLE,
	})
	for _, result := range got.GetCompletionResults() {
		suggestions = append(suggestions, result.GetSuggestion())
	}
	return suggestions, err
}

func (c *betaClient) createEvent(ctx context.Context, id, requestID, job string) error {
	_, err := c.eventClient.CreateClientEvent(ctx, &talentpb.CreateClientEventRequest{Parent: c.parent, ClientEvent: &talentpb.ClientEvent{
		EventId: id, RequestId: requestID, CreateTime: timestamppb.Now(),
		Event: &talentpb.ClientEvent_JobEvent{JobEvent: &talentpb.JobEvent{Type: talentpb.JobEvent_IMPRESSION, Jobs: []string{job}}},
	}})
	return err
}

func (c *betaClient) createJobs(ctx context.Context, jobs []job) ([]job, error) {
	request := &talentpb.BatchCreateJobsRequest{Parent: c.parent}
	for _, j := range jobs {
		request.Jobs = append(request.Jobs, toBeta(j))
	}
	operation, err := c.jobClient.BatchCreateJobs(ctx, request)
	if err != nil {
		return nil, err
	}
	got, err := operation.Wait(ctx)
	return jobsOfBeta(got.GetJobResults(), err)
}

func (c *betaClient) retitleJobs(ctx context.Context, jobs []job) ([]job, error) {
	request := &talentpb.BatchUpdateJobsRequest{Parent: c.parent, UpdateMask: &fieldmaskpb.FieldMask{Paths: []string{"title"}}}
	for _, j := range jobs {
		request.Jobs = append(request.Jobs, &talentpb.Job{Name: j.name, Title: j.title})
	}
	operation, err := c.jobClient.BatchUpdateJobs(ctx, request)
	if err != nil {
		return nil, err
	}
	got, err := operation.Wait(ctx)
	return jobsOfBeta(got.GetJobResults(), err)
}

func jobsOfBeta(results []*talentpb.JobOperationResult_JobResult, err error) (jobs []job, _ error) {
	for _, result := range results {
		j, _ := fromBeta(result.GetJob(), nil)
		jobs = append(jobs, j)
	}
	return jobs, err
}

// deleteJobs calls v4beta1's batchDelete, which expects a filter.
func (c *betaClient) deleteJobs(ctx context.Context, jobs []job) error {
	for _, j := range jobs {
		err := c.jobClient.BatchDeleteJobs(ctx, &talentpb.BatchDeleteJobsRequest{
			Parent: c.parent, Filter: filterOf(j),
		})
		if err != nil {
			return err
		}
	}
	return nil
}
