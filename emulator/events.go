package emulator

import (
	"fmt"
	"mime"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"
)

// dialect is what one version of the API has of its own.
type dialect struct {
	version string
	// parents are the collections that a parent consists of.
	parents [][]string
	// wrapped says that the body is a request message around the event.
	wrapped bool
	// typ is the package of its messages.
	typ string
	// requestIDRequired, links and notes say which fields there are.
	requestIDRequired, links, notes bool
	types                           []string
	profile                         bool
	body                            *message[createRequest]
	event                           *message[clientEvent]
}

// createRequest is CreateClientEventRequest.
type createRequest struct {
	Parent string
	Event  *clientEvent
}

// clientEvent is ClientEvent in any version.
type clientEvent struct {
	RequestID, EventID, ParentID string
	CreateTime                   time.Time
	JobEvent                     *jobEvent
	ExtraInfo                    map[string]string
	Notes                        string
}

type jobEvent struct {
	Type    string
	Jobs    []string
	Profile string
}

// typeNames are the values of JobEventType; a name's index is its number
// (google/cloud/talent/v4/event.proto). The last is of v3 alone.
var typeNames = []string{
	"JOB_EVENT_TYPE_UNSPECIFIED", "IMPRESSION", "VIEW", "VIEW_REDIRECT", "APPLICATION_START", "APPLICATION_FINISH",
	"APPLICATION_QUICK_SUBMISSION", "APPLICATION_REDIRECT", "APPLICATION_START_FROM_SEARCH",
	"APPLICATION_REDIRECT_FROM_SEARCH", "APPLICATION_COMPANY_SUBMIT", "BOOKMARK", "NOTIFICATION", "HIRED", "SENT_CV",
	"INTERVIEW_GRANTED", "NOT_INTERESTED",
}

var (
	ofProject = []string{"projects"}
	ofTenant  = []string{"projects", "tenants"}
)

var dialects = func() map[string]*dialect {
	all := map[string]*dialect{}
	for _, d := range []*dialect{
		{version: "v3", parents: [][]string{ofProject}, wrapped: true, requestIDRequired: true, links: true, types: typeNames},
		{version: "v3p1beta1", parents: [][]string{ofProject}, wrapped: true, requestIDRequired: true, links: true, types: typeNames},
		{version: "v4beta1", parents: [][]string{ofProject, ofTenant}, wrapped: true, notes: true, profile: true, types: typeNames[:16]},
		{version: "v4", parents: [][]string{ofTenant}, notes: true, types: typeNames[:16]},
	} {
		d.build()
		all[d.version] = d
	}
	return all
}()

