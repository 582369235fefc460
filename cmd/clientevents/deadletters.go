package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/clientevents/clientevents/consumer"
	"github.com/clientevents/clientevents/event"
	"github.com/clientevents/clientevents/internal/app"
	"github.com/clientevents/clientevents/internal/config"
	"github.com/clientevents/clientevents/internal/progress"
)

func newDeadLettersCommand(s Streams) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "dead-letters list|replay --config FILE",
		Short: "Read dead letters, and publish their records again",
	}
	cmd.AddCommand(newListCommand(s), newReplayCommand(s))
	onlySubcommands(cmd)
	return cmd
}

// letterFlags are what list and replay have in common.
type letterFlags struct {
	path, reason, since *string
	limit               *int
}

func addLetterFlags(cmd *cobra.Command) letterFlags {
	cmd.Args = noArgs
	return letterFlags{
		path:   configFlag(cmd),
		reason: cmd.Flags().String("reason", "", "only those with this `REASON`"),
		since:  cmd.Flags().String("since", "", "only those written since this `TIME` (RFC 3339) or in the last duration, such as 2h"),
		limit:  cmd.Flags().Int("limit", 0, "at most `N` of them; 0 is all"),
	}
}

func (f letterFlags) filter() (app.LetterFilter, error) {
	filter := app.LetterFilter{Reason: *f.reason, Limit: *f.limit}
	var known []string
	for _, r := range event.Reasons() {
		known = append(known, string(r))
	}
	if *f.reason != "" && !slices.Contains(known, *f.reason) {
		return filter, usage("--reason: %q is not a reason: did you mean %s?", *f.reason, config.Nearest(*f.reason, known))
	}
	if *f.limit < 0 {
		return filter, usage("--limit: %d: want a whole number, 0 or more", *f.limit)
	}
	if *f.since != "" {
		if d, err := time.ParseDuration(*f.since); err == nil && d >= 0 {
			filter.Since = time.Now().Add(-d)
		} else if filter.Since, err = time.Parse(time.RFC3339, *f.since); err != nil {
			return filter, usage("--since: %q: want an RFC 3339 time or a duration, such as 2h", *f.since)
		}
	}
	return filter, nil
}

// each goes over the letters that the flags mean.
func (f letterFlags) each(ctx context.Context, s Streams, do func(*app.Kafka, *config.Config, app.LetterFilter) error) error {
	filter, err := f.filter()
	if err != nil {
		return err
	}
	c, err := loadConfig(s, *f.path)
	if err != nil {
		return err
	}
	k, err := app.NewKafka(c, nil)
	if err != nil {
		return err
	}
	defer k.Close()
	if err := do(k, c, filter); err != nil {
		return fmt.Errorf("dead letters of topic %s: %w", c.Kafka.DeadLetterTopic, app.ExplainKafka(ctx, k, c, err))
	}
	return ctx.Err()
}

func newListCommand(s Streams) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "list --config FILE",
		Short: "Show dead letters: where they are, why, and what they were",
		Long: `Show one dead letter a line, tab-separated: partition and offset in the dead-letter
topic, when it was written, the reason, the topic, partition and offset that it
came from, its key, and the detail. Counts by reason follow on standard error.`,
		Example: `  clientevents dead-letters list --config clientevents.yaml --reason parent_not_found --limit 20`,
	}
	flags := addLetterFlags(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		return flags.each(cmd.Context(), s, func(k *app.Kafka, c *config.Config, f app.LetterFilter) error {
			out := bufio.NewWriter(s.Out)
			counts := map[string]int{}
			err := app.Letters(cmd.Context(), k, c, f, func(l app.Letter) error {
				reason := l.Header(consumer.HeaderReason)
				counts[reason]++
				_, err := fmt.Fprintf(out, "%d/%d\t%s\t%s\t%s/%s/%s\t%s\t%s\n", l.Partition, l.Record.Offset,
					l.Record.Time.UTC().Format(time.RFC3339), reason,
					l.Header(consumer.HeaderTopic), l.Header(consumer.HeaderPartition), l.Header(consumer.HeaderOffset),
					printable(string(l.Record.Key)), printable(l.Header(consumer.HeaderDetail)))
				return err
			})
			err = errors.Join(err, out.Flush())
			for _, reason := range slices.Sorted(maps.Keys(counts)) {
				fmt.Fprintf(s.Err, "%8d %s\n", counts[reason], reason)
			}
			return err
		})
	}
	return cmd
}

// printable keeps what producers wrote from disturbing a line.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(s, "\uFFFD"))
}

func newReplayCommand(s Streams) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "replay --config FILE",
		Short: "Publish the records of dead letters to the source topic again",
		Long: `Publish the original key, value and headers of dead letters to the source topic,
into the partition that they came from. Repeating it is safe: what was reported
meanwhile is known as a duplicate, and what is still at fault becomes a dead
letter again. The header ` + app.HeaderReplays + ` counts the replays.`,
		Example: `  clientevents dead-letters replay --config clientevents.yaml --reason rejected --dry-run
  clientevents dead-letters replay --config clientevents.yaml --reason rejected`,
	}
	flags := addLetterFlags(cmd)
	dryRun := cmd.Flags().Bool("dry-run", false, "only count")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		return flags.each(cmd.Context(), s, func(k *app.Kafka, c *config.Config, f app.LetterFilter) error {
			r, err := app.NewReplayer(cmd.Context(), k, c)
			if err != nil {
				return err
			}
			r.DryRun = *dryRun
			shown := progress.New(s.Err, "replayed")
			defer shown.Close()
			err = app.Letters(cmd.Context(), k, c, f, func(l app.Letter) error {
				shown.Set(r.Published)
				return r.Add(cmd.Context(), l)
			})
			if err == nil {
				err = r.Flush(cmd.Context())
			}
			if err != nil {
				return err
			}
			done := "replayed"
			if *dryRun {
				done = "would be replayed"
			}
			fmt.Fprintf(s.Out, "%d records %s to %s\n", r.Published, done, c.Kafka.Topic)
			if r.Repeated > 0 {
				fmt.Fprintf(s.Out, "%d dead letters were repetitions of those\n", r.Repeated)
			}
			if r.Foreign > 0 {
				fmt.Fprintf(s.Out, "%d dead letters are of another source topic\n", r.Foreign)
			}
			return nil
		})
	}
	return cmd
}
