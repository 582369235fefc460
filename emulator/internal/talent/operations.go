package talent

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/clientevents/clientevents/emulator/internal/protojson"
)

// operation is a batch of changes, a google.longrunning.Operation. The batch is done
// before the answer to the call that began it. Like the service's, that answer has
// the operation in progress, and operations.get returns it as done.
type operation struct {
	Project string    `json:"project"`
	ID      string    `json:"id"`
	Created time.Time `json:"created"`
	// Verb is the kind of batch, such as BatchCreateJobs.
	Verb string `json:"verb"`
	// Results are JobResults, in the order of the request.
	Results  []any `json:"results"`
	Failures int   `json:"failures"`

	size int64
}

// operationRetention: operations can't be read after 30 days.
const operationRetention = 30 * 24 * time.Hour

// maxOperationBytes bounds the memory of all operations: the oldest are evicted.
const maxOperationBytes = 32 << 20

// maxBatch: "A maximum of 200 jobs can be created in a batch", and updated, and
// deleted.
const maxBatch = 200

// CreateJobs implements jobs.batchCreate.
func (c *Catalog) CreateJobs(v *Dialect, scope Scope, in Object) (Object, *Error) {
	return c.batch(v, scope, in, "BatchCreateJobs", "jobs", func(job any) (Object, *Error) {
		return c.createJob(v, scope, job.(Object), newJobID())
	})
}

// UpdateJobs implements jobs.batchUpdate. It identifies each job by its name.
func (c *Catalog) UpdateJobs(v *Dialect, scope Scope, in Object) (Object, *Error) {
	mask := Mask(text(in, "updateMask"))
	return c.batch(v, scope, in, "BatchUpdateJobs", "jobs", func(element any) (Object, *Error) {
		job := element.(Object)
		id, err := idIn(v, scope, text(job, "name"))
		if err != nil {
			return nil, err
		}
		return c.updateJob(v, scope, id, job, mask)
	})
}

// RemoveJobs implements v4's jobs.batchDelete.
func (c *Catalog) RemoveJobs(v *Dialect, scope Scope, in Object) (Object, *Error) {
	return c.batch(v, scope, in, "BatchDeleteJobs", "names", func(name any) (Object, *Error) {
		id, err := idIn(v, scope, name.(string))
		if err != nil {
			return nil, err
		}
		return c.deleteJob(v, scope, id)
	})
}

// idIn returns the ID in the name of a job of the scope.
func idIn(v *Dialect, scope Scope, name string) (string, *Error) {
	of, id, ok := v.ParseName(name, "jobs")
	switch {
	case !ok:
		return "", fieldErrorf(InvalidArgument, "job.name", "%q is not a job name, %s", protojson.Clip(name), v.nameForm("jobs", "job"))
	case of.key() != scope.key():
		return "", fieldErrorf(InvalidArgument, "job.name", "%q is not a job of %s", protojson.Clip(name), scope)
	}
	return id, nil
}

// batch calls change for each element of the list. A failure does not affect other
// elements.
func (c *Catalog) batch(v *Dialect, scope Scope, in Object, verb, field string, change func(element any) (Object, *Error)) (Object, *Error) {
	list, _ := in[field].([]any)
	switch {
	case len(list) == 0:
		return nil, fieldErrorf(InvalidArgument, field, "is required")
	case len(list) > maxBatch:
		return nil, fieldErrorf(InvalidArgument, field, "has %d entries, a maximum of %d is allowed in a batch", len(list), maxBatch)
	}
	if _, err := Mask(text(in, "updateMask")).fields(v, "Job"); err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, err := c.tenantOf(scope); err != nil {
		return nil, err
	}
	op := &operation{Project: scope.Project, ID: newID(), Created: c.now(), Verb: verb}
	for _, element := range list {
		o, err := change(element)
		if err != nil {
			op.Failures++
			op.Results = append(op.Results, failedResult(element, err))
			continue
		}
		op.Results = append(op.Results, Object{"job": basics(o)})
	}
	c.operations[op.name()] = op
	c.account(&op.size, sizeOf(Object{"results": op.Results}))
	c.operationBytes += op.size
	c.forgetOperations()
	c.disk.put(bucketOperations, op.name(), op)
	return op.object(v, false), nil
}

// basics: "Here Job only contains basic information including name, company,
// language_code and requisition_id".
func basics(o Object) Object {
	out := Object{}
	for _, name := range []string{"name", "company", "languageCode", "requisitionId"} {
		if value, has := o[name]; has {
			out[name] = value
		}
	}
	return out
}

func failedResult(element any, err *Error) Object {
	status := Object{"code": float64(err.Code), "message": err.Message}
	if len(err.Violations) > 0 {
		var list []any
		for _, one := range err.Violations {
			list = append(list, Object{"field": one.Field, "description": one.Description})
		}
		status["details"] = []any{Object{"@type": "type.googleapis.com/google.rpc.BadRequest", "fieldViolations": list}}
	}
	job, ok := element.(Object)
	if !ok {
		job = Object{"name": element}
	}
	return Object{"job": basics(job), "status": status}
}

func (op *operation) name() string { return "projects/" + op.Project + "/operations/" + op.ID }

// object returns the Operation in the version's form.
func (op *operation) object(v *Dialect, done bool) Object {
	typ := "type.googleapis.com/google.cloud.talent." + v.Version + "."
	at := protojson.FormatTime(op.Created)
	metadata := Object{
		"@type": typ + "BatchOperationMetadata", "state": "PROCESSING",
		"totalCount": float64(len(op.Results)), "createTime": at, "updateTime": at,
	}
	o := Object{"name": op.name(), "metadata": metadata}
	if !done {
		return o
	}
	// FAILED means that successCount is 0; otherwise the operation has succeeded.
	successes := len(op.Results) - op.Failures
	metadata["state"], metadata["endTime"] = "SUCCEEDED", at
	if successes == 0 {
		metadata["state"] = "FAILED"
		metadata["stateDescription"] = fmt.Sprintf("All %d jobs failed.", op.Failures)
	}
	for name, n := range map[string]int{"successCount": successes, "failureCount": op.Failures} {
		if n > 0 {
			metadata[name] = float64(n)
		}
	}
	response := op.Verb + "Response"
	if v.schema(response) == nil {
		response = "JobOperationResult" // v4beta1 has one message for all
	}
	o["done"] = true
	o["response"] = Object{"@type": typ + response, "jobResults": op.Results}
	return o
}

// Operation implements operations.get.
func (c *Catalog) Operation(v *Dialect, name string) (Object, *Error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.forgetOperations()
	op := c.operations[name]
	if op == nil {
		return nil, notFound(name)
	}
	return op.object(v, true), nil
}

// forgetOperations deletes operations that are too old, then the oldest while they
// exceed their memory.
func (c *Catalog) forgetOperations() {
	oldest := c.now().Add(-operationRetention)
	for name, op := range c.operations {
		if op.Created.Before(oldest) {
			c.forgetOperation(name, op)
		}
	}
	for c.operationBytes > maxOperationBytes && len(c.operations) > 1 {
		names := slices.Collect(maps.Keys(c.operations))
		name := slices.MinFunc(names, func(a, b string) int { return c.operations[a].Created.Compare(c.operations[b].Created) })
		c.forgetOperation(name, c.operations[name])
	}
}

func (c *Catalog) forgetOperation(name string, op *operation) {
	c.operationBytes -= op.size
	c.account(&op.size, -op.size)
	delete(c.operations, name)
	c.disk.remove(bucketOperations, name)
}
