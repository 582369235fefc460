package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"

	"github.com/clientevents/clientevents/internal/admin"
	"github.com/clientevents/clientevents/internal/health"
	"github.com/clientevents/clientevents/test/kafkatest"
	"github.com/clientevents/clientevents/test/kafkatest/clients"
)

// TestNoCommandCreatesTopics: on a broker that creates topics on demand, no command but
// topics create makes a source topic, and none but run the other topics.
func TestNoCommandCreatesTopics(t *testing.T) {
	t.Parallel()
	c := kafkatest.Real(t)
	for _, exists := range []bool{false, true} {
		t.Run(fmt.Sprintf("source=%t", exists), func(t *testing.T) {
			topic, file := planned(t, c, "admin: {listen: \"127.0.0.1:0\"}\n")
			event := strings.ReplaceAll(fmt.Sprintf(goodEvent, "a", "a"), "projects/p/jobs", "projects/p/tenants/t/jobs")
			commands := [][]string{
				{"check"},
				{"rehearse"},
				{"rehearse", "--since", "1h"},
				{"find", "some-event"},
				{"find", "--request-id", "r"},
				{"dead-letters", "summary"},
				{"dead-letters", "list"},
				{"dead-letters", "list", "--newest"},
				{"dead-letters", "replay"},
				{"dead-letters", "replay", "--dry-run"},
				{"topics", "describe"},
				{"config", "show"},
				{"validate"},
				{"publish"},
			}
			if exists {
				c.CreateTopic(t, topic, 1, nil)
			}
			for _, args := range commands {
				code, out, errs := command(t, event, append(args, "--config", file)...)
				for _, found := range c.Topics(t) {
					if strings.HasPrefix(found, topic) && (found != topic || !exists) {
						t.Fatalf("%v created topic %s: exit code %d\n%s%s", args, found, code, out, errs)
					}
				}
			}
			if exists {
				return
			}
			stop := background(t, "run", "--config", file)
			time.Sleep(3 * time.Second) // of attempts, once a second at first
			if code := stop(); code != exitDone {
				t.Errorf("run: exit code %d", code)
			}
			if all := c.Topics(t); slices.ContainsFunc(all, func(found string) bool { return strings.HasPrefix(found, topic) }) {
				t.Errorf("run created topics for a source topic that does not exist: %v", all)
			}
		})
	}
}

// status returns /status; ok is false while nothing answers.
func (s *station) status(t *testing.T) (status admin.Status, ok bool) {
	t.Helper()
	code, body := s.get(t, "/status")
	return status, code == http.StatusOK && json.Unmarshal([]byte(body), &status) == nil
}

// client is the configuration of another library's consumer in the station's group.
func (s *station) client(config ...string) []string {
	return append([]string{"bootstrap.servers=" + strings.Join(s.Brokers, ","), "group.id=" + s.topic, "client.id=stranger"}, config...)
}

// TestForeignMembers: a consumer of another topic in the group takes no partition, and is
// named by check and the status; one of the new group protocol takes some, which are told
// to be unread.
func TestForeignMembers(t *testing.T) {
	t.Parallel()
	c := kafkatest.Real(t)
	t.Run("another topic", func(t *testing.T) {
		t.Parallel()
		s := newStation(t, c, "")
		other := s.NewTopic(t, "other", 1)
		rdkafka := clients.RdkafkaMember(t, other, s.client("session.timeout.ms=6000", "allow.auto.create.topics=false")...)
		kafkatest.WaitFor(t, time.Minute, "the consumer's partition", func() bool { return len(rdkafka.Partitions()) == 1 })
		stop := background(t, "run", "--config", s.file)
		s.Produce(t, s.topic, kafka.Message{Key: []byte("k"), Value: fmt.Appendf(nil, goodEvent, "a", "a")})
		kafkatest.WaitFor(t, time.Minute, "the event to be reported", func() bool { return s.api.Stats().Accepted == 1 })
		const fault = `client "stranger" on host 127.0.0.1, which subscribes to ["`
		code, out, _ := command(t, "", "check", "--config", s.file)
		if code != exitFailed || !strings.Contains(out, "FAIL  group "+s.topic+": ") || !strings.Contains(out, fault+other) {
			t.Errorf("check: exit code %d\n%s", code, out)
		}
		kafkatest.WaitFor(t, time.Minute, "the status to name it", func() bool {
			status, ok := s.status(t)
			return ok && status.Group.Covered && strings.Contains(status.Group.Fault, fault+other) && status.Summary.Level == "bad"
		})
		if code, body := s.get(t, "/readyz"); code != http.StatusOK {
			t.Errorf("/readyz: %d %s: want 200, since all partitions are read", code, body)
		}
		stop()
		rdkafka.End(t)
	})
	t.Run("new protocol", func(t *testing.T) {
		t.Parallel()
		s := newStation(t, c, "")
		java := clients.JavaMember(t, s.topic, s.client("group.protocol=consumer")...)
		kafkatest.WaitFor(t, time.Minute, "the consumer's partitions", func() bool { return len(java.Partitions()) == 3 })
		const fault = "by the new group protocol (KIP-848)"
		code, out, _ := command(t, "", "check", "--config", s.file)
		if code != exitFailed || !strings.Contains(out, "FAIL  group "+s.topic+": ") || !strings.Contains(out, fault) {
			t.Errorf("check: exit code %d\n%s", code, out)
		}
		stop := background(t, "run", "--config", s.file)
		kafkatest.WaitFor(t, time.Minute, "the status to name it", func() bool {
			status, ok := s.status(t)
			return ok && status.Group.Unread && !status.Ready && strings.Contains(status.Group.Fault, fault) &&
				status.Summary.Reason == health.PartitionsUnread
		})
		if code, body := s.get(t, "/readyz"); code != http.StatusServiceUnavailable || !strings.Contains(body, "no replica reads partitions") {
			t.Errorf("/readyz: %d %s", code, body)
		}
		stop()
		java.End(t)
	})
}

