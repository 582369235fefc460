package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"

	"github.com/clientevents/clientevents/test/kafkatest/broker"
)

var errNoKafka = errors.New("no Apache Kafka to be had")

// kafkaBroker is Kafka in processes of its own, which keep their data and their
// addresses when they are stopped and started again.
type kafkaBroker interface {
	start(ctx context.Context) error
	stop() error
	// restart stops a broker in order and starts it again.
	restart(ctx context.Context) error
	name() string
	// addresses are host:port, several with commas between them.
	addresses() string
}

// newBroker prepares Kafka: a cluster of as many brokers as nodes says, each on a host
// of net if that is not nil, or one broker.
func newBroker(ctx context.Context, kind, dir string, nodes int, net *network) (kafkaBroker, error) {
	port, err := freePort(ctx)
	if err != nil {
		return nil, err
	}
	embedded := &embeddedBroker{dir: filepath.Join(dir, "kafka"), port: port}
	switch kind {
	case "embedded":
		return embedded, nil
	case "auto", "kafka":
	default:
		return nil, fmt.Errorf("-broker %q: want auto, kafka or embedded", kind)
	}
	libraries, err := broker.Libraries(ctx, os.Stderr)
	switch {
	case err == nil && nodes > 1:
		return newCluster(ctx, broker.Options{Libraries: libraries, Dir: filepath.Join(dir, "kafka"), Heap: "384m"}, nodes, net)
	case err == nil:
		return &realBroker{options: broker.Options{Libraries: libraries, Dir: filepath.Join(dir, "kafka"), Port: port, Heap: "1g"}}, nil
	case kind == "auto" && errors.Is(err, broker.ErrUnavailable):
		fmt.Println("chaos: NOT ON APACHE KAFKA, but on the embedded broker:", err)
		return embedded, nil
	}
	return nil, fmt.Errorf("%w: %w", errNoKafka, err)
}

// realBroker is Apache Kafka.
type realBroker struct {
	options broker.Options
	running *broker.Broker
}

func (b *realBroker) name() string { return "Apache Kafka " + broker.Version() }

func (b *realBroker) addresses() string { return b.running.Address(broker.Plaintext) }

func (b *realBroker) restart(ctx context.Context) error { return stopAndStart(ctx, b) }

func stopAndStart(ctx context.Context, b kafkaBroker) error {
	if err := b.stop(); err != nil {
		return fmt.Errorf("stop the broker: %w", err)
	}
	return b.start(ctx)
}

func (b *realBroker) start(ctx context.Context) (err error) {
	b.running, err = broker.Start(ctx, b.options)
	return err
}

func (b *realBroker) stop() error {
	if b.running == nil {
		return nil
	}
	defer func() { b.running = nil }()
	return b.running.Stop()
}

// embeddedBroker is this program, run with embeddedCommand.
type embeddedBroker struct {
	dir  string
	port int
	cmd  *exec.Cmd
}

const embeddedCommand = "serve-embedded-broker"

func (b *embeddedBroker) name() string { return "the embedded broker" }

func (b *embeddedBroker) addresses() string { return fmt.Sprintf("127.0.0.1:%d", b.port) }

func (b *embeddedBroker) restart(ctx context.Context) error { return stopAndStart(ctx, b) }

func (b *embeddedBroker) start(ctx context.Context) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	b.cmd = exec.Command(self, embeddedCommand, b.dir, strconv.Itoa(b.port)) //nolint:noctx // it runs until stop
	b.cmd.Stdout, b.cmd.Stderr = os.Stdout, os.Stderr
	// A group of its own: Ctrl-C must not reach the broker before its users.
	b.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := b.cmd.Start(); err != nil {
		return err
	}
	for limit := time.Now().Add(time.Minute); time.Now().Before(limit); time.Sleep(50 * time.Millisecond) {
		conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", fmt.Sprintf("127.0.0.1:%d", b.port))
		if err == nil {
			conn.Close()
			return nil
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
	return errors.New("the embedded broker did not come up within a minute")
}

func (b *embeddedBroker) stop() error {
	if b.cmd == nil || b.cmd.Process == nil {
		return nil
	}
	defer func() { b.cmd = nil }()
	if err := b.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	return b.cmd.Wait()
}

// serveEmbedded is the embedded broker's process.
func serveEmbedded(dir, port string) int {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	n, err := strconv.Atoi(port)
	if err != nil {
		fmt.Fprintf(os.Stderr, "chaos: port %q: expected a number\n", port)
		return 2
	}
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.Ports(n), kfake.DataDir(dir))
	if err != nil {
		fmt.Fprintln(os.Stderr, "chaos: start the embedded broker:", err)
		return 1
	}
	<-ctx.Done()
	cluster.Close()
	return 0
}

// freePort finds a port that nobody listens on, below those that systems give
// to outgoing connections: one of these could take it while its owner restarts.
func freePort(ctx context.Context) (int, error) {
	const lowest, highest = 10_000, 30_000
	for range 100 {
		port := lowest + rand.IntN(highest-lowest)
		l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err == nil {
			l.Close()
			return port, nil
		}
	}
	return 0, fmt.Errorf("found no free port between %d and %d", lowest, highest)
}
