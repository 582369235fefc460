package main

import (
	"cmp"
	"math"
	"strings"

	"github.com/spf13/cobra"

	"github.com/clientevents/clientevents/internal/demo"
	"github.com/clientevents/clientevents/internal/shape"
)

func newDemoCommand(s Streams) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "demo [--events N] [--shape NAME]",
		Short: "Run everything in one process, with nothing else installed",
		Long: `Run an embedded Kafka broker, a local Talent Solution, a job board's traffic and the
pipeline between them: journeys with 2 % duplicates and 1 % invalid events of every kind,
children that come before their parents, and an API that sometimes throttles. The job board
creates its jobs at the Talent Solution and searches them; its events have the request IDs of
the responses. Two pages show the pipeline's status, and the jobs and events at the Talent
Solution.

With --shape, the topic holds the same journeys in another team's shape, and a mapping of
docs/mapping turns them into events. avro and protobuf use a schema registry in the
process. The demo prints a record and its mapping.`,
		Example: `  clientevents demo
  clientevents demo --events 20000   # stops by itself and prints the outcomes
  clientevents demo --shape avro     # a topic in Avro`,
	}
	o := demo.Options{Out: s.Out, Err: s.Err}
	cmd.Flags().IntVar(&o.Events, "events", 0, "stop after `N` events and report their outcomes (default: run until Ctrl-C)")
	cmd.Flags().Float64Var(&o.Rate, "rate", 0, "events per second (default: 500, or the rate at which --events take ten seconds)")
	cmd.Flags().Uint64Var(&o.Seed, "seed", 1, "seed of the random traffic")
	cmd.Flags().IntVar(&o.KafkaPort, "kafka-port", 0, "loopback port of the broker (default: any free port)")
	cmd.Flags().IntVar(&o.APIPort, "api-port", 0, "loopback port of the emulator (default: any free port)")
	cmd.Flags().StringVar(&o.Admin, "admin", "", "the `ADDR` of the status page (default: any free loopback port)")
	cmd.Flags().StringVar(&o.Shape, "shape", "", "publish records of this shape: `NAME` is "+strings.Join(shape.Names(), ", ")+" (default: events of the API)")
	cmd.Flags().BoolVar(&o.Verbose, "verbose", false, "also write the log")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if cmd.Flags().Changed("events") && o.Events < 1 {
			return usage("--events: %d: expected a number of events, 1 or more", o.Events)
		}
		if cmd.Flags().Changed("shape") && !shape.Known(o.Shape) {
			return usage("--shape: %q: expected one of %s", o.Shape, strings.Join(shape.Names(), ", "))
		}
		// The first is false of what is not a number, too.
		if cmd.Flags().Changed("rate") && (!(o.Rate > 0) || math.IsInf(o.Rate, 1)) {
			return usage("--rate: %v: expected events per second, more than 0", o.Rate)
		}
		if err := cmp.Or(port("kafka-port", o.KafkaPort), port("api-port", o.APIPort)); err != nil {
			return err
		}
		if err := address("admin", o.Admin); o.Admin != "" && err != nil {
			return err
		}
		return demo.Run(cmd.Context(), o)
	}
	return cmd
}
