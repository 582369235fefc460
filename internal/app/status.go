package app

import (
	"time"

	"github.com/clientevents/clientevents/consumer"
	"github.com/clientevents/clientevents/event"
	"github.com/clientevents/clientevents/internal/version"
	"github.com/clientevents/clientevents/reporter"
)

// Status is what /status answers. docs/admin.md describes each field, and a test
// keeps the two equal. A field may come, and none goes or changes its meaning.
type Status struct {
	Summary     Summary     `json:"summary"`
	Version     string      `json:"version"`
	Commit      string      `json:"commit"`
	Started     time.Time   `json:"started"`
	Now         time.Time   `json:"now"`
	Ready       bool        `json:"ready"`
	NotReady    string      `json:"not_ready,omitempty"`
	Source      Source      `json:"source"`
	Destination Destination `json:"destination"`

	InFlight int     `json:"in_flight"`
	Pending  int     `json:"pending"`
	Rates    Rates   `json:"rates"`
	Backlog  Backlog `json:"backlog"`

	Outcomes map[string]uint64 `json:"outcomes"`
	Letters  map[string]uint64 `json:"dead_letters"`
	Latest   []LatestLetter    `json:"latest_dead_letters"`

	Reporter   reporter.Status            `json:"reporter"`
	Partitions []consumer.PartitionStatus `json:"partitions"`
	Admin      AdminStatus                `json:"admin"`

	// unleased says that no broker has confirmed in time that the partitions are
	// this replica's.
	unleased bool
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

// Rates are records a second by outcome, over the last ten seconds.
type Rates struct {
	Reported   float64 `json:"reported"`
	Duplicate  float64 `json:"duplicate"`
	DeadLetter float64 `json:"dead_letter"`
	Skipped    float64 `json:"skipped"`
	// EndToEnd is the mean time in seconds from a record's timestamp to the
	// API's acceptance, of the events that were accepted in these ten seconds.
	EndToEnd float64 `json:"end_to_end_seconds"`
	// Throttled is the share of these ten seconds, 0 to 1, in which events waited
	// for the rate limit or the API.
	Throttled float64 `json:"throttled_share"`
}

// Backlog is what has no outcome yet, on the partitions of this replica.
type Backlog struct {
	Records int64 `json:"records"`
	// Oldest is the timestamp of the oldest record that was read and has no
	// outcome; zero where there is none.
	Oldest  time.Time `json:"oldest,omitzero"`
	Waiting int       `json:"waiting_for_parent"`
}

// LatestLetter is a dead letter, with what its reason means.
type LatestLetter struct {
	consumer.RecentLetter
	Meaning string `json:"meaning"`
}

// Status describes the pipeline at the moment.
func (m *monitor) Status() Status {
	p, now := m.pipeline, time.Now()
	s := Status{
		Version:    version.Number(),
		Commit:     version.Commit(),
		Started:    m.started,
		Now:        now,
		Source:     Source{m.config.Kafka.Topic, m.config.Kafka.Group},
		InFlight:   p.InFlight(),
		Pending:    p.Pending(),
		Rates:      m.rates(now),
		Latest:     []LatestLetter{},
		Reporter:   p.reporter.Status(),
		Partitions: p.consumer.Partitions(),
		Admin:      m.actions.status(now),
		Destination: Destination{
			Endpoint: m.config.API.Endpoint, Version: m.config.API.Version.String(), Parent: m.config.API.Parent,
		},
	}
	s.Ready, s.NotReady = p.Ready()
	s.unleased = !p.consumer.Leased(now)
	s.Outcomes, s.Letters = p.consumer.Counts()
	s.Backlog = backlogOf(s.Partitions)
	for _, l := range p.consumer.RecentLetters() {
		s.Latest = append(s.Latest, LatestLetter{l, meaning(l.Reason)})
	}
	s.Summary = summarize(&s)
	if s.Partitions == nil {
		s.Partitions = []consumer.PartitionStatus{} // an empty list in JSON
	}
	return s
}

func backlogOf(partitions []consumer.PartitionStatus) (b Backlog) {
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
	event.ReasonPoison:               "the process ended each time it read the record",
}
