package emulator

import (
	"bytes"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/clientevents/clientevents/emulator/internal/protojson"
	"github.com/clientevents/clientevents/emulator/internal/talent"
	"github.com/clientevents/clientevents/internal/discovery"
)

// Event is an accepted client event of any version.
// Its JSON is the ClientEvent message of the API.
type Event struct {
	RequestID     string
	EventID       string
	ParentEventID string // v3 and v3p1beta1 only
	CreateTime    time.Time
	Type          string // the name of the JobEventType, such as "VIEW"
	Jobs          []string
	Profile       string            // v4beta1 only
	ExtraInfo     map[string]string // v3 and v3p1beta1 only
	Notes         string            // eventNotes; v4beta1 and v4 only
}

// MarshalJSON writes the event as the API answers it.
func (e Event) MarshalJSON() ([]byte, error) {
	return appendEvent(nil, &e, false), nil
}

// jobEventTypes are the names of the enum JobEventType by their numbers.
var jobEventTypes = []string{
	"JOB_EVENT_TYPE_UNSPECIFIED",
	"IMPRESSION",
	"VIEW",
	"VIEW_REDIRECT",
	"APPLICATION_START",
	"APPLICATION_FINISH",
	"APPLICATION_QUICK_SUBMISSION",
	"APPLICATION_REDIRECT",
	"APPLICATION_START_FROM_SEARCH",
	"APPLICATION_REDIRECT_FROM_SEARCH",
	"APPLICATION_COMPANY_SUBMIT",
	"BOOKMARK",
	"NOTIFICATION",
	"HIRED",
	"SENT_CV",
	"INTERVIEW_GRANTED",
	"NOT_INTERESTED", // v3 and v3p1beta1 only
}

// The bounds of extraInfo ("at most 20 keys", "2 KB" for all keys and values
// together, jobs/v3 discovery document). That a KB is 1,024 bytes of UTF-8 is
// this package's choice.
const (
	maxExtraKeys  = 20
	maxExtraBytes = 2048
)

// version is one version of the API, as far as client events are concerned.
type version struct {
	name string
	// legacy versions have parentEventId, extraInfo, NOT_INTERESTED and a required
	// requestId, which v4beta1 removed.
	legacy bool
	// wrapped reports whether the body is {"clientEvent": E}; otherwise it is E.
	wrapped bool
	// bareJobs and tenantJobs report whether jobs have names of the form
	// projects/P/jobs/J and projects/P/tenants/T/jobs/J.
	bareJobs, tenantJobs bool

	request protojson.Message[eventRequest]
	event   protojson.Message[eventRequest]
}

// eventRequest is a CreateClientEventRequest as it is decoded.
type eventRequest struct {
	event Event
	// raw is the ClientEvent's own JSON in the body.
	raw []byte
	// hasEvent and hasJob distinguish an empty message from a missing one.
	hasEvent, hasJob bool
}

// eventField is a field of the messages around an event.
type eventField = protojson.Field[eventRequest]

// stringField returns a field that is read into a string of the event.
func stringField(json, proto string, dst func(*Event) *string) eventField {
	return eventField{JSON: json, Proto: proto, Read: func(d *protojson.Decoder, r *eventRequest) error {
		return d.String(dst(&r.event))
	}}
}

// newVersion builds the decoding tables of a version.
func newVersion(v version) *version {
	pkg := "google.cloud.talent." + v.name
	v.event = protojson.Message[eventRequest]{Type: pkg + ".ClientEvent", Fields: v.eventFields(pkg)}
	v.request = protojson.Message[eventRequest]{Type: pkg + ".CreateClientEventRequest", Fields: []eventField{
		{JSON: "clientEvent", Proto: "client_event", Read: func(d *protojson.Decoder, r *eventRequest) error {
			r.hasEvent = d.Peek() == '{'
			start := d.Offset()
			err := v.event.Read(d, r)
			r.raw = trimValue(d.Since(start))
			return err
		}},
	}}
	if v.name == "v4beta1" {
		// The method's body is "*", and Go's generated client repeats the
		// parent in it. The parent in the path counts.
		v.request.Fields = append(v.request.Fields, eventField{
			JSON: "parent", Proto: "parent",
			Read: func(d *protojson.Decoder, _ *eventRequest) error {
				var parent string
				return d.String(&parent)
			},
		})
	}
	return &v
}

