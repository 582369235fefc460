package simulation

import (
	"context"
	"net"
	"testing"
	"time"

	"github.com/segmentio/kafka-go/sasl/plain"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/clientevents/clientevents/consumer/kafkalog"
	"github.com/clientevents/clientevents/test/kafkatest"
)

// TestSessionsEnd: the brokers end each login after a few seconds, while replicas come
// and go. All connections log in again in time, and nothing is repeated.
func TestSessionsEnd(t *testing.T) {
	t.Parallel()
	withSeeds(t, max(1, *seeds/3), traffic, func(w *world) {
		const lifetime = 3 * time.Second
		sessions := &kafkatest.Sessions{Lifetime: lifetime}
		w.kafka.Fake.Control(func(req kmsg.Request) (kmsg.Response, error, bool) {
			w.kafka.Fake.KeepControl()
			switch answer := req.ResponseKind().(type) {
			case *kmsg.SASLHandshakeResponse:
				answer.SupportedMechanisms = []string{"PLAIN"}
				return answer, nil, true
			case *kmsg.SASLAuthenticateResponse:
				answer.SessionLifetimeMillis = lifetime.Milliseconds()
				return answer, nil, true
			}
			return nil, nil, false
		})
		w.login = func(dial dialFunc) dialFunc {
			d := &kafkalog.Dialer{SASL: plain.Mechanism{Username: "user", Password: "right"}, Dial: func(ctx context.Context, network, address string) (net.Conn, error) {
				conn, err := dial(ctx, network, address)
				if err != nil {
					return nil, err
				}
				return sessions.Enforce(conn), nil
			}}
			return d.DialContext
		}
		w.start()
		w.publish(w.change)
		w.settle()
		w.judge(0)
		if logins, ended := sessions.Logins.Load(), sessions.Ended.Load(); ended > 0 || logins < 20 {
			w.t.Errorf("%d logins, and %d connections that their session ended", logins, ended)
		}
	})
}
