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
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol"
)

// ErrCorrupt marks data that can't be decoded. Continuing behind it would lose records.
// Every error that has it in its chain is a CorruptError.
var ErrCorrupt = errors.New("corrupt data")

// CorruptError describes where a log can't be read.
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

// TooLargeError describes a record, or a batch, above a limit of the reader.
// The data is valid. Retrying helps only with a larger limit.
type TooLargeError struct {
	Topic     string
	Partition int32
	// Offset is the record's, and Next the offset after it. For a batch that can't
	// be read, Offset is the first that can't be read.
	Offset, Next int64
	// Size is the record's size in bytes, and Limit the largest that is read; 0 where
	// the size is not the reason.
	Size, Limit int64
	// Time and Key are the record's, as far as its first bytes contain them.
	Time time.Time
	Key  []byte
	// Err is the reason where it is not the size.
	Err error
}

func (e *TooLargeError) Error() string {
	place := fmt.Sprintf("%s/%d: record at offset %d", e.Topic, e.Partition, e.Offset)
	if e.Err != nil {
		return fmt.Sprintf("%s: %v", place, e.Err)
	}
	return fmt.Sprintf("%s has %d bytes: at most %d are read", place, e.Size, e.Limit)
}

func (e *TooLargeError) Unwrap() error { return e.Err }

// errAnswer is an answer that does not fit its request. The connection or the broker is
// at fault, not the log; the connection is closed.
var errAnswer = errors.New("the broker's answer can't be read")

// NoPartitionError describes a partition that does not exist, of a topic that does. It
// has kafka.UnknownTopicOrPartition in its chain.
type NoPartitionError struct {
	Topic     string
	Partition int32
	Has       int // partitions of the topic
}

func (e *NoPartitionError) Error() string {
	noun := "partitions"
	if e.Has == 1 {
		noun = "partition"
	}
	return fmt.Sprintf("partition %d of topic %s does not exist: the topic has %d %s", e.Partition, e.Topic, e.Has, noun)
}

func (e *NoPartitionError) Unwrap() error { return kafka.UnknownTopicOrPartition }

// brokerError gives the faults that kafka-go finds itself, before it asks a broker, the
// code with which a broker would have answered.
func brokerError(err error) error {
	for own, code := range map[protocol.Error]kafka.Error{
		protocol.ErrNoTopic:  kafka.UnknownTopicOrPartition,
		protocol.ErrNoLeader: kafka.LeaderNotAvailable,
	} {
		if errors.Is(err, own) {
			return fmt.Errorf("%w (%w)", code, err)
		}
	}
	return err
}

// errNoCluster means that the transport has no metadata. clusterError returns the
// reason.
var errNoCluster = fmt.Errorf("no broker has described the cluster yet (%w)", kafka.LeaderNotAvailable)

// leaderOf finds a partition's leader in the transport's metadata.
func leaderOf(cluster protocol.Cluster, topic string, partition int32) (protocol.Broker, error) {
	none := protocol.Broker{ID: -1}
	if len(cluster.Brokers) == 0 {
		return none, errNoCluster
	}
	t, ok := cluster.Topics[topic]
	if !ok {
		return none, brokerError(protocol.NewErrNoTopic(topic))
	}
	p, ok := t.Partitions[partition]
	switch {
	case !ok && t.Error != 0:
		return none, fmt.Errorf("topic %s: %w", topic, kafka.Error(t.Error))
	case !ok:
		return none, &NoPartitionError{topic, partition, len(t.Partitions)}
	}
	leader, ok := cluster.Brokers[p.Leader]
	if !ok {
		return none, brokerError(protocol.NewErrNoLeader(topic, partition))
	}
	return leader, nil
}

// Retriable reports whether a request that failed with err may succeed later without
// anyone's intervention: after faults of the network, while a broker restarts, a
// leader moves, or too few replicas are in sync. It is false for faults of the request,
// the data or the permissions, and where the caller cancelled.
//
// A deadline that passed is retriable: only the caller knows whether it was its own.
// After such a failure an Append may have been written all the same.
func Retriable(err error) bool {
	if err == nil || errors.Is(err, ErrCorrupt) || errors.Is(err, ErrNeverFits) || errors.Is(err, context.Canceled) {
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

// retriableCode follows the Java client (org.apache.kafka.common.protocol.Errors and
// RetriableException) for the codes that reading and writing can meet. It differs in
// two: Unknown, with which a broker answers after an unexpected fault of its own, and
// BrokerNotAvailable.
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
