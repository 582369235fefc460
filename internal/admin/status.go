package admin

import (
	"time"

	"github.com/clientevents/clientevents/consumer"
	"github.com/clientevents/clientevents/event"
	"github.com/clientevents/clientevents/internal/health"
	"github.com/clientevents/clientevents/internal/quality"
	"github.com/clientevents/clientevents/internal/reload"
	"github.com/clientevents/clientevents/internal/tlsfile"
	"github.com/clientevents/clientevents/internal/version"
	"github.com/clientevents/clientevents/reporter"
)

// Status is what /status answers. docs/admin.md describes each field, and a test
// keeps the two equal. A field may come, and none goes or changes its meaning.
type Status struct {
	// Summary is the most important problem, or how fast events flow where there is
	// none; Problems are all problems.
	Summary  health.Problem   `json:"summary"`
	Problems []health.Problem `json:"problems"`

	Version  string    `json:"version"`
	Commit   string    `json:"commit"`
	Started  time.Time `json:"started"`
	Now      time.Time `json:"now"`
	Ready    bool      `json:"ready"`
	NotReady string    `json:"not_ready,omitempty"`
	Source   Source    `json:"source"`
	Group    Group     `json:"group"`
	// SchemaRegistry is why the schema registry can't be used.
	SchemaRegistry string      `json:"schema_registry,omitempty"`
	Destination    Destination `json:"destination"`

	InFlight int            `json:"in_flight"`
	Pending  int            `json:"pending"`
	Rates    health.Rates   `json:"rates"`
	Backlog  health.Backlog `json:"backlog"`
	// Recent are the outcomes of the records of the last five minutes.
	Recent health.Recent `json:"recent"`

	Outcomes map[string]uint64 `json:"outcomes"`
	Letters  map[string]uint64 `json:"dead_letters"`
	Latest   []LatestLetter    `json:"latest_dead_letters"`

	// Quality judges the journeys of the last hour.
	Quality quality.WindowReport `json:"quality"`

	Reporter   reporter.Status            `json:"reporter"`
	Partitions []consumer.PartitionStatus `json:"partitions"`
	// Keying is what the replica has seen of records that are not keyed by journey.
	Keying consumer.Keying `json:"keying"`
	// Rekey describes what input.rekey does; nil without it.
	Rekey  *RekeyStatus  `json:"rekey,omitempty"`
	Admin  AdminStatus   `json:"admin"`
	Config Configuration `json:"config"`
	// Certificates are the files of certificates in use, by key.
	Certificates []tlsfile.Expiry `json:"certificates"`
}

// Source is where the events come from.
type Source struct {
	Topic string `json:"topic"`
	Group string `json:"group"`
}

// Destination is where the events go.
type Destination struct {
	Endpoint string `json:"endpoint"`
	Version  string `json:"api_version"`
	Parent   string `json:"parent"`
}

// LatestLetter is a dead letter, with what its reason means.
type LatestLetter struct {
	consumer.RecentLetter
	Meaning string `json:"meaning"`
}

// status describes the pipeline at the moment, without secrets.
func (m *monitor) status() Status {
	s := m.Status()
	m.config.Secrets.Strings(&s)
	return s
}

// Status describes the pipeline at the moment.
func (m *monitor) Status() Status {
	p, now := m.pipeline, time.Now()
	f := m.facts(now)
	report := m.tracker.Report(&f)
	s := Status{
		Summary:        report.Summary,
		Problems:       report.Problems,
		Version:        version.Number(),
		Commit:         version.Commit(),
		Started:        m.started,
		Now:            now,
		Ready:          f.Readiness.Ready(),
		NotReady:       f.Readiness.String(),
		Source:         Source{m.config.Kafka.Topic, m.config.Kafka.Group},
		Group:          groupOf(f.Member, f.Throttled.Seconds()),
		SchemaRegistry: f.SchemaRegistry,
		InFlight:       f.InFlight,
		Pending:        f.Pending,
		Rates:          f.Rates,
		Backlog:        f.Backlog,
		Recent:         f.Recent,
		Latest:         []LatestLetter{},
		Quality:        m.pipeline.Quality(),
		Reporter:       f.Reporter,
		Partitions:     f.Partitions,
		Admin:          m.actions.status(now),
		Config:         m.configured(),
		Certificates:   f.Certificates,
		Destination: Destination{
			Endpoint: m.config.API.Endpoint, Version: m.config.API.Version.String(), Parent: m.config.API.Parent,
		},
	}
	s.Outcomes, s.Letters = p.Consumer().Counts()
	s.Rekey, s.Keying = rekeyOf(p.Consumer()), p.Consumer().Keying()
	for _, l := range p.Consumer().RecentLetters() {
		s.Latest = append(s.Latest, LatestLetter{l, meaning(l.Reason)})
	}
	if s.Partitions == nil {
		s.Partitions = []consumer.PartitionStatus{} // an empty list in JSON
	}
	if s.Problems == nil {
		s.Problems = []health.Problem{}
	}
	return s
}

