package app_test

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"

	"github.com/clientevents/clientevents/emulator"
	"github.com/clientevents/clientevents/event"
	"github.com/clientevents/clientevents/internal/connect"
	"github.com/clientevents/clientevents/internal/journey"
	"github.com/clientevents/clientevents/internal/maptest"
	"github.com/clientevents/clientevents/internal/rehearse"
	"github.com/clientevents/clientevents/test/kafkatest"
)

// connection connects to the rig's broker as a command does.
func (r *rig) connection(t *testing.T) *connect.Kafka {
	t.Helper()
	o := connect.Options{}
	if r.net != nil {
		o.Dial = r.DialContext
	}
	k, err := connect.NewKafka(r.config, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(k.Close)
	return k
}

// TestRehearsalPredictsTheRun: what a rehearsal reports of believable traffic is what
// a run then does, and the rehearsal leaves nothing behind.
func TestRehearsalPredictsTheRun(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, kafkatest.Bubble(t), 6, emulator.Options{})
		const n, copies = 6_000, 3
		mix := journey.DemoMix
		mix.Tombstones = true
		var messages []kafka.Message
		for rec := range journey.New(journey.Options{Seed: 11, Version: event.V3, Start: time.Now()}).Mixed(mix, n-copies) {
			messages = append(messages, kafka.Message{Key: rec.Key, Value: rec.Value})
		}
		for range copies { // each of which waits for the parent in its turn
			messages = append(messages, kafka.Message{Key: []byte("r"), Value: fmt.Appendf(nil,
				`{"eventId":"child","requestId":"r","createTime":%q,"parentEventId":"nowhere","jobEvent":{"type":"VIEW","jobs":["projects/p/jobs/1"]}}`,
				time.Now().Format(time.RFC3339))})
		}
		r.ProduceByKey(t, r.config.Kafka.Topic, messages...)
		k := r.connection(t)
		before := topics(t, k)
		report, err := rehearse.Run(t.Context(), k, r.config, rehearse.Options{Last: 2 * n, Samples: 2})
		if err != nil {
			t.Fatal(err)
		}
		if after := topics(t, k); !slices.Equal(before, after) {
			t.Errorf("the topics are %v after the rehearsal, and were %v", after, before)
		}
		if len(r.api.Events()) != 0 {
			t.Errorf("the API got %d events", len(r.api.Events()))
		}
		groups, err := k.Client().ListGroups(t.Context(), &kafka.ListGroupsRequest{})
		if err != nil || len(groups.Groups) > 0 {
			t.Errorf("there are groups: %v (%v)", groups, err)
		}

		replica := r.run(t, nil)
		kafkatest.WaitFor(t, 2*time.Minute, "every record to have its outcome", func() bool { return replica.finished() >= n })
		if err := replica.stop(); err != nil {
			t.Errorf("stop: %v", err)
		}
		outcomes, letters := replica.Consumer().Counts()
		for name, pair := range map[string][2]map[string]int64{
			"outcomes":     {report.Outcomes, counts(outcomes)},
			"dead letters": {report.DeadLetters, counts(letters)},
		} {
			if !maps.Equal(pair[0], pair[1]) {
				t.Errorf("%s: the rehearsal has %v, the run %v", name, pair[0], pair[1])
			}
		}
		types := map[string]int64{}
		for _, a := range r.api.Events() {
			types[a.Event.Type]++
		}
		if !maps.Equal(report.Events, types) {
			t.Errorf("events: the rehearsal has %v, the run %v", report.Events, types)
		}
		if report.Records != n || report.WithoutKey != 0 || report.Spread > report.Journeys/100 || report.Journeys == 0 || report.PeakPerMinute == 0 {
			t.Errorf("the report is %+v", report)
		}
		checkExamples(t, r, report)
	})
}

// checkExamples wants each example to be a dead letter of the run, with its detail.
func checkExamples(t *testing.T, r *rig, report *rehearse.Report) {
	t.Helper()
	found := map[string]string{}
	for _, m := range r.ReadAll(t, r.config.Kafka.DeadLetterTopic) {
		h := map[string]string{}
		for _, header := range m.Headers {
			h[header.Key] = string(header.Value)
		}
		found[h["dlq-partition"]+"/"+h["dlq-offset"]] = h["dlq-reason"] + ": " + h["dlq-detail"]
	}
	for reason, examples := range report.Examples {
		if len(examples) > 2 || len(examples) == 0 {
			t.Errorf("%s has %d examples", reason, len(examples))
		}
		for _, x := range examples {
			if got := found[fmt.Sprintf("%d/%d", x.Partition, x.Offset)]; got != reason+": "+x.Detail {
				t.Errorf("the example %+v of %s is %q in the run", x, reason, got)
			}
		}
	}
}

