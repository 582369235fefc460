package consumer

import (
	"context"
	"errors"
	"fmt"

	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol/describegroups"

	"github.com/clientevents/clientevents/consumer/group"
)

// The state topic belongs to one group, and must not be replaced.
//
// Two groups must not share a state topic: each would take the events of the other for
// duplicates, or report them once more. Sessions name their group.

// headerGroup is the header of a session's group.
const headerGroup = "group"

// SharedStateError is the fault of a state topic that replicas of another group use.
type SharedStateError struct{ Topic, Group, Other string }

func (e *SharedStateError) Error() string {
	return fmt.Sprintf("replicas of group %s record reported events in topic %s; this replica of group %s waits, since it would take their events for its own",
		e.Other, e.Topic, e.Group)
}

// configured returns the configured topic and group, of which a half of a consumer that
// rekeys may have others.
func (c *Consumer) configured() (topic, name string) {
	if c.from != nil {
		return c.from.topic, c.from.group
	}
	return c.cfg.Topic, c.cfg.Group
}

// shared returns a [SharedStateError] while the partition's last session is that of another
// group that has replicas. One that is closed may be followed by another replica's.
func (o *owner) shared(ctx context.Context) error {
	topic, ours := o.c.configured()
	last := o.previous
	if last == nil || last.group == "" || last.group == ours {
		return nil
	}
	running, err := o.c.hasReplicas(ctx, last.group, topic)
	switch {
	case errors.Is(err, kafka.GroupAuthorizationFailed):
		if last.state == sessionOpen {
			o.log.Warn("the state topic was last used by another group; whether it still is, is unknown without the permission Describe on that group",
				"topic", o.c.cfg.StateTopic, "group", ours, "other", last.group)
		}
		return nil
	case err != nil:
		return fmt.Errorf("ask for the members of group %s: %w", last.group, err)
	case running:
		return &SharedStateError{o.c.cfg.StateTopic, ours, last.group}
	}
	return nil
}

// hasReplicas reports whether replicas that read the topic are members of a group.
func (c *Consumer) hasReplicas(ctx context.Context, name, topic string) (bool, error) {
	answer, err := c.cfg.Transport.RoundTrip(ctx, c.client.Addr, &describegroups.Request{Groups: []string{name}})
	if err != nil {
		return false, err
	}
	groups := answer.(*describegroups.Response).Groups
	if len(groups) != 1 {
		return false, fmt.Errorf("the answer is for %d groups", len(groups))
	}
	found := groups[0]
	if found.ErrorCode != 0 {
		return false, kafka.Error(found.ErrorCode)
	}
	if found.GroupState != "Stable" {
		return len(found.Members) > 0, nil // it rebalances, and shows no subscriptions
	}
	peers, _ := group.Describe(found, topic, c.cfg.Transport.ClientID)
	for _, p := range peers {
		if !p.Foreign {
			return true, nil
		}
	}
	return false, nil
}
