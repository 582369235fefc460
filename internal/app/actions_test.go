package app_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"

	"github.com/clientevents/clientevents/emulator"
	"github.com/clientevents/clientevents/internal/admin"
	"github.com/clientevents/clientevents/internal/app"
	"github.com/clientevents/clientevents/test/kafkatest"
)

const token = "a token of many characters"

// withToken switches admin actions on.
func (r *rig) withToken(t *testing.T) {
	t.Helper()
	r.config.Admin.TokenFile = filepath.Join(t.TempDir(), "token")
	r.setToken(t, token+"\n")
}

func (r *rig) setToken(t *testing.T, text string) {
	t.Helper()
	if err := os.WriteFile(r.config.Admin.TokenFile, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// post asks for an action, with the headers given as pairs.
func (s *site) post(t *testing.T, action string, headers ...string) (int, admin.ActionAnswer) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.base+"/admin/"+action, nil)
	if err != nil {
		t.Fatal(err)
	}
	for pair := range slices.Chunk(headers, 2) {
		req.Header.Set(pair[0], pair[1])
	}
	answer, err := s.client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	var a admin.ActionAnswer
	if json.Unmarshal(body, &a) != nil {
		a.Error = string(body)
	}
	return answer.StatusCode, a
}

// act wants an action to be done.
func (s *site) act(t *testing.T, action string) {
	t.Helper()
	if code, a := s.post(t, action, "Authorization", "Bearer "+token); code != http.StatusOK || !a.Done {
		t.Fatalf("%s: %d %+v: want 200 and done", action, code, a)
	}
}

// publish publishes n events, all to one partition, with ids that begin with
// the name.
func (r *rig) publish(t *testing.T, partition int, name string, n int, parent string) {
	t.Helper()
	var messages []kafka.Message
	for i := range n {
		what := `"jobEvent":{"type":"IMPRESSION","jobs":["projects/demo/jobs/1"]}`
		if parent != "" {
			what = `"parentEventId":"` + parent + `","jobEvent":{"type":"VIEW","jobs":["projects/demo/jobs/1"]}`
		}
		value := fmt.Sprintf(`{"eventId":"%s-%d","requestId":"%s","createTime":"2026-01-02T03:04:05Z",%s}`, name, i, name, what)
		messages = append(messages, kafka.Message{Partition: partition, Key: []byte(name), Value: []byte(value)})
	}
	r.Produce(t, r.config.Kafka.Topic, messages...)
}

// reported counts the events whose ids begin with name.
func (r *rig) reported(name string) (n int) {
	for _, a := range r.api.Events() {
		if strings.HasPrefix(a.Event.EventID, name+"-") {
			n++
		}
	}
	return n
}

func (r *rig) waitReported(t *testing.T, name string, n int) {
	t.Helper()
	kafkatest.WaitFor(t, time.Minute, fmt.Sprintf("%d events %s to be reported", n, name), func() bool { return r.reported(name) >= n })
	if got := r.reported(name); got != n {
		t.Errorf("%d events %s were reported: want %d", got, name, n)
	}
}

func (s *site) waitReady(t *testing.T) {
	t.Helper()
	kafkatest.WaitFor(t, time.Minute, "the replica to be ready", func() bool {
		answer, _ := s.get(t, "/readyz")
		return answer.StatusCode == http.StatusOK
	})
}

// partition describes one partition; nil where the replica does not have it.
func partitionOf(s admin.Status, id int32) (paused, owned bool) {
	for _, p := range s.Partitions {
		if p.Partition == id {
			return p.Paused, true
		}
	}
	return false, false
}

func TestPausePartition(t *testing.T) {
	each(t, func(t *testing.T, c *kafkatest.Cluster) {
		r := newRig(t, c, 2, emulator.Options{})
		r.withToken(t)
		s := r.runSite(t, nil)
		s.waitReady(t)
		r.publish(t, 0, "before", 10, "")
		r.waitReported(t, "before", 10)
		s.act(t, "pause?partition=0")
		status := s.status(t)
		if paused, _ := partitionOf(status, 0); !paused {
			t.Error("partition 0 is not paused, though the answer said so")
		}
		if paused, _ := partitionOf(status, 1); paused {
			t.Error("partition 1 is paused, too")
		}
		if l := status.Admin.Latest; len(l) != 1 || l[0].What != "pause partition 0" || l[0].By != "127.0.0.1" {
			t.Errorf("the latest actions are %+v", l)
		}
		if !strings.Contains(status.Summary.Headline, "partition 0 paused") {
			t.Errorf("the headline is %q", status.Summary.Headline)
		}
		r.publish(t, 0, "held", 10, "")
		r.publish(t, 1, "flows", 10, "")
		r.waitReported(t, "flows", 10)
		kafkatest.WaitFor(t, time.Minute, "the lag to be told", func() bool { return s.status(t).Backlog.Records == 10 })
		if n := r.reported("held"); n != 0 {
			t.Errorf("%d events of a paused partition were reported", n)
		}
		// The resume of all is not the partition's.
		s.act(t, "resume")
		if paused, _ := partitionOf(s.status(t), 0); !paused {
			t.Error("the resume of all resumed the partition")
		}
		s.act(t, "resume?partition=0")
		r.waitReported(t, "held", 10)
		if d := r.api.Stats().Duplicates; d != 0 {
			t.Errorf("%d events were reported twice", d)
		}
	})
}

