package app_test

import (
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/clientevents/clientevents/emulator"
	"github.com/clientevents/clientevents/event"
	"github.com/clientevents/clientevents/internal/admin"
	"github.com/clientevents/clientevents/internal/app"
	"github.com/clientevents/clientevents/internal/journey"
	"github.com/clientevents/clientevents/test/kafkatest"
)

// site is a running replica's admin server.
type site struct {
	base   string
	client *http.Client
	stop   func() // as SIGTERM does
}

// runSite runs a replica and waits for its admin server.
func (r *rig) runSite(t *testing.T, change func(*app.Options)) *site {
	t.Helper()
	s, _ := r.runReplicaSite(t, change)
	return s
}

// runReplicaSite is runSite with the replica.
func (r *rig) runReplicaSite(t *testing.T, change func(*app.Options)) (*site, *replica) {
	t.Helper()
	listens := make(chan string, 1)
	running := r.run(t, func(o *app.Options) {
		o.OnListen = func(a net.Addr) { listens <- "http://" + a.String() }
		if change != nil {
			change(o)
		}
	})
	stop := sync.OnceFunc(func() {
		if err := running.stop(); err != nil {
			t.Errorf("stop: %v", err)
		}
	})
	t.Cleanup(stop)
	return &site{<-listens, r.client, stop}, running
}

func (s *site) get(t *testing.T, path string) (*http.Response, string) {
	t.Helper()
	answer, err := s.client.Get(s.base + path)
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer, string(body)
}

func (s *site) status(t *testing.T) (status admin.Status) {
	t.Helper()
	_, body := s.get(t, "/status")
	if err := json.Unmarshal([]byte(body), &status); err != nil {
		t.Fatalf("%v in %s", err, body)
	}
	return status
}

func (r *rig) publishTraffic(t *testing.T, n int) {
	t.Helper()
	g := journey.New(journey.Options{Seed: 3, Version: event.V3, Start: time.Now()})
	var messages []kafka.Message
	for rec := range g.Mixed(journey.DemoMix, n) {
		messages = append(messages, kafka.Message{Key: rec.Key, Value: rec.Value})
	}
	r.ProduceByKey(t, r.config.Kafka.Topic, messages...)
}

// TestStatusWhileBrokersAreSilent: an idle replica whose brokers fall silent does
// not claim to be up to date, though no request of its own has timed out yet.
func TestStatusWhileBrokersAreSilent(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, kafkatest.Bubble(t), 2, emulator.Options{})
		// A commit that is left behind may log after the test.
		s := r.runSite(t, func(o *app.Options) { o.Logger, o.StopWithin = slog.New(slog.DiscardHandler), 100*time.Millisecond })
		kafkatest.WaitFor(t, time.Minute, "it is idle", func() bool { return s.status(t).Summary.Headline == "Up to date: nothing to report" })
		var silent atomic.Bool
		silent.Store(true)
		for _, key := range []kmsg.Key{kmsg.OffsetCommit, kmsg.Heartbeat} {
			r.Fake.ControlKey(key.Int16(), func(kmsg.Request) (kmsg.Response, error, bool) {
				r.Fake.KeepControl()
				return nil, nil, silent.Load()
			})
		}
		kafkatest.WaitFor(t, time.Minute, "it says so", func() bool {
			got := s.status(t).Summary
			return got.Level == "bad" && got.Headline == "Held up: the brokers don't answer"
		})
	})
}

