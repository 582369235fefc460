package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/clientevents/clientevents/consumer"
	"github.com/clientevents/clientevents/internal/check"
	"github.com/clientevents/clientevents/test/kafkatest"
)

// planned is a configuration whose topics do not exist.
func planned(t *testing.T, c *kafkatest.Cluster, input string) (topic, file string) {
	t.Helper()
	topic = kafkatest.Name(t, "plan")
	c.DeleteAfter(t, topic, topic+".dead-letter", topic+".reported", topic+".by-request")
	file = filepath.Join(t.TempDir(), "clientevents.yaml")
	text := fmt.Sprintf("kafka: {brokers: [%s], topic: %s, group: %s}\napi: {version: v4, parent: projects/p/tenants/t, credentials: none}\n%s",
		strings.Join(c.Brokers, ","), topic, topic, input)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return topic, file
}

// topicsOf reads the documents of a topics command, and reports the exit code.
func topicsOf(t *testing.T, args ...string) (map[check.Role]check.Topic, int) {
	t.Helper()
	code, out, errs := command(t, "", append([]string{"topics"}, append(args, "--json")...)...)
	all := map[check.Role]check.Topic{}
	for _, line := range documents[check.Topic](t, out) {
		if line.Name != "" { // not an error
			all[line.Role] = line
		}
	}
	if errs != "" {
		t.Logf("topics %v: %s", args, errs)
	}
	return all, code
}

func TestTopics(t *testing.T) {
	t.Parallel()
	kafkatest.Each(t, func(t *testing.T, c *kafkatest.Cluster) {
		topic, file := planned(t, c, "dedupe: {window: 48h}\ninput: {rekey: true}\n")
		if all, code := topicsOf(t, "describe", "--config", file); code != exitFailed || len(all) != 4 || all[check.StateTopic].Exists {
			t.Errorf("without topics: exit %d, %+v", code, all)
		}
		all, code := topicsOf(t, "create", "--config", file, "--partitions", "4", "--replication-factor", "1")
		if code != exitDone || len(all) != 4 {
			t.Fatalf("create: exit %d, %+v", code, all)
		}
		for role, want := range map[check.Role]string{
			check.SourceTopic:     topic + " delete 604800000",
			check.ByRequestTopic:  topic + ".by-request delete 604800000",
			check.DeadLetterTopic: topic + ".dead-letter delete 2592000000",
			check.StateTopic:      topic + ".reported compact,delete 262800000",
		} {
			d := all[role]
			if got := fmt.Sprintf("%s %s %s", d.Name, d.Settings["cleanup.policy"], d.Settings["retention.ms"]); got != want {
				t.Errorf("%s: got %s, want %s", role, got, want)
			}
			if !d.Exists || !d.Created || d.Partitions != 4 || d.Replication != 1 ||
				d.Settings["min.insync.replicas"] != "1" || d.Settings["unclean.leader.election.enable"] != "false" {
				t.Errorf("%s: %+v", role, d)
			}
		}
		for _, role := range []check.Role{check.ByRequestTopic, check.DeadLetterTopic} {
			if got := all[role].Settings["max.message.bytes"]; got != "33619968" {
				t.Errorf("%s: max.message.bytes %s: a large record may not fit", role, got)
			}
		}
		all, code = topicsOf(t, "create", "--config", file, "--partitions", "9")
		if code != exitDone || all[check.SourceTopic].Created || all[check.SourceTopic].Partitions != 4 {
			t.Errorf("a second create: exit %d, %+v", code, all)
		}
		if all, code = topicsOf(t, "describe", "--config", file); code != exitDone || len(all) != 4 || len(all[check.SourceTopic].Problems) != 1 {
			t.Errorf("describe: exit %d, %+v", code, all)
		}
	})
}

// TestUnfitTopics creates the missing topics beside one that can't serve.
func TestUnfitTopics(t *testing.T) {
	t.Parallel()
	kafkatest.Each(t, func(t *testing.T, c *kafkatest.Cluster) {
		topic, file := planned(t, c, "")
		c.CreateTopic(t, topic+".reported", 2, map[string]string{"cleanup.policy": "delete"})
		c.CreateTopic(t, topic, 2, nil)
		for _, verb := range []string{"create", "describe"} {
			code, out, _ := command(t, "", "topics", verb, "--config", file)
			if code != exitFailed || !strings.Contains(out, "exists  topic "+topic+": 2 partitions") ||
				!strings.Contains(out, "\n  FAIL  state topic "+topic+`.reported: its cleanup.policy is "delete": expected compact`) {
				t.Errorf("%s: exit %d\n%s", verb, code, out)
			}
			if !strings.Contains(out, map[string]string{"create": "created dead-letter topic ", "describe": "exists  dead-letter topic "}[verb]+topic+".dead-letter: 2 partitions, replication factor 1, cleanup.policy=delete") {
				t.Errorf("%s:\n%s", verb, out)
			}
		}
		config, err := consumer.TopicConfig(t.Context(), c.Client(t), topic+".reported", "cleanup.policy")
		if err != nil || config["cleanup.policy"] != "delete" {
			t.Errorf("the existing topic was changed: %v (%v)", config, err)
		}
	})
}

// TestMissingTopics: a missing topic that run would create is a failure of describe, too.
func TestMissingTopics(t *testing.T) {
	t.Parallel()
	c := kafkatest.Embedded(t)
	topic, file := planned(t, c, "")
	c.CreateTopic(t, topic, 1, nil)
	code, out, _ := command(t, "", "topics", "describe", "--config", file)
	if code != exitFailed || !strings.Contains(out, "missing state topic "+topic+".reported\n  note  state topic") {
		t.Errorf("exit %d\n%s", code, out)
	}
}

