package main

import (
	"encoding/json"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/clientevents/clientevents/internal/app"
)

func newCheckCommand(s Streams) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "check --config FILE",
		Short: "Say whether everything is in order to carry events",
		Long: `Say whether the configuration is sound, the brokers, the topics and the credentials
are usable, and the endpoint answers: one line for each thing, with what to do
about it, and exit code 1 if any is not. Nothing is changed, and no event is
created: the API is sent an empty one, which it refuses.`,
		Example: `  clientevents check --config clientevents.yaml
  clientevents check --config clientevents.yaml --json | jq 'select(.result == "FAIL")'`,
	}
	path := configFlag(cmd)
	asJSON := cmd.Flags().Bool("json", false, "print a JSON object for each thing: result, what, says, do")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		c, err := loadConfig(s, *path)
		if err != nil {
			return err
		}
		show := func(f app.Finding) { fmt.Fprintln(s.Out, f) }
		if *asJSON {
			encoder := json.NewEncoder(s.Out)
			encoder.SetEscapeHTML(false)
			show = func(f app.Finding) { _ = encoder.Encode(f) }
		}
		if !app.Check(cmd.Context(), c, show) {
			return &silentError{exitFailed}
		}
		return nil
	}
	return cmd
}
