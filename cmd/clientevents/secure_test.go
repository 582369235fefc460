package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"

	"github.com/clientevents/clientevents/test/kafkatest"
)

// TestSecureBrokers carries events over every kind of connection and login that
// a real broker offers, and refuses a wrong password with a clear line.
func TestSecureBrokers(t *testing.T) {
	t.Parallel()
	secure := kafkatest.RealSecure(t)
	c := kafkatest.Real(t)
	password := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(password, []byte(secure.Password+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	login := func(mechanism string) string {
		return fmt.Sprintf("sasl: {mechanism: %s, username: %s, password_file: %s}", mechanism, secure.Username, password)
	}
	ca := "tls: {enabled: true, ca_file: " + secure.CAFile
	for name, how := range map[string]struct {
		brokers []string
		keys    string
	}{
		"plain":         {secure.SASL, login("plain")},
		"scram-sha-256": {secure.SASL, login("scram-sha-256")},
		"scram-sha-512": {secure.SASL, login("scram-sha-512")},
		"tls":           {secure.TLS, ca + "}"},
		"mtls":          {secure.MTLS, ca + ", cert_file: " + secure.CertFile + ", key_file: " + secure.KeyFile + "}"},
		"scram and tls": {secure.SASLTLS, ca + "}, " + login("scram-sha-512")},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStation(t, c, "")
			s.through(t, how.brokers, how.keys)
			if code, out, _ := command(t, "", "check", "--config", s.file); code != exitDone {
				t.Fatalf("check: exit code %d\n%s", code, out)
			}
			s.Produce(t, s.topic, kafka.Message{Key: []byte("k"), Value: fmt.Appendf(nil, goodEvent, "a", "a")})
			stop := background(t, "run", "--config", s.file)
			kafkatest.WaitFor(t, time.Minute, "the event to be reported", func() bool { return s.api.Stats().Accepted == 1 })
			if code := stop(); code != exitDone {
				t.Errorf("run: exit code %d", code)
			}
		})
	}
	t.Run("wrong password", func(t *testing.T) {
		s := newStation(t, c, "")
		wrong := filepath.Join(t.TempDir(), "wrong")
		if err := os.WriteFile(wrong, []byte("xq7-wrong-9f"), 0o600); err != nil {
			t.Fatal(err)
		}
		s.through(t, secure.SASL, "sasl: {mechanism: scram-sha-512, username: "+secure.Username+", password_file: "+wrong+"}")
		if code, out, _ := command(t, "", "check", "--config", s.file); code != exitFailed || !strings.Contains(out, "FAIL  broker ") || !strings.Contains(out, "password") {
			t.Errorf("check: exit code %d\n%s", code, out)
		}
		if code, _, errs := command(t, "", "run", "--config", s.file); code != exitFailed || !strings.Contains(errs, "it refuses the login") {
			t.Errorf("run: exit code %d\n%s", code, errs)
		}
	})
	t.Run("unknown authority", func(t *testing.T) {
		s := newStation(t, c, "")
		s.through(t, secure.TLS, "tls: {enabled: true}")
		if code, _, errs := command(t, "", "run", "--config", s.file); code != exitFailed || !strings.Contains(errs, "certificate") {
			t.Errorf("run: exit code %d\n%s", code, errs)
		}
	})
}

