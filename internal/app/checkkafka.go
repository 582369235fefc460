package app

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol"
	"github.com/segmentio/kafka-go/protocol/apiversions"
	"github.com/segmentio/kafka-go/protocol/describegroups"
	"github.com/segmentio/kafka-go/protocol/metadata"

	"github.com/clientevents/clientevents/consumer"
)

// answerTimeout is how long a broker has to say its first word. What isn't
// Kafka may never.
const answerTimeout = 5 * time.Second

func (ch *check) kafka(ctx context.Context) {
	k, err := NewKafka(ch.c, nil)
	if err != nil {
		ch.fail("kafka", err.Error(), "mend kafka.tls and kafka.sasl")
		return
	}
	defer k.Close()
	var usable *wire
	for _, broker := range ch.c.Kafka.Brokers {
		w, err := dialWire(ctx, k, broker)
		if err != nil {
			t, ok := errors.AsType[*trouble](err)
			if !ok {
				t = &trouble{err.Error(), "look at the broker's log"}
			}
			ch.fail("broker "+broker, t.says, t.do)
			continue
		}
		ch.ok("broker "+broker, "answers, %s, %s", ch.encryption(), ch.login())
		if usable == nil {
			usable = w
			defer w.Close()
		} else {
			w.Close()
		}
	}
	if usable != nil {
		ch.topics(ctx, k, usable)
		ch.group(ctx, k)
	}
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
		return "with a login by Google credentials"
	default:
		return fmt.Sprintf("with a login as %q by %s", s.Username, s.Mechanism)
	}
}

// wire is a connection to a broker that requests can be made on one by one.
type wire struct {
	net.Conn
	head     []byte // the first bytes that came
	versions map[int16]int16
	id       int32
}

// Read notes what comes first, since that tells who is there.
func (w *wire) Read(p []byte) (int, error) {
	n, err := w.Conn.Read(p)
	const enough = 5
	w.head = append(w.head, p[:min(n, enough-min(enough, len(w.head)))]...)
	return n, err
}

// call makes a request in the newest version that both sides know, up to most.
func (w *wire) call(most int16, req protocol.Message) (protocol.Message, error) {
	w.id++
	if known, ok := w.versions[int16(req.ApiKey())]; ok {
		most = min(most, known)
	}
	_ = w.SetDeadline(time.Now().Add(checkTimeout))
	return protocol.RoundTrip(w, most, w.id, "clientevents", req)
}

// dialWire connects to a broker step by step, so that each has its own words:
// the address, TLS, whether it is Kafka at all, the login.
func dialWire(ctx context.Context, k *Kafka, address string) (*wire, error) {
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	conn, err := connectBroker(ctx, k, address)
	if err != nil {
		return nil, err
	}
	w := &wire{Conn: conn}
	if err := w.greet(ctx); err != nil {
		conn.Close()
		return nil, err
	}
	if k.Dialer.SASLMechanism == nil {
		return w, w.wantsNoLogin()
	}
	w.Close()
	// The library's login is on a connection of its own making, of which the
	// network is ours.
	var inner net.Conn
	d := *k.Dialer
	d.TLS = nil
	d.DialFunc = func(ctx context.Context, _, _ string) (_ net.Conn, err error) {
		inner, err = connectBroker(ctx, k, address)
		return inner, err
	}
	if _, err := d.DialContext(ctx, "tcp", address); err != nil {
		if inner != nil {
			inner.Close()
		}
		return nil, loginTrouble(err, d.SASLMechanism.Name())
	}
	return &wire{Conn: inner, versions: w.versions}, nil
}

func connectBroker(ctx context.Context, k *Kafka, address string) (net.Conn, error) {
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, connectTrouble(err, "kafka.brokers")
	}
	if k.Dialer.TLS == nil {
		return conn, nil
	}
	config := k.Dialer.TLS.Clone()
	config.ServerName, _, _ = net.SplitHostPort(address)
	secure := tls.Client(conn, config)
	handshake, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	if err := secure.HandshakeContext(handshake); err != nil {
		conn.Close()
		return nil, handshakeTrouble(err)
	}
	return secure, nil
}

