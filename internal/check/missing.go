package check

import (
	"context"
	"errors"
	"fmt"

	"github.com/segmentio/kafka-go"

	"github.com/clientevents/clientevents/consumer"
	"github.com/clientevents/clientevents/internal/connect"
)

// createIt is the remedy for a missing topic that run does not create.
const createIt = "create it with 'clientevents topics create'"

// missing checks a topic that does not exist and that run creates when it starts: a
// replica that already runs does not, and the brokers may forbid it.
func (ch *check) missing(ctx context.Context, k *connect.Kafka, t checkedTopic, events int, source map[string]string) {
	what := t.String()
	if ch.replicas > 0 {
		ch.fail(what, fmt.Sprintf("does not exist, though group %s has %s: a replica creates it only when it starts", ch.c.Kafka.Group, number(ch.replicas, "member")), createIt)
		return
	}
	var err error
	if events > 0 { // otherwise the source topic's own check fails
		ctx, cancel := context.WithTimeout(ctx, ch.limits.each)
		defer cancel()
		err = consumer.ValidateTopic(ctx, k.Client(), ch.spec(t, events, source))
	}
	switch {
	case err == nil || errors.Is(err, kafka.TopicAlreadyExists):
		ch.note(what, "does not exist yet", "nothing: run creates it with the permission Create; so does 'clientevents topics create'")
	case errors.Is(err, kafka.TopicAuthorizationFailed), errors.Is(err, kafka.ClusterAuthorizationFailed):
		ch.fail(what, "does not exist, and this login lacks Create", "grant Create on it, or "+createIt+" and a login that has it; see ACLs in docs/operations.md")
	case errors.Is(err, kafka.PolicyViolation), errors.Is(err, kafka.InvalidConfiguration):
		ch.fail(what, "does not exist, and a policy of the brokers forbids its settings: "+err.Error(), "create it by hand with settings that the policy allows; see docs/operations.md")
	default:
		ch.note(what, "does not exist, and the brokers may refuse to create it: "+err.Error(), createIt)
	}
}

// spec describes the topic as run creates it.
func (ch *check) spec(t checkedTopic, events int, source map[string]string) consumer.TopicSpec {
	switch t.role {
	case ByRequestTopic:
		return consumer.ByRequestSpec(t.name, events, 0, source)
	case DeadLetterTopic:
		return consumer.LettersSpec(t.name, events, 0, source)
	}
	return consumer.StateSpec(t.name, events, 0, ch.c.Dedupe.Window)
}

// countMembers returns how many members the group has; 0 if its coordinator does not
// respond, which the group's own check states.
func (ch *check) countMembers(ctx context.Context, k *connect.Kafka) int {
	ctx, cancel := context.WithTimeout(ctx, ch.limits.each)
	defer cancel()
	g, err := describeGroup(ctx, k, ch.c.Kafka.Group)
	if err != nil {
		return 0
	}
	return len(g.Members)
}
