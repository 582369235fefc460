package app_test

import (
	"cmp"
	"context"
	"log/slog"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/clientevents/clientevents/emulator"
	"github.com/clientevents/clientevents/internal/app"
	"github.com/clientevents/clientevents/internal/check"
	"github.com/clientevents/clientevents/internal/config"
	"github.com/clientevents/clientevents/internal/connect"
	"github.com/clientevents/clientevents/internal/health"
	"github.com/clientevents/clientevents/test/kafkatest"
)

// fieldCase is a state that looked well from outside, or whose advice did not follow from
// its error. The headline, the log and the check must all tell it.
type fieldCase struct {
	name string
	// prepare changes the broker before the replica starts; fault breaks something while
	// it runs. Both may be nil.
	prepare, fault func(t *testing.T, r *rig)
	// dial replaces the network of the replica and of the check; nil is the rig's.
	dial     func(r *rig) connect.DialFunc
	headline string
	level    health.Level // default bad
	says     []string     // in the detail or the advice
	log      string       // the line's message and reason; "" for none
	check    []string     // a line begins with the first, and has the others
}

func (r *rig) garbage(t *testing.T, n int) {
	t.Helper()
	messages := make([]kafka.Message, n)
	for i := range messages {
		messages[i].Value = []byte("not an event")
	}
	r.ProduceByKey(t, r.config.Kafka.Topic, messages...)
}

// refuse makes a request to a topic fail until the test ends.
func (r *rig) refuse(key kmsg.Key, topic string, err *kerr.Error) {
	r.Fake.Fault(kfake.Fault{Keys: []kmsg.Key{key}, Topic: topic, Err: err, Count: -1})
}

// stranger is another program's member of the group.
func (r *rig) stranger(t *testing.T, topic string, more ...kgo.Opt) {
	t.Helper()
	cl, err := kgo.NewClient(append(more, kgo.SeedBrokers(r.Brokers...), kgo.Dialer(r.DialContext), kgo.ClientID("stranger"),
		kgo.ConsumerGroup(r.config.Kafka.Group), kgo.ConsumeTopics(topic))...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cl.Close)
	kafkatest.WaitFor(t, time.Minute, "the stranger to join", func() bool {
		_, generation := cl.GroupMetadata()
		return generation > 0
	})
}

// throttle answers fetches as a broker does whose quota the client has used up.
func (r *rig) throttle(*testing.T) {
	r.Fake.ControlKey(kmsg.Fetch.Int16(), func(req kmsg.Request) (kmsg.Response, error, bool) {
		r.Fake.KeepControl()
		answer := req.ResponseKind()
		answer.(kmsg.SetThrottleResponse).SetThrottle(3000)
		return answer, nil, true
	})
}