// greet asks the broker which requests it knows, as every client does first.
func (w *wire) greet(ctx context.Context) error {
	until := time.Now().Add(answerTimeout)
	if end, ok := ctx.Deadline(); ok && end.Before(until) {
		until = end
	}
	_ = w.SetDeadline(until)
	answer, err := protocol.RoundTrip(w, 0, 0, "clientevents", &apiversions.Request{})
	if err != nil {
		return w.greetTrouble(err)
	}
	w.versions = map[int16]int16{}
	for _, key := range answer.(*apiversions.Response).ApiKeys {
		w.versions[key.ApiKey] = key.MaxVersion
	}
	return nil
}

func (w *wire) greetTrouble(err error) *trouble {
	_, secure := w.Conn.(*tls.Conn)
	if len(w.head) == 0 && late(err) {
		w.prompt()
	}
	const alert, tls10 = 0x15, 0x03 // how a TLS server's complaint begins (RFC 8446, 5.1)
	switch {
	case bytes.HasPrefix(w.head, []byte("HTTP")):
		return &trouble{"it is a web server and not a Kafka broker", "mend kafka.brokers"}
	case !secure && bytes.HasPrefix(w.head, []byte{alert, tls10}):
		return &trouble{"it speaks TLS at this port", "set kafka.tls.enabled to true, or use the broker's port without TLS"}
	case len(w.head) == 0 && late(err):
		return &trouble{fmt.Sprintf("something listens there and says nothing for %v: it may not be a Kafka broker", answerTimeout), "mend kafka.brokers"}
	}
	if secure {
		if t := brokerTLSTrouble(err); t != nil {
			return t
		}
	}
	if len(w.head) == 0 && !secure && hungUp(err) {
		return &trouble{"it hangs up: it may want TLS, or not be a Kafka broker", "is it a port for TLS? Then set kafka.tls.enabled to true"}
	}
	return &trouble{fmt.Sprintf("it does not answer as a Kafka broker (%v)", err), "mend kafka.brokers"}
}

// prompt has a web server say something: it waits for the end of a line.
func (w *wire) prompt() {
	_ = w.SetDeadline(time.Now().Add(time.Second))
	if _, err := io.WriteString(w.Conn, "\r\n\r\n"); err == nil {
		_, _ = w.Read(make([]byte, 5))
	}
}

func hungUp(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
}

// wantsNoLogin says whether the broker answers without one: where it wants one,
// it hangs up.
func (w *wire) wantsNoLogin() error {
	if _, err := w.call(1, &metadata.Request{TopicNames: []string{}}); err != nil {
		w.Close()
		if hungUp(err) {
			return &trouble{"it hangs up: it wants a login", "set kafka.sasl.mechanism and what belongs to it"}
		}
		if t := brokerTLSTrouble(err); t != nil {
			return t
		}
		return &trouble{err.Error(), "look at the broker's log"}
	}
	return nil
}

func loginTrouble(err error, mechanism string) *trouble {
	if t, ok := errors.AsType[*trouble](err); ok {
		return t
	}
	do := "check kafka.sasl.username and the password"
	if mechanism == "OAUTHBEARER" {
		do = "check the Google credentials, and that their account has the role Managed Kafka Client"
	}
	switch {
	case errors.Is(err, kafka.UnsupportedSASLMechanism):
		return &trouble{"it does not know logins by " + mechanism, "set kafka.sasl.mechanism to one that this listener knows"}
	case errors.Is(err, kafka.IllegalSASLState):
		return &trouble{"it wants no login at this port", "use the broker's port for logins, or leave kafka.sasl out"}
	case errors.Is(err, kafka.SASLAuthenticationFailed):
		return &trouble{"it refuses the login", do}
	case hungUp(err):
		return &trouble{"it hangs up at the login, as some brokers do when they refuse it", do}
	}
	return &trouble{"no login: " + err.Error(), do}
}

// Operations in the bits of what a client may do (org.apache.kafka.common.acl.AclOperation).
const (
	opRead            = 3
	opWrite           = 4
	opDescribe        = 8
	opDescribeConfigs = 10
)

var operationNames = map[int]string{opRead: "Read", opWrite: "Write", opDescribe: "Describe", opDescribeConfigs: "DescribeConfigs"}

