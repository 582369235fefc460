package app_test

import (
	"bytes"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/segmentio/kafka-go"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/clientevents/clientevents/emulator"
	"github.com/clientevents/clientevents/internal/app"
	"github.com/clientevents/clientevents/internal/config"
	"github.com/clientevents/clientevents/internal/filewatch"
	"github.com/clientevents/clientevents/internal/logging"
	"github.com/clientevents/clientevents/internal/reload"
	"github.com/clientevents/clientevents/test/kafkatest"
)

// lockedBuffer is a log that is read while it is written.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// reloading is a replica whose environment changes.
type reloading struct {
	*rig
	*site
	replica *replica
	dir     string
	base    []string // NAME=value, without the prefix
	set     map[string]string
	hangup  chan os.Signal
	log     lockedBuffer
}

// load reads the configuration from the environment as it is now.
func (r *reloading) load() (*config.Config, error) {
	var environ []string
	for _, entry := range r.base {
		environ = append(environ, "CLIENTEVENTS_"+entry)
	}
	for name, value := range r.set {
		environ = append(environ, "CLIENTEVENTS_"+name+"="+value)
	}
	return config.Load("", environ)
}

func newReloading(t *testing.T, file string, environ ...string) *reloading {
	t.Helper()
	r := &reloading{
		rig: newRig(t, kafkatest.Bubble(t), 1, emulator.Options{}),
		dir: t.TempDir(), set: map[string]string{}, hangup: make(chan os.Signal),
	}
	topic := r.config.Kafka.Topic
	r.base = append([]string{
		"KAFKA_BROKERS=" + strings.Join(r.Brokers, ","), "KAFKA_TOPIC=" + topic, "KAFKA_GROUP=" + topic, "API_ENDPOINT=" + r.config.API.Endpoint,
		"API_VERSION=v3", "API_PARENT=projects/demo", "API_CREDENTIALS=none", "ADMIN_LISTEN=127.0.0.1:0",
	}, environ...)
	load := r.load
	if file != "" {
		load = func() (*config.Config, error) {
			all := slices.Clone(r.base)
			for i := range all {
				all[i] = "CLIENTEVENTS_" + all[i]
			}
			return config.Load(file, all)
		}
	}
	var err error
	if r.config, err = load(); err != nil {
		t.Fatal(err)
	}
	output := logging.NewOutput(&r.log, r.config.Log)
	r.site, r.replica = r.runReplicaSite(t, func(o *app.Options) {
		o.Logger, o.Level, o.SetLogFormat = output.Logger(), &output.Level, output.SetFormat
		o.Reload = app.ReloadOptions{Load: load, File: file, Hangup: r.hangup}
	})
	r.waitReady(t)
	return r
}

