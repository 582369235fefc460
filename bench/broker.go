package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/clientevents/clientevents/test/kafkatest/broker"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
)

// serveBroker is the process of the embedded brokers. It ends with its input.
func serveBroker(args []string) error {
	if len(args) != 2 {
		return errors.New("want the folder for its data, and the number of brokers")
	}
	nodes, err := strconv.Atoi(args[1])
	if err != nil {
		return err
	}
	// Without SyncWrites the data is with the kernel, and not in this process.
	cluster, err := kfake.NewCluster(kfake.NumBrokers(nodes), kfake.DataDir(args[0]))
	if err != nil {
		return err
	}
	defer cluster.Close()
	fmt.Println(strings.Join(cluster.ListenAddrs(), ","))
	awaitEnd()
	return nil
}

// awaitEnd waits until the parent process is gone or ends this one.
func awaitEnd() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	go func() {
		_, _ = bufio.NewReader(os.Stdin).ReadByte()
		stop()
	}()
	<-ctx.Done()
}

// service is a process of the harness, which says where it listens.
type service struct {
	cmd   *exec.Cmd
	where string
	input *os.File
}

func startService(args ...string) (*service, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	// It lives as long as the other end of its input.
	in, ours, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	s := &service{cmd: exec.Command(self, args...), input: ours} //nolint:noctx // it runs until stop
	s.cmd.Stdin, s.cmd.Stderr = in, os.Stderr
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	out, err := s.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := s.cmd.Start(); err != nil {
		return nil, err
	}
	in.Close()
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		s.stop()
		return nil, fmt.Errorf("%s did not start: %w", args[0], err)
	}
	s.where = strings.TrimSpace(line)
	return s, nil
}

func (s *service) stop() {
	s.input.Close()
	_ = s.cmd.Wait()
}

// startBroker starts the broker that all contenders read from.
func (w *world) startBroker(ctx context.Context) error {
	switch w.options.broker {
	case "embedded":
		s, err := startService("broker", filepath.Join(w.dir, "kafka"), strconv.Itoa(w.options.nodes))
		if err != nil {
			return err
		}
		w.services = append(w.services, s)
		w.brokers, w.ends = s.where, append(w.ends, s.stop)
		w.brokerName = "the embedded broker (kfake)"
		if w.options.nodes > 1 {
			w.brokerName = fmt.Sprintf("%d embedded brokers (kfake) in one process", w.options.nodes)
		}
	case "kafka":
		libraries, err := broker.Libraries(ctx, os.Stderr)
		if err != nil {
			return err
		}
		b, err := broker.Start(ctx, broker.Options{Libraries: libraries, Dir: filepath.Join(w.dir, "kafka"), Heap: "1g"})
		if err != nil {
			return err
		}
		w.brokers, w.ends = b.Address(broker.Plaintext), append(w.ends, func() { _ = b.Stop() })
		w.brokerName = "Apache Kafka " + broker.Version()
	default:
		return fmt.Errorf("-broker %q: want embedded or kafka", w.options.broker)
	}
	client := func(opts ...kgo.Opt) (*kgo.Client, error) {
		cl, err := kgo.NewClient(append([]kgo.Opt{
			kgo.SeedBrokers(strings.Split(w.brokers, ",")...),
			kgo.RecordPartitioner(kgo.ManualPartitioner()),
			kgo.ProducerBatchCompression(kgo.NoCompression()),
			kgo.MetadataMinAge(50 * time.Millisecond),
		}, opts...)...)
		if err == nil {
			w.ends = append(w.ends, cl.Close)
		}
		return cl, err
	}
	var err error
	if w.client, err = client(kgo.ProducerBatchMaxBytes(256<<10), kgo.MaxBufferedRecords(100_000)); err != nil {
		return err
	}
	// For latencies: no record waits for company.
	if w.prompt, err = client(kgo.ProducerLinger(0)); err != nil {
		return err
	}
	w.admin = kadm.NewClient(w.client)
	return nil
}

// newTopic makes a topic with a name of its own.
func (w *world) newTopic(ctx context.Context, what string, partitions int) (string, error) {
	return w.configuredTopic(ctx, what, partitions, nil)
}

func (w *world) configuredTopic(ctx context.Context, what string, partitions int, config map[string]*string) (string, error) {
	w.topics++
	name := fmt.Sprintf("%s%s-%d", w.prefix, what, w.topics)
	_, err := w.admin.CreateTopic(ctx, int32(partitions), 1, config, name)
	return name, err
}
