package app_test

import (
	"bufio"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/clientevents/clientevents/consumer/kafkalog"
	"github.com/clientevents/clientevents/emulator"
	"github.com/clientevents/clientevents/internal/guard"
	"github.com/clientevents/clientevents/test/kafkatest"
)

// TestAdminPortIsGuarded: the admin port serves no other site's name, and no more than so
// many connections.
func TestAdminPortIsGuarded(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, kafkatest.Bubble(t), 1, emulator.Options{})
		s := r.runSite(t, nil)
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.base+"/status", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Host = "evil.example"
		answer, err := s.client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		answer.Body.Close()
		if answer.StatusCode != http.StatusForbidden {
			t.Errorf("for another host: %s, expected 403", answer.Status)
		}
		synctest.Wait() // until that connection is closed
		dial := func() net.Conn {
			t.Helper()
			c, err := r.net.DialContext(t.Context(), "tcp", strings.TrimPrefix(s.base, "http://"))
			if err != nil {
				t.Fatal(err)
			}
			return c
		}
		for range guard.MaxConnections {
			defer dial().Close()
		}
		synctest.Wait()
		last := dial()
		defer last.Close()
		_ = last.SetDeadline(time.Now().Add(time.Second))
		if answer, err = http.ReadResponse(bufio.NewReader(last), nil); err != nil || answer.StatusCode != http.StatusServiceUnavailable {
			t.Errorf("beyond %d connections: %v, %v, expected 503", guard.MaxConnections, answer, err)
		}
	})
}

// TestStatusOfAnyTime: /status can be encoded whatever time a producer gives to a record
// that waits.
func TestStatusOfAnyTime(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, kafkatest.Bubble(t), 2, emulator.Options{})
		r.config.Parents.Wait = time.Hour
		s := r.runSite(t, nil)
		client := kafkalog.NewClient(r.Addr(), r.Transport(t))
		for partition, year := range []int{-5, 200_000} {
			record := kafkalog.Record{Time: time.Date(year, 1, 1, 0, 0, 0, 0, time.UTC), Value: []byte(
				`{"eventId":"e","requestId":"r","createTime":"2026-01-02T03:04:05Z","parentEventId":"p","jobEvent":{"type":"VIEW","jobs":["projects/demo/jobs/1"]}}`)}
			if _, err := client.Append(t.Context(), r.config.Kafka.Topic, int32(partition), []kafkalog.Record{record}); err != nil {
				t.Fatal(err)
			}
		}
		kafkatest.WaitFor(t, time.Minute, "two records to wait", func() bool {
			waiting := 0
			for _, p := range s.status(t).Partitions {
				waiting += p.Waiting
			}
			return waiting == 2
		})
		if answer, body := s.get(t, "/status"); answer.StatusCode != http.StatusOK || !strings.Contains(body, "9999-12-30") {
			t.Errorf("%s: %s", answer.Status, body)
		}
	})
}