func counts(of map[string]uint64) map[string]int64 {
	all := map[string]int64{}
	for name, n := range of {
		if n > 0 {
			all[name] = int64(n)
		}
	}
	return all
}

func topics(t *testing.T, k *connect.Kafka) (names []string) {
	t.Helper()
	m, err := k.Client().Metadata(t.Context(), &kafka.MetadataRequest{})
	if err != nil {
		t.Fatal(err)
	}
	for _, topic := range m.Topics {
		names = append(names, topic.Name)
	}
	slices.Sort(names)
	return names
}

// TestRehearsalOfATopicThatIsKeyedWrongly: by user, without keys, and with parents in
// other partitions.
func TestRehearsalOfATopicThatIsKeyedWrongly(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, kafkatest.Bubble(t), 4, emulator.Options{})
		line := func(id, parent, typ string) []byte {
			return fmt.Appendf(nil, `{"eventId":%q,"parentEventId":%q,"requestId":"r-%s","createTime":%q,"jobEvent":{"type":%q,"jobs":["projects/p/jobs/j"]}}`,
				id, parent, id[1:], time.Now().UTC().Format(time.RFC3339), typ)
		}
		for i := range 40 {
			n := fmt.Sprint(i)
			r.Produce(t, r.config.Kafka.Topic, kafka.Message{Key: []byte("user"), Value: line("i"+n, "", "IMPRESSION")})
			r.Produce(t, r.config.Kafka.Topic, kafka.Message{Partition: 1 + i%2, Value: line("v"+n, "i"+n, "VIEW")})
		}
		k := r.connection(t)
		report, err := rehearse.Run(t.Context(), k, r.config, rehearse.Options{Last: 1000, Samples: 1})
		if err != nil {
			t.Fatal(err)
		}
		if report.WithoutKey != 40 || report.Spread != 40 || report.Journeys != 40 || report.ElsewhereParents != 40 || report.DeadLetters["parent_not_found"] != 40 {
			t.Errorf("the report is %+v", report)
		}
		var text strings.Builder
		report.Write(&text)
		for _, want := range []string{"80 records of " + r.config.Kafka.Topic, "Records without a key: 40", "Journeys in several partitions: 40 of 40", "Key the topic by request ID"} {
			if !strings.Contains(text.String(), want) {
				t.Errorf("the text has no %q:\n%s", want, text.String())
			}
		}
		if report.UnreadParents != 0 || len(report.Hints) != 1 {
			t.Errorf("of the whole topic, %d parents are not read: %q", report.UnreadParents, report.Hints)
		}
		// Of the last 21 records, 7 are impressions, and 14 are views of which as many have
		// an older impression.
		report, err = rehearse.Run(t.Context(), k, r.config, rehearse.Options{Last: 21})
		if err != nil || report.UnreadParents != 7 || len(report.Hints) != 2 || !strings.Contains(report.Hints[0], "7 children are parent_not_found because their parent is not among these records") {
			t.Errorf("of the end of the topic, %d parents are not read: %q (%v)", report.UnreadParents, report.Hints, err)
		}
		if report, err = rehearse.Run(t.Context(), k, r.config, rehearse.Options{Last: 50}); err != nil || report.Records != 50 {
			t.Errorf("of the last 50, %d records are read (%v)", report.Records, err)
		}
		if report, err = rehearse.Run(t.Context(), k, r.config, rehearse.Options{Since: time.Now().Add(time.Hour)}); err != nil || report.Records != 0 {
			t.Errorf("since a later time, %d records are read (%v)", report.Records, err)
		}
		folder := filepath.Join(t.TempDir(), "samples")
		report, _ = rehearse.Run(t.Context(), k, r.config, rehearse.Options{Last: 1000, Samples: 3})
		if _, err := report.WriteSamples(t.Context(), k, folder, func(v []byte) ([]byte, bool) { return v, true }); err != nil {
			t.Fatal(err)
		}
		f, err := maptest.Load(filepath.Join(folder, "parent_not_found.yaml"))
		if err != nil || len(f.Tests) != 3 || f.Tests[0].Record.Text == nil || !strings.Contains(*f.Tests[0].Record.Text, `"VIEW"`) {
			t.Errorf("the samples are %+v (%v)", f, err)
		}
		if info, _ := os.Stat(filepath.Join(folder, "parent_not_found.yaml")); info.Mode().Perm() != 0o600 {
			t.Errorf("the samples' mode is %v", info.Mode())
		}
	})
}