// facts collects what the health is computed from.
func (m *monitor) facts(now time.Time) health.Facts {
	p := m.pipeline
	c := p.Consumer()
	f := health.Facts{
		Now: now, Topic: m.config.Kafka.Topic, DeadLetterTopic: m.config.Kafka.DeadLetterTopic,
		StateTopic: m.config.Kafka.StateTopic, ByRequestTopic: m.config.Kafka.ByRequestTopic(), Group: m.config.Kafka.Group, Parent: m.config.API.Parent,
		Readiness: p.Readiness(), Leased: c.Leased(now), Member: c.Group(), Throttled: c.Throttled(now),
		Partitions: c.Partitions(), Reporter: p.Reporter().Status(), SchemaRegistry: p.SchemaRegistry(),
		Operator: m.actions.operator(), InFlight: p.InFlight(), Pending: p.Pending(),
		Rates: m.rates(now), Recent: m.recent(now),
	}
	f.Uncommitted, f.Loss, f.State = c.Uncommitted(), c.Loss(), c.StateTopic()
	f.Config = m.configured().Hash
	f.Certificates = m.certificates.Expiries(now)
	f.Backlog = backlogOf(partitionsOf(c))
	if first := c.First(); first != nil {
		f.SourcePartitions = first.Partitions()
	}
	if r := m.reloader.Status(); r.Failed() {
		f.Reload = health.Reload{Error: r.Error, NeedsRestart: r.Result == reload.Rejected}
	}
	return f
}

func backlogOf(partitions []consumer.PartitionStatus) (b health.Backlog) {
	for i := range partitions {
		p := &partitions[i]
		b.Records += p.Lag
		b.Waiting += p.Waiting
		if !p.Oldest.IsZero() && (b.Oldest.IsZero() || p.Oldest.Before(b.Oldest)) {
			b.Oldest = p.Oldest
		}
	}
	return b
}

// meaning says in half a line what a dead letter's reason means.
func meaning(r event.Reason) string { return meanings[r] }

var meanings = map[event.Reason]string{
	event.ReasonMalformed:            "not one JSON object",
	event.ReasonUnknownField:         "a name that the API does not have",
	event.ReasonInvalidField:         "a value of the wrong JSON type",
	event.ReasonMissingEventID:       "no eventId",
	event.ReasonMissingRequestID:     "no requestId",
	event.ReasonMissingCreateTime:    "no createTime",
	event.ReasonMissingJobEvent:      "no jobEvent",
	event.ReasonMissingType:          "no type in jobEvent",
	event.ReasonMissingJobs:          "no jobs in jobEvent",
	event.ReasonInvalidCreateTime:    "createTime is not RFC 3339 with Z or an offset",
	event.ReasonInvalidType:          "a type that the API version does not have",
	event.ReasonInvalidJobName:       "not a job name of the API version",
	event.ReasonExtraInfoTooManyKeys: "more than 20 keys in extraInfo",
	event.ReasonExtraInfoTooLarge:    "more than 2,048 bytes in extraInfo",
	event.ReasonSelfParent:           "the event names itself as its parent",
	event.ReasonParentNotFound:       "the parent was not reported in time",
	event.ReasonParentMismatch:       "the parent's type or time cannot lead to this event",
	event.ReasonIDConflict:           "the id was reported before with other content",
	event.ReasonTooLarge:             "larger than a request may be",
	event.ReasonRejected:             "the API refused it for good",
	event.ReasonUndecodable:          "the record's bytes do not match input.format",
	event.ReasonUnmapped:             "input.mapping failed, or gave something that is not an object",
	event.ReasonPoison:               "the process ended each time it read the record",
}
