// Package broker runs a real Apache Kafka broker for tests and development: one
// node in KRaft mode, on loopback ports, with its data in a folder of its own.
// It needs a Java runtime (17 or later) and, for the first run, Maven.
package broker

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/segmentio/kafka-go"
)

// The user that the SASL listeners know, for PLAIN, SCRAM-SHA-256 and SCRAM-SHA-512.
const (
	Username = "tester"
	Password = "tester-secret"
)

// The listeners of a broker.
const (
	Plaintext = "PLAINTEXT" // no encryption, no authentication
	SASL      = "SASL"      // PLAIN or SCRAM, no encryption
	TLS       = "TLS"       // a client certificate is not asked for
	MTLS      = "MTLS"      // a client certificate is demanded
	SASLTLS   = "SASLTLS"   // PLAIN or SCRAM over TLS
	OAuth     = "OAUTH"     // OAUTHBEARER, no encryption; see [Broker.Environment]
)

const (
	controller = "CONTROLLER"
	// introspection is where the broker asks about tokens. Nobody listens there
	// but a test that wants to answer (RFC 7662).
	introspection = "INTROSPECTION"
)

var protocols = map[string]string{
	Plaintext: "PLAINTEXT", SASL: "SASL_PLAINTEXT", TLS: "SSL", MTLS: "SSL", SASLTLS: "SASL_SSL", OAuth: "SASL_PLAINTEXT", controller: "PLAINTEXT",
}

// Time limits. They are for a machine that is busy with other things.
const (
	startLimit = 90 * time.Second
	stopLimit  = 20 * time.Second
)

// Options say how to run a broker.
type Options struct {
	// Libraries is the folder with Kafka's libraries, see [Libraries].
	Libraries string
	// Dir holds the broker's configuration, data, certificates and log. A
	// broker started in a folder that an earlier one used goes on where that
	// one stopped.
	Dir string
	// Port is the plaintext listener's; 0 means a free one.
	Port int
	// Heap is the Java heap, such as "1g"; empty means 512m.
	Heap string
	// Properties are added to server.properties and win over this package's own.
	Properties map[string]string
}

// Broker is a running broker.
type Broker struct {
	dir       string
	addresses map[string]string
	process   *exec.Cmd
	exited    chan struct{} // closed when process has ended
}

// Start starts a broker and returns when it answers. The caller must [Broker.Stop] it.
func Start(ctx context.Context, o Options) (*Broker, error) {
	b := &Broker{dir: o.Dir, exited: make(chan struct{})}
	if err := b.prepare(ctx, o); err != nil {
		return nil, fmt.Errorf("prepare the broker in %s: %w", o.Dir, err)
	}
	if err := b.launch(o); err != nil {
		return nil, fmt.Errorf("start the broker: %w", err)
	}
	if err := b.awaitReady(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("the broker did not come up: %w; its log ends with:\n%s", err, b.logTail()), b.Stop())
	}
	return b, nil
}

// Address is host:port of one of the listeners, such as [Plaintext].
func (b *Broker) Address(listener string) string { return b.addresses[listener] }

// Log is the path of the broker's log.
func (b *Broker) Log() string { return filepath.Join(b.dir, "kafka.log") }

// Environment is what tests find the broker by, as NAME=value, sorted.
func (b *Broker) Environment() []string {
	return []string{
		"KAFKA_BROKERS=" + b.Address(Plaintext),
		"KAFKA_CA_FILE=" + filepath.Join(b.dir, caFile),
		"KAFKA_CERT_FILE=" + filepath.Join(b.dir, clientCertFile),
		"KAFKA_KEY_FILE=" + filepath.Join(b.dir, clientKeyFile),
		"KAFKA_MTLS_BROKERS=" + b.Address(MTLS),
		"KAFKA_OAUTH_BROKERS=" + b.Address(OAuth),
		"KAFKA_OAUTH_INTROSPECTION=" + b.addresses[introspection],
		"KAFKA_SASL_BROKERS=" + b.Address(SASL),
		"KAFKA_SASL_PASSWORD=" + Password,
		"KAFKA_SASL_TLS_BROKERS=" + b.Address(SASLTLS),
		"KAFKA_SASL_USERNAME=" + Username,
		"KAFKA_TLS_BROKERS=" + b.Address(TLS),
	}
}

// Stop shuts the broker down, by force if it takes longer than 20 s.
func (b *Broker) Stop() error {
	if err := b.process.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("stop the broker: %w", err)
	}
	select {
	case <-b.exited:
		return nil
	case <-time.After(stopLimit):
	}
	if err := b.process.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("stop the broker: %w", err)
	}
	<-b.exited
	return fmt.Errorf("the broker did not stop within %v and was killed", stopLimit)
}

