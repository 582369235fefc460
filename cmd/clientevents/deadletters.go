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
	"github.com/clientevents/clientevents/internal/check"
	"github.com/clientevents/clientevents/internal/config"
	"github.com/clientevents/clientevents/internal/connect"
	"github.com/clientevents/clientevents/internal/deadletter"
	"github.com/clientevents/clientevents/internal/terminal"
)

func newDeadLettersCommand(s Streams) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "dead-letters summary|list|replay --config FILE",
		Short: "Count and list dead letters, and publish their records again",
	}
	cmd.AddCommand(newSummaryCommand(s), newListCommand(s), newReplayCommand(s))
	onlySubcommands(cmd)
	return cmd
}

// letterFlags are common to list and replay.
type letterFlags struct {
	path, reason, since *string
	limit               *int
}

func addLetterFlags(cmd *cobra.Command) letterFlags {
	cmd.Args = noArgs
	return letterFlags{
		path:   configFlag(cmd),
		reason: cmd.Flags().String("reason", "", "only dead letters with this `REASON`"),
		since:  cmd.Flags().String("since", "", "only dead letters written since this `TIME` (RFC 3339), or within this duration, such as 2h"),
		limit:  cmd.Flags().Int("limit", 0, "at most `N` dead letters; 0 means all"),
	}
}

func (f letterFlags) filter() (deadletter.Filter, error) {
	filter := deadletter.Filter{Reason: *f.reason, Limit: *f.limit}
	var known []string
	for _, r := range event.Reasons() {
		known = append(known, string(r))
	}
	if *f.reason != "" && !slices.Contains(known, *f.reason) {
		return filter, usage("--reason: %q is not a reason: did you mean %s?", *f.reason, config.Nearest(*f.reason, known))
	}
	if *f.limit < 0 {
		return filter, usage("--limit: %d: expected a whole number, 0 or more", *f.limit)
	}
	var err error
	filter.Since, err = timeOf(*f.since)
	return filter, err
}

// timeOf reads the value of --since; "" is the zero time.
func timeOf(since string) (time.Time, error) {
	if since == "" {
		return time.Time{}, nil
	}
	if d, err := time.ParseDuration(since); err == nil && d >= 0 {
		return time.Now().Add(-d), nil
	}
	t, err := time.Parse(time.RFC3339, since)
	if err != nil {
		return t, usage("--since: %q: expected an RFC 3339 time or a duration, such as 2h", since)
	}
	return t, nil
}

// each calls do with the filter that the flags describe.
func (f letterFlags) each(ctx context.Context, s Streams, do func(*connect.Kafka, *config.Config, deadletter.Filter) error) error {
	filter, err := f.filter()
	if err != nil {
		return err
	}
	return withLetters(ctx, s, *f.path, func(k *connect.Kafka, c *config.Config) error { return do(k, c, filter) })
}

// withLetters calls do with a connection to the brokers.
func withLetters(ctx context.Context, s Streams, path string, do func(*connect.Kafka, *config.Config) error) error {
	c, err := loadConfig(s, path)
	if err != nil {
		return err
	}
	k, err := connect.NewKafka(c, connect.Options{})
	if err != nil {
		return err
	}
	defer k.Close()
	if err := do(k, c); err != nil {
		return fmt.Errorf("dead letters of topic %s: %w", c.Kafka.DeadLetterTopic, check.Explain(ctx, k, c, err))
	}
	return ctx.Err()
}

func newListCommand(s Streams) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "list --config FILE",
		Short: "List dead letters with position, reason, origin and detail",
		Long: `List dead letters, one per line, tab-separated: partition and offset in the
dead-letter topic, time of writing, reason, topic, partition and offset of the source
record, key, event ID (if the value shows one) and detail. --values adds the value.
Control characters are escaped, except in JSON. Counts by reason go to standard error.`,
		Example: `  clientevents dead-letters list --config clientevents.yaml --reason parent_not_found --limit 20
  clientevents dead-letters list --config clientevents.yaml --newest --values`,
	}
	flags := addLetterFlags(cmd)
	newest := cmd.Flags().Bool("newest", false, "list the newest first; without --limit, the newest 100")
	values := cmd.Flags().Bool("values", false, "add the values; they may hold personal data")
	asJSON := jsonFlag(cmd, "each dead letter")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		return flags.each(cmd.Context(), s, func(k *connect.Kafka, c *config.Config, f deadletter.Filter) error {
			out := bufio.NewWriter(s.Out)
			counts := map[string]int{}
			show := letterLine
			if *asJSON {
				show = letterJSON
			}
			read := deadletter.Read
			if *newest {
				read = deadletter.ReadNewest
			}
			err := read(cmd.Context(), k, c, f, func(l deadletter.Letter) error {
				counts[l.Header(consumer.HeaderReason)]++
				return show(out, l.Entry(*values))
			})
			err = errors.Join(err, out.Flush())
			for _, reason := range slices.Sorted(maps.Keys(counts)) {
				fmt.Fprintf(s.Err, "%8d %s\n", counts[reason], terminal.Printable(reason))
			}
			return err
		})
	}
	return cmd
}

func letterJSON(out *bufio.Writer, e deadletter.Entry) error {
	return writeJSON(out, e)
}

// letterLine writes an entry as a line. It is escaped in files, too, since people print
// them later.
func letterLine(out *bufio.Writer, e deadletter.Entry) error {
	fields := []string{
		fmt.Sprintf("%d/%d", e.Partition, e.Offset), e.Time.Format(time.RFC3339), e.Reason,
		e.SourceTopic + "/" + e.SourcePartition + "/" + e.SourceOffset, e.Key, e.EventID, e.Detail,
	}
	if e.Value != nil {
		fields = append(fields, *e.Value)
	}
	for i := range fields {
		fields[i] = terminal.Printable(fields[i])
	}
	_, err := fmt.Fprintln(out, strings.Join(fields, "\t"))
	return err
}
