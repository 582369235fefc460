package check

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol/describegroups"

	"github.com/clientevents/clientevents/consumer"
	"github.com/clientevents/clientevents/consumer/group"
	"github.com/clientevents/clientevents/consumer/kafkalog"
	"github.com/clientevents/clientevents/internal/connect"
)

func (ch *check) kafka(ctx context.Context) {
	k, err := connect.NewKafka(ch.c, connect.Options{Dial: ch.o.DialKafka})
	if err != nil {
		ch.fail("kafka", err.Error(), "correct kafka.tls and kafka.sasl")
		return
	}
	if !ch.c.Input.Rekey { // otherwise it is among them; see abandoned
		k.Transport.MetadataTopics = append(k.Transport.MetadataTopics, ch.c.Kafka.ByRequestTopic())
	}
	defer k.Close()
	if w := ch.brokers(ctx, k); w != nil {
		defer w.Close()
		if !ch.advertised(ctx, k, w) {
			return
		}
		ch.topics(ctx, k, w)
		ch.transactions(ctx, k)
		ch.groups(ctx, k)
		ch.records(ctx, k)
	}
}

// brokers checks each broker of the configuration, and returns a connection to the first
// that can be used; nil without one.
func (ch *check) brokers(ctx context.Context, k *connect.Kafka) (usable *wire) {
	for _, broker := range ch.c.Kafka.Brokers {
		w, err := dialWire(ctx, k, ch.limits, broker)
		if err != nil {
			t, ok := errors.AsType[*trouble](err)
			if !ok {
				t = &trouble{err.Error(), "check the broker's log"}
			}
			ch.fail("broker "+broker, t.says, t.do)
			continue
		}
		ch.ok("broker "+broker, "answers, %s, %s", ch.encryption(), ch.login())
		if usable == nil {
			usable = w
		} else {
			w.Close()
		}
	}
	return usable
}

func (ch *check) encryption() string {
	if ch.c.Kafka.TLS.Enabled {
		return "with TLS"
	}
	return "without TLS"
}

func (ch *check) login() string {
	switch s := ch.c.Kafka.SASL; s.Mechanism {
	case "":
		return "without a login"
	case "oauthbearer":
		return fmt.Sprintf("with a login by oauthbearer, provider %s", s.OAuth.Provider)
	default:
		return fmt.Sprintf("with a login as %q by %s", s.Username, s.Mechanism)
	}
}

// checkedGroup is a consumer group and the topic that its members read.
type checkedGroup struct{ name, topic string }

func (g checkedGroup) String() string { return "group " + g.name }

// groups checks the consumer groups of the configuration. With input.rekey, the internal
// topic is read in a group of its own.
func (ch *check) groups(ctx context.Context, k *connect.Kafka) {
	c := ch.c.Kafka
	ch.group(ctx, k, checkedGroup{c.Group, c.Topic})
	rekeyed := checkedGroup{consumer.RekeyedGroup(c.Group), c.ByRequestTopic()}
	if ch.c.Input.Rekey {
		ch.group(ctx, k, rekeyed)
	} else {
		ch.abandoned(ctx, k, rekeyed)
	}
}

// group asks the group's coordinator, which also returns the login's permissions.
func (ch *check) group(ctx context.Context, k *connect.Kafka, of checkedGroup) {
	ctx, cancel := context.WithTimeout(ctx, ch.limits.each)
	defer cancel()
	what := of.String()
	g, err := describeGroup(ctx, k, of.name)
	switch {
	case errors.Is(err, kafka.GroupAuthorizationFailed):
		ch.fail(what, "this login is not authorized for it", "grant Read on the group; see ACLs in docs/operations.md")
	case err != nil:
		ch.fail(what, "its coordinator does not respond: "+err.Error(), "check the brokers' logs")
	case g.AuthorizedOperations != 0 && lacking(g.AuthorizedOperations, opRead) != "":
		ch.fail(what, "this login lacks Read", "grant Read on the group; see ACLs in docs/operations.md")
	case len(g.Members) == 0 && g.GroupState == "Dead":
		ch.otherGroup(ctx, k, of)
	case len(g.Members) == 0:
		ch.ok(what, "it has no members")
	default:
		ch.members(ctx, k, of, g)
	}
}

// onlyReplicas is the remedy for foreign members.
const onlyReplicas = "only replicas of this program may be members of the group: give the others, or this program, another one"

// otherGroup checks a group that DescribeGroups does not know: there is none, or it is
// one of a newer protocol.
func (ch *check) otherGroup(ctx context.Context, k *connect.Kafka, of checkedGroup) {
	what := of.String()
	peers, fault, err := describeNew(ctx, k, of.name, of.topic)
	switch {
	case err == nil && fault != "":
		ch.fail(what, fault, onlyReplicas)
	case err == nil && len(peers) > 0:
		ch.ok(what, "%s in it; the broker treats it as a group of the consumer group protocol (KIP-848)", are(len(peers), "replica"))
	case err == nil:
		ch.ok(what, "it has no members")
	case isListed(ctx, k, of.name):
		ch.fail(what, "it is another kind of group, such as a share group or one of Kafka Streams: its members do not use the classic group protocol", onlyReplicas)
	case !errors.Is(err, group.ErrNoNewGroup):
		ch.note(what, "can't determine whether it uses the consumer group protocol (KIP-848): "+err.Error(), "check the brokers' logs")
	default:
		ch.ok(what, "it has no members")
	}
}