// lacking names the operations that are not among those allowed.
func lacking(allowed int32, want ...int) string {
	const unknown = -1 << 31 // the broker does not say
	var names []string
	for _, op := range want {
		if allowed != unknown && allowed&(1<<op) == 0 {
			names = append(names, operationNames[op])
		}
	}
	return strings.Join(names, ", ")
}

// checkedTopic is a topic and what it is for.
type checkedTopic struct {
	role, name, key string
	// made: run creates it where it is absent.
	made bool
	ops  []int
}

func (ch *check) topics(ctx context.Context, k *Kafka, w *wire) {
	topics := []checkedTopic{
		{"topic", ch.c.Kafka.Topic, "kafka.topic", false, []int{opRead, opDescribe}},
		{"dead-letter topic", ch.c.Kafka.DeadLetterTopic, "kafka.dead_letter_topic", true, []int{opWrite, opDescribe}},
		{"state topic", ch.c.Kafka.StateTopic, "kafka.state_topic", true, []int{opRead, opWrite, opDescribe, opDescribeConfigs}},
	}
	var names []string
	for _, t := range topics {
		names = append(names, t.name)
	}
	const withOperations = 8
	answer, err := w.call(withOperations, &metadata.Request{TopicNames: names, IncludeTopicAuthorizedOperations: true})
	if err != nil {
		ch.fail("topics", err.Error(), "look at the brokers' logs")
		return
	}
	known := w.versions[int16(protocol.Metadata)] >= withOperations
	found := map[string]metadata.ResponseTopic{}
	for _, t := range answer.(*metadata.Response).Topics {
		if !known {
			t.TopicAuthorizedOperations = -1 << 31
		}
		found[t.Name] = t
	}
	source := len(found[ch.c.Kafka.Topic].Partitions)
	for _, t := range topics {
		ch.topic(ctx, k, t, found[t.name], source)
	}
}

func (ch *check) topic(ctx context.Context, k *Kafka, t checkedTopic, m metadata.ResponseTopic, source int) {
	what := t.role + " " + t.name
	switch err := kafka.Error(m.ErrorCode); {
	case err == kafka.UnknownTopicOrPartition && t.made:
		ch.note(what, "does not exist yet", "nothing: run creates it, for which it needs Create on it")
		return
	case err == kafka.UnknownTopicOrPartition:
		ch.fail(what, "does not exist", "create it, or mend "+t.key)
		return
	case err == kafka.TopicAuthorizationFailed:
		ch.fail(what, "this login may not see it", "grant "+operations(t.ops)+" on it; see ACLs in docs/operations.md")
		return
	case m.ErrorCode != 0:
		ch.fail(what, err.Error(), "look at the brokers' logs")
		return
	}
	if missing := lacking(m.TopicAuthorizedOperations, t.ops...); missing != "" {
		ch.fail(what, "this login lacks "+missing, "grant it; see ACLs in docs/operations.md")
		return
	}
	if fault := leaderless(m); fault != "" {
		ch.fail(what, fault, "bring the brokers back that have it")
		return
	}
	settings, err := topicSettings(ctx, k, t.name)
	if err != nil {
		// A login that may not ask can still carry events.
		ch.note(what, "its settings can't be seen: "+err.Error(), "grant DescribeConfigs on it, to have them checked")
	}
	if t.key == "kafka.state_topic" && err == nil {
		if err := consumer.CheckStateTopic(t.name, ch.c.Kafka.Topic, len(m.Partitions), source, settings, ch.c.Dedupe.Window); err != nil {
			if unfit, ok := errors.AsType[*consumer.UnfitTopicError](err); ok {
				err = errors.New(unfit.Reason)
			}
			ch.fail(what, err.Error(), "change it so, or name another topic as kafka.state_topic")
			return
		}
	}
	if t.key == "kafka.dead_letter_topic" && slices.Contains(strings.Split(settings["cleanup.policy"], ","), "compact") {
		ch.fail(what, "it is compacted: of dead letters with equal keys only the last would stay", "set its cleanup.policy to delete")
		return
	}
	ch.durability(what, t, m, settings)
}

func operations(ops []int) string {
	var names []string
	for _, op := range ops {
		names = append(names, operationNames[op])
	}
	return strings.Join(names, ", ")
}

