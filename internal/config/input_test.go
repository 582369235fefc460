package config

import (
	"strings"
	"testing"
)

func TestInput(t *testing.T) {
	inFolderWithFiles(t)
	for text, want := range map[string]string{
		`{mapping: "{eventId: .id}"}`: ``,
		`{format: cloudevents}`:       ``,
		`{format: protobuf, registry: {url: "http://r", bearer_token_file: password}}`: ``,
		`{format: xml}`:                                    `input.format: "xml": expected one of json, avro, protobuf, json-schema, protobuf-file, cloudevents`,
		`{mapping: "{a: }"}`:                               `input.mapping: "{a: }": line 1, column 5: unexpected token "}"`,
		`{mapping: "env.HOME"}`:                            `input.mapping: "env.HOME": line 1, column 1: env: a mapping can't read the environment`,
		`{mapping_file: wrong.jq}`:                         `input.mapping_file: "wrong.jq": line 2, column 5: unexpected token "}"`,
		`{mapping_file: nowhere}`:                          `input.mapping_file: "nowhere": expected a file that can be read: there is no such file`,
		`{mapping_file: mapping.jq, mapping: "."}`:         `input.mapping_file: "mapping.jq": expected either this or input.mapping`,
		`{format: avro}`:                                   `input.registry.url: is required by input.format avro`,
		`{format: avro, registry: {url: "registry:8081"}}`: `input.registry.url: "registry:8081": expected an http or https URL`,
		`{format: avro, registry: {url: "http://u:p@r"}}`:  `expected a URL without a user: credentials are set by input.registry.username`,
		`{format: avro, registry: {url: "http://r", password_file: password}}`:                  `input.registry.username: is required together with`,
		`{format: avro, registry: {url: "http://r", cert_file: cert.pem}}`:                      `input.registry.key_file: is required together with`,
		`{format: avro, registry: {url: "http://r", ca_file: password}}`:                        `input.registry.ca_file: "password": the file has no PEM certificate`,
		`{format: avro, registry: {url: "http://r", username: u, bearer_token_file: password}}`: `input.registry.bearer_token_file: "password": expected either this or input.registry.username`,
		`{registry: {url: "http://r"}}`:                                                         `input.registry.url: "http://r": has no effect: expected input.format: avro, protobuf or json-schema`,
		`{format: protobuf-file}`:                                                               `input.descriptor_file: is required by input.format protobuf-file`,
		`{format: protobuf-file, descriptor_file: cert.pem, message: m}`:                        `input.descriptor_file: "cert.pem": cert.pem is not a FileDescriptorSet`,
		`{rekey: true}`: ``,
		`{message: m}`:  `input.message: "m": has no effect: expected input.format: protobuf-file`,
	} {
		_, err := load("config.yaml", []byte(least+"input: "+text+"\n"), nil)
		switch {
		case want == "" && err != nil:
			t.Errorf("%s: %v", text, err)
		case want != "" && (err == nil || !strings.Contains(err.Error(), want)):
			t.Errorf("%s:\n got %v\nwant %s", text, err, want)
		}
	}
}

// TestByRequestTopic: the internal topic is no other's, and has a name that brokers accept.
func TestByRequestTopic(t *testing.T) {
	for _, key := range []string{"state_topic", "dead_letter_topic"} {
		text := strings.Replace(least, "kafka:\n", "kafka:\n  "+key+": events.by-request\n", 1)
		if _, err := load("config.yaml", []byte(text), nil); err != nil {
			t.Errorf("%s: %v", key, err)
		}
		_, err := load("config.yaml", []byte(text+"input: {rekey: true}\n"), nil)
		want := `kafka.` + key + `: "events.by-request": is the internal topic of input.rekey: expected another topic`
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v\nwant %s", err, want)
		}
	}
	text := strings.Replace(least, "topic: events", "topic: "+strings.Repeat("x", 240)+"\n  state_topic: s\n  dead_letter_topic: d", 1)
	_, err := load("config.yaml", []byte(text+"input: {rekey: true}\n"), nil)
	if want := "would have a name of 251 bytes: expected at most 249"; err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("got %v\nwant %s", err, want)
	}
	c, err := load("config.yaml", []byte(least+"input: {rekey: true}\n"), nil)
	if err != nil || c.EventTopic() != "events.by-request" {
		t.Errorf("got %v, %v", c, err)
	}
}
