package main

import (
	"context"
	"os"
	"os/exec"
	"strconv"
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
	// v3 is the version in which events name their parents to the API.
	v3 bool
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
			if s.v3 {
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