func leaderless(m metadata.ResponseTopic) string {
	for _, p := range m.Partitions {
		if p.LeaderID < 0 {
			return fmt.Sprintf("partition %d has no leader: no broker that has it is up", p.PartitionIndex)
		}
	}
	return ""
}

func topicSettings(ctx context.Context, k *Kafka, topic string) (map[string]string, error) {
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	return consumer.TopicConfig(ctx, k.Client(), topic, "cleanup.policy", "retention.ms", "min.insync.replicas", "unclean.leader.election.enable")
}

// durability says what of the promise a topic's replication breaks.
func (ch *check) durability(what string, t checkedTopic, m metadata.ResponseTopic, settings map[string]string) {
	replicas, inSync, behind := 1<<30, 1<<30, int32(0)
	for _, p := range m.Partitions {
		replicas = min(replicas, len(p.ReplicaNodes))
		if n := len(p.IsrNodes); n < inSync {
			inSync, behind = n, p.PartitionIndex
		}
	}
	least, err := strconv.Atoi(settings["min.insync.replicas"])
	switch {
	case err != nil:
		least = 0
	case t.made && least > replicas:
		ch.fail(what, fmt.Sprintf("min.insync.replicas is %d and it has %d replicas: nothing can be written to it", least, replicas),
			"give it more replicas, or set min.insync.replicas lower")
		return
	case t.made && least > inSync:
		ch.fail(what, fmt.Sprintf("partition %d has %d replicas in sync, and min.insync.replicas is %d: writes are refused", behind, inSync, least),
			"bring the brokers back that have the others")
		return
	}
	ch.ok(what, "%d partitions, %d replicas%s", len(m.Partitions), replicas, described(settings))
	lost := map[bool]string{true: "what was written to it", false: "events that were published"}[t.made]
	switch {
	case replicas == 1:
		ch.note(what, "one replica: "+lost+" can be lost with one broker", "use a replication factor of 3, except for a trial")
	case least == 1:
		ch.note(what, "min.insync.replicas is 1: "+lost+" can be lost with one broker", "set it to 2; see docs/delivery.md")
	case least == replicas:
		ch.note(what, fmt.Sprintf("min.insync.replicas is %d of %d replicas: nothing can be written while one broker is away", least, replicas), "set it one lower, or add a replica")
	}
	if settings["unclean.leader.election.enable"] == "true" {
		ch.note(what, "unclean.leader.election.enable is true: "+lost+" can be lost when brokers fail", "set it to false")
	}
	if !t.made && slices.Contains(strings.Split(settings["cleanup.policy"], ","), "compact") {
		ch.note(what, "it is compacted: of events with equal keys only the last stays, and a replica that is behind misses the others", "set its cleanup.policy to delete")
	}
}

func described(settings map[string]string) string {
	var parts []string
	for _, name := range []string{"min.insync.replicas", "cleanup.policy"} {
		if value := settings[name]; value != "" {
			parts = append(parts, ", "+name+" "+value)
		}
	}
	return strings.Join(parts, "")
}

// group asks the group's coordinator, which also says what this login may do.
func (ch *check) group(ctx context.Context, k *Kafka) {
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	what := "group " + ch.c.Kafka.Group
	g, err := describeGroup(ctx, k, ch.c.Kafka.Group)
	switch {
	case errors.Is(err, kafka.GroupAuthorizationFailed):
		ch.fail(what, "this login may not use it", "grant Read on the group; see ACLs in docs/operations.md")
	case err != nil:
		ch.fail(what, "its coordinator does not answer: "+err.Error(), "look at the brokers' logs")
	case g.AuthorizedOperations != 0 && lacking(g.AuthorizedOperations, opRead) != "":
		ch.fail(what, "this login lacks Read", "grant Read on the group; see ACLs in docs/operations.md")
	case len(g.Members) == 0:
		ch.ok(what, "nobody is in it")
	default:
		ch.ok(what, "%d replicas are in it", len(g.Members))
	}
}

// describeGroup waits for a coordinator that is not there yet: the first group
// of a cluster makes it.
func describeGroup(ctx context.Context, k *Kafka, group string) (*describegroups.ResponseGroup, error) {
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

func tryGroup(ctx context.Context, k *Kafka, group string) (*describegroups.ResponseGroup, error) {
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
