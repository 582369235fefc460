package config

import (
	"errors"
	"fmt"

	"github.com/clientevents/clientevents/input"
)

// checkInput reads the mapping's file and checks that the section makes a decoder: the
// program compiles, files hold what they should.
func (l *loader) checkInput(c *Config) {
	in := &c.Input
	if in.MappingFile != "" && !l.faulty("input.mapping_file") {
		if in.Mapping != "" {
			l.check("input.mapping_file", "expected either this or input.mapping")
			return
		}
		data, err := readFile(in.MappingFile)
		if err != nil {
			l.check("input.mapping_file", "expected a file that can be read: "+err.Error())
			return
		}
		in.Mapping = string(data)
	}
	l.checkRekey(c)
	l.checkRegistry(in)
	for path, set := range map[string]bool{"input.descriptor_file": in.DescriptorFile != "", "input.message": in.Message != ""} {
		if set && in.Format != input.FormatProtobufFile && !l.faulty("input.format") {
			l.check(path, "has no effect: expected input.format: protobuf-file")
		}
	}
	if l.faultyInput() {
		return
	}
	_, err := input.New(c.Decoding())
	wrong, ok := errors.AsType[*input.KeyError](err)
	if !ok {
		return
	}
	if wrong.Key == "input.mapping" && in.MappingFile != "" {
		wrong.Key = "input.mapping_file"
	}
	l.check(wrong.Key, wrong.Err.Error())
}

// checkRekey checks the name of the internal topic.
func (l *loader) checkRekey(c *Config) {
	if !c.Input.Rekey || c.Kafka.Topic == "" {
		return
	}
	name := c.Kafka.ByRequestTopic()
	if len(name) > longestTopic {
		l.check("input.rekey", fmt.Sprintf("the internal topic %s would have a name of %d bytes: expected at most %d", name, len(name), longestTopic))
	}
	if c.Kafka.StateTopic == name {
		l.check("kafka.state_topic", "is the internal topic of input.rekey: expected another topic")
	}
	if c.Kafka.DeadLetterTopic == name {
		l.check("kafka.dead_letter_topic", "is the internal topic of input.rekey: expected another topic")
	}
}

func (l *loader) checkRegistry(in *Input) {
	r := in.Registry
	if !in.Format.UsesRegistry() {
		if r != (Registry{}) && !l.faulty("input.format") {
			l.check("input.registry.url", "has no effect: expected input.format: avro, protobuf or json-schema")
		}
		return
	}
	if r.URL == "" {
		l.check("input.registry.url", "is required by input.format "+string(in.Format))
	}
	switch {
	case r.Username != "" && r.BearerTokenFile != "":
		l.check("input.registry.bearer_token_file", "expected either this or input.registry.username")
	case r.PasswordFile != "" && r.Username == "":
		l.check("input.registry.username", "is required together with input.registry.password_file")
	case r.KeyFile != "" && r.CertFile == "":
		l.check("input.registry.cert_file", "is required together with input.registry.key_file")
	case r.CertFile != "" && r.KeyFile == "":
		l.check("input.registry.key_file", "is required together with input.registry.cert_file")
	}
}

// faultyInput reports whether a fault of the section is known already.
func (l *loader) faultyInput() bool {
	for i := range l.keys {
		if path := l.keys[i].Path; len(path) > 6 && path[:6] == "input." && l.faulty(path) {
			return true
		}
	}
	return false
}