// TestPauseOutlivesOwners: a partition's pause goes with it, to another replica
// and to a later one, until it is resumed there.
func TestPauseOutlivesOwners(t *testing.T) {
	each(t, func(t *testing.T, c *kafkatest.Cluster) {
		r := newRig(t, c, 2, emulator.Options{})
		r.withToken(t)
		one := r.runSite(t, nil)
		one.waitReady(t)
		one.act(t, "pause?partition=0")
		one.act(t, "pause?partition=1")
		r.publish(t, 0, "zero", 5, "")
		r.publish(t, 1, "one", 5, "")
		two := r.runSite(t, nil)
		kafkatest.WaitFor(t, time.Minute, "each replica to have a partition that is paused", func() bool {
			for _, s := range []*site{one, two} {
				status := s.status(t)
				if len(status.Partitions) != 1 || !status.Partitions[0].Paused {
					return false
				}
			}
			return true
		})
		his := two.status(t).Partitions[0].Partition
		if code, a := one.post(t, fmt.Sprint("resume?partition=", his), "Authorization", "Bearer "+token); code != http.StatusConflict {
			t.Errorf("the resume of another's partition: %d %+v: want 409", code, a)
		}
		two.act(t, fmt.Sprint("resume?partition=", his))
		resumed, held := "zero", "one"
		if his == 1 {
			resumed, held = held, resumed
		}
		r.waitReported(t, resumed, 5)
		// The first leaves: the other gets both, the one paused and the other not.
		one.stop()
		kafkatest.WaitFor(t, time.Minute, "the other to have both", func() bool {
			mine, _ := partitionOf(two.status(t), his)
			theirs, ok := partitionOf(two.status(t), 1-his)
			return ok && theirs && !mine
		})
		r.publish(t, int(his), "more", 5, "")
		r.waitReported(t, "more", 5)
		if n := r.reported(held); n != 0 {
			t.Errorf("%d events of a paused partition were reported", n)
		}
		two.act(t, fmt.Sprint("resume?partition=", 1-his))
		r.waitReported(t, held, 5)
		// And what was resumed does not come back paused.
		two.stop()
		three := r.runSite(t, nil)
		r.publish(t, 0, "last", 5, "")
		r.publish(t, 1, "least", 5, "")
		r.waitReported(t, "last", 5)
		r.waitReported(t, "least", 5)
		if d := r.api.Stats().Duplicates; d != 0 {
			t.Errorf("%d events were reported twice", d)
		}
		_ = three
	})
}

// TestPauseAll: nothing is fetched or sent, whatever partitions come; the
// membership continues.
func TestPauseAll(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, kafkatest.Bubble(t), 2, emulator.Options{})
		r.withToken(t)
		one := r.runSite(t, nil)
		one.waitReady(t)
		one.act(t, "pause")
		if status := one.status(t); !status.Admin.Paused || status.InFlight != 0 || status.Summary.Level != "paused" {
			t.Errorf("after the pause: %+v, %d in flight, %+v", status.Admin, status.InFlight, status.Summary)
		}
		if _, body := one.get(t, "/metrics"); !strings.Contains(body, `clientevents_paused{reason="operator"} 1`) {
			t.Error("the metric does not say so")
		}
		// Another replica comes and goes; what the first gets back stays paused.
		two := r.runSite(t, nil)
		kafkatest.WaitFor(t, time.Minute, "the other to have a partition", func() bool { return len(two.status(t).Partitions) == 1 })
		two.stop()
		kafkatest.WaitFor(t, time.Minute, "the first to have both", func() bool { return len(one.status(t).Partitions) == 2 })
		r.publish(t, 0, "zero", 5, "")
		r.publish(t, 1, "one", 5, "")
		kafkatest.WaitFor(t, time.Minute, "the lag to be told", func() bool { return one.status(t).Backlog.Records == 10 })
		one.waitReady(t)
		if n := r.api.Stats().Accepted; n != 0 {
			t.Errorf("%d events were reported by a paused replica", n)
		}
		one.act(t, "resume")
		r.waitReported(t, "zero", 5)
		r.waitReported(t, "one", 5)
	})
}