// TestStatusUnderLoad: the status tells what happens, and what it told before
// is in its history.
func TestStatusUnderLoad(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, kafkatest.Bubble(t), 3, emulator.Options{})
		s := r.runSite(t, nil)
		const n = 3000
		r.publishTraffic(t, n)
		var status admin.Status
		kafkatest.WaitFor(t, time.Minute, "every record to have its outcome", func() bool {
			status = s.status(t)
			return status.Outcomes["reported"]+status.Outcomes["duplicate"]+status.Outcomes["dead_letter"] >= n
		})
		if status.Rates.Reported <= 0 || !strings.HasPrefix(status.Summary.Headline, "Reporting ") {
			t.Errorf("rates are %+v and the summary %+v: want a flow", status.Rates, status.Summary)
		}
		if got, want := status.Reporter.Answers["200"], status.Outcomes["reported"]; got != want || len(status.Reporter.Answers) != 1 {
			t.Errorf("the answers are %v: want %d of 200 and no other", status.Reporter.Answers, want)
		}
		if len(status.Partitions) != 3 || !status.Ready {
			t.Errorf("%d partitions, ready %v", len(status.Partitions), status.Ready)
		}
		if len(status.Latest) != 20 {
			t.Fatalf("%d latest dead letters: want 20", len(status.Latest))
		}
		if !slices.IsSortedFunc(status.Latest, func(a, b admin.LatestLetter) int { return b.Time.Compare(a.Time) }) {
			t.Error("the latest dead letter is not the first")
		}
		if l := status.Latest[0]; l.Reason == "" || l.Meaning == "" || l.Time.IsZero() {
			t.Errorf("a dead letter says only %+v", l)
		}
		var history struct {
			Samples []struct {
				Time     time.Time
				Reported uint64
			}
		}
		kafkatest.WaitFor(t, time.Minute, "a sample of the end", func() bool {
			_, body := s.get(t, "/status/history")
			if err := json.Unmarshal([]byte(body), &history); err != nil {
				t.Fatal(err)
			}
			return history.Samples[len(history.Samples)-1].Reported == status.Outcomes["reported"]
		})
	})
}

// TestPageIsSelfContained: the page loads nothing from elsewhere, and the policy
// forbids it to.
func TestPageIsSelfContained(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, kafkatest.Bubble(t), 1, emulator.Options{})
		s := r.runSite(t, nil)
		elsewhere := regexp.MustCompile(`(?i)(src|href|url\(|import|fetch\()\W{0,3}(https?:)?//`)
		size := 0
		for _, path := range []string{"/", "/page.css", "/page.js", "/icon.svg"} {
			answer, body := s.get(t, path)
			size += len(body)
			policy := answer.Header.Get("Content-Security-Policy")
			switch {
			case answer.StatusCode != http.StatusOK || body == "":
				t.Errorf("%s: %s", path, answer.Status)
			case !strings.Contains(policy, "default-src 'none'") || strings.Contains(policy, "unsafe"):
				t.Errorf("%s: the policy is %q", path, policy)
			case elsewhere.MatchString(body):
				t.Errorf("%s loads something from elsewhere: %s", path, elsewhere.FindString(body))
			}
		}
		if size > 40<<10 {
			t.Errorf("the page has %d bytes: want at most 40 KiB", size)
		}
		if answer, _ := s.get(t, "/elsewhere"); answer.StatusCode != http.StatusNotFound {
			t.Errorf("a path that is not: %s", answer.Status)
		}
	})
}

var (
	statusTable = regexp.MustCompile(`(?s)<!-- status:.*?-->\n(.*?)<!-- end of status -->`)
	tableRow    = regexp.MustCompile("(?m)^\\| `([^`]+)` \\| \\S")
)

// TestStatusIsDocumented keeps docs/admin.md equal to the fields there are.
func TestStatusIsDocumented(t *testing.T) {
	text, err := os.ReadFile("../../docs/admin.md")
	if err != nil {
		t.Fatal(err)
	}
	table := statusTable.FindSubmatch(text)
	if table == nil {
		t.Fatal("docs/admin.md has no table of the status")
	}
	var documented []string
	for _, row := range tableRow.FindAllSubmatch(table[1], -1) {
		documented = append(documented, string(row[1]))
	}
	fields := jsonPaths("", reflect.TypeFor[admin.Status]())
	for _, f := range fields {
		if !slices.Contains(documented, f) {
			t.Errorf("docs/admin.md does not describe %s of /status", f)
		}
	}
	for _, d := range documented {
		if !slices.Contains(fields, d) {
			t.Errorf("docs/admin.md describes %s, which /status does not have", d)
		}
	}
}

// jsonPaths lists the names that a type has in JSON.
func jsonPaths(prefix string, t reflect.Type) (paths []string) {
	for t.Kind() == reflect.Slice || t.Kind() == reflect.Pointer {
		if t.Kind() == reflect.Slice {
			prefix = strings.TrimSuffix(prefix, ".") + "[]."
		}
		t = t.Elem()
	}
	if t.Kind() != reflect.Struct || t == reflect.TypeFor[time.Time]() {
		return []string{strings.TrimSuffix(strings.TrimSuffix(prefix, "."), "[]")}
	}
	for f := range t.Fields() {
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		switch {
		case f.Anonymous:
			paths = append(paths, jsonPaths(prefix, f.Type)...)
		case name != "" && name != "-":
			paths = append(paths, jsonPaths(prefix+name+".", f.Type)...)
		}
	}
	return paths
}
