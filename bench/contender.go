package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"text/template"
	"time"
)

// createPath is where events are created, of the version whose request body is
// the event itself: programs that can't change a record can post that too.
const createPath = "/v4/projects/acme-careers/tenants/5f0c7f0e/clientEvents"

// setup is how a contender is run.
type setup struct {
	topic string
	n     int // records in the topic
	url   string
	batch int
	// linger is the product's; negative for its default.
	linger time.Duration
	// links are kept: version v3, in which events name their parents.
	links bool
	// state is a state topic that is there already.
	state string
	run   string // a name that no other run has
	// prompt asks for what the contender has to be tuned by for latency.
	prompt bool
	// replicas of the contender; 0 is one.
	replicas int
	// late publishes the topic's records when the contender is ready, so that what
	// it does until then is not counted as theirs; nil where they are there before.
	late func(context.Context) error
	// admin is where it says that it is ready; chosen where it is needed.
	admin string
}

// contender is a program that drains a topic.
type contender struct {
	name string
	// batches reports whether it can send HTTP batches.
	batches bool
	// slow: it takes one event at a time, so it gets fewer of them.
	slow bool
	// ends by itself when it is done, and says its own CPU time.
	ends    bool
	command func(w *world, s setup) (*exec.Cmd, error)
}

var floor = contender{
	name: "bare loop", batches: true, ends: true,
	command: func(_ *world, s setup) (*exec.Cmd, error) {
		self, err := os.Executable()
		if err != nil {
			return nil, err
		}
		return exec.Command(self, "floor", "-url", s.url, "-n", strconv.Itoa(s.n), "-batch", strconv.Itoa(s.batch)), nil
	},
}

// product is this program, as it is run in production.
func product(name, binary string) contender {
	return contender{
		name: name, batches: true,
		command: func(w *world, s setup) (*exec.Cmd, error) {
			cmd := exec.Command(binary, "run") //nolint:noctx // see process
			version, parent := "v4", "projects/acme-careers/tenants/5f0c7f0e"
			if s.links {
				version, parent = "v3", "projects/acme-careers"
			}
			if s.admin == "" {
				var err error
				if s.admin, err = freeAddress(); err != nil {
					return nil, err
				}
			}
			concurrency := 16
			if s.batch == 1 {
				concurrency = floorConnections
			}
			if s.state == "" {
				s.state = s.run + ".reported"
			}
			cmd.Env = append(os.Environ(),
				"CLIENTEVENTS_KAFKA_BROKERS="+w.brokers,
				"CLIENTEVENTS_KAFKA_TOPIC="+s.topic,
				"CLIENTEVENTS_KAFKA_GROUP="+s.run,
				"CLIENTEVENTS_KAFKA_STATE_TOPIC="+s.state,
				"CLIENTEVENTS_KAFKA_DEAD_LETTER_TOPIC="+s.run+".dead-letter",
				"CLIENTEVENTS_API_ENDPOINT="+s.url,
				"CLIENTEVENTS_API_VERSION="+version,
				"CLIENTEVENTS_API_PARENT="+parent,
				"CLIENTEVENTS_API_CREDENTIALS=none",
				"CLIENTEVENTS_REPORT_BATCH_SIZE="+strconv.Itoa(s.batch),
				"CLIENTEVENTS_REPORT_CONCURRENCY="+strconv.Itoa(concurrency),
				"CLIENTEVENTS_ADMIN_LISTEN="+s.admin,
				"SSL_CERT_FILE="+w.certificate,
			)
			if s.linger >= 0 {
				cmd.Env = append(cmd.Env, "CLIENTEVENTS_REPORT_LINGER="+s.linger.String())
			}
			return cmd, nil
		},
	}
}

// telegrafVersion and telegrafTags make a Telegraf with the plugins that it
// needs here, in the way that its "custom builder" has them.
const (
	telegrafVersion = "v1.37.2"
	telegrafTags    = "custom,inputs.kafka_consumer,outputs.http,outputs.kafka,processors.starlark,parsers.value,serializers.template"
)

