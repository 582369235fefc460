package health

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"syscall"

	"github.com/segmentio/kafka-go"

	"github.com/clientevents/clientevents/consumer"
	"github.com/clientevents/clientevents/consumer/kafkalog"
)

// operation is the request that failed.
type operation string

const (
	read    operation = "read"
	write   operation = "write"
	joining operation = "join"
)

// Place is where a request failed.
type Place struct {
	Operation operation
	Topic     string
}

// class is a kind of error. Errors of one class have the same remedy.
type class string

const (
	unknown       class = ""
	topicMissing  class = "topic_missing"
	topicSmaller  class = "topic_smaller"
	topicShared   class = "topic_shared"
	topicDenied   class = "topic_denied"
	groupDenied   class = "group_denied"
	clusterDenied class = "cluster_denied"
	loginRejected class = "login_rejected"
	notInSync     class = "not_in_sync"
	disk          class = "disk"
	tooLarge      class = "too_large"
	clock         class = "clock"
	policy        class = "policy"
	unresolved    class = "unresolved"
	refused       class = "refused"
	untrusted     class = "untrusted"
	silent        class = "silent"
	closed        class = "closed"
	moving        class = "moving"
	corrupt       class = "corrupt"
	aboveLimit    class = "above_limit"
	otherProtocol class = "other_protocol"
	groupFull     class = "group_full"
	versionTooOld class = "version"
)

// codes are the classes of the brokers' error codes.
var codes = map[kafka.Error]class{
	kafka.UnknownTopicOrPartition:            topicMissing,
	kafka.UnknownTopicID:                     topicMissing,
	kafka.TopicAuthorizationFailed:           topicDenied,
	kafka.GroupAuthorizationFailed:           groupDenied,
	kafka.ClusterAuthorizationFailed:         clusterDenied,
	kafka.SASLAuthenticationFailed:           loginRejected,
	kafka.UnsupportedSASLMechanism:           loginRejected,
	kafka.NotEnoughReplicas:                  notInSync,
	kafka.NotEnoughReplicasAfterAppend:       notInSync,
	kafka.KafkaStorageError:                  disk,
	kafka.MessageSizeTooLarge:                tooLarge,
	kafka.RecordListTooLarge:                 tooLarge,
	kafka.InvalidTimestamp:                   clock,
	kafka.PolicyViolation:                    policy,
	kafka.InvalidConfiguration:               policy,
	kafka.InconsistentGroupProtocol:          otherProtocol,
	kafka.GroupMaxSizeReached:                groupFull,
	kafka.UnsupportedVersion:                 versionTooOld,
	kafka.LeaderNotAvailable:                 moving,
	kafka.NotLeaderForPartition:              moving,
	kafka.GroupCoordinatorNotAvailable:       moving,
	kafka.NotCoordinatorForGroup:             moving,
	kafka.RequestTimedOut:                    silent,
	kafka.TransactionalIDAuthorizationFailed: clusterDenied,
}

// classify returns the class of an error. What a network reports in the chain goes
// before a code that stands for it.
func classify(err error) class {
	if err == nil {
		return unknown
	}
	if _, ok := errors.AsType[*net.DNSError](err); ok {
		return unresolved
	}
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return untrusted
	}
	if _, ok := errors.AsType[*kafkalog.NoPartitionError](err); ok {
		return topicSmaller
	}
	if _, ok := errors.AsType[*consumer.SharedStateError](err); ok {
		return topicShared
	}
	if _, ok := errors.AsType[*kafkalog.RecordTooLargeError](err); ok {
		return tooLarge
	}
	if _, ok := errors.AsType[*kafkalog.TooLargeError](err); ok || errors.Is(err, kafkalog.ErrNeverFits) {
		return aboveLimit
	}
	switch {
	case errors.Is(err, kafkalog.ErrCorrupt):
		return corrupt
	case errors.Is(err, syscall.ECONNREFUSED), errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.ENETUNREACH):
		return refused
	}
	for code, c := range codes {
		if errors.Is(err, code) {
			return c
		}
	}
	var timeout interface{ Timeout() bool }
	switch {
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout():
		return silent
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return closed
	}
	return unknown
}

// explain sets the advice that follows from the error. An unknown error leaves that of
// the reason.
func (f *Facts) explain(p *Problem, err error, at Place) {
	c := classify(err)
	p.cause = string(c)
	if advice := f.advise(c, err, at); advice != "" {
		p.Advice = advice
	}
}

