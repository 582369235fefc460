package check

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/clientevents/clientevents/internal/config"
	"github.com/clientevents/clientevents/internal/connect"
	"github.com/clientevents/clientevents/internal/scrub"
)

// Role is the purpose of a topic.
type Role string

// The roles of the topics of a configuration.
const (
	SourceTopic     Role = "source"
	ByRequestTopic  Role = "by_request"
	DeadLetterTopic Role = "dead_letter"
	StateTopic      Role = "state"
)

// String returns the role in words.
func (r Role) String() string {
	switch r {
	case SourceTopic:
		return "topic"
	case ByRequestTopic:
		return "by-request topic"
	case DeadLetterTopic:
		return "dead-letter topic"
	}
	return string(r) + " topic"
}

// content names the records of a topic.
func (r Role) content() string {
	if r == DeadLetterTopic {
		return "dead letters"
	}
	return "events"
}

// Topic is a topic of the configuration, as the brokers describe it.
type Topic struct {
	Role   Role   `json:"role"`
	Name   string `json:"topic"`
	Exists bool   `json:"exists"`
	// Created reports whether the command created the topic.
	Created     bool `json:"created"`
	Partitions  int  `json:"partitions"`
	Replication int  `json:"replication_factor"` // of the partition with the fewest replicas
	// Settings has some settings by Kafka's names; nil if they can't be read.
	Settings map[string]string `json:"settings"`
	Problems []Finding         `json:"problems"`
}

// shownSettings are the settings of [Topic.Settings].
var shownSettings = []string{
	"cleanup.policy", "retention.ms", "segment.ms", "max.message.bytes", "min.insync.replicas", "unclean.leader.election.enable",
}

// Failed reports whether the topic is missing or unfit for its purpose.
func (t *Topic) Failed() bool {
	return !t.Exists || slices.ContainsFunc(t.Problems, func(f Finding) bool { return f.Result == foundFail })
}

// String describes the topic in one line. Its problems are not part of it.
func (t *Topic) String() string {
	state := "exists "
	switch {
	case !t.Exists:
		return "missing " + t.Role.String() + " " + t.Name
	case t.Created:
		state = "created"
	}
	text := fmt.Sprintf("%s %s %s: %d partitions, replication factor %d", state, t.Role, t.Name, t.Partitions, t.Replication)
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(t.Settings)) {
		if value := t.Settings[name]; value != "" {
			fmt.Fprintf(&b, ", %s=%s", name, value)
		}
	}
	return text + b.String()
}

// Topics describes the topics of the configuration and their problems. It fails if no
// broker can be used.
func Topics(ctx context.Context, c *config.Config, o Options) ([]Topic, error) {
	if c.Secrets == nil {
		c.Hide(&scrub.Scrubber{})
	}
	k, err := connect.NewKafka(c, connect.Options{Dial: o.DialKafka})
	if err != nil {
		return nil, err
	}
	defer k.Close()
	var found []Finding
	ch := &check{c: c, o: o, limits: limitsOf(o.Timeout), found: func(f Finding) {
		c.Secrets.Strings(&f)
		if f.Result != foundOK {
			found = append(found, f)
		}
	}}
	w := ch.brokers(ctx, k)
	if w == nil {
		return nil, failure(found)
	}
	defer w.Close()
	found = nil
	topics := ch.topics(ctx, k, w)
	if topics == nil {
		return nil, failure(found)
	}
	for i := range topics {
		t := &topics[i]
		t.Problems = []Finding{} // an empty list in JSON
		for _, f := range found {
			if f.What == t.Role.String()+" "+t.Name {
				t.Problems = append(t.Problems, f)
			}
		}
	}
	return topics, nil
}

// failure returns the findings as an error.
func failure(found []Finding) error {
	var all []error
	for _, f := range found {
		all = append(all, fmt.Errorf("%s: %s: %s", f.What, f.Says, f.Do))
	}
	return errors.Join(all...)
}
