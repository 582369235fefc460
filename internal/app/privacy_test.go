package app_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"
	"google.golang.org/protobuf/encoding/prototext"

	"github.com/clientevents/clientevents/emulator"
	"github.com/clientevents/clientevents/event"
	"github.com/clientevents/clientevents/internal/app"
	"github.com/clientevents/clientevents/internal/find"
	"github.com/clientevents/clientevents/internal/privacy"
	"github.com/clientevents/clientevents/internal/rehearse"
	"github.com/clientevents/clientevents/test/kafkatest"
)

// private is a rig with limits on extra info: source is sent as it is, user hashed, and
// nothing else.
type private struct {
	*rig
	keyFile string
	traces  *traces
	said    *shown

	mu       sync.Mutex
	requests strings.Builder // all that the API received
	admin    string
}

const hashKeyText = "0123456789abcdef-of-the-hashes"

func newPrivate(t *testing.T) *private {
	t.Helper()
	p := &private{keyFile: filepath.Join(t.TempDir(), "hash-key"), traces: &traces{t: t}, said: &shown{}}
	p.writeKey(t, hashKeyText)
	p.rig = newRig(t, kafkatest.Bubble(t), 1, emulator.Options{Faults: emulator.Faults{Hook: func(r *emulator.Request) *emulator.Fault {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.requests.Write(r.Body)
		if r.Path != "/batch" && strings.Contains(string(r.Body), "refused") {
			return emulator.Refuse(400, "Invalid value: "+string(r.Body))
		}
		return nil
	}}})
	p.config.Privacy.ExtraInfo.KeepOnly = true
	p.config.Privacy.ExtraInfo.Keep = []string{"source"}
	p.config.Privacy.ExtraInfo.Hash = []string{"user"}
	p.config.Privacy.ExtraInfo.HashKeyFile = p.keyFile
	p.config.Tracing.Endpoint, p.config.Tracing.SampleRatio = p.serve(t, p.traces), 1
	return p
}

func (p *private) writeKey(t *testing.T, key string) {
	t.Helper()
	if err := os.WriteFile(p.keyFile, []byte(key+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
}

func (p *private) start(t *testing.T) *replica {
	t.Helper()
	listening := make(chan string, 1)
	replica := p.run(t, func(o *app.Options) {
		o.Logger = slog.New(slog.NewTextHandler(p.said, &slog.HandlerOptions{Level: slog.LevelDebug}))
		o.OnListen = func(a net.Addr) { listening <- a.String() }
	})
	p.admin = <-listening
	return replica
}

// personal is an event whose user is canary-user, and whose other extra info is a canary.
func personal(id, more string) string {
	return fmt.Sprintf(`{"eventId":%q,"requestId":"r","createTime":"2026-01-02T03:04:05Z","jobEvent":{"type":"IMPRESSION","jobs":["projects/demo/jobs/1"]},`+
		`"extraInfo":{"source":"web","user":"canary-user","mail":"canary@example.com","canary-key":"x"}%s}`, id, more)
}

func (p *private) send(t *testing.T, values ...string) {
	t.Helper()
	for _, v := range values {
		p.Produce(t, p.config.Kafka.Topic, kafka.Message{Key: []byte("r"), Value: []byte(v)})
	}
}

// infoOf returns the extra info that the API has of an event.
func (p *private) infoOf(t *testing.T, id string) map[string]string {
	t.Helper()
	for _, a := range p.api.Events() {
		if a.Event.EventID == id {
			return a.Event.ExtraInfo
		}
	}
	t.Fatalf("the API has no event %s", id)
	return nil
}

func hashOf(key, value string) string {
	mac := hmac.New(sha256.New, []byte(key))
	mac.Write([]byte(value))
	return hex.EncodeToString(mac.Sum(nil))
}

// TestPrivacy looks for dropped and unhashed extra info in requests, the state topic, logs,
// traces, the admin port, dead letters, and the results of find and rehearse. Equal values
// have equal hashes before and after a restart; content is compared over the original.
func TestPrivacy(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := newPrivate(t)
		p.config.Privacy.DeadLetters = "redact"
		replica := p.start(t)
		published := 0
		outcomes := func(values ...string) {
			t.Helper()
			published += len(values)
			p.send(t, values...)
			kafkatest.WaitFor(t, time.Minute, "outcomes", func() bool { return replica.finished() >= uint64(published) })
		}
		outcomes(personal("a", ""), personal("b", ""))
		outcomes(
			personal("a", ""),
			strings.Replace(personal("b", ""), "canary@", "canary-2@", 1), // another mail: other content
			personal("unknown", `,"eventNotes":"n"`), personal("child", `,"parentEventId":"none"`),
			strings.Replace(personal("numbers", ""), `"canary-user"`, `{"x":"canary"}`, 1),
			`{"eventId":"cut","extraInfo":{"mail":"canary`, "canary", personal("refused", ""), personal("c", ""),
		)
		for _, path := range []string{"/metrics", "/status", "/"} {
			p.said.add(path, get(t, p.client, "http://"+p.admin+path))
		}
		if err := replica.stop(); err != nil {
			t.Fatal(err)
		}
		want := map[string]string{"source": "web", "user": hashOf(hashKeyText, "canary-user")}
		replica = p.start(t)
		published = 0
		outcomes(personal("after a restart", ""))
		for _, id := range []string{"a", "b", "c", "after a restart"} {
			if got := p.infoOf(t, id); fmt.Sprint(got) != fmt.Sprint(want) {
				t.Errorf("the API has %v of %s, expected %v", got, id, want)
			}
		}
		p.checkKey(t, outcomes)
		if err := replica.stop(); err != nil {
			t.Fatal(err)
		}
		p.checkLetters(t)
		p.collect(t)
		p.said.parts = append(p.said.parts, "log: "+p.said.log.String())
		for _, part := range p.said.parts {
			if i := strings.Index(part, "canary"); i >= 0 {
				where, _, _ := strings.Cut(part, ": ")
				t.Errorf("%s shows …%s…", where, part[max(0, i-200):min(len(part), i+60)])
			}
		}
	})
}

