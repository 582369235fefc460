package main

import (
	"os/exec"
	"text/template"
)

// The versions of the OpenTelemetry Collector; peers/otel/builder.yaml has those of the
// receiver and the exporter.
const (
	otelVersion = "v0.165.1"
	otelBuilder = "go.opentelemetry.io/collector/cmd/builder@v0.165.0"
)

// otelConfig reads up to 11 records of each of six partitions at a time, and marks a
// record when it is posted. There is no sending queue: what lies in one is lost with the
// process.
var otelConfig = template.Must(template.New("").Parse(`
receivers:
  kafka:
    brokers: [{{.Brokers}}]
    group_id: {{.Run}}
    initial_offset: earliest
    logs: {topics: [{{.Topic}}], encoding: raw}
    message_marking: {after: true, on_error: false, on_permanent_error: true}
    error_backoff: {enabled: true, initial_interval: 1s, max_interval: 10s, max_elapsed_time: 0s}
    partition_processing:
      independent: true
      max_in_flight: {records: 11, bytes: 1048576, window: cross_fetch}
connectors:
  check: {good: logs/good, dead: logs/dead, window: 1h}
exporters:
  post:
    endpoint: {{.URL}}
    timeout: 30s
    compression: none
    keepalive: {max_idle_conns_per_host: 66}
    tls: {ca_file: '{{.Certificate}}'}
    retry_on_failure: {initial_interval: 500ms, max_interval: 10s, max_elapsed_time: 0s}
  kafka:
    brokers: [{{.Brokers}}]
    logs: {topic: {{.Run}}.dead-letter, encoding: raw}
    sending_queue: {enabled: false}
service:
  telemetry:
    logs: {level: warn}
    metrics: {level: none}
  pipelines:
    logs/in: {receivers: [kafka], exporters: [check]}
    logs/good: {receivers: [check], exporters: [post]}
    logs/dead: {receivers: [check], exporters: [kafka]}
`))

// otelPeer is a Collector of the Kafka receiver and exporter, with a connector and an
// exporter of the harness, since no component that can be had posts a record as it is.
func otelPeer() peer {
	return peer{
		name: "OpenTelemetry Collector", path: "BENCH_OTELCOL", sources: "otel", version: otelVersion, result: "collector/collector",
		commands: [][]string{
			{"go", "install", otelBuilder},
			{"./builder", "--config", "builder.yaml"},
		},
		contender: func(binary string) contender {
			return contender{
				name: "OpenTelemetry Collector " + otelVersion,
				command: func(w *world, s setup) (*exec.Cmd, error) {
					file, err := w.configure(s, otelConfig, ".yaml", nil)
					if err != nil {
						return nil, err
					}
					return exec.Command(binary, "--config", file), nil //nolint:noctx // see process
				},
			}
		},
	}
}