// TestCheckOfSecureBrokers meets a real broker in all the ways that don't fit.
func TestCheckOfSecureBrokers(t *testing.T) {
	t.Parallel()
	secure := kafkatest.RealSecure(t)
	c := kafkatest.Real(t)
	password := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(password, []byte(secure.Password), 0o600); err != nil {
		t.Fatal(err)
	}
	trusting := "tls: {enabled: true, ca_file: " + secure.CAFile + "}"
	login := func(mechanism string) string {
		return fmt.Sprintf("sasl: {mechanism: %s, username: %s, password_file: %s}", mechanism, secure.Username, password)
	}
	for name, test := range map[string]struct {
		brokers []string
		keys    string
		has     []string
	}{
		"TLS, without":       {secure.TLS, "start: earliest", []string{"TLS", "set kafka.tls.enabled to true"}},
		"no TLS, with":       {c.Brokers, trusting, []string{"the port does not serve TLS"}},
		"unknown authority":  {secure.TLS, "tls: {enabled: true}", []string{"an authority that is not trusted", "kafka.tls.ca_file"}},
		"no certificate":     {secure.MTLS, trusting, []string{"requires one", "kafka.tls.cert_file"}},
		"a login is wanted":  {secure.SASL, "start: earliest", []string{"it requires a login"}},
		"no login is wanted": {c.Brokers, login("plain"), []string{"it supports no login at this port"}},
		"unknown mechanism":  {secure.OAuth, login("scram-sha-512"), []string{"it does not support logins by SCRAM-SHA-512"}},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStation(t, c, "")
			s.through(t, test.brokers, test.keys)
			code, out, _ := command(t, "", "check", "--config", s.file)
			for _, text := range append(test.has, "FAIL  broker "+test.brokers[0]) {
				if code != exitFailed || !strings.Contains(out, text) {
					t.Errorf("exit code %d, want %q in\n%s", code, text, out)
				}
			}
		})
	}
	t.Run("what a login may not do", func(t *testing.T) {
		s := newStation(t, c, "")
		c.CreateTopic(t, s.topic+".reported", 3, map[string]string{"cleanup.policy": "compact"})
		c.AllowOnly(t, secure.Username, s.topic, "", "Describe")
		c.AllowOnly(t, secure.Username, s.topic+".reported", "", "Read", "Describe", "DescribeConfigs")
		c.AllowOnly(t, secure.Username, "", s.topic, "Describe")
		s.through(t, secure.SASL, login("plain"))
		code, out, _ := command(t, "", "check", "--config", s.file, "--json")
		for _, want := range []string{
			`{"result":"FAIL","what":"topic ` + s.topic + `","says":"this login lacks Read","do":"grant it; see ACLs in docs/operations.md"}`,
			`{"result":"FAIL","what":"state topic ` + s.topic + `.reported","says":"this login lacks Write","do":`,
			`{"result":"FAIL","what":"group ` + s.topic + `","says":"this login lacks Read"`,
		} {
			if code != exitFailed || !strings.Contains(out, want) {
				t.Errorf("exit code %d, want %s in\n%s", code, want, out)
			}
		}
	})
}

// TestPasswordIsNotShown: the library says what is wrong with a password by
// showing it.
func TestPasswordIsNotShown(t *testing.T) {
	s := newStation(t, kafkatest.Embedded(t), "")
	const password = "sesame\nopen"
	file := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(file, []byte(password), 0o600); err != nil {
		t.Fatal(err)
	}
	s.through(t, s.Brokers, "sasl: {mechanism: scram-sha-256, username: u, password_file: "+file+"}")
	for _, name := range []string{"run", "check", "publish"} {
		code, out, errs := command(t, "", name, "--config", s.file)
		if code == exitDone || strings.Contains(out+errs, "sesame") {
			t.Errorf("%s: exit code %d\n%s%s", name, code, out, errs)
		}
	}
}

// through changes the configuration's brokers and how they are connected to.
func (s *station) through(t *testing.T, brokers []string, keys string) {
	t.Helper()
	text, err := os.ReadFile(s.file)
	if err != nil {
		t.Fatal(err)
	}
	changed := strings.Replace(string(text), "brokers: ["+strings.Join(s.Brokers, ",")+"]", "brokers: ["+strings.Join(brokers, ",")+"], "+keys, 1)
	if err := os.WriteFile(s.file, []byte(changed), 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestKcat has somebody else's client join in: it publishes to the demo's broker
// and reads a dead letter.
func TestKcat(t *testing.T) {
	t.Parallel()
	kcat, err := exec.LookPath("kcat")
	if err != nil {
		t.Skip("not run with kcat, since it is not installed (Debian: apt-get install kcat)")
	}
	address := freeAddress(t)
	_, port, _ := strings.Cut(address, ":")
	in, out := io.Pipe()
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	ended := make(chan int, 1)
	go func() {
		ended <- Main(ctx, []string{"demo", "--events", "300", "--rate", "30", "--kafka-port", port}, Streams{In: strings.NewReader(""), Out: out, Err: t.Output()})
		out.Close()
	}()
	lines := bufio.NewScanner(in)
	for lines.Scan() && !strings.Contains(lines.Text(), "publish --config") { // the end of the introduction
		continue
	}
	produce := exec.CommandContext(ctx, kcat, "-P", "-b", address, "-t", "client-events", "-k", "mine")
	produce.Stdin = strings.NewReader("not an event, from kcat\n")
	if text, err := produce.CombinedOutput(); err != nil {
		t.Fatalf("kcat -P: %v\n%s", err, text)
	}
	kafkatest.WaitFor(t, 30*time.Second, "kcat to read its dead letter", func() bool {
		text, _ := exec.CommandContext(ctx, kcat, "-C", "-e", "-q", "-b", address, "-t", "client-events.dead-letter", "-f", "%k %s %h\n").CombinedOutput()
		return strings.Contains(string(text), "mine not an event, from kcat dlq-reason=malformed")
	})
	stop()
	for lines.Scan() {
		continue
	}
	if code := <-ended; code != exitDone {
		t.Errorf("demo: exit code %d", code)
	}
}
