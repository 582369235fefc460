package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/clientevents/clientevents/internal/check"
	"github.com/clientevents/clientevents/internal/terminal"
)

func newCheckCommand(s Streams) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "check --config FILE",
		Short: "Verify configuration, brokers, topics, credentials and endpoint",
		Long: `Verify the configuration, the brokers, the topics, the consumer group, the credentials and
the endpoint: one line per check. A failed check states the remedy; the exit code is then 1.
If a replica runs on this machine, its status is shown, too.
Nothing is changed and no event is created: the API receives an empty event, which it
rejects.`,
		Example: `  clientevents check --config clientevents.yaml
  clientevents check --config clientevents.yaml --json | jq 'select(.result == "FAIL")'`,
	}
	path := configFlag(cmd)
	asJSON := jsonFlag(cmd, "each check")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		c, err := loadConfig(s, *path)
		if err != nil {
			return err
		}
		show := func(f check.Finding) { fmt.Fprintln(s.Out, terminal.Printable(f.String())) }
		if *asJSON {
			show = func(f check.Finding) { _ = writeJSON(s.Out, f) }
		}
		if !check.Run(cmd.Context(), c, check.Options{}, show) {
			return &silentError{exitFailed}
		}
		return nil
	}
	return cmd
}
