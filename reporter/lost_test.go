package reporter

import (
	"context"
	"errors"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// breaks ends the connection of a request without an answer.
func breaks(http.ResponseWriter, received) { panic(http.ErrAbortHandler) }

// A server that closes a connection between two requests costs one immediate
// retry, and no pause.
func TestLostConnectionIsNoOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newRig(t, script(accept, breaks, accept, breaks, accept), oneWorker)
		for _, id := range []string{"a", "b", "c"} {
			g.report(id)
			synctest.Wait()
		}
		g.wantRequests("0s "+alone+"a", "0s "+alone+"b", "0s "+alone+"b", "0s "+alone+"c", "0s "+alone+"c")
		g.wantOutcomes(accepted(3))
		g.wantMetric("retries_total", "network", 2)
		g.wantMetric("unknown_outcomes_total", "", 2)
		if log := g.log.String(); strings.Contains(log, "paused") {
			t.Errorf("the log has a pause:\n%s", log)
		}
	})
}

// A new connection that fails, too, is an outage.
func TestOutageAfterALostConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newRig(t, script(accept, breaks), oneWorker)
		g.report("a")
		synctest.Wait()
		g.report("b")
		time.Sleep(time.Minute)
		got := g.requests()
		if len(got) < 4 || got[2] != "0s "+alone+"b" || got[3] != "500ms "+alone+"b" {
			t.Errorf("requests are %q, want a retry at once and another after 500ms", got)
		}
		g.wantPaused("unavailable")
	})
}

// Events whose request was never sent are no duplicates.
func TestUnsentIsKnown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		refused := true
		g := newRig(t, nil, func(c *rigConfig) {
			dial := c.Dial
			c.Dial = func(ctx context.Context, network, addr string) (net.Conn, error) {
				if refused {
					refused = false
					return nil, errors.New("connection refused")
				}
				return dial(ctx, network, addr)
			}
		})
		g.report("a")
		time.Sleep(time.Second)
		g.wantOutcomes(accepted(1))
		g.wantMetric("retries_total", "network", 1)
		g.wantMetric("unknown_outcomes_total", "", 0)
	})
}

// The answers of a gateway leave it open whether the API has the event.
func TestUnknownOutcomes(t *testing.T) {
	for status, want := range map[int]float64{500: 1, 502: 1, 503: 0, 504: 1, 429: 0, 401: 0} {
		synctest.Test(t, func(t *testing.T) {
			g := newRig(t, script(refuse(status), accept), nil)
			g.report("a")
			time.Sleep(5 * time.Minute)
			g.wantOutcomes(accepted(1))
			g.wantMetric("unknown_outcomes_total", "", want)
		})
	}
}
