package app_test

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/clientevents/clientevents/emulator"
	"github.com/clientevents/clientevents/internal/app"
	"github.com/clientevents/clientevents/internal/googleauth/tokenserver"
	"github.com/clientevents/clientevents/test/kafkatest"
)

// TestCredentialsFileHangs: while a stat of the credentials file hangs for a
// minute, as on a mount whose server is away, events are reported, the admin
// server answers, and the replica stops.
func TestCredentialsFileHangs(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, kafkatest.Bubble(t), 2, emulator.Options{})
		tokens := &tokenserver.Server{}
		tokens.URL = r.serve(t, tokens)
		r.config.API.Credentials = tokens.KeyFile(t, filepath.Join(t.TempDir(), "key.json"))
		var mounted atomic.Bool
		mounted.Store(true)
		hangs := make(chan time.Time, 1)
		s := r.runSite(t, func(o *app.Options) {
			o.Stat = func(name string) (os.FileInfo, error) {
				if !mounted.Load() {
					hangs <- time.Now()
					time.Sleep(time.Minute)
				}
				return os.Stat(name)
			}
		})
		s.waitReady(t)
		r.publish(t, 0, "before", 10, "")
		r.waitReported(t, "before", 10)

		mounted.Store(false)
		began := <-hangs
		r.publish(t, 1, "meanwhile", 10, "")
		r.waitReported(t, "meanwhile", 10)
		if answer, body := s.get(t, "/metrics"); answer.StatusCode != http.StatusOK || !strings.Contains(body, "clientevents_pending 0") {
			t.Errorf("/metrics: %d", answer.StatusCode)
		}
		if status := s.status(t); !status.Ready || status.Pending != 0 {
			t.Errorf("/status: ready %t, %d pending; want ready and none", status.Ready, status.Pending)
		}
		s.stop()
		if took := time.Since(began); took > 30*time.Second {
			t.Errorf("reporting, two answers and the stop took %v: want less than the minute of the stat", took)
		}
		time.Sleep(2 * time.Minute) // the stat has to return in the bubble
	})
}
