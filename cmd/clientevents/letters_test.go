package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"

	"github.com/clientevents/clientevents/test/kafkatest"
)

// TestEditAndReplay corrects two of three dead letters in a file and replays them: they
// are reported, and no longer outstanding.
func TestEditAndReplay(t *testing.T) {
	t.Parallel()
	s := newStation(t, kafkatest.Embedded(t), "")
	s.CreateTopic(t, s.topic+".dead-letter", 3, nil)
	wrong := func(id string) string {
		return strings.Replace(fmt.Sprintf(goodEvent, id, id), "IMPRESSION", "SEEN", 1)
	}
	s.ProduceByKey(t, s.topic,
		kafka.Message{Key: []byte("r-a"), Value: []byte(wrong("a")), Headers: []kafka.Header{{Key: "mine", Value: []byte("kept")}}},
		kafka.Message{Key: []byte("\xff\xfe"), Value: []byte("\xff")},
		kafka.Message{Key: []byte("r-b"), Value: []byte(wrong("b"))})
	stop := background(t, "run", "--config", s.file)
	letters := func() int { return len(s.ReadAll(t, s.topic+".dead-letter")) }
	kafkatest.WaitFor(t, time.Minute, "three dead letters", func() bool { return s.api.Stats().Accepted == 0 && letters() == 3 })
	s.wantSummary(t, "malformed 1 1", "invalid_type 2 2", "total 3 3")

	_, list, _ := command(t, "", "dead-letters", "list", "--config", s.file, "--json", "--values")
	if !strings.Contains(list, `"key_base64":"//4="`) || !strings.Contains(list, `"value_base64":"/w=="`) {
		t.Errorf("keys and values that are not text are lost:\n%s", list)
	}
	file := filepath.Join(t.TempDir(), "edited.ndjson")
	replay := func(text string, more ...string) (int, string, string) {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return command(t, "", append([]string{"dead-letters", "replay", "--config", s.file, "--from", file}, more...)...)
	}
	before := s.EndOffsets(t, s.topic)
	code, out, errs := replay(list)
	if code != exitFailed || strings.Count(out, file) != 3 || !strings.Contains(out, ": malformed: ") || !strings.Contains(errs, "3 of 3 records of "+file+" are invalid: nothing was replayed") {
		t.Errorf("invalid records: exit code %d\n%s%s", code, out, errs)
	}
	_, list, _ = command(t, "", "dead-letters", "list", "--config", s.file, "--reason", "invalid_type", "--json", "--values")
	edited := strings.ReplaceAll(list, "SEEN", "IMPRESSION")
	if code, out, _ := replay(edited, "--dry-run"); code != exitDone || !strings.HasPrefix(out, "2 records would be replayed") {
		t.Errorf("--dry-run: exit code %d\n%s", code, out)
	}
	if after := s.EndOffsets(t, s.topic); fmt.Sprint(before) != fmt.Sprint(after) {
		t.Errorf("published too early: %v, %v", before, after)
	}
	if code, out, errs := replay(edited); code != exitDone || !strings.HasPrefix(out, "2 records replayed") {
		t.Fatalf("exit code %d\n%s%s", code, out, errs)
	}
	kafkatest.WaitFor(t, time.Minute, "the corrected events", func() bool { return s.api.Stats().Accepted == 2 })
	s.wantSummary(t, "malformed 1 1", "invalid_type 2 0", "total 3 1")
	if _, out, _ := replay(edited); !strings.HasPrefix(out, "0 records replayed") || !strings.Contains(out, "2 dead letters were replayed already") {
		t.Errorf("a second time: %s", out)
	}
	for _, m := range s.ReadAll(t, s.topic) {
		if got := fmt.Sprint(headersOf(m)); string(m.Key) == "r-a" && strings.Contains(string(m.Value), "IMPRESSION") &&
			(!strings.HasPrefix(got, "map[clientevents-replaces:") || !strings.HasSuffix(got, " clientevents-replays:1 mine:kept]")) {
			t.Errorf("the edited record has the headers %s", got)
		}
	}
	if code := stop(); code != exitDone {
		t.Errorf("run: exit code %d", code)
	}
}

func headersOf(m kafka.Message) map[string]string {
	headers := map[string]string{}
	for _, h := range m.Headers {
		headers[h.Key] = string(h.Value)
	}
	return headers
}

// wantSummary compares reason, total and outstanding of each row.
func (s *station) wantSummary(t *testing.T, want ...string) {
	t.Helper()
	code, out, errs := command(t, "", "dead-letters", "summary", "--config", s.file)
	var got []string
	for _, line := range strings.Split(strings.TrimSpace(out), "\n")[1:] {
		got = append(got, strings.Join(strings.Fields(line)[:3], " "))
	}
	if code != exitDone || strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("summary: exit code %d\n%s%s\nwant %q", code, out, errs, want)
	}
}

// TestReplayFromWrongFiles names the line and what is expected.
func TestReplayFromWrongFiles(t *testing.T) {
	t.Parallel()
	s := newStation(t, kafkatest.Embedded(t), "")
	s.CreateTopic(t, s.topic+".dead-letter", 1, nil)
	for text, want := range map[string]string{
		"nonsense":         "<stdin>:1: expected a line of 'dead-letters list --json --values': ",
		"\n{\"offset\":1}": "<stdin>:2: expected partition and offset of the dead letter",
		"{\"partition\":0,\"offset\":0}\n{\"partition\":0,\"offset\":0}": "<stdin>:2: the same dead letter as in line 1",
		"{\"partition\":0,\"offset\":7}":                                 "line 1: topic " + s.topic + ".dead-letter has no dead letter at partition 0, offset 7",
		"{\"partition\":9,\"offset\":7}":                                 "line 1: topic " + s.topic + ".dead-letter has no dead letter at partition 9, offset 7",
	} {
		if code, _, errs := command(t, text, "dead-letters", "replay", "--config", s.file, "--from", "-"); code != exitFailed || !strings.Contains(errs, want) {
			t.Errorf("%s: exit code %d, %s\nwant %s", text, code, errs, want)
		}
	}
	if code, _, errs := command(t, "", "dead-letters", "replay", "--config", s.file, "--from", "-", "--reason", "rejected"); code != exitUsage || !strings.Contains(errs, "--from names the dead letters: remove --reason") {
		t.Errorf("--reason: exit code %d, %s", code, errs)
	}
	if code, out, _ := command(t, "", "dead-letters", "summary", "--config", s.file, "--json"); code != exitDone || out != "" {
		t.Errorf("summary of nothing: exit code %d, %s", code, out)
	}
}
