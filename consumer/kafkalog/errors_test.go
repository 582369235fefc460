package kafkalog

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"syscall"
	"testing"

	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol"
)

func TestRetriableCodes(t *testing.T) {
	// All others are not. The numbers are the protocol's.
	retriable := map[kafka.Error]bool{
		-1: true, 2: true, 3: true, 5: true, 6: true, 7: true, 8: true, 9: true, 13: true, 14: true, 15: true, 16: true,
		19: true, 20: true, 41: true, 51: true, 56: true, 70: true, 71: true, 72: true, 74: true, 75: true, 78: true,
		80: true, 83: true, 88: true, 89: true, 100: true, 103: true, 106: true,
	}
	for code := kafka.Error(-1); code < 200; code++ {
		if code == 0 {
			continue
		}
		for _, err := range []error{code, fmt.Errorf("write: %w: the broker says why", code), errors.Join(code, io.EOF)} {
			if got := Retriable(err); got != retriable[code] {
				t.Errorf("Retriable(%v), code %d: got %v", err, int(code), got)
			}
		}
	}
}

func TestRetriable(t *testing.T) {
	refused := &net.OpError{Op: "dial", Net: "tcp", Err: &os.SyscallError{Syscall: "connect", Err: syscall.ECONNREFUSED}}
	for _, test := range []struct {
		err  error
		want bool
	}{
		{nil, false},
		{io.EOF, true},
		{io.ErrUnexpectedEOF, true},
		{net.ErrClosed, true},
		{refused, true},
		{syscall.ECONNRESET, true},
		{&net.DNSError{Err: "no such host", Name: "kafka", IsNotFound: true}, true},
		{os.ErrDeadlineExceeded, true},
		{context.DeadlineExceeded, true},
		{context.Canceled, false},
		{&CorruptError{Err: io.ErrUnexpectedEOF}, false},
		{errAnswer, true},
		{protocol.Errorf("correlation id mismatch"), true},
		{brokerError(protocol.NewErrNoLeader("t", 0)), true},
		{brokerError(protocol.NewErrNoTopic("t")), true},
		{&tls.CertificateVerificationError{Err: x509.UnknownAuthorityError{}}, false},
		{&net.OpError{Op: "remote error", Err: tls.AlertError(42)}, false},
		{tls.RecordHeaderError{Msg: "first record does not look like a TLS handshake"}, false},
		{errors.New("something else"), false},
	} {
		if got := Retriable(test.err); got != test.want {
			t.Errorf("Retriable(%v) is %v", test.err, got)
		}
		if test.err != nil {
			if got := Retriable(fmt.Errorf("fetch: %w", test.err)); got != test.want {
				t.Errorf("wrapped: Retriable(%v) is %v", test.err, got)
			}
		}
	}
}

func TestLeaderOf(t *testing.T) {
	cluster := protocol.Cluster{
		Brokers: map[int32]protocol.Broker{1: {ID: 1, Host: "one"}},
		Topics: map[string]protocol.Topic{
			"t":       {Name: "t", Partitions: map[int32]protocol.Partition{0: {Leader: 1}, 1: {ID: 1, Leader: -1}}},
			"refused": {Name: "refused", Error: int16(kafka.TopicAuthorizationFailed)},
		},
	}
	if b, err := leaderOf(cluster, "t", 0); err != nil || b.ID != 1 {
		t.Errorf("got %v, %v, want broker 1", b, err)
	}
	for _, test := range []struct {
		topic     string
		partition int32
		want      kafka.Error
	}{
		{"t", 1, kafka.LeaderNotAvailable},
		{"t", 2, kafka.UnknownTopicOrPartition},
		{"none", 0, kafka.UnknownTopicOrPartition},
		{"refused", 0, kafka.TopicAuthorizationFailed},
	} {
		_, err := leaderOf(cluster, test.topic, test.partition)
		wantError(t, err, test.want)
	}
}
