// Command embedded runs the embedded broker in a process of its own, for tests and
// examples that need a broker but not Apache Kafka. It keeps records in memory.
//
//	embedded -port 9092 -topic client-events:6 -topic other:1
//
// It prints the address it listens on, and ends on SIGTERM, SIGINT, or the end of
// its standard input.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"

	"github.com/twmb/franz-go/pkg/kfake"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdin, os.Stdout)
	stop()
	if errors.Is(err, flag.ErrHelp) {
		os.Exit(2)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "embedded:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, in io.Reader, out io.Writer) error {
	options := []kfake.Opt{kfake.NumBrokers(1)}
	flags := flag.NewFlagSet("embedded", flag.ContinueOnError)
	port := flags.Int("port", 0, "port on the loopback interface (default: a free one)")
	flags.Func("topic", "create a topic, `NAME:PARTITIONS`; may be repeated", func(s string) error {
		name, count, _ := strings.Cut(s, ":")
		n, err := strconv.ParseInt(count, 10, 32)
		if err != nil || n < 1 || name == "" {
			return errors.New("expected NAME:PARTITIONS, such as client-events:6")
		}
		options = append(options, kfake.SeedTopics(int32(n), name))
		return nil
	})
	if err := flags.Parse(args); err != nil {
		return err
	}
	if *port != 0 {
		options = append(options, kfake.Ports(*port))
	}
	broker, err := kfake.NewCluster(options...)
	if err != nil {
		return fmt.Errorf("start the broker: %w", err)
	}
	defer broker.Close()
	fmt.Fprintln(out, broker.ListenAddrs()[0])
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_, _ = io.Copy(io.Discard, in)
	}()
	select {
	case <-ctx.Done():
	case <-ended:
	}
	return nil
}