func fieldCases() []fieldCase {
	return []fieldCase{
		{
			name: "F3", // a consumer of another topic in the group
			prepare: func(t *testing.T, r *rig) {
				r.stranger(t, r.NewTopic(t, "other", 1), kgo.Balancers(kgo.RangeBalancer()))
			},
			headline: "The consumer group has members that do not belong in it", says: []string{`client "stranger" on host`, "group of their own"},
			log:   `msg="the consumer group is not as it should be" `,
			check: []string{"FAIL  group ", `client "stranger" on host`, "only replicas of this program"},
		},
		{
			name:     "F5", // a quota of the brokers
			fault:    func(t *testing.T, r *rig) { r.throttle(t) },
			headline: "Throttled by the broker", level: health.Busy, says: []string{"The next request may be sent in", "consumer_byte_rate"},
			log:   `msg="problem began" reason=broker_throttled `,
			check: []string{"note  replica at ", "Throttled by the broker"},
		},
		{
			name: "F7", // a transaction that stays open
			fault: func(t *testing.T, r *rig) {
				r.Begin(t).Produce(t, r.config.Kafka.Topic, kafka.Message{Value: []byte("x")})
				r.garbage(t, 20)
			},
			headline: "Held up: a producer's transaction is open", says: []string{"begins at offset 0", "kafka-transactions.sh"},
			log:   `msg="an open transaction holds the partition up`,
			check: []string{"note  partition 0 of topic ", "has been open for", "21 records from there on can't be read yet"},
		},
		{
			name: "commits", // that the brokers refuse
			prepare: func(_ *testing.T, r *rig) {
				r.refuse(kmsg.OffsetCommit, r.config.Kafka.Topic, kerr.UnsupportedVersion)
			},
			headline: "Offsets can't be committed", says: []string{"Unsupported Version", "reports none twice"},
			log:   `msg="problem began" reason=offsets_uncommitted `,
			check: []string{"FAIL  replica at ", "Offsets can't be committed"},
		},
		{
			name:     "B2", // every record a dead letter
			fault:    func(t *testing.T, r *rig) { r.garbage(t, 56) },
			headline: "100 % of the records become dead letters, most for malformed", says: []string{"56 of 56 records", "dead-letters list --newest --reason malformed"},
			log:   `msg="problem began" reason=dead_letters `,
			check: []string{"note  records of topic ", "of the last 56 records 56 become dead letters, most (56) for malformed", "clientevents rehearse"},
		},
		{
			name:     "F13", // a broker's clock that is behind
			prepare:  func(_ *testing.T, r *rig) { r.refuse(kmsg.Produce, r.config.Kafka.StateTopic, kerr.InvalidTimestamp) },
			headline: "Held up: the state topic can't be written", says: []string{"The clocks of this machine and of the brokers differ", "message.timestamp.after.max.ms"},
			log:   `msg="problem began" reason=state_topic_unwritable `,
			check: []string{"FAIL  replica at ", "the state topic can't be written", "The clocks of this machine and of the brokers differ"},
		},
		{
			name:     "B1-403", // the API refuses the account
			fault:    func(t *testing.T, r *rig) { r.fails(t, 403) },
			headline: "Paused: the account may not create events", says: []string{"It said: 403"},
			log:   `msg="reporting paused" reason=api_forbidden `,
			check: []string{"FAIL  endpoint "},
		},
		{
			name:     "B1-401", // the API refuses the token
			fault:    func(t *testing.T, r *rig) { r.fails(t, 401) },
			headline: "Paused: the API refuses the credentials", says: []string{"It said: 401"},
			log:   `msg="reporting paused" reason=api_unauthenticated `,
			check: []string{"FAIL  endpoint "},
		},
		{
			name: "B3-deleted", // a dead-letter topic that is deleted
			fault: func(t *testing.T, r *rig) {
				r.deleteTopic(t, r.config.Kafka.DeadLetterTopic)
				r.garbage(t, 3)
			},
			headline: "Held up: the dead-letter topic can't be written", says: []string{".dead-letter does not exist any more: create it with `clientevents topics create`"},
			log:   `msg="problem began" reason=dead_letter_topic_unwritable `,
			check: []string{"FAIL  dead-letter topic ", "does not exist, though group", "clientevents topics create"},
		},
		{
			name: "B3-small", // a dead-letter topic with a small limit
			prepare: func(t *testing.T, r *rig) {
				r.CreateTopic(t, r.config.Kafka.DeadLetterTopic, 1, map[string]string{"max.message.bytes": "100"})
			},
			fault:    func(t *testing.T, r *rig) { r.garbage(t, 3) },
			headline: "Dead letters do not fit in the dead-letter topic", says: []string{"above max.message.bytes", "Raise max.message.bytes of the dead-letter topic"},
			log:   `msg="problem began" reason=dead_letters_too_large `,
			check: []string{"FAIL  dead-letter topic ", "its max.message.bytes is 100", "raise max.message.bytes"},
		},
		{
			name: "state-policy", // the state topic is made to forget
			fault: func(t *testing.T, r *rig) {
				r.setTopic(t, r.config.Kafka.StateTopic, "cleanup.policy", "delete")
			},
			headline: "The state topic forgets reported IDs too soon", says: []string{`its cleanup.policy is "delete": expected compact`, "kafka-configs.sh --alter"},
			log:   `msg="problem began" reason=state_topic_unfit `,
			check: []string{"FAIL  state topic ", `its cleanup.policy is "delete"`, "change it"},
		},
		{
			name:     "F14", // the right to read the source is taken away
			fault:    func(_ *testing.T, r *rig) { r.refuse(kmsg.Fetch, r.config.Kafka.Topic, kerr.TopicAuthorizationFailed) },
			headline: "Held up: records can't be read", says: []string{"Grant the program's principal Read and Describe on topic"},
			log:   `msg="problem began" reason=source_unreadable `,
			check: []string{"FAIL  replica at ", "records can't be read", "Grant the program's principal Read and Describe on topic"},
		},
		{
			name:     "F11", // an advertised listener that does not resolve
			prepare:  func(_ *testing.T, r *rig) { r.config.Kafka.Brokers = []string{"bootstrap:9092"} },
			dial:     (*rig).dialUnresolved,
			headline: "Held up: the consumer group can't be joined", says: []string{"The address localhost that a broker advertises can't be resolved from here", "advertised.listeners"},
			log:   `msg="problem began" reason=not_joined `,
			check: []string{"FAIL  broker localhost:9092: ", "the address that broker 0 advertises can't be reached from here: there is no host", "advertised.listeners"},
		},
		{
			name: "F9", // a policy that forbids the topics' settings
			prepare: func(_ *testing.T, r *rig) {
				r.refuse(kmsg.CreateTopics, r.config.Kafka.StateTopic, kerr.PolicyViolation)
				r.refuse(kmsg.CreateTopics, r.config.Kafka.DeadLetterTopic, kerr.PolicyViolation)
			},
			headline: "Held up: the consumer group can't be joined", says: []string{"create the topic by hand"},
			log:   `msg="problem began" reason=not_joined `,
			check: []string{"FAIL  dead-letter topic ", "a policy of the brokers forbids its settings", "create it by hand"},
		},
	}
}

