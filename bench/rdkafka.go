package main

import (
	"os/exec"
)

// rdkafkaPeer is a plain consumer in C, which a user could write: a second floor, below
// which no program with librdkafka and libcurl gets.
func rdkafkaPeer() peer {
	const libraries = "librdkafka and libcurl of the system"
	return peer{
		name: "C", sources: "rdkafka", version: libraries, result: "consumer",
		commands: [][]string{{"gcc", "-O2", "-o", "consumer", "consumer.c", "-lrdkafka", "-lcurl"}},
		contender: func(binary string) contender {
			return contender{
				name: "C (librdkafka, libcurl)",
				command: func(w *world, s setup) (*exec.Cmd, error) {
					return exec.Command(binary, w.brokers, s.topic, s.run, s.run+".dead-letter", s.url+createPath, w.certificate), nil //nolint:noctx // see process
				},
			}
		},
	}
}