// telegrafConfig takes the records as they are, checks and deduplicates them
// with the Starlark processor, and posts each by itself; what fails is retried
// by the output's buffer, and what is at fault goes to a topic.
var telegrafConfig = template.Must(template.New("").Parse(`
[agent]
  interval = "1s"
  flush_interval = "1s"
  flush_jitter = "0s"
  metric_batch_size = {{if .Prompt}}1{{else}}1000{{end}}
  metric_buffer_limit = 20000
  omit_hostname = true

[[inputs.kafka_consumer]]
  brokers = ["{{.Brokers}}"]
  topics = ["{{.Topic}}"]
  consumer_group = "{{.Run}}"
  kafka_version = "3.6.0"
  offset = "oldest"
  max_undelivered_messages = 5000
  data_format = "value"
  data_type = "string"

[[processors.starlark]]
  source = '''
load("json.star", "json")
load("time.star", "time")

state = {}

def check(text, found):
    found.append(json.decode(text))

def apply(metric):
    found = []
    text = metric.fields.get("value", "")
    error = catch(lambda: check(text, found))
    if error != None or not valid(found[0]):
        metric.tags["dead"] = "1"
        return metric
    id = found[0]["eventId"]
    if id in state:
        return None
    state[id] = True
    return metric

def valid(e):
    for name in ("eventId", "requestId", "createTime", "jobEvent"):
        if not e.get(name):
            return False
    job = e["jobEvent"]
    if not job.get("type") or not job.get("jobs"):
        return False
    return catch(lambda: time.parse_time(e["createTime"])) == None
'''

[[outputs.http]]
  url = "{{.URL}}"
  method = "POST"
  timeout = "30s"
  use_batch_format = false
  data_format = "template"
  template = '{{"{{"}} .Field "value" {{"}}"}}'
  tls_ca = "{{.Certificate}}"
  [outputs.http.headers]
    Content-Type = "application/json"
  [outputs.http.tagdrop]
    dead = ["1"]

[[outputs.kafka]]
  brokers = ["{{.Brokers}}"]
  topic = "{{.Run}}.dead-letter"
  version = "3.6.0"
  data_format = "template"
  template = '{{"{{"}} .Field "value" {{"}}"}}'
  [outputs.kafka.tagpass]
    dead = ["1"]
`))

func telegraf(binary string) contender {
	return contender{
		name: "Telegraf " + telegrafVersion, slow: true,
		command: func(w *world, s setup) (*exec.Cmd, error) {
			var config bytes.Buffer
			err := telegrafConfig.Execute(&config, map[string]any{
				"Prompt": s.prompt, "Brokers": w.brokers, "Topic": s.topic, "Run": s.run, "URL": s.url + createPath, "Certificate": w.certificate,
			})
			if err != nil {
				return nil, err
			}
			file := filepath.Join(w.dir, s.run+".toml")
			if err := os.WriteFile(file, config.Bytes(), 0o600); err != nil {
				return nil, err
			}
			return exec.Command(binary, "--config", file), nil //nolint:noctx // see process
		},
	}
}

// Alternatives that are not built here are found by the paths that these
// environment variables hold.
const (
	telegrafPath = "BENCH_TELEGRAF"
	connectPath  = "BENCH_CONNECT" // Redpanda Connect
	bentoPath    = "BENCH_BENTO"
)

