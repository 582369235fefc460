package main

import (
	"github.com/spf13/cobra"

	"github.com/clientevents/clientevents/event"
)

func newSchemaCommand(s Streams) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "schema",
		Short: "Write the JSON Schema of events",
		Long: `Write the JSON Schema (draft 2020-12) of a record's value, for tests of producers. It
expresses the rules that a schema can express; 'validate' checks all of them.`,
		Example: `  clientevents schema --api-version v4 > client-event.json`,
	}
	version := versionFlag(cmd)
	cmd.RunE = func(*cobra.Command, []string) error {
		v, err := event.ParseVersion(*version)
		if err != nil {
			return usage("--api-version: %w", err)
		}
		_, err = s.Out.Write(event.Schema(v))
		return err
	}
	return cmd
}
