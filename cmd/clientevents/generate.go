package main

import (
	"bufio"
	"time"

	"github.com/spf13/cobra"

	"github.com/clientevents/clientevents/event"
	"github.com/clientevents/clientevents/internal/journey"
)

func newGenerateCommand(s Streams) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "generate --events N",
		Short: "Generate realistic events as newline-delimited JSON",
		Long: `Write job seekers' journeys as a job board sees them: searches with impressions,
views of some of the jobs, applications to a few. All events are valid, and each parent comes
before its children. The same seed, start and version give the same bytes; without --start,
times begin now.`,
		Example: `  clientevents generate --events 1000 > events.ndjson
  clientevents generate --events 1000 --seed 7 --start 2026-01-02T15:04:05Z   # the same bytes each time`,
	}
	events := cmd.Flags().Int("events", 0, "write `N` events")
	seed := cmd.Flags().Uint64("seed", 1, "seed `S` of the random numbers: the same seed gives the same journeys")
	version := versionFlag(cmd)
	parent := cmd.Flags().String("parent", "", "the `PARENT` that job names begin with (default projects/demo/tenants/demo; for v3 projects/demo)")
	start := cmd.Flags().String("start", "", "the `TIME` (RFC 3339) of the first event (default: now)")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		v, err := event.ParseVersion(*version)
		if err != nil {
			return usage("--api-version: %w", err)
		}
		if !cmd.Flags().Changed("events") {
			return usage("--events is required: a number of events, 1 or more")
		}
		if *events < 1 {
			return usage("--events: %d: expected a number of events, 1 or more", *events)
		}
		o := journey.Options{Seed: *seed, Version: v, Parent: *parent, Start: time.Now()}
		if *parent != "" {
			if err := v.CheckParent(*parent); err != nil {
				return usage("--parent: %w", err)
			}
		}
		if *start != "" {
			if o.Start, err = time.Parse(time.RFC3339, *start); err != nil {
				return usage("--start: %q: expected an RFC 3339 time, such as 2026-01-02T15:04:05Z", *start)
			}
		}
		out := bufio.NewWriterSize(s.Out, 64<<10)
		var line []byte
		left := *events
		for e := range journey.New(o).Events() {
			line = append(e.AppendRecord(line[:0]), '\n')
			if _, err := out.Write(line); err != nil {
				return err
			}
			if left--; left == 0 || cmd.Context().Err() != nil {
				break
			}
		}
		return out.Flush()
	}
	return cmd
}