// eventFields returns the fields of a ClientEvent.
func (v *version) eventFields(pkg string) []eventField {
	job := v.jobEvent(pkg)
	fields := []eventField{
		stringField("requestId", "request_id", func(e *Event) *string { return &e.RequestID }),
		stringField("eventId", "event_id", func(e *Event) *string { return &e.EventID }),
		{JSON: "createTime", Proto: "create_time", Read: func(d *protojson.Decoder, r *eventRequest) error {
			return d.Timestamp(&r.event.CreateTime, "createTime")
		}},
		{JSON: "jobEvent", Proto: "job_event", Read: func(d *protojson.Decoder, r *eventRequest) error {
			r.hasJob = r.hasJob || d.Peek() == '{'
			return job.Read(d, r)
		}},
	}
	if !v.legacy {
		return append(fields, stringField("eventNotes", "event_notes", func(e *Event) *string { return &e.Notes }))
	}
	return append(fields,
		stringField("parentEventId", "parent_event_id", func(e *Event) *string { return &e.ParentEventID }),
		eventField{JSON: "extraInfo", Proto: "extra_info", Read: func(d *protojson.Decoder, r *eventRequest) error {
			return d.StringMap(&r.event.ExtraInfo)
		}})
}

// jobEvent returns the table of a JobEvent.
func (v *version) jobEvent(pkg string) *protojson.Message[eventRequest] {
	types := jobEventTypes
	if !v.legacy {
		types = types[:len(types)-1]
	}
	job := &protojson.Message[eventRequest]{Type: pkg + ".JobEvent", Fields: []eventField{
		{JSON: "type", Proto: "type", Read: func(d *protojson.Decoder, r *eventRequest) error {
			return d.Enum(&r.event.Type, pkg+".JobEvent.JobEventType", types)
		}},
		{JSON: "jobs", Proto: "jobs", Read: func(d *protojson.Decoder, r *eventRequest) error { return d.Strings(&r.event.Jobs) }},
	}}
	if v.name == "v4beta1" {
		job.Fields = append(job.Fields, stringField("profile", "profile", func(e *Event) *string { return &e.Profile }))
	}
	return job
}

// trimValue returns the JSON value without the separators before it.
func trimValue(b []byte) []byte {
	i := 0
	for i < len(b) && strings.IndexByte(" \t\r\n:", b[i]) >= 0 {
		i++
	}
	return b[i:]
}

// decode reads and checks the body of a clientEvents.create.
func (v *version) decode(d *protojson.Decoder, body []byte) (eventRequest, *apiError) {
	var r eventRequest
	var bad *protojson.Fault
	if v.wrapped {
		d.Reset(body)
		bad = v.request.Root(d, &r)
	} else {
		d.Reset(body, "client_event")
		r.hasEvent = true
		bad = v.event.Root(d, &r)
		r.raw = body
	}
	if bad != nil {
		return r, badRequestOf(bad)
	}
	return r, v.check(&r)
}

// check applies the rules that go beyond the form. Google does not document its
// messages for them; these are the emulator's own.
func (v *version) check(r *eventRequest) *apiError {
	var bad []fieldViolation
	no := func(field, format string, args ...any) {
		bad = append(bad, fieldViolation{Field: field, Description: fmt.Sprintf(format, args...)})
	}
	e := &r.event
	if !r.hasEvent {
		no("client_event", "is required")
		return missing(bad)
	}
	if v.legacy && e.RequestID == "" {
		no("client_event.request_id", "is required")
	}
	if e.EventID == "" {
		no("client_event.event_id", "is required")
	}
	if e.CreateTime.IsZero() {
		no("client_event.create_time", "is required")
	}
	v.checkJob(r, no)
	checkExtra(e.ExtraInfo, no)
	if bad == nil {
		return nil
	}
	return missing(bad)
}

func (v *version) checkJob(r *eventRequest, no func(string, string, ...any)) {
	if !r.hasJob {
		no("client_event.job_event", "is required")
		return
	}
	if r.event.Type == "" || r.event.Type == jobEventTypes[0] {
		no("client_event.job_event.type", "is required")
	}
	if len(r.event.Jobs) == 0 {
		no("client_event.job_event.jobs", "is required")
	}
	for i, name := range r.event.Jobs {
		if !v.isJobName(name) {
			no(fmt.Sprintf("client_event.job_event.jobs[%d]", i), "%q is not a job name, %s", protojson.Clip(name), v.jobNames())
		}
	}
}

func checkExtra(extra map[string]string, no func(string, string, ...any)) {
	if len(extra) > maxExtraKeys {
		no("client_event.extra_info", "has %d keys, at most %d are allowed", len(extra), maxExtraKeys)
	}
	size := 0
	for key, value := range extra {
		size += len(key) + len(value)
	}
	if size > maxExtraBytes {
		no("client_event.extra_info", "has %d bytes in all keys and values, at most %d are allowed", size, maxExtraBytes)
	}
}

func missing(bad []fieldViolation) *apiError {
	lines := make([]string, len(bad))
	for i, v := range bad {
		lines[i] = v.Field + " " + v.Description
	}
	return badFields("Following fields are missing or invalid: "+strings.Join(lines, "; "), bad)
}

// isJobName reports whether name has the form of a job name in v.
func (v *version) isJobName(name string) bool {
	scope, _, ok := talent.ParseName(name, "jobs")
	return ok && (scope.Tenant != "" && v.tenantJobs || scope.Tenant == "" && v.bareJobs)
}

