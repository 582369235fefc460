package main

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/clientevents/clientevents/internal/check"
	"github.com/clientevents/clientevents/internal/config"
	"github.com/clientevents/clientevents/internal/connect"
	"github.com/clientevents/clientevents/internal/privacy"
	"github.com/clientevents/clientevents/internal/progress"
	"github.com/clientevents/clientevents/internal/rehearse"
	"github.com/clientevents/clientevents/internal/terminal"
)

// rehearsed is how many records are read where no flag says so.
const rehearsed = 10_000

func newRehearseCommand(s Streams) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "rehearse --config FILE [--last N|--since T]",
		Short: "Report what run would do with the last records of the source topic",
		Long: `Read the end of the source topic and report what 'run' would do with it: outcomes, dead
letters by reason with examples, events by type, children without a parent, records
without a key, journeys that are spread across partitions, and the quota needed. The
decoder, the rules and the state machine are those of 'run'; every event counts as
accepted by the API. The state topic is not read: a parent from before these records is
not found, and the report has a hint. The command joins no group and sends, commits and
creates nothing.`,
		Example: `  clientevents rehearse --config clientevents.yaml
  clientevents rehearse --config clientevents.yaml --since 24h --samples 5 --samples-dir samples`,
	}
	path := configFlag(cmd)
	last := cmd.Flags().Int64("last", 0, "read the last `N` records of the topic (default 10000)")
	since := cmd.Flags().String("since", "", "read the records since this `TIME` (RFC 3339) or of the last duration, such as 2h")
	samples := cmd.Flags().Int("samples", 3, "show `K` examples of each reason")
	folder := cmd.Flags().String("samples-dir", "", "write the examples to this `FOLDER`, as files for 'clientevents test'; they may hold personal data")
	asJSON := jsonFlag(cmd, "the report")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		o := rehearse.Options{Last: *last, Samples: *samples}
		if err := rehearsedSpan(&o, *since); err != nil {
			return err
		}
		c, err := loadConfig(s, *path)
		if err != nil {
			return err
		}
		report, err := rehearsal(cmd.Context(), s, c, o, *folder)
		if err != nil {
			return err
		}
		if *asJSON {
			return writeJSON(s.Out, report)
		}
		report.Write(terminal.Writer(s.Out))
		return nil
	}
	return cmd
}

// rehearsedSpan reads what is to be read from the flags.
func rehearsedSpan(o *rehearse.Options, since string) error {
	switch {
	case o.Last < 0:
		return usage("--last: %d: expected 0 or more", o.Last)
	case o.Samples < 0:
		return usage("--samples: %d: expected 0 or more", o.Samples)
	case since != "" && o.Last > 0:
		return usage("expected either --last or --since")
	case since == "" && o.Last == 0:
		o.Last = rehearsed
	case since != "":
		if d, err := time.ParseDuration(since); err == nil && d >= 0 {
			o.Since = time.Now().Add(-d)
		} else if o.Since, err = time.Parse(time.RFC3339, since); err != nil {
			return usage("--since: %q: expected an RFC 3339 time or a duration, such as 2h", since)
		}
	}
	return nil
}

func rehearsal(ctx context.Context, s Streams, c *config.Config, o rehearse.Options, folder string) (*rehearse.Report, error) {
	k, err := connect.NewKafka(c, connect.Options{})
	if err != nil {
		return nil, err
	}
	defer k.Close()
	display := progress.NewDisplay(s.Err)
	o.Progress = func(done, all int64) {
		display.Draw(fmt.Sprintf("%d of %d records (%d %%)", done, all, 100*done/max(1, all)))
	}
	report, err := rehearse.Run(ctx, k, c, o)
	display.Clear()
	if err != nil {
		return nil, check.Explain(ctx, k, c, err)
	}
	if folder != "" {
		return report, writeSamples(ctx, s, c, k, report, folder)
	}
	return report, nil
}

// writeSamples writes examples of records as privacy.extra_info allows.
func writeSamples(ctx context.Context, s Streams, c *config.Config, k *connect.Kafka, report *rehearse.Report, folder string) error {
	guard, err := privacy.New(c, nil)
	if err != nil {
		return err
	}
	defer guard.Close()
	leftOut, err := report.WriteSamples(ctx, k, folder, guard.Redact)
	if leftOut > 0 {
		fmt.Fprintf(s.Err, "%d examples are left out: their extra info can't be told apart (privacy.extra_info)\n", leftOut)
	}
	return err
}