// file writes a file and returns its path.
func (r *reloading) file(t *testing.T, name, content string) string {
	t.Helper()
	path := filepath.Join(r.dir, name)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// reload asks for a reload and returns its result.
func (r *reloading) reload(t *testing.T) reload.Status {
	t.Helper()
	time.Sleep(time.Millisecond) // of the bubble, so that each reload has a time of its own
	r.hangup <- syscall.SIGHUP
	synctest.Wait()
	return r.status(t).Config.Reload
}

// apply changes an environment variable and wants that to take effect.
func (r *reloading) apply(t *testing.T, name, value string) {
	t.Helper()
	r.set[name] = value
	if s := r.reload(t); s.Result != reload.Applied || len(s.Changes) != 1 {
		t.Fatalf("%s=%s: %+v, expected one applied change", name, value, s)
	}
}

// send publishes an event with an ID and a create time.
func (r *reloading) send(t *testing.T, id, kind, parent string, created time.Time) {
	t.Helper()
	value := fmt.Sprintf(`{"eventId":%q,"requestId":"r","createTime":%q,"parentEventId":%q,"jobEvent":{"type":%q,"jobs":["projects/demo/jobs/1"]}}`,
		id, created.UTC().Format(time.RFC3339), parent, kind)
	r.Produce(t, r.config.Kafka.Topic, kafka.Message{Key: []byte("r"), Value: []byte(value)})
}

// arrived lists the IDs that begin with a prefix, in the order of their arrival.
func (r *reloading) arrived(prefix string) (ids []string) {
	for _, a := range r.api.Events() {
		if strings.HasPrefix(a.Event.EventID, prefix) {
			ids = append(ids, a.Event.EventID)
		}
	}
	return ids
}

func (r *reloading) waitArrived(t *testing.T, prefix string, n int) []string {
	t.Helper()
	kafkatest.WaitFor(t, time.Minute, fmt.Sprintf("%d events %s", n, prefix), func() bool { return len(r.arrived(prefix)) >= n })
	return r.arrived(prefix)
}

func (r *reloading) letters(t *testing.T, reason string) uint64 {
	t.Helper()
	return r.status(t).Letters[reason]
}

func (r *reloading) waitLetters(t *testing.T, reason string, n uint64) {
	t.Helper()
	kafkatest.WaitFor(t, time.Minute, fmt.Sprintf("%d dead letters for %s", n, reason), func() bool { return r.letters(t, reason) >= n })
}

// effects are the keys that take effect, each with a test that sees it in the running
// replica.
var effects = map[string]func(t *testing.T, r *reloading){
	"report.rate": func(t *testing.T, r *reloading) {
		r.apply(t, "REPORT_RATE", "123")
		if got := r.status(t).Reporter.Configured; got != 123 {
			t.Errorf("the rate is %v, expected 123", got)
		}
		r.apply(t, "REPORT_RATE", "0")
	},
	"report.linger": func(t *testing.T, r *reloading) {
		r.api.SetFaults(emulator.Faults{Latency: 10 * time.Second})
		defer r.api.SetFaults(emulator.Faults{})
		r.apply(t, "REPORT_LINGER", "1m")
		inFlight := func() int {
			time.Sleep(time.Second)
			synctest.Wait()
			return r.status(t).InFlight
		}
		r.send(t, "linger-1", "IMPRESSION", "", time.Now())
		inFlight()
		r.send(t, "linger-2", "IMPRESSION", "", time.Now())
		if n := inFlight(); n != 1 {
			t.Errorf("%d events are in flight, expected that the second one lingers", n)
		}
		r.apply(t, "REPORT_LINGER", "2ms")
		if n := inFlight(); n != 2 {
			t.Errorf("%d events are in flight after the linger was shortened, expected 2", n)
		}
		r.waitArrived(t, "linger-", 2)
	},
	"report.priority": func(t *testing.T, r *reloading) {
		r.apply(t, "REPORT_RATE", "1")
		order := func(name string) []string {
			for i := range 4 {
				r.send(t, fmt.Sprint(name, i), "IMPRESSION", "", time.Now())
			}
			r.send(t, name+"application", "APPLICATION_FINISH", "", time.Now())
			return r.waitArrived(t, name, 5)
		}
		r.apply(t, "REPORT_PRIORITY", "arrival")
		if ids := order("first-"); ids[4] != "first-application" {
			t.Errorf("by arrival: %q", ids)
		}
		r.apply(t, "REPORT_PRIORITY", "value")
		if ids := order("second-"); ids[4] == "second-application" {
			t.Errorf("by value: %q", ids)
		}
		r.apply(t, "REPORT_RATE", "0")
	},
	"parents.wait": func(t *testing.T, r *reloading) {
		r.apply(t, "PARENTS_WAIT", "24h")
		r.send(t, "orphan", "VIEW", "unknown", time.Now())
		time.Sleep(time.Minute)
		if n := r.letters(t, "parent_not_found"); n != 0 {
			t.Fatalf("%d dead letters after a minute of 24 h", n)
		}
		r.apply(t, "PARENTS_WAIT", "10s")
		r.waitLetters(t, "parent_not_found", 1)
	},
	"suspicious.refuse": func(t *testing.T, r *reloading) {
		r.set["SUSPICIOUS_REFUSE"] = "false"
		r.reload(t)
		old := time.Now().Add(-48 * time.Hour)
		r.send(t, "old-reported", "IMPRESSION", "", old)
		r.waitArrived(t, "old-reported", 1)
		r.apply(t, "SUSPICIOUS_REFUSE", "true")
		before := r.letters(t, "invalid_create_time")
		r.send(t, "old-refused", "IMPRESSION", "", old)
		r.waitLetters(t, "invalid_create_time", before+1)
	},
	"suspicious.age":   func(t *testing.T, r *reloading) { r.suspicious(t, "SUSPICIOUS_AGE", -3*time.Hour) },
	"suspicious.ahead": func(t *testing.T, r *reloading) { r.suspicious(t, "SUSPICIOUS_AHEAD", 3*time.Hour) },
	"log.level": func(t *testing.T, r *reloading) {
		r.apply(t, "LOG_LEVEL", "error")
		if got := r.status(t).Admin.LogLevel; got != "error" {
			t.Errorf("the level is %q", got)
		}
		r.apply(t, "LOG_LEVEL", "info")
	},
	"log.format": func(t *testing.T, r *reloading) {
		r.apply(t, "LOG_FORMAT", "text")
		r.apply(t, "REPORT_RATE", "9")
		if !strings.Contains(r.log.String(), `msg="configuration reloaded" changes="report.rate: 0 -> 9"`) {
			t.Errorf("the log is not text:\n%s", r.log.String())
		}
		r.apply(t, "LOG_FORMAT", "json")
		r.apply(t, "REPORT_RATE", "0")
		if !strings.Contains(r.log.String(), `"msg":"configuration reloaded","changes":"report.rate: 9 -> 0"`) {
			t.Errorf("the log is not JSON:\n%s", r.log.String())
		}
	},
	"input.mapping": func(t *testing.T, r *reloading) {
		r.apply(t, "INPUT_MAPPING", `.eventId = "mapped-" + .eventId`)
		r.send(t, "once", "IMPRESSION", "", time.Now())
		r.waitArrived(t, "mapped-once", 1)
		r.apply(t, "INPUT_MAPPING", "")
		r.send(t, "twice", "IMPRESSION", "", time.Now())
		r.waitArrived(t, "twice", 1)
	},
	"input.mapping_file": func(t *testing.T, r *reloading) {
		path := r.file(t, "mapping.jq", `.eventId = "filed-" + .eventId`)
		r.apply(t, "INPUT_MAPPING_FILE", path)
		r.send(t, "once", "IMPRESSION", "", time.Now())
		r.waitArrived(t, "filed-once", 1)
		r.file(t, "mapping.jq", `.eventId = "changed-" + .eventId`) // is watched
		time.Sleep(2 * filewatch.Every)
		r.send(t, "twice", "IMPRESSION", "", time.Now())
		r.waitArrived(t, "changed-twice", 1)
		r.apply(t, "INPUT_MAPPING_FILE", "")
	},
	"privacy.extra_info.keep": func(t *testing.T, r *reloading) {
		r.extraInfo(t, map[string]string{"source": "web"}, "PRIVACY_EXTRA_INFO_KEEP=source")
	},
	"privacy.extra_info.drop": func(t *testing.T, r *reloading) {
		r.extraInfo(t, map[string]string{"mail": "canary@example.com", "canary-key": "x"}, "PRIVACY_EXTRA_INFO_DROP=user,source")
	},
	"privacy.extra_info.hash": func(t *testing.T, r *reloading) {
		r.extraInfo(t, map[string]string{"user": hashOf(hashKeyText, "canary-user")},
			"PRIVACY_EXTRA_INFO_KEEP=user", "PRIVACY_EXTRA_INFO_HASH=user", "PRIVACY_EXTRA_INFO_HASH_KEY_FILE="+r.file(t, "hash-key", hashKeyText))
	},
	"privacy.extra_info.hash_key_file": func(t *testing.T, r *reloading) {
		const other = "another-key-of-the-hashes"
		r.set["PRIVACY_EXTRA_INFO_KEEP"], r.set["PRIVACY_EXTRA_INFO_HASH"] = "user", "user"
		r.set["PRIVACY_EXTRA_INFO_HASH_KEY_FILE"] = r.file(t, "hash-key", hashKeyText)
		r.reload(t)
		r.extraInfo(t, map[string]string{"user": hashOf(other, "canary-user")}, "PRIVACY_EXTRA_INFO_HASH_KEY_FILE="+r.file(t, "other-key", other))
	},
	"privacy.dead_letters": func(t *testing.T, r *reloading) {
		r.set["PRIVACY_EXTRA_INFO_KEEP"] = "source"
		r.reload(t)
		for i, redacted := range []string{"redact", "original"} {
			r.apply(t, "PRIVACY_DEAD_LETTERS", redacted)
			before := r.letters(t, "unknown_field")
			r.Produce(t, r.config.Kafka.Topic, kafka.Message{Value: []byte(personal("letter", `,"eventNotes":"n"`))})
			r.waitLetters(t, "unknown_field", before+1)
			all := r.ReadAll(t, r.config.Kafka.DeadLetterTopic)
			if got := strings.Contains(string(all[len(all)-1].Value), "canary"); got != (i == 1) {
				t.Errorf("%s: the dead letter is %s", redacted, all[len(all)-1].Value)
			}
		}
		r.apply(t, "PRIVACY_EXTRA_INFO_KEEP", "")
	},
}

// extraInfo changes environment variables, sees which extra info is then sent, and removes
// all variables of privacy.
func (r *reloading) extraInfo(t *testing.T, want map[string]string, environ ...string) {
	t.Helper()
	for _, entry := range environ {
		name, value, _ := strings.Cut(entry, "=")
		r.set[name] = value
	}
	if s := r.reload(t); s.Result != reload.Applied {
		t.Fatalf("%q: %+v", environ, s)
	}
	id := strings.Join(environ, " ")
	r.Produce(t, r.config.Kafka.Topic, kafka.Message{Value: []byte(personal(id, ""))})
	r.waitArrived(t, id, 1)
	for _, a := range r.api.Events() {
		if a.Event.EventID == id && !maps.Equal(a.Event.ExtraInfo, want) {
			t.Errorf("%q: the API has %v, expected %v", environ, a.Event.ExtraInfo, want)
		}
	}
	maps.DeleteFunc(r.set, func(name, _ string) bool { return strings.HasPrefix(name, "PRIVACY_") })
	r.reload(t)
}

// suspicious lowers a limit below the distance of an event's create time.
func (r *reloading) suspicious(t *testing.T, key string, distance time.Duration) {
	t.Helper()
	r.set["SUSPICIOUS_REFUSE"] = "true"
	r.reload(t)
	r.apply(t, key, "4h")
	r.send(t, key+"-reported", "IMPRESSION", "", time.Now().Add(distance))
	r.waitArrived(t, key+"-reported", 1)
	r.apply(t, key, "2h")
	before := r.letters(t, "invalid_create_time")
	r.send(t, key+"-refused", "IMPRESSION", "", time.Now().Add(distance))
	r.waitLetters(t, "invalid_create_time", before+1)
}

// fixed returns changes of all keys that need a restart, as environment variables.
func fixed(t *testing.T, r *reloading) [][]string {
	t.Helper()
	certificate, key := kafkatest.SelfSigned(t, "replica", time.Now().Add(24*time.Hour))
	cert, keyFile := r.file(t, "cert.pem", certificate), r.file(t, "key.pem", key)
	text := r.file(t, "secret", "a secret of some length")
	set, err := proto.Marshal(&descriptorpb.FileDescriptorSet{File: []*descriptorpb.FileDescriptorProto{
		protodesc.ToFileDescriptorProto(timestamppb.File_google_protobuf_timestamp_proto),
	}})
	if err != nil {
		t.Fatal(err)
	}
	avro := []string{"INPUT_FORMAT=avro", "INPUT_REGISTRY_URL=http://127.0.0.1:1"}
	oauth := []string{"KAFKA_SASL_MECHANISM=oauthbearer"}
	return [][]string{
		{"KAFKA_BROKERS=other:9092"},
		{"KAFKA_TOPIC=other"},
		{"KAFKA_GROUP=other"},
		{"KAFKA_DEAD_LETTER_TOPIC=other"},
		{"KAFKA_STATE_TOPIC=other"},
		{"KAFKA_START=latest"},
		{"KAFKA_TLS_ENABLED=true", "KAFKA_TLS_CA_FILE=" + cert},
		{"KAFKA_TLS_ENABLED=true", "KAFKA_TLS_CERT_FILE=" + cert, "KAFKA_TLS_KEY_FILE=" + keyFile},
		{"KAFKA_SASL_MECHANISM=plain", "KAFKA_SASL_USERNAME=me", "KAFKA_SASL_PASSWORD_FILE=" + text},
		{"KAFKA_SASL_MECHANISM=plain", "KAFKA_SASL_USERNAME=me", "KAFKA_SASL_PASSWORD=a secret of some length"},
		append(oauth, "KAFKA_SASL_OAUTH_PROVIDER=oidc", "KAFKA_SASL_OAUTH_TOKEN_URL=https://a.example", "KAFKA_SASL_OAUTH_CLIENT_ID=me",
			"KAFKA_SASL_OAUTH_CLIENT_SECRET_FILE="+text, "KAFKA_SASL_OAUTH_CA_FILE="+cert, "KAFKA_SASL_OAUTH_SCOPES=a,b", "KAFKA_SASL_OAUTH_EXTENSIONS=a=b"),
		append(oauth, "KAFKA_SASL_OAUTH_PROVIDER=file", "KAFKA_SASL_OAUTH_TOKEN_FILE="+text),
		append(oauth, "KAFKA_SASL_OAUTH_PROVIDER=msk-iam", "KAFKA_SASL_OAUTH_REGION=here"),
		{"KAFKA_STATE_REPLICATION_FACTOR=1"},
		{"KAFKA_INSTANCE_ID=me"},
		{"KAFKA_SESSION_TIMEOUT=9s"},
		{"KAFKA_MAX_IN_FLIGHT_BYTES=64MiB"},
		{"KAFKA_MAX_IN_FLIGHT_RECORDS=5000"},
		append(avro, "INPUT_REGISTRY_USERNAME=me", "INPUT_REGISTRY_PASSWORD_FILE="+text, "INPUT_REGISTRY_CA_FILE="+cert),
		append(avro, "INPUT_REGISTRY_BEARER_TOKEN_FILE="+text, "INPUT_REGISTRY_CERT_FILE="+cert, "INPUT_REGISTRY_KEY_FILE="+keyFile),
		{"INPUT_FORMAT=protobuf-file", "INPUT_DESCRIPTOR_FILE=" + r.file(t, "set", string(set)), "INPUT_MESSAGE=google.protobuf.Timestamp"},
		{"INPUT_REKEY=true"},
		{"API_ENDPOINT=http://127.0.0.1:9"},
		{"API_VERSION=v4beta1"},
		{"API_PARENT=projects/other"},
		{"API_CREDENTIALS=default"},
		{"API_QUOTA_PROJECT=other"},
		{"API_TIMEOUT=10s"},
		{"REPORT_CONCURRENCY=3"},
		{"REPORT_BATCH_SIZE=7"},
		{"DEDUPE_WINDOW=1h"},
		{"PARENTS_POLICY=allow"},
		{"ADMIN_LISTEN=127.0.0.1:1"},
		{"ADMIN_HOSTS=a.example"},
		{"ADMIN_TOKEN_FILE=" + text},
		{"TRACING_ENDPOINT=http://127.0.0.1:1"},
		{"TRACING_SAMPLE_RATIO=0.5"},
	}
}

// TestEachKeyOnReload: each key either takes effect in the running replica or is
// rejected by its name, and then the others that changed with it are rejected, too.
func TestEachKeyOnReload(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newReloading(t, "")
		byVariable, tested := map[string]config.Key{}, map[string]bool{}
		for _, k := range config.Keys() {
			byVariable[k.Env()] = k
		}
		hash := r.status(t).Config.Hash
		for _, entries := range fixed(t, r) {
			r.set = map[string]string{"REPORT_RATE": "55"}
			for _, entry := range entries {
				name, value, _ := strings.Cut(entry, "=")
				r.set[name] = value
			}
			s := r.reload(t)
			for name := range r.set {
				k := byVariable["CLIENTEVENTS_"+name]
				tested[k.Path] = true
				named := slices.Contains(strings.Split(strings.TrimSuffix(s.Error, ": a change needs a restart"), ", "), k.Path)
				if s.Result != reload.Rejected || named == k.Reload {
					t.Errorf("%s: %+v", entries, s)
				}
			}
			now := r.status(t)
			if now.Reporter.Configured != 0 || now.Config.Hash != hash {
				t.Fatalf("%s: a rejected change is in force", entries)
			}
		}
		r.set = map[string]string{}
		if s := r.reload(t); s.Result != reload.Unchanged {
			t.Errorf("%+v, expected unchanged", s)
		}
		for _, k := range config.Keys() {
			takesEffect := effects[k.Path]
			switch {
			case takesEffect != nil:
				takesEffect(t, r)
			case !tested[k.Path]:
				t.Errorf("%s: neither seen to take effect nor rejected", k.Path)
			}
			if (takesEffect != nil) != k.Reload {
				t.Errorf("%s: reload is %t in the table of keys", k.Path, k.Reload)
			}
		}
	})
}

