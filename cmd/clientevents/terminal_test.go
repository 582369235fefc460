package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/segmentio/kafka-go"

	"github.com/clientevents/clientevents/consumer"
	"github.com/clientevents/clientevents/internal/terminal"
	"github.com/clientevents/clientevents/test/kafkatest"
)

// obeyed is text that a terminal would obey: an escape sequence, one that begins with
// C1, a bidirectional override and a carriage return.
const obeyed = "\x1b[31m\u009b1m\u202e\rx"

// TestTextOfOthersIsEscaped prints text of producers, of the API and of file names, by each
// command that has any. A terminal obeys none of it.
func TestTextOfOthersIsEscaped(t *testing.T) {
	t.Parallel()
	s := newStation(t, kafkatest.Embedded(t), "")
	quoted, _ := json.Marshal(obeyed)
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		message, _ := json.Marshal("no " + obeyed)
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusNotFound)
		fmt.Fprintf(w, `{"error":{"message":%s}}`, message)
	}))
	t.Cleanup(api.Close)
	s.CreateTopic(t, s.topic+".dead-letter", 1, nil)
	header := func(name, value string) kafka.Header { return kafka.Header{Key: name, Value: []byte(value)} }
	s.Produce(t, s.topic+".dead-letter", kafka.Message{
		Key: []byte(obeyed), Value: append(append([]byte(`{"eventId":`), quoted...), '}'),
		Headers: []kafka.Header{header(consumer.HeaderReason, obeyed), header(consumer.HeaderDetail, obeyed), header(consumer.HeaderTopic, s.topic)},
	})
	name := filepath.Join(t.TempDir(), obeyed)
	if err := os.WriteFile(name, []byte(`{"`+obeyed+`":1}`+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(s.file)
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), "endpoint: ")
	endpoint, _, _ := strings.Cut(rest, ",")
	if err := os.WriteFile(s.file, []byte(strings.Replace(string(text), endpoint, fmt.Sprintf("%q", api.URL), 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{
		{"dead-letters", "list", "--values", "--config", s.file},
		{"dead-letters", "summary", "--config", s.file},
		{"find", "--config", s.file, obeyed},
		{"check", "--config", s.file},
		{"validate", name},
		{"publish", "--config", s.file, name},
	} {
		_, out, errs := command(t, "", args...)
		if shown := out + errs; terminal.Lines(shown) != shown {
			t.Errorf("%q prints %q", args, shown)
		} else if !strings.Contains(shown, `\x1b[31m`) && !strings.Contains(shown, `\u009b1m`) {
			t.Errorf("%q prints none of the text: %q", args, shown)
		}
	}
}