// TestTransactionOfLibrdkafka: a transaction that librdkafka holds open is shown by check
// and, after a while, by the status.
func TestTransactionOfLibrdkafka(t *testing.T) {
	t.Parallel()
	s := newStation(t, kafkatest.Real(t), "")
	stop := background(t, "run", "--config", s.file)
	txn := clients.RdkafkaTransaction(t, s.topic, []int32{1}, "bootstrap.servers="+strings.Join(s.Brokers, ","), "transactional.id="+s.topic)
	for p := range 3 {
		s.Produce(t, s.topic, kafka.Message{Partition: p, Key: []byte("k"), Value: fmt.Appendf(nil, goodEvent, fmt.Sprint(p), "a")})
	}
	kafkatest.WaitFor(t, time.Minute, "the events that are not behind the transaction", func() bool { return s.api.Stats().Accepted == 2 })
	code, out, _ := command(t, "", "check", "--config", s.file)
	if code != exitDone || !strings.Contains(out, "note  partition 1 of topic "+s.topic+": a transaction that begins at offset 0 has been open for ") || !strings.Contains(out, "2 records from there on") {
		t.Errorf("check: exit code %d\n%s", code, out)
	}
	kafkatest.WaitFor(t, time.Minute, "the status to show it", func() bool {
		status, ok := s.status(t)
		return ok && status.Summary.Reason == health.OpenTransaction && strings.Contains(status.Summary.Detail, "partition 1. A transaction that begins at offset 0 has been open since ")
	})
	if n := s.api.Stats().Accepted; n != 2 {
		t.Errorf("%d events are reported: want the two that are not behind the transaction", n)
	}
	txn.End(t)
	kafkatest.WaitFor(t, time.Minute, "the third event", func() bool { return s.api.Stats().Accepted == 3 })
	stop()
}

// TestSessionsAreRenewed: a broker that ends logins after a few seconds causes no
// rebalance, and no request is lost.
func TestSessionsAreRenewed(t *testing.T) {
	t.Parallel()
	secure, c := kafkatest.RealSecure(t), kafkatest.Real(t)
	password := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(password, []byte(secure.Password), 0o600); err != nil {
		t.Fatal(err)
	}
	s := newStation(t, c, "")
	s.through(t, secure.SASL, fmt.Sprintf("sasl: {mechanism: scram-sha-512, username: %s, password_file: %s}", secure.Username, password))
	stop := background(t, "run", "--config", s.file)
	n := 0
	publish := func() {
		s.Produce(t, s.topic, kafka.Message{Key: []byte("k"), Value: fmt.Appendf(nil, goodEvent, fmt.Sprint(n), "a")})
		n++
		kafkatest.WaitFor(t, time.Minute, "an event to be reported", func() bool { return s.api.Stats().Accepted == int64(n) })
	}
	publish()
	_, before := s.get(t, "/metrics")
	for began := time.Now(); time.Since(began) < 3*sessionLifetime; time.Sleep(100 * time.Millisecond) {
		publish()
	}
	_, after := s.get(t, "/metrics")
	for _, metric := range []string{"rebalances_total", "fetch_failures_total", "commit_failures_total", `topic_write_failures_total{topic="state"}`} {
		if b, a := line(before, "clientevents_"+metric), line(after, "clientevents_"+metric); a == "" || a != b {
			t.Errorf("%q became %q", b, a)
		}
	}
	stop()
}

// sessionLifetime is connections.max.reauth.ms of the test broker for logins by
// SCRAM-SHA-512.
const sessionLifetime = 4 * time.Second

// line returns the sample of a series.
func line(metrics, series string) string {
	for l := range strings.Lines(metrics) {
		if strings.HasPrefix(l, series+" ") {
			return strings.TrimSpace(l)
		}
	}
	return ""
}