// TestWatchedFile changes the file: valid, invalid, invalid in the same way, rejected, as
// it was. Events are reported all the time.
func TestWatchedFile(t *testing.T) {
	bubble(t, func(t *testing.T) {
		dir := t.TempDir()
		path := filepath.Join(dir, "clientevents.yaml")
		write := func(text string) {
			t.Helper()
			if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			time.Sleep(3 * filewatch.Every)
			synctest.Wait()
		}
		write("report: {rate: 1000}\n")
		r := newReloading(t, path)
		stop := make(chan struct{})
		var sent int
		var sending sync.WaitGroup
		sending.Go(func() {
			for {
				select {
				case <-stop:
					return
				case <-time.After(100 * time.Millisecond):
					r.send(t, fmt.Sprint("load-", sent), "IMPRESSION", "", time.Now())
					sent++
				}
			}
		})
		for _, step := range []struct {
			text    string
			result  reload.Result
			error   string
			rate    float64
			counted string // reloads with this result
		}{
			{"report: {rate: 2000}\n", reload.Applied, "", 2000, "1"},
			{"report: {rate: fast}\n", reload.Invalid, "report.rate: \"fast\"", 2000, "1"},
			{"report: {rate: fast} # still\n", reload.Invalid, "report.rate: \"fast\"", 2000, "1"},
			{"report: [\n", reload.Invalid, "not YAML", 2000, "2"},
			{"report: {rate: 3000}\ndedupe: {window: 1h}\n", reload.Rejected, "dedupe.window", 2000, "1"},
			{"report: {rate: 2000}\n", reload.Unchanged, "", 2000, "1"},
			{"report: {rate: 3000}\n", reload.Applied, "", 3000, "2"},
		} {
			write(step.text)
			s := r.status(t)
			if last := s.Config.Reload; last.Result != step.result || !strings.Contains(last.Error, step.error) || s.Reporter.Configured != step.rate {
				t.Errorf("%q: %+v at a rate of %v", step.text, last, s.Reporter.Configured)
			}
			_, series := r.scrape(t)
			failed := step.result == reload.Invalid || step.result == reload.Rejected
			if series[`clientevents_config_reloads_total{result="`+string(step.result)+`"}`] != step.counted ||
				(series["clientevents_config_last_reload_successful"] == "0") != failed ||
				strings.Contains(s.Summary.Headline, "previous one stays in force") != failed {
				t.Errorf("%q: the metrics or the summary differ: %q", step.text, s.Summary.Headline)
			}
			info := 0
			for name := range series {
				if strings.HasPrefix(name, "clientevents_config_info{") {
					info++
					if !strings.Contains(name, s.Config.Hash) {
						t.Errorf("%s does not have the hash %s", name, s.Config.Hash)
					}
				}
			}
			if info != 1 {
				t.Errorf("%d series of clientevents_config_info", info)
			}
		}
		close(stop)
		sending.Wait()
		if ids := r.waitArrived(t, "load-", sent); len(ids) != sent {
			t.Errorf("%d of %d events were reported", len(ids), sent)
		}
		if n := strings.Count(r.log.String(), "is invalid"); n != 2 {
			t.Errorf("%d log lines for two faults:\n%s", n, r.log.String())
		}
	})
}

