package check

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/segmentio/kafka-go"

	"github.com/clientevents/clientevents/internal/config"
	"github.com/clientevents/clientevents/internal/connect"
)

// Explain returns an error with the problem and the remedy after a request to the
// brokers of c failed with err. It connects to each of them as [Run] does,
// which distinguishes problems of TLS, logins and servers that are not Kafka; the library only says
// "EOF". It adds where the permissions of each command are if one is missing. An error that
// is clear by itself is returned as it is.
func Explain(ctx context.Context, k *connect.Kafka, c *config.Config, err error) error {
	for _, denied := range []kafka.Error{kafka.TopicAuthorizationFailed, kafka.GroupAuthorizationFailed, kafka.ClusterAuthorizationFailed} {
		if errors.Is(err, denied) {
			return explained{strings.TrimSuffix(err.Error(), ".") + ". To do: grant this login what the command needs; see ACLs in docs/operations.md", err}
		}
	}
	if code, ok := errors.AsType[kafka.Error](err); ok && code != kafka.SASLAuthenticationFailed && code != kafka.UnsupportedSASLMechanism {
		return err
	}
	if ctx.Err() != nil || errors.Is(err, kafka.UnknownTopicOrPartition) {
		return err
	}
	var first error
	for _, broker := range c.Kafka.Brokers {
		w, failed := dialWire(ctx, k, limitsOf(0), broker)
		if failed == nil {
			w.Close()
			return err // a broker can be reached, so the connection is not the problem
		}
		if t, ok := errors.AsType[*trouble](failed); ok && first == nil {
			first = explained{fmt.Sprintf("broker %s: %s: %s", broker, t.says, t.do), err}
		}
	}
	if first == nil || ctx.Err() != nil {
		return err
	}
	return first
}

// explained is an error in other words.
type explained struct {
	text string
	err  error
}

func (e explained) Error() string { return e.text }
func (e explained) Unwrap() error { return e.err }
