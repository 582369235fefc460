package main

import (
	"cmp"
	"math"

	"github.com/spf13/cobra"

	"github.com/clientevents/clientevents/internal/demo"
)

func newDemoCommand(s Streams) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "demo [--events N]",
		Short: "See everything at work in one process, with nothing else installed",
		Long: `Run an embedded Kafka broker, a local Talent Solution, a job board's traffic and the
pipeline between them: journeys with 2 % duplicates and 1 % faults of every kind,
children that come before their parents, and an API that throttles now and then.
The job board creates its jobs at the Talent Solution and searches them; its events
carry the answers' request ids. Two pages show what happens: the pipeline's status,
and the jobs and events at the Talent Solution.`,
		Example: `  clientevents demo
  clientevents demo --events 20000   # stops by itself and adds up`,
	}
	o := demo.Options{Out: s.Out, Err: s.Err}
	cmd.Flags().IntVar(&o.Events, "events", 0, "stop after `N` events and say what became of them (default: go on until Ctrl-C)")
	cmd.Flags().Float64Var(&o.Rate, "rate", 0, "events a second (default: 500, or such that --events take ten seconds)")
	cmd.Flags().Uint64Var(&o.Seed, "seed", 1, "what the traffic is drawn from")
	cmd.Flags().IntVar(&o.KafkaPort, "kafka-port", 0, "the broker's loopback port (default: any that is free)")
	cmd.Flags().IntVar(&o.APIPort, "api-port", 0, "the emulator's loopback port (default: any that is free)")
	cmd.Flags().StringVar(&o.Admin, "admin", "", "the `ADDR` of the status page (default: any free loopback port)")
	cmd.Flags().BoolVar(&o.Verbose, "verbose", false, "log what happens, too")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if cmd.Flags().Changed("events") && o.Events < 1 {
			return usage("--events: %d: want how many events to carry, 1 or more", o.Events)
		}
		// The first is false of what is not a number, too.
		if cmd.Flags().Changed("rate") && (!(o.Rate > 0) || math.IsInf(o.Rate, 1)) {
			return usage("--rate: %v: want events a second, more than 0", o.Rate)
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
