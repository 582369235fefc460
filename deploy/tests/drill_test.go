package tests

import (
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/clientevents/clientevents/emulator"
	"github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// drill is a fault, the alert and status that show it, and its repair.
type drill struct {
	name string
	// lifetime of access tokens; 0 is an hour.
	lifetime time.Duration
	// fault breaks something and returns the repair.
	fault func(*testing.T, *plant) (repair func())
	// alert fires with these labels within this time.
	alert  string
	labels map[string]string
	within time.Duration
	// headline is a part of what /status says; "" where no replica is left to say it.
	headline string
	// busy says that /status does not call it bad: nothing fails.
	busy bool
}

// times is by how much the alerts' times are shortened: five minutes are ten
// seconds.
const times = 30

// slack is what a loaded machine, two looks of Prometheus and the program's own
// waits may add.
const slack = 45 * time.Second

var drills = []drill{
	{
		name: "api",
		fault: func(_ *testing.T, p *plant) func() {
			p.api.SetFaults(emulator.Faults{All: emulator.Outage()})
			return func() { p.api.SetFaults(emulator.Faults{}) }
		},
		alert: "ClientEventsDestinationPaused", labels: map[string]string{"reason": "unavailable"},
		within: 10*time.Second + 5*time.Minute/times, headline: "the API is not available (503)",
	},
	{
		name: "token", lifetime: 20 * time.Second,
		fault: func(_ *testing.T, p *plant) func() {
			p.tokens.Misbehave(func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", "application/json")
				w.WriteHeader(http.StatusBadRequest)
				_, _ = w.Write([]byte(`{"error":"invalid_grant","error_description":"Invalid JWT Signature."}`))
			})
			return func() { p.tokens.Misbehave(nil) }
		},
		alert:  "ClientEventsTokenFailing",
		within: 20*time.Second + 10*time.Minute/times, headline: "there is no access token",
	},
	{
		name: "partition",
		fault: func(_ *testing.T, p *plant) func() {
			broken := p.Fake.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Fetch}, Topic: p.config.Kafka.Topic, Partitions: []int32{2}, Err: kerr.KafkaStorageError, Count: -1})
			return broken.Remove
		},
		alert: "ClientEventsPartitionStuck", labels: map[string]string{"partition": "2"},
		within: 7 * time.Minute / times, headline: "records can't be read",
	},
	{
		name: "source", // the right to read is taken away; nothing else fails
		fault: func(_ *testing.T, p *plant) func() {
			denied := p.Fake.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Fetch}, Topic: p.config.Kafka.Topic, Err: kerr.TopicAuthorizationFailed, Count: -1})
			return denied.Remove
		},
		alert: "ClientEventsProblem", labels: map[string]string{"reason": "source_unreadable"},
		within: 5 * time.Minute / times, headline: "records can't be read",
	},
	{
		name: "rejections", // a proxy answers 400 to everything
		fault: func(_ *testing.T, p *plant) func() {
			p.api.SetFaults(emulator.Faults{All: emulator.Refuse(http.StatusBadRequest, "")})
			return func() { p.api.SetFaults(emulator.Faults{}) }
		},
		alert: "ClientEventsDestinationPaused", labels: map[string]string{"reason": "rejections"},
		within: 5 * time.Minute / times, headline: "the API rejects every event permanently",
	},
	{
		name: "letters",
		fault: func(_ *testing.T, p *plant) func() {
			full := p.Fake.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Topic: p.config.Kafka.DeadLetterTopic, Err: kerr.KafkaStorageError, Count: -1})
			return full.Remove
		},
		alert:  "ClientEventsDeadLetterTopicUnwritable",
		within: 5 * time.Minute / times, headline: "the dead-letter topic can't be written",
	},
}

// silent are the states in which nothing fails and events do not arrive.
var silent = []drill{
	{
		name: "stranger", // a consumer of another topic is in the group
		fault: func(t *testing.T, p *plant) func() {
			return p.stranger(t).Close
		},
		alert: "ClientEventsProblem", labels: map[string]string{"reason": "group_fault"},
		within: 20*time.Second + 5*time.Minute/times, headline: "has members that do not belong in it",
	},
	{
		name: "transaction", // a producer left one open
		fault: func(t *testing.T, p *plant) func() {
			txn := p.Begin(t)
			txn.Produce(t, p.config.Kafka.Topic, kafka.Message{Partition: 3, Value: []byte("x")})
			return func() { txn.Abort(t) }
		},
		alert: "ClientEventsProblem", labels: map[string]string{"reason": "open_transaction"},
		within: 15*time.Second + 5*time.Minute/times, headline: "a producer's transaction is open",
	},
	{
		name: "garbage", // a producer publishes what is no event
		fault: func(t *testing.T, p *plant) func() {
			p.garbage(t, 1500)
			return func() {}
		},
		alert: "ClientEventsProblem", labels: map[string]string{"reason": "dead_letters"},
		within: 5 * time.Minute / times, headline: "of the records become dead letters, most for malformed",
	},
	{
		name: "clock", // a broker's clock is behind
		fault: func(_ *testing.T, p *plant) func() {
			behind := p.Fake.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Topic: p.config.Kafka.StateTopic, Err: kerr.InvalidTimestamp, Count: -1})
			return behind.Remove
		},
		alert:  "ClientEventsStateTopicUnwritable",
		within: 5 * time.Minute / times, headline: "the state topic can't be written",
	},
	{
		name: "quota", // of the brokers
		fault: func(_ *testing.T, p *plant) func() {
			return p.throttle()
		},
		alert:  "ClientEventsKafkaThrottled",
		within: 15 * time.Minute / times, headline: "Throttled by the broker", busy: true,
	},
	{
		name: "absent", // the only replica of a deployment ends
		fault: func(t *testing.T, p *plant) func() {
			p.stop()
			return func() { p.runAt(t, p.address) }
		},
		alert:  "ClientEventsAbsent",
		within: 10 * time.Minute / times,
	},
}