// dialUnresolved is a network in which the name that the broker advertises has no address.
func (r *rig) dialUnresolved() connect.DialFunc {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		if address == "bootstrap:9092" {
			return r.DialContext(ctx, network, r.Brokers[0])
		}
		host, _, _ := net.SplitHostPort(address)
		return nil, &net.OpError{Op: "dial", Net: network, Err: &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}}
	}
}

// fails makes the API answer with a status, and publishes events.
func (r *rig) fails(t *testing.T, status int) {
	t.Helper()
	r.api.SetFaults(emulator.Faults{All: emulator.Refuse(status, "")})
	r.publishTraffic(t, 50)
}

func (r *rig) deleteTopic(t *testing.T, topic string) {
	t.Helper()
	answer, err := r.Client(t).DeleteTopics(t.Context(), &kafka.DeleteTopicsRequest{Topics: []string{topic}})
	if err != nil || answer.Errors[topic] != nil {
		t.Fatal(err, answer)
	}
}

func (r *rig) setTopic(t *testing.T, topic, name, value string) {
	t.Helper()
	answer, err := r.Client(t).IncrementalAlterConfigs(t.Context(), &kafka.IncrementalAlterConfigsRequest{
		Resources: []kafka.IncrementalAlterConfigsRequestResource{{
			ResourceType: kafka.ResourceTypeTopic, ResourceName: topic,
			Configs: []kafka.IncrementalAlterConfigsRequestConfig{{Name: name, Value: value, ConfigOperation: kafka.ConfigOperationSet}},
		}},
	})
	if err != nil || answer.Resources[0].Error != nil {
		t.Fatal(err, answer)
	}
}

// TestFieldCases breaks one thing in each of several pipelines, and asks the status, the
// log and the check about it. With -v it prints what they say.
func TestFieldCases(t *testing.T) {
	for _, test := range fieldCases() {
		t.Run(test.name, func(t *testing.T) {
			bubble(t, test.run)
		})
	}
}

func (f *fieldCase) run(t *testing.T) {
	r := newRig(t, kafkatest.Bubble(t), 1, emulator.Options{})
	log, dial := &lockedLog{}, connect.DialFunc(r.DialContext)
	if f.dial != nil {
		dial = f.dial(r)
	}
	if f.prepare != nil {
		f.prepare(t, r)
	}
	s := r.runSite(t, func(o *app.Options) {
		o.Logger, o.StopWithin, o.DialKafka = slog.New(slog.NewTextHandler(log, nil)), time.Second, dial
	})
	if f.fault != nil {
		kafkatest.WaitFor(t, time.Minute, "the replica to be ready", func() bool { return s.status(t).Ready })
		time.Sleep(3 * time.Second)
		f.fault(t, r)
	}
	var got health.Problem
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the log is\n%s\nand the status %+v", log.text(), got)
		}
	})
	kafkatest.WaitFor(t, 3*time.Minute, "the headline "+f.headline, func() bool {
		got = s.status(t).Summary
		return got.Headline == f.headline
	})
	if got.Level != cmp.Or(f.level, health.Bad) {
		t.Errorf("the level is %q", got.Level)
	}
	text := got.Text()
	for _, want := range f.says {
		if !strings.Contains(text, want) {
			t.Errorf("the status is\n%s\nwant %q in it", text, want)
		}
	}
	t.Logf("status: %s", text)
	kafkatest.WaitFor(t, time.Minute, "the line of the log", func() bool { return strings.Contains(log.text(), f.log) })
	t.Logf("log: %s", log.text())
	f.wantCheck(t, r.check(t, s, dial))
}

// check runs the command's checks beside a replica.
func (r *rig) check(t *testing.T, s *site, dial connect.DialFunc) (lines []string) {
	t.Helper()
	c := *r.config
	c.Admin = config.Admin{Listen: strings.TrimPrefix(s.base, "http://")}
	check.Run(t.Context(), &c, check.Options{DialKafka: dial, DialAPI: r.net.DialContext, DialAdmin: r.net.DialContext}, func(f check.Finding) {
		lines = append(lines, f.String())
	})
	return lines
}

func (f *fieldCase) wantCheck(t *testing.T, lines []string) {
	t.Helper()
	for _, line := range lines {
		if !strings.HasPrefix(line, f.check[0]) {
			continue
		}
		missing := ""
		for _, want := range f.check[1:] {
			if !strings.Contains(line, want) {
				missing = want
			}
		}
		if missing == "" {
			t.Logf("check: %s", line)
			return
		}
	}
	t.Errorf("no line of the check has %q:\n%s", f.check, strings.Join(lines, "\n"))
}