func describeNew(ctx context.Context, k *connect.Kafka, name, topic string) ([]group.Peer, string, error) {
	found, err := k.Client().FindCoordinator(ctx, &kafka.FindCoordinatorRequest{Key: name, KeyType: kafka.CoordinatorKeyTypeConsumer})
	if err == nil {
		err = found.Error
	}
	if err != nil {
		return nil, "", err
	}
	return group.DescribeNew(ctx, k.Transport, k.Addr, int32(found.Coordinator.NodeID), name, topic)
}

// members checks that the members are replicas of this program, and that they read all
// partitions of the topic. A partition that moves is unread for the time of its drain, so
// one that is unread is looked at again, until half of the check's time is over.
func (ch *check) members(ctx context.Context, k *connect.Kafka, of checkedGroup, g *describegroups.ResponseGroup) {
	what, topic := of.String(), of.topic
	for until := time.Now().Add(ch.limits.each / 2); ; {
		peers, fault := group.Describe(*g, topic, k.Transport.ClientID)
		unread, err := unread(ctx, k, peers, topic)
		switch {
		case g.GroupState == "Stable" && fault != "": // otherwise the members' metadata may be left out
			ch.fail(what, fault, onlyReplicas)
			return
		case err != nil: // the topic's own check tells
			ch.ok(what, "%s in it", are(len(peers), "replica"))
			return
		case g.GroupState == "Stable" && len(unread) == 0:
			ch.ok(what, "%s in it; all partitions of topic %s are read", are(len(peers), "replica"), topic)
			return
		case time.Now().After(until) && g.GroupState != "Stable":
			ch.note(what, fmt.Sprintf("it rebalances (%s), with %s", g.GroupState, number(len(peers), "member")), "check again when all replicas have started")
			return
		case time.Now().After(until):
			ch.fail(what, group.UnreadText(unread, topic), "check the log and /status of the replicas; the group's leader assigns the partitions")
			return
		}
		select {
		case <-ctx.Done():
		case <-time.After(200 * time.Millisecond):
		}
		if again, err := describeGroup(ctx, k, of.name); err == nil {
			g = again
		}
	}
}

// unread returns the partitions of a topic that no replica among the members reads.
func unread(ctx context.Context, k *connect.Kafka, peers []group.Peer, topic string) ([]int32, error) {
	topics, err := kafkalog.NewClient(k.Addr, k.Transport).Topics(ctx, topic)
	if err == nil {
		err = topics[0].Err
	}
	if err != nil {
		return nil, err
	}
	return group.Unread(peers, int32(len(topics[0].Partitions))), nil
}

// isListed reports whether a broker lists the group. Brokers that do not answer
// list none.
func isListed(ctx context.Context, k *connect.Kafka, name string) bool {
	answer, err := k.Client().ListGroups(ctx, &kafka.ListGroupsRequest{})
	return err == nil && slices.ContainsFunc(answer.Groups, func(g kafka.ListGroupsResponseGroup) bool { return g.GroupID == name })
}

// describeGroup waits for a coordinator that is not there yet: the first group
// of a cluster makes it.
func describeGroup(ctx context.Context, k *connect.Kafka, group string) (*describegroups.ResponseGroup, error) {
	for {
		g, err := tryGroup(ctx, k, group)
		if !slices.Contains([]kafka.Error{kafka.GroupLoadInProgress, kafka.GroupCoordinatorNotAvailable, kafka.NotCoordinatorForGroup}, kafkaError(err)) {
			return g, err
		}
		select {
		case <-ctx.Done():
			return nil, err
		case <-time.After(200 * time.Millisecond):
		}
	}
}

func tryGroup(ctx context.Context, k *connect.Kafka, group string) (*describegroups.ResponseGroup, error) {
	answer, err := k.Transport.RoundTrip(ctx, k.Addr, &describegroups.Request{Groups: []string{group}, IncludeAuthorizedOperations: true})
	if err != nil {
		return nil, err
	}
	groups := answer.(*describegroups.Response).Groups
	if len(groups) == 0 {
		return nil, errors.New("the answer is not about the group")
	}
	if err := kafka.Error(groups[0].ErrorCode); groups[0].ErrorCode != 0 && err != kafka.GroupIdNotFound {
		return nil, err
	}
	return &groups[0], nil
}

func kafkaError(err error) kafka.Error {
	e, _ := errors.AsType[kafka.Error](err)
	return e
}

// number returns a number of things: "1 replica", "2 replicas".
func number(n int, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return fmt.Sprintf("%d %ss", n, thing)
}

// are returns that there is a number of things: "1 replica is", "2 replicas are".
func are(n int, thing string) string {
	if n == 1 {
		return number(n, thing) + " is"
	}
	return number(n, thing) + " are"
}