// checkKey: another key is used when its file has it, and a broken file changes nothing.
func (p *private) checkKey(t *testing.T, outcomes func(...string)) {
	t.Helper()
	p.writeKey(t, "short")
	time.Sleep(time.Minute) // longer than files are looked at
	outcomes(personal("broken key", ""))
	if got := p.infoOf(t, "broken key")["user"]; got != hashOf(hashKeyText, "canary-user") {
		t.Errorf("with a broken key, the hash is %s", got)
	}
	p.writeKey(t, "another key of the hashes")
	time.Sleep(time.Minute)
	outcomes(personal("another key", ""))
	if got := p.infoOf(t, "another key")["user"]; got != hashOf("another key of the hashes", "canary-user") {
		t.Errorf("with another key, the hash is %s", got)
	}
	if !p.said.logged("privacy.extra_info.hash_key_file") {
		t.Error("the log does not name the broken key")
	}
}

// checkLetters: redacted letters have the value without personal data, or none.
func (p *private) checkLetters(t *testing.T) {
	t.Helper()
	found := map[string]string{}
	for _, m := range p.ReadAll(t, p.config.Kafka.DeadLetterTopic) {
		p.said.add("dead letter", fmt.Sprintf("%s %s %v", m.Key, m.Value, m.Headers))
		found[headerOf(m, "dlq-reason")] = headerOf(m, "dlq-redacted")
		if headerOf(m, "dlq-redacted") == "value" && !strings.Contains(string(m.Value), event.HashMark+hashOf(hashKeyText, "canary-user")) && headerOf(m, "dlq-reason") != "invalid_field" {
			t.Errorf("%s has no hash: %s", headerOf(m, "dlq-reason"), m.Value)
		}
	}
	for reason, redacted := range map[string]string{
		"id_conflict": "value", "unknown_field": "value", "parent_not_found": "value", "invalid_field": "value", "rejected": "value", "malformed": "all",
	} {
		if found[reason] != redacted {
			t.Errorf("a dead letter for %s is redacted as %q, expected %q", reason, found[reason], redacted)
		}
	}
}

