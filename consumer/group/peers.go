package group

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol/describegroups"
)

// Peer is a member of the group.
type Peer struct {
	MemberID   string
	InstanceID string
	ClientID   string
	Host       string
	Topics     []string // it subscribes to
	Partitions []int32  // of the topic, assigned to it
	// Config is the hash of its configuration; "" if it does not state one.
	Config string
	// Foreign reports whether the member is not a replica of this program that reads
	// the topic.
	Foreign bool
	// NewProtocol reports whether it uses the consumer group protocol of KIP-848.
	NewProtocol bool
}

// Describe reads a broker's description of a group that reads a topic: its members,
// and the fault of having foreign ones, "" for none. clientID is that of this program's
// replicas.
func Describe(g describegroups.ResponseGroup, topic, clientID string) (peers []Peer, fault string) {
	for _, member := range g.Members {
		peers = append(peers, describe(g, member, topic, clientID))
	}
	return sorted(peers), foreigners(peers, topic)
}

func sorted(peers []Peer) []Peer {
	slices.SortFunc(peers, func(a, b Peer) int { return strings.Compare(a.MemberID, b.MemberID) })
	return peers
}

// describe reads a broker's description of a member. Replicas are known by the marker in
// their metadata. Those of earlier releases write none, and are known by their client ID
// and the form of their metadata: a consumer of another kind may have the same client ID.
func describe(g describegroups.ResponseGroup, member describegroups.ResponseGroupMember, topic, clientID string) Peer {
	s, err := decodeSubscription(g.ProtocolData, member.MemberMetadata)
	assigned, _, _ := decodeAssignment(member.MemberAssignment)
	return Peer{
		MemberID: member.MemberID, InstanceID: member.GroupInstanceID,
		ClientID: member.ClientID, Host: hostOf(member.ClientHost),
		Topics: s.topics, Config: s.config, Partitions: slices.Sorted(slices.Values(assigned[topic])),
		Foreign: err != nil || g.ProtocolType != "consumer" || !slices.Contains(s.topics, topic) || !s.marked && (member.ClientID != clientID || !s.earlier),
	}
}

// hostOf returns a member's host as people write it: Java puts a slash before addresses.
func hostOf(host string) string { return strings.TrimPrefix(host, "/") }

// foreigners names the members that do not belong into the group.
func foreigners(peers []Peer, topic string) string {
	var foreign []string
	for _, p := range peers {
		if !p.Foreign {
			continue
		}
		text := fmt.Sprintf("client %q on host %s, which subscribes to %q", p.ClientID, p.Host, p.Topics)
		if p.NewProtocol {
			text += " by the new group protocol (KIP-848)"
		}
		foreign = append(foreign, text)
	}
	if len(foreign) == 0 {
		return ""
	}
	return fmt.Sprintf("the group has members that are not replicas of this program for topic %s: %s; give them a group of their own", topic, strings.Join(foreign, ", "))
}

// explainRefusal adds to the refusal of a join who keeps this member out of the group.
func (m *Member) explainRefusal(ctx context.Context, coordinator int32, err error) error {
	switch {
	case errors.Is(err, kafka.InconsistentGroupProtocol):
		why := "its members use other protocols than cooperative-sticky and range"
		if g, err := m.askGroup(ctx, coordinator); err == nil {
			if _, fault := Describe(g, m.cfg.Topic, m.cfg.Transport.ClientID); fault != "" {
				why = fault
			}
		}
		return fmt.Errorf("%w: %s", err, why)
	case errors.Is(err, kafka.GroupMaxSizeReached): // it has no text of its own
		return fmt.Errorf("%wgroup %s has as many members as group.max.size of the brokers allows", err, m.cfg.Group)
	case errors.Is(err, kafka.GroupIdNotFound):
		return fmt.Errorf("%w: %s is another kind of group, such as a share group or one of Kafka Streams; give this program a group of its own", err, m.cfg.Group)
	}
	return err
}

// Unread returns the partitions, of n, that are assigned to no replica of this program.
func Unread(peers []Peer, n int32) (unread []int32) {
	read := map[int32]bool{}
	for _, p := range peers {
		for _, partition := range p.Partitions {
			if !p.Foreign {
				read[partition] = true
			}
		}
	}
	for p := range n {
		if !read[p] {
			unread = append(unread, p)
		}
	}
	return unread
}

// UnreadText says that partitions of a topic are unread.
func UnreadText(unread []int32, topic string) string {
	return fmt.Sprintf("no replica reads partitions %v of topic %s", unread, topic)
}
