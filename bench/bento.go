package main

import (
	"os/exec"
	"text/template"
)

// bentoVersion is the version that peers/bento is built with.
const bentoVersion = "v1.20.0"

// bentoPeer is Bento, made of its own packages with the components that it needs here.
func bentoPeer() peer {
	return peer{
		name: "Bento", path: "BENCH_BENTO", sources: "bento", version: bentoVersion, result: "bento",
		commands: [][]string{
			{"go", "mod", "init", "bento"},
			{"go", "get", "github.com/warpstreamlabs/bento@" + bentoVersion},
			{"go", "build", "-trimpath", "-o", "bento", "."},
		},
		contender: func(binary string) contender {
			return connect("Bento "+bentoVersion, binary, "start_from_oldest: true", "-c")
		},
	}
}

// connectPeer is Redpanda Connect, which is only found: it is not all under an
// open-source license.
func connectPeer() peer {
	return peer{
		name: "Redpanda Connect", path: "BENCH_CONNECT",
		contender: func(binary string) contender {
			return connect("Redpanda Connect", binary, "start_offset: earliest", "run")
		},
	}
}

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
            retries: 1000000
            max_retry_backoff: 10s
            backoff_on: [429, 500, 502, 503, 504]
            tls: {enabled: {{.TLS}}, root_cas_file: '{{.Certificate}}'}
`))

func connect(name, binary, fromStart string, args ...string) contender {
	return contender{
		name: name,
		command: func(w *world, s setup) (*exec.Cmd, error) {
			file, err := w.configure(s, connectConfig, ".yaml", map[string]any{"FromStart": fromStart})
			if err != nil {
				return nil, err
			}
			return exec.Command(binary, append(args, file)...), nil //nolint:noctx // see process
		},
	}
}