// TestPauseStopsPatience: a child whose parent stands unread in a paused
// partition is no dead letter.
func TestPauseStopsPatience(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, kafkatest.Bubble(t), 2, emulator.Options{})
		r.withToken(t)
		r.config.Parents.Wait = time.Second
		s := r.runSite(t, nil)
		s.waitReady(t)
		r.publish(t, 0, "child", 1, "parent-0")
		kafkatest.WaitFor(t, time.Minute, "the child to wait", func() bool { return s.status(t).Backlog.Waiting == 1 })
		s.act(t, "pause?partition=0")
		r.publish(t, 0, "parent", 1, "")
		// An orphan that comes later, elsewhere, loses its patience: by then the
		// child would have, too.
		r.publish(t, 1, "orphan", 1, "never-0")
		kafkatest.WaitFor(t, time.Minute, "an orphan to become a dead letter", func() bool { return s.status(t).Letters["parent_not_found"] == 1 })
		s.act(t, "resume?partition=0")
		r.waitReported(t, "parent", 1)
		r.waitReported(t, "child", 1)
		if n := s.status(t).Letters["parent_not_found"]; n != 1 {
			t.Errorf("%d dead letters: want the orphan's alone", n)
		}
	})
}

// TestDrainByAdmin: what was fetched is finished, the group is left, and the
// process lives.
func TestDrainByAdmin(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, kafkatest.Bubble(t), 2, emulator.Options{})
		r.withToken(t)
		s := r.runSite(t, nil)
		s.waitReady(t)
		r.publish(t, 0, "before", 10, "")
		r.waitReported(t, "before", 10)
		s.act(t, "drain")
		if answer, body := s.get(t, "/readyz"); answer.StatusCode != http.StatusServiceUnavailable || !strings.Contains(body, "drained") {
			t.Errorf("ready? %s: %s", answer.Status, body)
		}
		if answer, _ := s.get(t, "/livez"); answer.StatusCode != http.StatusOK {
			t.Errorf("alive? %s", answer.Status)
		}
		if status := s.status(t); !status.Admin.Drained || !strings.HasPrefix(status.Summary.Headline, "Drained") {
			t.Errorf("%+v, %+v", status.Admin, status.Summary)
		}
		if lag := r.Lag(t, r.config.Kafka.Group, r.config.Kafka.Topic); lag != 0 {
			t.Errorf("the group's lag is %d", lag)
		}
		r.publish(t, 0, "after", 10, "")
		other := r.runSite(t, nil)
		other.waitReady(t)
		r.waitReported(t, "after", 10)
		if len(other.status(t).Partitions) != 2 {
			t.Error("the other replica has not got all the partitions")
		}
	})
}

func TestOverridesEnd(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, kafkatest.Bubble(t), 1, emulator.Options{})
		r.withToken(t)
		level := new(slog.LevelVar)
		s := r.runSite(t, func(o *app.Options) { o.Level = level })
		s.waitReady(t)
		s.act(t, "rate?events_per_second=12.5&for=1h")
		if status := s.status(t); status.Reporter.Rate != 12.5 || status.Admin.Rate != 12.5 || time.Until(status.Admin.RateUntil) < 59*time.Minute {
			t.Errorf("the rate is %v, %+v", status.Reporter.Rate, status.Admin)
		}
		s.act(t, "rate?events_per_second=default")
		if status := s.status(t); status.Reporter.Rate != 0 || status.Admin.Rate != 0 {
			t.Errorf("the rate is %v, %+v", status.Reporter.Rate, status.Admin)
		}
		s.act(t, "rate?events_per_second=50&for=1s")
		kafkatest.WaitFor(t, time.Minute, "the override to end", func() bool { return s.status(t).Admin.Rate == 0 })
		if got := s.status(t).Reporter.Rate; got != 0 {
			t.Errorf("the rate is %v after its override", got)
		}
		s.act(t, "log-level?level=debug&for=1h")
		if got := s.status(t).Admin.LogLevel; got != "debug" || level.Level() != slog.LevelDebug {
			t.Errorf("the log level is %s", got)
		}
		s.act(t, "log-level?level=error&for=1s")
		kafkatest.WaitFor(t, time.Minute, "the log level to be the usual again", func() bool { return level.Level() == slog.LevelInfo })
	})
}