// prepare writes what the broker reads at its start and, in a new folder,
// formats its storage.
func (b *Broker) prepare(ctx context.Context, o Options) error {
	if err := os.MkdirAll(b.dir, 0o755); err != nil {
		return err
	}
	if err := b.chooseAddresses(ctx, o.Port); err != nil {
		return err
	}
	_, err := os.Stat(filepath.Join(b.dir, "data", "meta.properties"))
	formatted := err == nil
	if !formatted {
		if err := writeCertificates(b.dir); err != nil {
			return err
		}
	}
	if err := os.WriteFile(b.file("log4j2.properties"), []byte(b.logConfig()), 0o644); err != nil {
		return err
	}
	if err := os.WriteFile(b.file("server.properties"), []byte(b.serverConfig(o.Properties)), 0o644); err != nil {
		return err
	}
	if formatted {
		return nil
	}
	return b.format(ctx, o)
}

func (b *Broker) file(name string) string { return filepath.Join(b.dir, name) }

// chooseAddresses picks a free port for every listener. All are held open until
// the last one is chosen, so that they differ.
func (b *Broker) chooseAddresses(ctx context.Context, port int) error {
	b.addresses = make(map[string]string)
	for _, listener := range append(slices.Collect(maps.Keys(protocols)), introspection) {
		address := "127.0.0.1:0"
		if listener == Plaintext {
			address = net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
		}
		l, err := new(net.ListenConfig).Listen(ctx, "tcp", address)
		if err != nil {
			return fmt.Errorf("find a port for the %s listener: %w", listener, err)
		}
		defer l.Close()
		b.addresses[listener] = l.Addr().String()
	}
	return nil
}

func (b *Broker) serverConfig(overrides map[string]string) string {
	var listeners, mapping []string
	for _, name := range slices.Sorted(maps.Keys(protocols)) {
		listeners = append(listeners, name+"://"+b.addresses[name])
		mapping = append(mapping, name+":"+protocols[name])
	}
	config := map[string]string{
		"node.id": "1", "process.roles": "broker,controller",
		"controller.quorum.voters":       "1@" + b.addresses[controller],
		"controller.listener.names":      controller,
		"inter.broker.listener.name":     Plaintext,
		"listeners":                      strings.Join(listeners, ","),
		"listener.security.protocol.map": strings.Join(mapping, ","),
		"log.dirs":                       b.file("data"),

		// The pipeline must name and create its topics itself.
		"auto.create.topics.enable": "false",
		// One node cannot replicate; few partitions of the internal topics make a quick start.
		"offsets.topic.replication.factor": "1", "offsets.topic.num.partitions": "3",
		"transaction.state.log.replication.factor": "1", "transaction.state.log.min.isr": "1", "transaction.state.log.num.partitions": "3",
		"share.coordinator.state.topic.replication.factor": "1", "share.coordinator.state.topic.min.isr": "1",
		// Compaction and retention that a test can wait for: by default the cleaner
		// starts 30 s after the broker and looks every 15 s.
		"log.initial.task.delay.ms": "500", "log.cleaner.backoff.ms": "500",
		"log.cleaner.dedupe.buffer.size": "8388608", "log.retention.check.interval.ms": "1000",

		// Who logs in may do what no ACL is about; who does not, everything.
		"authorizer.class.name":          "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
		"allow.everyone.if.no.acl.found": "true",
		"super.users":                    "User:ANONYMOUS",
		"early.start.listeners":          controller,

		"ssl.keystore.type": "PEM", "ssl.keystore.location": b.file(serverFile),
		"ssl.truststore.type": "PEM", "ssl.truststore.location": b.file(caFile),
		"listener.name.mtls.ssl.client.auth": "required",
		"sasl.enabled.mechanisms":            "PLAIN,SCRAM-SHA-256,SCRAM-SHA-512",
	}
	for _, listener := range []string{"sasl", "sasltls"} {
		prefix := "listener.name." + listener + "."
		config[prefix+"plain.sasl.jaas.config"] = fmt.Sprintf(`org.apache.kafka.common.security.plain.PlainLoginModule required user_%s="%s";`, Username, Password)
		for _, scram := range []string{"scram-sha-256", "scram-sha-512"} {
			config[prefix+scram+".sasl.jaas.config"] = "org.apache.kafka.common.security.scram.ScramLoginModule required;"
		}
	}
	config["listener.name.oauth.sasl.enabled.mechanisms"] = "OAUTHBEARER"
	config["listener.name.oauth.oauthbearer.sasl.server.callback.handler.class"] = "io.strimzi.kafka.oauth.server.JaasServerOauthValidatorCallbackHandler"
	config["listener.name.oauth.oauthbearer.sasl.jaas.config"] = `org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginModule required` +
		` unsecuredLoginStringClaim_sub="broker" oauth.introspection.endpoint.uri="http://` + b.addresses[introspection] + `/introspect"` +
		` oauth.client.id="broker" oauth.client.secret="broker-secret" oauth.check.issuer="false" oauth.access.token.is.jwt="false"` +
		` oauth.check.access.token.type="false" oauth.username.claim="sub";`
	maps.Copy(config, overrides)
	var text strings.Builder
	for _, name := range slices.Sorted(maps.Keys(config)) {
		fmt.Fprintf(&text, "%s=%s\n", name, config[name])
	}
	return text.String()
}

