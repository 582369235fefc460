package main

import (
	"cmp"
	"fmt"
	"io"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/clientevents/clientevents/internal/config"
	"github.com/clientevents/clientevents/internal/terminal"
)

func newConfigCommand(s Streams) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "config show --config FILE",
		Short: "Show the effective configuration and the origin of each key",
		Long:  "Show the effective configuration. 'clientevents admin config' shows that of a running replica.",
	}
	cmd.AddCommand(newConfigShowCommand(s))
	onlySubcommands(cmd)
	return cmd
}

func newConfigShowCommand(s Streams) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "show --config FILE",
		Short: "Show the effective configuration and the origin of each key",
		Long: `Show the effective value of each key and its origin: a line of the file, an
environment variable, or the default. Secrets are not shown, only whether they are
set.`,
		Example: `  clientevents config show --config clientevents.yaml
  clientevents config show --config clientevents.yaml --json | jq 'select(.origin != "default")'`,
		Args: noArgs,
	}
	path := configFlag(cmd)
	asJSON := cmd.Flags().Bool("json", false, "print a JSON object for each key: key, value, reload, origin, file, line, variable")
	cmd.RunE = func(*cobra.Command, []string) error {
		c, err := loadConfig(s, *path)
		if err != nil {
			return err
		}
		if *asJSON {
			return writeSettingsJSON(s.Out, c.Show())
		}
		return writeSettings(s.Out, c.Show())
	}
	return cmd
}

func writeSettingsJSON(w io.Writer, settings []config.Shown) error {
	for _, setting := range settings {
		if err := writeJSON(w, setting); err != nil {
			return err
		}
	}
	return nil
}

// writeSettings prints a table, with a line for each key.
func writeSettings(w io.Writer, settings []config.Shown) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "KEY\tVALUE\tORIGIN")
	for _, setting := range settings {
		value := cmp.Or(config.Text(setting.Value), "-")
		fmt.Fprintf(table, "%s\t%s\t%s\n", terminal.Printable(setting.Key), terminal.Printable(value), terminal.Printable(setting.Origin))
	}
	return table.Flush()
}
