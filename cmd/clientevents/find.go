package main

import (
	"cmp"
	"context"
	"errors"

	"github.com/spf13/cobra"

	"github.com/clientevents/clientevents/internal/check"
	"github.com/clientevents/clientevents/internal/connect"
	"github.com/clientevents/clientevents/internal/find"
	"github.com/clientevents/clientevents/internal/terminal"
)

func newFindCommand(s Streams) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "find --config FILE EVENT_ID",
		Short: "Show what happened to an event or a journey",
		Long: `Search the source topic, the dead-letter topic and the state topic for an event, or with
--request-id for all events of a journey, and show their records, outcomes, times,
parents and dead letters. Exit code 1 if nothing is found. Records
that the topic no longer retains and events older than dedupe.window are not found.

With --key, only records with this key are searched, in the one partition to which
producers with the partitioner murmur2 write it. This is faster. For other partitioners,
use --partition.`,
		Example: `  clientevents find --config clientevents.yaml 3dffed8c-ffd6-417f-8000-000024ff8772
  clientevents find --config clientevents.yaml --request-id r-17
  clientevents find --config clientevents.yaml --key r-17 3dffed8c-ffd6-417f-8000-000024ff8772`,
		Args: cobra.ArbitraryArgs,
	}
	path := configFlag(cmd)
	request := cmd.Flags().String("request-id", "", "show all events of the journey with this request `ID`")
	only := cmd.Flags().Int32("partition", -1, "read only this `PARTITION` of the source and the state topic; -1 reads all")
	key := cmd.Flags().String("key", "", "search only records with this `KEY`, in its partition")
	asJSON := jsonFlag(cmd, "each event")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		q := find.Query{RequestID: *request, Partition: *only}
		switch {
		case len(args) == 1 && *request == "":
			q.EventID = args[0]
		case len(args) != 0 || *request == "":
			return usage("%s: expected an event ID or --request-id", cmd.CommandPath())
		}
		if cmd.Flags().Changed("key") {
			switch {
			case *key == "":
				return usage("--key: expected a key that is not empty")
			case cmd.Flags().Changed("partition"):
				return usage("expected either --key or --partition")
			}
			q.Key = []byte(*key)
		}
		return findEvents(cmd.Context(), s, *path, q, *asJSON)
	}
	return cmd
}

// findEvents shows what is known of the events of a query. It is an error if nothing is
// known.
func findEvents(ctx context.Context, s Streams, path string, q find.Query, asJSON bool) error {
	c, err := loadConfig(s, path)
	if err != nil {
		return err
	}
	k, err := connect.NewKafka(c, connect.Options{})
	if err != nil {
		return err
	}
	defer k.Close()
	events, err := find.Run(ctx, k, c, q)
	if err != nil {
		return check.Explain(ctx, k, c, err)
	}
	if asJSON {
		for _, e := range events {
			if err := writeJSON(s.Out, e); err != nil {
				return err
			}
		}
	} else {
		find.Write(terminal.Writer(s.Out), events)
	}
	if len(events) > 0 {
		return nil
	}
	unknown := "nothing is known about " + cmp.Or(q.EventID, q.RequestID)
	if q.Key != nil {
		unknown += " in the partition of this key: search all partitions without --key"
	}
	return errors.New(unknown)
}
