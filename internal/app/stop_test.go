package app_test

import (
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/clientevents/clientevents/emulator"
	"github.com/clientevents/clientevents/internal/app"
	"github.com/clientevents/clientevents/internal/lifecycle"
	"github.com/clientevents/clientevents/test/kafkatest"
)

// TestStopWhileNothingAnswers: a replica stops within its budget while the brokers
// are silent and the API hangs, and the log names the steps that used up their
// time.
func TestStopWhileNothingAnswers(t *testing.T) {
	bubble(t, func(t *testing.T) {
		const budget = 2 * time.Second
		r := newRig(t, kafkatest.Bubble(t), 1, emulator.Options{})
		asked := make(chan struct{}, 1)
		r.config.API.Endpoint = r.serve(t, http.HandlerFunc(func(_ http.ResponseWriter, req *http.Request) {
			_, _ = io.Copy(io.Discard, req.Body) // only then does the context end with the connection
			select {
			case asked <- struct{}{}:
			default:
			}
			<-req.Context().Done()
		}))
		r.config.Report.BatchSize = 1
		var silent atomic.Bool
		var log buffer
		ended := make(chan error, 1)
		ctx, stop := context.WithCancel(t.Context())
		o := r.options(t)
		o.Logger, o.StopWithin = slog.New(slog.NewTextHandler(&log, nil)), budget
		o.DialKafka = func(ctx context.Context, network, addr string) (net.Conn, error) {
			conn, err := r.DialContext(ctx, network, addr)
			return kafkatest.Silence(conn, &silent), err
		}
		go func() { ended <- app.Run(ctx, o) }()
		r.publish(t, 0, "held", 1, "")
		<-asked
		silent.Store(true)
		began := time.Now()
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		if took := time.Since(began); took > budget {
			t.Errorf("the stop took %v: want %v", took, budget)
		}
		for _, step := range []lifecycle.Step{lifecycle.FinishRequests, lifecycle.CloseSessions, lifecycle.CommitOffsets, lifecycle.LeaveGroup} {
			if !strings.Contains(log.String(), `msg="stop step used up its time" step="`+step.Name+`"`) {
				t.Errorf("the log does not name %q:\n%s", step.Name, log.String())
			}
		}
	})
}
