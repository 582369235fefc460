package app

import (
	"context"
	"errors"
	"fmt"

	"github.com/segmentio/kafka-go"

	"github.com/clientevents/clientevents/internal/config"
)

// ExplainKafka says what is wrong, and what to do, where a request to the
// brokers of c failed with err: it connects to each of them as [Check] does,
// which tells TLS, logins and what isn't Kafka apart, where the library says
// "EOF". An error that is clear by itself is returned as it is.
func ExplainKafka(ctx context.Context, k *Kafka, c *config.Config, err error) error {
	if code, ok := errors.AsType[kafka.Error](err); ok && code != kafka.SASLAuthenticationFailed && code != kafka.UnsupportedSASLMechanism {
		return err
	}
	if ctx.Err() != nil || errors.Is(err, kafka.UnknownTopicOrPartition) {
		return err
	}
	var first error
	for _, broker := range c.Kafka.Brokers {
		w, failed := dialWire(ctx, k, broker)
		if failed == nil {
			w.Close()
			return err // it can be reached, so that is not what is wrong
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
