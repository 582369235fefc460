// Command kafka runs a real Apache Kafka on this machine's loopback interface, one
// broker or a cluster (-nodes 3), for tests and for development.
//
//	kafka run [flags] -- COMMAND [ARGUMENTS]   start it, run COMMAND, stop it
//	kafka serve [flags]                        start it and keep it until Ctrl-C
//	kafka fetch                                only download its libraries
//	kafka version                              print the version of Apache Kafka
//
// COMMAND finds Kafka by environment variables, which serve prints:
// KAFKA_BROKERS and, for the other listeners, KAFKA_SASL_BROKERS,
// KAFKA_TLS_BROKERS, KAFKA_CA_FILE and so on.
//
// The exit code is COMMAND's, or 1 when the broker failed, 2 for wrong usage,
// and 3 when this machine cannot run Apache Kafka (no Java, no Maven, or the
// download failed), so that a caller can tell a failed test from one not run.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/clientevents/clientevents/test/kafkatest/broker"
)

const (
	exitFailed      = 1
	exitUsage       = 2
	exitUnavailable = 3
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:])
	stop()
	os.Exit(code)
}

func run(ctx context.Context, args []string) int {
	if len(args) == 1 && args[0] == "version" {
		fmt.Println(broker.Version())
		return 0
	}
	options, nodes, command, err := parse(args)
	if errors.Is(err, flag.ErrHelp) {
		return exitUsage
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "kafka:", err)
		return exitUsage
	}
	code, err := perform(ctx, options, nodes, command)
	if err != nil {
		fmt.Fprintln(os.Stderr, "kafka:", err)
	}
	return code
}

// parse reads the command line. A nil command means fetch, an empty one serve.
func parse(args []string) (options broker.Options, nodes int, command []string, err error) {
	options.Properties = make(map[string]string)
	verb := ""
	if len(args) > 0 {
		verb, args = args[0], args[1:]
	}
	flags := flag.NewFlagSet("kafka "+verb, flag.ContinueOnError)
	flags.StringVar(&options.Dir, "dir", "", "keep the broker's files in this `folder` (default: a temporary one, removed at the end)")
	flags.IntVar(&options.Port, "port", 0, "port of the plaintext listener (default: a free one)")
	flags.IntVar(&nodes, "nodes", 1, "how many brokers; with 2 or more, topics have up to three replicas")
	flags.StringVar(&options.Heap, "heap", "512m", "Java heap of the broker")
	flags.Func("set", "a broker configuration, `name=value`; may be repeated", func(s string) error {
		name, value, ok := strings.Cut(s, "=")
		if !ok {
			return fmt.Errorf("%q is not name=value", s)
		}
		options.Properties[name] = value
		return nil
	})
	if err := flags.Parse(args); err != nil {
		return options, nodes, nil, err
	}
	switch {
	case nodes < 1:
		return options, nodes, nil, fmt.Errorf("-nodes %d: want 1 or more", nodes)
	case verb == "run" && flags.NArg() > 0:
		return options, nodes, flags.Args(), nil
	case verb == "run":
		return options, nodes, nil, errors.New("run: name the command to run: kafka run [flags] -- COMMAND")
	case verb == "serve" && flags.NArg() == 0:
		return options, nodes, []string{}, nil
	case verb == "fetch" && flags.NArg() == 0:
		return options, nodes, nil, nil
	}
	return options, nodes, nil, fmt.Errorf("want run, serve, fetch or version, not %q", strings.Join(append([]string{verb}, flags.Args()...), " "))
}

func perform(ctx context.Context, options broker.Options, nodes int, command []string) (code int, err error) {
	began := time.Now()
	if options.Libraries, err = broker.Libraries(ctx, os.Stderr); err != nil {
		if errors.Is(err, broker.ErrUnavailable) {
			return exitUnavailable, err
		}
		return exitFailed, err
	}
	say("Apache Kafka %s is in %s (%.1f s)", broker.Version(), options.Libraries, time.Since(began).Seconds())
	if command == nil {
		return 0, nil
	}
	if options.Dir == "" {
		if options.Dir, err = os.MkdirTemp("", "clientevents-kafka-"); err != nil {
			return exitFailed, err
		}
		defer os.RemoveAll(options.Dir)
	}
	if options.Dir, err = filepath.Abs(options.Dir); err != nil {
		return exitFailed, err
	}
	began = time.Now()
	k, err := start(ctx, options, nodes)
	if err != nil {
		return exitFailed, err
	}
	defer func() {
		if stopErr := k.stop(); stopErr != nil {
			code, err = max(code, exitFailed), errors.Join(err, stopErr)
		}
	}()
	say("Kafka answers on %s (%.1f s), the logs are in %s", k.addresses, time.Since(began).Seconds(), options.Dir)
	environment := append(k.environment, "KAFKA_LIBRARIES="+options.Libraries)
	if len(command) == 0 {
		for _, variable := range environment {
			fmt.Printf("export %s\n", variable)
		}
		<-ctx.Done()
		return 0, nil
	}
	return execute(ctx, command, environment)
}

// running is a broker or a cluster.
type running struct {
	addresses   string
	environment []string
	stop        func() error
}

// start tries again, since a port that was free when it was chosen may be taken
// when the broker opens it.
func start(ctx context.Context, options broker.Options, nodes int) (k running, err error) {
	for tries := 0; tries < 3 && ctx.Err() == nil; tries++ {
		if k, err = startOnce(ctx, options, nodes); err == nil {
			return k, nil
		}
		say("%v; trying again", err)
	}
	return k, err
}

func startOnce(ctx context.Context, options broker.Options, nodes int) (running, error) {
	if nodes == 1 {
		b, err := broker.Start(ctx, options)
		if err != nil {
			return running{}, err
		}
		return running{b.Address(broker.Plaintext), b.Environment(), b.Stop}, nil
	}
	c, err := broker.StartCluster(ctx, options.InFolders(nodes))
	if err != nil {
		return running{}, err
	}
	return running{strings.Join(c.Addresses(), ","), c.Environment(), func() error { c.Stop(); return nil }}, nil
}

// execute runs command and returns its exit code. When ctx ends, it asks it to
// end, and waits before it uses force.
func execute(ctx context.Context, command, environment []string) (int, error) {
	cmd := exec.CommandContext(ctx, command[0], command[1:]...)
	cmd.Env = append(os.Environ(), environment...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 15 * time.Second
	err := cmd.Run()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok && exit.ExitCode() > 0 {
		return exit.ExitCode(), nil
	}
	if err != nil {
		return exitFailed, fmt.Errorf("run %s: %w", command[0], err)
	}
	return 0, nil
}

func say(format string, args ...any) {
	fmt.Fprintf(os.Stderr, "kafka: "+format+"\n", args...)
}
