package talent

import (
	"fmt"
	"maps"
	"time"

	"github.com/clientevents/clientevents/emulator/internal/protojson"
)

// job is the stored form of a job.
type job struct {
	Scope    Scope  `json:"scope"`
	ID       string `json:"id"`
	Sequence int64  `json:"sequence"`
	// Company is the ID of its company. Company, Language and Requisition
	// identify an open job.
	Company     string `json:"company"`
	Language    string `json:"language"`
	Requisition string `json:"requisition"`
	// Fields are the fields that the client set, and those with a default.
	Fields Object `json:"fields"`

	Created   time.Time `json:"created"`
	Updated   time.Time `json:"updated"`
	Published time.Time `json:"published"`
	Expires   time.Time `json:"expires"`
	// BornExpired jobs can't be updated, see postingExpireTime.
	BornExpired bool `json:"bornExpired,omitzero"`

	derived Object       // derivedInfo
	index   *searchIndex // nil until a search needs it
	open    bool         // see tenant.enter
	size    int64
}

func (j *job) sequenceNumber() int64 { return j.Sequence }

// identity is unique among the open jobs of a tenant: "A job is not allowed to
// be created if there is another job with the same company, language_code and
// requisition_id".
type identity struct{ company, language, requisition string }

func (j *job) identity() identity {
	return identity{j.Company, languageKey(j.Language), j.Requisition}
}

// CreateJob implements jobs.create.
func (c *Catalog) CreateJob(v *Dialect, scope Scope, in Object) (Object, *Error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.createJob(v, scope, in, newJobID())
}

func (c *Catalog) createJob(v *Dialect, scope Scope, in Object, id string) (Object, *Error) {
	t, err := c.tenantOf(scope)
	if err != nil {
		return nil, err
	}
	in = v.input("Job", in)
	now := c.now()
	made := &job{Scope: t.scope, ID: id, Created: now, Updated: now}
	if err := t.fill(v, made, in, in, nil, now); err != nil {
		return nil, err
	}
	if err := checkBirth(v, made, in, now); err != nil {
		return nil, err
	}
	if other := t.open[made.identity()]; other != nil {
		return nil, alreadyOpen(scope, other)
	}
	if err := c.resize(&made.size, made.Fields); err != nil {
		return nil, err
	}
	made.Sequence = c.next()
	c.hadJobs.Store(true)
	c.addJob(t, made, now)
	return t.jobObject(v, scope, made), nil
}

// checkBirth checks a job that is expired when it is created: "when creating
// a job with past timestamp, the posting_publish_time must be set before
// posting_expire_time". In v3 the job is "treated as expired immediately".
func checkBirth(v *Dialect, made *job, in Object, now time.Time) *Error {
	if v.Legacy || now.Before(made.Expires) {
		return nil
	}
	if _, set := in["postingPublishTime"]; !set || !made.Published.Before(made.Expires) {
		return fieldErrorf(InvalidArgument, "job.posting_publish_time",
			"must be set before job.posting_expire_time, since that (%s) is past", protojson.FormatTime(made.Expires))
	}
	made.BornExpired = true
	return nil
}

func alreadyOpen(scope Scope, other *job) *Error {
	return errorf(AlreadyExists, "%s is open and has the same company, language code and requisition id.", scope.name("jobs", other.ID))
}

func (c *Catalog) addJob(t *tenant, made *job, now time.Time) {
	t.jobs[made.ID] = made
	t.companies[made.Company].jobs++
	t.enter(made, now)
	c.countOpen(t, now)
	c.saveJob(made)
	c.settle(t, now) // one more expired job may be one too many
}

// UpdateJob implements jobs.patch.
func (c *Catalog) UpdateJob(v *Dialect, scope Scope, id string, in Object, mask Mask) (Object, *Error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.updateJob(v, scope, id, in, mask)
}

func (c *Catalog) updateJob(v *Dialect, scope Scope, id string, in Object, mask Mask) (Object, *Error) {
	t, old, err := c.job(scope, id)
	if err != nil {
		return nil, err
	}
	if err := checkSentName("job", in, scope.name("jobs", id)); err != nil {
		return nil, err
	}
	if old.BornExpired {
		// "This kind of job can not be updated. … If you want to modify a job
		// that was expired on creation, delete it and create a new one".
		return nil, errorf(FailedPrecondition, "%s was expired when it was created, so it can't be updated; delete it and create a new one.",
			scope.name("jobs", id))
	}
	fields, err := mask.fields(v, "Job")
	if err != nil {
		return nil, err
	}
	now := c.now()
	updated := *old
	updated.Updated = now
	sent := fields.only(v.input("Job", in))
	merged := v.named(fields.merge(v, old.Fields, v.kept(sent)))
	if _, has := merged[v.CompanyName]; !has && !fields.has(v.CompanyName) {
		merged[v.CompanyName] = scope.name("companies", old.Company)
	}
	if err := t.fill(v, &updated, sent, merged, fields, now); err != nil {
		return nil, err
	}
	// "Updating an expired job fails if there is another existing open job with
	// same company, language_code and requisition_id".
	if other := t.open[updated.identity()]; other != nil && other != old {
		return nil, alreadyOpen(scope, other)
	}
	if err := c.resize(&updated.size, updated.Fields); err != nil {
		return nil, err
	}
	c.replaceJob(t, old, updated, now)
	return t.jobObject(v, scope, old), nil
}

