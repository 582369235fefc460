package consumer

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/segmentio/kafka-go"

	"github.com/clientevents/clientevents/internal/backoff"
)

// brokerBackoff is for requests to brokers that failed.
var brokerBackoff = backoff.Policy{First: 50 * time.Millisecond, Max: 2 * time.Second}

// pause waits longer with each attempt; the first is 0.
func pause(ctx context.Context, attempt int) error { return brokerBackoff.Sleep(ctx, attempt+1) }

// hopeless returns err if waiting does not fix it, such as a rejected login.
func hopeless(err error) error {
	for _, code := range []kafka.Error{
		kafka.SASLAuthenticationFailed, kafka.UnsupportedSASLMechanism, kafka.GroupAuthorizationFailed,
		kafka.TopicAuthorizationFailed, kafka.ClusterAuthorizationFailed, kafka.InvalidSessionTimeout,
		kafka.InvalidGroupId, kafka.UnsupportedVersion,
	} {
		if errors.Is(err, code) {
			return fmt.Errorf("%w", err)
		}
	}
	return nil
}
