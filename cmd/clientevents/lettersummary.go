package main

import (
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/clientevents/clientevents/internal/config"
	"github.com/clientevents/clientevents/internal/connect"
	"github.com/clientevents/clientevents/internal/deadletter"
	"github.com/clientevents/clientevents/internal/terminal"
)

func newSummaryCommand(s Streams) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "summary --config FILE",
		Short: "Count dead letters by reason: in total and outstanding",
		Long: `Count dead letters by reason. A record is outstanding until it is replayed; if it then
becomes a dead letter again, it is outstanding again. A record with several
dead letters is counted once. Replays that the source topic no longer retains are not
taken into account.`,
		Example: `  clientevents dead-letters summary --config clientevents.yaml --since 24h`,
		Args:    noArgs,
	}
	path := configFlag(cmd)
	since := cmd.Flags().String("since", "", "only dead letters written since this `TIME` (RFC 3339), or within this duration, such as 2h")
	asJSON := jsonFlag(cmd, "each reason")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		from, err := timeOf(*since)
		if err != nil {
			return err
		}
		return withLetters(cmd.Context(), s, *path, func(k *connect.Kafka, c *config.Config) error {
			rows, foreign, err := deadletter.Summarize(cmd.Context(), k, c, deadletter.Filter{Since: from})
			if err != nil {
				return err
			}
			if foreign > 0 {
				fmt.Fprintf(s.Err, "%d dead letters of another source topic are not counted\n", foreign)
			}
			if *asJSON {
				return rowsJSON(s.Out, rows)
			}
			return rowsTable(s.Out, rows)
		})
	}
	return cmd
}

func rowsJSON(out io.Writer, rows []deadletter.Row) error {
	for _, row := range rows {
		if err := writeJSON(out, row); err != nil {
			return err
		}
	}
	return nil
}

func rowsTable(out io.Writer, rows []deadletter.Row) error {
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "REASON\tTOTAL\tOUTSTANDING\tFIRST\tLAST")
	sum := deadletter.Row{}
	for _, row := range rows {
		sum.Total += row.Total
		sum.Outstanding += row.Outstanding
		fmt.Fprintf(table, "%s\t%d\t%d\t%s\t%s\n", terminal.Printable(row.Reason), row.Total, row.Outstanding,
			row.First.Format(time.RFC3339), row.Last.Format(time.RFC3339))
	}
	fmt.Fprintf(table, "total\t%d\t%d\t\t\n", sum.Total, sum.Outstanding)
	return table.Flush()
}
