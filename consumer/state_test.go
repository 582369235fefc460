package consumer

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"

	"github.com/clientevents/clientevents/consumer/group"
	"github.com/clientevents/clientevents/consumer/kafkalog"
	"github.com/clientevents/clientevents/consumer/partition"
	"github.com/clientevents/clientevents/event"
	"github.com/clientevents/clientevents/test/kafkatest"
)

// TestForeignStateRecords: what a newer version wrote stops this one for as long as it
// stands, and no longer, though the broker still shows what was deleted.
func TestForeignStateRecords(t *testing.T) {
	const topic = "events.reported"
	cluster := kafkatest.Embedded(t)
	cluster.CreateTopic(t, topic, 1, nil)
	transport := cluster.Transport(t)
	c := New(Config{
		Brokers: cluster.Brokers, Topic: "events", StateTopic: topic,
		Version: event.V3,
		Rules:   Rules{Window: time.Hour}, Transport: transport,
	}, nil)
	log := kafkalog.NewClient(kafka.TCP(cluster.Brokers...), transport)
	write := func(key, value []byte) {
		t.Helper()
		if _, err := log.Append(t.Context(), topic, 0, []kafkalog.Record{{Key: key, Value: value, Time: time.Now()}}); err != nil {
			t.Fatal(err)
		}
	}
	restored := func() (*owner, error) {
		o := newOwner(c, 0, c.cfg.Rules, group.Position{}, kept{})
		return o, o.readState(t.Context())
	}
	now := time.Now()
	mark := func(id string) {
		write(appendStateKey(nil, partition.KeyOf(id)), appendEntry(nil, &partition.Entry{Created: now, Type: event.View, Reported: now}))
	}
	mark("before")
	write([]byte("x"), []byte{1})
	write([]byte("y1"), []byte{1})
	mark("after")
	for _, step := range []struct{ delete, want string }{
		{"", topic + ", partition 0, offset 1: a record of kind 'x', which this version does not know"},
		{"x", "offset 2: a record of kind 'y'"},
		{"y2", "offset 2: a record of kind 'y'"},
	} {
		if step.delete != "" {
			write([]byte(step.delete), nil)
		}
		if _, err := restored(); err == nil || !strings.Contains(err.Error(), step.want) {
			t.Errorf("%q deleted: %v, want %q", step.delete, err, step.want)
		}
	}
	write([]byte("y1"), nil)
	if o, err := restored(); err != nil || o.partition.Stats().Known != 2 {
		t.Errorf("all deleted: %v; %d ids are known, want the 2 that were reported", err, o.partition.Stats().Known)
	}
	for i := range maxUnknown + 1 {
		write(fmt.Append(nil, "z", i), []byte{1})
	}
	write([]byte("z0"), nil)
	if _, err := restored(); err == nil || !strings.Contains(err.Error(), "kind 'z'") {
		t.Errorf("more than are kept: %v", err)
	}
}

// TestKindsInOperations: the documentation of a downgrade names each kind of
// record that may stop it.
func TestKindsInOperations(t *testing.T) {
	text, err := os.ReadFile("../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, kind := range []byte{stateReported, stateSession, statePause} {
		if want := fmt.Sprintf("(`%c`)", kind); !strings.Contains(string(text), want) {
			t.Errorf("docs/operations.md does not say what records of kind %s are", want)
		}
	}
}
