package check

import (
	"context"
	"fmt"
	"net"
	"slices"
	"strconv"

	"github.com/segmentio/kafka-go/protocol/metadata"

	"github.com/clientevents/clientevents/internal/connect"
)

// advertised connects to the addresses that the brokers advertise: all requests but the
// first go there. It reports whether one of them can be reached.
func (ch *check) advertised(ctx context.Context, k *connect.Kafka, w *wire) bool {
	answer, err := w.call(1, &metadata.Request{TopicNames: []string{}})
	if err != nil {
		return true // the check of topics tells
	}
	brokers := answer.(*metadata.Response).Brokers
	reached := len(brokers) == 0
	for _, b := range brokers {
		address := net.JoinHostPort(b.Host, strconv.Itoa(int(b.Port)))
		if slices.Contains(ch.c.Kafka.Brokers, address) {
			reached = true // if it can't be, that is told already
			continue
		}
		if err := ch.reach(ctx, k, address); err != nil {
			ch.fail("broker "+address, fmt.Sprintf("the address that broker %d advertises can't be reached from here: %v", b.NodeID, err),
				"correct advertised.listeners of the broker, or the DNS and the firewalls of this machine")
			continue
		}
		reached = true
	}
	return reached
}

func (ch *check) reach(ctx context.Context, k *connect.Kafka, address string) error {
	ctx, cancel := context.WithTimeout(ctx, ch.limits.answer)
	defer cancel()
	conn, err := k.Dial(ctx, "tcp", address)
	if err != nil {
		return connectTrouble(err, limits{each: ch.limits.answer}, "kafka.brokers")
	}
	return conn.Close()
}
