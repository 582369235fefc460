package group

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/segmentio/kafka-go/protocol"
	"github.com/segmentio/kafka-go/protocol/joingroup"
	"github.com/segmentio/kafka-go/protocol/syncgroup"
)

// plan makes the assignments of all members. Members that subscribe to other
// topics get theirs, too: without a leader that does so they would get none.
func (m *Member) plan(ctx context.Context, joined joingroup.Response) (plan []syncgroup.RequestAssignment, ok bool) {
	claims := m.claims(joined)
	topics := slices.Sorted(maps.Keys(claims))
	if !slices.Contains(topics, m.cfg.Topic) {
		topics = append(topics, m.cfg.Topic)
	}
	var counts map[string]int32
	if !m.try(ctx, protocol.Metadata, func(ctx context.Context, _ identity) (err error) {
		counts, err = m.askPartitions(ctx, topics)
		return err
	}) {
		return nil, false
	}
	m.mu.Lock()
	m.partitions = counts[m.cfg.Topic]
	m.mu.Unlock()
	assigned := map[string]map[string][]int32{}
	for topic, all := range claims {
		n, known := counts[topic]
		if !known {
			n = held(all) // a topic that can't be described stays with its owners
		}
		for member, partitions := range assign(n, all) {
			if assigned[member] == nil {
				assigned[member] = map[string][]int32{}
			}
			assigned[member][topic] = partitions
		}
	}
	for _, member := range joined.Members {
		plan = append(plan, syncgroup.RequestAssignment{
			MemberID:   member.MemberID,
			Assignment: encodeAssignment(assigned[sortKey(member)], counts),
		})
	}
	return plan, true
}

// claims reads the members' subscriptions and the partitions they hold, by topic.
func (m *Member) claims(joined joingroup.Response) map[string][]claim {
	claims := map[string][]claim{}
	for _, member := range joined.Members {
		s, err := decodeSubscription(joined.ProtocolName, member.Metadata)
		if err != nil {
			m.log.Warn("metadata of a member of the group can't be read; it gets no partition", "member", member.MemberID, "error", err)
			continue
		}
		slices.Sort(s.topics)
		for _, topic := range slices.Compact(s.topics) {
			claims[topic] = append(claims[topic], claim{sortKey(member), s.owned[topic], s.generation})
		}
	}
	return claims
}

// sortKey is a member's name in an assignment: a static member's stays the same
// when it comes back under another member id.
func sortKey(m joingroup.ResponseMember) string { return cmp.Or(m.GroupInstanceID, m.MemberID) }

// held is how many partitions a topic has at least, by those that members hold.
func held(claims []claim) (n int32) {
	for _, c := range claims {
		for _, p := range c.owned {
			n = max(n, p+1)
		}
	}
	return n
}

// readAssignment returns the partitions that the leader assigned to this member.
// Those that don't exist are recorded as a fault and left out.
func (m *Member) readAssignment(ctx context.Context, b []byte) []int32 {
	topics, counts, err := decodeAssignment(b)
	mistaken := ""
	if err != nil {
		mistaken = err.Error()
	}
	for _, topic := range slices.Sorted(maps.Keys(topics)) {
		if topic != m.cfg.Topic {
			mistaken = fmt.Sprintf("it has topic %s, to which this member does not subscribe", topic)
		}
	}
	partitions := slices.Sorted(slices.Values(topics[m.cfg.Topic]))
	if unique := slices.Compact(slices.Clone(partitions)); len(unique) < len(partitions) {
		mistaken, partitions = fmt.Sprintf("it has partitions twice: %v", partitions), unique
	}
	n, known := counts[m.cfg.Topic]
	if !known { // a leader of another kind
		if asked, err := m.askPartitions(ctx, []string{m.cfg.Topic}); err == nil {
			n, known = asked[m.cfg.Topic], true
		}
	}
	existing := slices.DeleteFunc(slices.Clone(partitions), func(p int32) bool { return p < 0 || known && p >= n })
	if len(existing) < len(partitions) {
		mistaken = fmt.Sprintf("it has partitions %v, and topic %s has %d", without(partitions, existing), m.cfg.Topic, n)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if mistaken != "" && mistaken != m.mistaken {
		m.log.Error("the group's leader sent an invalid assignment", "fault", mistaken)
	}
	m.mistaken, m.claimed = mistaken, m.id.generation
	if known {
		m.partitions = n
	}
	return existing
}
