package main

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"

	"github.com/clientevents/clientevents/test/kafkatest"
)

// acl is a row of the table in docs/operations.md.
type acl struct{ need, resource, operation string }

// documentedACLs reads that table, an operation a row.
func documentedACLs(t *testing.T) (all []acl) {
	t.Helper()
	text, err := os.ReadFile("../../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(text), "\n## ACLs\n")
	section, _, _ = strings.Cut(section, "\n## ")
	resource := regexp.MustCompile("`(kafka\\.[a-z_]+)`")
	for _, row := range regexp.MustCompile(`(?m)^\| (.+) \| (.+) \| (.+) \|$`).FindAllStringSubmatch(section, -1)[1:] {
		for _, key := range resource.FindAllStringSubmatch(row[2], -1) {
			for operation := range strings.SplitSeq(row[3], ", ") {
				all = append(all, acl{row[1], key[1], operation})
			}
		}
	}
	return all
}

// TestACLs: with what docs/operations.md asks for everything works, and without any
// operation that it says is needed nothing is carried.
func TestACLs(t *testing.T) {
	t.Parallel()
	secure := kafkatest.RealSecure(t)
	c := kafkatest.Real(t)
	// Not the user of other tests, which would have these ACLs meanwhile.
	const user, secret = "acls", "secret-of-acls"
	c.SetPassword(t, user, secret)
	// Who may create in the cluster may create any topic.
	c.AllowOnly(t, user, "", "", "Describe")
	password := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(password, []byte(secret), 0o600); err != nil {
		t.Fatal(err)
	}
	granted := func(acls []acl) *station {
		s := newStation(t, c, "")
		s.anyPort(t)
		s.through(t, secure.SASL, fmt.Sprintf("sasl: {mechanism: scram-sha-256, username: %s, password_file: %s}", user, password))
		s.grant(t, user, acls)
		return s
	}
	all := documentedACLs(t)
	control := granted(all)
	stations := map[string]*station{"all": control}
	for i, left := range all {
		if left.need == "`run`" || left.operation == "Create" {
			stations[left.operation+" on "+left.resource] = granted(slices.Delete(slices.Clone(all), i, i+1))
		}
	}
	if len(stations) < 9 {
		t.Fatalf("%d stations: the table was not read", len(stations))
	}
	// Twice, since the second start meets topics that exist.
	for i := range 2 {
		var stops []func() int
		start := func(s *station) {
			s.Produce(t, s.topic,
				kafka.Message{Key: []byte("k"), Value: fmt.Appendf(nil, goodEvent, fmt.Sprint(i), "a")},
				kafka.Message{Key: []byte("k"), Value: []byte("nonsense")})
			stops = append(stops, background(t, "run", "--config", s.file))
		}
		for _, s := range stations {
			if s != control {
				start(s)
			}
		}
		start(control) // last, so that the others have more time than it needs
		kafkatest.WaitFor(t, time.Minute, "what has all to be carried", func() bool { return control.carried(t, i+1) })
		for _, stop := range stops {
			stop()
		}
	}
	for without, s := range stations {
		if s != control && s.carried(t, 2) {
			t.Errorf("%s is not needed", without)
		}
	}
	if code, out, errs := command(t, "", "dead-letters", "replay", "--config", control.file); code != exitDone || !strings.Contains(out+errs, "1 records replayed") {
		t.Errorf("replay: exit code %d\n%s%s", code, out, errs)
	}
}

// anyPort lets many stations run at once: a port that was free when one was made may
// be another's by now.
func (s *station) anyPort(t *testing.T) {
	t.Helper()
	text, err := os.ReadFile(s.file)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(s.file, []byte(strings.Replace(string(text), s.admin, "127.0.0.1:0", 1)), 0o600); err != nil {
		t.Fatal(err)
	}
}

// carried reports whether so many rounds of an event and a dead letter have their outcome.
func (s *station) carried(t *testing.T, rounds int) bool {
	return s.api.Stats().Accepted == int64(rounds) && s.Lag(t, s.topic, s.topic) == 0
}

// grant lets a user do these things with the station's topics and its group, and
// nothing else but see them: a resource without any ACL is everybody's.
func (s *station) grant(t *testing.T, user string, granted []acl) {
	t.Helper()
	for resource, name := range map[string]string{
		"kafka.topic": s.topic, "kafka.state_topic": s.topic + ".reported", "kafka.dead_letter_topic": s.topic + ".dead-letter", "kafka.group": "",
	} {
		operations := []string{"Describe"}
		for _, a := range granted {
			if a.resource == resource {
				operations = append(operations, a.operation)
			}
		}
		s.AllowOnly(t, user, name, s.topic, operations...)
	}
}