func (d *dialect) build() {
	d.typ = "google.cloud.talent." + d.version
	job := &message[jobEvent]{typ: d.typ + ".JobEvent", fields: []field[jobEvent]{
		{"type", "type", func(dec *decoder, m *jobEvent) error {
			return dec.enum(&m.Type, d.typ+".JobEvent.JobEventType", d.types)
		}},
		{"jobs", "jobs", func(dec *decoder, m *jobEvent) error { return dec.strings(&m.Jobs) }},
	}}
	if d.profile {
		job.fields = append(job.fields, field[jobEvent]{"profile", "profile", func(dec *decoder, m *jobEvent) error { return dec.string(&m.Profile) }})
	}
	d.event = &message[clientEvent]{typ: d.typ + ".ClientEvent", fields: []field[clientEvent]{
		{"requestId", "request_id", func(dec *decoder, m *clientEvent) error { return dec.string(&m.RequestID) }},
		{"eventId", "event_id", func(dec *decoder, m *clientEvent) error { return dec.string(&m.EventID) }},
		{"createTime", "create_time", func(dec *decoder, m *clientEvent) error { return dec.timestamp(&m.CreateTime, "createTime") }},
		{"jobEvent", "job_event", func(dec *decoder, m *clientEvent) error {
			if dec.json.PeekKind() == 'n' {
				return dec.json.SkipValue()
			}
			m.JobEvent = &jobEvent{}
			return job.read(dec, m.JobEvent)
		}},
	}}
	if d.links {
		d.event.fields = append(d.event.fields,
			field[clientEvent]{"parentEventId", "parent_event_id", func(dec *decoder, m *clientEvent) error { return dec.string(&m.ParentID) }},
			field[clientEvent]{"extraInfo", "extra_info", func(dec *decoder, m *clientEvent) error { return dec.stringMap(&m.ExtraInfo) }})
	}
	if d.notes {
		d.event.fields = append(d.event.fields,
			field[clientEvent]{"eventNotes", "event_notes", func(dec *decoder, m *clientEvent) error { return dec.string(&m.Notes) }})
	}
	d.body = &message[createRequest]{typ: d.typ + ".CreateClientEventRequest", fields: []field[createRequest]{
		{"parent", "parent", func(dec *decoder, m *createRequest) error { return dec.string(&m.Parent) }},
		{"clientEvent", "client_event", func(dec *decoder, m *createRequest) error {
			if dec.json.PeekKind() == 'n' {
				return dec.json.SkipValue()
			}
			m.Event = &clientEvent{}
			return d.event.read(dec, m.Event)
		}},
	}}
}

// route finds what a path means.
func route(e *Emulator, req request) (reply, *apiError) {
	segments := strings.Split(strings.TrimPrefix(req.path, "/"), "/")
	d := dialects[segments[0]]
	if d == nil || segments[len(segments)-1] != "clientEvents" || !d.isParent(segments[1:len(segments)-1]) {
		return reply{}, errorf(http.StatusNotFound, "The requested URL %s was not found on this server.", clip(req.path))
	}
	if req.method != http.MethodPost {
		return reply{}, errorf(http.StatusMethodNotAllowed, "Method %s is not allowed for %s.", clip(req.method), clip(req.path))
	}
	return e.createEvent(d, strings.Join(segments[1:len(segments)-1], "/"), req)
}

func (d *dialect) isParent(segments []string) bool {
	for _, collections := range d.parents {
		if len(segments) != 2*len(collections) {
			continue
		}
		ok := true
		for i, c := range collections {
			ok = ok && segments[2*i] == c && segments[2*i+1] != ""
		}
		if ok {
			return true
		}
	}
	return false
}

// createEvent is clientEvents.create.
func (e *Emulator) createEvent(d *dialect, parent string, req request) (reply, *apiError) {
	if kind, _, err := mime.ParseMediaType(req.header.Get("Content-Type")); req.header.Get("Content-Type") != "" && (err != nil || kind != "application/json") {
		return reply{}, errorf(http.StatusBadRequest, "Invalid content type %q: want application/json.", clip(req.header.Get("Content-Type")))
	}
	ev, err := d.decode(req.body)
	if err != nil {
		return reply{}, err
	}
	if err := d.check(ev); err != nil {
		return reply{}, err
	}
	body := d.appendEvent(nil, ev, req.params.enumNumbers)
	accepted := Accepted{
		Version: d.version, Parent: parent, EventID: ev.EventID, RequestID: ev.RequestID, ParentEventID: ev.ParentID,
		Type: ev.JobEvent.Type, Jobs: ev.JobEvent.Jobs, Event: body, Arrived: time.Now(),
	}
	e.store.accept(accepted)
	if e.o.OnAccept != nil {
		e.o.OnAccept(accepted)
	}
	if req.params.fields != nil {
		if body, _ = req.params.fields.apply(body); body == nil {
			return reply{}, errorf(http.StatusBadRequest, "Invalid field selection.")
		}
	}
	if !req.params.compact {
		value := jsontext.Value(append([]byte(nil), body...))
		if value.Indent(jsontext.WithIndent("  ")) == nil {
			body = append(value, '\n')
		}
	}
	return reply{status: http.StatusOK, body: body}, nil
}

