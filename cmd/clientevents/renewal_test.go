package main

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/clientevents/clientevents/test/kafkatest"
	"github.com/clientevents/clientevents/test/kafkatest/broker"
)

// renewal is a broker that wants a client certificate and a password, with the files of
// a replica that reports under load.
type renewal struct {
	*station
	dir    string
	broker *broker.Broker
	admin  *kadm.Client
	log    loadLog

	authorities []*authority
}

// authority signs certificates.
type authority struct {
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
	pem         []byte
}

// loadLog is a replica's log.
type loadLog struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *loadLog) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *loadLog) count(text string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Count(l.b.String(), text)
}

func (l *loadLog) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// issue signs a certificate with a; nil makes an authority.
func (a *authority) issue(t *testing.T, name string) *authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name}, BasicConstraintsValid: true, IsCA: a == nil,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(48 * time.Hour), KeyUsage: x509.KeyUsageDigitalSignature,
		DNSNames: []string{"localhost"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	parent, signer := template, key
	if a == nil {
		template.KeyUsage |= x509.KeyUsageCertSign
	} else {
		parent, signer = a.certificate, a.key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), signer)
	if err != nil {
		t.Fatal(err)
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return &authority{certificate, key, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})}
}

func (a *authority) keyPEM(t *testing.T) []byte {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(a.key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
}

func (r *renewal) write(t *testing.T, name string, content []byte) string {
	t.Helper()
	path := filepath.Join(r.dir, name)
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// replace writes a file of a key and waits until the replica says that it uses it, or that
// it can't.
func (r *renewal) replace(t *testing.T, key, name string, content []byte, usable bool) {
	t.Helper()
	event := `msg="a file changed and can't be used: its previous content stays in use" key=` + key
	if usable {
		event = `msg="a changed file is in use" key=` + key
	}
	before := r.log.count(event)
	r.write(t, name, content)
	kafkatest.WaitFor(t, 30*time.Second, "the log to say: "+event, func() bool { return r.log.count(event) > before })
}

// password changes the password at the broker and in the file. Within three seconds, each
// connection has to log in again.
func (r *renewal) password(t *testing.T, password string) {
	t.Helper()
	r.setPassword(t, password)
	r.replace(t, "kafka.sasl.password_file", "password", []byte(password+"\n"), true)
}

func (r *renewal) setPassword(t *testing.T, password string) {
	t.Helper()
	answer, err := r.admin.AlterUserSCRAMs(t.Context(), nil, []kadm.UpsertSCRAM{{
		User: broker.Username, Mechanism: kadm.ScramSha512, Iterations: 4096, Password: password,
	}})
	if err == nil {
		err = answer.Error()
	}
	if err != nil {
		t.Fatal(err)
	}
}

// serve has the broker present a certificate that an authority signed.
func (r *renewal) serve(t *testing.T, by int) {
	t.Helper()
	server := r.authorities[by].issue(t, "localhost")
	path := r.write(t, fmt.Sprintf("server-%d.pem", by), append(server.keyPEM(t), server.pem...))
	answers, err := r.admin.AlterBrokerConfigs(t.Context(), []kadm.AlterConfig{{Name: "listener.name.sasltls.ssl.keystore.location", Value: &path}}, 1)
	if err == nil && len(answers) == 1 {
		err = answers[0].Err
	}
	if err != nil {
		t.Fatal(err)
	}
}

// ca replaces the authority that signed the broker's certificate: first both are trusted,
// then the new one.
func (r *renewal) ca(t *testing.T, from, to int) {
	t.Helper()
	both := append(append([]byte{}, r.authorities[to].pem...), r.authorities[from].pem...)
	r.replace(t, "kafka.tls.ca_file", "ca.pem", both[:100], false) // half-written
	r.replace(t, "kafka.tls.ca_file", "ca.pem", both, true)
	r.serve(t, to)
	r.replace(t, "kafka.tls.ca_file", "ca.pem", r.authorities[to].pem, true)
}

// handshakes counts the TLS handshakes in which the broker saw a client certificate.
func (r *renewal) handshakes(t *testing.T, name string) int {
	t.Helper()
	log, err := os.ReadFile(filepath.Join(r.dir, "kafka", "output.log"))
	if err != nil {
		t.Fatal(err)
	}
	received := regexp.MustCompile(`(?s)Consuming client Certificate handshake message.{0,1000}?"subject" +: "CN=` + name + `"`)
	return len(received.FindAll(log, -1))
}

// reconnect makes the replica connect again, as the client of that name and no other. Its
// connections log in again without a handshake, so the broker is given another password
// for a while, and closes them.
func (r *renewal) reconnect(t *testing.T, name, password string, others ...string) {
	t.Helper()
	before, ofOthers := r.handshakes(t, name), map[string]int{}
	for _, other := range others {
		ofOthers[other] = r.handshakes(t, other)
	}
	r.setPassword(t, "not "+password)
	kafkatest.WaitFor(t, time.Minute, "the replica to connect as "+name, func() bool { return r.handshakes(t, name) > before })
	r.setPassword(t, password)
	for _, other := range others {
		if n := r.handshakes(t, other) - ofOthers[other]; n > 0 {
			t.Errorf("%d new connections as %s", n, other)
		}
	}
}

// newRenewal starts a broker of its own, whose sessions last three seconds.
func newRenewal(t *testing.T) *renewal {
	t.Helper()
	libraries := os.Getenv("KAFKA_LIBRARIES")
	if libraries == "" {
		t.Skip("not run with Apache Kafka, since KAFKA_LIBRARIES is unset: `make kafka-test` gets the libraries and runs this test")
	}
	r := &renewal{dir: t.TempDir()}
	var trusted []byte
	for i := range 3 {
		r.authorities = append(r.authorities, (*authority)(nil).issue(t, fmt.Sprintf("authority-%d", i)))
		trusted = append(trusted, r.authorities[i].pem...)
	}
	server := r.authorities[0].issue(t, "localhost")
	var err error
	r.broker, err = broker.Start(t.Context(), broker.Options{
		Libraries: libraries, Dir: filepath.Join(r.dir, "kafka"), Heap: "384m",
		JavaOptions: []string{"-Djavax.net.debug=ssl:handshake"}, // shows clients' certificates
		Properties: map[string]string{
			"listener.name.sasltls.ssl.client.auth":           "required",
			"listener.name.sasltls.ssl.truststore.location":   r.write(t, "trusted.pem", trusted),
			"listener.name.sasltls.ssl.keystore.location":     r.write(t, "server-0.pem", append(server.keyPEM(t), server.pem...)),
			"listener.name.sasltls.connections.max.reauth.ms": "3000",
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.broker.Stop() })
	r.station = newStation(t, kafkatest.At(t, r.broker.Address(broker.Plaintext)), "log: {format: text}\n")
	cl, err := kgo.NewClient(kgo.SeedBrokers(r.broker.Address(broker.Plaintext)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cl.Close)
	r.admin = kadm.NewClient(cl)
	client := r.authorities[0].issue(t, "client-0")
	r.setPassword(t, "password-0")
	r.through(t, []string{r.broker.Address(broker.SASLTLS)}, fmt.Sprintf(
		"tls: {enabled: true, ca_file: %s, cert_file: %s, key_file: %s}, sasl: {mechanism: scram-sha-512, username: %s, password_file: %s}",
		r.write(t, "ca.pem", r.authorities[0].pem), r.write(t, "cert.pem", client.pem), r.write(t, "key.pem", client.keyPEM(t)),
		broker.Username, r.write(t, "password", []byte("password-0\n"))))
	return r
}

// load publishes 500 events/s until the returned function is called, which returns their
// number.
func (r *renewal) load(t *testing.T) (stop func() int) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	sent, ended := 0, make(chan struct{})
	go func() {
		defer close(ended)
		const each, every = 50, 100 * time.Millisecond
		tick := time.NewTicker(every)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
			var messages []kafka.Message
			for n := range each {
				id := fmt.Sprintf("event-%d", sent+n)
				messages = append(messages, kafka.Message{Key: []byte(id), Value: fmt.Appendf(nil, goodEvent, id, id)})
			}
			r.ProduceByKey(t, r.topic, messages...)
			sent += each
		}
	}()
	return func() int {
		cancel()
		<-ended
		return sent
	}
}

// TestRenewalUnderLoad replaces certificate, key, authority and password of a replica that
// reports, in two orders and also half-written. No partition moves, and each event is reported
// once. The broker's log shows that new connections use the new files.
func TestRenewalUnderLoad(t *testing.T) {
	t.Parallel()
	r := newRenewal(t)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan int, 1)
	go func() {
		ended <- Main(ctx, []string{"run", "--config", r.file}, Streams{In: strings.NewReader(""), Out: t.Output(), Err: &r.log})
	}()
	stop := func() int { cancel(); return <-ended }
	kafkatest.WaitFor(t, time.Minute, "the replica to be ready", func() bool { code, _ := r.get(t, "/readyz"); return code == 200 })
	t.Cleanup(func() {
		if t.Failed() {
			t.Log(r.log.String())
		}
	})
	began := time.Now()
	stopLoad := r.load(t)
	kafkatest.WaitFor(t, time.Minute, "the first events to be reported", func() bool { return r.api.Stats().Accepted > 10 })
	rebalances := gauge(t, r.station.admin, "clientevents_rebalances_total")
	client := func(n int) *authority { return r.authorities[n].issue(t, fmt.Sprintf("client-%d", n)) }

	first := client(1)
	r.replace(t, "kafka.tls.cert_file", "cert.pem", first.pem[:len(first.pem)/2], false) // half-written
	r.replace(t, "kafka.tls.cert_file", "cert.pem", first.pem, false)                    // beside the old key
	r.replace(t, "kafka.tls.cert_file", "key.pem", first.keyPEM(t), true)
	r.ca(t, 0, 1)
	r.password(t, "password-1")

	r.password(t, "password-2")
	r.ca(t, 1, 2)
	second := client(2)
	r.replace(t, "kafka.tls.cert_file", "key.pem", second.keyPEM(t), false)
	r.replace(t, "kafka.tls.cert_file", "cert.pem", second.pem, true)
	r.password(t, "password-3")

	sent := stopLoad()
	t.Logf("%d events in %v", sent, time.Since(began))
	kafkatest.WaitFor(t, time.Minute, "all events to be reported", func() bool { return r.api.Stats().Accepted >= int64(sent) })
	if after := gauge(t, r.station.admin, "clientevents_rebalances_total"); after != rebalances {
		t.Errorf("%v rebalances, expected none", after-rebalances)
	}
	seen := map[string]int{}
	for _, a := range r.api.Events() {
		seen[a.Event.EventID]++
	}
	if len(seen) != sent || len(r.api.Events()) != sent {
		t.Errorf("%d events were published, %d reported, %d in all", sent, len(seen), len(r.api.Events()))
	}
	if n := r.handshakes(t, "client-0"); n == 0 {
		t.Error("the broker's log does not show the first certificate: this test could not fail")
	}
	r.reconnect(t, "client-2", "password-3", "client-0", "client-1")
	r.ProduceByKey(t, r.topic, kafka.Message{Key: []byte("last"), Value: fmt.Appendf(nil, goodEvent, "last", "last")})
	kafkatest.WaitFor(t, time.Minute, "the last event to be reported", func() bool { return r.api.Stats().Accepted > int64(sent) })
	if code := stop(); code != exitDone {
		t.Errorf("exit code %d", code)
	}
}