// TestFaultDrill causes one fault in each of several pipelines. The alert for it must
// fire in time, the status must give the cause, and both must clear after the repair.
// Prometheus is a real one, with the rules as they are but for their times.
func TestFaultDrill(t *testing.T) {
	tool(t, "prometheus")
	drills := slices.Concat(drills, silent)
	plants := make([]*plant, len(drills))
	targets := make([]target, len(drills))
	for i, d := range drills {
		plants[i] = newPlant(t, d.name, d.lifetime)
		targets[i] = target{d.name, plants[i].run(t)}
		plants[i].traffic(t, 100)
	}
	prom := startPrometheus(t, scaledRules(t, times), targets...)
	for i, d := range drills {
		await(t, 60*time.Second, d.name+" to be well", func() bool { return statusOf(t, targets[i]).Summary.Level == "ok" })
	}
	await(t, 30*time.Second, "Prometheus to have seen all replicas", func() bool { return prom.seen(t) == len(targets) })
	t.Run("drills", func(t *testing.T) {
		for i, d := range drills {
			t.Run(d.name, func(t *testing.T) {
				t.Parallel()
				d.run(t, plants[i], prom, targets[i])
			})
		}
	})
}

func (d *drill) run(t *testing.T, p *plant, prom *prometheus, to target) {
	if found := d.firing(t, prom); found != nil {
		t.Fatalf("%s fires before anything is broken: %v", d.alert, found)
	}
	t.Cleanup(func() {
		if t.Failed() && d.headline != "" {
			t.Logf("%s: /status says %+v", d.name, statusOf(t, to))
		}
	})
	began := time.Now()
	repair := d.fault(t, p)
	var found *alert
	await(t, d.within+slack, d.alert+" to fire", func() bool {
		found = d.firing(t, prom)
		return found != nil
	})
	t.Logf("%s: %s fired after %s", d.name, d.alert, time.Since(began).Round(time.Second))
	for name, text := range found.Annotations {
		if text == "" || strings.Contains(text, "error") || strings.Contains(text, "no value") {
			t.Errorf("%s's %s is %q", d.alert, name, text)
		}
	}
	// A token that can't be renewed is told of while the old one still serves.
	await(t, d.lifetime+slack, "/status to say: "+d.headline, func() bool {
		if d.headline == "" {
			return true
		}
		s := statusOf(t, to).Summary
		return (s.Level == "bad") == !d.busy && strings.Contains(s.Headline, d.headline) && s.Advice != ""
	})
	repaired := time.Now()
	repair()
	await(t, 5*time.Minute, d.alert+" and /status to clear", func() bool {
		return d.firing(t, prom) == nil && statusOf(t, to).Summary.Level != "bad"
	})
	t.Logf("%s: clear %s after its repair", d.name, time.Since(repaired).Round(time.Second))
}

// firing is the alert of this drill's pipeline; nil where it does not fire.
func (d *drill) firing(t *testing.T, prom *prometheus) *alert {
	t.Helper()
	all, err := prom.alerts()
	if err != nil {
		t.Fatal(err)
	}
	for i, a := range all {
		if a.State != "firing" || a.Labels["alertname"] != d.alert || a.Labels["job"] != d.name {
			continue
		}
		same := true
		for name, value := range d.labels {
			same = same && a.Labels[name] == value
		}
		if same {
			return &all[i]
		}
	}
	return nil
}

// status is what matters here of /status.
type status struct {
	Ready   bool
	Summary struct{ Level, Headline, Detail, Advice string }
}

func statusOf(t *testing.T, to target) (s status) {
	t.Helper()
	if err := getJSON("http://"+to.address+"/status", &s); err != nil {
		t.Fatal(err)
	}
	return s
}

// await looks four times a second, which Prometheus and the program bear.
func await(t *testing.T, limit time.Duration, what string, cond func() bool) {
	t.Helper()
	tick := time.NewTicker(250 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(limit); !cond(); <-tick.C {
		if time.Now().After(end) {
			t.Fatalf("gave up waiting for %s after %s", what, limit)
		}
	}
}
