package conformance

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/clientevents/clientevents/emulator"
)

// job has the fields of a job that these tests check.
type job struct {
	name, company, requisition, title, description string
	expires                                        time.Time
}

// client is one of Google's clients, with the calls of a job's life.
type client interface {
	createCompany(ctx context.Context, externalID, displayName string) (name string, err error)
	// renameCompany changes only the display name.
	renameCompany(ctx context.Context, name, displayName string) error
	company(ctx context.Context, name string) (displayName string, err error)
	companies(ctx context.Context) (names []string, err error)
	deleteCompany(ctx context.Context, name string) error

	createJob(ctx context.Context, j job) (job, error)
	job(ctx context.Context, name string) (job, error)
	// patchJob changes the fields of the mask, or all without a mask.
	patchJob(ctx context.Context, j job, mask ...string) (job, error)
	// jobs lists two jobs a page.
	jobs(ctx context.Context, filter string) (names []string, err error)
	deleteJob(ctx context.Context, name string) error
	// deleteJobs deletes them in one call, or with one call each if the version
	// expects a filter and not names.
	deleteJobs(ctx context.Context, jobs []job) error

	// search finds jobs by their words, the most relevant first. For alerts it
	// calls another method.
	search(ctx context.Context, query string, forAlert bool) (names []string, requestID string, err error)
	complete(ctx context.Context, prefix string) (suggestions []string, err error)
	createEvent(ctx context.Context, id, requestID, job string) error
}

// batches are the operations on many jobs that v4 and v4beta1 have.
type batches interface {
	createJobs(ctx context.Context, jobs []job) ([]job, error)
	// retitleJobs changes only the titles.
	retitleJobs(ctx context.Context, jobs []job) ([]job, error)
}

// tenants are v4's and v4beta1's.
type tenants interface {
	createTenant(ctx context.Context, externalID string) (name string, err error)
	// moveTenant changes the external ID.
	moveTenant(ctx context.Context, name, externalID string) error
	tenant(ctx context.Context, name string) (externalID string, err error)
	tenants(ctx context.Context) (names []string, err error)
	deleteTenant(ctx context.Context, name string) error
}

// lives opens each of Google's Go clients. The parent is a tenant, or a project if the
// version has no tenants or a default one.
var lives = map[string]func(t *testing.T, url string) client{
	"google.golang.org/api/jobs/v3":         openV3,
	"google.golang.org/api/jobs/v4":         openV4,
	"cloud.google.com/go/talent/apiv4":      openGA,
	"cloud.google.com/go/talent/apiv4beta1": func(t *testing.T, url string) client { return openBeta(t, url, true) },
	"apiv4beta1 without a tenant":           func(t *testing.T, url string) client { return openBeta(t, url, false) },
}

// TestLifeOfAJob leads jobs through their lives with each client, and an event
// that was derived from a search.
func TestLifeOfAJob(t *testing.T) {
	for name, open := range lives {
		t.Run(name, func(t *testing.T) {
			api, url := serveEmulator(t, emulator.Options{KeepAll: true})
			c := open(t, url)
			company := companyLife(t, c)
			first := jobLife(t, c, company)
			searchLife(t, c, first)
			batchLife(t, c, company)
			endOfLife(t, c, first)
			if got := api.Events(); len(got) != 1 || len(got[0].Warnings) != 0 {
				t.Errorf("the emulator has the events %+v, want one that the service would keep", got)
			}
		})
	}
}

// must ends the test where a call fails.
func must[T any](t *testing.T) func(T, error) T {
	t.Helper()
	return func(value T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return value
	}
}

func companyLife(t *testing.T, c client) (name string) {
	t.Helper()
	ctx := t.Context()
	name = must[string](t)(c.createCompany(ctx, "acme", "Acme"))
	if _, err := c.createCompany(ctx, "acme", "Acme again"); codeOf(err) != 409 && codeOf(err) != 400 {
		t.Errorf("a company with an external id that is taken: %v", err)
	}
	if err := c.renameCompany(ctx, name, "Acme & Sons"); err != nil {
		t.Fatal(err)
	}
	if got := must[string](t)(c.company(ctx, name)); got != "Acme & Sons" {
		t.Errorf("the company is called %q", got)
	}
	if got := must[[]string](t)(c.companies(ctx)); !slices.Equal(got, []string{name}) {
		t.Errorf("companies %v, want %s", got, name)
	}
	return name
}

func jobLife(t *testing.T, c client, company string) job {
	t.Helper()
	ctx := t.Context()
	began := time.Now()
	wanted := job{company: company, requisition: "R1", title: "Plumber", description: "Repairs <b>pipes</b>"}
	j := must[job](t)(c.createJob(ctx, wanted))
	wanted.name, wanted.expires = j.name, j.expires
	if j != wanted || j.name == "" {
		t.Errorf("created %+v, want %+v", j, wanted)
	}
	// "If not provided … defaults to 30 days after creation".
	if month := j.expires.Sub(began); month < 30*24*time.Hour || month > 30*24*time.Hour+time.Minute {
		t.Errorf("the job expires after %v, want 30 days", month)
	}
	if got := must[job](t)(c.job(ctx, j.name)); got != j {
		t.Errorf("got %+v, want %+v", got, j)
	}
	if _, err := c.createJob(ctx, job{company: company, requisition: "R1", title: "Another", description: "d"}); err == nil {
		t.Error("two jobs of a company have the same requisition id")
	}
	if _, err := c.createJob(ctx, job{company: company, requisition: "R2"}); codeOf(err) != 400 || !strings.Contains(err.Error(), "title") {
		t.Errorf("a job without a title: %v", err)
	}

	changed := must[job](t)(c.patchJob(ctx, job{name: j.name, title: "Master plumber", description: "not in the mask"}, "title"))
	if changed.title != "Master plumber" || changed.description != j.description {
		t.Errorf("patched with a mask: %+v", changed)
	}
	j.title, j.description = "Chief plumber", "Repairs all pipes"
	all := must[job](t)(c.patchJob(ctx, j))
	if all.title != j.title || all.description != j.description || all.requisition != j.requisition {
		t.Errorf("patched without a mask: %+v", all)
	}
	return all
}