func (d *dialect) decode(body []byte) (*clientEvent, *apiError) {
	dec := newDecoder()
	if !d.wrapped {
		dec.reset(body)
		ev := &clientEvent{}
		return ev, d.event.root(dec, ev)
	}
	dec.reset(body)
	m := &createRequest{}
	if err := d.body.root(dec, m); err != nil {
		return nil, err
	}
	if m.Event == nil {
		return nil, required("client_event")
	}
	return m.Event, nil
}

func required(name string) *apiError {
	message := fmt.Sprintf("Field %s is required.", name)
	return badFields(message, []fieldViolation{{Field: name, Description: message}})
}

// Limits of extraInfo. The documents say "2 KB" without saying what a KB is;
// here it is 2,048 bytes.
const (
	maxExtraKeys  = 20
	maxExtraBytes = 2048
)

// check refuses what Google documents as required or bounded. It is not known
// that the real service checks job names, so here it does not.
func (d *dialect) check(ev *clientEvent) *apiError {
	prefix := "client_event."
	switch {
	case d.requestIDRequired && ev.RequestID == "":
		return required(prefix + "request_id")
	case ev.EventID == "":
		return required(prefix + "event_id")
	case ev.CreateTime.IsZero():
		return required(prefix + "create_time")
	case ev.JobEvent == nil:
		return required(prefix + "job_event")
	case ev.JobEvent.Type == "" || ev.JobEvent.Type == typeNames[0]:
		return required(prefix + "job_event.type")
	case len(ev.JobEvent.Jobs) == 0:
		return required(prefix + "job_event.jobs")
	}
	size := 0
	for key, value := range ev.ExtraInfo {
		size += len(key) + len(value)
	}
	if len(ev.ExtraInfo) > maxExtraKeys || size > maxExtraBytes {
		message := fmt.Sprintf("client_event.extra_info has %d keys and %d bytes: at most %d keys and %d bytes are supported.",
			len(ev.ExtraInfo), size, maxExtraKeys, maxExtraBytes)
		return badFields(message, []fieldViolation{{Field: prefix + "extra_info", Description: message}})
	}
	return nil
}

// appendEvent writes the event as the answer has it.
func (d *dialect) appendEvent(b []byte, ev *clientEvent, numbers bool) []byte {
	str := func(name, value string) {
		if value != "" {
			b = append(b, `,"`+name+`":`...)
			b, _ = jsontext.AppendQuote(b, value)
		}
	}
	b = append(b, `{"eventId":`...)
	b, _ = jsontext.AppendQuote(b, ev.EventID)
	str("requestId", ev.RequestID)
	str("parentEventId", ev.ParentID)
	b = append(b, `,"createTime":"`...)
	b = append(b, ev.CreateTime.UTC().Format("2006-01-02T15:04:05")+protoFraction(ev.CreateTime.Nanosecond())+`Z"`...)
	b = append(b, `,"jobEvent":{"type":`...)
	if numbers {
		for i, name := range typeNames {
			if name == ev.JobEvent.Type {
				b = strconv.AppendInt(b, int64(i), 10)
			}
		}
	} else {
		b = append(b, `"`+ev.JobEvent.Type+`"`...)
	}
	b = append(b, `,"jobs":[`...)
	for i, name := range ev.JobEvent.Jobs {
		if i > 0 {
			b = append(b, ',')
		}
		b, _ = jsontext.AppendQuote(b, name)
	}
	b = append(b, ']')
	str("profile", ev.JobEvent.Profile)
	b = append(b, '}')
	if len(ev.ExtraInfo) > 0 {
		b = appendExtraInfo(append(b, `,"extraInfo":{`...), ev.ExtraInfo)
		b = append(b, '}')
	}
	str("eventNotes", ev.Notes)
	return append(b, '}')
}
