// Package broker runs a real Apache Kafka for tests and development, in KRaft mode: one
// node on loopback ports ([Start]), or a cluster of several ([StartCluster]). Its data
// is in a folder of its own. It needs a Java runtime (17 or later) and, for the first
// run, Maven.
package broker

import (
	"bytes"
	"cmp"
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
	TLS       = "TLS"       // without a client certificate
	MTLS      = "MTLS"      // with a client certificate
	SASLTLS   = "SASLTLS"   // PLAIN or SCRAM over TLS
	OAuth     = "OAUTH"     // OAUTHBEARER, no encryption; see [Broker.Environment]
)

const (
	controller = "CONTROLLER"
	// introspection is where the broker verifies tokens. Only a test that answers
	// listens there (RFC 7662).
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

// Options configure a broker.
type Options struct {
	// Libraries is the folder with Kafka's libraries, see [Libraries].
	Libraries string
	// Dir holds the broker's configuration, data, certificates and log. A
	// broker started in a folder that an earlier one used continues with its data.
	Dir string
	// Port is the plaintext listener's; 0 means a free one.
	Port int
	// Heap is the Java heap, such as "1g"; empty means 512m.
	Heap string
	// JavaOptions are more options of the broker's Java.
	JavaOptions []string
	// Properties are added to server.properties and win over this package's own.
	Properties map[string]string
	// Host is the address of all listeners; empty means 127.0.0.1.
	Host string
	// Namespace is the network namespace to run in (ip-netns(8)), which has Host;
	// empty means this process's own.
	Namespace string
}

// Broker is a running broker.
type Broker struct {
	options   Options
	node      int               // its id, from 1
	addresses map[string]string // of its listeners
	voters    string            // the controllers of its quorum
	process   *exec.Cmd
	exited    chan struct{} // closed when process has ended
}

// Start starts a broker and returns when it answers. The caller must [Broker.Stop] it.
func Start(ctx context.Context, o Options) (*Broker, error) {
	b := &Broker{options: o, node: 1}
	if err := b.chooseAddresses(ctx); err != nil {
		return nil, fmt.Errorf("prepare the broker in %s: %w", o.Dir, err)
	}
	b.voters = b.voter()
	if err := b.start(ctx); err != nil {
		return nil, err
	}
	if err := b.awaitReady(ctx); err != nil {
		return nil, err
	}
	return b, nil
}

// voter names the broker's controller as controller.quorum.voters does.
func (b *Broker) voter() string { return strconv.Itoa(b.node) + "@" + b.addresses[controller] }

// start launches the broker and does not wait for it.
func (b *Broker) start(ctx context.Context) error {
	if err := b.prepare(ctx); err != nil {
		return fmt.Errorf("prepare the broker in %s: %w", b.options.Dir, err)
	}
	if err := b.launch(); err != nil {
		return fmt.Errorf("start the broker: %w", err)
	}
	return nil
}

// Address returns host:port of one of the listeners, such as [Plaintext].
func (b *Broker) Address(listener string) string { return b.addresses[listener] }

// Introspection returns host:port where a test may listen to answer the broker's questions
// about tokens (RFC 7662).
func (b *Broker) Introspection() string { return b.addresses[introspection] }

// Log is the path of the broker's log.
func (b *Broker) Log() string { return b.file("kafka.log") }

// Environment returns the variables by which tests find the broker, as NAME=value,
// sorted.
func (b *Broker) Environment() []string {
	return []string{
		"KAFKA_BROKERS=" + b.Address(Plaintext),
		"KAFKA_CA_FILE=" + b.file(caFile),
		"KAFKA_CERT_FILE=" + b.file(clientCertFile),
		"KAFKA_KEY_FILE=" + b.file(clientKeyFile),
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
	b.Thaw()
	if err := b.process.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("stop the broker: %w", err)
	}
	select {
	case <-b.exited:
		return nil
	case <-time.After(stopLimit):
	}
	b.Kill()
	return fmt.Errorf("the broker did not stop within %v and was killed", stopLimit)
}

// Kill ends the broker at once, as a crash of its machine would.
func (b *Broker) Kill() {
	_ = b.process.Process.Kill() // it fails only where the process has ended
	<-b.exited
}

// Freeze stops the broker's process until [Broker.Thaw]: it keeps its connections and
// answers nothing.
func (b *Broker) Freeze() { _ = b.process.Process.Signal(syscall.SIGSTOP) }

// Thaw lets a frozen broker run again.
func (b *Broker) Thaw() { _ = b.process.Process.Signal(syscall.SIGCONT) }

// prepare writes the broker's configuration and, in a new folder, formats its storage.
func (b *Broker) prepare(ctx context.Context) error {
	if err := os.MkdirAll(b.options.Dir, 0o755); err != nil {
		return err
	}
	_, err := os.Stat(b.file("data", "meta.properties"))
	formatted := err == nil
	if !formatted {
		if err := writeCertificates(b.options.Dir); err != nil {
			return err
		}
	}
	if err := os.WriteFile(b.file("log4j2.properties"), []byte(b.logConfig()), 0o644); err != nil {
		return err
	}
	if err := os.WriteFile(b.file("server.properties"), []byte(b.serverConfig()), 0o644); err != nil {
		return err
	}
	if formatted {
		return nil
	}
	return b.format(ctx)
}

func (b *Broker) file(name ...string) string {
	return filepath.Join(append([]string{b.options.Dir}, name...)...)
}

// firstPort is the port of the first listener in a namespace, where all are free.
const firstPort = 19_000

// chooseAddresses picks a free port for every listener. All are held open until
// the last one is chosen, so that they differ.
func (b *Broker) chooseAddresses(ctx context.Context) error {
	b.addresses = make(map[string]string)
	host := cmp.Or(b.options.Host, "127.0.0.1")
	for i, listener := range append(slices.Sorted(maps.Keys(protocols)), introspection) {
		port := 0
		switch {
		case listener == Plaintext && b.options.Port != 0:
			port = b.options.Port
		case b.options.Namespace != "":
			port = firstPort + i
		}
		address := net.JoinHostPort(host, strconv.Itoa(port))
		if b.options.Namespace == "" {
			l, err := new(net.ListenConfig).Listen(ctx, "tcp", address)
			if err != nil {
				return fmt.Errorf("find a port for the %s listener: %w", listener, err)
			}
			defer l.Close()
			address = l.Addr().String()
		}
		b.addresses[listener] = address
	}
	return nil
}

func (b *Broker) serverConfig() string {
	var listeners, mapping []string
	for _, name := range slices.Sorted(maps.Keys(protocols)) {
		listeners = append(listeners, name+"://"+b.addresses[name])
		mapping = append(mapping, name+":"+protocols[name])
	}
	config := map[string]string{
		"node.id": strconv.Itoa(b.node), "process.roles": "broker,controller",
		"controller.quorum.voters":       b.voters,
		"controller.listener.names":      controller,
		"inter.broker.listener.name":     Plaintext,
		"listeners":                      strings.Join(listeners, ","),
		"listener.security.protocol.map": strings.Join(mapping, ","),
		"log.dirs":                       b.file("data"),

		// Kafka's default: a request that may create a topic does, and a test sees it.
		"auto.create.topics.enable": "true",
		// One node cannot replicate; few partitions of the internal topics make a quick start.
		"offsets.topic.replication.factor": "1", "offsets.topic.num.partitions": "3",
		"transaction.state.log.replication.factor": "1", "transaction.state.log.min.isr": "1", "transaction.state.log.num.partitions": "3",
		"share.coordinator.state.topic.replication.factor": "1", "share.coordinator.state.topic.min.isr": "1",
		// Compaction and retention that a test can wait for: by default the cleaner
		// starts 30 s after the broker and looks every 15 s.
		"log.initial.task.delay.ms": "500", "log.cleaner.backoff.ms": "500",
		"log.cleaner.dedupe.buffer.size": "8388608", "log.retention.check.interval.ms": "1000",

		// A user may do everything that no ACL is about, and without a login everything.
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
	// Logins by this mechanism end after 4 s, and clients have to renew them. Those by
	// the others do not end.
	config["listener.name.sasl.scram-sha-512.connections.max.reauth.ms"] = "4000"
	config["listener.name.oauth.sasl.enabled.mechanisms"] = "OAUTHBEARER"
	config["listener.name.oauth.oauthbearer.sasl.server.callback.handler.class"] = "io.strimzi.kafka.oauth.server.JaasServerOauthValidatorCallbackHandler"
	config["listener.name.oauth.oauthbearer.sasl.jaas.config"] = `org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginModule required` +
		` unsecuredLoginStringClaim_sub="broker" oauth.introspection.endpoint.uri="http://` + b.addresses[introspection] + `/introspect"` +
		` oauth.client.id="broker" oauth.client.secret="broker-secret" oauth.check.issuer="false" oauth.access.token.is.jwt="false"` +
		` oauth.check.access.token.type="false" oauth.username.claim="sub";`
	maps.Copy(config, b.options.Properties)
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

// format writes the cluster ID and the SCRAM users to the storage; server.properties
// can't contain them.
func (b *Broker) format(ctx context.Context) error {
	args := []string{
		"kafka.tools.StorageTool", "format", "--cluster-id", "clientevents-test-----", "--config", b.file("server.properties"),
	}
	for _, mechanism := range []string{"SCRAM-SHA-256", "SCRAM-SHA-512"} {
		args = append(args, "--add-scram", fmt.Sprintf("%s=[name=%s,password=%s]", mechanism, Username, Password))
	}
	out, err := exec.CommandContext(ctx, "java", b.javaArgs(args...)...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("format the storage: %w\n%s", err, out)
	}
	return nil
}

func (b *Broker) javaArgs(args ...string) []string {
	return append([]string{
		"-Xmx" + cmp.Or(b.options.Heap, "512m"), "-XX:+UseSerialGC", "-Djava.awt.headless=true",
		"-Dlog4j2.configurationFile=" + b.file("log4j2.properties"),
		"-cp", filepath.Join(b.options.Libraries, "*"),
	}, args...)
}

func (b *Broker) launch() error {
	output, err := os.Create(b.file("output.log"))
	if err != nil {
		return err
	}
	defer output.Close()
	command := append([]string{"java"}, b.options.JavaOptions...)
	command = append(command, b.javaArgs("kafka.Kafka", b.file("server.properties"))...)
	if b.options.Namespace != "" {
		command = append([]string{"ip", "netns", "exec", b.options.Namespace}, command...)
	}
	b.process, b.exited = exec.Command(command[0], command[1:]...), make(chan struct{}) //nolint:noctx // it runs until Stop, not until the start's context ends
	b.process.Stdout, b.process.Stderr = output, output
	// A process group of its own: Ctrl-C must not reach the broker before its users
	// have ended.
	b.process.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := b.process.Start(); err != nil {
		return err
	}
	go func(process *exec.Cmd, exited chan struct{}) {
		_ = process.Wait() // how it ended is in its log
		close(exited)
	}(b.process, b.exited)
	return nil
}

// awaitReady waits until the broker answers; one that does not is stopped.
func (b *Broker) awaitReady(ctx context.Context) error {
	err := b.awaitAnswer(ctx)
	if err == nil {
		return nil
	}
	return errors.Join(fmt.Errorf("the broker did not come up: %w; its log ends with:\n%s", err, b.logTail()), b.Stop())
}

// awaitAnswer waits until the broker names itself in its metadata, which it does
// once it is unfenced.
func (b *Broker) awaitAnswer(ctx context.Context) error {
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
	if err == nil && !slices.ContainsFunc(brokers, func(of kafka.Broker) bool { return of.ID == b.node }) {
		err = errors.New("it does not know itself yet")
	}
	return err
}

// logTail returns the end of the broker's log and of its output.
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