func searchLife(t *testing.T, c client, first job) {
	t.Helper()
	ctx := t.Context()
	names := []string{first.name}
	for _, requisition := range []string{"R3", "R4"} {
		j := must[job](t)(c.createJob(ctx, job{company: first.company, requisition: requisition, title: "Baker", description: "Bakes bread"}))
		names = append(names, j.name)
	}
	listed := must[[]string](t)(c.jobs(ctx, `companyName = "`+first.company+`"`))
	slices.Sort(names)
	slices.Sort(listed)
	if !slices.Equal(names, listed) {
		t.Errorf("listed %v, want %v", listed, names)
	}
	var requestID string
	for _, forAlert := range []bool{true, false} {
		found, id, err := c.search(ctx, "plumber", forAlert)
		if err != nil || !slices.Equal(found, []string{first.name}) || id == "" {
			t.Fatalf("found %v under the request %q (%v), want %s", found, id, err, first.name)
		}
		requestID = id
	}
	if got := must[[]string](t)(c.complete(ctx, "bak")); !slices.Contains(got, "Baker") {
		t.Errorf("bak is completed to %v", got)
	}
	if err := c.createEvent(ctx, "e1", requestID, first.name); err != nil {
		t.Error(err)
	}
}

func batchLife(t *testing.T, c client, company string) {
	t.Helper()
	ctx := t.Context()
	wanted := []job{
		{company: company, requisition: "B1", title: "Cook", description: "d"},
		{company: company, requisition: "B2", title: "Waiter", description: "d"},
	}
	created := wanted
	if b, ok := c.(batches); ok {
		created = createdInBatch(t, c, b, wanted)
	} else {
		for i := range wanted {
			created[i] = must[job](t)(c.createJob(ctx, wanted[i]))
		}
	}
	if err := c.deleteJobs(ctx, created); err != nil {
		t.Fatal(err)
	}
	for _, j := range created {
		if _, err := c.job(ctx, j.name); codeOf(err) != 404 {
			t.Errorf("a deleted job: %v", err)
		}
	}
}

func createdInBatch(t *testing.T, c client, b batches, wanted []job) []job {
	t.Helper()
	ctx := t.Context()
	// "Here Job only contains basic information including name, company,
	// language_code and requisition_id" (JobResult).
	created := must[[]job](t)(b.createJobs(ctx, wanted))
	if len(created) != 2 || created[0].name == "" || created[1].requisition != "B2" || created[1].company != wanted[1].company {
		t.Fatalf("created %+v", created)
	}
	for i := range created {
		created[i].title = "Senior " + wanted[i].title
	}
	if _, err := b.retitleJobs(ctx, created); err != nil {
		t.Fatal(err)
	}
	if got := must[job](t)(c.job(ctx, created[1].name)); got.title != "Senior Waiter" || got.description != "d" {
		t.Errorf("got %+v", got)
	}
	return created
}

func endOfLife(t *testing.T, c client, first job) {
	t.Helper()
	ctx := t.Context()
	for _, name := range must[[]string](t)(c.jobs(ctx, `companyName = "`+first.company+`"`)) {
		if err := c.deleteJob(ctx, name); err != nil {
			t.Error(err)
		}
	}
	if _, err := c.job(ctx, first.name); codeOf(err) != 404 {
		t.Errorf("a deleted job: %v", err)
	}
	if err := c.deleteCompany(ctx, first.company); err != nil {
		t.Error(err)
	}
	if _, err := c.company(ctx, first.company); codeOf(err) != 404 {
		t.Errorf("a deleted company: %v", err)
	}
}

// TestLifeOfATenant tests the clients with tenants.
func TestLifeOfATenant(t *testing.T) {
	for name, open := range lives {
		t.Run(name, func(t *testing.T) {
			_, url := serveEmulator(t, emulator.Options{})
			c, ok := open(t, url).(tenants)
			if !ok {
				t.Skip("the version has no tenants")
			}
			ctx := t.Context()
			before := must[[]string](t)(c.tenants(ctx))
			name := must[string](t)(c.createTenant(ctx, "x1"))
			if err := c.moveTenant(ctx, name, "x2"); err != nil {
				t.Fatal(err)
			}
			if got := must[string](t)(c.tenant(ctx, name)); got != "x2" {
				t.Errorf("the external id is %q", got)
			}
			if got := must[[]string](t)(c.tenants(ctx)); len(got) != len(before)+1 || !slices.Contains(got, name) {
				t.Errorf("tenants %v, want %v and %s", got, before, name)
			}
			if err := c.deleteTenant(ctx, name); err != nil {
				t.Fatal(err)
			}
			if _, err := c.tenant(ctx, name); codeOf(err) != 404 {
				t.Errorf("a deleted tenant: %v", err)
			}
		})
	}
}

func codeOf(err error) int {
	code, _ := refusal(err)
	return code
}

func timeOf(s string) time.Time {
	at, err := time.Parse(time.RFC3339Nano, s)
	if err != nil {
		return time.Time{}
	}
	return at.UTC()
}
