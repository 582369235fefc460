package main

import (
	"github.com/spf13/cobra"

	"github.com/clientevents/clientevents/internal/app"
)

func newCheckCommand(s Streams) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "check --config FILE",
		Short: "Say whether everything is in order to carry events",
		Long: `Say whether the configuration is sound, the brokers, the topics and the credentials
are usable, and the endpoint answers: one line for each thing, and exit code 1
if any is not. Nothing is changed, and no event is created.`,
		Example: `  clientevents check --config clientevents.yaml`,
	}
	path := configFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		c, err := loadConfig(s, *path)
		if err != nil {
			return err
		}
		if !app.Check(cmd.Context(), s.Out, c) {
			return &silentError{exitFailed}
		}
		return nil
	}
	return cmd
}
