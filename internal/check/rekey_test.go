package check_test

import (
	"strings"
	"testing"

	"github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/clientevents/clientevents/test/kafkatest"
)

// TestCheckOfRekeyedGroup: with input.rekey, both consumer groups are checked, each with
// the topic that it reads.
func TestCheckOfRekeyedGroup(t *testing.T) {
	c := kafkatest.Embedded(t)
	c.CreateTopic(t, "plain", 1, nil)
	c.CreateTopic(t, "plain.by-request", 1, nil)
	settings := []string{"KAFKA_BROKERS=" + c.Brokers[0], "KAFKA_TOPIC=plain", "INPUT_REKEY=true"}
	lines, _ := checkWith(t, settings...)
	wantLine(t, lines, "ok    group group:", "it has no members")
	wantLine(t, lines, "ok    group group.by-request:", "it has no members")

	joinStranger(t, c, "group.by-request", "plain")
	lines, _ = checkWith(t, settings...)
	wantLine(t, lines, "ok    group group:", "it has no members")
	wantLine(t, lines, "FAIL  group group.by-request:", `client "stranger" on host`, `"plain"`)
}

// TestCheckOfAbandonedTopic: without input.rekey, events that are left in its internal
// topic for this group are noted, and those that another group reads are not.
func TestCheckOfAbandonedTopic(t *testing.T) {
	const begins = "note  by-request topic plain.by-request: input.rekey is off"
	c := kafkatest.Embedded(t)
	c.CreateTopic(t, "plain", 2, nil)
	c.CreateTopic(t, "plain.by-request", 2, nil)
	for partition := range 2 {
		c.Produce(t, "plain.by-request", kafka.Message{Partition: partition, Value: []byte("x")}, kafka.Message{Partition: partition, Value: []byte("y")})
	}
	client, err := kgo.NewClient(kgo.SeedBrokers(c.Brokers...))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	commit := func(group, topic string, partition int32, offset int64) {
		t.Helper()
		var offsets kadm.Offsets
		offsets.Add(kadm.Offset{Topic: topic, Partition: partition, At: offset, LeaderEpoch: -1})
		answer, err := kadm.NewClient(client).CommitOffsets(t.Context(), group, offsets)
		if err == nil {
			err = answer.Error()
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	check := func(settings ...string) []string {
		t.Helper()
		lines, _ := checkWith(t, append(settings, "KAFKA_BROKERS="+c.Brokers[0], "KAFKA_TOPIC=plain")...)
		return lines
	}
	wantNone := func(lines []string) {
		t.Helper()
		if text := strings.Join(lines, "\n"); strings.Contains(text, begins) {
			t.Errorf("expected no note on the internal topic:\n%s", text)
		}
	}
	commit("another.by-request", "plain.by-request", 0, 1)
	commit("group.by-request", "plain", 0, 0)
	wantNone(check())
	commit("group.by-request", "plain.by-request", 0, 1)
	wantLine(t, check(), begins, "3 records in it", "group group.by-request")
	wantNone(check("INPUT_REKEY=true"))
	commit("group.by-request", "plain.by-request", 0, 2)
	commit("group.by-request", "plain.by-request", 1, 2)
	wantNone(check())
}