// replaceJob replaces old by updated.
func (c *Catalog) replaceJob(t *tenant, old *job, updated job, now time.Time) {
	t.leave(old)
	t.companies[old.Company].jobs--
	*old = updated
	t.companies[old.Company].jobs++
	t.enter(old, now)
	c.countOpen(t, now)
	c.saveJob(old)
	c.settle(t, now)
}

// job returns an open job, or one that is "recently expired within the last 90
// days".
func (c *Catalog) job(scope Scope, id string) (*tenant, *job, *Error) {
	t, err := c.tenantOf(scope)
	if err != nil {
		return nil, nil, err
	}
	if j := t.jobs[id]; j != nil {
		return t, j, nil
	}
	return nil, nil, notFound(scope.name("jobs", id))
}

// GetJob implements jobs.get.
func (c *Catalog) GetJob(v *Dialect, scope Scope, id string) (Object, *Error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	t, j, err := c.job(scope, id)
	if err != nil {
		return nil, err
	}
	return t.jobObject(v, scope, j), nil
}

// DeleteJob implements jobs.delete. In v3 "the expired job can't be deleted or listed".
func (c *Catalog) DeleteJob(v *Dialect, scope Scope, id string) *Error {
	c.mu.Lock()
	defer c.mu.Unlock()
	_, err := c.deleteJob(v, scope, id)
	return err
}

// deleteJob returns the job's state before its deletion.
func (c *Catalog) deleteJob(v *Dialect, scope Scope, id string) (Object, *Error) {
	t, j, err := c.job(scope, id)
	if err != nil {
		return nil, err
	}
	if v.Legacy && !j.open {
		return nil, errorf(FailedPrecondition, "%s is expired, and %s can't delete expired jobs; it is deleted 90 days after its expire time.",
			scope.name("jobs", id), v.Version)
	}
	o := t.jobObject(v, scope, j)
	c.forgetJob(t, j)
	return o, nil
}

func (c *Catalog) forgetJob(t *tenant, j *job) {
	t.leave(j)
	c.account(&j.size, -j.size)
	t.companies[j.Company].jobs--
	delete(t.jobs, j.ID)
	c.disk.remove(bucketJobs, j.Scope.name("jobs", j.ID))
}

func (c *Catalog) saveJob(j *job) { c.disk.put(bucketJobs, j.Scope.name("jobs", j.ID), j) }

// DeleteJobs implements the batchDelete of v3 and v4beta1: it deletes the jobs that
// match the filter before it returns.
func (c *Catalog) DeleteJobs(v *Dialect, scope Scope, filter string) *Error {
	f, err := parseFilter(v, filter)
	if err != nil {
		return err
	}
	// "companyName (Required), requisitionId (Required)".
	var bad violations
	if f.company == "" {
		bad.add("filter", "companyName is required")
	}
	if f.requisition == "" {
		bad.add("filter", "requisitionId is required")
	}
	if f.status != "" {
		bad.add("filter", "status can't be filtered by here")
	}
	if err := bad.err(); err != nil {
		return err
	}
	if !v.Legacy { // v3 can't delete expired jobs
		f.status = "ALL"
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	t, err := c.tenantOf(scope)
	if err != nil {
		return err
	}
	for _, j := range t.jobsOf(f.matcher(v, t)) {
		c.forgetJob(t, j)
	}
	return nil
}

// ListJobs implements jobs.list, in the order of creation.
func (c *Catalog) ListJobs(v *Dialect, scope Scope, filter, view string, p Page) (some []any, next string, err *Error) {
	f, err := parseFilter(v, filter)
	if err != nil {
		return nil, "", err
	}
	// "At least one of companyName and requisitionId must present or an
	// INVALID_ARGUMENT error is thrown".
	if f.company == "" && f.requisition == "" {
		return nil, "", fieldErrorf(InvalidArgument, "filter", "needs companyName or requisitionId, such as companyName = %q",
			v.nameForm("companies", "company"))
	}
	show, err := viewOf(view, viewFull)
	if err != nil {
		return nil, "", err
	}
	most := 100
	if show == viewIDOnly {
		most = 1000
	}
	if p.Size < 1 {
		p.Size = 100
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	t, err := c.tenantOf(scope)
	if err != nil {
		return nil, "", err
	}
	q := questionOf(fmt.Sprint("jobs of ", scope.key(), f))
	return list(q, p.Token, pageSize(p.Size, most), t.jobsOf(f.matcher(v, t)), func(j *job) Object {
		return show.of(t.jobObject(v, scope, j))
	})
}

// jobObject returns the job in the version's form.
func (t *tenant) jobObject(v *Dialect, scope Scope, j *job) Object {
	o := maps.Clone(j.Fields)
	o["name"] = scope.name("jobs", j.ID)
	o["company"] = scope.name("companies", j.Company)
	o["companyDisplayName"] = t.companies[j.Company].displayName()
	o["languageCode"] = j.Language
	o["postingCreateTime"] = protojson.FormatTime(j.Created)
	o["postingUpdateTime"] = protojson.FormatTime(j.Updated)
	o["postingPublishTime"] = protojson.FormatTime(j.Published)
	o["postingExpireTime"] = protojson.FormatTime(j.Expires)
	if len(j.derived) > 0 {
		o["derivedInfo"] = j.derived
	}
	return v.named(o)
}
