package app_test

import (
	"bytes"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/clientevents/clientevents/emulator"
	"github.com/clientevents/clientevents/internal/app"
	"github.com/clientevents/clientevents/internal/health"
	"github.com/clientevents/clientevents/test/kafkatest"
)

// lockedLog is a log that is read while it is written.
type lockedLog struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedLog) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedLog) text() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// lines returns the lines about problems, as message and reason.
func (l *lockedLog) lines() (all []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for line := range strings.Lines(l.b.String()) {
		for _, message := range []string{"reporting paused", "reporting still paused", "reporting resumed", "problem began", "problem continues", "problem ended"} {
			if strings.Contains(line, `"`+message+`"`) {
				_, rest, _ := strings.Cut(line, "reason=")
				reason, _, _ := strings.Cut(rest, " ")
				all = append(all, message+" "+reason)
			}
		}
	}
	return all
}

// awaitProblem waits until the summary has a reason and is bad.
func (s *site) awaitProblem(t *testing.T, reason health.Reason) health.Problem {
	t.Helper()
	var got health.Problem
	kafkatest.WaitFor(t, 3*time.Minute, "the problem "+string(reason), func() bool {
		got = s.status(t).Summary
		return got.Reason == reason && got.Level == health.Bad
	})
	if got.Advice == "" || got.Affects == "" || got.Since.IsZero() || got.Detail == "" {
		t.Errorf("%s: the status says only %+v", reason, got)
	}
	return got
}

// TestProblemsFromEndToEnd: the API and a broker fail one way after the other. Each is
// the headline with its own time, and one line in the log.
func TestProblemsFromEndToEnd(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, kafkatest.Bubble(t), 3, emulator.Options{})
		log := &lockedLog{}
		s := r.runSite(t, func(o *app.Options) { o.Logger = slog.New(slog.NewTextHandler(log, nil)) })
		began := time.Now()
		r.api.SetFaults(emulator.Faults{All: emulator.Outage()})
		r.publishTraffic(t, 3000)
		s.awaitProblem(t, health.APIUnavailable)
		r.api.SetFaults(emulator.Faults{All: emulator.Refuse(403, "permission denied on project demo")})
		if got := s.awaitProblem(t, health.APIForbidden); !got.Since.After(began.Add(5*time.Second)) || !strings.Contains(got.Said, "permission denied on project demo") {
			t.Errorf("the second reason is %+v, want its own time and words", got)
		}
		time.Sleep(3 * time.Second)
		r.api.SetFaults(emulator.Faults{})
		kafkatest.WaitFor(t, 3*time.Minute, "the API to be well", func() bool { return s.status(t).Reporter.Gate.Open })
		denied := r.Fake.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Fetch}, Topic: r.config.Kafka.Topic, Err: kerr.TopicAuthorizationFailed, Count: -1})
		if got := s.awaitProblem(t, health.SourceUnreadable); !strings.Contains(got.Advice, "Read and Describe on topic "+r.config.Kafka.Topic) {
			t.Errorf("the advice is %q", got.Advice)
		}
		time.Sleep(3 * time.Second)
		denied.Remove()
		kafkatest.WaitFor(t, time.Minute, "the topic to be read", func() bool { return s.status(t).Summary.Reason != health.SourceUnreadable })
		time.Sleep(3 * time.Second)
		want := []string{"reporting paused api_unavailable", "reporting paused api_forbidden", "reporting resumed api_forbidden", "problem began source_unreadable", "problem ended source_unreadable"}
		got := strings.Join(log.lines(), "\n")
		for _, line := range want {
			if strings.Count(got, line) != 1 {
				t.Errorf("the log has not one line %q:\n%s", line, got)
			}
		}
	})
}

// TestDeadLettersAreTheHeadline: a replica whose records all become dead letters is not
// up to date.
func TestDeadLettersAreTheHeadline(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, kafkatest.Bubble(t), 1, emulator.Options{})
		s := r.runSite(t, nil)
		messages := make([]kafka.Message, 56)
		for i := range messages {
			messages[i].Value = []byte("not an event")
		}
		time.Sleep(3 * time.Second)
		r.ProduceByKey(t, r.config.Kafka.Topic, messages...)
		got := s.awaitProblem(t, health.DeadLetterShare)
		if got.Headline != "100 % of the records become dead letters, most for malformed" || !strings.Contains(got.Advice, "dead-letters list --newest --reason malformed") {
			t.Errorf("got %+v", got)
		}
	})
}
