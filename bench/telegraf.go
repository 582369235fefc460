package main

import (
	"os/exec"
	"text/template"
)

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

// telegrafPeer is Telegraf, which Go's own client installs.
func telegrafPeer() peer {
	return peer{
		name: "Telegraf", path: "BENCH_TELEGRAF", version: telegrafVersion, result: "telegraf",
		commands:  [][]string{{"go", "install", "-tags", telegrafTags, "github.com/influxdata/telegraf/cmd/telegraf@" + telegrafVersion}},
		contender: telegraf,
	}
}

func telegraf(binary string) contender {
	return contender{
		name: "Telegraf " + telegrafVersion, slow: true,
		command: func(w *world, s setup) (*exec.Cmd, error) {
			file, err := w.configure(s, telegrafConfig, ".toml", nil)
			if err != nil {
				return nil, err
			}
			return exec.Command(binary, "--config", file), nil //nolint:noctx // see process
		},
	}
}
