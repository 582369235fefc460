package kafkalog

import (
	"context"
	"net"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// TestThrottledConnectionIsNotUsed: the broker does not read from a connection that it
// throttles, so a request of another kind goes over another one. A short throttle is not
// worth one.
func TestThrottledConnectionIsNotUsed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := bubble(t)
		topic, transport := c.topic(t), c.Transport(t)
		transport.MetadataTTL = time.Hour
		dials := atomic.Int32{}
		transport.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
			dials.Add(1)
			return c.DialContext(ctx, network, address)
		}
		client := NewClient(c.Addr(), transport)
		fetch := func() {
			t.Helper()
			if _, err := client.Fetch(t.Context(), FetchRequest{Topic: topic}); err != nil {
				t.Fatal(err)
			}
		}
		write := func() {
			t.Helper()
			if _, err := client.Append(t.Context(), topic, 0, []Record{{}}); err != nil {
				t.Fatal(err)
			}
		}
		after := func(what string, do, other func(), d time.Duration, want int32) {
			t.Helper()
			do()
			time.Sleep(10 * time.Second) // no throttle is left, and connections are not idle for too long
			before := dials.Load()
			key := map[string]kmsg.Key{"fetch": kmsg.Fetch, "write": kmsg.Produce}[what]
			throttleNext(c, key, func(req kmsg.Request) kmsg.Response { return okThrottled(req, d) })
			do()
			other()
			if got := dials.Load() - before; got != want {
				t.Errorf("%d new connections after a %s that is throttled for %v: want %d", got, what, d, want)
			}
		}
		after("write", write, fetch, 3*time.Second, 1)
		after("write", write, fetch, mutedFrom-time.Millisecond, 0)
		after("fetch", fetch, write, 3*time.Second, 1)
		after("fetch", fetch, write, mutedFrom-time.Millisecond, 0)
	})
}