// TestDifferentConfigurations: two replicas see that they differ, until one reloads. Their
// partitions stay where they are.
func TestDifferentConfigurations(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newReloading(t, "")
		r.set["REPORT_RATE"] = "7"
		second, err := r.load()
		if err != nil {
			t.Fatal(err)
		}
		r.set["REPORT_RATE"] = "0"
		r.config = second
		other := r.runSite(t, nil)
		differ := func(want bool) {
			t.Helper()
			kafkatest.WaitFor(t, 3*time.Minute, fmt.Sprintf("config_differs to be %t", want), func() bool {
				a, b := r.status(t), other.status(t)
				return len(a.Group.Members) == 2 && len(b.Group.Members) == 2 && a.Group.ConfigDiffers == want && b.Group.ConfigDiffers == want
			})
		}
		differ(true)
		s := r.status(t)
		if !strings.Contains(s.Summary.Headline, "different configurations") || !strings.Contains(r.log.String(), "other configurations") {
			t.Errorf("%+v\n%s", s.Summary, r.log.String())
		}
		for _, m := range s.Group.Members {
			if m.Config != s.Config.Hash && m.Config != second.Hash() {
				t.Errorf("%+v, expected the hash %s or %s", m, s.Config.Hash, second.Hash())
			}
		}
		_, before := r.scrape(t)
		r.apply(t, "REPORT_RATE", "7")
		differ(false)
		if _, after := r.scrape(t); after["clientevents_rebalances_total"] != before["clientevents_rebalances_total"] {
			t.Error("a reload moved partitions")
		}
	})
}