// TestWhoMayAct goes through who is refused, and sees that nothing was done.
func TestWhoMayAct(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, kafkatest.Bubble(t), 1, emulator.Options{})
		var log buffer
		s := r.runSite(t, func(o *app.Options) { o.Logger = slog.New(slog.NewTextHandler(&log, nil)) })
		s.waitReady(t)
		right := []string{"Authorization", "Bearer " + token}
		if code, a := s.post(t, "pause", right...); code != http.StatusForbidden || !strings.Contains(a.Error, "admin.token_file is not set") {
			t.Errorf("without a token file: %d %+v", code, a)
		}
		if admin := s.status(t).Admin; admin.Actions || admin.OffBecause == "" {
			t.Errorf("the status says %+v", admin)
		}

		r2 := newRig(t, r.Cluster, 1, emulator.Options{})
		r2.withToken(t)
		s = r2.runSite(t, func(o *app.Options) { o.Logger = slog.New(slog.NewTextHandler(&log, nil)) })
		s.waitReady(t)
		for name, test := range map[string]struct {
			action  string
			headers []string
			code    int
			says    string
		}{
			"no token":         {"pause", nil, 401, "Authorization: Bearer"},
			"another scheme":   {"pause", []string{"Authorization", "Basic " + token}, 401, "Authorization: Bearer"},
			"a wrong token":    {"pause", []string{"Authorization", "Bearer guess"}, 401, "not that of"},
			"the token's part": {"pause", []string{"Authorization", "Bearer " + token[:10]}, 401, "not that of"},
			"another site":     {"pause", append([]string{"Sec-Fetch-Site", "cross-site"}, right...), 403, ""},
			"another origin":   {"pause", append([]string{"Origin", "https://example.com"}, right...), 403, ""},
			"an unknown param": {"pause?partitions=3", right, 400, "pause takes partition"},
			"no such number":   {"pause?partition=all", right, 400, `"all": expected the number of a partition`},
			"no such one":      {"pause?partition=99", right, 409, "another replica"},
			"rate zero":        {"rate?events_per_second=0&for=1m", right, 400, "expected a number from 0.01"},
			"rate NaN":         {"rate?events_per_second=NaN&for=1m", right, 400, "expected a number from 0.01"},
			"rate of hardly":   {"rate?events_per_second=1e-300&for=1m", right, 400, "expected a number from 0.01"},
			"rate of all":      {"rate?events_per_second=1e300&for=1m", right, 400, "expected a number from 0.01"},
			"rate for ever":    {"rate?events_per_second=5", right, 400, "expected a duration"},
			"rate for long":    {"rate?events_per_second=5&for=1000h", right, 400, "expected a duration"},
			"no such level":    {"log-level?level=loud&for=1m", right, 409, "can't be changed here"},
		} {
			if code, a := s.post(t, test.action, test.headers...); code != test.code || !strings.Contains(a.Error, test.says) {
				t.Errorf("%s: %d %q: want %d and %q", name, code, a.Error, test.code, test.says)
			}
		}
		if answer, _ := s.get(t, "/admin/pause"); answer.StatusCode != http.StatusMethodNotAllowed {
			t.Errorf("GET: %s: want 405", answer.Status)
		}
		if admin := s.status(t).Admin; !admin.Actions || admin.Paused || len(admin.Latest) != 0 || admin.Rate != 0 {
			t.Errorf("something was done: %+v", admin)
		}
		// Another token is known at once, and the old one no more.
		r2.setToken(t, "another token of many characters")
		if code, _ := s.post(t, "pause", right...); code != http.StatusUnauthorized {
			t.Errorf("the token before: %d", code)
		}
		if code, a := s.post(t, "pause", "Authorization", "Bearer another token of many characters"); code != http.StatusOK {
			t.Errorf("the new token: %d %+v", code, a)
		}
		r2.setToken(t, "short")
		if code, a := s.post(t, "resume", "Authorization", "Bearer short"); code != http.StatusUnauthorized {
			t.Errorf("a short token: %d %+v", code, a)
		}
		if code, a := s.post(t, "resume", "Authorization", "Bearer another token of many characters"); code != http.StatusOK {
			t.Errorf("the token before the short one: %d %+v", code, a)
		}
		if _, series := s.scrape(t); series[`clientevents_secret_stale{secret="admin.token_file"}`] != "1" {
			t.Error("the short token is not counted as one that can't be used")
		}
		text := log.String()
		for _, want := range []string{"admin action refused", `msg="admin action" action="pause all" by=127.0.0.1`, "admin action done"} {
			if !strings.Contains(text, want) {
				t.Errorf("the log does not say %q", want)
			}
		}
		if strings.Contains(text, token) || strings.Contains(text, "another token") {
			t.Error("the log shows a token")
		}
	})
}

// buffer is a log that is read while it is written.
type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}
