package main

import (
	"fmt"
	"runtime"

	"github.com/spf13/cobra"

	"github.com/clientevents/clientevents/internal/version"
)

// build is the document of 'version --json'.
type build struct {
	Version   string `json:"version"`
	Commit    string `json:"commit"`
	GoVersion string `json:"go_version"`
}

func newVersionCommand(s Streams) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "version",
		Short: "Print version, commit and Go version",
	}
	asJSON := jsonFlag(cmd, "the build")
	cmd.RunE = func(*cobra.Command, []string) error {
		if *asJSON {
			return writeJSON(s.Out, build{version.Number(), version.Commit(), runtime.Version()})
		}
		_, err := fmt.Fprintf(s.Out, "clientevents %s\ncommit %s\n%s\n", version.Number(), version.Commit(), runtime.Version())
		return err
	}
	return cmd
}
