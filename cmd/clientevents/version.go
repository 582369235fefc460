package main

import (
	"fmt"
	"runtime"

	"github.com/spf13/cobra"

	"github.com/clientevents/clientevents/internal/version"
)

func newVersionCommand(s Streams) *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Say which build this is",
		RunE: func(*cobra.Command, []string) error {
			_, err := fmt.Fprintf(s.Out, "clientevents %s\ncommit %s\n%s\n", version.Number(), version.Commit(), runtime.Version())
			return err
		},
	}
}