func (f *Facts) advise(c class, err error, at Place) string {
	switch c {
	case topicMissing:
		if at.Topic == f.Topic {
			return fmt.Sprintf("Topic %s does not exist: create it with `clientevents topics create`, or correct kafka.topic.", at.Topic)
		}
		return fmt.Sprintf("Topic %s does not exist any more: create it with `clientevents topics create`.", at.Topic)
	case topicSmaller:
		return f.smallerAdvice(at.Topic)
	case topicDenied:
		if at.Operation == write {
			return fmt.Sprintf("Grant the program's principal Write and Describe on topic %s.", at.Topic)
		}
		return fmt.Sprintf("Grant the program's principal Read and Describe on topic %s.", at.Topic)
	case groupDenied:
		return fmt.Sprintf("Grant the program's principal Read and Describe on group %s.", f.Group)
	case tooLarge:
		return fmt.Sprintf("Raise max.message.bytes of topic %s: `kafka-configs.sh --alter --entity-type topics --entity-name %s --add-config max.message.bytes=N`.", at.Topic, at.Topic)
	case clock:
		return fmt.Sprintf("The clocks of this machine and of the brokers differ by more than topic %s allows: correct the clock that is wrong (NTP), or raise message.timestamp.after.max.ms and message.timestamp.before.max.ms.", at.Topic)
	case policy:
		return "A policy of the cluster forbids the topic's settings: create the topic by hand with settings that it allows (docs/operations.md)."
	case unresolved:
		return unresolvedAdvice(err)
	}
	return generalAdvice[c]
}

// smallerAdvice is for a topic that has fewer partitions than the program expects.
func (f *Facts) smallerAdvice(topic string) string {
	switch topic {
	case f.Topic:
		return fmt.Sprintf("Topic %s was recreated with fewer partitions: the group gives up those that no longer exist within half a minute.", topic)
	case f.StateTopic:
		return fmt.Sprintf("Topic %s has too few partitions. The program adds them if its principal has Alter on the topic; otherwise run `kafka-topics.sh --alter --topic %s --partitions N`, with the N of topic %s.", topic, topic, f.Topic)
	}
	return fmt.Sprintf("Topic %s was recreated with fewer partitions. %s", topic, byItself)
}

// unresolvedAdvice names the address that can't be resolved.
func unresolvedAdvice(err error) string {
	name := ""
	if dns, ok := errors.AsType[*net.DNSError](err); ok {
		name = " " + said(dns.Name)
	}
	return "The address" + name + " that a broker advertises can't be resolved from here: correct advertised.listeners of the broker, or the DNS of this machine."
}

// generalAdvice is the advice that does not depend on the topic.
var generalAdvice = map[class]string{
	topicShared:   "Set kafka.state_topic of one of the two groups to a topic of its own, or stop the replicas of the other group: this one then continues its work.",
	clusterDenied: "Grant the program's principal the operation on the cluster that the error names.",
	loginRejected: "Correct kafka.sasl.username and the password: the brokers reject the login. A replaced password file is read without a restart.",
	notInSync:     "Too few replicas are in sync: bring back the brokers that are down, or lower min.insync.replicas of the topic.",
	disk:          "A broker can't use its disk: see the broker's log, and free or replace the disk.",
	refused:       "Nothing listens at the address of the broker, or a firewall refuses it: check that the brokers run, kafka.brokers and advertised.listeners.",
	untrusted:     "The broker's certificate is not trusted: correct kafka.tls.ca_file, or the certificate.",
	silent:        "The broker does not answer in time: check its load and the network to it. " + byItself,
	closed:        "The broker closes the connection: check that kafka.tls.enabled matches the listener, and the broker's log. " + byItself,
	moving:        "The partition or the group has no leader at the moment: if this lasts for minutes, check which brokers are down. " + byItself,
	corrupt:       "The data in the log is damaged: see docs/runbook.md for how to pass over it.",
	aboveLimit:    "Give the process more memory, or set the group's offset after the record (docs/runbook.md).",
	otherProtocol: "Another kind of consumer is in this group: " + onlyMembers,
	groupFull:     "Run fewer replicas, or raise group.max.size of the brokers. " + byItself,
	versionTooOld: "The broker is too old for a request that the program needs; docs/operations.md names the lowest version.",
}