// connectConfig is for Redpanda Connect and Bento, which share their ancestor.
var connectConfig = template.Must(template.New("").Parse(`
http: {enabled: false}
logger: {level: WARN}
cache_resources:
  - label: ids
    memory: {default_ttl: 1h}
input:
  kafka_franz:
    seed_brokers: [{{.Brokers}}]
    topics: [{{.Topic}}]
    consumer_group: {{.Run}}
    {{.FromStart}}
    checkpoint_limit: 4096
pipeline:
  threads: 2
  processors:
    - mapping: |
        let e = content().parse_json()
        root = if $e.eventId.type() != "string" || $e.requestId.type() != "string" || $e.jobEvent.type.type() != "string" || $e.jobEvent.jobs.length() == 0 || $e.createTime.ts_parse("2006-01-02T15:04:05.999999999Z07:00") == null { throw("schema") }
        meta id = $e.eventId
    - switch:
        - check: '!errored()'
          processors:
            - dedupe: {cache: ids, key: '${! meta("id") }'}
output:
  switch:
    cases:
      - check: errored()
        output:
          kafka_franz: {seed_brokers: [{{.Brokers}}], topic: {{.Run}}.dead-letter}
      - output:
          http_client:
            url: {{.URL}}
            verb: POST
            headers: {Content-Type: application/json}
            max_in_flight: 64
            retries: 10
            backoff_on: [429]
            tls: {enabled: {{.TLS}}, root_cas_file: '{{.Certificate}}'}
`))

func connect(name, binary, fromStart string, args ...string) contender {
	return contender{
		name: name,
		command: func(w *world, s setup) (*exec.Cmd, error) {
			var config bytes.Buffer
			err := connectConfig.Execute(&config, map[string]any{
				"Brokers": w.brokers, "Topic": s.topic, "Run": s.run, "URL": s.url + createPath, "Certificate": w.certificate,
				"TLS": strings.HasPrefix(s.url, "https:"), "FromStart": fromStart,
			})
			if err != nil {
				return nil, err
			}
			file := filepath.Join(w.dir, s.run+".yaml")
			if err := os.WriteFile(file, config.Bytes(), 0o600); err != nil {
				return nil, err
			}
			return exec.Command(binary, append(args, file)...), nil //nolint:noctx // see process
		},
	}
}

// alternatives are those that are found on this machine.
func (w *world) alternatives(ctx context.Context) (found []contender, missing []string) {
	if w.options.alone {
		return nil, []string{"the alternatives (-alone)"}
	}
	if binary, err := telegrafBinary(ctx); err == nil {
		found = append(found, telegraf(binary))
	} else {
		missing = append(missing, "Telegraf ("+err.Error()+")")
	}
	for _, other := range []struct {
		name, path, fromStart string
		args                  []string
	}{
		{"Redpanda Connect", connectPath, "start_offset: earliest", []string{"run"}},
		{"Bento", bentoPath, "start_from_oldest: true", []string{"-c"}},
	} {
		if binary := os.Getenv(other.path); binary != "" {
			found = append(found, connect(other.name, binary, other.fromStart, other.args...))
		} else {
			missing = append(missing, other.name+" ("+other.path+" is not set)")
		}
	}
	return found, missing
}

// telegrafBinary finds Telegraf, or installs it once with Go's own client.
func telegrafBinary(ctx context.Context) (string, error) {
	if binary := os.Getenv(telegrafPath); binary != "" {
		return binary, nil
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	dir := filepath.Join(cache, "clientevents", "telegraf-static-"+telegrafVersion)
	binary := filepath.Join(dir, "telegraf")
	if _, err := os.Stat(binary); err == nil {
		return binary, nil
	}
	fmt.Println("bench: installing Telegraf", telegrafVersion)
	cmd := exec.CommandContext(ctx, "go", "install", "-tags", telegrafTags, "github.com/influxdata/telegraf/cmd/telegraf@"+telegrafVersion)
	cmd.Env = append(os.Environ(), "GOBIN="+dir, "GOFLAGS=", "CGO_ENABLED=0") // static, as its releases and ours are
	cmd.Dir = os.TempDir()                                                    // not in this module
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("go install failed: %w: %s", err, lastLine(out))
	}
	return binary, nil
}

func lastLine(out []byte) string {
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	return lines[len(lines)-1]
}
