package kafkalog

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
	"github.com/segmentio/kafka-go/protocol"
)

// ErrCorrupt marks data that is not what was written, or can't be read at all.
// To go on behind it would be to lose records. Every error that has it in its
// chain is a CorruptError.
var ErrCorrupt = errors.New("corrupt data")

// CorruptError says where a log can't be read.
type CorruptError struct {
	Topic     string
	Partition int32
	// Offset is that of the batch of records that is at fault; where the fault
	// is with one record, Err names it.
	Offset int64
	Err    error
}

func (e *CorruptError) Error() string {
	return fmt.Sprintf("%s/%d: batch at offset %d: %v: %v", e.Topic, e.Partition, e.Offset, ErrCorrupt, e.Err)
}

// Is makes every CorruptError an ErrCorrupt.
func (e *CorruptError) Is(target error) bool { return target == ErrCorrupt }

func (e *CorruptError) Unwrap() error { return e.Err }

// errAnswer is an answer that does not fit its request. What is wrong with it
// is the connection or the broker, not the log; the connection is closed.
var errAnswer = errors.New("the broker's answer can't be read")

// brokerError makes the faults that kafka-go finds by itself, before it asks any
// broker, the same that a broker would have answered with.
func brokerError(err error) error {
	for own, code := range map[protocol.Error]kafka.Error{
		protocol.ErrNoTopic:     kafka.UnknownTopicOrPartition,
		protocol.ErrNoPartition: kafka.UnknownTopicOrPartition,
		protocol.ErrNoLeader:    kafka.LeaderNotAvailable,
	} {
		if errors.Is(err, own) {
			return fmt.Errorf("%w (%w)", code, err)
		}
	}
	return err
}

// leaderOf finds a partition's leader in what the transport knows of the cluster.
func leaderOf(cluster protocol.Cluster, topic string, partition int32) (protocol.Broker, error) {
	none := protocol.Broker{ID: -1}
	t, ok := cluster.Topics[topic]
	if !ok {
		return none, brokerError(protocol.NewErrNoTopic(topic))
	}
	p, ok := t.Partitions[partition]
	switch {
	case !ok && t.Error != 0:
		return none, fmt.Errorf("topic %s: %w", topic, kafka.Error(t.Error))
	case !ok:
		return none, brokerError(protocol.NewErrNoPartition(topic, partition))
	}
	leader, ok := cluster.Brokers[p.Leader]
	if !ok {
		return none, brokerError(protocol.NewErrNoLeader(topic, partition))
	}
	return leader, nil
}

// Retriable says whether a request that failed with err may succeed later
// without anybody doing something about it: the network, a broker that restarts,
// a leader that moves, too few replicas in sync. It is false for what is wrong
// with the request, the data or the rights, and where it was the caller who
// cancelled.
//
// A deadline that passed is retriable: whether it was the caller's own is for
// the caller to know. After such a failure an Append may have been written all
// the same.
func Retriable(err error) bool {
	if err == nil || errors.Is(err, ErrCorrupt) || errors.Is(err, context.Canceled) {
		return false
	}
	if code, ok := errors.AsType[kafka.Error](err); ok {
		return retriableCode(code)
	}
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return false
	}
	if _, ok := errors.AsType[tls.AlertError](err); ok {
		return false
	}
	if _, ok := errors.AsType[tls.RecordHeaderError](err); ok {
		return false // one side speaks TLS and the other does not
	}
	for _, passing := range []error{
		errAnswer, context.DeadlineExceeded, os.ErrDeadlineExceeded,
		io.EOF, io.ErrUnexpectedEOF, io.ErrClosedPipe, net.ErrClosed,
	} {
		if errors.Is(err, passing) {
			return true
		}
	}
	if _, ok := errors.AsType[net.Error](err); ok {
		return true
	}
	if _, ok := errors.AsType[protocol.Error](err); ok {
		return true // an answer that kafka-go could not read; it closed the connection
	}
	_, ok := errors.AsType[syscall.Errno](err)
	return ok
}

// retriableCode follows the Java client (org.apache.kafka.common.protocol.Errors
// and RetriableException) for the codes that reading and writing can meet. It
// differs in two: Unknown, which is what a broker answers with when something
// unexpected happened to it, and BrokerNotAvailable.
func retriableCode(code kafka.Error) bool {
	switch code {
	case kafka.Unknown,
		kafka.InvalidMessage, // the broker computed another checksum than we did: the network's fault
		kafka.UnknownTopicOrPartition,
		kafka.LeaderNotAvailable,
		kafka.NotLeaderForPartition,
		kafka.RequestTimedOut,
		kafka.BrokerNotAvailable,
		kafka.ReplicaNotAvailable,
		kafka.NetworkException,
		kafka.GroupLoadInProgress,
		kafka.GroupCoordinatorNotAvailable,
		kafka.NotCoordinatorForGroup,
		kafka.NotEnoughReplicas,
		kafka.NotEnoughReplicasAfterAppend,
		kafka.NotController,
		kafka.ConcurrentTransactions,
		kafka.KafkaStorageError,
		kafka.FetchSessionIDNotFound,
		kafka.InvalidFetchSessionEpoch,
		kafka.ListenerNotFound,
		kafka.FencedLeaderEpoch,
		kafka.UnknownLeaderEpoch,
		kafka.OffsetNotAvailable,
		kafka.PreferredLeaderNotAvailable,
		kafka.EligibleLeadersNotAvailable,
		kafka.UnstableOffsetCommit,
		kafka.ThrottlingQuotaExceeded,
		kafka.UnknownTopicID,
		kafka.InconsistentTopicID,
		kafka.FetchSessionTopicIDError:
		return true
	}
	return false
}