func TestReplicationOfTopics(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		brokers, replication int
		inSync               string
	}{{1, 1, "1"}, {2, 2, "1"}, {3, 3, "2"}, {5, 3, "2"}} {
		c := kafkatest.Embedded(t, kfake.NumBrokers(test.brokers))
		_, file := planned(t, c, "")
		all, code := topicsOf(t, "create", "--config", file)
		if code != exitDone || len(all) != 3 {
			t.Errorf("%d brokers: exit %d", test.brokers, code)
		}
		for role, d := range all {
			if d.Partitions != 12 || d.Replication != test.replication || d.Settings["min.insync.replicas"] != test.inSync {
				t.Errorf("%d brokers: %s: %+v", test.brokers, role, d)
			}
		}
	}
	c := kafkatest.Embedded(t, kfake.NumBrokers(2))
	c.Fake.ControlKey(int16(kmsg.CreateTopics), func(r kmsg.Request) (kmsg.Response, error, bool) {
		c.Fake.KeepControl()
		return refuseTopic(r, func(x kmsg.CreateTopicsRequestTopic) *kerr.Error {
			if x.ReplicationFactor > 2 {
				return kerr.InvalidReplicationFactor
			}
			return nil
		})
	})
	_, file := planned(t, c, "")
	if code, _, errs := command(t, "", "topics", "create", "--config", file, "--replication-factor", "3"); code != exitFailed || !strings.Contains(errs, "the cluster has 2 brokers: set --replication-factor to at most that") {
		t.Errorf("too many replicas: exit %d, %s", code, errs)
	}
}

// refuseTopic answers a request to create one topic with an error, if there is one.
func refuseTopic(r kmsg.Request, refuse func(kmsg.CreateTopicsRequestTopic) *kerr.Error) (kmsg.Response, error, bool) { //nolint:revive // the form of kfake's ControlKey
	req := r.(*kmsg.CreateTopicsRequest)
	fault := refuse(req.Topics[0])
	if fault == nil {
		return nil, nil, false
	}
	resp := req.ResponseKind().(*kmsg.CreateTopicsResponse)
	topic := kmsg.NewCreateTopicsResponseTopic()
	topic.Topic, topic.ErrorCode = req.Topics[0].Topic, fault.Code
	resp.Topics = append(resp.Topics, topic)
	return resp, nil, true
}

// TestPolicyOnTopics creates topics where the brokers forbid optional settings.
func TestPolicyOnTopics(t *testing.T) {
	t.Parallel()
	c := kafkatest.Embedded(t)
	c.Fake.ControlKey(int16(kmsg.CreateTopics), func(r kmsg.Request) (kmsg.Response, error, bool) {
		c.Fake.KeepControl()
		return refuseTopic(r, func(x kmsg.CreateTopicsRequestTopic) *kerr.Error {
			for _, s := range x.Configs {
				if s.Name == "segment.ms" || s.Name == "unclean.leader.election.enable" || s.Name == "max.message.bytes" && len(*s.Value) > 7 {
					return kerr.PolicyViolation
				}
			}
			return nil
		})
	})
	_, file := planned(t, c, "")
	all, code := topicsOf(t, "create", "--config", file)
	if code != exitDone || len(all) != 3 || all[check.StateTopic].Settings["cleanup.policy"] != "compact,delete" ||
		all[check.DeadLetterTopic].Settings["max.message.bytes"] != "1114124" {
		t.Errorf("exit %d, %+v", code, all)
	}
}

// TestTopicsCarry requires that topics of 'topics create' carry an event, and the dead
// letter of a record that is small only while it is compressed.
func TestTopicsCarry(t *testing.T) {
	t.Parallel()
	kafkatest.Each(t, func(t *testing.T, c *kafkatest.Cluster) {
		s := newStation(t, c, "")
		absent := kafkatest.Name(t, "made")
		c.DeleteAfter(t, absent, absent+".dead-letter", absent+".reported")
		text, err := os.ReadFile(s.file)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(s.file, []byte(strings.ReplaceAll(string(text), s.topic, absent)), 0o600); err != nil {
			t.Fatal(err)
		}
		s.topic = absent
		if code, out, errs := command(t, "", "topics", "create", "--config", s.file, "--partitions", "2"); code != exitDone {
			t.Fatalf("create: exit %d\n%s%s", code, out, errs)
		}
		stop := background(t, "run", "--config", s.file)
		s.Produce(t, absent, kafka.Message{Value: fmt.Appendf(nil, goodEvent, "1", "a")})
		writer := &kafka.Writer{Addr: s.Addr(), Topic: absent, Transport: s.Transport(t), Compression: kafka.Zstd, BatchSize: 1, BatchBytes: 8 << 20}
		defer writer.Close()
		if err := writer.WriteMessages(t.Context(), kafka.Message{Value: []byte(strings.Repeat("x", 3_000_000))}); err != nil {
			t.Fatal(err)
		}
		kafkatest.WaitFor(t, time.Minute, "the event and the dead letter", func() bool {
			return s.api.Stats().Accepted == 1 && s.Lag(t, absent, absent) == 0
		})
		if letters := s.ReadAll(t, absent+".dead-letter"); len(letters) != 1 || len(letters[0].Value) != 3_000_000 {
			t.Errorf("%d dead letters", len(letters))
		}
		if code := stop(); code != exitDone {
			t.Errorf("run: exit %d", code)
		}
	})
}
