package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/segmentio/kafka-go"

	"github.com/clientevents/clientevents/consumer"
	"github.com/clientevents/clientevents/internal/config"
	"github.com/clientevents/clientevents/internal/googleauth"
	"github.com/clientevents/clientevents/internal/version"
)

// Check writes one line for each thing that has to be in order before events
// can be carried, and says whether all are. Nothing is changed, and no event is
// created.
func Check(ctx context.Context, w io.Writer, c *config.Config) bool {
	ch := &check{w: w, c: c, sound: true}
	ch.ok("configuration", "sound")
	ch.kafka(ctx)
	ch.credentials()
	ch.endpoint(ctx)
	return ch.sound
}

// checkTimeout is for each thing that is checked.
const checkTimeout = 10 * time.Second

type check struct {
	w     io.Writer
	c     *config.Config
	sound bool
}

func (ch *check) line(mark, what, text string) {
	fmt.Fprintf(ch.w, "%-5s %s: %s\n", mark, what, strings.Join(strings.Fields(text), " "))
}

func (ch *check) ok(what, format string, args ...any) {
	ch.line("ok", what, fmt.Sprintf(format, args...))
}

func (ch *check) note(what, text string) {
	ch.line("note", what, text)
}

func (ch *check) fail(what, format string, args ...any) {
	ch.sound = false
	ch.line("FAIL", what, fmt.Sprintf(format, args...))
}

func (ch *check) kafka(ctx context.Context) {
	k, err := NewKafka(ch.c, nil)
	if err != nil {
		ch.fail("kafka", "%v", err)
		return
	}
	defer k.Close()
	reached := false
	for _, broker := range ch.c.Kafka.Brokers {
		if err := answers(ctx, k.Dialer, broker); err != nil {
			ch.fail("broker "+broker, "%v%s", err, brokerAdvice(err, ch.c))
			continue
		}
		reached = true
		ch.ok("broker "+broker, "answers")
	}
	if reached {
		ch.topics(ctx, k)
	}
}

// answers says whether a broker answers. It is asked directly, and not through
// the transport, which only says that a login failed and not why.
func answers(ctx context.Context, dialer *kafka.Dialer, broker string) error {
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	conn, err := dialer.DialContext(ctx, "tcp", broker)
	if err != nil {
		return err
	}
	defer conn.Close()
	if deadline, ok := ctx.Deadline(); ok {
		_ = conn.SetDeadline(deadline) // what isn't Kafka may never answer
	}
	if _, err := conn.ApiVersions(); err != nil {
		return fmt.Errorf("it does not answer as a Kafka broker: %w", err)
	}
	return nil
}

func brokerAdvice(err error, c *config.Config) string {
	switch {
	case errors.Is(err, kafka.SASLAuthenticationFailed):
		return " (check kafka.sasl.username and the password)"
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		if c.Kafka.TLS.Enabled {
			return " (does this listener speak TLS? see kafka.tls)"
		}
		return " (does this listener want TLS or a login? see kafka.tls and kafka.sasl)"
	}
	return ""
}

func (ch *check) topics(ctx context.Context, k *Kafka) {
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	source, err := consumer.PartitionCount(ctx, k.Client(), ch.c.Kafka.Topic)
	if err != nil {
		advice := ""
		if errors.Is(err, kafka.UnknownTopicOrPartition) {
			advice = " (create it, or mend kafka.topic)"
		}
		ch.fail("topic "+ch.c.Kafka.Topic, "%v%s", err, advice)
		return
	}
	ch.ok("topic "+ch.c.Kafka.Topic, "%d partitions", source)
	ch.deadLetterTopic(ctx, k)
	ch.stateTopic(ctx, k, source)
}

func (ch *check) deadLetterTopic(ctx context.Context, k *Kafka) {
	topic := ch.c.Kafka.DeadLetterTopic
	switch n, err := consumer.PartitionCount(ctx, k.Client(), topic); {
	case errors.Is(err, kafka.UnknownTopicOrPartition):
		ch.note("dead-letter topic "+topic, "does not exist yet; run creates it")
	case err != nil:
		ch.fail("dead-letter topic "+topic, "%v", err)
	default:
		ch.ok("dead-letter topic "+topic, "%d partitions", n)
	}
}

func (ch *check) stateTopic(ctx context.Context, k *Kafka, source int) {
	topic := ch.c.Kafka.StateTopic
	n, err := consumer.PartitionCount(ctx, k.Client(), topic)
	if errors.Is(err, kafka.UnknownTopicOrPartition) {
		ch.note("state topic "+topic, "does not exist yet; run creates it")
		return
	}
	var settings map[string]string
	if err == nil {
		settings, err = consumer.TopicConfig(ctx, k.Client(), topic, "cleanup.policy", "retention.ms", "min.insync.replicas")
	}
	if err == nil {
		err = consumer.CheckStateTopic(topic, ch.c.Kafka.Topic, n, source, settings, ch.c.Dedupe.Window)
	}
	if err != nil {
		ch.fail("state topic "+topic, "%v", err)
		return
	}
	ch.ok("state topic "+topic, "%d partitions, cleanup.policy %s", n, settings["cleanup.policy"])
	if settings["min.insync.replicas"] == "1" {
		ch.note("state topic "+topic, "min.insync.replicas is 1: what was reported can be forgotten with a broker; see docs/delivery.md")
	}
}

func (ch *check) credentials() {
	if ch.c.API.Credentials == "none" {
		ch.note("credentials", "none: requests are sent without a token")
		return
	}
	if _, err := tokenSource(ch.c, nil).Token(context.Background()); err != nil {
		ch.fail("credentials", "no access token: %v", err)
		return
	}
	ch.ok("credentials", "an access token was given for scope %s", googleauth.JobsScope)
}

func (ch *check) endpoint(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, ch.c.API.Endpoint, nil)
	if err != nil {
		ch.fail("endpoint "+ch.c.API.Endpoint, "%v", err)
		return
	}
	req.Header.Set("User-Agent", version.UserAgent())
	client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	defer client.CloseIdleConnections()
	resp, err := client.Do(req)
	if err != nil {
		ch.fail("endpoint "+ch.c.API.Endpoint, "%v", err)
		return
	}
	resp.Body.Close()
	ch.ok("endpoint "+ch.c.API.Endpoint, "answers (%s)", resp.Status)
}
