// Command flood publishes the records that need the most memory to a broker, and watches
// a replica in a memory control group of 256 MiB, or under GOMEMLIMIT=230MiB where no group
// can be made. It fails if the replica ends, if a record has no outcome, if a valid event is
// not reported, or if the replica's peak memory is above 240 MiB.
//
//	flood -binary bin/clientevents [-for 5m] [-broker HOST:PORT]
//
// Without -broker it starts Apache Kafka (package test/kafkatest/broker).
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/signal"
	"time"

	"github.com/segmentio/kafka-go"

	"github.com/clientevents/clientevents/consumer/kafkalog"
	"github.com/clientevents/clientevents/test/kafkatest/broker"
)

const (
	topic = "flood"
	// memory is the limit of the replica, goMemory the limit that the program derives
	// from it, and peak the most that the replica may have used.
	memory   = 256 << 20
	goMemory = "230MiB"
	peak     = 240 << 20
)

func main() {
	binary := flag.String("binary", "bin/clientevents", "the program")
	duration := flag.Duration("for", 0, "how long to publish random mixtures after all kinds were published once")
	address := flag.String("broker", "", "the address of a broker; empty starts Apache Kafka")
	wait := flag.Duration("wait", 3*time.Minute, "how long the next outcome may take after the last record")
	partitions := flag.Int("partitions", 12, "how many partitions have all kinds of records")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, *binary, *address, *partitions, *duration, *wait)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "flood:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, binary, address string, partitions int, duration, wait time.Duration) error {
	dir, err := os.MkdirTemp("", "flood")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if address == "" {
		stop, at, err := startKafka(ctx, dir)
		if errors.Is(err, broker.ErrUnavailable) {
			fmt.Println("flood: NOT RUN:", err)
			return nil
		}
		if err != nil {
			return err
		}
		defer stop()
		address = at
	}
	addr := kafka.TCP(address)
	transport := &kafka.Transport{}
	if err := createTopic(ctx, &kafka.Client{Addr: addr, Transport: transport}, partitions); err != nil {
		return err
	}
	p := publisher{client: kafkalog.NewClient(addr, transport)}
	// All kinds wait in the log when the replica starts.
	for partition := range partitions {
		for i, k := range kinds() {
			if err := p.publish(ctx, int32(partition), codecs[(partition+i)%len(codecs)], k); err != nil {
				return err
			}
		}
	}
	group, err := newCgroup(memory)
	if err != nil {
		fmt.Println("flood: memory cgroup NOT RUN: the replica has GOMEMLIMIT alone:", err)
	} else {
		defer group.remove()
	}
	r, err := startReplica(ctx, binary, dir, address, group)
	if err != nil {
		return err
	}
	defer r.stop()
	for end := time.Now().Add(duration); time.Now().Before(end) && r.alive(); {
		all := kinds()
		if err := p.publish(ctx, rand.Int32N(int32(partitions)), codecs[rand.IntN(len(codecs))], all[rand.IntN(len(all))]); err != nil {
			return err
		}
	}
	return r.judge(ctx, &p.published, wait)
}

func startKafka(ctx context.Context, dir string) (stop func(), address string, err error) {
	libraries, err := broker.Libraries(ctx, os.Stderr)
	if err != nil {
		return nil, "", err
	}
	port, err := freePort()
	if err != nil {
		return nil, "", err
	}
	b, err := broker.Start(ctx, broker.Options{Libraries: libraries, Dir: dir + "/kafka", Port: port, Heap: "1g"})
	if err != nil {
		return nil, "", err
	}
	return func() { _ = b.Stop() }, fmt.Sprintf("127.0.0.1:%d", port), nil
}

func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // it takes no time
	if err != nil {
		return 0, err
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil
}

func createTopic(ctx context.Context, client *kafka.Client, partitions int) error {
	answer, err := client.CreateTopics(ctx, &kafka.CreateTopicsRequest{Topics: []kafka.TopicConfig{{
		Topic: topic, NumPartitions: partitions, ReplicationFactor: 1,
		ConfigEntries: []kafka.ConfigEntry{{ConfigName: "max.message.bytes", ConfigValue: "20000000"}},
	}}})
	if err != nil {
		return err
	}
	return errors.Join(answer.Errors[topic])
}