// collect adds all that the program wrote elsewhere, and the results of commands.
func (p *private) collect(t *testing.T) {
	t.Helper()
	p.said.add("request", p.requests.String())
	state := p.ReadAll(t, p.config.Kafka.StateTopic)
	for _, m := range state {
		p.said.add("state", fmt.Sprintf("%s %s %v", m.Key, m.Value, m.Headers))
	}
	p.traces.mu.Lock()
	defer p.traces.mu.Unlock()
	for _, s := range p.traces.spans {
		p.said.add("trace", prototext.Format(s))
	}
	if len(state) == 0 || len(p.traces.spans) == 0 || p.requests.Len() == 0 {
		t.Error("there is no state, no trace or no request")
	}
	k := p.connection(t)
	events, err := find.Run(t.Context(), k, p.config, find.Query{RequestID: "r", Partition: -1})
	if err != nil || len(events) == 0 {
		t.Fatalf("%d events are found, %v", len(events), err)
	}
	var text strings.Builder
	find.Write(&text, events)
	p.said.add("find", text.String()+fmt.Sprintf("%+v", *events[0]))
	report, err := rehearse.Run(t.Context(), k, p.config, rehearse.Options{Last: 100, Samples: 5})
	if err != nil {
		t.Fatal(err)
	}
	report.Write(&text)
	p.said.add("rehearse", text.String())
	guard, err := privacy.New(p.config, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer guard.Close()
	folder := t.TempDir()
	if leftOut, err := report.WriteSamples(t.Context(), k, folder, guard.Redact); err != nil || leftOut != 2 {
		t.Errorf("%d samples are left out (%v), expected the 2 malformed ones", leftOut, err)
	}
	files, _ := filepath.Glob(folder + "/*.yaml")
	for _, file := range files {
		sample, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		p.said.add("sample", string(sample))
	}
	if len(files) < 3 {
		t.Errorf("%d files of samples", len(files))
	}
}

// TestPrivacyChangesWhileRunning: new lists apply to the requests after them, and dead
// letters hold the original unless the configuration states otherwise.
func TestPrivacyChangesWhileRunning(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := newPrivate(t)
		replica := p.start(t)
		p.send(t, personal("before", ""), personal("unknown", `,"eventNotes":"n"`))
		kafkatest.WaitFor(t, time.Minute, "outcomes", func() bool { return replica.finished() >= 2 })
		letters := p.ReadAll(t, p.config.Kafka.DeadLetterTopic)
		if len(letters) != 1 || !strings.Contains(string(letters[0].Value), "canary@example.com") {
			t.Errorf("%d dead letters, expected one with the original", len(letters))
		}
		changed := *p.config
		changed.Privacy.ExtraInfo.Keep, changed.Privacy.ExtraInfo.Hash, changed.Privacy.ExtraInfo.HashKeyFile = []string{"mail"}, nil, ""
		if err := replica.Reload(&changed); err != nil {
			t.Fatal(err)
		}
		p.send(t, personal("after", ""))
		kafkatest.WaitFor(t, time.Minute, "outcomes", func() bool { return replica.finished() >= 3 })
		if got := p.infoOf(t, "after"); len(got) != 1 || got["mail"] == "" {
			t.Errorf("after the change, the API has %v", got)
		}
		if got := p.infoOf(t, "before"); len(got) != 2 {
			t.Errorf("before the change, the API has %v", got)
		}
		changed.Privacy.ExtraInfo.Hash, changed.Privacy.ExtraInfo.HashKeyFile = []string{"mail"}, p.keyFile+"-missing"
		if err := replica.Reload(&changed); err == nil {
			t.Error("a missing key is accepted")
		}
		p.send(t, personal("unchanged", ""))
		kafkatest.WaitFor(t, time.Minute, "outcomes", func() bool { return replica.finished() >= 4 })
		if got := p.infoOf(t, "unchanged"); got["mail"] != "canary@example.com" {
			t.Errorf("after a change that failed, the API has %v", got)
		}
	})
}