func (b *Broker) logConfig() string {
	return `status=error
appender.file.type=File
appender.file.name=file
appender.file.fileName=` + b.Log() + `
appender.file.layout.type=PatternLayout
appender.file.layout.pattern=%d{ISO8601} %p %m (%c{1})%n
rootLogger.level=info
rootLogger.appenderRef.file.ref=file
`
}

// format gives the storage its cluster id and the SCRAM users, which cannot be
// added to a server.properties.
func (b *Broker) format(ctx context.Context, o Options) error {
	args := []string{
		"kafka.tools.StorageTool", "format", "--cluster-id", "clientevents-test-----", "--config", b.file("server.properties"),
	}
	for _, mechanism := range []string{"SCRAM-SHA-256", "SCRAM-SHA-512"} {
		args = append(args, "--add-scram", fmt.Sprintf("%s=[name=%s,password=%s]", mechanism, Username, Password))
	}
	out, err := exec.CommandContext(ctx, "java", b.javaArgs(o, args...)...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("format the storage: %w\n%s", err, out)
	}
	return nil
}

func (b *Broker) javaArgs(o Options, args ...string) []string {
	heap := o.Heap
	if heap == "" {
		heap = "512m"
	}
	return append([]string{
		"-Xmx" + heap, "-XX:+UseSerialGC", "-Djava.awt.headless=true",
		"-Dlog4j2.configurationFile=" + b.file("log4j2.properties"),
		"-cp", filepath.Join(o.Libraries, "*"),
	}, args...)
}

func (b *Broker) launch(o Options) error {
	output, err := os.Create(b.file("output.log"))
	if err != nil {
		return err
	}
	defer output.Close()
	//nolint:noctx // it runs until Stop, whatever becomes of the context it was started with
	b.process = exec.Command("java", b.javaArgs(o, "kafka.Kafka", b.file("server.properties"))...)
	b.process.Stdout, b.process.Stderr = output, output
	// A group of its own: Ctrl-C must not reach the broker before what uses it
	// has ended.
	b.process.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := b.process.Start(); err != nil {
		return err
	}
	go func() {
		_ = b.process.Wait() // how it ended is in its log
		close(b.exited)
	}()
	return nil
}

// awaitReady waits until the broker names itself in its metadata, which it does
// once it is unfenced.
func (b *Broker) awaitReady(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	var last error
	for {
		select {
		case <-ctx.Done():
			return errors.Join(ctx.Err(), last)
		case <-b.exited:
			return errors.New("it ended")
		case <-tick.C:
		}
		if last = b.ask(ctx); last == nil {
			return nil
		}
	}
}

func (b *Broker) ask(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	conn, err := kafka.DialContext(ctx, "tcp", b.Address(Plaintext))
	if err != nil {
		return err
	}
	defer conn.Close()
	if deadline, ok := ctx.Deadline(); ok {
		if err := conn.SetDeadline(deadline); err != nil {
			return err
		}
	}
	brokers, err := conn.Brokers()
	if err == nil && len(brokers) == 0 {
		err = errors.New("it does not know itself yet")
	}
	return err
}

// logTail is the end of the broker's log and of what it printed.
func (b *Broker) logTail() string {
	var tail strings.Builder
	for _, path := range []string{b.Log(), b.file("output.log")} {
		content, err := os.ReadFile(path)
		if err != nil {
			continue // it may have ended before it opened its log
		}
		lines := bytes.Split(bytes.TrimSpace(content), []byte("\n"))
		tail.Write(bytes.Join(lines[max(0, len(lines)-30):], []byte("\n")))
		_, _ = io.WriteString(&tail, "\n")
	}
	return tail.String()
}