func (v *version) jobNames() string { return talent.NameForm(v.bareJobs, v.tenantJobs, "jobs", "job") }

// createClientEvent implements clientEvents.create.
func (v *version) createClientEvent(e *Emulator, c *call) ([]byte, *apiError) {
	parent := c.parent()
	if _, _, ok := talent.ParseName(parent, ""); !ok {
		return nil, badName(parent, strings.Join(v.parents(), " or "))
	}
	r, err := v.decode(c.dec, c.body)
	if err != nil {
		return nil, err
	}
	a := Accepted{
		Time:    c.arrived,
		Version: v.name,
		Parent:  parent,
		Part:    c.part,
		Event:   r.event,
		Raw:     bytes.Clone(r.raw), // the body around it may be much larger
	}
	a.Warnings = e.warnings(&a)
	a.Duplicate = e.store.accept(&a)
	e.judge(&a)
	if e.onAccept != nil {
		e.onAccept(a)
	}
	return c.answer(func(dst []byte) []byte { return appendEvent(dst, &a.Event, c.params.enumNumbers) })
}

// appendEvent writes e as compact proto3 JSON, in the order of the proto file.
func appendEvent(dst []byte, e *Event, enumNumbers bool) []byte {
	dst = append(dst, '{')
	dst = appendString(dst, "requestId", e.RequestID)
	dst = appendString(dst, "eventId", e.EventID)
	dst = appendString(dst, "parentEventId", e.ParentEventID)
	if !e.CreateTime.IsZero() {
		dst = append(protojson.AppendName(dst, "createTime"), '"')
		dst = append(e.CreateTime.UTC().AppendFormat(dst, protojson.TimeLayout(e.CreateTime)), '"')
	}
	dst = append(protojson.AppendName(dst, "jobEvent"), '{')
	dst = appendType(dst, e.Type, enumNumbers)
	dst = appendStrings(dst, "jobs", e.Jobs)
	dst = appendString(dst, "profile", e.Profile)
	dst = append(dst, '}')
	if len(e.ExtraInfo) > 0 {
		dst = append(protojson.AppendName(dst, "extraInfo"), '{')
		for _, key := range slices.Sorted(maps.Keys(e.ExtraInfo)) {
			dst = protojson.AppendQuoted(protojson.AppendName(dst, key), e.ExtraInfo[key])
		}
		dst = append(dst, '}')
	}
	dst = appendString(dst, "eventNotes", e.Notes)
	return append(dst, '}')
}

func appendType(dst []byte, name string, number bool) []byte {
	if name == "" {
		return dst
	}
	if i := slices.Index(jobEventTypes, name); number && i >= 0 {
		return fmt.Appendf(protojson.AppendName(dst, "type"), "%d", i)
	}
	return protojson.AppendQuoted(protojson.AppendName(dst, "type"), name)
}

// appendString writes a member, except an empty one, as proto3 does.
func appendString(dst []byte, name, value string) []byte {
	if value == "" {
		return dst
	}
	return protojson.AppendQuoted(protojson.AppendName(dst, name), value)
}

func appendStrings(dst []byte, name string, values []string) []byte {
	if len(values) == 0 {
		return dst
	}
	dst = append(protojson.AppendName(dst, name), '[')
	for i, s := range values {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = protojson.AppendQuoted(dst, s)
	}
	return append(dst, ']')
}

// eventVersions are the versions that know clientEvents.create.
var eventVersions = []*version{
	newVersion(version{name: "v3", legacy: true, wrapped: true, bareJobs: true}),
	newVersion(version{name: "v3p1beta1", legacy: true, wrapped: true, bareJobs: true}),
	newVersion(version{name: "v4beta1", wrapped: true, bareJobs: true, tenantJobs: true}),
	newVersion(version{name: "v4", tenantJobs: true}),
}

// clientEventRoutes returns the paths of clientEvents.create in all versions.
func clientEventRoutes() []route {
	var routes []route
	for _, v := range eventVersions {
		for _, parent := range v.parents() {
			r := newRoute(http.MethodPost, v.name+"/"+parent+"/clientEvents", v.createClientEvent)
			r.response = v.response
			routes = append(routes, r)
		}
	}
	return routes
}

// parents returns the patterns of the names that events belong to.
func (v *version) parents() []string {
	var parents []string
	if v.bareJobs {
		parents = append(parents, "projects/*")
	}
	if v.tenantJobs {
		parents = append(parents, "projects/*/tenants/*")
	}
	return parents
}

// response returns the schema of the answer. v3p1beta1 has no document of its own;
// its events are v3's.
func (v *version) response() (*discovery.API, *discovery.Schema) {
	for _, r := range resourceVersions {
		if strings.HasPrefix(v.name, r.version) {
			api := r.dialect().API
			return api, api.Schemas["ClientEvent"]
		}
	}
	panic("emulator: no document describes " + v.name)
}
