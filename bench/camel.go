package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"text/template"
)

// camelVersion is the version in peers/camel/pom.xml.
const camelVersion = "4.22.0"

// camelRoute reads batches, whose offsets are committed when all their records are
// done, and posts up to 64 of a batch at a time. For latency, a batch waits 5 ms; by
// default that would be the 5 s of a poll. Its repository of ids has a size, and
// no time.
var camelRoute = template.Must(template.New("").Parse(`
- beans:
    - name: ids
      type: org.apache.camel.support.processor.idempotent.MemoryIdempotentRepository
      properties: {cacheSize: 1000000}
    - name: check
      type: Check
- onException:
    exception: ['Check$Fault']
    handled: {constant: "true"}
    steps:
      - removeHeaders: {pattern: "*"}
      - to: {uri: "kafka:{{.Run}}.dead-letter", parameters: {brokers: "{{.Brokers}}", valueSerializer: org.apache.kafka.common.serialization.ByteArraySerializer}}
- onException:
    exception: [java.lang.Exception]
    redeliveryPolicy: {maximumRedeliveries: -1, redeliveryDelay: 500, useExponentialBackOff: "true", backOffMultiplier: 2, maximumRedeliveryDelay: 10000, asyncDelayedRedelivery: "true", logRetryAttempted: "false", logStackTrace: "false"}
- route:
    from:
      uri: "kafka:{{.Topic}}"
      parameters:
        brokers: "{{.Brokers}}"
        groupId: "{{.Run}}"
        autoOffsetReset: earliest
        batching: true
        maxPollRecords: {{if .Prompt}}64{{else}}500{{end}}
        {{if .Prompt}}pollTimeoutMs: 5
        batchingIntervalMs: 5{{end}}
        valueDeserializer: org.apache.kafka.common.serialization.ByteArrayDeserializer
      steps:
        - split:
            expression: {simple: "${body}"}
            parallelProcessing: "true"
            executorService: requests
            steps:
              - process: {ref: check}
              - idempotentConsumer:
                  expression: {header: id}
                  idempotentRepository: "#ids"
                  steps:
                    - removeHeaders: {pattern: "*"}
                    - setHeader: {name: Content-Type, constant: application/json}
                    - to:
                        uri: "{{.URL}}"
                        parameters: {httpMethod: POST, maxTotalConnections: 64, connectionsPerRoute: 64, responseTimeout: 30000}
`))

// camelProperties give the splitter its 64 threads.
var camelProperties = template.Must(template.New("").Parse(`
camel.main.name = bench
camel.main.routes-include-pattern = file:{{.Routes}}
camel.main.shutdown-timeout = 20
camel.threadpool.config[requests].pool-size = 64
camel.threadpool.config[requests].max-pool-size = 64
camel.threadpool.config[requests].max-queue-size = 1000
`))

// camelPeer is Apache Camel with its own Main, a route in YAML and a class that checks
// an event.
func camelPeer() peer {
	return peer{
		name: "Apache Camel", sources: "camel", version: camelVersion, result: "lib",
		commands: [][]string{
			{"mvn", "-q", "-B", "dependency:copy-dependencies", "-DoutputDirectory=lib"},
			{"javac", "-cp", "lib/*", "-d", "lib/classes", "Check.java"},
		},
		contender: func(lib string) contender {
			return contender{
				name:    "Apache Camel " + camelVersion,
				command: func(w *world, s setup) (*exec.Cmd, error) { return w.camel(s, lib) },
			}
		},
	}
}

// camel makes the command of a run: its folder has the properties and the route.
func (w *world) camel(s setup, lib string) (*exec.Cmd, error) {
	routes, err := w.configure(s, camelRoute, ".yaml", nil)
	if err != nil {
		return nil, err
	}
	folder := filepath.Join(w.dir, s.run+"-camel")
	if err := os.MkdirAll(folder, 0o750); err != nil {
		return nil, err
	}
	properties, err := w.configure(s, camelProperties, ".properties", map[string]any{"Routes": routes})
	if err != nil {
		return nil, err
	}
	if err := os.Rename(properties, filepath.Join(folder, "application.properties")); err != nil {
		return nil, err
	}
	trust, err := w.javaTrust()
	if err != nil {
		return nil, err
	}
	classes := strings.Join([]string{folder, filepath.Join(lib, "classes"), filepath.Join(lib, "*")}, string(os.PathListSeparator))
	return exec.Command("java", "-Xmx512m", "-Djavax.net.ssl.trustStore="+trust, "-Djavax.net.ssl.trustStorePassword=changeit", //nolint:noctx // see process
		"-Dorg.slf4j.simpleLogger.defaultLogLevel=warn", "-cp", classes, "org.apache.camel.main.Main"), nil
}

// javaTrust makes a trust store of the sink's certificate, once.
func (w *world) javaTrust() (string, error) {
	w.trusted.Lock()
	defer w.trusted.Unlock()
	file := w.certificate + ".p12"
	if _, err := os.Stat(file); !errors.Is(err, os.ErrNotExist) {
		return file, err
	}
	cmd := exec.Command("keytool", "-importcert", "-noprompt", "-alias", "sink", "-file", w.certificate, //nolint:noctx // it takes a second
		"-keystore", file, "-storetype", "PKCS12", "-storepass", "changeit")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("keytool failed: %w: %s", err, lastLine(out))
	}
	return file, nil
}
